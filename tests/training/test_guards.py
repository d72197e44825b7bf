"""What would ruin a run or teach nothing is refused before the first step, or stops it."""

import logging

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_rspin.adapters import AdapterArguments, add_lora
from hf_rspin.adapters.gradients import AdapterGradientError
from hf_rspin.data.checks import ConfigurationError
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.training.schedule import adam_of_everything
from hf_rspin.units import FrameLabels


class PoisonGradient(TrainerCallback):
    """Puts a NaN into one gradient of the second update; the loss stays finite."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        def poison(gradient):
            return torch.full_like(gradient, torch.nan) if state.global_step == 1 else gradient

        model.spin_head.codebook.weight.register_hook(poison)


@pytest.fixture
def make(tiny, audio, tmp_path):
    def trainer(model=None, data=None, callbacks=(), eval_dataset=None, **options):
        args = tiny.tiny_arguments(tmp_path / "run", **{"max_steps": 3, **options})
        dataset = tiny.tiny_dataset(audio, **(data or {}))
        model = tiny.tiny_model() if model is None else model
        return TwoViewTrainer(model, args, dataset, eval_dataset, callbacks=list(callbacks))

    return trainer


def test_a_gradient_that_is_nan_stops_the_run(make, tmp_path):
    trainer = make(callbacks=[PoisonGradient()], save_steps=1)
    with pytest.raises(FloatingPointError, match="gradient is not finite at update 2"):
        trainer.train()
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters())
    assert not (tmp_path / "run" / "checkpoint-2").exists()


def test_a_weight_that_is_nan_is_named(make, tiny):
    model = tiny.tiny_model()
    with torch.no_grad():
        model.hubert.encoder.layers[1].layer_norm.weight[3] = torch.nan
    with pytest.raises(
        ConfigurationError, match=r"layers.1.layer_norm.weight holds NaN or infinity"
    ):
        make(model).train()


@pytest.mark.parametrize("labels", [[0] * 99, [4] * 99])
def test_labels_of_one_class_are_refused(make, tiny, labels):
    trainer = make(tiny.tiny_model(num_pseudo_labels=5))
    dataset = trainer.train_dataset
    frames = [int((s * 16_000 - 400) // 320) + 1 for s in dataset.full_durations]
    pairs = zip(map(str, dataset.corpus["id"]), frames, strict=True)
    dataset.frame_labels = FrameLabels.from_sequences({k: labels[:n] for k, n in pairs}, 5)
    with pytest.raises(ConfigurationError, match="All pseudo-labels are the same class"):
        trainer.train()


def test_layers_above_the_loss_alone_train_nothing(make, tiny):
    model = tiny.tiny_model(spin_layer=1)
    with pytest.raises(
        ConfigurationError, match="No parameter of the encoder trains that the loss"
    ):
        make(model, num_trainable_layers=1).train()


def test_an_adapter_of_which_a_part_gets_no_gradient_is_refused(make, tiny):
    model = add_lora(tiny.tiny_model(spin_layer=2), layers=[1, 2], heads=["spin_head"])
    message = "8 of the 16 trainable tensors of the LORA adapter, such as .*layers.2.*, got no grad"
    with pytest.raises(AdapterGradientError, match=message):
        make(model).train()


def test_scripts_adapt_only_what_the_loss_reads(make, tiny):
    model = AdapterArguments("lora").wrap(tiny.tiny_model(spin_layer=2))
    assert make(model, max_steps=1, save_strategy="no").train().global_step == 1
    with pytest.raises(ValueError, match="the loss reads layer 1 of 3"):
        AdapterArguments("lora").wrap(tiny.tiny_model(spin_layer=1), num_trainable_layers=1)


def test_flags_without_effect_are_named(make, caplog):
    with caplog.at_level(logging.WARNING):
        make(max_steps=1, save_strategy="no").train()
    assert "Without effect" not in caplog.text
    options = {"per_device_train_batch_size": 3, "optim": "adagrad", "dataloader_drop_last": True}
    with caplog.at_level(logging.WARNING):
        make(max_steps=1, save_strategy="no", **options).train()
    for name in ("per_device_train_batch_size", "dataloader_drop_last", "optim (use_adam is true)"):
        assert name in caplog.text


def test_evaluation_data_is_looked_at_before_the_first_step(make, tiny, audio, tmp_path):
    trainer = make(eval_dataset=[1, 2], eval_strategy="steps")
    with pytest.raises(
        ConfigurationError, match="eval_dataset is a list; expected a TwoViewDataset"
    ):
        trainer.train()
    trainer = make(eval_dataset=tiny.tiny_dataset(audio), eval_strategy="steps")
    trainer.eval_dataset = None
    with pytest.raises(ConfigurationError, match="but there is no eval_dataset"):
        trainer.train()


def test_masks_longer_than_a_clip_are_refused(make, tiny):
    model = tiny.tiny_model(apply_spec_augment=True, mask_time_prob=0.2, mask_time_length=40)
    with pytest.raises(
        ConfigurationError, match="masks 40 frames at a time, but the shortest .* has"
    ):
        make(model).train()


def test_gradients_are_clipped_at_ten_by_default(tmp_path):
    assert TwoViewTrainingArguments(output_dir=str(tmp_path), use_cpu=True).max_grad_norm == 10


def test_evaluation_data_keeps_its_order(make, tiny, audio):
    trainer = make(eval_dataset=tiny.tiny_dataset(audio))
    orders = []
    for epoch in (0, 3):
        loader = trainer.get_eval_dataloader()
        loader.set_epoch(epoch)
        orders.append([index for batch in loader.batch_sampler for _, index in batch])
    assert (
        orders[0] == orders[1] == np.argsort(trainer.eval_dataset.durations, kind="stable").tolist()
    )


def test_the_peak_of_the_codebook_is_that_of_the_whole_run(make):
    options = {"collapse_grace_steps": 0, "save_steps": 2}
    whole = make(**options)
    whole.train()
    whole.collapse_callback.peak = 99.0
    resumed = make(max_steps=4, **{**options, "save_steps": 4})
    resumed.train(resume_from_checkpoint=True)
    logs = [log["code_perplexity"] for log in resumed.state.log_history if "loss" in log]
    assert len(logs) == 4 and resumed.collapse_callback.peak == max(logs)
    again = make(max_steps=5, **options)
    file = f"{again.args.output_dir}/checkpoint-4/trainer_state.json"
    text = open(file).read()
    assert f'"peak": {max(logs)}' in text
    open(file, "w").write(text.replace(f'"peak": {max(logs)}', '"peak": 50.0'))
    again.train(resume_from_checkpoint=True)
    assert again.collapse_callback.peak == 50.0


def test_logs_carry_their_step_first(make, capsys):
    make(max_steps=2, save_strategy="no").train()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line.split(",")[0] for line in lines] == ["{'step': 1", "{'step': 2", "{'step': 2"]


def test_the_fused_optimiser_makes_the_same_updates(make):
    trainer = make()
    torch.manual_seed(0)
    start = [torch.randn(40, 30), torch.randn(30)]
    found = []
    for fused in (False, True):
        module = torch.nn.ParameterList([value.clone() for value in start])
        kind, options = adam_of_everything(module, trainer.args)
        assert options["fused"] is True
        optimizer = kind(options.pop("params"), **{**options, "fused": fused})
        generator = torch.Generator().manual_seed(1)
        for _ in range(100):
            for parameter in module:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        found.append([parameter.detach() for parameter in module])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
