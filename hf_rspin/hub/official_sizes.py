"""The config of an official checkpoint: sizes from its tensors, the rest as said or usual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import CONFIG_MAPPING, HubertConfig, PretrainedConfig
from transformers.activations import ACT2FN

from hf_rspin.hub.official_layouts import DATA2VEC
from hf_rspin.hub.official_names import Names, shown
from hf_rspin.hub.official_settings import OPTION, Settings
from hf_rspin.hub.official_shapes import shape_fields
from hf_rspin.hub.stored_tensors import StoredTensor
from hf_rspin.inert_pickle import CheckpointError
from hf_rspin.models.configuration import config_class
from hf_rspin.models.encoder import reads_normalized
from hf_rspin.models.spin_fields import SpinFields

STANDARD_KERNELS, STANDARD_STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
HEAD_SIZE = 64  # of all published models
# taken over as said; tensors do not tell them
_SAID = (
    "hidden_act", "layer_norm_eps", "feat_extract_activation", "max_bucket_distance",
)  # fmt: skip
_SAID_OF_HEADS = ("temperature", "sinkhorn_epsilon", "sinkhorn_iterations")


@dataclass(frozen=True)
class OfficialConfig:
    """A config, and where its guesses come from.

    Attributes:
        config: of the model to build.
        do_normalize: whether waveforms are normalised before the encoder reads them.
        sources: of what tensors do not tell or tell by convention, by field.
    """

    config: PretrainedConfig
    do_normalize: bool
    sources: Mapping[str, str]


def make_config(
    tensors: Mapping[str, StoredTensor], names: Names, settings: Settings
) -> OfficialConfig:
    """Return the config that fits the tensors of a checkpoint.

    Args:
        tensors: by name in the checkpoint.
        names: of the same checkpoint.
        settings: what is said of it.

    Raises:
        CheckpointError: shapes do not fit, or contradict what is said.
        ValueError: what tensors do not tell is not said and not standard, or is impossible.
    """
    shapes = {ours: tensors[name].shape for name, ours in {**names.encoder, **names.heads}.items()}
    fields = shape_fields(shapes, names)
    _check_said(fields, settings)
    sources: dict[str, str] = {}
    for name, decide in _DECISIONS.items():
        fields[name], sources[name] = decide(fields, settings)
    for name in _SAID + (_SAID_OF_HEADS if names.heads else ()):
        if name in settings.values and (name != "max_bucket_distance" or "num_buckets" in fields):
            fields[name] = settings.values[name]
    _check_family(fields, names)
    if names.heads:
        fields["spin_layer"] = _spin_layer(fields, settings)
    _check_activations(fields)
    do_normalize = fields.pop("do_normalize")
    family = fields.pop("model_type")
    if family == DATA2VEC:  # it has no such fields, see _check_family
        del fields["feat_extract_norm"], fields["do_stable_layer_norm"]
    made = config_class(SpinFields, family) if names.heads else CONFIG_MAPPING[family]
    return OfficialConfig(made(**fields), do_normalize, sources)


# What a family does not have: a config that says otherwise is of another model
_FIXED = {"feat_proj_layer_norm": True, "conv_pos_batch_norm": False, "add_adapter": False}


def _check_said(fields: Mapping[str, Any], settings: Settings) -> None:
    """Compare what the tensors tell with what is said.

    Raises:
        CheckpointError: they differ, as where the last layers of a file are missing.
    """
    for name, told in {**_FIXED, **fields}.items():
        said = settings.values.get(name, told)
        if said != told:
            raise CheckpointError(
                f"{name} is {shown([said])} by {settings.sources[name]}, but {shown([told])} by "
                "its tensors: the checkpoint is incomplete, or of another model."
            )


def _heads(fields: Mapping[str, Any], settings: Settings) -> tuple[int, str]:
    hidden = fields["hidden_size"]
    if "num_attention_heads" in fields:
        heads, source = fields["num_attention_heads"], "its tensors"
    elif "num_attention_heads" in settings.values:
        heads = settings.values["num_attention_heads"]
        source = settings.sources["num_attention_heads"]
    elif hidden % HEAD_SIZE:
        raise ValueError(
            f"HuBERT's tensors do not tell the number of heads, and a hidden size of {hidden} is "
            f"no multiple of the usual {HEAD_SIZE}: pass {OPTION}."
        )
    else:
        heads = hidden // HEAD_SIZE
        source = f"hidden size / {HEAD_SIZE}; {OPTION} or --config says otherwise"
    if heads < 1 or hidden % heads:
        raise ValueError(
            f"there are {heads} heads by {source}, which do not divide a hidden size of {hidden}: "
            f"pass {OPTION}."
        )
    return heads, source


def _strides(fields: Mapping[str, Any], settings: Settings) -> tuple[tuple[int, ...], str]:
    kernels = fields["conv_kernel"]
    if "conv_stride" in settings.values:
        strides, source = settings.values["conv_stride"], settings.sources["conv_stride"]
        if len(strides) != len(kernels) or min(strides) < 1:
            raise ValueError(f"{source} has conv_stride {strides} for kernels {kernels}.")
        return strides, source
    if kernels != STANDARD_KERNELS:
        count = len(kernels)
        if kernels == STANDARD_KERNELS[:count]:
            raise CheckpointError(
                f"{len(STANDARD_KERNELS) - count} of its weights are missing: "
                f"feature_extractor.conv_layers.{count}.0.weight (or pass --config with the "
                f"conv_stride of {count} convolutions)."
            )
        raise ValueError(
            f"the convolutions have kernels {kernels}, whose strides tensors do not tell (those of "
            f"{STANDARD_KERNELS} are {STANDARD_STRIDES}): pass --config with conv_stride."
        )
    return STANDARD_STRIDES, "the standard ones of these kernels"


def _pre_norm(fields: Mapping[str, Any], settings: Settings) -> tuple[bool, str]:
    """Say whether layers normalise first.

    All published models with layer norms in front do, but data2vec.
    """
    if "do_stable_layer_norm" in settings.values:
        return settings.values["do_stable_layer_norm"], settings.sources["do_stable_layer_norm"]
    if fields["model_type"] == DATA2VEC:
        return False, "as usual with several positional convolutions"
    return fields["feat_extract_norm"] == "layer", "as usual with these convolutions"


def _normalize(fields: Mapping[str, Any], settings: Settings) -> tuple[bool, str]:
    if "do_normalize" in settings.values:
        return settings.values["do_normalize"], settings.sources["do_normalize"]
    norm = HubertConfig(feat_extract_norm=fields["feat_extract_norm"])
    return reads_normalized(norm), "as usual with these convolutions"


_DECISIONS = {
    "num_attention_heads": _heads, "conv_stride": _strides, "do_stable_layer_norm": _pre_norm,
    "do_normalize": _normalize,
}  # fmt: skip


def _spin_layer(fields: Mapping[str, Any], settings: Settings) -> int:
    """Return the hidden state that the heads read: -1, the last, unless another was named."""
    layers = fields["num_hidden_layers"]
    layer = settings.values.get("spin_layer", -1)
    if not -1 <= layer <= layers:
        raise CheckpointError(
            f"the heads read layer {layer} by {settings.sources['spin_layer']}, but there are "
            f"{layers} layers."
        )
    return -1 if layer == layers else layer


def _check_family(fields: Mapping[str, Any], names: Names) -> None:
    """Refuse what the family in transformers does not compute.

    Raises:
        CheckpointError: a data2vec with other norms, or a last norm that reads speakers.
    """
    pre_norm = fields["do_stable_layer_norm"]
    if fields["model_type"] == DATA2VEC and (pre_norm or fields["feat_extract_norm"] != "layer"):
        raise CheckpointError(
            f"it is a data2vec with {fields['feat_extract_norm']} norm in front and "
            f"{'pre' if pre_norm else 'post'}-norm layers; that of transformers has layer norm in "
            "front and post-norm layers."
        )
    if names.layout.conditioned and pre_norm:
        raise CheckpointError(
            "its layers normalise first, and the norm behind them reads a speaker embedding, which "
            "HuBERT does not have; expected a ContentVec with post-norm layers."
        )


def _check_activations(fields: Mapping[str, Any]) -> None:
    for name in ("hidden_act", "feat_extract_activation"):
        if fields.get(name, "gelu") not in ACT2FN:
            raise CheckpointError(
                f"{name} is {shown([fields[name]])}, which transformers does not know: pass a "
                "--config with another."
            )
