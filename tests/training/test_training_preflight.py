import logging

import pytest

from hf_rspin.data.checks import ConfigurationError
from hf_rspin.training import TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.views import NoiseBank, RSpinViews


def refuse(model, args, dataset, match):
    with pytest.raises(ConfigurationError, match=match):
        TwoViewTrainer(model, args, train_dataset=dataset).train()


def test_output_of_another_run_is_not_overwritten_unasked(tiny, audio, tmp_path):
    old = tmp_path / "checkpoint-50"
    old.mkdir()
    (old / "trainer_state.json").write_text("{}")
    dataset = tiny.tiny_dataset(audio)
    args = tiny.tiny_arguments(tmp_path, max_steps=1, save_steps=1)
    refuse(tiny.tiny_model(), args, dataset, "checkpoint-50.*overwrite_output_dir")
    args.overwrite_output_dir = True
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=dataset).train()
    assert not old.exists()  # a later resume must not find it
    assert (tmp_path / "checkpoint-1").is_dir()


def test_a_first_checkpoint_that_is_torn_does_not_stop_the_next_run(tiny, audio, tmp_path):
    for name, files in {"checkpoint-50": ("training_progress.json", "model.safetensors"),
                        "checkpoint-60": ()}.items():  # fmt: skip
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{")
    args = tiny.tiny_arguments(tmp_path, max_steps=1, save_steps=1)
    TwoViewTrainer(tiny.tiny_model(), args, train_dataset=tiny.tiny_dataset(audio)).train()
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"]


def test_a_checkpoint_of_somebody_else_is_not_deleted(tiny, audio, tmp_path):
    (tmp_path / "checkpoint-50").mkdir()
    (tmp_path / "checkpoint-50" / "weights.bin").write_text("precious")
    args = tiny.tiny_arguments(tmp_path, max_steps=1)
    refuse(tiny.tiny_model(), args, tiny.tiny_dataset(audio), "checkpoint-50")
    assert (tmp_path / "checkpoint-50" / "weights.bin").exists()


def test_one_process_on_several_gpus_is_refused(tiny, audio, tmp_path):
    trainer = TwoViewTrainer(
        tiny.tiny_model(), tiny.tiny_arguments(tmp_path), train_dataset=tiny.tiny_dataset(audio)
    )
    trainer.args._n_gpu = 4  # as transformers counts the visible ones
    with pytest.raises(
        ConfigurationError, match="torchrun --nproc_per_node 4.*CUDA_VISIBLE_DEVICES"
    ):
        trainer.train()


def test_a_model_without_a_loss_is_refused(tiny, audio, tmp_path):
    dataset, args = tiny.tiny_dataset(audio), tiny.tiny_arguments(tmp_path)
    refuse(tiny.tiny_model(spin_loss_weight=0.0), args, dataset, "All losses are off")


def test_every_problem_is_listed_at_once(tiny, audio, tmp_path):
    dataset = tiny.tiny_dataset(audio)
    args = tiny.tiny_arguments(tmp_path, batch_seconds=0.7)
    model = tiny.tiny_model(num_pseudo_labels=5)
    refuse(model, args, dataset, r"(?s)1\. batch_seconds=0\.7.*2\. The model predicts 5")


def test_a_model_without_trainable_parameters_is_refused(tiny, audio, tmp_path):
    model = tiny.tiny_model().requires_grad_(False)
    refuse(model, tiny.tiny_arguments(tmp_path), tiny.tiny_dataset(audio), "No parameter")


def test_noise_that_cannot_be_read_stops_the_run_before_it_starts(tiny, audio, tmp_path):
    dataset = tiny.tiny_dataset(audio)
    dataset.views = RSpinViews(NoiseBank([str(tmp_path / "gone.wav")]), perturb_speaker=False)
    refuse(tiny.tiny_model(), tiny.tiny_arguments(tmp_path), dataset, "no audible noise")


def test_views_without_noise_and_long_warm_up_are_told(tiny, audio, tmp_path, caplog):
    dataset = tiny.tiny_dataset(audio)
    dataset.views = RSpinViews(None, perturb_speaker=False, equalize=False)
    args = tiny.tiny_arguments(tmp_path, max_steps=1, warmup_steps=5, save_strategy="no")
    with caplog.at_level(logging.WARNING):
        TwoViewTrainer(tiny.tiny_model(), args, train_dataset=dataset).train()
    assert "no noise sources" in caplog.text
    assert "takes the whole run" in caplog.text


def test_no_dataset_is_said(tiny, tmp_path):
    refuse(tiny.tiny_model(), tiny.tiny_arguments(tmp_path), None, "no train_dataset")


@pytest.mark.parametrize(
    "wrong", [{"batch_seconds": 0}, {"min_learning_rate": 1.0}, {"collapse_of_peak": 1.5}]
)
def test_arguments_refuse_wrong_values(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TwoViewTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **wrong)
