"""Any encoder as a student: throw-away heads that predict features and units of teachers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from hf_rspin.losses.distillation import distillation_loss
from hf_rspin.losses.masked_prediction import IGNORED, masked_prediction_loss
from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.distillation_fields import DistillationFields
from hf_rspin.models.encoder import frame_mask, num_output_frames, states_of_frames
from hf_rspin.models.heads import DistillationHead, UnitHead
from hf_rspin.models.view_encoding import check_waveforms


@dataclass
class DistillationOutput(ModelOutput):
    """What a forward returns; frames at 50 Hz, scalars are means over valid frames.

    Attributes:
        loss: distillation_weight * (l1 + cosine_weight * cosine) + unit_weight * unit_loss; None
            without targets and labels. A part of weight 0 is not computed.
        last_hidden_state: (batch, frames, hidden).
        hidden_states: as the plain encoder returns them, when asked for.
        l1, cosine: see `distillation_loss`; means over the layers of all teachers.
        unit_loss, unit_accuracy: see `masked_prediction_loss`; the accuracy over masked frames
            where frames are masked.
    """

    loss: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    l1: Tensor | None = None
    cosine: Tensor | None = None
    unit_loss: Tensor | None = None
    unit_accuracy: Tensor | None = None


class DistillationModel(EncoderWithHeads):
    """Any encoder as a student of one or two teachers, with heads that are thrown away.

    DistilHuBERT (arXiv 2110.01900) predicts hidden states of the teacher, DiceHuBERT (arXiv
    2507.02911) its k-means units at masked frames, USAD (arXiv 2506.18843) two teachers at once.
    The teachers themselves are not part of the model: their features come with the batch.

    Example:
        >>> model = DistillationModel.from_pretrained(
        ...     encoder_folder(), target_dims=[384], student_layers=[-1])
        >>> features = torch.randn(1, 1, 49, 384)  # (batch, layers, frames, dim) of the teacher
        >>> model(waveform, targets=[features]).loss.shape
        torch.Size([])

    Args:
        config: of any encoder of `encoder.FAMILIES`, with the fields of `DistillationFields`.
    """

    fields = DistillationFields
    head_names = ("distillation_head.", "unit_head.")

    def _build_heads(self, config: PreTrainedConfig) -> None:
        self.distillation_head = None
        if config.target_dims and config.distillation_weight > 0:
            self.distillation_head = DistillationHead(
                config.hidden_size, config.target_dims, config.distillation_head
            )
        self.unit_head = None
        if config.num_units is not None and config.unit_weight > 0:
            self.unit_head = UnitHead(config.hidden_size, config.final_dim, config.num_units)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, UnitHead):
            module.init_weights()

    def highest_layer_read(self) -> int:
        """Return the number of layers below the highest that a head reads."""
        count = self.config.num_hidden_layers
        read = list(self.config.student_layers) if self.distillation_head is not None else []
        read += [self.config.unit_layer] if self.unit_head is not None else []
        return max((layer % (count + 1) for layer in read), default=count)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        targets: list[Tensor] | None = None,
        labels: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> DistillationOutput:
        """Encode waveforms; with targets or labels compute the loss.

        Args:
            input_values: (batch, samples) at 16 kHz.
            attention_mask: (batch, samples), 1 on samples, 0 on padding at the end.
            targets: one (batch, layers, frames, dim) per teacher, its features standardised.
            labels: (batch, frames) long, units of a teacher; -100 where a frame has none.
            mask_time_indices: (batch, frames) bool, True on frames that are hidden from the
                encoder; its config must say `apply_spec_augment`.
            output_hidden_states: return those of every layer.

        Raises:
            ValueError: targets or labels that do not fit the heads or the frames.
        """
        check_waveforms(input_values, attention_mask, self.config, self.dtype)
        frames = num_output_frames(input_values.shape[1], self.config)
        self._check_given(targets, labels, mask_time_indices, (len(input_values), frames))
        options = {} if mask_time_indices is None else {"mask_time_indices": mask_time_indices}
        output = self.base_model(
            input_values, attention_mask, output_hidden_states=True, return_dict=True, **options
        )
        valid = frame_mask(input_values, attention_mask, self.config)
        states = states_of_frames(output, self.config)
        result = DistillationOutput(
            last_hidden_state=output.last_hidden_state,
            hidden_states=output.hidden_states if output_hidden_states else None,
        )
        parts = []
        if targets is not None and self.distillation_head is not None:
            result.l1, result.cosine = self._regress(states, targets, valid)
            total = result.l1 + self.config.cosine_weight * result.cosine
            parts.append(self.config.distillation_weight * total)
        if labels is not None and self.unit_head is not None:
            state = states[self.config.unit_layer]
            loss, accuracy = self._tell_units(state, labels, valid, mask_time_indices)
            result.unit_loss, result.unit_accuracy = loss, accuracy
            parts.append(self.config.unit_weight * loss)
        result.loss = sum(parts) if parts else None
        return result

    def _regress(
        self, states: list[Tensor], targets: list[Tensor], valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return L1 and cosine part, means over the layers of all teachers."""
        predictions = self.distillation_head([states[n] for n in self.config.student_layers])
        l1, cosine, first = 0.0, 0.0, 0
        for target in targets:
            count = target.shape[1]
            predicted = torch.stack(predictions[first : first + count], dim=1)
            found = distillation_loss(predicted, target, valid)
            share = count / len(predictions)
            l1, cosine, first = l1 + share * found.l1, cosine + share * found.cosine, first + count
        return l1, cosine

    def _tell_units(
        self, state: Tensor, labels: Tensor, valid: Tensor | None, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss at masked frames, plus the weighted one at others, and the accuracy."""
        labels = labels if valid is None else labels.masked_fill(~valid, IGNORED)
        predictions, embeddings = self.unit_head(state), self.unit_head.embeddings
        if hidden is None:
            found = masked_prediction_loss(predictions.flatten(0, 1), embeddings, labels.flatten())
            return found.loss, found.accuracy
        masked = masked_prediction_loss(predictions[hidden], embeddings, labels[hidden])
        loss, weight = masked.loss, self.config.unmasked_weight
        if weight > 0:
            others = masked_prediction_loss(predictions[~hidden], embeddings, labels[~hidden])
            loss = loss + weight * others.loss
        return loss, masked.accuracy

    def _check_given(
        self,
        targets: list[Tensor] | None,
        labels: Tensor | None,
        hidden: Tensor | None,
        shape: tuple[int, int],
    ) -> None:
        """Refuse what fits neither the heads nor (batch, frames)."""
        for field, what, given in (("target_dims", "targets", targets),
                                   ("num_units", "labels", labels)):  # fmt: skip
            if given is not None and not getattr(self.config, field):
                raise ValueError(f"got {what}, but the config names no {field}: leave {what} out.")
        for what, given in (("labels", labels), ("mask_time_indices", hidden)):
            if given is not None and given.shape != shape:
                raise ValueError(
                    f"got {what} of shape {tuple(given.shape)}; expected {shape}, one for every "
                    "frame of the waveforms."
                )
        masks = self.config.apply_spec_augment and hasattr(self.base_model, "masked_spec_embed")
        if hidden is not None and not masks:
            raise ValueError(
                "got mask_time_indices, but the encoder hides no frames; expected a config with "
                "apply_spec_augment and mask_time_prob above 0: set both."
            )
        if targets is not None:
            self._check_targets(targets, *shape)

    def _check_targets(self, targets: list[Tensor], batch: int, frames: int) -> None:
        dims = [target.shape[-1] for target in targets for _ in range(target.shape[1])]
        if dims != list(self.config.target_dims):
            raise ValueError(
                f"got targets of dimensions {dims}; expected {list(self.config.target_dims)}, one "
                "for every target layer."
            )
        for target in targets:
            if (len(target), target.shape[2]) != (batch, frames):
                raise ValueError(
                    f"got targets of {len(target)} utterances and {target.shape[2]} frames; "
                    f"expected {batch} and {frames}, as the waveforms have."
                )
