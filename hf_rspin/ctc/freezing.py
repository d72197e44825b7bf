"""Which part of a plain encoder trains under a CTC head."""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel


def freeze_encoder(
    model: PreTrainedModel,
    freeze_feature_encoder: bool = True,
    num_trainable_layers: int | None = None,
) -> None:
    """Freeze what does not train, in place; the head always trains.

    As in transformers, and unlike the frozen layers of R-Spin, what is frozen keeps its dropout.

    Args:
        model: a model with a CTC head on an encoder of `CTC_CLASSES`.
        freeze_feature_encoder: the convolutions keep their weights, as is usual.
        num_trainable_layers: top transformer layers that train, 0 for the head alone; None for all.

    Raises:
        ValueError: more layers are asked for than the encoder has, or a negative number.
    """
    encoder = model.base_model
    if freeze_feature_encoder:
        model.freeze_feature_encoder()  # also stops its backward pass, which the flags do not
    if num_trainable_layers is not None:
        layers, above = transformer_layers(model)
        if not 0 <= num_trainable_layers <= len(layers):
            raise ValueError(
                f"num_trainable_layers is {num_trainable_layers}; expected 0 to {len(layers)}, the "
                "layers of this encoder, or leave it out to train all."
            )
        model.freeze_feature_encoder()
        encoder.requires_grad_(False)
        for module in [*layers[len(layers) - num_trainable_layers :], *above]:
            module.requires_grad_(num_trainable_layers > 0)
    for name, parameter in encoder.named_parameters(recurse=False):
        if name == "masked_spec_embed" and not _masks(model):
            parameter.requires_grad_(False)  # several processes would wait for its gradient


def transformer_layers(model: PreTrainedModel) -> tuple[nn.ModuleList, list[nn.Module]]:
    """Return the layers from the input on, and the modules that come after all of them."""
    encoder = model.base_model.encoder
    if model.config.model_type == "sew-d":
        return encoder.encoder.layer, [encoder.upsample]
    # with stable layer norm the encoder's norm comes after all layers, else before; data2vec has
    # no such option
    stable = model.config.to_dict().get("do_stable_layer_norm", False)
    return encoder.layers, [encoder.layer_norm] if stable else []


def _masks(model: PreTrainedModel) -> bool:
    """Say whether frames are masked in training; data2vec has no switch beside the probability."""
    switch = model.config.to_dict().get("apply_spec_augment", True)
    return switch and model.config.mask_time_prob > 0
