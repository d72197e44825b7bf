"""How an objective is added: a loss, fields, a model, what builds its run, an entry of `train.py`.

The worked example for CONTRIBUTING: the mean squared distance of unit projections of the two views.
Each part says which file of the package would hold it.
"""

import json
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import nn
from transformers import AutoModel, HubertModel
from transformers.utils import ModelOutput

from hf_rspin.commands import train as train_command
from hf_rspin.data.collator import TwoViewCollator
from hf_rspin.models import load_encoder
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.configuration import HeadFields
from hf_rspin.models.encoder import num_valid_frames
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.view_encoding import check_waveforms
from hf_rspin.training import SpeechTrainer
from hf_rspin.training.builders import build_training_set
from hf_rspin.training.model_arguments import EncoderArguments

# losses/view_distance.py


def view_distance(first, second, frames):
    """Mean squared distance of the valid frames of two views.

    Args:
        first: (batch, frames, dim) unit vectors.
        second: the same of the other view.
        frames: (batch,), the number of valid frames.
    """
    valid = torch.arange(first.shape[1], device=first.device) < frames[:, None]  # (batch, frames)
    return (first - second).square().sum(dim=-1)[valid].mean()


# models/distance_fields.py


@dataclass(kw_only=True)
class DistanceFields(HeadFields):
    """The field of the head; `head_field` tells a folder with this head from a plain one."""

    head_field: ClassVar[str] = "distance_size"
    prefix: ClassVar[str] = "Distance"

    distance_size: int = 8


# models/modeling_distance.py; there `_travels = True` puts the code into saved folders


@dataclass
class DistanceOutput(ModelOutput):
    """The loss of two views, and the states of the first; scalars are logged by their names."""

    loss: torch.Tensor | None = None
    last_hidden_state: torch.Tensor | None = None
    distance: torch.Tensor | None = None


class DistanceModel(EncoderWithHeads):
    """Any encoder and a linear projection, whose frames shall be alike in both views."""

    fields = DistanceFields
    head_names = ("distance_head.",)

    def _build_heads(self, config):
        self.distance_head = nn.Linear(config.hidden_size, config.distance_size)

    def forward(
        self, input_values, attention_mask=None, perturbed_input_values=None,
        perturbed_attention_mask=None,
    ):  # fmt: skip
        check_waveforms(input_values, attention_mask, self.config)
        states = self.base_model(input_values, attention_mask).last_hidden_state
        if perturbed_input_values is None:
            return DistanceOutput(last_hidden_state=states)
        other = self.base_model(perturbed_input_values, perturbed_attention_mask).last_hidden_state
        views = [nn.functional.normalize(self.distance_head(s), dim=-1) for s in (states, other)]
        loss = view_distance(*views, num_valid_frames(attention_mask.sum(dim=-1), self.config))
        return DistanceOutput(loss, states, loss.detach())


# training/model_arguments.py and training/run.py


@dataclass
class DistanceModelArguments(EncoderArguments):
    """Which encoder, and the size of its head."""

    distance_size: int | None = field(default=None, metadata={"help": "size of the projection"})


def build_distance(corpus, views, model, training):
    """Return the trainer; `run_training` does the rest."""
    rows = corpus.load()
    dataset = build_training_set(
        rows, views.build(rows), None, seed=training.seed, min_seconds=corpus.min_seconds
    )
    network = DistanceModel.from_pretrained(resolve_encoder(model.encoder), **model.changes())
    trainer = SpeechTrainer(
        network, training, dataset, data_collator=TwoViewCollator(), mean_over_batch=True
    )
    trainer.run_arguments = (corpus, views, model)
    return trainer


# hf_rspin/commands/train.py: an entry of OBJECTIVES; and a config


@pytest.fixture
def train(monkeypatch):
    monkeypatch.setitem(sys.modules, "distance", sys.modules[__name__])
    training = "hf_rspin.training"
    entry = train_command.Objective(
        "Train by distance.",
        "distance.yaml",
        (f"{training}.corpus_arguments:CorpusArguments", f"{training}.view_arguments:ViewArguments",
         "distance:DistanceModelArguments"),
        "hf_rspin.training.optimization:SpeechOptions",
        "hf_rspin.training.training_arguments:SpeechTrainingArguments",
        "distance:build_distance",
    )  # fmt: skip
    monkeypatch.setitem(train_command.OBJECTIVES, "distance", entry)
    return train_command


CONFIG = """\
distance_size: 4
min_seconds: 0.3
max_seconds: 1.0
batch_seconds: 4
max_steps: 2
logging_steps: 1
learning_rate: 1.0e-2
"""


@pytest.fixture
def trained(train, tiny_encoder, audio, tmp_path, monkeypatch):
    """The folder of a run of two updates."""
    config, folder = tmp_path / "distance_small.yaml", tmp_path / "run"
    config.write_text(CONFIG)
    given = ["--objective", "distance", config, "--encoder", tiny_encoder, "--corpus", audio,
             "--output_dir", folder]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, given)])
    train.main()
    return folder


def test_the_objective_trains_is_saved_and_comes_back(trained, tiny_encoder):
    history = json.loads((trained / "history.json").read_text())
    assert [entry["step"] for entry in history] == [1, 2]
    for entry in history:  # the part that the model names is the whole loss here
        assert entry["distance"] == pytest.approx(entry["loss"], rel=1e-4) and entry["loss"] > 0
    model, again = (DistanceModel.from_pretrained(trained).eval() for _ in range(2))
    assert model.config.distance_size == 4 and not model.config.untrained_heads
    head = model.distance_head.weight
    assert torch.equal(head, again.distance_head.weight)
    before, after = load_encoder(tiny_encoder).state_dict(), model.base_model.state_dict()
    moved = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert any(name.startswith("encoder.layers.0.") for name in moved)
    view = torch.randn(2, 8000)
    states = model(view).last_hidden_state
    for plain in (AutoModel.from_pretrained(trained).eval(), load_encoder(trained)):
        assert type(plain) is HubertModel
        torch.testing.assert_close(plain(view).last_hidden_state, states)


def test_its_loss_is_zero_for_equal_views_and_the_closed_form_otherwise():
    first = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    assert view_distance(first, first, torch.tensor([3])) == 0
    # frames that are opposite lie at squared distance 4; the third is padding
    second = torch.tensor([[[-1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    assert view_distance(first, second, torch.tensor([2])) == 2.0
