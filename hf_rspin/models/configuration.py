"""Configurations of models with heads: any encoder's config, and the fields of an objective.

`model_type` stays that of the encoder, so that the same folder loads as a plain encoder. A class is
made for every family and objective: `RSpinHubertConfig`, `LaserWavLMConfig`, `RSpinSEWDConfig`, ...
"""

# no postponed annotations here: @strict checks types, and cannot read them from strings
import functools
import logging
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from huggingface_hub.dataclasses import strict
from transformers import CONFIG_MAPPING, PreTrainedConfig

from hf_rspin.models.encoder import FAMILIES, family_of

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
            config_dict |= {n: v for n, v in TRAINING_DEFAULTS.items() if n in known}
            # the plain encoder's class would be saved as this model's
            config_dict.pop("architectures", None)
            config_dict.pop("untrained_heads", None)
        known = {name for name in kwargs if name in cls.__dataclass_fields__}
        config_dict.update({name: kwargs.pop(name) for name in known})
        return super().from_dict(config_dict, **kwargs)

    def validate_frame_rate(self) -> None:
        """Refuse the layers that wav2vec 2.0 may put on top for another frame rate."""
        if getattr(self, "add_adapter", False):
            raise ValueError("add_adapter is True; expected False: adapters change the frame rate.")


@dataclass(kw_only=True)
class SpinFields(HeadFields):
    """The fields of the Spin and auxiliary heads, and the rules they obey.

    Attributes:
        projection_size: dimension of the normalised projections and of the codes.
        codebook_size: number of codes K.
        num_pseudo_labels: outputs of the auxiliary head; None for plain Spin, without that head.
        spin_layer: index into `hidden_states` of the layer the projection reads; -1 or
            `num_hidden_layers` is the encoder's output `last_hidden_state`.
        auxiliary_layer: the same for the auxiliary head.
        spin_loss_weight: weight of Equation 1; 0 switches it off.
        auxiliary_loss_weight: lambda of Equation 3; 0 switches it off.
        temperature: divides the cosines of the prediction.
        sinkhorn_epsilon: entropy weight of the targets.
        sinkhorn_iterations: iterations of the targets.
    """

    head_field: ClassVar[str] = "codebook_size"
    prefix: ClassVar[str] = "RSpin"

    projection_size: int = 256
    codebook_size: int = 32
    num_pseudo_labels: int | None = None
    spin_layer: int = -1
    auxiliary_layer: int = -1
    spin_loss_weight: float | int = 1.0
    auxiliary_loss_weight: float | int = 5.0
    temperature: float | int = 0.1
    sinkhorn_epsilon: float | int = 0.02
    sinkhorn_iterations: int = 3

    @property
    def objective(self) -> str:
        """Name of the method: Spin without pseudo-labels, else R-Spin."""
        return "Spin" if self.num_pseudo_labels is None else "R-Spin"

    def validate_rspin(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        for name in ("projection_size", "codebook_size", "sinkhorn_iterations"):
            _check_count(name, getattr(self, name))
        _check_count("num_pseudo_labels", self.num_pseudo_labels, optional=True)
        for name in ("temperature", "sinkhorn_epsilon"):
            _check_number(name, getattr(self, name), allow_zero=False)
        for name in ("spin_loss_weight", "auxiliary_loss_weight"):
            _check_number(name, getattr(self, name), allow_zero=True)
        if self.codebook_size < 2:
            raise ValueError(f"codebook_size is {self.codebook_size}; expected at least 2 codes.")
        for name in ("spin_layer", "auxiliary_layer"):
            self._check_layer(name, getattr(self, name))

    def _check_layer(self, name: str, layer: int) -> None:
        count = self.num_hidden_layers
        if isinstance(layer, bool) or not -(count + 1) <= layer <= count:
            raise ValueError(
                f"{name} is {layer}; expected an index into the {count + 1} hidden states of this "
                f"encoder: 0 (encoder input) to {count} (last layer), or -1 for the last."
            )
        if getattr(self, "layerdrop", 0) > 0 and layer not in (-1, count):
            raise ValueError(
                f"{name} is {layer} and layerdrop is {self.layerdrop}: dropped layers have no "
                "hidden state to read; set layerdrop=0 or read the last layer."
            )


@dataclass(kw_only=True)
class LaserFields(HeadFields):
    """The fields of the projection and of the loss, and the rules they obey.

    The defaults are those of LASER for HuBERT; WavLM's differ in idm_weight 0.15 and idm_margin
    1.0. `SCORE_SETTINGS` has the fields of SCORE.

    Attributes:
        projection_size: dimension of the normalised projections.
        projection_layers: linear layers of the projection, a ReLU between two: 1 or 2.
        soft_dtw_gamma: smoothing of soft-DTW, in units of the squared distance of unit vectors.
        idm_weight: alpha, the weight of Contrastive-IDM of both views; 0 switches it off.
        idm_margin: distance of unit vectors up to which frames repel each other, below 2.
        idm_sigma: frames up to this many apart attract each other; 0: none do.
        length_normalization: divide the divergence by the frames of both views.
        frozen_teacher: SCORE: one view is encoded by a frozen copy of the encoder.
    """

    head_field: ClassVar[str] = "soft_dtw_gamma"
    prefix: ClassVar[str] = "Laser"
    family_defaults: ClassVar[dict] = {"wavlm": {"idm_weight": 0.15, "idm_margin": 1.0}}

    projection_size: int = 256
    projection_layers: int = 1
    soft_dtw_gamma: float | int = 0.1
    idm_weight: float | int = 0.4
    idm_margin: float | int = 1.1
    idm_sigma: int = 0
    length_normalization: bool = False
    frozen_teacher: bool = False

    @property
    def objective(self) -> str:
        """Name of the method: SCORE with a frozen teacher, else LASER."""
        return "SCORE" if self.frozen_teacher else "LASER"

    def validate_laser(self) -> None:
        """Refuse what cannot be built or trained; called when a config is made."""
        _check_count("projection_size", self.projection_size)
        _check_count("idm_sigma", self.idm_sigma, least=0)
        if isinstance(self.projection_layers, bool) or self.projection_layers not in (1, 2):
            raise ValueError(
                f"projection_layers is {self.projection_layers}; expected 1 (Linear) or 2 "
                "(Linear, ReLU, Linear)."
            )
        _check_number("soft_dtw_gamma", self.soft_dtw_gamma, allow_zero=False)
        _check_number("idm_weight", self.idm_weight, allow_zero=True)
        if not (_is_number(self.idm_margin) and 0 < self.idm_margin <= 2):
            raise ValueError(
                f"idm_margin is {self.idm_margin}; expected a number above 0 and up to 2, the "
                "largest distance of unit vectors."
            )

    def validate_layer_drop(self) -> None:
        """Refuse layer drop, which LASER trains without."""
        if getattr(self, "layerdrop", 0) > 0:
            raise ValueError(
                f"layerdrop is {self.layerdrop}; expected 0: the two views must go through the "
                "same layers."
            )


@dataclass(kw_only=True)
class DistillationFields(HeadFields):
    """The fields of the throw-away heads of a student, and the rules they obey.

    Attributes:
        target_dims: dimension of the features of every target layer, the first teacher's first.
        student_layers: which of the student's `hidden_states` predicts each of them; -1 is its
            output.
        distillation_head: distilhubert (one shared Linear with GELU, a Linear per target), linear,
            or mlp (Linear, ReLU, Linear per target).
        distillation_weight: of L1 and cosine; 0 switches them off.
        cosine_weight: of -log sigmoid(cosine) beside L1.
        num_units: clusters of the teacher's features to be told; None: no such head.
        unit_weight: of their cross-entropy; 0 switches it off.
        unit_layer: which of the student's `hidden_states` tells them; -1 is its output.
        unmasked_weight: weight of that cross-entropy at frames that are not masked, beside masked
            ones; where nothing is masked, all frames count fully.
        final_dim: dimension of the embeddings of units.
    """

    head_field: ClassVar[str] = "target_dims"
    prefix: ClassVar[str] = "Distillation"
    objective: ClassVar[str] = "Distillation"

    target_dims: list[int] = field(default_factory=list)
    student_layers: list[int] = field(default_factory=list)
    distillation_head: str = "distilhubert"
    distillation_weight: float | int = 1.0
    cosine_weight: float | int = 1.0
    num_units: int | None = None
    unit_weight: float | int = 1.0
    unit_layer: int = -1
    unmasked_weight: float | int = 0.0
    final_dim: int = 256

    def validate_distillation(self) -> None:
        """Refuse heads that cannot be built or trained; called when a config is made."""
        heads = ("distilhubert", "linear", "mlp")
        if self.distillation_head not in heads:
            raise ValueError(
                f"distillation_head is {self.distillation_head!r}; expected one of "
                f"{', '.join(heads)}."
            )
        if len(self.target_dims) != len(self.student_layers):
            raise ValueError(
                f"student_layers names {len(self.student_layers)} layers for "
                f"{len(self.target_dims)} target layers; expected one for each."
            )
        for name in ("distillation_weight", "cosine_weight", "unit_weight", "unmasked_weight"):
            _check_number(name, getattr(self, name), allow_zero=True)
        for layer in (*self.student_layers, self.unit_layer):
            if not -self.num_hidden_layers - 1 <= layer <= self.num_hidden_layers:
                raise ValueError(
                    f"the student is to be read at layer {layer}, but has hidden_states 0 to "
                    f"{self.num_hidden_layers}: name layers that it has."
                )
        if getattr(self, "layerdrop", 0) > 0:
            raise ValueError(
                f"layerdrop is {self.layerdrop}; expected 0: a dropped layer has no hidden state "
                "to read."
            )
        if self.distillation_head == "distilhubert" and len(set(self.student_layers)) > 1:
            raise ValueError(
                f"student_layers are {self.student_layers}, but the head of DistilHuBERT reads one "
                "layer for all targets: name one layer, or set distillation_head to linear."
            )


def _check_count(name: str, value: int | None, optional: bool = False, least: int = 1) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or value < least:
        wanted = "a positive integer" if least == 1 else f"an integer of at least {least}"
        wanted += ", or None for no auxiliary head" if optional else ""
        raise ValueError(f"{name} is {value}; expected {wanted}.")


def _check_number(name: str, value: float, allow_zero: bool) -> None:
    if not _is_number(value) or value < 0 or (value == 0 and not allow_zero):
        wanted = "a finite number of at least 0" if allow_zero else "a positive, finite number"
        raise ValueError(f"{name} is {value}; expected {wanted}.")


def _is_number(value: float) -> bool:
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


_SCORE = {
    "frozen_teacher": True,
    "idm_weight": 0.0,
    "length_normalization": True,
    "projection_layers": 1,
}
# SCORE, by type of encoder: a frozen teacher, no regulariser, and the divergence over the frames.
SCORE_SETTINGS = dict.fromkeys(FAMILIES, _SCORE) | {"wavlm": _SCORE | {"projection_layers": 2}}


@functools.cache
def config_class(fields: type[HeadFields], model_type: str) -> type[PreTrainedConfig]:
    """Return the config class of an objective on a family: the encoder's config and the fields.

    Args:
        fields: `SpinFields` or `LaserFields`.
        model_type: of an encoder of `encoder.FAMILIES`.

    Raises:
        ValueError: a type of encoder that is not known.
    """
    family_of(model_type)
    base = CONFIG_MAPPING[model_type]
    known = base.__dataclass_fields__
    defaults = {name: value for name, value in TRAINING_DEFAULTS.items() if name in known}
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
        **defaults,
    }
    return strict(type(base)(f"{fields.prefix}{base.__name__}", (fields, base), namespace))


# of all objectives
HEAD_FIELDS = frozenset(
    {name for fields in (SpinFields, LaserFields, DistillationFields)
     for name in fields.__dataclass_fields__}
    - CONFIG_MAPPING["hubert"].__dataclass_fields__.keys()
)  # fmt: skip


def __getattr__(name: str) -> type[PreTrainedConfig]:
    """Make a class by its name: `RSpinHubertConfig`, `LaserWavLMConfig`, `RSpinSEWDConfig`, ..."""
    for fields in (SpinFields, LaserFields, DistillationFields):
        for model_type in FAMILIES if name.startswith(fields.prefix) else ():
            if name == f"{fields.prefix}{CONFIG_MAPPING[model_type].__name__}":
                return config_class(fields, model_type)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
