"""What the configurations of all models with heads share: how they read a plain encoder's."""

# no postponed annotations here: @strict checks types, and cannot read them from strings
from typing import Any, Self

# What the methods train with; the defaults of HubertConfig and WavLMConfig differ. Applied when
# heads are added to a plain encoder; a folder saved with heads keeps what it was saved with.
TRAINING_DEFAULTS = {
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "feat_proj_dropout": 0.1,
    "activation_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}


class HeadsConfigMixin:
    """Reads the config of a folder with heads, or of a plain encoder.

    Attributes:
        head_field: name of a field that a config with these heads has.
    """

    head_field = ""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Self:
        """Read a config; a plain encoder's gets the dropout of training and no masking.

        Those are `TRAINING_DEFAULTS`. Keyword arguments win over both.

        Raises:
            ValueError: the config of another type of encoder.
        """
        config_dict = dict(config_dict)
        found = config_dict.get("model_type", cls.model_type)
        if found != cls.model_type:
            raise ValueError(
                f"the folder holds a {found!r} encoder, and {cls.__name__} reads "
                f"{cls.model_type!r}: use the class of that encoder."
            )
        if cls.head_field not in config_dict:
            config_dict.update(TRAINING_DEFAULTS)
            # the plain encoder's class would be saved as this model's
            config_dict.pop("architectures", None)
        known = {name for name in kwargs if name in cls.__dataclass_fields__}
        config_dict.update({name: kwargs.pop(name) for name in known})
        return super().from_dict(config_dict, **kwargs)
