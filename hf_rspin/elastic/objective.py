"""LightHuBERT's student: masked, it predicts the mean of its teacher's last layers, elastically."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import HubertConfig, HubertModel, HubertPreTrainedModel
from transformers.utils import ModelOutput

from hf_rspin.elastic.slices import check_fits
from hf_rspin.elastic.space import SubnetSpace, draw_subnet
from hf_rspin.elastic.subnet import Subnet
from hf_rspin.elastic.supernet import set_subnet
from hf_rspin.models.attention import choose_attention
from hf_rspin.models.encoder import frame_mask, layers_of

# fields of the config of a run that are no HuBERT's
OWN_FIELDS = ("teacher_dim", "subnet_space", "subnet_seed", "unmasked_weight")


@dataclass
class ElasticOutput(ModelOutput):
    """What a forward returns; scalars.

    Attributes:
        loss: weighted mean over valid frames of the L1 distance to the target.
        masked_l1: the same over the masked frames alone; no gradient.
        used: share of the encoder's layers and width that the subnet had; no gradient.
    """

    loss: Tensor | None = None
    masked_l1: Tensor | None = None
    used: Tensor | None = None


class ElasticDistillation(HubertPreTrainedModel):
    """A HuBERT with one bias-free linear that predicts a teacher's features (arXiv 2203.15610).

    Stage 1 trains the encoder as it is; stage 2 (`subnet_space` in the config) runs each forward as
    one random subnet, whose last hidden state goes through the front of the linear. The authors
    published no code of the training: that frames which are not masked count too, with
    `unmasked_weight`, is a choice made here. Padding never counts.

    Args:
        config: of a HuBERT that masks, with `teacher_dim`, `subnet_space` (the JSON form of a
            `SubnetSpace`, or None), `subnet_seed` and `unmasked_weight`.

    Raises:
        ValueError: the space does not fit the encoder.
    """

    def __init__(self, config: HubertConfig):
        super().__init__(config)
        self.space = None
        if config.subnet_space is not None:
            self.space = SubnetSpace.load(config.subnet_space)
            check_fits(config, self.space)
        self.hubert = choose_attention(HubertModel(config))
        self.projection = nn.Linear(config.hidden_size, config.teacher_dim, bias=False)
        self.post_init()

    def forward(
        self,
        input_values: Tensor,
        targets: Tensor,
        mask_time_indices: Tensor,
        attention_mask: Tensor | None = None,
        forward_number: int | None = None,
        subnet: Subnet | None = None,
    ) -> ElasticOutput:
        """Return the loss.

        Args:
            input_values: (batch, samples) at 16 kHz.
            targets: (batch, frames, teacher_dim).
            mask_time_indices: (batch, frames) bool, True on frames that are hidden.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end; or None.
            forward_number: decides the subnet of stage 2, see `draw_subnet`.
            subnet: run as this one instead; None without a number: as the full encoder.
        """
        if subnet is None and self.space is not None and forward_number is not None:
            subnet = draw_subnet(self.space, self.config.subnet_seed, forward_number)
        set_subnet(self.hubert, subnet)
        states = self.hubert(
            input_values, attention_mask, mask_time_indices=mask_time_indices
        ).last_hidden_state
        predicted = functional.linear(states, self.projection.weight[:, : states.shape[-1]])
        valid = frame_mask(input_values, attention_mask, self.config)
        weight = torch.where(mask_time_indices, 1.0, float(self.config.unmasked_weight))
        loss, masked = weighted_l1(predicted, targets, mask_time_indices, weight, valid)
        return ElasticOutput(
            loss + self._touch(subnet), masked.detach(), _share(self.config, subnet, loss)
        )

    def _touch(self, subnet: Subnet | None) -> Tensor | float:
        """Return 0, with a gradient of 0 for the layers left out: DDP waits for every parameter."""
        if subnet is None or subnet.depth == self.config.num_hidden_layers:
            return 0.0
        return sum(0.0 * one.sum() for one in _parameters_above(self.hubert, subnet.depth))


def weighted_l1(
    predictions: Tensor, targets: Tensor, masked: Tensor, weight: Tensor, valid: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the weighted mean of |prediction - target|, and its mean over the masked frames.

    Args:
        predictions: (batch, frames, dim).
        targets: the same.
        masked: (batch, frames) bool.
        weight: (batch, frames).
        valid: (batch, frames) bool, False on padding; None: all count.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> ones = torch.ones(1, 2)
        >>> weighted_l1(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), ones > 0, ones, None)[0]
        tensor(1.)
    """
    if predictions.shape != targets.shape:
        raise ValueError(
            f"got targets of shape {tuple(targets.shape)}; expected {tuple(predictions.shape)}: "
            "batch, frames of the waveforms, dimensions of the teacher."
        )
    with torch.autocast(predictions.device.type, enabled=False):
        wide = torch.promote_types(predictions.dtype, torch.float32)
        distances = (predictions.to(wide) - targets.to(wide)).abs().mean(dim=-1)
        if valid is not None:
            distances = torch.where(valid, distances, 0)
            weight, masked = weight * valid, masked & valid
        weight = weight.to(wide)
        loss = (distances * weight).sum() / weight.sum().clamp_min(1e-6)
        return loss, (distances * masked).sum() / masked.sum().clamp_min(1)


def build_student(
    encoder: HubertModel,
    fields: Mapping[str, Any],
    changes: Mapping[str, Any] | None = None,
    random_weights: bool = False,
) -> ElasticDistillation:
    """Return the student of an encoder, in float32.

    Args:
        encoder: plain.
        fields: teacher_dim, subnet_space, subnet_seed, unmasked_weight.
        changes: fields of its config that differ, such as dropout; layer drop is 0.
        random_weights: take its shape alone.

    Raises:
        ValueError: a field that is not known, or changes the shape; or a space that does not fit.
    """
    config = HubertConfig.from_dict(encoder.config.to_dict() | {"layerdrop": 0.0})
    for name, value in (changes or {}).items():
        if name not in HubertConfig.__dataclass_fields__:
            raise ValueError(f"student_config names {name}, which is no field of HuBERT's config.")
        setattr(config, name, value)
    # an embedding of masked frames is there where this is not 0; which are masked is given
    config.mask_time_prob = config.mask_time_prob or 0.05
    config.apply_spec_augment = True
    for name, value in fields.items():
        setattr(config, name, value)
    if config.layerdrop:
        raise ValueError(
            f"student_config sets layerdrop to {config.layerdrop:g}; expected 0, with which every "
            "layer of a subnet learns: leave it out."
        )
    model = ElasticDistillation(config)
    weights, own = encoder.state_dict(), model.hubert.state_dict()
    other = [n for n, value in weights.items() if n not in own or own[n].shape != value.shape]
    if other:
        raise ValueError(
            f"student_config changes the shape of the encoder ({other[0]}); leave sizes out."
        )
    if not random_weights:
        model.hubert.load_state_dict(weights, strict=False)
    return model


def _share(config: HubertConfig, subnet: Subnet | None, like: Tensor) -> Tensor:
    share = 1.0
    if subnet is not None:
        share = subnet.width * subnet.depth / (config.hidden_size * config.num_hidden_layers)
    return like.new_tensor(share)


def _parameters_above(encoder: HubertModel, depth: int) -> Iterator[nn.Parameter]:
    for name, parameter in layers_of(encoder).named_parameters():
        if int(name.split(".")[0]) >= depth:
            yield parameter
