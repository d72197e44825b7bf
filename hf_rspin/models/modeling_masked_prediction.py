"""Any encoder in pre-training: heads that tell the label of masked frames, at every resolution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers import initialization as init
from transformers.utils import ModelOutput

from hf_rspin.losses.masked_prediction import (
    IGNORED,
    MaskedPredictionLossOutput,
    masked_prediction_loss,
)
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import frame_mask, num_output_frames
from hf_rspin.models.masked_prediction_fields import MaskedPredictionFields
from hf_rspin.models.view_encoding import check_waveforms

# of predicted resolutions, the lowest first, by their number; the highest is called by `masked_`
_NAMES = {1: ("high",), 2: ("low", "high"), 3: ("low", "middle", "high")}


@dataclass
class MaskedPredictionOutput(ModelOutput):
    """What a forward returns; frames at 50 Hz, scalars are means over frames that count.

    Attributes:
        loss: sum of the losses of all predicted resolutions, plus `feature_penalty`; None without
            labels.
        last_hidden_state: (batch, frames, hidden).
        hidden_states: as the plain encoder returns them, when asked for.
        masked_accuracy: at masked frames of the highest resolution.
        loss_high, loss_middle, loss_low: parts of `loss`, where there are several resolutions.
        accuracy_middle, accuracy_low: at masked frames of the lower resolutions.
        feature_penalty: weighted, where its weight is above 0.
    """

    loss: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    masked_accuracy: Tensor | None = None
    loss_high: Tensor | None = None
    loss_middle: Tensor | None = None
    loss_low: Tensor | None = None
    accuracy_middle: Tensor | None = None
    accuracy_low: Tensor | None = None
    feature_penalty: Tensor | None = None


class LabelEmbeddings(nn.Embedding):
    """One vector for each label; a class of its own to be initialised by name."""


class LabelHead(nn.Module):
    """A projection, and one embedding for each label to compare it with."""

    def __init__(self, hidden_size: int, final_dim: int, num_labels: int):
        super().__init__()
        self.projection = nn.Linear(hidden_size, final_dim)
        self.label_embeddings = LabelEmbeddings(num_labels, final_dim)

    def forward(self, states: Tensor, labels: Tensor) -> MaskedPredictionLossOutput:
        """Return the loss of states (frames, hidden) with labels (frames,)."""
        return masked_prediction_loss(self.projection(states), self.label_embeddings.weight, labels)


class MaskedPredictionModel(EncoderWithHeads):
    """Any encoder with HuBERT's heads of pre-training (arXiv 2106.07447), which are thrown away.

    A label is told by the cosine of a projection to one embedding per label, divided by 0.1. An
    encoder of several resolutions (MR-HuBERT, arXiv 2310.02720) has projection and embeddings for
    each that is predicted: one set of labels at 50 Hz serves all, of which a resolution of stride
    s takes every s-th label and mask; the losses are summed with equal weight.

    Example:
        >>> model = MaskedPredictionModel.from_pretrained(encoder_folder(), num_frame_labels=100)
        >>> mask, labels = torch.rand(1, 49) < 0.5, torch.randint(100, (1, 49))  # (batch, frames)
        >>> model(waveform, mask_time_indices=mask, labels=labels).loss.shape
        torch.Size([])

    Args:
        config: of any encoder of `encoder.FAMILIES`, with the fields of `MaskedPredictionFields`.

    Raises:
        ValueError: an encoder that hides no frames (`mask_time_prob` 0), or has more than three
            resolutions.
    """

    fields = MaskedPredictionFields
    head_names = ("label_heads.",)

    def _build_heads(self, config: PreTrainedConfig) -> None:
        if not (config.apply_spec_augment and hasattr(self.base_model, "masked_spec_embed")):
            raise ValueError(
                "the encoder hides no frames: expected a config with apply_spec_augment and "
                "mask_time_prob above 0, such as 0.05."
            )
        strides = predicted_strides(config)
        if len(strides) not in _NAMES:
            raise ValueError(f"{len(strides)} resolutions are predicted; expected 1 to 3.")
        self.label_heads = nn.ModuleList(
            LabelHead(config.hidden_size, config.final_dim, config.num_frame_labels)
            for _ in strides
        )

    def reset_heads(self) -> None:
        """Let all heads begin anew, for other labels."""
        if self.config.untrained_heads:
            return
        self._build_heads(self.config)
        self.label_heads.to(self.device).apply(self._init_weights)
        self.config.untrained_heads = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LabelEmbeddings):
            # Only directions matter; short vectors turn faster under Adam.
            init.normal_(module.weight, std=0.05)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> MaskedPredictionOutput:
        """Encode waveforms; with labels compute the loss.

        Args:
            input_values: (batch, samples) at 16 kHz.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end.
            mask_time_indices: (batch, frames) bool, True on frames that are hidden from the
                encoder and to be told.
            labels: (batch, frames) long, the label of each frame; -100 where it has none.
            output_hidden_states: return those of every layer.

        Raises:
            ValueError: mask or labels that do not fit the frames, or labels without a mask.
        """
        check_waveforms(input_values, attention_mask, self.config, self.dtype)
        frames = num_output_frames(input_values.shape[1], self.config)
        _check_given(mask_time_indices, labels, (len(input_values), frames))
        options = {} if mask_time_indices is None else {"mask_time_indices": mask_time_indices}
        with _output_of(self.base_model.feature_extractor) as features:
            output = self.base_model(
                input_values, attention_mask, output_hidden_states=output_hidden_states,
                return_dict=True, **options,
            )  # fmt: skip
        result = MaskedPredictionOutput(
            last_hidden_state=output.last_hidden_state, hidden_states=output.hidden_states
        )
        if labels is None:
            return result
        valid = frame_mask(input_values, attention_mask, self.config)
        if valid is not None:
            labels = labels.masked_fill(~valid, IGNORED)
        self._tell_all(result, output, labels, mask_time_indices)
        if self.config.feature_penalty > 0:
            square = features[0].float().square().mean()
            result.feature_penalty = self.config.feature_penalty * square
            result.loss = result.loss + result.feature_penalty
        return result

    def _tell_all(
        self, result: MaskedPredictionOutput, output: ModelOutput, labels: Tensor, hidden: Tensor
    ) -> None:
        """Add loss and accuracy of every predicted resolution to `result`."""
        strides = predicted_strides(self.config)
        # lowest first, each (batch, frames at its rate, hidden)
        states = output.get("resolution_outputs") or (output.last_hidden_state,)
        parts = zip(
            _NAMES[len(strides)], self.label_heads, states[-len(strides) :], strides, strict=True
        )
        for name, head, state, stride in parts:
            loss, accuracy = self._tell(head, state, labels[:, ::stride], hidden[:, ::stride])
            result.loss = loss if result.loss is None else result.loss + loss
            result["masked_accuracy" if name == "high" else f"accuracy_{name}"] = accuracy
            if len(strides) > 1:
                result[f"loss_{name}"] = loss

    def _tell(
        self, head: LabelHead, states: Tensor, labels: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the loss at masked frames, plus the weighted one at others, and the accuracy."""
        # a low resolution may have a frame more or less than every s-th of the waveform
        count = min(states.shape[1], labels.shape[1])
        states, labels, hidden = states[:, :count], labels[:, :count], hidden[:, :count]
        masked = head(states[hidden], labels[hidden])
        loss, weight = masked.loss, self.config.unmasked_weight
        if weight > 0:
            others = head(states[~hidden], labels[~hidden])
            loss = loss + weight * others.loss
        return loss, masked.accuracy


def predicted_strides(config: PreTrainedConfig) -> list[int]:
    """Return the strides, in frames of 50 Hz, of the resolutions that are predicted; lowest first.

    Args:
        config: of an encoder; one of several resolutions has `resolution_strides` and
            `num_predictions`, how many of the highest are predicted.
    """
    strides = list(getattr(config, "resolution_strides", (1,)))
    return strides[-getattr(config, "num_predictions", 1) :]


@contextlib.contextmanager
def _output_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module returns while it runs inside."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _, inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()


def _check_given(hidden: Tensor | None, labels: Tensor | None, shape: tuple[int, int]) -> None:
    """Refuse what does not fit (batch, frames)."""
    for what, given in (("labels", labels), ("mask_time_indices", hidden)):
        if given is not None and given.shape != shape:
            raise ValueError(
                f"got {what} of shape {tuple(given.shape)}; expected {shape}, one for every frame "
                "of the waveforms."
            )
    if labels is not None and hidden is None:
        raise ValueError(
            "got labels, but no mask_time_indices: say which frames are hidden and to be told."
        )
