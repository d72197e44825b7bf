"""Names of weights of MR-HuBERT: those of fairseq, and those of our model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_rspin.hub.official_layouts import MOST_LAYERS, Layout
from hf_rspin.hub.official_names import Names, check_complete, check_foreign, shown
from hf_rspin.inert_pickle import CheckpointError

_MIDDLE = "middle_encoder."
_BLOCK = re.compile(r"(encoders|decoders)\.(\d{1,3})\.|middle_encoder\.")
_LAYER = re.compile(r"layers\.(\d{1,3})\.(.+)")
# modules all weights of which the encoder must know
_OWN_MODULES = (
    "encoders.", _MIDDLE, "decoders.", "downsample_modules.", "upsample_modules.",
    "feature_extractor.", "post_extract_proj.", "layer_norm.",
)  # fmt: skip
_LEFT_OUT = ("final_projs.", "label_embs_concat.", "target_glus.")
_SAMPLING = {
    "upsample_conv.0": "up_conv", "upsample_conv.2": "up_norm",
    "downsample_conv.0": "down_conv", "downsample_conv.2": "down_norm",
}  # fmt: skip


@dataclass(frozen=True)
class Blocks:
    """What the names of a checkpoint tell of its blocks.

    Attributes:
        names: of the weights; its layout is that of a HuBERT of all layers in a row.
        layers: of each block, in the order they run.
        simple: whether sampling modules have one convolution only.
        predictions: resolutions at which it predicts; 0: its heads are not in the file.
    """

    names: Names
    layers: tuple[int, ...]
    simple: bool
    predictions: int


def is_mr_hubert(names: Iterable[str]) -> bool:
    """Say whether a state dict is of an MR-HuBERT in fairseq's names."""
    return any(_MIDDLE in name for name in names)


def find_blocks(state_dict: Mapping[str, Any]) -> Blocks:
    """Recognise the state dict of an MR-HuBERT by its names.

    Args:
        state_dict: by name in the checkpoint.

    Raises:
        CheckpointError: there are two encoders, weights are missing, or there are some that would
            change what the encoder computes; names them.
    """
    prefix = _find_prefix(state_dict)
    tails = [name.removeprefix(prefix) for name in state_dict if name.startswith(prefix)]
    order = _find_order(tails)
    layers = tuple(_count_layers(block, tails) for block in order)
    if sum(layers) > MOST_LAYERS:
        raise CheckpointError(f"its blocks have {sum(layers)} layers; expected {MOST_LAYERS}.")
    simple = not any(re.match(r"downsample_modules\.\d+\.upsample_conv\.", n) for n in tails)
    layout = Layout.of(_in_a_row(name, order, layers) for name in tails)
    if layout.family != "hubert" or layout.conditioned:
        raise CheckpointError("its layers have parts that are not HuBERT's; expected an MR-HuBERT.")
    ours = {_in_blocks(name, order, layers): new for name, new in layout.names().items()}
    ours |= _norms(order) | _sampling(len(order) // 2, simple)
    names = _sort(state_dict, prefix, {prefix + name: new for name, new in ours.items()}, layout)
    heads = [n for n in names.left_out if n.endswith(".weight") and "final_projs." in n]
    return Blocks(names, layers, simple, len(heads))


def _sort(
    state_dict: Mapping[str, Any], prefix: str, encoder: dict[str, str], layout: Layout
) -> Names:
    """Say of every weight whether it is of the encoder, of pre-training, or unknown."""
    check_complete(state_dict, encoder)
    tails = {name: name.removeprefix(prefix) for name in state_dict if name not in encoder}
    check_foreign([n for n, tail in tails.items()
                   if n.startswith(prefix) and tail.startswith(_OWN_MODULES)])  # fmt: skip
    left_out = [name for name, tail in tails.items() if tail.startswith(_LEFT_OUT)]
    unknown = [name for name, tail in tails.items() if not tail.startswith(_LEFT_OUT)]
    return Names(layout, None, encoder, {}, left_out, unknown)


def _find_prefix(names: Iterable[str]) -> str:
    found = sorted({name.partition(_MIDDLE)[0] for name in names if _MIDDLE in name})
    if len(found) > 1:
        raise CheckpointError(f"it holds two encoders, {shown(found)}; expected one.")
    return found[0]


def _find_order(names: Iterable[str]) -> list[str]:
    """Return the prefixes of the blocks in the order they run."""
    found = {match.group() for name in names if (match := _BLOCK.match(name))}
    down = sum(name.startswith("encoders.") for name in found)
    up = sum(name.startswith("decoders.") for name in found)
    if down != up or down == 0:
        raise CheckpointError(
            f"it has {down} blocks (encoders.) on the way down and {up} (decoders.) on the way up; "
            "expected as many, at least one."
        )
    return [
        *(f"encoders.{block}." for block in range(down)), _MIDDLE,
        *(f"decoders.{block}." for block in range(up)),
    ]  # fmt: skip


def _count_layers(block: str, names: Iterable[str]) -> int:
    """Return one more than the highest layer number, 1 at least: a gap shows as missing weights."""
    tails = [name.removeprefix(block) for name in names if name.startswith(block)]
    return max((int(m.group(1)) + 1 for tail in tails if (m := _LAYER.match(tail))), default=1)


def _in_a_row(name: str, order: list[str], layers: tuple[int, ...]) -> str:
    """Return the name that a weight would have in one HuBERT of all layers."""
    block = next((block for block in order if name.startswith(block)), None)
    if block is None:
        return name
    tail = name.removeprefix(block)
    found = _LAYER.match(tail)
    if found is None:
        return f"encoder.{tail}" if block == order[0] else name
    first = sum(layers[: order.index(block)])
    return f"encoder.layers.{first + int(found.group(1))}.{found.group(2)}"


def _in_blocks(name: str, order: list[str], layers: tuple[int, ...]) -> str:
    """Return the name that a weight of such a HuBERT has in its block."""
    tail = name.removeprefix("encoder.")
    if tail == name:
        return name
    found = _LAYER.match(tail)
    if found is None:
        return order[0] + tail
    index, block = int(found.group(1)), 0
    while index >= layers[block]:
        index, block = index - layers[block], block + 1
    return f"{order[block]}layers.{index}.{found.group(2)}"


def _norms(order: list[str]) -> dict[str, str]:
    return {
        f"{block}layer_norm.{part}": f"encoder.norms.{index}.{part}"
        for index, block in enumerate(order)
        for part in ("weight", "bias")
    }


def _sampling(steps: int, simple: bool) -> dict[str, str]:
    """Return our names of sampling modules; those on the way up are listed upside down."""
    names = {}
    for step in range(2 * steps):
        rising = step >= steps
        number, kind = (2 * steps - 1 - step, "upsample") if rising else (step, "downsample")
        for official, ours in _SAMPLING.items():
            if simple and not official.startswith(kind):
                continue
            for part in ("weight",) if ours.endswith("conv") else ("weight", "bias"):
                official_name = f"{kind}_modules.{number}.{official}.{part}"
                names[official_name] = f"encoder.sampling.{step}.{ours}.{part}"
    return names
