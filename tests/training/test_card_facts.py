"""What a run tells its model card, and what it keeps to itself."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from hf_rspin.hub import ModelCardInfo
from hf_rspin.resources import encoder_folder
from hf_rspin.training import LaserTrainingArguments, TwoViewTrainer, TwoViewTrainingArguments
from hf_rspin.training.corpus_arguments import CorpusArguments
from hf_rspin.training.model_arguments import ModelArguments
from hf_rspin.training.run_card import (
    changed_arguments,
    describe_hardware,
    info_of_run,
    portable,
)
from hf_rspin.training.view_arguments import ViewArguments


@dataclass
class Arguments:
    """Settings of some kind."""

    names: list[str] = field(default_factory=lambda: ["a"])
    place: str | None = None
    strict: bool = False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/home/me/speech", "speech"),
        ("~/speech", "speech"),
        ("../speech/", "speech"),
        ("runs/labels/pieces", "pieces"),
        (Path("/home/me/speech"), "speech"),
        ("openslr/librispeech_asr:clean", "openslr/librispeech_asr:clean"),
        ("facebook/hubert-base-ls960", "facebook/hubert-base-ls960"),
        ("layer 9 of /home/me/runs/spin", "layer 9 of spin"),
        ("layer 9 of facebook/hubert-base-ls960", "layer 9 of facebook/hubert-base-ls960"),
        ("embedded", "embedded"),
        (["/a/b", 1], ["b", 1]),
        ({"file": "/a/b", "rate": 0.1}, {"file": "b", "rate": 0.1}),
        (None, None),
    ],
)
def test_local_places_are_named_by_their_last_part(value, expected):
    assert portable(value) == expected


def test_a_folder_here_is_no_id_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert portable("speech/clean") == "speech/clean"
    (tmp_path / "speech" / "clean").mkdir(parents=True)
    assert portable("speech/clean") == "clean"


def test_only_arguments_that_decide_what_is_learned_are_told(tmp_path):
    training = TwoViewTrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, hub_token="secret", learning_rate=5e-4,
        logging_steps=1, dataloader_num_workers=2, run_name="x", overwrite_output_dir=True,
        collapse_of_peak=0.2, batch_seconds=16,
    )  # fmt: skip
    assert changed_arguments([training]) == {"learning_rate": 5e-4, "batch_seconds": 16}
    # defaults are those of the class itself
    assert changed_arguments([LaserTrainingArguments(output_dir=str(tmp_path), use_cpu=True)]) == {}
    assert changed_arguments([Arguments(strict=True)]) == {}
    assert changed_arguments([Arguments(["a", "b"], str(tmp_path / "x"))]) == {
        "names": ["a", "b"], "place": "x"
    }  # fmt: skip


def test_hardware_has_a_name():
    name = describe_hardware(torch.device("cpu"), 1)
    assert name.startswith("CPU (") and name.endswith("thread")
    assert describe_hardware(torch.device("cpu"), 2).endswith("thread in each of 2 processes")


@pytest.fixture
def trainer(tiny, audio, tmp_path):
    """A trainer of a tiny run."""

    def make(**options):
        args = tiny.tiny_arguments(tmp_path / "run", max_steps=4, save_steps=2, **options)
        data = tiny.tiny_dataset(audio)
        eval_data = data if "eval_strategy" in options else None
        return TwoViewTrainer(tiny.tiny_model(), args, data, eval_data)

    return make


def test_a_run_tells_its_data_recipe_and_compute(trainer, audio):
    run = trainer()
    run.run_arguments = (
        CorpusArguments(str(audio), "train"), ViewArguments(noise=str(audio.parent / "noise")),
        ModelArguments(encoder=str(encoder_folder()), codebook_size=8),
    )  # fmt: skip
    run.card_info = ModelCardInfo(license="mit", language="en")
    run.train()
    facts = info_of_run(run)
    assert (facts.name, facts.license, facts.language) == ("run", "mit", "en")
    assert facts.started_from == "the small encoder in the package hf_rspin"
    assert facts.base_model is None and facts.datasets == []
    hours = sum(run.train_dataset.full_durations) / 3600
    assert f"| {audio.name}, split train | 24 utterances, {hours:.3g} h," in facts.training_data
    assert "| noise | as noise |" in facts.training_data
    assert facts.recipe["codebook_size"] == 8 and facts.recipe["corpus"] == audio.name
    assert facts.recipe["encoder"] == "encoder" and facts.recipe["max_steps"] == 4
    assert facts.updates == 4 and facts.wall_seconds > 0
    assert facts.processed_hours == pytest.approx(run.state.log_history[-1]["processed_hours"])
    assert facts.results == []  # the last training batch is no evaluation


def test_models_and_data_of_the_hub_are_linked(trainer):
    run = trainer()
    run.run_arguments = (
        CorpusArguments("openslr/librispeech_asr:clean", "train.100"),
        ModelArguments(encoder="facebook/hubert-base-ls960"),
    )
    facts = info_of_run(run)
    assert facts.base_model == "facebook/hubert-base-ls960"
    assert facts.datasets == ["openslr/librispeech_asr"]
    assert "| openslr/librispeech_asr:clean, split train.100 |" in facts.training_data


def test_evaluations_are_results_of_their_own(trainer):
    run = trainer(eval_strategy="steps", eval_steps=2)
    run.train()
    found = {result.metric_type: result.metric_value for result in info_of_run(run).results}
    evaluated = [log for log in run.state.log_history if "eval_loss" in log][-1]
    assert found["loss"] == pytest.approx(evaluated["eval_loss"], rel=1e-3)
    assert found["spin_loss"] == pytest.approx(evaluated["eval_spin_loss"], rel=1e-3)
    run.state.global_step += 1  # trained on: the evaluation is of other weights
    assert info_of_run(run).results == []


def test_without_a_log_there_are_no_results(trainer):
    facts = info_of_run(trainer())
    assert facts.results == [] and facts.updates == 0 and math.isclose(facts.wall_seconds, 0)
