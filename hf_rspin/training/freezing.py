"""Which layers train: everything, or the top ones above a frozen prefix."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def freeze_lower_layers(model: PreTrainedModel, num_trainable_layers: int | None) -> int | None:
    """Freeze the front end and all transformer layers but the top `num_trainable_layers`.

    Spin trains the top two layers, R-Spin everything (None). The convolutions, the feature
    projection and the positional convolution freeze with the lower layers; heads and codebook
    always train. The model then runs its frozen prefix in eval mode and without gradients.

    Args:
        model: a model with `base_model_prefix` "hubert" or "wavlm" and `num_frozen_layers`.
        num_trainable_layers: 0 to the number of layers; None trains all, the front end too.

    Returns:
        The number of frozen transformer layers (None when nothing is frozen).

    Raises:
        ValueError: more layers are asked for than the encoder has, or a negative number.
    """
    encoder = model.base_model
    layers = encoder.encoder.layers
    if num_trainable_layers is None:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        model.num_frozen_layers = None
        return None
    if not 0 <= num_trainable_layers <= len(layers):
        raise ValueError(
            f"num_trainable_layers is {num_trainable_layers}, but the encoder has {len(layers)} "
            f"layers: choose 0 to {len(layers)}, or leave it out to train everything."
        )
    frozen = len(layers) - num_trainable_layers
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for module in _trainable_parts(encoder, frozen):
        for parameter in module.parameters():
            parameter.requires_grad_(True)
    model.num_frozen_layers = frozen
    return frozen


def _trainable_parts(encoder: PreTrainedModel, frozen: int) -> list[nn.Module]:
    """Return the parts above the prefix; a final layer norm exists only in stable layouts."""
    parts: list[nn.Module] = list(encoder.encoder.layers[frozen:])
    if encoder.config.do_stable_layer_norm:
        parts.append(encoder.encoder.layer_norm)
    return parts
