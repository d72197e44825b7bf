"""Configurations of models with heads: any encoder's config, and the fields of an objective.

`model_type` stays that of the encoder, so that the same folder loads as a plain encoder. A class is
made for every family and objective: `RSpinHubertConfig`, `LaserWavLMConfig`, `RSpinSEWDConfig`, ...
The fields are in a file for each objective: `spin_fields`, `laser_fields`, `distillation_fields`.
"""

# no postponed annotations here: @strict checks types, and cannot read them from strings
import functools
import logging
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, PreTrainedConfig

from hf_rspin.models.encoder import FAMILIES, family_of
from hf_rspin.models.own_types import config_class_of

logger = logging.getLogger(__name__)

# What the methods train with; the defaults of plain encoders differ. Applied when heads are added
# to a plain encoder; a folder saved with heads keeps what it was saved with.
TRAINING_DEFAULTS = {
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "feat_proj_dropout": 0.1,
    "activation_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}
# anything else would be fetched from the Hub and run
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


@dataclass(kw_only=True)
class HeadFields:
    """What the configs of all models with heads share: how they read a plain encoder's.

    Attributes:
        apply_spec_augment: mask frames in training; not part of any objective here.
        untrained_heads: the heads were never trained; written when such a model is saved.
    """

    head_field: ClassVar[str] = ""  # a field that a config with these heads has
    prefix: ClassVar[str] = ""  # of the names of its classes
    family_defaults: ClassVar[dict] = {}  # by `model_type`, where they differ from HuBERT's
    training_defaults: ClassVar[dict] = TRAINING_DEFAULTS

    apply_spec_augment: bool = False
    untrained_heads: bool = False

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """Read a config; a plain encoder's gets the dropout of training and no masking.

        Those are `TRAINING_DEFAULTS`. Keyword arguments win over both.

        Raises:
            ValueError: the config of another type of encoder.
        """
        config_dict = without_foreign_code(config_dict)
        found = config_dict.get("model_type", cls.model_type)
        if found != cls.model_type:
            raise ValueError(
                f"the folder holds a {found!r} encoder, and {cls.__name__} reads "
                f"{cls.model_type!r}: use the class of that encoder."
            )
        if cls.head_field not in config_dict:
            known = cls.__dataclass_fields__
            config_dict |= {n: v for n, v in cls.training_defaults.items() if n in known}
            # the plain encoder's class would be saved as this model's
            config_dict.pop("architectures", None)
            config_dict.pop("untrained_heads", None)
            config_dict.pop("feature_set", None)  # of MR-HuBERT: heads count layers
        known = {name for name in kwargs if name in cls.__dataclass_fields__}
        config_dict.update({name: kwargs.pop(name) for name in known})
        return super().from_dict(config_dict, **kwargs)

    def validate_frame_rate(self) -> None:
        """Refuse the layers that wav2vec 2.0 may put on top for another frame rate."""
        if getattr(self, "add_adapter", False):
            raise ValueError("add_adapter is True; expected False: adapters change the frame rate.")

    def validate_feature_set(self) -> None:
        """Refuse another numbering of hidden states, which MR-HuBERT may have, than by layers."""
        found = getattr(self, "feature_set", "default")
        if found != "default":
            raise ValueError(
                f"feature_set is {found!r}; expected 'default': heads read the states of layers."
            )


def check_count(name: str, value: int | None, optional: bool = False, least: int = 1) -> None:
    """Refuse a field that is no integer of at least `least`; `optional` takes None too.

    Raises:
        ValueError: in one sentence.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or value < least:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        wanted += ", or None for no auxiliary head" if optional else ""
        raise ValueError(f"{name} is {value}; expected {wanted}.")


def check_number(name: str, value: float, allow_zero: bool) -> None:
    """Refuse a field that is not finite, negative, or 0 where that is not allowed.

    Raises:
        ValueError: in one sentence.
    """
    if not is_number(value) or value < 0 or (value == 0 and not allow_zero):
        wanted = "a finite number of at least 0" if allow_zero else "a positive, finite number"
        raise ValueError(f"{name} is {value}; expected {wanted}.")


def is_number(value: float) -> bool:
    """Return whether a field is a finite number, True and False being none."""
    return not isinstance(value, bool) and math.isfinite(value)


def without_foreign_code(config_dict: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a config's fields without an attention that would come from the Hub."""
    config_dict = dict(config_dict)
    for name in ("attn_implementation", "_attn_implementation"):
        value = config_dict.get(name)
        if value is not None and value not in ATTENTIONS:
            logger.warning("%s of the config is %r, which is not followed; expected one of %s.",
                           name, value, ", ".join(ATTENTIONS))  # fmt: skip
            del config_dict[name]
    return config_dict


@functools.cache
def config_class(fields: type[HeadFields], model_type: str) -> type[PreTrainedConfig]:
    """Return the config class of an objective on a family: the encoder's config and the fields.

    Args:
        fields: of an objective, such as `SpinFields`.
        model_type: of an encoder of `encoder.FAMILIES`.

    Raises:
        ValueError: a type of encoder that is not known.
    """
    family_of(model_type)
    base = config_class_of(model_type)
    known = base.__dataclass_fields__
    defaults = {name: value for name, value in fields.training_defaults.items() if name in known}
    defaults |= fields.family_defaults.get(model_type, {})
    types = {name: one.type for name, one in known.items()}
    types |= {name: one.type for name, one in fields.__dataclass_fields__.items()}
    text = ", ".join(
        f"{name} {value} ({known[name].default})"
        for name, value in defaults.items()
        if name in known and known[name].default != value
    )
    namespace = {
        "__doc__": f"{base.__name__} with the fields of `{fields.__name__}`.\n\n"
        f"    Defaults that differ from `{base.__name__}`: {text}.\n    ",
        "__module__": __name__,
        "__annotations__": {name: types[name] for name in defaults},
        "model_type": model_type,
        "_auto_class": None,  # of an encoder of ours that came with its code: see `own_types`
        **defaults,
    }
    return strict(type(base)(f"{fields.prefix}{base.__name__}", (fields, base), namespace))


def fields_of_heads() -> frozenset[str]:
    """Return the names of the fields of all objectives, which no plain encoder's config has."""
    names = {name for fields in _objectives() for name in fields.__dataclass_fields__}
    return frozenset(names - CONFIG_MAPPING["hubert"].__dataclass_fields__.keys())


def _objectives(fields: type[HeadFields] = HeadFields) -> list[type[HeadFields]]:
    """Return the classes of fields that are known; config classes, made of them, are not."""
    below = [found for one in fields.__subclasses__() for found in _objectives(one)]
    return ([fields] if fields.__dict__.get("head_field") else []) + below


def __getattr__(name: str) -> type[HeadFields] | type[PreTrainedConfig]:
    """Return fields by their name, or make a config class: `RSpinHubertConfig`, `LaserSEWDConfig`.

    So `SpinFields` and the like are found here too, once their file was imported.
    """
    for fields in _objectives():
        if name == fields.__name__:
            return fields
        for model_type in FAMILIES if name.startswith(fields.prefix) else ():
            if name == f"{fields.prefix}{config_class_of(model_type).__name__}":
                return config_class(fields, model_type)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
