"""Every command and snippet of README.md and docs/guide.md runs, in its order, as a newcomer does.

Speech and noise are a plain folder each, encoders tiny, budgets two updates; what cannot be run
here is listed with its reason.
"""

import glob
import re
import shlex
import shutil
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

import hf_rspin
from hf_rspin.adapting.options import AdaptOptions
from hf_rspin.commands import console
from hf_rspin.commands.train import OBJECTIVES
from hf_rspin.configs import config_names
from hf_rspin.ctc.align_arguments import AlignArguments
from hf_rspin.demo.options import DemoOptions
from hf_rspin.evaluation.analysis_arguments import AnalysisArguments
from hf_rspin.evaluation.probe_arguments import ProbeArguments
from hf_rspin.extraction.options import FeaturesOptions, UnitsOptions
from hf_rspin.labelling.arguments import PseudoLabelArguments
from hf_rspin.resources import sample_folder
from hf_rspin.training.cli import parse_arguments
from hf_rspin.training.corpus_arguments import CorpusArguments

from .hub.official_files import build, spin_checkpoint

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "training_scripts"
README = "\n".join(
    (ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "docs/guide.md")
)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```\w*\n.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)

# beginnings of commands
NOT_RUN = {
    "make quickstart": "installs; its script runs in test_training_scripts",
    "make test": "is what runs this",
    "hf-rspin adapt my_recordings": "runs in adapting/test_adapt_command",
    "hf-rspin demo": "runs in demo/",
    ". .venv/bin/activate": "the tests run in an environment already",
}
# inline in the text, and options that belong to programs of others
NOT_CHECKED = {
    "--nproc_per_node": "of torchrun",
    "--results": "of push, which has a parser of its own",
}
TRAINS = ["--max_steps", "2", "--batch_seconds", "8", "--max_seconds", "3", "--encoder", "ENCODER"]
BUDGETS = {
    "train --objective spin": TRAINS,
    "train --objective rspin": TRAINS,
    "train --objective laser": [*TRAINS[:-2], "--gradient_accumulation_steps", "2", *TRAINS[-2:]],
    "labels": ["--vocab_size", "140", "--num_clusters", "40", "--layer", "2", "--device", "cpu"],
    "finetune-ctc": TRAINS[:4],
    "train --objective elastic": TRAINS[:4],
    "distill": TRAINS[:4],
    "evaluate": ["--num_units", "4", "--num_workers", "1"],
    "analyse": ["--num_units", "4", "--num_workers", "1"],
}
# what the tiny encoder of three layers cannot do as a config says, by a part of the command
SMALLER = {
    "distill_summary_mixing_small": ["--target_layers", "2", "3", "--student_layers", "2", "3"],
    "--objective elastic": [
        "--average_layers", "2", "--space",
        '{"widths": [16, 32], "heads": [1, 2], "ratios": [2.0], "depths": [2, 3], "head_size": 16}',
    ],
}  # fmt: skip
# what a command ends with where it cannot do its work here
ENDS_WITH = {"--license apache-2.0 --private": "owner/name cannot be uploaded in offline mode"}
REPLACED = {
    "facebook/hubert-base-ls960": "ENCODER",
    'output_dir="runs/rspin"': 'output_dir="runs/rspin", max_steps=2, batch_seconds=8',
}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """A folder with `speech` and `noise`, a file of the authors, and a tiny encoder."""
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "speech").mkdir()
    (folder / "noise").mkdir()
    for number, file in enumerate(sorted((sample_folder() / "train").glob("*.flac"))[::8]):
        shutil.copy(file, folder / "speech" / f"{number:02d}.flac")
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    soundfile.write(folder / "noise" / "hiss.wav", noise, 16_000)
    audio, rate = soundfile.read(folder / "speech" / "00.flac")
    soundfile.write(folder / "speech.wav", audio, rate)
    torch.save(spin_checkpoint(build(), {}), folder / "spin_hubert_256.ckpt")
    torch.manual_seed(0)
    config = HubertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=64,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    HubertModel(config).save_pretrained(folder / "encoder")
    return folder


@pytest.fixture
def call(newcomer, monkeypatch):
    """Run one command of README in the folder, in this process; return how it ended."""
    monkeypatch.chdir(newcomer)

    def run(line):
        program, *arguments = shlex.split(line)
        assert program == "hf-rspin", line
        extra = [one for key, more in BUDGETS.items() if f"hf-rspin {key} " in line for one in more]
        extra += [one for key, more in SMALLER.items() if key in line for one in more]
        given = [
            str(newcomer / "encoder") if one in ("ENCODER", "bundled") else one
            for one in (*arguments, *extra)
        ]
        if arguments[0] == "convert":
            given += ["--num-attention-heads", "4"]  # the file of a tiny encoder does not tell
        monkeypatch.setattr(sys, "argv", ["hf-rspin", *given])
        try:
            console.main()
        except SystemExit as ended:
            return ended.code
        return None

    return run


def test_commands_and_snippets_run_in_their_order(newcomer, call, monkeypatch):
    monkeypatch.chdir(newcomer)
    names, made = {}, []
    for language, text in BLOCKS:
        if language == "python":
            for old, new in REPLACED.items():
                text = text.replace(old, new)
            exec(text.replace("ENCODER", str(newcomer / "encoder")), names)
            continue
        for line in filter(None, (row.partition("  # ")[0].strip() for row in text.splitlines())):
            if any(line.startswith(known) for known in NOT_RUN):
                continue
            if "finetune-ctc" in line:
                add_transcripts(newcomer / "speech")
            ended = call(line)
            expected = next((v for k, v in ENDS_WITH.items() if k in line), None)
            assert (ended is None) if expected is None else (expected in str(ended)), (line, ended)
            made.append(line)
    lines = re.findall(r"^hf-rspin .*", README, re.MULTILINE)
    left = [line for line in lines if any(line.startswith(known) for known in NOT_RUN)]
    assert len(made) == len(lines) - len(left) >= 9
    assert torch.isfinite(names["output"].loss)
    assert names["result"].text().split() == [str(i) for i in names["result"].ids]
    for place in ("mixing/config.json", "elastic_2/elastic.json", "rspin_lora/merged/config.json",
                  "ctc_small/results.json", "rspin/checkpoint-2",
                  "spin_hubert_256/config.json", "evaluation/report.html"):  # fmt: skip
        assert (newcomer / "runs" / place).exists(), place


def add_transcripts(speech):
    """Write the column that CTC learns from."""
    rows = ["file_name,phones"]
    rows += [f"{file.name},AA B {'AA' if n % 2 else 'B'}" for n, file in enumerate(
        sorted(speech.glob("*.flac")))]  # fmt: skip
    (speech / "metadata.csv").write_text("\n".join(rows))


@pytest.fixture(scope="module")
def classes():
    """The dataclasses of options of every command with configs, by the beginning of its name."""
    found = {
        name: [getattr(import_module(module), part) for module, part in (
            place.split(":") for place in (*one.arguments, one.training_arguments))]
        for name, one in OBJECTIVES.items()
    }  # fmt: skip
    found["pretrain"] = found["masked_prediction"]
    found["distilhubert"] = found["distill"]
    found["pseudo"] = [CorpusArguments, PseudoLabelArguments]
    found["evaluate"] = [AnalysisArguments, ProbeArguments]
    found["align"] = [AlignArguments]
    found["demo"] = [DemoOptions]
    found["adapt"], found["units"] = [AdaptOptions], [UnitsOptions, FeaturesOptions]
    return found


CONFIGS = [name for name in config_names() if "/" not in name]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_option_of_a_config_exists_and_is_accepted(name, classes):
    kind = "rspin" if name.startswith("adapter") else re.split("[_.]", name)[0]
    kind = "rspin_laser" if name.startswith("rspin_laser") else kind
    files = [name]
    if name in ("adapter_lora.yaml", "adapter_read.yaml", "rspin_small_telephone.yaml"):
        files.insert(0, "rspin_small.yaml")
    parsed = parse_arguments(*classes[kind], arguments=files)
    assert any(getattr(part, "output_dir", "").startswith("runs/") for part in parsed)


def test_nothing_is_excused_that_is_not_there():
    budgets = [f"hf-rspin {key} " for key in BUDGETS]
    for text in (*NOT_RUN, *NOT_CHECKED, *budgets, *SMALLER, *ENDS_WITH, *REPLACED):
        assert text in README


def test_what_the_text_names_exists(classes):
    options = {f.name for parts in classes.values() for part in parts for f in fields(part)}
    of_all = {"--help", "--help_all", "--objective"}
    named = set(re.findall(r"--[a-z]\w*", PROSE)) - set(NOT_CHECKED) - of_all
    assert len(named) >= 10 and {name.removeprefix("--") for name in named} <= options
    for pattern in re.findall(r"[\w*/]+\.(?:yaml|py|md)\b", PROSE):
        places = (ROOT, ROOT / "docs", SCRIPTS, ROOT / "hf_rspin/configs")
        assert any(glob.glob(str(place / pattern)) for place in places), pattern
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    objectives = re.search(r"--objective ([\w|]+)", PROSE).group(1).split("|")
    assert set(objectives) <= set(classes)
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    parts = re.search(r"benchmark\.py ([\w|]+)", contributing)
    assert all((SCRIPTS / "benchmarks" / f"{part}.py").is_file() for part in parts[1].split("|"))
    for name in re.findall(r"\bhf_rspin\.(\w+)\(", PROSE):
        assert getattr(hf_rspin, name)
    assert {"load_encoder", "load_adapted"} <= set(re.findall(r"hf_rspin\.(\w+)", PROSE))
