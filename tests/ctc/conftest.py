"""A tiny encoder, and "speech" in which every phone is a tone: learned in seconds."""

import csv
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertConfig, HubertModel

from hf_rspin.training.filterbank import start_as_filterbank

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "training_scripts" / "finetune_ctc.py"
RATE = 16_000
TONES = {"AA": 300, "B": 520, "CH": 900, "D": 1500}  # Hz
LETTERS = {"AA": "a", "B": "É", "CH": "n", "D": ", "}  # of the column `text`
ENCODER = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128,
    "conv_dim": (64, 64, 64), "conv_kernel": (160, 16, 1), "conv_stride": (16, 20, 1),
    "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "hidden_dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "feat_proj_dropout": 0.0, "final_dropout": 0.0, "layerdrop": 0.0,
}  # fmt: skip


def say(phones, generator):
    """Return the waveform of some tones, 0.15 s each, with pauses and a little noise."""
    time = np.arange(2400) / RATE
    envelope = 0.3 * np.sin(np.pi * np.arange(2400) / 2400)
    parts = [np.zeros(800)]
    for phone in phones:
        parts += [envelope * np.sin(2 * np.pi * TONES[phone] * time), np.zeros(800)]
    waveform = np.concatenate(parts)
    return waveform + 0.003 * generator.standard_normal(len(waveform))


def write_corpus(folder, num_train=20, num_dev=4, **columns):
    """Write tones with the columns id, split, speaker, phones and `columns`, functions of a row."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(num_train + num_dev):
        phones = [str(name) for name in generator.choice(["AA", "B", "CH"], 4 + number % 3)]
        phones[generator.integers(1, len(phones) - 1)] = "D"  # between the words of `text`
        name = f"u{number:02d}"
        soundfile.write(folder / f"{name}.wav", say(phones, generator), RATE)
        row = {
            "file_name": f"{name}.wav", "id": name, "speaker": f"s{number % 10}",
            "split": "train" if number < num_train else "dev", "phones": " ".join(phones),
        }  # fmt: skip
        rows.append(row | {key: function(row) for key, function in columns.items()})
    write_table(folder, rows)
    return folder


def write_table(folder, rows):
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def as_text(row):
    return "".join(LETTERS[phone] for phone in row["phones"].split()) + "!"


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """A corpus of tones with the columns phones and text."""
    return write_corpus(tmp_path_factory.mktemp("tones"), text=as_text)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    """The folder of a plain HuBERT whose front end is a filter bank."""
    torch.manual_seed(0)
    model = HubertModel(HubertConfig(**ENCODER))
    start_as_filterbank(model, torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("encoder")
    model.save_pretrained(folder)
    return folder


def call_main(*arguments):
    """Call the script in this process."""
    spec = importlib.util.spec_from_file_location("finetune_ctc", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        patch.setattr(sys, "argv", ["finetune_ctc", *map(str, arguments)])
        spec.loader.exec_module(module)
        module.main()


def script_environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run_code(*arguments, code):
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=script_environment(), capture_output=True, text=True,
    )  # fmt: skip
