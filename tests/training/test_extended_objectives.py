"""A second codebook, statistics of the views, LASER with noise and beside R-Spin, as they train."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import TrainerControl, TrainerState

from hf_rspin.adapters import load_adapted
from hf_rspin.audio import num_frames
from hf_rspin.data import load_corpus
from hf_rspin.models import LaserModel, RSpinLaserModel, RSpinModel
from hf_rspin.training.callbacks import CodebookCollapseCallback
from hf_rspin.units import FrameLabels

CONFIGS = Path(__file__).parents[2] / "hf_rspin" / "configs"
SHORT = ("--min_seconds", 0.3, "--max_seconds", 1, "--max_steps", 2, "--save_steps", 2,
         "--logging_steps", 1, "--use_cpu", "true")  # fmt: skip
NO_DROPOUT = json.dumps(
    {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0}
)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    samples = 0.1 * np.random.default_rng(0).normal(size=32_000)
    soundfile.write(folder / "n.wav", samples, 16_000)
    return folder


@pytest.fixture(scope="module")
def labels(audio, tmp_path_factory):
    corpus, generator = load_corpus(audio), np.random.default_rng(0)
    frames = (num_frames(round(16_000 * seconds)) for seconds in corpus["duration"])
    pairs = {
        key: generator.integers(0, 7, count)
        for key, count in zip(corpus["id"], frames, strict=True)
    }
    folder = tmp_path_factory.mktemp("labels") / "pieces"
    FrameLabels.from_sequences(pairs, 7).save(folder)
    return folder


def history_of(folder):
    return json.loads((folder / "history.json").read_text())


def test_r_spin_with_everything_that_can_be_added(
    main, tiny_encoder, audio, noise, labels, tmp_path
):
    folder = tmp_path / "run"
    main("train", "--objective", "rspin_laser", CONFIGS / "rspin_laser_small.yaml",
         "--encoder", tiny_encoder, "--corpus", audio, "--noise", noise, "--pseudo_labels", labels,
         "--codebook_size", 6, "--auxiliary_codebook_size", 9, "--auxiliary_codebook_weight", 0.5,
         "--variance_weight", 0.1, "--invariance_weight", 0.2, "--covariance_weight", 0.3,
         "--laser_weight", 0.05, "--batch_seconds", 4, "--encoder_config", NO_DROPOUT,
         "--bf16", "false", "--output_dir", folder, *SHORT)  # fmt: skip
    weights = {
        "spin_loss": 0.2, "auxiliary_loss": 5.0, "auxiliary_codebook_loss": 0.5, "variance": 0.1,
        "invariance": 0.2, "covariance": 0.3, "laser_loss": 0.05,
    }  # fmt: skip
    history = history_of(folder)
    assert len(history) == 2
    for entry in history:
        parts = sum(weight * entry[name] for name, weight in weights.items())
        assert entry["loss"] == pytest.approx(parts, rel=1e-4)
        laser = entry["soft_dtw_divergence"] + 0.4 * (entry["idm_clean"] + entry["idm_perturbed"])
        assert entry["laser_loss"] == pytest.approx(laser, rel=1e-4)
        assert 1 <= entry["code_perplexity"] <= 6 and 1 <= entry["auxiliary_code_perplexity"] <= 9
    model = RSpinLaserModel.from_pretrained(folder)
    assert model.config.loss_weights == weights and not model.config.untrained_heads
    card = (folder / "README.md").read_text()
    assert "with R-Spin-LASER: two noisy views" in card and ".units  #" in card


def test_both_codebooks_train_beside_an_adapter(main, tiny_encoder, audio, tmp_path):
    main("train_spin", "--encoder", tiny_encoder, "--corpus", audio, "--codebook_size", 6,
         "--auxiliary_codebook_size", 9, "--adapter", "lora", "--batch_seconds", 4,
         "--output_dir", tmp_path / "run", *SHORT)  # fmt: skip
    adapted = load_adapted(tmp_path / "run")
    assert adapted.get_base_model().auxiliary_codebook_head is not None
    merged = RSpinModel.from_pretrained(tmp_path / "run" / "merged")
    saved = adapted.state_dict()
    for head in ("spin_head", "auxiliary_codebook_head"):
        name = f"base_model.model.{head}.modules_to_save.default.codebook.weight"
        assert merged.state_dict()[f"{head}.codebook.weight"].equal(saved[name])


def test_laser_with_noise_as_shipped(main, tiny_encoder, audio, noise, tmp_path):
    folder = tmp_path / "run"
    main("train_laser", CONFIGS / "laser_noise_small.yaml", "--encoder", tiny_encoder,
         "--corpus", audio, "--noise", noise, "--output_dir", folder, *SHORT)  # fmt: skip
    assert all(entry["soft_dtw_divergence"] > 0 for entry in history_of(folder))
    config = LaserModel.from_pretrained(folder).config
    assert (config.hidden_dropout, config.attention_dropout) == (0.0, 0.0)


def test_laser_frame_by_frame_needs_one_speed(main, tiny_encoder, audio, noise, tmp_path):
    common = ["--encoder", tiny_encoder, "--corpus", audio, "--noise", noise, "--snrs", 10,
              "--alignment", "frames", "--gradient_accumulation_steps", 2, *SHORT]  # fmt: skip
    with pytest.raises(SystemExit, match=r"alignment frames .* speeds are \[0.9, 1.0, 1.1\]"):
        main("train_laser", *common, "--output_dir", tmp_path / "a")
    assert not (tmp_path / "a" / "config.json").exists()
    main("train_laser", *common, "--speeds", 1, "--semitones", 0, "--output_dir", tmp_path / "b")
    for entry in history_of(tmp_path / "b"):
        parts = entry["frame_distance"] + 0.4 * (entry["idm_clean"] + entry["idm_perturbed"])
        assert entry["loss"] == pytest.approx(parts, rel=1e-4)
        assert "soft_dtw_divergence" not in entry


def test_noise_is_asked_for(main, tiny_encoder, audio, labels, tmp_path):
    with pytest.raises(SystemExit, match="no noise was given"):
        main("train", "--objective", "rspin_laser", "--encoder", tiny_encoder, "--corpus", audio,
             "--pseudo_labels", labels, "--output_dir", tmp_path / "a", *SHORT)  # fmt: skip
    with pytest.raises(SystemExit, match="an SNR was given without noise"):
        main("train_laser", CONFIGS / "laser_noise_small.yaml", "--encoder", tiny_encoder,
             "--corpus", audio, "--output_dir", tmp_path / "b", *SHORT)  # fmt: skip
    assert not any(tmp_path.iterdir())


def feed(monitor, args, logs):
    for step, values in enumerate(logs, 1):
        names = ("code_perplexity", "auxiliary_code_perplexity")
        entry = dict(zip(names, values, strict=True))
        monitor.on_log(args, TrainerState(global_step=step), TrainerControl(), entry)


@pytest.mark.parametrize(
    ("logs", "message"),
    [
        ([(20, 200), (21, 210), (22, 90)], "The second codebook is collapsing: code perplexity is "
         "90.00 at update 3 (highest 210.00, 512 codes)"),
        ([(20, 200), (9, 210), (22, 220)], "The codebook is collapsing: code perplexity is 9.00 "
         "at update 2 (highest 20.00, 32 codes)"),
        ([(20, 200), (21, 210), (22, 220)], None),
    ],
)  # fmt: skip
def test_collapse_of_either_codebook_is_noticed(tiny, tmp_path, caplog, logs, message):
    args = tiny.tiny_arguments(tmp_path, collapse_grace_steps=1)
    monitor = CodebookCollapseCallback(32, 512)
    with caplog.at_level(logging.WARNING):
        feed(monitor, args, logs)
    found = [r.getMessage() for r in caplog.records if "collapsing" in r.getMessage()]
    assert len(found) == (message is not None)
    assert message is None or found[0].startswith(message)
    again = CodebookCollapseCallback(32, 512)
    again.restore(monitor.attributes())
    assert (again.peak, again.auxiliary_peak) == (monitor.peak, monitor.auxiliary_peak)


def test_a_checkpoint_of_before_has_no_second_peak():
    monitor = CodebookCollapseCallback(32)
    monitor.restore({"peak": 20.0})
    assert (monitor.peak, monitor.auxiliary_peak) == (20.0, 0.0)
