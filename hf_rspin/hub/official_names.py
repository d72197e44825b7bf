"""Names of weights: those of fairseq, WavLM, Spin and R-Spin, and those of transformers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_rspin.hub.inert_pickle import CheckpointError

# any of these names an encoder; what stands before it is the prefix of all its weights
_MARKS = (
    "feature_extractor.conv_layers.0.0.weight", "post_extract_proj.weight",
    "encoder.layers.0.fc1.weight", "encoder.layers.0.fc2.weight",
    "encoder.layers.0.self_attn.k_proj.weight", "encoder.layers.0.self_attn.out_proj.weight",
)  # fmt: skip
_HEADS = {
    "Spin": {
        "pred_head.layers.0.weight": "spin_head.projection.weight",
        "pred_head.layers.0.bias": "spin_head.projection.bias",
        "loss_module.codebook.weight": "spin_head.codebook.weight",
    },
    "R-Spin": {
        "pred_head.weight": "spin_head.projection.weight",
        "pred_head.bias": "spin_head.projection.bias",
        "codebook.weight": "spin_head.codebook.weight",
    },
}
# of pre-training, of no use to an encoder
_LEFT_OUT = ("label_embs_concat", "final_proj.", "target_glu.", "project_q.", "quantizer.")
_ATTENTION = ("k_proj", "v_proj", "q_proj", "out_proj")
_POSITIONS = {  # by how torch stores weight norm: before version 2.1 and since
    "encoder.pos_conv.0.weight_g": "encoder.pos_conv.0.parametrizations.weight.original0",
    "encoder.pos_conv.0.weight_v": "encoder.pos_conv.0.parametrizations.weight.original1",
}
MOST_LAYERS = 256


@dataclass(frozen=True)
class Layout:
    """What the names of an encoder's weights tell of it.

    Attributes:
        family: "hubert" or "wavlm".
        conv_layers: number of convolutions before the transformer.
        layers: number of transformer layers.
        conv_norm: "group" or "layer", the `feat_extract_norm` of the config.
        conv_bias: whether the convolutions have biases.
        old_weight_norm: whether the positional convolution has `weight_g` and `weight_v`.
    """

    family: str
    conv_layers: int
    layers: int
    conv_norm: str
    conv_bias: bool
    old_weight_norm: bool

    @classmethod
    def of(cls, names: Iterable[str]) -> Layout:
        """Read the layout off the names of an encoder's weights, its prefix taken off.

        Raises:
            CheckpointError: a layer has a number that no encoder has.
        """
        names = set(names)
        wavlm = any(name.endswith((".grep_a", ".relative_attention_bias.weight")) for name in names)
        layer_norm = any(
            re.fullmatch(r"feature_extractor\.conv_layers\.\d+\.2\.1\.weight", name)
            for name in names
        )
        return cls(
            family="wavlm" if wavlm else "hubert",
            conv_layers=_count(r"feature_extractor\.conv_layers\.(\d+)\.", names),
            layers=_count(r"encoder\.layers\.(\d+)\.", names),
            conv_norm="layer" if layer_norm else "group",
            conv_bias="feature_extractor.conv_layers.0.0.bias" in names,
            old_weight_norm=not names & set(_POSITIONS.values()),
        )

    def names(self) -> dict[str, str]:
        """Return the transformers name of every weight, by its official name."""
        names = {"mask_emb": "masked_spec_embed"}
        pairs = [("layer_norm", "feature_projection.layer_norm")]
        pairs += [("post_extract_proj", "feature_projection.projection")]
        pairs += [("encoder.layer_norm", "encoder.layer_norm")]
        for layer in range(self.layers):
            pairs += _layer_modules(f"encoder.layers.{layer}.")
        for official, ours in pairs:
            names |= {f"{official}.{part}": f"{ours}.{part}" for part in ("weight", "bias")}
        names |= self._feature_encoder() | self._positions()
        if self.family == "wavlm":
            names |= self._relative_positions()
        return names

    def _feature_encoder(self) -> dict[str, str]:
        names = {}
        for layer in range(self.conv_layers):
            official = ours = f"feature_extractor.conv_layers.{layer}"
            parts = ("weight", "bias")
            for part in parts if self.conv_bias else parts[:1]:
                names[f"{official}.0.{part}"] = f"{ours}.conv.{part}"
            if self.conv_norm == "layer" or layer == 0:
                norm = "2.1" if self.conv_norm == "layer" else "2"
                names |= {f"{official}.{norm}.{p}": f"{ours}.layer_norm.{p}" for p in parts}
        return names

    def _positions(self) -> dict[str, str]:
        ours = "encoder.pos_conv_embed.conv."
        names = {"encoder.pos_conv.0.bias": ours + "bias"}
        for number, (old, new) in enumerate(_POSITIONS.items()):
            official = old if self.old_weight_norm else new
            names[official] = f"{ours}parametrizations.weight.original{number}"
        return names

    def _relative_positions(self) -> dict[str, str]:
        first = "encoder.layers.0."
        names = {
            first + "self_attn.relative_attention_bias.weight":
                first + "attention.rel_attn_embed.weight"
        }  # fmt: skip
        for layer in range(self.layers):
            official = f"encoder.layers.{layer}.self_attn.grep_"
            ours = f"encoder.layers.{layer}.attention.gru_rel_pos_"
            names |= {official + "a": ours + "const"}
            names |= {f"{official}linear.{p}": f"{ours}linear.{p}" for p in ("weight", "bias")}
        return names


def _layer_modules(prefix: str) -> list[tuple[str, str]]:
    """Return the official and our names of a transformer layer's modules with weight and bias."""
    pairs = [(f"self_attn.{name}", f"attention.{name}") for name in _ATTENTION]
    pairs += [("self_attn_layer_norm", "layer_norm"), ("final_layer_norm", "final_layer_norm")]
    pairs += [("fc1", "feed_forward.intermediate_dense"), ("fc2", "feed_forward.output_dense")]
    return [(prefix + official, prefix + ours) for official, ours in pairs]


def _count(pattern: str, names: Iterable[str]) -> int:
    """Return one more than the highest layer number, 1 at least: a gap shows as missing weights."""
    numbers = [found.group(1) for name in names if (found := re.match(pattern, name))]
    if any(len(number) > 3 or int(number) >= MOST_LAYERS for number in numbers):
        raise CheckpointError(f"its layers have numbers above {MOST_LAYERS}.")
    return max((int(number) + 1 for number in numbers), default=1)


@dataclass(frozen=True)
class Names:
    """Which weights of a checkpoint become which of ours.

    Attributes:
        layout: of the encoder.
        method: "Spin" or "R-Spin", by the heads; None without heads.
        encoder: transformers name within the encoder, by the name in the checkpoint.
        heads: name within our model, by the name in the checkpoint; empty without heads.
        left_out: names in the checkpoint that only pre-training needs.
        unknown: all other names in the checkpoint.
    """

    layout: Layout
    method: str | None
    encoder: Mapping[str, str]
    heads: Mapping[str, str]
    left_out: list[str]
    unknown: list[str]


def find_names(state_dict: Mapping[str, Any]) -> Names:
    """Recognise an official state dict by its names.

    Args:
        state_dict: by name in the checkpoint.

    Raises:
        CheckpointError: it holds no encoder or two, or weights are missing; names them.
    """
    prefix = _find_prefix(state_dict)
    tails = {name.removeprefix(prefix) for name in state_dict if name.startswith(prefix)}
    layout = Layout.of(tails)
    encoder = {prefix + official: ours for official, ours in layout.names().items()}
    others = [name for name in state_dict if name not in encoder]
    method = _find_method(others)
    heads = {} if method is None else _HEADS[method]
    _check_complete(state_dict, [*encoder, *heads])
    left_out = [
        name for name in others
        if name.removeprefix(prefix).startswith(_LEFT_OUT) and name not in heads
    ]  # fmt: skip
    known = {*left_out, *heads}
    unknown = [name for name in others if name not in known]
    return Names(layout, method, encoder, heads, left_out, unknown)


def _find_prefix(names: Iterable[str]) -> str:
    found = Counter()
    for name in names:
        for mark in _MARKS:
            prefix = name.removesuffix(mark)
            if prefix != name and (not prefix or prefix.endswith(".")):
                found[prefix] += 1
    if not found:
        if any(name.endswith("feature_projection.projection.weight") for name in names):
            raise CheckpointError(
                "its weights have the names of transformers already: from_pretrained loads them."
            )
        raise CheckpointError(
            f"it holds no weight of a HuBERT or WavLM, such as {_MARKS[0]} or {_MARKS[2]}."
        )
    (prefix, count), *rest = found.most_common(2)
    if rest and rest[0][1] == count:
        raise CheckpointError(
            f"it holds two encoders, {shown([prefix, rest[0][0]])}; expected one."
        )
    return prefix


def _find_method(names: Iterable[str]) -> str | None:
    """Return whose heads there are, if any: the ones with most of their weights.

    Raises:
        CheckpointError: the projection has more layers than ours.
    """
    names = set(names)
    deeper = [name for name in names if re.match(r"pred_head\.layers\.[1-9]", name)]
    if deeper:
        raise CheckpointError(
            f"its projection has several layers, {shown(sorted(deeper))}; expected one."
        )
    method = max(_HEADS, key=lambda method: len(names & set(_HEADS[method])))
    return method if names & set(_HEADS[method]) else None


def _check_complete(state_dict: Mapping[str, Any], expected: Iterable[str]) -> None:
    missing = [name for name in expected if name not in state_dict]
    if missing:
        raise CheckpointError(f"{len(missing)} of its weights are missing: {shown(missing)}.")


def shown(names: Iterable[Any], most: int = 4) -> str:
    """Return names or values of a foreign file for a message: a few, shortened, in ASCII."""
    names = list(names)
    texts = [ascii(name)[1:-1] if type(name) is str else ascii(name) for name in names[:most]]
    texts = [text if len(text) <= 80 else text[:77] + "..." for text in texts]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(texts) + rest
