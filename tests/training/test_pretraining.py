"""Pre-training: masks, batches, and that a run that was killed goes on exactly."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import HubertModel

from hf_rspin.audio import num_frames
from hf_rspin.commands import train
from hf_rspin.training.pretraining import PretrainingBatches, draw_mask

TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0,
    "activation_dropout": 0.0,
}  # fmt: skip


def corpus(number=12, seed=0):
    generator = np.random.default_rng(seed)
    waveforms = [
        (3000 * generator.normal(size=generator.integers(17000, 80000))).astype(np.int16)
        for _ in range(number)
    ]
    return waveforms, [np.arange(num_frames(len(w))) for w in waveforms]


def test_half_of_the_frames_are_masked_in_spans_of_ten():
    mask = draw_mask(200, 150, np.random.default_rng(0))
    assert 0.45 < mask.mean() < 0.6
    for row in mask:
        runs = np.diff(np.flatnonzero(np.diff(np.r_[0, row, 0])))[::2]
        assert (runs >= 10).all()
    assert draw_mask(2, 5, np.random.default_rng(0)).all()


def test_labels_follow_their_crops():
    waveforms, labels = corpus()
    # Every sample holds the number of its frame shift, so a crop shows where it began.
    waveforms = [(np.arange(len(w)) // 320).astype(np.int16) for w in waveforms]
    batches = PretrainingBatches(waveforms, labels, 40, batch_seconds=8)
    for update in range(40):
        batch = batches[update]
        first = (batch["input_values"][:, 0] * 32768).round().long()
        assert torch.equal(batch["labels"][:, 0], first)
        assert batch["labels"].shape == batch["mask_time_indices"].shape
        assert num_frames(batch["input_values"].shape[1]) == batch["labels"].shape[1]
        assert batch["input_values"].numel() <= 8 * 16000


def test_batches_depend_on_seed_and_update_alone():
    forwards = PretrainingBatches(*corpus(), 30, batch_seconds=8, seed=1)
    jumping = PretrainingBatches(*corpus(), 30, batch_seconds=8, seed=1)
    other = PretrainingBatches(*corpus(), 30, batch_seconds=8, seed=2)
    expected = [forwards[i] for i in range(30)]
    for i in (29, 3, 17, 3):
        for key, value in jumping[i].items():
            assert torch.equal(value, expected[i][key])
    assert any(not torch.equal(other[i]["labels"], expected[i]["labels"]) for i in range(5))


def test_wrong_label_lengths_are_refused():
    waveforms, labels = corpus(2)
    with pytest.raises(ValueError, match="utterance 1 has"):
        PretrainingBatches(waveforms, [labels[0], labels[1][:-1]], 1)


def test_waveforms_are_normalised_where_the_encoder_reads_them_so():
    given = corpus(4)
    plain = PretrainingBatches(*given, 4, batch_seconds=8)
    normal = PretrainingBatches(*given, 4, batch_seconds=8, do_normalize=True)
    for update in range(4):
        raw, found = (one[update]["input_values"] for one in (plain, normal))
        wanted = (raw - raw.mean(1, keepdim=True)) / raw.std(1, correction=0, keepdim=True)
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
        assert abs(raw.std() - 1) > 0.5
        assert torch.equal(plain[update]["labels"], normal[update]["labels"])


def command(folder, corpus_folder, steps=12):
    script = Path(__file__).parents[2] / "training_scripts" / "pretrain_hubert.py"
    import json

    return [
        sys.executable, str(script), "--output_dir", str(folder), "--corpora", str(corpus_folder),
        "--encoder", json.dumps(TINY), "--num_clusters", "8", "--max_steps", str(steps),
        "--batch_seconds", "4", "--crop_seconds", "1.5", "--per_device_train_batch_size", "1",
        "--use_cpu", "true", "--remove_unused_columns", "false", "--logging_steps", "1",
        "--save_steps", "2", "--save_total_limit", "2", "--learning_rate", "1e-3",
        "--report_to", "none",
    ]  # fmt: skip


def test_a_killed_run_goes_on_exactly(tmp_path):
    speech = tmp_path / "speech"
    speech.mkdir()
    generator = np.random.default_rng(0)
    for i in range(6):
        soundfile.write(speech / f"{i}.wav", 0.1 * generator.normal(size=30000), 16000)
    (speech / "broken.wav").write_bytes(b"RIFF")
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    train.main(command(tmp_path / "whole", speech)[2:], "masked_prediction")
    process = subprocess.Popen(
        command(tmp_path / "killed", speech), env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / "checkpoint-4" / "trainer_state.json").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "encoder").exists()
    resumed = subprocess.run(
        command(tmp_path / "killed", speech), env=environment, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    first = HubertModel.from_pretrained(tmp_path / "whole" / "encoder")
    second = HubertModel.from_pretrained(tmp_path / "killed" / "encoder")
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)

    # The next iteration: clusters of a layer, the encoder that was saved, new heads.
    following = command(tmp_path / "second", speech, steps=2) + [
        "--teacher", str(tmp_path / "whole" / "encoder"), "--teacher_layer", "1",
        "--initial_model", str(tmp_path / "whole" / "encoder"),
        "--num_clusters", "5", "--mask_span", "4", "--mask_start", "0.15",
    ]  # fmt: skip
    train.main(following[2:], "masked_prediction")
    labels = np.load(tmp_path / "second" / "labels.npz")["labels"]
    assert len(np.unique(labels)) == 5
    moved = HubertModel.from_pretrained(tmp_path / "second" / "encoder").state_dict()
    # It started there: two small steps away, not a fresh draw.
    weight = "encoder.layers.0.feed_forward.output_dense.weight"
    distance = (moved[weight] - first.state_dict()[weight]).abs().max()
    assert 0 < distance < 0.01

    # Labels of another number of clusters are not taken for those that are asked for.
    other = command(tmp_path / "whole", speech) + ["--num_clusters", "7"]
    refused = subprocess.run(other, env=environment, capture_output=True, text=True)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert "labels.npz made from num_clusters 8 (now 7)" in refused.stderr
