"""Load what was adapted: the base model, its heads and the adapter, from the adapter's folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModel, AutoModelForCTC, PreTrainedModel

from hf_rspin import models
from hf_rspin.adapters.lora import make_lora_work
from hf_rspin.resources import encoder_folder

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
ADAPTER_CONFIG = "adapter_config.json"


def is_adapter(folder: str | Path) -> bool:
    """Say whether a folder holds an adapter and not a whole model."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def adapted_model(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Return the model inside a peft model, or the model itself."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_config(model: PeftModel, folder: str | Path) -> None:
    """Complete the folder of a saved adapter for `load_adapted`.

    The config of the adapted model, its heads' sizes among it, is written beside the adapter, and
    the encoder in the package is named by a word in place of the path of an installation.
    """
    base = adapted_model(model)
    base.config.architectures = [type(base).__name__]
    base.config.save_pretrained(folder)
    path = Path(folder) / ADAPTER_CONFIG
    adapter = json.loads(path.read_text())
    if adapter["base_model_name_or_path"] == str(encoder_folder()):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(adapter | {"base_model_name_or_path": EMBEDDED}, indent=2))
        temporary.replace(path)


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
        ValueError: the folder holds no adapter, or it does not say what it adapts.
    """
    if not is_adapter(folder) or not (Path(folder) / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no adapter of a training script; expected {ADAPTER_CONFIG} and "
            "config.json: load a whole model with from_pretrained."
        )
    name = base or PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not name:
        raise ValueError(f"the adapter in {folder} does not name its base model: pass base=...")
    model = _load_base(str(folder), str(encoder_folder()) if name == EMBEDDED else str(name))
    make_lora_work(model)
    return PeftModel.from_pretrained(model, str(folder), is_trainable=is_trainable)


def _load_base(folder: str, name: str) -> PreTrainedModel:
    """Load the base with the config in `folder`; heads it lacks come with the adapter."""
    architecture = (AutoConfig.from_pretrained(folder).architectures or [""])[0]
    options = {"dtype": torch.float32, "ignore_mismatched_sizes": True}
    if architecture in models.__all__:
        model_class = getattr(models, architecture)
        config = model_class.config_class.from_pretrained(folder)
        return model_class.from_pretrained(name, config=config, **options)
    loader = AutoModelForCTC if architecture.endswith("ForCTC") else AutoModel
    return loader.from_pretrained(name, config=AutoConfig.from_pretrained(folder), **options)
