import logging

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import TrainerCallback, TrainerControl, TrainerState

from hf_rspin.data.checks import ConfigurationError
from hf_rspin.models import LaserModel
from hf_rspin.training import LaserTrainer, LaserTrainingArguments, RepresentationCollapseCallback
from hf_rspin.training.callbacks import LossCheck
from hf_rspin.training.model_arguments import LaserModelArguments
from hf_rspin.training.view_arguments import LaserViewArguments
from hf_rspin.views import LaserViews, NoiseBank, SpinViews, ViewNoise


class KeepGradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.fixture(scope="module")
def run(tiny_laser, audio, tmp_path_factory):
    """Six updates of 4 x 1 pairs, the top layer trains."""
    model = tiny_laser.laser_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    args = tiny_laser.laser_arguments(
        tmp_path_factory.mktemp("laser"), max_steps=6, warmup_steps=2, save_strategy="no"
    )
    dataset = tiny_laser.laser_dataset(audio)
    trainer = LaserTrainer(model, args, dataset, eval_dataset=dataset)
    trainer.train()
    return trainer, before


def test_published_optimisation(tmp_path):
    args = LaserTrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    assert (args.max_steps, args.warmup_steps, args.learning_rate) == (3600, 1000, 2e-5)
    assert (args.adam_epsilon, args.weight_decay, args.max_grad_norm) == (1e-7, 0.0, 1.0)
    assert (args.adam_beta1, args.adam_beta2) == (0.9, 0.999)
    assert (args.pairs_per_batch, args.gradient_accumulation_steps) == (1, 8)
    assert args.num_trainable_layers == 2 and not args.train_encoder_norm


def test_only_the_top_layer_and_the_projection_move_by_adamw(run):
    trainer, before = run
    moved = {n for n, p in trainer.model.named_parameters() if not p.equal(before[n])}
    assert moved and all("layers.2." in name or "laser_head" in name for name in moved)
    optimizer = trainer.optimizer.optimizer
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["eps"] for group in optimizer.param_groups} == {1e-7}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}


def test_schedule_is_linear_from_zero_and_to_zero(run):
    logs = [entry for entry in run[0].state.log_history if "loss" in entry]
    rates = [entry["learning_rate"] for entry in logs]
    # Trainer logs the rate that the update used
    assert rates == pytest.approx([0.0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert run[0].lr_scheduler.get_last_lr()[0] == 0.0


def test_logs_hold_the_parts_and_the_collapse_monitor(run):
    trainer, _ = run
    for entry in (entry for entry in trainer.state.log_history if "loss" in entry):
        parts = entry["soft_dtw_divergence"] + 0.4 * (entry["idm_clean"] + entry["idm_perturbed"])
        assert entry["loss"] == pytest.approx(parts, rel=1e-4)
        assert -1 <= entry["frame_cosine"] <= 1 and 0 <= entry["frame_cosine_spread"] <= 1
    assert trainer.evaluate() == trainer.evaluate()


def test_same_pair_four_times_gives_the_gradient_of_one(tiny_laser, audio, tmp_path):
    found = []
    for count in (1, 4):
        off = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0}
        keep, model = KeepGradients(), tiny_laser.laser_model(**off)
        args = tiny_laser.laser_arguments(
            tmp_path / str(count), max_steps=1, gradient_accumulation_steps=count,
            save_strategy="no", max_grad_norm=0,
        )  # fmt: skip

        class SamePair(LaserTrainer):
            def get_train_dataloader(self):
                batch = next(iter(super().get_train_dataloader()))
                return [dict(batch) for _ in range(self.args.gradient_accumulation_steps)]

        SamePair(model, args, tiny_laser.laser_dataset(audio), callbacks=[keep]).train()
        found.append(keep.gradients)
    for one, four in zip(*found, strict=True):
        torch.testing.assert_close(four, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("pairs", "bf16"), [(1, False), (0, False), (1, True)])
def test_a_cache_gives_the_same_losses(tiny_laser, tiny_encoder, audio, tmp_path, pairs, bf16):
    losses, caches = [], (None, str(tmp_path / "cache"), str(tmp_path / "cache"))
    for number, cache in enumerate(caches):
        trainer = tiny_laser.laser_trainer(
            audio, tmp_path / str(number), tiny_encoder, "laser", max_steps=8,
            pairs_per_batch=pairs, gradient_accumulation_steps=4 if pairs else 1,
            lower_states_cache=cache, save_strategy="no", bf16=bf16,
        )  # fmt: skip
        trainer.train()
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        losses.append([entry["loss"] for entry in logs])
    assert trainer.cache.misses == 0 < trainer.cache.hits
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[2] == pytest.approx(losses[0], rel=1e-5)


def test_a_cache_of_other_layers_is_refused(tiny_laser, tiny_encoder, audio, tmp_path):
    def build(**options):
        options = {"save_strategy": "no", "max_steps": 1} | options
        cache = str(tmp_path / "cache")
        return tiny_laser.laser_trainer(
            audio, tmp_path / "x", tiny_encoder, "laser", lower_states_cache=cache, **options
        )

    trainer = build()
    trainer.train()
    file = next((tmp_path / "cache" / "states").rglob("*.safetensors"))
    with pytest.raises(ValueError, match=r"made from layers 2 \(now 1\), weights"):
        build(num_trainable_layers=2)
    for damaged in (tmp_path / "cache" / "states").rglob("*.safetensors"):
        damaged.write_bytes(b"torn")
    again = build(overwrite_output_dir=True)
    again.train()
    assert again.cache.hits == 0 < again.cache.misses
    assert file.stat().st_size > 100
    size = sum(f.stat().st_size for f in (tmp_path / "cache").rglob("*.safetensors"))
    small = build(cache_gigabytes=(size + 100) / 1e9, seed=9, overwrite_output_dir=True)
    small.train()
    assert small.cache.misses > 0 and small.cache.num_bytes == size


def test_settings_that_do_not_go_together_are_refused(tmp_path):
    for options, message in (
        ({"lower_states_cache": "x", "train_encoder_norm": True}, "frozen and deterministic"),
        ({"lower_states_cache": "x", "num_trainable_layers": -1}, "frozen and deterministic"),
        ({"collapse_cosine": 1.5}, "collapse_cosine is 1.5"),
        ({"pairs_per_batch": -1}, "pairs_per_batch is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            LaserTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)


def test_runs_that_cannot_work_are_refused(tiny_laser, audio, tmp_path):
    dataset = tiny_laser.laser_dataset(audio)

    def train(views, **options):
        dataset.views = views
        args = tiny_laser.laser_arguments(tmp_path, **options)
        LaserTrainer(tiny_laser.laser_model(), args, dataset).train()

    with pytest.raises(ConfigurationError, match="views of train_dataset are not LaserViews"):
        train(SpinViews())
    with pytest.raises(ConfigurationError, match="No parameter of the encoder trains"):
        train(LaserViews(), num_trainable_layers=0)
    dataset.durations[0] = 0.055
    with pytest.raises(
        ConfigurationError, match="0.055 s has no frame at speed 1.2.* 0.06 or more"
    ):
        train(LaserViews((1.0, 1.2)))
    dataset.durations[0] = 1.0
    noise = ViewNoise(NoiseBank([torch.randn(16_000).numpy()]), snrs_db=[5.0], both_views=True)
    with pytest.raises(ConfigurationError, match="the first view gets noise"):
        train(LaserViews(noise=noise), lower_states_cache=str(tmp_path / "cache"))


@pytest.fixture
def feed(tiny_laser, tmp_path):
    def call(cosines, spreads, **options):
        args = tiny_laser.laser_arguments(tmp_path, **{"collapse_grace_steps": 2, **options})
        monitor, control = RepresentationCollapseCallback(), TrainerControl()
        for step, (cosine, spread) in enumerate(zip(cosines, spreads, strict=True), 1):
            logs = {"loss": 1.0, "frame_cosine": cosine, "frame_cosine_spread": spread}
            monitor.on_log(args, TrainerState(global_step=step), control, logs)
        return control

    return call


def warnings(caplog):
    return [r for r in caplog.records if r.levelno == logging.WARNING and "collaps" in r.message]


def test_frames_that_become_alike_warn_once_and_stop_when_asked(feed, caplog):
    feed([0.99, 0.5, 0.6], [0.2, 0.2, 0.2], stop_on_collapse=True)  # the first is not looked at
    assert not warnings(caplog)
    assert not feed([0.5, 0.96, 0.97], [0.2, 0.1, 0.1]).should_training_stop
    assert len(warnings(caplog)) == 1 and "0.9600" in warnings(caplog)[0].message
    assert feed([0.5, 0.96], [0.2, 0.1], stop_on_collapse=True).should_training_stop
    assert feed([0.5, 0.0], [0.2, 0.005], stop_on_collapse=True).should_training_stop
    assert not feed([1.0] * 3, [0.0] * 3, collapse_cosine=1.0, collapse_spread=0.0,
                    stop_on_collapse=True).should_training_stop  # fmt: skip
    with pytest.raises(FloatingPointError, match="nan at update 1"):
        LossCheck().on_log(
            None, TrainerState(global_step=1), TrainerControl(), {"loss": float("nan")}
        )


def test_methods_of_the_command_line(tiny_encoder, tmp_path):
    laser = LaserModelArguments(str(tiny_encoder), idm_margin=0.9).build()
    assert (laser.config.idm_weight, laser.config.idm_margin) == (0.4, 0.9)
    score = LaserModelArguments(str(tiny_encoder), method="score").build()
    assert score.config.frozen_teacher and score.config.idm_weight == 0
    score.save_pretrained(tmp_path)
    again = LaserModelArguments(str(tmp_path)).build()
    assert isinstance(again, LaserModel) and again.config.idm_weight == 0.4
    assert not again.config.frozen_teacher and not again.config.length_normalization
    with pytest.raises(ValueError, match="method is 'core'; expected laser or score"):
        LaserModelArguments(method="core")
    with pytest.raises(ValueError, match="codebook_size, which is no field of LaserHubertConfig"):
        LaserModelArguments(str(tiny_encoder), {"codebook_size": 8}).build()
    with pytest.raises(StrictDataclassError, match="idm_weight is -1.0"):
        LaserModelArguments(str(tiny_encoder), idm_weight=-1.0).build()


def test_views_of_the_command_line(audio):
    from hf_rspin.data import load_corpus

    corpus = load_corpus(audio)
    assert LaserViewArguments().build(corpus).speeds == (0.9, 1.0, 1.1)
    later = LaserViewArguments(semitones=0.0, noise=str(audio), snrs=[20, 10, 5]).build(corpus)
    assert later.noise.snrs_db == [20, 10, 5] and not later.noise.both_views
    rspin = LaserViewArguments(
        noise=str(audio), snr_low=-10, snr_high=10, noise_on_both_views=True, babble_probability=0.2
    ).build(corpus)
    assert rspin.noise.snr_range_db == (-10, 10) and rspin.noise.both_views
    assert rspin.noise.bank.babble_probability == 0.2
    for options, message in (
        ({"snrs": [5.0]}, "an SNR was given without noise"),
        ({"noise": str(audio)}, "give either snrs_db"),
        ({"noise": str(audio), "snr_low": 0.0}, "belong together"),
    ):
        with pytest.raises(ValueError, match=message):
            LaserViewArguments(**options).build(corpus)
