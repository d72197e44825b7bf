"""What the official names of an encoder's weights tell of it, and their names in transformers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hf_rspin.inert_pickle import CheckpointError

_ATTENTION = ("k_proj", "v_proj", "q_proj", "out_proj")
_PARTS = ("weight", "bias")
_POSITIONS = {  # by how torch stores weight norm: before version 2.1 and since
    "encoder.pos_conv.0.weight_g": "encoder.pos_conv.0.parametrizations.weight.original0",
    "encoder.pos_conv.0.weight_v": "encoder.pos_conv.0.parametrizations.weight.original1",
}
_DEEP_POSITIONS = r"encoder\.pos_conv\.(\d+)\.0\."
_CONDITIONED = r"encoder\.layers\.(\d+)\.(?:self_attn|final)_layer_norm\.(?:weight|bias)_ln\."
# modules all weights of which an encoder must know: one more would change what it computes
_OWN_MODULES = (
    "encoder.", "feature_extractor.", "post_extract_proj.", "layer_norm.", "task_embedding.",
)  # fmt: skip
DATA2VEC = "data2vec-audio"
MOST_LAYERS = 256


@dataclass(frozen=True)
class Layout:
    """What the names of an encoder's weights tell of it.

    Attributes:
        family: "hubert", "wavlm", or "data2vec-audio" with several positional convolutions.
        conv_layers: number of convolutions before the transformer.
        layers: number of transformer layers, without `conditioned`.
        conditioned: number of layers behind them that also read a speaker embedding (ContentVec);
            only its pre-training runs these.
        conv_norm: "group" or "layer", the `feat_extract_norm` of the config.
        conv_bias: whether the convolutions have biases.
        positions: number of positional convolutions.
        old_weight_norm: whether the positional convolution has `weight_g` and `weight_v`.
        distilled: whether it is of s3prl's distiller: without the layer norm in front of the
            feature projection, and without an embedding of masked frames.
    """

    family: str
    conv_layers: int
    layers: int
    conditioned: int
    conv_norm: str
    conv_bias: bool
    positions: int
    old_weight_norm: bool
    distilled: bool

    @classmethod
    def of(cls, names: Iterable[str], distilled: bool = False) -> Layout:
        """Read the layout off the names of an encoder's weights, its prefix taken off.

        Args:
            names: of all weights.
            distilled: see the attribute.

        Raises:
            CheckpointError: a layer has a number that no encoder has, or speakers condition layers
                below others.
        """
        names = set(names)
        layers, conditioned = _layers(names)
        layer_norm = any(
            re.fullmatch(r"feature_extractor\.conv_layers\.\d+\.2\.1\.weight", name)
            for name in names
        )
        return cls(
            family=_family(names),
            conv_layers=_count(r"feature_extractor\.conv_layers\.(\d+)\.", names),
            layers=layers,
            conditioned=conditioned,
            conv_norm="layer" if layer_norm else "group",
            conv_bias="feature_extractor.conv_layers.0.0.bias" in names,
            positions=_count(_DEEP_POSITIONS, names),
            old_weight_norm=not names & set(_POSITIONS.values()),
            distilled=distilled,
        )

    def names(self) -> dict[str, str]:
        """Return the transformers name of every weight, by its official name."""
        pairs = [("post_extract_proj", "feature_projection.projection")]
        pairs += [("encoder.layer_norm", "encoder.layer_norm")]
        if not self.distilled:
            pairs += [("layer_norm", "feature_projection.layer_norm")]
        for layer in range(self.layers):
            pairs += _layer_modules(f"encoder.layers.{layer}.")
        names = _weights_and_biases(pairs) | self._feature_encoder() | self._positions()
        if not self.distilled:
            names["mask_emb"] = "masked_spec_embed"
        if self.family == "wavlm":
            names |= self._relative_positions()
        return names

    def is_pretraining(self, name: str) -> bool:
        """Say whether a weight, its prefix taken off, is of what `conditioned` tells of."""
        layers = range(self.layers, self.layers + self.conditioned)
        prefixes = [f"encoder.layers.{layer}." for layer in layers]
        if self.conditioned:
            prefixes.append("encoder.cond_layer_norm.")
        return name.startswith(tuple(prefixes))

    def is_inside(self, name: str) -> bool:
        """Say whether a weight, its prefix taken off, takes part in what the encoder computes."""
        return name.startswith(_OWN_MODULES) and not self.is_pretraining(name)

    def _feature_encoder(self) -> dict[str, str]:
        names = {}
        for layer in range(self.conv_layers):
            official = ours = f"feature_extractor.conv_layers.{layer}"
            for part in _PARTS if self.conv_bias else _PARTS[:1]:
                names[f"{official}.0.{part}"] = f"{ours}.conv.{part}"
            if self.conv_norm == "layer" or layer == 0:
                norm = "2.1" if self.conv_norm == "layer" else "2"
                names |= _weights_and_biases([(f"{official}.{norm}", f"{ours}.layer_norm")])
        return names

    def _positions(self) -> dict[str, str]:
        ours = "encoder.pos_conv_embed."
        if self.family == DATA2VEC:
            return _weights_and_biases(
                (f"encoder.pos_conv.{number}.0", f"{ours}layers.{number}.conv")
                for number in range(self.positions)
            )
        names = {"encoder.pos_conv.0.bias": ours + "conv.bias"}
        for number, (old, new) in enumerate(_POSITIONS.items()):
            official = old if self.old_weight_norm else new
            names[official] = f"{ours}conv.parametrizations.weight.original{number}"
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
            names |= _weights_and_biases([(official + "linear", ours + "linear")])
        return names


def _family(names: set[str]) -> str:
    if any(name.endswith((".grep_a", ".relative_attention_bias.weight")) for name in names):
        return "wavlm"
    deep = any(re.match(_DEEP_POSITIONS, name) for name in names)
    return DATA2VEC if deep else "hubert"


def _layers(names: set[str]) -> tuple[int, int]:
    """Return the number of layers, and of those behind them that read a speaker embedding."""
    count = _count(r"encoder\.layers\.(\d+)\.", names)
    found = {int(match.group(1)) for name in names if (match := re.match(_CONDITIONED, name))}
    layers = count - len(found)
    if found != set(range(layers, count)) or not layers:
        raise CheckpointError(
            f"its layers {sorted(found)} of {count} read a speaker embedding; expected that of the "
            "last ones only, as in ContentVec."
        )
    return layers, len(found)


def _layer_modules(prefix: str) -> list[tuple[str, str]]:
    """Return the official and our names of a transformer layer's modules with weight and bias."""
    pairs = [(f"self_attn.{name}", f"attention.{name}") for name in _ATTENTION]
    pairs += [("self_attn_layer_norm", "layer_norm"), ("final_layer_norm", "final_layer_norm")]
    pairs += [("fc1", "feed_forward.intermediate_dense"), ("fc2", "feed_forward.output_dense")]
    return [(prefix + official, prefix + ours) for official, ours in pairs]


def _weights_and_biases(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {f"{official}.{p}": f"{ours}.{p}" for official, ours in pairs for p in _PARTS}


def _count(pattern: str, names: Iterable[str]) -> int:
    """Return one more than the highest layer number, 1 at least: a gap shows as missing weights."""
    numbers = [found.group(1) for name in names if (found := re.match(pattern, name))]
    if any(len(number) > 3 or int(number) >= MOST_LAYERS for number in numbers):
        raise CheckpointError(f"its layers have numbers above {MOST_LAYERS}.")
    return max((int(number) + 1 for number in numbers), default=1)
