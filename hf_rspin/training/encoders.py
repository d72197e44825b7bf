"""Which encoder a training script loads, and with which fields of its config."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from hf_rspin.adapters import is_adapter
from hf_rspin.models import RSpinHubertModel, RSpinWavLMModel
from hf_rspin.resources import encoder_folder

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HEADS = ("spin_head.", "auxiliary_head.")
MODEL_CLASSES = {"hubert": RSpinHubertModel, "wavlm": RSpinWavLMModel}


@dataclass
class EncoderArguments:
    """Which encoder, and any field of its config."""

    encoder: str = field(
        default="", metadata={"help": "folder or Hub id of a HuBERT or WavLM, or embedded"}
    )
    encoder_config: dict | str | None = field(
        default=None, metadata={"help": "other config fields (dropout, ...), mapping or JSON"}
    )

    def __post_init__(self) -> None:
        given = self.encoder_config
        if isinstance(given, str):
            with contextlib.suppress(json.JSONDecodeError):
                self.encoder_config = json.loads(given)
        if self.encoder_config is not None and not isinstance(self.encoder_config, dict):
            raise ValueError(
                f"encoder_config is {given!r}; expected a mapping in YAML, or on the command line "
                "in JSON such as '{\"hidden_dropout\": 0.0}'."
            )

    def changes(self, without: tuple[str, ...] = ()) -> dict:
        """Return the config fields that were given, those of `encoder_config` among them."""
        changes = dict(self.encoder_config or {})
        for name in (f.name for f in fields(self)):
            if name in ("encoder", "encoder_config", *without):
                continue
            if getattr(self, name) is not None:
                changes[name] = getattr(self, name)
        return changes


@dataclass
class ModelArguments(EncoderArguments):
    """Which encoder, and its heads; what is not given keeps the config's value."""

    projection_size: int | None = field(default=None, metadata={"help": "size of projections"})
    codebook_size: int | None = field(default=None, metadata={"help": "number of codes"})
    spin_layer: int | None = field(default=None, metadata={"help": "hidden state of the Spin head"})
    auxiliary_layer: int | None = field(
        default=None, metadata={"help": "hidden state of the auxiliary head"}
    )
    spin_loss_weight: float | None = field(default=None, metadata={"help": "0 switches it off"})
    auxiliary_loss_weight: float | None = field(default=None, metadata={"help": "lambda of Eq. 3"})
    temperature: float | None = field(default=None, metadata={"help": "temperature of codes"})

    def build(self, num_pseudo_labels: int | None = None) -> PreTrainedModel:
        """Load the encoder with heads, in float32; fresh heads where the folder has none.

        Raises:
            ValueError: see `build_model`.
        """
        changes = self.changes()
        if num_pseudo_labels is not None:
            changes["num_pseudo_labels"] = num_pseudo_labels
        return build_model(self.encoder, MODEL_CLASSES, HEADS, lambda model_type: changes)


def build_model(
    name: str,
    model_classes: dict[str, type[PreTrainedModel]],
    heads: tuple[str, ...],
    changes_for: Callable[[str], dict],
) -> PreTrainedModel:
    """Load an encoder into the class of its type, in float32.

    Args:
        name: folder, Hub id or embedded.
        model_classes: by `model_type`.
        heads: how the names of weights begin that may be fresh.
        changes_for: gives the config fields to change for a `model_type`.

    Raises:
        ValueError: no encoder was named, it cannot be found, its type is neither hubert nor
            wavlm, or a field to change is none that its config has.
    """
    if not name:
        raise ValueError(
            "no encoder was given; pass --encoder with a folder or Hub id, for instance "
            "microsoft/wavlm-base."
        )
    encoder = resolve_encoder(name)
    model_type = AutoConfig.from_pretrained(encoder).model_type
    if model_type not in model_classes:
        raise ValueError(
            f"{name} is a {model_type!r} model; expected one of {', '.join(model_classes)}."
        )
    changes, model_class = changes_for(model_type), model_classes[model_type]
    _check_fields(changes, model_class.config_class)
    config = model_class.config_class.from_pretrained(encoder, **changes)
    return _load_encoder(model_class, encoder, config, heads)


def _check_fields(changes: dict, config_class: type[PretrainedConfig]) -> None:
    known = [f.name for f in fields(config_class)]
    for name in changes:
        if name not in known:
            close = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else "see its documentation."
            raise ValueError(
                f"encoder_config names {name}, which is no field of {config_class.__name__}; {hint}"
            )


def _load_encoder(
    model_class: type[PreTrainedModel],
    encoder: str,
    config: PretrainedConfig,
    heads: tuple[str, ...],
) -> PreTrainedModel:
    """Load in float32; heads of other sizes than the config's begin anew.

    Raises:
        ValueError: the encoder itself does not fit the config.
    """
    model, report = model_class.from_pretrained(
        encoder,
        config=config,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    changed = sorted(name for name, *_ in report["mismatched_keys"])
    misfits = [name for name in changed if not name.startswith(heads)]
    if misfits:
        raise ValueError(
            f"{encoder} does not fit its config: {', '.join(misfits[:3])} has another size. Leave "
            "sizes of the encoder out of encoder_config."
        )
    if changed:
        logger.warning(
            "The heads in %s have other sizes: %s begin anew.", encoder, ", ".join(changed)
        )
    return model


def resolve_encoder(name: str) -> str:
    """Return the folder or Hub id of an encoder; "embedded" is the one in the package.

    Raises:
        ValueError: there is no such folder with a model, and none on the Hub.
    """
    if name == EMBEDDED:
        return str(encoder_folder())
    if Path(name).is_dir():
        if (Path(name) / "config.json").is_file() and not is_adapter(name):
            return name
        what = "holds an adapter, no model" if is_adapter(name) else "holds no config.json"
    else:
        what = "is neither a folder nor a model of the Hub"
        if HUB_ID.fullmatch(name):
            try:
                cached_file(name, "config.json")
                return name
            except OSError as error:
                what += f" ({str(error).split(chr(10))[0].rstrip('.')})"
    raise ValueError(
        f"{name} {what}; expected a folder with config.json and weights, a Hub id such as "
        f"microsoft/wavlm-base (after `hf auth login` also a private one), or {EMBEDDED}."
    )
