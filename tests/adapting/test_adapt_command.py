"""The command on recordings of every kind: planned, killed, gone on, refused, measured, loaded."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoModel, HubertModel

from hf_rspin.adapting import run as running
from hf_rspin.commands.adapt import main
from hf_rspin.data import load_corpus
from hf_rspin.demo.recordings import sample_utterances
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
    assert "similarity with your recordings as they are (CKA), unseen noise" in said
    assert "Too little to tell: measured on " in said and "also trained on" in said
    assert "(CKA), your noise |" in said and "(CKA), telephone |" in said and "made-up" not in said
    assert f'AutoModel.from_pretrained("{out / "model"}")' in said
    assert json.loads((out / "plan.json").read_text()) == plan
    _check_model(out / "model", encoder)
    _check_report(out)

    with pytest.raises(
        SystemExit, match=r"was made with --channel separate \(now left\): name"
    ):
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
                 "--objective rspin", "before", "Too little to tell: measured on",
                 "also trained on",
                 f"--output_dir {out / 'model_by_hand'}", "in all channels, -&gt;",
                 "frame of your recordings as they are"):  # fmt: skip
        assert text in page
    assert "clean speech" not in page and ">clean<" not in page
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
    one = tmp_path / "one"
    one.mkdir()
    speech, rate = soundfile.read(next(iter(sample_utterances().values())))
    soundfile.write(one / "only.wav", speech, rate)
    with pytest.raises(SystemExit, match="there is one stretch of speech in .* none to hold out"):
        main([str(one), *options()[1:]])
    assert not (tmp_path / "out" / "corpus").exists()


def test_places_that_are_not_there_are_told_before_anything_heavy(tmp_path):
    script = """if True:
        import sys
        from hf_rspin.commands.adapt import main
        try:
            main(sys.argv[1:])
        except SystemExit as stopped:
            heavy = {"torch", "datasets", "pandas", "scipy"} & set(sys.modules)
            print(stopped, sorted(heavy))
    """
    place = tmp_path / "my_cals"
    (tmp_path / "my_calls").mkdir()
    ran = subprocess.run([sys.executable, "-c", script, place], capture_output=True, text=True)
    assert f"{place} does not exist ({tmp_path} holds my_calls)" in ran.stdout, ran.stderr
    assert ran.stdout.endswith("[]\n")


def test_the_noise_is_looked_for_before_any_step_is_tried(options, tmp_path, monkeypatch):
    def tried(*_):
        raise AssertionError

    monkeypatch.setattr(running, "make_plan", tried)
    with pytest.raises(SystemExit, match=r"^--noise .*no_noise does not exist \(.* holds noise"):
        main(options("--noise", tmp_path / "no_noise"))
