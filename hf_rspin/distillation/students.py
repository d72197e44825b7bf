"""Students: a teacher's first layers, an encoder of any shape, or an existing folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from hf_rspin.configs import config_file
from hf_rspin.models.distillation_fields import DistillationFields
from hf_rspin.models.encoder import build_encoder, check_frame_rate, family_of, norm_of
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import load_encoder, plain_config
from hf_rspin.models.modeling_distillation import DistillationModel
from hf_rspin.training.filterbank import start_as_filterbank
from hf_rspin.utils import read_json, write_json

COPY = re.compile(r"copy:(\d+)")
FILTERBANK = "filterbank"  # key of a student's YAML: start as a mel filter bank


def build_student(
    student: str, teacher: str, changes: dict[str, Any], fields: dict[str, Any]
) -> DistillationModel:
    """Return a student with throw-away heads, in float32.

    Args:
        student: copy:N (convolutions, feature projection, positional convolution and first N
            layers of the teacher), a YAML file with the fields of an encoder's config
            (`model_type` among them, hubert by default), or a folder, Hub id or "bundled".
        teacher: folder or Hub id of the first teacher, for copy:N.
        changes: fields of the student's config that differ, such as dropout.
        fields: those of `DistillationFields`; `apply_spec_augment` to mask frames.

    Raises:
        ValueError: the student cannot be built, or the teacher has no such layers.
    """
    match = COPY.fullmatch(student)
    if match:
        encoder = _copy(teacher, int(match.group(1)), changes)
    elif student.endswith((".yaml", ".yml")):
        encoder = _from_yaml(config_file(student), changes)
    else:
        encoder = _existing(student, changes)
    check_frame_rate(encoder.config)
    config = DistillationModel.with_fields(encoder.config.to_dict(), **fields)
    for name, value in _trained_with(encoder.config, changes).items():
        setattr(config, name, value)
    model = DistillationModel(config)
    if config.apply_spec_augment and not hasattr(model.base_model, "masked_spec_embed"):
        raise ValueError(
            "frames are to be masked, but mask_time_prob of the student's config is 0, which "
            "leaves out the embedding of masked frames: give it in --student_config, as 0.05."
        )
    _load(model.base_model, encoder.state_dict())
    model.config.untrained_heads = True
    return model


def _trained_with(config: PreTrainedConfig, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the dropouts of the student's own config, not those of the other objectives.

    A layer drop that is asked for is kept too, for the config to refuse it.
    """
    names = ("hidden_dropout", "attention_dropout", "feat_proj_dropout", "activation_dropout")
    found = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return found | {n: value for n, value in changes.items() if n in (*found, "layerdrop")}


def _copy(teacher: str, count: int, changes: dict[str, Any]) -> PreTrainedModel:
    content, _ = PreTrainedConfig.get_config_dict(resolve_encoder(teacher))
    if content.get("model_type") == "whisper":
        raise ValueError(
            f"student copy:{count} takes the layers of the first teacher, but {teacher} is "
            "Whisper's encoder, which reads spectrograms and not waveforms: give --student a YAML "
            "file or a folder."
        )
    source = load_encoder(resolve_encoder(teacher))
    layers = source.config.num_hidden_layers
    if not 1 <= count <= layers:
        raise ValueError(f"student is copy:{count}; expected 1 to {layers}, the teacher's layers.")
    if family_of(source.config).blocks and count < layers:
        raise ValueError(
            f"student copy:{count} takes the first layers, but those of {teacher} form blocks that "
            "go down to a low resolution and up again: give --student a YAML file or a folder."
        )
    _check_known(changes, source.config.model_type)
    content = source.config.to_dict() | {"num_hidden_layers": count} | changes
    encoder = build_encoder(plain_config(content))
    # what lies behind all layers is another thing behind the first ones
    norm = norm_of(encoder)
    fresh = {} if norm is None else {id(value) for value in norm.parameters()}
    own = {name for name, value in encoder.named_parameters() if id(value) in fresh}
    wanted = {n: v for n, v in source.state_dict().items() if n not in own}
    _load(encoder, wanted, own)
    return encoder


def _from_yaml(file: Path, changes: dict[str, Any]) -> PreTrainedModel:
    if not file.is_file():
        raise ValueError(
            f"student {file} does not exist; expected a YAML file, copy:N or a folder."
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no YAML ({error}); correct it.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no mapping; expected the fields of an encoder's config.")
    filterbank = content.pop(FILTERBANK, False)
    content = {"model_type": "hubert", **content}
    _check_known(content, content["model_type"], file)
    _check_known(changes, content["model_type"])
    content |= changes
    encoder = build_encoder(plain_config(content))
    if filterbank:
        start_as_filterbank(encoder)
    return encoder


def _check_known(
    content: dict[str, Any], model_type: str, source: str | Path = "student_config"
) -> None:
    family_of(model_type)
    known = CONFIG_MAPPING[model_type].__dataclass_fields__
    unknown = [name for name in content if name not in known and name != "model_type"]
    if unknown:
        raise ValueError(
            f"{source} names {unknown[0]}, which is no field of the config of {model_type}; see "
            "the documentation of transformers."
        )


def _existing(student: str, changes: dict[str, Any]) -> PreTrainedModel:
    source = load_encoder(resolve_encoder(student))
    _check_known(changes, source.config.model_type)
    for name, value in changes.items():
        setattr(source.config, name, value)
    return source


def _load(encoder: PreTrainedModel, weights: dict[str, torch.Tensor], anew: set = frozenset()):
    """Load weights by name; the encoder may have fewer layers, and `anew` begins anew.

    Raises:
        ValueError: a weight of the encoder is missing or of another size.
    """
    own = encoder.state_dict()
    misfits = [
        name for name, value in own.items()
        if name not in anew and not name.endswith("masked_spec_embed")
        and (name not in weights or weights[name].shape != value.shape)
    ]  # fmt: skip
    if misfits:
        name = misfits[0]
        there = tuple(weights[name].shape) if name in weights else "missing"
        raise ValueError(
            f"the student does not fit what it is copied from: {name} is {tuple(own[name].shape)} "
            f"in the student and {there} there; leave sizes out of --student_config."
        )
    encoder.load_state_dict({n: v for n, v in weights.items() if n in own}, strict=False)


def save_student(model: DistillationModel, folder: str | Path, dtype: torch.dtype) -> None:
    """Save the plain encoder of a student; its config says float32, which then is loaded.

    Args:
        model: the heads stay behind.
        folder: gets config and weights.
        dtype: of the weights in the file.
    """
    encoder = model.base_model
    encoder.config = student_config(model)
    encoder.to(dtype).save_pretrained(folder)
    encoder.config.dtype = "float32"  # saving sets it to that of the weights
    file = Path(folder) / "config.json"  # may also name the code of an encoder of ours
    write_json(file, read_json(file) | {"dtype": "float32"}, indent=2)


def student_config(model: DistillationModel) -> PreTrainedConfig:
    """Return the plain config of a student, without masking."""
    config = plain_config(model.config.to_dict())
    for name in DistillationFields.__dataclass_fields__:
        if hasattr(config, name) and name not in type(config).__dataclass_fields__:
            delattr(config, name)
    config.apply_spec_augment = False
    config.dtype = "float32"
    config.architectures = [type(model.base_model).__name__]
    return config
