"""Is a folder fit for the Hub? Found out before an upload, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

from hf_rspin.models.folders import HUB_ID
from hf_rspin.publishing.card_file import CARD, EXTRACTOR
from hf_rspin.utils import read_json

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
WEIGHTS, ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that others could not use: a model's, or an adapter's.

    Looked at: the weights and whether they are whole, the config and the code that it announces,
    the feature extractor's `do_normalize`, and the card's metadata.

    Raises:
        ValueError: something is missing; the message lists what.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; expected that of a saved model.")
    problems = list(_problems(folder))
    if problems:
        raise ValueError(
            f"{folder} is not ready for the Hub: {'; '.join(problems)}. Save the model there with "
            "save_pretrained or hf_rspin.hub.save_for_hub."
        )


def _problems(folder: Path) -> Iterator[str]:
    if (folder / ADAPTER_CONFIG).is_file():
        yield from _weights_problems(folder, ADAPTER_WEIGHTS)
        yield from _adapter_problems(folder)
    else:
        yield from _weights_problems(folder, WEIGHTS)
        yield from _config_problems(folder)
    yield from _extractor_problems(folder)
    yield from _card_problems(folder / CARD)


def _weights_problems(folder: Path, name: str) -> Iterator[str]:
    files = [folder / name]
    index = folder / f"{name}.index.json"
    if index.is_file():
        shards = (read_json(index) or {}).get("weight_map", {})
        files = [folder / shard for shard in sorted(set(shards.values()))]
        if not files:
            yield f"{index.name} names no weights"
    for file in files:
        if not file.is_file():
            yield f"no weights ({file.name})"
            continue
        try:
            with safe_open(file, "pt"):
                pass
        except SafetensorError as error:
            yield f"{file.name} is damaged ({error})"


def _config_problems(folder: Path) -> Iterator[str]:
    config = read_json(folder / CONFIG)
    if not config or "model_type" not in config:
        yield f"no {CONFIG} that names a model_type"
        return
    named = config.get("auto_map") or {}
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        yield f"auto_map of {CONFIG} is {named}; expected one class for each loader"
        return
    for reference in named.values():
        code = f"{reference.split('--')[-1].split('.')[0]}.py"
        if "--" not in reference and not (folder / code).is_file():
            yield f"{CONFIG} announces code in {code}, which is not there"


def _adapter_problems(folder: Path) -> Iterator[str]:
    base = (read_json(folder / ADAPTER_CONFIG) or {}).get("base_model_name_or_path")
    if not base:
        yield f"{ADAPTER_CONFIG} names no base model"
    elif not HUB_ID.fullmatch(base) or Path(base).exists():
        yield (
            f"{ADAPTER_CONFIG} names a base model that only this machine has ({base}): merge the "
            "adapter, or upload its base first and name it there"
        )


def _extractor_problems(folder: Path) -> Iterator[str]:
    processor = read_json(folder / "processor_config.json") or {}
    extractor = processor.get("feature_extractor") or read_json(folder / EXTRACTOR)
    if not extractor:
        yield f"no feature extractor ({EXTRACTOR})"
    elif not isinstance(extractor.get("do_normalize"), bool):
        yield "the feature extractor does not say do_normalize"


def _card_problems(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"no model card ({CARD})"
        return
    try:
        card = ModelCard(path.read_text(encoding="utf-8"))
        metadata = card.data.to_dict()
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        yield f"the metadata of {CARD} cannot be read ({' '.join(str(error).split())})"
        return
    if not metadata:
        yield f"{CARD} has no metadata"
    if not card.text.strip():
        yield f"{CARD} says nothing beside its metadata"
    bases = metadata.get("base_model") or []
    for base in [bases] if isinstance(bases, str) else bases:
        if not HUB_ID.fullmatch(base):
            yield f"base_model in {CARD} is {base!r}, which is no id on the Hub"
