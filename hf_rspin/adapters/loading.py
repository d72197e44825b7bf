"""Load what was adapted: the base model, its heads and the adapter, from the adapter's folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModel, AutoModelForCTC, PreTrainedConfig, PreTrainedModel

from hf_rspin import models
from hf_rspin.adapters.lora import make_lora_work
from hf_rspin.models.encoder import family_of
from hf_rspin.models.folders import BUNDLED, encoder_folder, is_bundled
from hf_rspin.utils import write_json

logger = logging.getLogger(__name__)

ADAPTER_CONFIG = "adapter_config.json"


def is_adapter(folder: str | Path) -> bool:
    """Say whether a folder holds an adapter and not a whole model."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def adapted_model(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the model inside a peft model, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_config(model: PeftModel, folder: str | Path) -> None:
    """Complete the folder of a saved adapter for `load_adapted`.

    The config of the adapted model, its heads' sizes among it, is written beside the adapter. The
    encoder in the package is named by a word in place of the path of an installation, and another
    folder by its whole path, which holds wherever the adapter is loaded.
    """
    base = adapted_model(model)
    base.config.architectures = [type(base).__name__]
    for name in model.peft_config:
        place = Path(folder) if name == "default" else Path(folder) / name
        base.config.save_pretrained(place)
        _name_base(place / ADAPTER_CONFIG)


def _name_base(path: Path) -> None:
    adapter = json.loads(path.read_text())
    name = adapter["base_model_name_or_path"]
    if name and Path(name).is_dir():
        place = Path(name).resolve()
        name = BUNDLED if place == encoder_folder().resolve() else str(place)
        write_json(path, adapter | {"base_model_name_or_path": name}, indent=2)


def load_adapted(
    folder: str | Path, base: str | Path | None = None, is_trainable: bool = False
) -> PeftModel:
    """Load an adapter that was trained here, on the model that it adapts.

    Unlike `PeftModel.from_pretrained` it needs no model: the sizes of the heads come from the
    config that is saved beside the adapter, and LoRA acts on WavLM.

    Args:
        folder: of the adapter, as a training script saves it.
        base: folder or Hub id of the encoder that was adapted; None for the one that the adapter
            names.
        is_trainable: True to train on.

    Raises:
        ValueError: the folder holds no adapter, it does not say what it adapts, or that is not
            there or is another encoder.
    """
    if not is_adapter(folder) or not (Path(folder) / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no adapter of a training script; expected {ADAPTER_CONFIG} and "
            "config.json: load a whole model with from_pretrained."
        )
    name = base or PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not name:
        raise ValueError(f"the adapter in {folder} does not name its base model: pass base=...")
    model = _load_base(str(folder), str(encoder_folder()) if is_bundled(name) else str(name))
    make_lora_work(model)
    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=is_trainable)
    if adapted.peft_config["default"].modules_to_save:
        model.config.untrained_heads = False  # they came with the adapter
    return adapted


def _config_of(name: str) -> PreTrainedConfig:
    """Return the config of an encoder; code that its folder names is not run.

    Raises:
        ValueError: its type is not known.
    """
    family_of(PreTrainedConfig.get_config_dict(name)[0].get("model_type"))
    return AutoConfig.from_pretrained(name, trust_remote_code=False)


def _load_base(folder: str, name: str) -> PreTrainedModel:
    """Load the base with the config in `folder`; heads it lacks come with the adapter."""
    config = _config_of(folder)
    architecture = (config.architectures or [""])[0]
    loader = AutoModelForCTC if architecture.endswith("ForCTC") else AutoModel
    if architecture in models.__all__:
        loader = getattr(models, architecture)
        config = loader.with_fields(config)
    try:
        found = _config_of(name).model_type
        model, report = loader.from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except OSError as error:
        raise ValueError(
            f"the base model {name} of the adapter in {folder} cannot be loaded "
            f"({' '.join(str(error).split())}): pass base=... with its folder or Hub id."
        ) from error
    problem = _misfit(model, report)
    if found != config.model_type:
        problem = f"it is a {found} model and no {config.model_type}"
    if problem:
        raise ValueError(
            f"{name} is not the base model of the adapter in {folder}: {problem}; pass base=... "
            "with the encoder that was adapted."
        )
    return model


def _misfit(model: PreTrainedModel, report: dict[str, Any]) -> str | None:
    """Say which weights of the encoder are random, as those loaded did not fit; None: none are."""
    absent = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    lacking = sorted(absent & {prefix + key for key in model.base_model.state_dict()})
    # a folder has no embedding of masked frames where it masks none
    if not lacking or lacking == [f"{prefix}masked_spec_embed"]:
        return None
    return (
        f"{len(lacking)} weights of the encoder are absent or of another size, among them "
        f"{lacking[0]}"
    )
