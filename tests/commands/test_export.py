"""`hf-rspin export`: one file, what it says of it is true, and mistakes in one sentence."""

import os
import re
import sys

import pytest
import torch
from torch import nn
from transformers import BertConfig

from hf_rspin.audio import read_audio
from hf_rspin.commands import console
from hf_rspin.demo.recordings import sample_utterances
from hf_rspin.hub.onnx import LARGEST_FILE, check_size
from hf_rspin.models import RSpinHubertConfig, RSpinHubertModel
from hf_rspin.units import UnitTokenizer

from ..tiny import TINY


@pytest.fixture
def export(monkeypatch, capsys, tmp_path):
    """Run the command in a folder of its own; return what it prints, or what it ends with."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["hf-rspin", "export", *map(str, words)])
        try:
            console.main()
        except SystemExit as ended:
            return str(ended.code)
        return capsys.readouterr().out

    return run


def test_a_spin_model_runs_with_the_lines_that_the_command_prints(export, tmp_path):
    torch.manual_seed(0)
    config = RSpinHubertConfig(**TINY, projection_size=8, codebook_size=12)
    RSpinHubertModel(config).save_pretrained("spin")
    said = export("spin", "deep/in/spin.onnx")
    assert os.listdir("deep/in") == ["spin.onnx"]
    assert "takes input_values (batch, samples), float32, at 16000 Hz" in said
    assert "gives scores (batch, frames, 12), float32, at 50 frames per second" in said
    assert "gives units (batch, frames), int64, at 50 frames per second" in said
    difference = float(re.search(r"largest output: (\S+) \(allowed: 0.0001\)", said).group(1))
    assert 0 < difference < 1e-4
    code = "\n".join(line[4:] for line in said.split("Run it with:\n")[1].splitlines())
    speech = str(next(iter(sample_utterances().values())))
    assert len(code.splitlines()) == 3 and "speech.wav" in code
    names = {}
    exec(code.replace("speech.wav", speech), names)
    expected = UnitTokenizer.from_pretrained("spin")(read_audio(speech)).units
    assert names["rate"] == 16_000 and names["units"].shape == (1, len(expected))
    assert (names["units"][0] == expected).mean() > 0.99
    assert export("spin", "deep/in/spin.onnx") == (
        "deep/in/spin.onnx exists: name another file, or remove it first."
    )


def write_other(folder, config):
    folder.mkdir()
    if config is not None:
        config.save_pretrained(folder)


def test_mistakes_are_one_sentence_and_nothing_is_written(export, tmp_path, monkeypatch):
    write_other(tmp_path / "empty", None)
    write_other(tmp_path / "bert", BertConfig())
    (tmp_path / "file").write_text("")
    for words, message in (
        (["bundled"], "two arguments are needed, the encoder"),
        (["a.onnx", "bundled"], "got the output bundled; expected the name of a file ending in"),
        (["bundled", "file/a.onnx"], "file is a file, not a folder"),
        (["bundled", "a.onnx", "--units", "codes"], "units is 'codes'; expected one of auto, spin"),
        (["bundled", "a.onnx", "--unit", "spin"], "did you mean units"),
        (["nowhere", "a.onnx"], "nowhere is neither a folder nor a model of the Hub"),
        (["empty", "a.onnx"], "empty holds no config.json"),
        (["bert", "a.onnx"], "got a 'bert' model; expected an encoder of one of these types"),
        (["bundled", "a.onnx", "--units", "spin"], ""),
    ):
        said = export(*words)
        assert message in said and said.strip() and "\n" not in said, (words, said)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    said = export("bundled", "a.onnx")
    assert said == (
        "the export needs onnxscript, not installed here: pip install 'hf-rspin[onnx]'."
    )
    assert sorted(os.listdir()) == ["bert", "empty", "file"]


def test_weights_above_the_limit_of_a_file_are_refused():
    check_size(nn.Linear(10_000, 50_000, device="meta"))
    with pytest.raises(ValueError, match="take 2.4 GB, and an ONNX file holds at most 2.1 GB"):
        check_size(nn.Linear(10_000, 60_000, device="meta"))
    assert LARGEST_FILE < 2**31
