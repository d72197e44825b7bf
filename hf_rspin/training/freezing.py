"""Which layers train: everything, or the top ones above a frozen prefix."""

from __future__ import annotations

from transformers import PreTrainedModel


def freeze_lower_layers(model: PreTrainedModel, num_trainable_layers: int | None) -> int | None:
    """Freeze the front end and all transformer layers but the top `num_trainable_layers`.

    Spin trains the top two layers, R-Spin everything (None). The convolutions, the feature
    projection and the positional convolution freeze with the lower layers; heads and codebook
    always train. The frozen prefix runs in eval mode and without gradients; the authors leave its
    dropout active, which `model.frozen_dropout = True` (`--frozen_dropout true`) does too.

    Args:
        model: an R-Spin model; its `num_frozen_layers` is set.
        num_trainable_layers: 0 to the number of layers; None trains all, the front end too.

    Returns:
        The number of frozen transformer layers, None when nothing is frozen.

    Raises:
        ValueError: more layers are asked for than the encoder has, or a negative number.
    """
    count = model.config.num_hidden_layers
    if num_trainable_layers is None:
        model.num_frozen_layers = None
    elif 0 <= num_trainable_layers <= count:
        model.num_frozen_layers = count - num_trainable_layers
    else:
        raise ValueError(
            f"num_trainable_layers is {num_trainable_layers}, but the encoder has {count} layers: "
            f"choose 0 to {count}, or leave it out to train everything."
        )
    return model.num_frozen_layers
