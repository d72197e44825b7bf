"""`hf-rspin`: commands by name, quick help, mistakes in one sentence; configs by name."""

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from hf_rspin.commands import console
from hf_rspin.configs import config_file, config_names, shipped_config
from hf_rspin.evaluation.conditions import CONDITIONS, severities_in_words
from hf_rspin.evaluation.names import CONDITION_NAMES, PROBE_NAMES, SEVERITIES_IN_WORDS
from hf_rspin.evaluation.probes import PROBES
from hf_rspin.training.cli import parse_arguments, refuse_unknown, stock_options
from hf_rspin.training.training_arguments import TwoViewTrainingArguments
from hf_rspin.training.view_arguments import ViewArguments

ROOT = Path(__file__).parents[2]
# every command in one process that is new: what one of them imports, the others would hide
HELP = """
import sys
from hf_rspin.commands import console
lines = {}
for command in sys.argv[1].split(","):
    sys.argv = ["hf-rspin", *command.split(), "--help"]
    try:
        console.main()
    except SystemExit as ended:
        assert not ended.code, command
    print("END OF", command)
heavy = {"torch", "transformers", "datasets", "numpy", "scipy", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
OBJECTIVES = ("spin", "rspin", "laser", "score", "rspin_laser", "masked_prediction", "elastic")


@pytest.fixture
def hf_rspin(monkeypatch, capsys):
    """Run a command in this process; return what it prints, or what it ends with."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["hf-rspin", *map(str, words)])
        try:
            console.main()
        except SystemExit as ended:
            return str(ended.code)
        return capsys.readouterr().out

    return run


def test_every_help_is_short_and_imports_nothing_heavy():
    commands = [*console.COMMANDS, *(f"train --objective {name}" for name in OBJECTIVES)]
    done = subprocess.run(
        [sys.executable, "-c", HELP, ",".join(commands)],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    texts = done.stdout.split("END OF ")
    assert len(texts) == len(commands) + 1
    for command, text in zip(commands, texts, strict=False):
        lines = text.splitlines()
        assert 4 < len(lines) <= 105, (command, len(lines))  # two screens
        assert max(map(len, lines)) <= 100, command


def test_the_script_is_declared_and_its_modules_are_there():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert declared == {"hf-rspin": "hf_rspin.commands.console:main"}
    for module, _, _ in console.COMMANDS.values():
        assert callable(import_module(f"hf_rspin.commands.{module}").main)


def test_the_list_of_commands_and_the_version(hf_rspin):
    assert hf_rspin() == hf_rspin("--help") == hf_rspin("help")
    for name in console.COMMANDS:
        assert f"\n  {name} " in hf_rspin("--help")
    assert hf_rspin("--version").startswith("hf-rspin 0.")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evalute"], "got the command 'evalute'; did you mean evaluate?"),
        (["xyz"], "got the command 'xyz'; see `hf-rspin --help`."),
        (["train"], "no objective was given"),
        (["train", "--objective", "rspinn"], "--objective is 'rspinn'; expected one of spin"),
        (["train", "--objective", "spin", "--max_step", "3"], "did you mean max_steps"),
        (["distill", "gone.yaml"], "gone.yaml does not exist; `hf-rspin configs` lists"),
        (["distill", "distil_small.yaml"], "did you mean distill_small.yaml?"),
        (["evaluate", "--encoder", "x"], "--encoder is no option of this script; did you mean enc"),
        (["configs", "rspin_smal"], "the package has no config rspin_smal; did you mean rspin_sma"),
    ],
)
def test_mistakes_are_said_in_one_sentence(hf_rspin, words, message):
    said = hf_rspin(*words)
    assert message in said and "\n" not in said


def test_a_typo_is_found_before_torch_is_imported():
    code = """
import sys
from hf_rspin.commands import console
for words in (["evalute"], ["train", "--objective", "rspin", "--max_step", "3"],
              ["train", "--objective", "laser", "--gradient_acumulation_steps", "3"]):
    sys.argv = ["hf-rspin", *words]
    try:
        console.main()
    except SystemExit as ended:
        print(ended.code)
assert not {"torch", "transformers", "numpy"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "did you mean gradient_accumulation_steps" in done.stdout.splitlines()[2]


def test_the_options_of_the_stock_are_those_of_its_class():
    inherited = set(TwoViewTrainingArguments.__dataclass_fields__)
    assert stock_options() <= inherited and len(stock_options()) > 80
    for text in ("--max-steps", "--no_perturb_speaker", "--bf16=true", "--snr_db"):
        refuse_unknown([text], TwoViewTrainingArguments, ViewArguments)


def test_names_without_their_import_are_those_of_the_registries():
    assert tuple(PROBES) == PROBE_NAMES and CONDITIONS == CONDITION_NAMES
    assert severities_in_words() == SEVERITIES_IN_WORDS


def test_configs_are_found_by_name_and_a_file_of_the_user_first(hf_rspin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = config_names()
    assert "students/wavlm_small.yaml" in names and names.index("rspin_small.yaml") < 40
    shipped = config_file("rspin_small.yaml")
    for former in ("configs/rspin_small.yaml", "training_scripts/configs/rspin_small.yaml"):
        assert config_file(former) == shipped and shipped.is_file()
    for other in ("mine/rspin_small.yaml", "../configs/rspin_small.yaml", "/rspin_small.yaml"):
        assert config_file(other) == Path(other)
    assert hf_rspin("configs", "rspin_small") == shipped.read_text()
    assert all(name in hf_rspin("configs") for name in names)
    (tmp_path / "rspin_small.yaml").write_text("max_steps: 7\noutput_dir: here\nuse_cpu: true\n")
    (parsed,) = parse_arguments(TwoViewTrainingArguments, arguments=["rspin_small.yaml"])
    assert parsed.max_steps == 7
    assert shipped_config("rspin_small.yaml") == shipped  # what `adapt` reads
    with pytest.raises(ValueError, match="the package has no config mine.yaml"):
        shipped_config("mine.yaml")


def test_python_m_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "hf_rspin", "configs", "score_small"],
        capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0 and "method: score" in done.stdout
