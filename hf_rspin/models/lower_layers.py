"""An encoder whose frozen lower layers run once, and a frozen teacher that shares them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import (
    family_of,
    frame_mask,
    norm_is_last,
    norm_of,
    num_output_frames,
)
from hf_rspin.models.layer_range import run_above, run_below

logger = logging.getLogger(__name__)


class EncoderInTwoParts(EncoderWithHeads):
    """Runs what is frozen without gradients, once, and the layers that train on its output.

    A teacher is the encoder as it was when `make_teacher` was called, in eval mode (SCORE's authors
    leave the dropout of theirs on). What is frozen is the same for both and is shared, so that a
    teacher of two trainable layers costs two layers of memory. It is not part of the state dict: a
    run that is resumed makes it again from the encoder that it started from.
    """

    _train_encoder_norm = False
    # in a tuple, which hides it from `parameters()`, `state_dict()`, `train()` and DDP
    _teacher: tuple[PreTrainedModel, ...] = ()
    _teacher_shares: int | None = None

    @property
    def train_encoder_norm(self) -> bool:
        """Whether the encoder's LayerNorm trains although the layers above it are frozen.

        As the authors' code does: in post-norm encoders (base models) it lies below layer 1, so
        that the backward crosses all layers. Not saved, like `num_frozen_layers`.
        """
        return self._train_encoder_norm

    @train_encoder_norm.setter
    def train_encoder_norm(self, value: bool) -> None:
        count, self.num_frozen_layers = self.num_frozen_layers, None
        self._train_encoder_norm = value
        self.num_frozen_layers = count

    def frozen_modules(self) -> list[nn.Module]:
        """Return the modules below the first layer that trains, without a norm that trains."""
        norm = norm_of(self.base_model) if self._train_encoder_norm else None
        return [module for module in super().frozen_modules() if module is not norm]

    @property
    def layers_run_once(self) -> int | None:
        """Number of layers that run without gradients, once for all; None: nothing does.

        Nothing does where the backward crosses all layers, or in a family whose layers cannot be
        run in two parts.
        """
        crossed = self._train_encoder_norm and not norm_is_last(self.config)
        return self.num_frozen_layers if family_of(self.config).splits and not crossed else None

    def lower_states(self, input_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the output (batch, frames, hidden) of the frozen layers; see `run_below`.

        Raises:
            ValueError: no layer is frozen, or the layers do not run in two parts.
        """
        if self.layers_run_once is None:
            raise ValueError(
                "no layers run without gradients: set num_frozen_layers, and train_encoder_norm "
                f"to False; {family_of(self.config).title} "
                f"{'can' if family_of(self.config).splits else 'cannot'} be run in two parts."
            )
        return run_below(self.base_model, input_values, attention_mask, self.layers_run_once)

    def encode_view(
        self,
        encoder: PreTrainedModel,
        waveforms: Tensor,
        attention_mask: Tensor | None,
        lower_states: Tensor | None,
    ) -> Tensor:
        """Return the output (batch, frames, hidden) of the encoder or of the teacher."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and encoder is self.base_model):
            if self.layers_run_once is None:
                if lower_states is not None:
                    raise ValueError("got lower_states, but no layer is frozen: leave them out.")
                return encoder(waveforms, attention_mask, return_dict=True).last_hidden_state
            if lower_states is None:
                lower_states = self.lower_states(waveforms, attention_mask)
            frames = num_output_frames(waveforms.shape[1], self.config)
            if tuple(lower_states.shape[:2]) != (len(waveforms), frames):
                raise ValueError(
                    f"lower_states have shape {tuple(lower_states.shape)}; expected "
                    f"({len(waveforms)}, {frames}, {self.config.hidden_size})."
                )
            mask = frame_mask(waveforms, attention_mask, self.config)
            return run_above(encoder, lower_states, mask, self.layers_run_once)

    # The teacher

    def make_teacher(self) -> None:
        """Copy the encoder as it is now; call it after freezing and before training."""
        shared = {id(module): module for module in self.frozen_modules()}
        teacher = copy.deepcopy(self.base_model, shared)
        for parameter in teacher.parameters():
            parameter.requires_grad = False
        self._teacher = (teacher.eval(),)
        self._teacher_shares = self.num_frozen_layers

    @property
    def has_teacher(self) -> bool:
        """Whether `make_teacher` was called."""
        return bool(self._teacher)

    @property
    def teacher(self) -> PreTrainedModel:
        """The frozen encoder.

        Raises:
            ValueError: there is none, or other layers were frozen since it was made.
        """
        if not self._teacher:
            raise ValueError(
                "there is no teacher, which is not saved: call make_teacher() on the pretrained "
                "encoder, before it trains."
            )
        if self._teacher_shares != self.num_frozen_layers:
            raise ValueError(
                f"the teacher was made with {self._teacher_shares} frozen layers, now "
                f"{self.num_frozen_layers} are: freeze first, then call make_teacher()."
            )
        return self._teacher[0]

    def _apply(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> nn.Module:
        # the teacher changes device and type with the model
        for teacher in self._teacher:
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)
