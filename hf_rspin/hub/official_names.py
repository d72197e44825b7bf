"""Names of weights: those of fairseq, WavLM, s3prl, Spin and R-Spin, and those of transformers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_rspin.hub.official_layouts import Layout
from hf_rspin.inert_pickle import CheckpointError

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
# of pre-training, of no use to an encoder; the last two of ContentVec and of DistilHuBERT
_LEFT_OUT = (
    "label_embs_concat", "final_proj.", "target_glu.", "project_q.", "quantizer.", "layer_proj.",
    "output_layer.",
)  # fmt: skip


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


def find_names(state_dict: Mapping[str, Any], distilled: bool = False) -> Names:
    """Recognise an official state dict by its names.

    Args:
        state_dict: by name in the checkpoint.
        distilled: whether it is of s3prl's distiller, which lacks weights that others have.

    Raises:
        CheckpointError: it holds no encoder or two, weights are missing, or there are some that
            would change what the encoder computes; names them.
    """
    prefix = _find_prefix(state_dict)
    tails = {name: name.removeprefix(prefix) for name in state_dict}
    layout = Layout.of((tails[n] for n in state_dict if n.startswith(prefix)), distilled)
    encoder = {prefix + official: ours for official, ours in layout.names().items()}
    others = [name for name in state_dict if name not in encoder]
    method = _find_method(others)
    heads = {} if method is None else _HEADS[method]
    check_complete(state_dict, [*encoder, *heads])
    others = [name for name in others if name not in heads]
    check_foreign([n for n in others if n.startswith(prefix) and layout.is_inside(tails[n])])
    left_out = [
        name for name in others
        if tails[name].startswith(_LEFT_OUT) or layout.is_pretraining(tails[name])
    ]  # fmt: skip
    known = set(left_out)
    unknown = [name for name in others if name not in known]
    return Names(layout, method, encoder, heads, left_out, unknown)


def _find_prefix(names: Iterable[str]) -> str:
    """Return what stands before all names of the encoder's weights.

    Raises:
        CheckpointError: there is no encoder, or two.
    """
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
        if any(name.startswith("modality_encoders.") for name in names):
            raise CheckpointError(
                "it is a data2vec 2.0, which transformers has no model of; expected the first one."
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


def check_complete(state_dict: Mapping[str, Any], expected: Iterable[str]) -> None:
    """Refuse a checkpoint that lacks weights.

    Raises:
        CheckpointError: names some of those that are missing.
    """
    missing = [name for name in expected if name not in state_dict]
    if missing:
        raise CheckpointError(f"{len(missing)} of its weights are missing: {shown(missing)}.")


def check_foreign(names: list[str]) -> None:
    """Refuse weights that an encoder would compute with and that have no place here.

    Raises:
        CheckpointError: there are any.
    """
    if names:
        raise CheckpointError(
            f"{len(names)} of its weights would change what the encoder computes and have no place "
            f"in one of transformers: {shown(names)}."
        )


def shown(names: Iterable[Any], most: int = 4) -> str:
    """Return names or values of a foreign file for a message: a few, shortened, in ASCII."""
    names = list(names)
    texts = [ascii(name)[1:-1] if type(name) is str else ascii(name) for name in names[:most]]
    texts = [text if len(text) <= 80 else text[:77] + "..." for text in texts]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(texts) + rest
