"""An encoder whose frozen lower layers run once: for two views, a teacher, or from a cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .encoding import frame_count, frame_mask
from .frozen_teacher import FrozenTeacherMixin
from .layer_range import run_above, run_below


class LowerLayersMixin(FrozenTeacherMixin):
    """Runs what is frozen without gradients, and the layers that train on its output."""

    _train_encoder_norm = False

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
        norm = self.base_model.encoder.layer_norm if self._train_encoder_norm else None
        return [module for module in super().frozen_modules() if module is not norm]

    @property
    def layers_run_once(self) -> int | None:
        """Number of layers that run without gradients, once for all; None: nothing does."""
        crossed = self._train_encoder_norm and not self.config.do_stable_layer_norm
        return None if crossed else self.num_frozen_layers

    def lower_states(self, input_values: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return the output (batch, frames, hidden) of the frozen layers; see `run_below`.

        Raises:
            ValueError: no layer is frozen, or the backward crosses them.
        """
        if self.layers_run_once is None:
            raise ValueError(
                "no layers run without gradients: set num_frozen_layers, and train_encoder_norm "
                "to False."
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
                    raise ValueError("lower_states came, but no layer is frozen: leave them out.")
                return encoder(waveforms, attention_mask, return_dict=True).last_hidden_state
            if lower_states is None:
                lower_states = self.lower_states(waveforms, attention_mask)
            frames = frame_count(waveforms.shape[1], self.config)
            if tuple(lower_states.shape[:2]) != (len(waveforms), frames):
                raise ValueError(
                    f"lower_states have shape {tuple(lower_states.shape)}; expected "
                    f"({len(waveforms)}, {frames}, {self.config.hidden_size})."
                )
            mask = frame_mask(waveforms.shape[1], attention_mask, self.config)
            return run_above(encoder, lower_states, mask, self.layers_run_once)
