"""Which layers train: everything, or the top ones above a frozen prefix; and how much."""

from __future__ import annotations

from transformers import PreTrainedModel

from hf_rspin.models.base import EncoderWithHeads
from hf_rspin.models.encoder import layers_of, lower_modules


def freeze_lower_layers(model: PreTrainedModel, num_trainable_layers: int | None) -> int | None:
    """Freeze the front end and all transformer layers but the top `num_trainable_layers`.

    Spin trains the top two layers, R-Spin everything (None). The convolutions, the feature
    projection and the positional convolution freeze with the lower layers; heads and codebook
    always train. The frozen prefix runs in eval mode and without gradients; the authors leave its
    dropout active, which `model.frozen_dropout = True` (`--frozen_dropout true`) does too, and so
    does any model of transformers, such as one with a CTC head.

    Args:
        model: with our heads, whose `num_frozen_layers` is set, or another on such an encoder.
        num_trainable_layers: 0 to the number of layers; None trains all, the front end too.

    Returns:
        The number of frozen transformer layers, None when nothing is frozen.

    Raises:
        ValueError: more layers are asked for than the encoder has, or a negative number.
    """
    encoder, frozen = model.base_model, None
    if num_trainable_layers is not None:
        count = len(layers_of(encoder))
        if not 0 <= num_trainable_layers <= count:
            raise ValueError(
                f"num_trainable_layers is {num_trainable_layers}; expected 0 to {count}, the "
                "layers of this encoder, or leave it out to train all."
            )
        frozen = count - num_trainable_layers
    if isinstance(model, EncoderWithHeads):
        model.num_frozen_layers = frozen
    elif frozen is not None:
        for module in lower_modules(encoder, frozen) if num_trainable_layers else [encoder]:
            module.requires_grad_(False)
    return frozen


def scale_gradient(model: PreTrainedModel, scale: float) -> None:
    """Multiply the gradients of the convolutions: published encoders learn them at a tenth.

    Args:
        model: a plain encoder, or one with heads.
        scale: 0 freezes them.
    """
    if scale == 1:
        return
    for parameter in model.base_model.feature_extractor.parameters():
        if scale == 0:
            parameter.requires_grad_(False)
        else:
            parameter.register_hook(lambda gradient: gradient * scale)
