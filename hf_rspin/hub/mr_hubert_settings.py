"""The config of an MR-HuBERT of fairseq: sizes from its tensors, resolutions as its file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import gcd
from pathlib import Path
from typing import Any

from transformers import HubertConfig

from hf_rspin.hub.mr_hubert_names import Blocks, find_blocks
from hf_rspin.hub.official_names import Names, shown
from hf_rspin.hub.official_settings import OWN, Settings
from hf_rspin.hub.official_sizes import OfficialConfig, make_config
from hf_rspin.hub.stored_tensors import StoredTensor
from hf_rspin.inert_pickle import CheckpointError, Inert
from hf_rspin.models.backbones.mr_hubert_configuration import MRHubertConfig

RATIOS = "label_rate_ratios"


def read_mr_hubert(
    content: Any,
    stored: Mapping[str, StoredTensor],
    config: str | Path | None,
    num_attention_heads: int | None,
) -> tuple[Names, OfficialConfig]:
    """Return the names and the config of an MR-HuBERT.

    Args:
        content: of the checkpoint.
        stored: its state dict.
        config: config.json with what tensors do not tell: heads, `resolution_strides`, ...
        num_attention_heads: of each layer.

    Raises:
        CheckpointError: weights are missing or foreign, or contradict what is said.
        ValueError: what tensors do not tell is not said, or the config is none.
    """
    blocks = find_blocks(stored)
    said = _plain_settings(content)
    settings = Settings.gather(_with_plain_settings(content, said), config, num_attention_heads)
    strides, source = _strides(said, settings, len(blocks.layers) // 2)
    official = make_config(stored, blocks.names, _of_a_hubert(settings))
    made = _config(official.config, blocks, strides, said)
    sources = {**official.sources, "resolution_strides": source}
    return blocks.names, OfficialConfig(made, official.do_normalize, sources)


def _config(
    hubert: HubertConfig, blocks: Blocks, strides: tuple[int, ...], said: Mapping[str, Any]
) -> MRHubertConfig:
    """Return the config of the model, in what `hubert` leaves at its defaults with its own."""
    usual = HubertConfig()
    told = {
        name: getattr(hubert, name)
        for name in HubertConfig.__dataclass_fields__
        if getattr(hubert, name) != getattr(usual, name)
    }
    one = blocks.predictions == 1 or said.get("use_single_prediction") is True
    told |= {"num_hidden_layers": sum(blocks.layers), "block_layers": blocks.layers}
    return MRHubertConfig(
        **told,
        resolution_strides=strides,
        simple_sampling=blocks.simple,
        num_predictions=1 if one else None,
    )


def _strides(
    said: Mapping[str, Any], settings: Settings, steps: int
) -> tuple[tuple[int, ...], str]:
    """Return `resolution_strides`, and where they were said.

    fairseq's [1, 2, 2, 5] means a rate of 1/2, then of 2/5 of that.

    Raises:
        CheckpointError: they are no rates that the model has, or of another number of blocks.
        ValueError: they are not said.
    """
    if "resolution_strides" in settings.values:
        strides, source = (x["resolution_strides"] for x in (settings.values, settings.sources))
        if len(strides) != steps + 1:
            raise CheckpointError(
                f"resolution_strides are {list(strides)} by {source}, but its blocks have "
                f"{steps + 1} resolutions."
            )
        return strides, source
    ratios = said.get(RATIOS)
    if ratios is None:
        raise ValueError(
            f"tensors do not tell the resolutions of an MR-HuBERT, and the file has no {RATIOS}: "
            "pass --config with resolution_strides, such as [2, 1]."
        )
    whole = type(ratios) is list and all(type(n) is int and 0 < n < 100 for n in ratios)
    if not whole or len(ratios) != 2 * steps:
        raise CheckpointError(
            f"{RATIOS} are {shown([ratios])}; expected {2 * steps} whole numbers, two for each of "
            f"the {steps} blocks on the way down."
        )
    strides = [1]
    for up, down in zip(ratios[::2], ratios[1::2], strict=True):
        if gcd(up, down) != 1 or up > down or strides[-1] * down % up:
            raise CheckpointError(
                f"{RATIOS} are {ratios}; expected rates that fall to whole parts of 50 Hz, in "
                "lowest terms, such as [1, 2, 2, 5]."
            )
        strides.append(strides[-1] * down // up)
    return tuple(strides[::-1]), OWN


def _of_a_hubert(settings: Settings) -> Settings:
    """Return what is said of a HuBERT of all layers in a row.

    fairseq's number of layers is that of one block, where they are alike.

    Raises:
        CheckpointError: a config of another model.
    """
    values = dict(settings.values)
    model_type = values.pop("model_type", MRHubertConfig.model_type)
    if model_type != MRHubertConfig.model_type:
        raise CheckpointError(
            f"model_type is {shown([model_type])} by {settings.sources['model_type']}; expected "
            f"{MRHubertConfig.model_type}, as its tensors."
        )
    if settings.sources.get("num_hidden_layers") == OWN:
        del values["num_hidden_layers"]
    return Settings(values, settings.sources)


def _with_plain_settings(content: Any, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a checkpoint with its settings as plain values."""
    others = {} if type(content) is not dict else dict(content)
    for place in ("model_cfg", "task_cfg", "args"):  # said has them
        others.pop(place, None)
    return others | {"cfg": {"model": dict(said)}}


def _plain_settings(content: Any) -> dict[str, Any]:
    """Return what a checkpoint says of its model and its task, of the model first."""
    content = content if type(content) is dict else {}
    cfg = _mapping(content.get("cfg"))
    places = [cfg.get("model"), content.get("model_cfg"), cfg.get("task"), content.get("task_cfg")]
    places += [cfg, content.get("args")]  # of older files, without sections
    said: dict[str, Any] = {}
    for place in places:
        for name, value in _mapping(place).items():
            said.setdefault(name, _plain(value))
    return said


def _mapping(value: Any) -> Mapping[str, Any]:
    value = value.state if isinstance(value, Inert) else value
    return value if type(value) is dict else {}


def _plain(value: Any) -> Any:
    """Return the number, truth value or list that a text stands for; other values as they are."""
    if type(value) is not str or len(value) > 100:
        return value
    try:
        return json.loads({"True": "true", "False": "false"}.get(value, value))
    except (ValueError, RecursionError):
        return value
