"""Types of encoder that transformers does not know: their classes, and the code in their folders.

A module of `backbones` announces its classes with `register_type`. The registry, unlike that of
`AutoModel`, also serves a process without this package, where the code came with a folder: there
the classes of one folder must not stand in for those of the next.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from transformers import CONFIG_MAPPING, MODEL_MAPPING, PreTrainedConfig, PreTrainedModel

_MODELS = "hf_rspin.models."


class OwnType(NamedTuple):
    """The classes of one `model_type` of ours; `ctc` is None where there is no such model."""

    config: type[PreTrainedConfig]
    model: type[PreTrainedModel]
    ctc: type[PreTrainedModel] | None


OWN_TYPES: dict[str, OwnType] = {}


def register_type(
    config_class: type[PreTrainedConfig],
    model_class: type[PreTrainedModel],
    ctc_class: type[PreTrainedModel] | None = None,
) -> None:
    """Announce an encoder of ours, by the `model_type` of its config.

    Args:
        config_class: with a `model_type` that transformers does not use.
        model_class: the plain encoder, a `TravellingEncoder`.
        ctc_class: the encoder with a CTC head, or None.
    """
    OWN_TYPES[config_class.model_type] = OwnType(config_class, model_class, ctc_class)


def config_class_of(model_type: str) -> type[PreTrainedConfig]:
    """Return the config class of a plain encoder, ours or that of transformers.

    Raises:
        KeyError: no such type.
    """
    own = OWN_TYPES.get(model_type)
    return CONFIG_MAPPING[model_type] if own is None else own.config


def model_class_of(config_class: type[PreTrainedConfig]) -> type[PreTrainedModel]:
    """Return the class of the plain encoder of a config, with head fields or without."""
    own = OWN_TYPES.get(config_class.model_type)
    if own is not None:
        return own.model
    return MODEL_MAPPING[next(part for part in config_class.__mro__ if part in MODEL_MAPPING)]


def own_code(config: PreTrainedConfig) -> tuple[dict[str, str], type[PreTrainedModel] | None]:
    """Return the `auto_map` of an encoder of ours, and its class; of another one {} and None.

    Args:
        config: of an encoder, with head fields or without.
    """
    own = OWN_TYPES.get(config.model_type)
    if own is None:
        return {}, None
    kinds = {"AutoConfig": own.config, "AutoModel": own.model, "AutoModelForCTC": own.ctc}
    named = {kind: f"{_flat(c.__module__)}.{c.__name__}" for kind, c in kinds.items() if c}
    return named, own.model


def _flat(module: str) -> str:
    """Return how a module is called in a saved folder; see `publishing.code`."""
    if module.startswith(_MODELS):
        return module.removeprefix(_MODELS).replace(".", "_")
    return module.rpartition(".")[2]  # it came with a folder


class TravellingEncoder(PreTrainedModel):
    """A plain encoder of ours: the folder it is saved in brings the code of its class.

    A base of its classes, before that of transformers.
    """

    def save_pretrained(
        self, save_directory: str | os.PathLike, is_main_process: bool = True, **kwargs: Any
    ) -> None:
        """Save weights, config and code; arguments are those of `PreTrainedModel`'s."""
        publishing = None if type(self)._auto_class else _publishing()
        if publishing is None:  # its code came with a folder, and transformers passes it on
            super().save_pretrained(save_directory, is_main_process, **kwargs)
            return
        self.config.auto_map, own = own_code(self.config)
        try:
            super().save_pretrained(save_directory, is_main_process, **kwargs)
        finally:
            del self.config.auto_map
        if is_main_process and Path(save_directory).is_dir():
            publishing.save_code(own, save_directory)


def _publishing() -> ModuleType | None:
    try:
        return import_module("hf_rspin.publishing.code")
    except ImportError:
        return None
