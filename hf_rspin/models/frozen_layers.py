"""A frozen lower part of the encoder: eval mode, no gradients, nothing recomputed."""

from __future__ import annotations

from torch import nn


class FrozenLayersMixin:
    """Keeps the front end and the first layers of an encoder as they are while the rest trains.

    Spin trains the top two layers only. The authors leave dropout active in the frozen part; here
    it runs in eval mode, which is deterministic, and as no parameter below needs a gradient, no
    graph is kept, no backward runs there and gradient checkpointing recomputes nothing of it.

    Attributes:
        frozen_dropout: True keeps dropout active in the frozen part while training, as the
            authors do; read by `train()`, neither part of the config nor saved.
    """

    frozen_dropout: bool = False
    _num_frozen_layers: int | None = None

    @property
    def num_frozen_layers(self) -> int | None:
        """Number of frozen transformer layers, counted from the input; None: nothing is frozen.

        0 freezes the convolutions, the feature projection and the positional embedding only.
        Setting it also sets `requires_grad` of the frozen parameters to False, and of those that
        are frozen no longer to True. It is no part of the config and is not saved.
        """
        return self._num_frozen_layers

    @num_frozen_layers.setter
    def num_frozen_layers(self, count: int | None) -> None:
        layers = len(self.base_model.encoder.layers)
        if count is not None and (isinstance(count, bool) or not 0 <= count <= layers):
            raise ValueError(
                f"num_frozen_layers is {count}; expected 0 to {layers}, the layers of this "
                "encoder, or None to freeze nothing."
            )
        self._set_requires_grad(True)
        self._num_frozen_layers = count
        self._set_requires_grad(False)
        self.train(self.training)

    def frozen_modules(self) -> list[nn.Module]:
        """Return the modules below the first layer that trains."""
        if self._num_frozen_layers is None:
            return []
        model, encoder = self.base_model, self.base_model.encoder
        modules = [model.feature_extractor, model.feature_projection, encoder.pos_conv_embed]
        modules += [encoder.dropout, *encoder.layers[: self._num_frozen_layers]]
        # with stable layer norm the encoder's norm comes after all layers
        norm_is_last = self.config.do_stable_layer_norm
        if not norm_is_last or self._num_frozen_layers == len(encoder.layers):
            modules.append(encoder.layer_norm)
        return modules

    def train(self, mode: bool = True) -> nn.Module:
        """Set the training mode; frozen modules stay in eval mode, but for `frozen_dropout`."""
        super().train(mode)
        for module in self.frozen_modules():
            # in training mode the convolutions would ask for a gradient of the waveform
            if not self.frozen_dropout or module is self.base_model.feature_extractor:
                module.eval()
        return self

    def release_unused_encoder(self) -> None:
        """Ask no gradient of what no active loss reads, which DDP would wait for.

        That is every layer above the highest that a head reads, and the embedding of masked
        frames where no frame is masked.
        """
        encoder, highest = self.base_model.encoder, self.highest_layer_read()
        for layer in encoder.layers[highest:]:
            layer.requires_grad_(False)
        if highest < len(encoder.layers) and self.config.do_stable_layer_norm:
            encoder.layer_norm.requires_grad_(False)  # comes after all layers
        used = self.config.apply_spec_augment and self._num_frozen_layers is None
        for name, parameter in self.base_model.named_parameters(recurse=False):
            if name == "masked_spec_embed":
                parameter.requires_grad_(used)

    def _set_requires_grad(self, value: bool) -> None:
        for module in self.frozen_modules():
            module.requires_grad_(value)
        self.release_unused_encoder()
