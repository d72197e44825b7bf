"""What the shapes of an official checkpoint's tensors tell of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_rspin.hub.official_layouts import DATA2VEC, Layout
from hf_rspin.hub.official_names import Names, shown
from hf_rspin.inert_pickle import CheckpointError


def shape_fields(shapes: Mapping[str, tuple[int, ...]], names: Names) -> dict[str, Any]:
    """Return what the shapes tell, by field of a config; `model_type` among them.

    Args:
        shapes: by name in transformers.
        names: of the checkpoint.

    Raises:
        CheckpointError: a weight has another number of axes, or groups do not divide channels.
    """
    layout = names.layout
    convs = [
        _shape(shapes, f"feature_extractor.conv_layers.{layer}.conv.weight", 3)
        for layer in range(layout.conv_layers)
    ]
    hidden, _ = _shape(shapes, "feature_projection.projection.weight", 2)
    return {
        "model_type": layout.family,
        "hidden_size": hidden,
        "num_hidden_layers": layout.layers,
        "intermediate_size": _shape(
            shapes, "encoder.layers.0.feed_forward.intermediate_dense.weight", 2
        )[0],
        "conv_dim": tuple(conv[0] for conv in convs),
        "conv_kernel": tuple(conv[2] for conv in convs),
        "conv_bias": layout.conv_bias,
        "feat_extract_norm": layout.conv_norm,
        **_position_fields(shapes, layout, hidden),
        **_special_fields(shapes, names),
    }


def _position_fields(
    shapes: Mapping[str, tuple[int, ...]], layout: Layout, hidden: int
) -> dict[str, Any]:
    """Return what the shapes tell of the positional convolution, or of data2vec's several."""
    several = layout.family == DATA2VEC
    name = "layers.0.conv.weight" if several else "conv.parametrizations.weight.original1"
    _, group_size, kernel = _shape(shapes, f"encoder.pos_conv_embed.{name}", 3)
    if hidden % group_size:
        raise CheckpointError(f"{group_size} channels per group do not divide {hidden} channels.")
    fields = {"num_conv_pos_embedding_groups": hidden // group_size}
    if several:
        return fields | {
            "num_conv_pos_embeddings": layout.positions, "conv_pos_kernel_size": kernel
        }  # fmt: skip
    return fields | {"num_conv_pos_embeddings": kernel}


def _special_fields(shapes: Mapping[str, tuple[int, ...]], names: Names) -> dict[str, Any]:
    """Return what only WavLM, a distilled encoder, and the heads of Spin tell."""
    fields = {}
    if names.layout.distilled:  # it has no embedding of masked frames, either
        fields |= {"feat_proj_layer_norm": False, "mask_time_prob": 0.0}
    if names.layout.family == "wavlm":
        buckets, heads = _shape(shapes, "encoder.layers.0.attention.rel_attn_embed.weight", 2)
        fields |= {"num_buckets": buckets, "num_attention_heads": heads}
    if names.heads:
        codes, dim = _shape(shapes, "spin_head.codebook.weight", 2)
        fields |= {"codebook_size": codes, "projection_size": dim}
    return fields


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, dimensions: int) -> tuple[int, ...]:
    shape = shapes[name]
    if len(shape) != dimensions or 0 in shape:
        raise CheckpointError(f"{shown([name])} has shape {shape}; expected {dimensions} axes.")
    return shape
