import logging
import shutil

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader
from transformers import AutoFeatureExtractor, TrainerCallback

from hf_rspin.audio import num_frames
from hf_rspin.models import RSpinHubertModel
from hf_rspin.training import TwoViewTrainer
from hf_rspin.training.schedule import learning_rate


class Unscaled(RSpinHubertModel):
    """The trap: with `**kwargs` in forward, `Trainer` takes the loss for already divided."""

    def forward(self, *args, **kwargs):
        assert "num_items_in_batch" not in kwargs
        return super().forward(*args, **kwargs)


class KeepGradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]


def gradients(tiny, audio, folder, accumulation):
    """Train one update on the same labelled micro-batch `accumulation` times."""
    torch.manual_seed(0)
    off = {"hidden_dropout": 0, "attention_dropout": 0, "feat_proj_dropout": 0}
    model = Unscaled(tiny.tiny_config(num_pseudo_labels=5, **off))
    keep, args = (
        KeepGradients(),
        tiny.tiny_arguments(
            folder,
            max_steps=1,
            gradient_accumulation_steps=accumulation,
            save_strategy="no",
            max_grad_norm=0,
        ),
    )

    class SameBatch(TwoViewTrainer):
        def get_train_dataloader(self):
            batch = next(iter(super().get_train_dataloader()))
            frames = num_frames(batch["input_values"].shape[1])
            batch["labels"] = torch.arange(int(frames)).remainder(5).repeat(len(batch["labels"]), 1)
            return DataLoader([batch] * accumulation, batch_size=1, collate_fn=copy_one)

    labels = NoLabels(audio)
    trainer = SameBatch(
        model, args, train_dataset=tiny.tiny_dataset(audio, frame_labels=labels), callbacks=[keep]
    )
    trainer.train()
    return keep.gradients, trainer.state.log_history[0]


def copy_one(items):
    return dict(items[0])


class NoLabels:
    """Frame labels whose batches `SameBatch` replaces."""

    num_labels = 5

    def __init__(self, folder):
        self.folder = folder

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        frames = num_frames(soundfile.info(self.folder / f"{key}.wav").frames)
        return np.arange(frames) % self.num_labels


def test_same_micro_batch_four_times_gives_the_gradient_of_one(tiny, audio, tmp_path):
    one, log_one = gradients(tiny, audio, tmp_path / "one", 1)
    four, log_four = gradients(tiny, audio, tmp_path / "four", 4)
    assert len(one) == len(four) > 0
    for expected, found in zip(one, four, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    for name in ("loss", "spin_loss", "auxiliary_loss", "accuracy", "code_perplexity"):
        assert log_four[name] == pytest.approx(log_one[name], rel=1e-5)
    assert log_four["processed_hours"] == pytest.approx(4 * log_one["processed_hours"])
    assert log_one["loss"] == pytest.approx(
        log_one["spin_loss"] + 5 * log_one["auxiliary_loss"], rel=1e-5
    )


@pytest.fixture(scope="module")
def short_run(tiny, audio, tmp_path_factory):
    """Seven updates with a log every three, in bfloat16, then an evaluation."""
    folder = tmp_path_factory.mktemp("run")
    args = tiny.tiny_arguments(folder, max_steps=7, logging_steps=3, save_steps=5, bf16=True)
    dataset = tiny.tiny_dataset(audio)
    trainer = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=dataset, eval_dataset=dataset)
    return trainer, trainer.train(), folder


def test_logs_hold_named_parts_at_logs_and_saves(short_run):
    trainer, _, _ = short_run
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["step"] for entry in logs] == [3, 5, 6, 7]
    for entry in logs:
        assert entry["loss"] == pytest.approx(entry["spin_loss"], rel=1e-5)
        assert 0 <= entry["accuracy"] <= 1
        assert 1 <= entry["code_perplexity"] <= 8
        assert 1 <= entry["probability_perplexity"] <= 8
        assert entry["learning_rate"] == pytest.approx(
            learning_rate(entry["step"] - 1, 1e-3, 1e-6, 3, 7)
        )


def test_processed_hours_count_every_crop_once(short_run):
    trainer, output, _ = short_run
    dataset = trainer.train_dataset
    batches = [
        b for epoch in range(2) for b in trainer.get_train_dataloader().batch_sampler.batches(epoch)
    ]
    seconds = sum(float(dataset.durations[batch].sum()) for batch in batches[:7])
    assert output.metrics["processed_hours"] == pytest.approx(seconds / 3600, rel=1e-3)
    assert output.metrics["skipped_files"] == 0


def test_feature_extractor_is_saved_beside_every_model(short_run):
    trainer, _, folder = short_run
    trainer.save_model()
    for place in (folder, folder / "checkpoint-5", folder / "checkpoint-7"):
        extractor = AutoFeatureExtractor.from_pretrained(place)
        assert extractor.do_normalize is False  # group norm front end: raw waveforms
        assert extractor.sampling_rate == 16_000
        assert not RSpinHubertModel.from_pretrained(place).config.untrained_heads


def test_evaluation_is_repeatable_and_leaves_training_mode(short_run):
    trainer, _, _ = short_run
    trainer.model.train()
    first, second = trainer.evaluate(), trainer.evaluate()
    assert first == second
    assert first["eval_loss"] == pytest.approx(first["eval_spin_loss"], rel=1e-5)
    assert trainer.model.training


def test_plain_adam_over_all_that_trains(short_run):
    optimizer = short_run[0].optimizer.optimizer
    assert type(optimizer) is torch.optim.Adam
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-6]


def test_large_models_get_normalised_waveforms(tiny, audio, tmp_path):
    model = RSpinHubertModel(tiny.tiny_config(feat_extract_norm="layer"))
    trainer = TwoViewTrainer(
        model, tiny.tiny_arguments(tmp_path), train_dataset=tiny.tiny_dataset(audio)
    )
    batch = next(iter(trainer.get_train_dataloader()))
    row, mask = batch["input_values"][0], batch["attention_mask"][0].bool()
    assert trainer.processing_class.do_normalize
    assert row[mask].std().item() == pytest.approx(1.0, abs=0.01)
    assert (row[~mask] == 0).all()


def test_a_file_that_goes_bad_is_skipped_once_warned_and_counted(tiny, audio, tmp_path, caplog):
    caplog.set_level(logging.INFO, "hf_rspin")
    copy = tmp_path / "audio"
    shutil.copytree(audio, copy)
    dataset = tiny.tiny_dataset(copy)
    (copy / "u05.wav").write_bytes(b"damaged")
    args = tiny.tiny_arguments(tmp_path / "run", max_steps=12, save_strategy="no")
    trainer = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=dataset)
    output = trainer.train()
    assert trainer.state.epoch >= 2
    assert output.metrics["skipped_files"] == 1
    assert sum("u05.wav" in r.message for r in caplog.records if r.levelname == "WARNING") == 1
    (summary,) = [r.message for r in caplog.records if "updates on" in r.message]
    assert summary.startswith("12 updates on 0.0")
    assert summary.endswith(f"1 skipped: {copy / 'u05.wav'}.")


def test_files_left_out_before_training_are_in_the_count(tiny, audio, tmp_path):
    dataset = tiny.tiny_dataset(audio, min_seconds=0.8)
    assert dataset.num_too_short > 0
    args = tiny.tiny_arguments(tmp_path / "run", max_steps=1, save_strategy="no")
    output = TwoViewTrainer(tiny.tiny_model(), args, train_dataset=dataset).train()
    assert output.metrics["skipped_files"] == dataset.num_too_short
