"""The documentation says what is true: commands, messages and files exist; a notebook runs."""

import ast
import re
import shlex
from importlib import import_module

import nbformat
import pytest
from nbclient import NotebookClient

import hf_rspin
from hf_rspin.commands import console
from hf_rspin.configs import config_file

from .reference_modules import DOCS, modules_of_reference

ROOT = DOCS.parent
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {page.relative_to(DOCS).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
NOT_OURS = {"--nproc_per_node", "--config_file"}  # of torchrun and accelerate
OF_ALL = {"--help", "--help_all", "--objective"}


def commands():
    """Return page and words of every `hf-rspin` command in the pages."""
    for page, text in TEXTS.items():
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["torchrun"]:
                    words = ["hf-rspin", *words[words.index("hf_rspin") + 1 :]]
                if words[:1] == ["hf-rspin"]:
                    yield pytest.param(words[1:], id=f"{page}: {' '.join(words[:4])}")


def help_of(words, monkeypatch, capsys):
    """Return the whole help of a command and its objective."""
    given = words[:1] + (words[1:3] if words[1:2] == ["--objective"] else [])
    option = "--help" if words[0] in ("push", "convert", "convert-attention") else "--help_all"
    monkeypatch.setattr("sys.argv", ["hf-rspin", *given, option])
    with pytest.raises(SystemExit):
        console.main()
    return capsys.readouterr().out


@pytest.mark.parametrize("words", commands())
def test_commands_of_the_pages_have_their_options_and_configs(words, monkeypatch, capsys):
    text = help_of(words, monkeypatch, capsys)
    for word in words[1:]:
        if word.startswith("--") and word != "--objective":
            assert re.search(rf"(?<!\S){re.escape(word)}\b", text), word
        if word.endswith(".yaml"):
            assert config_file(word).is_file(), word


def test_options_and_files_that_the_text_names_exist(monkeypatch, capsys):
    helps = ""
    for one in ("spin", "rspin", "rspin_laser", "laser", "distill", "masked_prediction", "elastic"):
        helps += help_of(["train", "--objective", one], monkeypatch, capsys)
    for name in ("adapt", "labels", "evaluate", "analyse", "units", "features", "align",
                 "finetune-ctc", "search-subnet", "push", "convert", "demo", "export"):  # fmt: skip
        helps += help_of([name, ""], monkeypatch, capsys)
    known = set(re.findall(r"--[a-z]\w*", helps)) | NOT_OURS | OF_ALL
    grid = (ROOT / "training_scripts/experiments/run.py").read_text(encoding="utf-8")
    known |= {f"--{name}" for name in re.findall(r"^    (\w+): .*option\(", grid, re.MULTILINE)}
    for page, text in TEXTS.items():
        if page.startswith("reference/"):
            continue
        named = set(re.findall(r"`[^`\n]*?(--[a-z]\w*)", text))
        assert named <= known, (page, named - known)
        for file in re.findall(r"`((?:tests|model_cards|training_scripts)/[\w/.]+)`", text):
            assert (ROOT / file).exists(), (page, file)
        for config in re.findall(r"`([a-z]\w+\.yaml)`", text):
            assert config_file(config).is_file() or list(ROOT.rglob(config)), (page, config)


def message(node):
    """Return a string of the source with … for its values; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "…" for v in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (message(node.left) or "…") + (message(node.right) or "…")
    return None


def test_messages_of_the_troubleshooting_page_are_those_of_the_code():
    trees = [ast.parse(f.read_text("utf-8")) for f in (ROOT / "hf_rspin").rglob("*.py")]
    found = {message(node) for tree in trees for node in ast.walk(tree)} - {None}
    found = {text.replace("{}", "…").replace("%s", "…") for text in found}
    quoted = re.findall(r"^```text\n(.*?)\n```", TEXTS["troubleshooting.md"], re.M | re.S)
    assert len(quoted) >= 20
    # the remedy of a folder made otherwise is a value of its message
    quoted = [text.replace("name another folder or remove it.", "…") for text in quoted]
    missing = [text for text in quoted if not any(text in one for one in found)]
    assert not missing


def test_every_public_name_is_in_the_reference():
    modules = set(modules_of_reference())
    for name in hf_rspin.__all__:
        home = getattr(hf_rspin, name).__module__
        assert home in modules, (name, home)
    for package in ("losses", "views", "units", "data", "models", "adapters", "training", "elastic",
                    "distillation", "ctc", "cost", "evaluation"):  # fmt: skip
        one = import_module(f"hf_rspin.{package}")
        for name in one.__all__:
            home = getattr(getattr(one, name), "__module__", None)
            assert home is None or home in modules or not home.startswith("hf_rspin"), (name, home)


@pytest.mark.parametrize("name", ["units_and_noise"])
def test_a_notebook_runs(name, tmp_path):
    notebook = nbformat.read(DOCS / "notebooks" / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without results"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    assert 0.2 < float(re.search(r"PNMI ([\d.]+)", printed).group(1)) < 1
