"""Any encoder with Spin and pseudo-label heads (Spin, arXiv 2305.11072; R-Spin, 2311.09117)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from hf_rspin.losses.pseudo_labels import label_loss
from hf_rspin.losses.spin import spin_loss
from hf_rspin.losses.variance_invariance_covariance import (
    covariance_loss,
    invariance_loss,
    variance_loss,
)
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import frame_mask, num_output_frames
from hf_rspin.models.heads import Codebook, SpinHead, SpinProjection
from hf_rspin.models.spin_fields import SpinFields
from hf_rspin.models.view_encoding import EncoderOutput, check_waveforms, encode, encode_two

logger = logging.getLogger(__name__)

# the second codebook's fields of `RSpinOutput`, by those of the first
SECOND_CODEBOOK = {
    "spin_loss": "auxiliary_codebook_loss",
    "accuracy": "auxiliary_codebook_accuracy",
    "code_perplexity": "auxiliary_code_perplexity",
    "probability_perplexity": "auxiliary_probability_perplexity",
}
# losses of two (valid frames, hidden), by field of `RSpinOutput`
VIEW_LOSSES = {
    "variance": variance_loss,
    "invariance": invariance_loss,
    "covariance": covariance_loss,
}


@dataclass
class RSpinOutput(ModelOutput):
    """What a forward returns; frames at 50 Hz, scalars over the frames of all ranks.

    Attributes:
        loss: Equation 3, the sum of the parts weighted by `config.loss_weights`; two views only.
        last_hidden_state: (batch, frames, hidden) of the clean view.
        hidden_states: of the clean view, as the plain encoder returns them, when asked for.
        attentions: of the clean view, when asked for.
        code_logits: (batch, frames, codes) cosines of the clean view; no gradient with two views;
            None while the codebook was never trained.
        units: (batch, frames) long, the nearest code; -1 on padding; None like `code_logits`.
        spin_loss, accuracy, code_perplexity, probability_perplexity, num_frames: see
            `SpinLossOutput`; None where the Spin loss is off.
        auxiliary_loss, auxiliary_accuracy: see `LabelLossOutput`, over both views; None where
            the auxiliary loss is off.
        auxiliary_codebook_loss, auxiliary_codebook_accuracy: see `SpinLossOutput`, of the second
            codebook; None where there is none.
        auxiliary_code_perplexity, auxiliary_probability_perplexity: likewise.
        variance, invariance, covariance: see `losses.variance_invariance_covariance`; None where
            they are off.
    """

    loss: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    code_logits: Tensor | None = None
    units: Tensor | None = None
    spin_loss: Tensor | None = None
    auxiliary_loss: Tensor | None = None
    accuracy: Tensor | None = None
    auxiliary_accuracy: Tensor | None = None
    code_perplexity: Tensor | None = None
    probability_perplexity: Tensor | None = None
    num_frames: Tensor | None = None
    auxiliary_codebook_loss: Tensor | None = None
    auxiliary_codebook_accuracy: Tensor | None = None
    auxiliary_code_perplexity: Tensor | None = None
    auxiliary_probability_perplexity: Tensor | None = None
    variance: Tensor | None = None
    invariance: Tensor | None = None
    covariance: Tensor | None = None


class ValidFrames(NamedTuple):
    """Which frames are valid in both views; None where all are.

    Attributes:
        rows: their places in (batch * frames,).
        counts: (batch,), how many there are in each utterance, the first ones.
    """

    rows: Tensor | None
    counts: Tensor | None


class RSpinModel(EncoderWithHeads):
    """Any encoder with the heads of Spin and R-Spin; a plain encoder's folder gets fresh ones.

    Without `num_pseudo_labels` there is no auxiliary head: that is plain Spin. One view gives
    features and units, two views the losses of Equation 3 of R-Spin. Units of a codebook that was
    never trained are None. With `auxiliary_codebook_size` a second codebook trains too (DC-Spin).

    Example:
        >>> model = RSpinModel.from_pretrained(encoder_folder(), codebook_size=32)
        >>> model(torch.randn(1, 16000)).last_hidden_state.shape  # (batch, frames, hidden), 50 Hz
        torch.Size([1, 49, 256])

    Args:
        config: of any encoder of `encoder.FAMILIES`, with the fields of `SpinFields` or without.
    """

    _travels = True
    fields = SpinFields
    head_names = ("spin_head.", "auxiliary_head.", "auxiliary_codebook_head.")
    output_class: ClassVar[type[RSpinOutput]] = RSpinOutput
    _warned = False

    def _build_heads(self, config: PreTrainedConfig) -> None:
        sizes = config.hidden_size, config.projection_size
        self.spin_head = SpinHead(*sizes, config.codebook_size)
        self.auxiliary_head = self.auxiliary_codebook_head = None
        if config.num_pseudo_labels is not None:
            self.auxiliary_head = nn.Linear(config.hidden_size, config.num_pseudo_labels)
        if config.auxiliary_codebook_size is not None:
            self.auxiliary_codebook_head = SpinHead(*sizes, config.auxiliary_codebook_size)

    def release_unused_parameters(self) -> None:
        """Ask no gradient of what takes no part in the loss, which DDP would wait for."""
        heads = {
            "spin_loss": self.spin_head,
            "auxiliary_loss": self.auxiliary_head,
            "auxiliary_codebook_loss": self.auxiliary_codebook_head,
        }
        for loss, head in heads.items():
            if head is not None and loss not in self.config.loss_weights:
                head.requires_grad_(False)
        super().release_unused_parameters()

    def highest_layer_read(self) -> int:
        """Return the number of layers below the highest input of a loss that is on."""
        config = self.config
        read = [
            config.auxiliary_layer if loss == "auxiliary_loss" else config.spin_layer
            for loss in config.loss_weights
        ]
        hidden_states = config.num_hidden_layers + 1
        return max((layer % hidden_states for layer in read), default=config.num_hidden_layers)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SpinProjection | Codebook):
            module.init_weights()

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        perturbed_input_values: Tensor | None = None,
        perturbed_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> RSpinOutput | tuple:
        """Encode one view, or two views and compute the losses.

        Args:
            input_values: (batch, samples) at 16 kHz, the clean view.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end.
            perturbed_input_values: (batch, samples), the same utterances, cropped alike.
            perturbed_attention_mask: as `attention_mask`.
            labels: (batch, frames) long pseudo-labels shared by both views, -100 for none.
            output_hidden_states: return those of every layer, of the clean view.
            output_attentions: return the attention maps, of the clean view.
            return_dict: False for a tuple.

        Raises:
            TypeError: waveforms or labels of another type.
            ValueError: views, masks or labels that do not fit, labels without their head or the
                other way round, or all losses switched off.
        """
        options = {
            "output_hidden_states": _or(output_hidden_states, self.config.output_hidden_states),
            "output_attentions": _or(output_attentions, self.config.output_attentions),
        }
        check_waveforms(input_values, attention_mask, self.config, self.dtype)
        mask = frame_mask(input_values, attention_mask, self.config)
        if perturbed_input_values is None:
            if labels is not None:
                raise ValueError("got labels with one view only; pass perturbed_input_values.")
            clean = encode(self.base_model, input_values, attention_mask, **options)
            fields = self._describe(clean, mask)
        else:
            check_waveforms(
                perturbed_input_values, perturbed_attention_mask, self.config, self.dtype
            )
            self._check_two_views(input_values, perturbed_input_values, labels)
            frames = self._valid_frames(mask, perturbed_input_values, perturbed_attention_mask)
            clean, perturbed = encode_two(
                self.base_model,
                (input_values, perturbed_input_values),
                (attention_mask, perturbed_attention_mask),
                **options,
            )
            fields = self._losses(clean, perturbed, labels, frames)
            with torch.no_grad():
                fields |= self._describe(clean, mask)
        # built at once: fields set later would come last in a tuple, and the loss comes first
        output = self.output_class(**fields)
        return output if _or(return_dict, self.config.return_dict) else output.to_tuple()

    def _describe(self, view: EncoderOutput, mask: Tensor | None) -> dict[str, Any]:
        """Return the hidden states and codes of one view, by field of `RSpinOutput`."""
        fields = {
            "last_hidden_state": view.last_hidden_state,
            "hidden_states": view.hidden_states,
            "attentions": view.attentions,
        }
        if self.config.untrained_heads:
            self._warn_untrained()
            return fields
        code_logits = self.spin_head.codebook(self.spin_head(view.spin_input))
        units = code_logits.detach().max(dim=-1).indices  # (batch, frames)
        units = units if mask is None else units.masked_fill(~mask, -1)
        return {**fields, "code_logits": code_logits, "units": units}

    def _warn_untrained(self) -> None:
        if not self._warned:
            logger.warning(
                "There are no units and no code_logits: the codebook of this model was never "
                "trained. Train it with Spin or R-Spin, or load a folder that was."
            )
        self._warned = True

    def _valid_frames(
        self, mask: Tensor | None, perturbed: Tensor, perturbed_attention_mask: Tensor | None
    ) -> ValidFrames:
        """Find the frames valid in both views.

        Before the encoder runs, because finding them waits for the device.
        """
        other = frame_mask(perturbed, perturbed_attention_mask, self.config)
        masks = [m for m in (mask, other) if m is not None]
        if not masks:
            return ValidFrames(None, None)
        both = torch.stack(masks).all(dim=0)  # (batch, frames)
        return ValidFrames(both.flatten().nonzero()[:, 0], both.sum(dim=1))

    def _losses(
        self,
        clean: EncoderOutput,
        perturbed: EncoderOutput,
        labels: Tensor | None,
        frames: ValidFrames,
    ) -> dict[str, Any]:
        """Return Equation 3 and its named parts, by field of `RSpinOutput`."""
        if self.training and torch.is_grad_enabled():
            self.config.untrained_heads = False
        weights = self.config.loss_weights
        fields = self._parts(clean, perturbed, labels, frames)
        terms = [weight * fields[name] for name, weight in weights.items()]
        return {"loss": torch.stack(terms).sum(), **fields}

    def _parts(
        self,
        clean: EncoderOutput,
        perturbed: EncoderOutput,
        labels: Tensor | None,
        frames: ValidFrames,
    ) -> dict[str, Tensor]:
        """Return the losses that are on and what is reported beside them."""
        weights, fields = self.config.loss_weights, {}
        views = [_select(view.spin_input, frames.rows) for view in (clean, perturbed)]
        if "spin_loss" in weights:
            fields |= self._spin_loss(*views, self.spin_head)
        if "auxiliary_codebook_loss" in weights:
            parts = self._spin_loss(*views, self.auxiliary_codebook_head)
            fields |= {other: parts[name] for name, other in SECOND_CODEBOOK.items()}
        fields |= {name: loss(*views) for name, loss in VIEW_LOSSES.items() if name in weights}
        if "auxiliary_loss" in weights:
            hidden = [_select(view.auxiliary_input, frames.rows) for view in (clean, perturbed)]
            scores = self.auxiliary_head(torch.cat(hidden))  # (2 * valid frames, labels)
            parts = label_loss(scores, _select(labels, frames.rows).repeat(2))
            fields |= {"auxiliary_loss": parts.loss, "auxiliary_accuracy": parts.accuracy}
        return fields

    def _spin_loss(self, clean: Tensor, perturbed: Tensor, head: SpinHead) -> dict[str, Tensor]:
        """Return Equation 1 of two (valid frames, hidden), by field of `RSpinOutput`."""
        config = self.config
        parts = spin_loss(
            head(clean),
            head(perturbed),
            head.codebook.unit_rows(),
            config.temperature,
            config.sinkhorn_epsilon,
            config.sinkhorn_iterations,
        )
        named = parts._asdict()
        return {"spin_loss": named.pop("loss"), **named}

    def _check_two_views(self, clean: Tensor, perturbed: Tensor, labels: Tensor | None) -> None:
        shape = (len(clean), num_output_frames(clean.shape[1], self.config))
        other = (len(perturbed), num_output_frames(perturbed.shape[1], self.config))
        if shape != other:
            raise ValueError(
                f"the views have {shape} and {other} (utterances, frames); crop both alike."
            )
        if labels is not None and self.auxiliary_head is None:
            raise ValueError(
                "got labels, but the model has no auxiliary head: set num_pseudo_labels in the "
                "config, or leave the labels out for plain Spin."
            )
        if labels is None and "auxiliary_loss" in self.config.loss_weights:
            raise ValueError(
                "labels are missing for the auxiliary loss: pass (batch, frames) pseudo-labels, "
                "or set auxiliary_loss_weight=0."
            )
        if labels is not None and labels.dtype != torch.long:
            raise TypeError(f"labels are {labels.dtype}; expected torch.long: call labels.long().")
        if labels is not None and tuple(labels.shape) != shape:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}; expected {shape}: one per frame, "
                "padded with -100."
            )
        if not self.config.loss_weights:
            raise ValueError(
                "all losses are off; set spin_loss_weight above 0, or num_pseudo_labels and "
                "auxiliary_loss_weight."
            )


def _or(value: bool | None, default: bool | None) -> bool:
    return bool(default if value is None else value)


def _select(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """Flatten (batch, frames, ...) to (batch * frames, ...) and keep `rows`."""
    flat = tensor.flatten(0, 1)
    return flat if rows is None else flat.index_select(0, rows)
