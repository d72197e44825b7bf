"""The command on recordings of every kind: planned, killed, gone on, refused, measured, loaded."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModel, HubertModel

from hf_rspin.adapting import run as running
from hf_rspin.commands.adapt import main
from hf_rspin.data import load_corpus
from hf_rspin.units import FrameLabels


@pytest.fixture
def options(recordings, encoder, tmp_path):
    noise = tmp_path / "noise"
    noise.mkdir()
    samples = 0.1 * np.random.default_rng(0).standard_normal(32_000)
    soundfile.write(noise / "one.wav", samples, 16_000)

    def build(*more):
        return [str(recordings), "--encoder", str(encoder), "--channel", "separate",
                "--max_steps", "2", "--batch_seconds", "3", "--num_clusters", "12",
                "--vocab_size", "20", "--device", "cpu", "--noise", str(noise),
                "--output_dir", str(tmp_path / "out"), *map(str, more)]  # fmt: skip

    return build


def test_recordings_become_an_adapted_encoder(options, tmp_path, capsys, monkeypatch, encoder):
    out = tmp_path / "out"
    main(options("--plan_only", "true"))
    said = capsys.readouterr().out
    assert "6 recordings" in said and "8000 Hz" in said and "2 stereo" not in said
    assert "rspin_small.yaml + rspin_small_telephone.yaml" in said and "telephone coding on" in said
    for word in ("cut", "labels", "train", "measure", "together", "time: measured in"):
        assert word in said
    assert sorted(path.name for path in out.iterdir()) == [".lock", "plan.json", "provenance.json"]
    plan = json.loads((out / "plan.json").read_text())
    assert all(step["seconds"] > 0 and step["memory"] > 1e8 for step in plan["steps"])

    train = running.run_training

    def killed(trainer):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_training", killed)
    with pytest.raises(SystemExit) as stopped:
        main(options())
    assert stopped.value.code == 130
    labels = FrameLabels.load(out / "labels" / "pieces")
    assert set(labels) == set(load_corpus(out / "corpus", "train")["id"])
    monkeypatch.setattr(running, "run_training", train)
    capsys.readouterr()
    main(options())
    said = capsys.readouterr().out
    assert "cut (done)" in said and "[1/4] cut: done before" in said and "[3/4] train" in said
    assert "similarity with clean speech (CKA), unseen noise" in said and "CKA 0." in said
    assert f'AutoModel.from_pretrained("{out / "model"}")' in said
    assert json.loads((out / "plan.json").read_text()) == plan
    _check_model(out / "model", encoder)
    _check_report(out)

    with pytest.raises(SystemExit, match=r"holds corpus made from channel separate \(now left\)"):
        main(options("--channel", "left"))
    written = (out / "report.html").stat().st_mtime_ns
    main(options())
    said = capsys.readouterr().out
    assert "[4/4] measure: done before" in said and "unseen noise" in said
    assert (out / "report.html").stat().st_mtime_ns == written


def _check_model(folder, encoder):
    model, before = AutoModel.from_pretrained(folder), HubertModel.from_pretrained(encoder)
    states = model(torch.zeros(1, 16_000)).last_hidden_state
    assert states.shape == (1, 49, 32)
    moved = [not torch.equal(a, b) for a, b in
             zip(model.parameters(), before.parameters(), strict=True)]  # fmt: skip
    assert any(moved)
    assert not list(folder.glob("checkpoint-*"))


def _check_report(out):
    page = (out / "report.html").read_text()
    for text in ("Before and after", "What ran", "broken.wav", "silent.wav", "Load the adapted",
                 "--objective rspin", "before"):  # fmt: skip
        assert text in page
    assert page.count("data:image/svg") >= 2
    lines = (out / "results.csv").read_text()
    assert "unit_agreement" in lines and "cka_debiased" in lines


def test_mistakes_are_said_in_one_sentence(options, recordings, tmp_path, capsys):
    for more, message in (
        (["--encoder", tmp_path / "gone"], "gone is neither a folder|gone holds|gone "),
        (["--channel", "middle"], "--channel is 'middle'; expected mix, left, right, separate"),
        (["--telephone", "maybe"], "--telephone is 'maybe'; expected auto, true or false"),
        (["--hours", "0"], "--hours is 0.0; expected more than 0"),
        (["--layer", "9"], "--layer is 9; this encoder has layers 0 to 3"),
        (["--device", "tpu"], "the device 'tpu' cannot be used"),
        (["--noise", tmp_path / "no_noise"], "no_noise does not exist"),
    ):
        with pytest.raises(SystemExit, match=message):
            main(options(*more))
    with pytest.raises(SystemExit, match="no recordings were given"):
        main([])
    silent = tmp_path / "silent"
    silent.mkdir()
    shutil.copy(recordings / "silent.wav", silent)
    with pytest.raises(SystemExit, match="there is nothing to hear in"):
        main([str(silent), *options()[1:]])
    assert not (tmp_path / "out" / "corpus").exists()
