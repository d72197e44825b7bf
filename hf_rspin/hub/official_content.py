"""What a checkpoint holds: the state dict in it, and what it says of itself in its own words.

Settings of fairseq, WavLM, s3prl and Spin are plain data in most files; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hf_rspin.hub.official_names import shown
from hf_rspin.hub.stored_tensors import StoredTensor
from hf_rspin.inert_pickle import CheckpointError, Inert

_DISTILLER = "Distiller"  # where s3prl's distiller keeps its weights
_STATE_DICTS = ("state_dict", "model", "model_weight", _DISTILLER)
# what that distiller does where a file does not say; it feeds waveforms as they are
DISTILLED = {
    "num_attention_heads": 12, "do_stable_layer_norm": False, "do_normalize": False,
}  # fmt: skip
_OWN_NAMES = {
    "encoder_embed_dim": "hidden_size", "encoder_layers": "num_hidden_layers",
    "encoder_ffn_embed_dim": "intermediate_size", "encoder_attention_heads": "num_attention_heads",
    "activation_fn": "hidden_act", "conv_bias": "conv_bias", "conv_pos": "num_conv_pos_embeddings",
    "conv_pos_groups": "num_conv_pos_embedding_groups", "layer_norm_first": "do_stable_layer_norm",
    "num_buckets": "num_buckets", "max_distance": "max_bucket_distance",
    "normalize": "do_normalize", "codebook_dim": "projection_size",
    "codebook_size": "codebook_size",
}  # fmt: skip
_SPIN_NAMES = {
    "num_vars": "codebook_size", "temp": "temperature", "epsilon": "sinkhorn_epsilon",
    "sinkhorn_iters": "sinkhorn_iterations",
}  # fmt: skip
# settings of Spin that our heads have no equal of, where they differ from these
_SPIN_ENCODER = {"normalize": False, "pre_normalize": False, "feat_select": "x",
                 "disable_pos": False}  # fmt: skip
_CONV_NAMES = ("conv_feature_layers", "extractor_conv_feature_layers")
_CONV = re.compile(r"\[((?:\(\d{1,5},\d{1,3},\d{1,3}\),?)+)\](?:\*(\d{1,2}))?")


def is_distilled(content: Any) -> bool:
    """Say whether a checkpoint is one of s3prl's distiller, as DistilHuBERT's is."""
    return _DISTILLER in _mapping(content)


def own_settings(content: Any) -> dict[str, Any]:
    """Return the fields of a config that a checkpoint says of itself; values may be of any type.

    Raises:
        CheckpointError: Spin was trained with settings that our heads do not have, or a distilled
            encoder with an attention that HuBERT does not have.
    """
    content = _mapping(content)
    cfg = _mapping(content.get("cfg"))
    places = [content.get("model_cfg"), content.get("task_cfg"), cfg.get("model"), cfg.get("task")]
    said: dict[str, Any] = {}
    for place in (*places, cfg, content.get("args"), _distiller_settings(content)):
        for name, value in _mapping(place).items():
            if name in _OWN_NAMES:
                said.setdefault(_OWN_NAMES[name], value)
            elif name == "extractor_mode" and value in ("default", "layer_norm"):
                said.setdefault("feat_extract_norm", "group" if value == "default" else "layer")
            elif name in _CONV_NAMES and type(value) is str:
                said |= _conv_layers(value)
        said |= _deep_positions(_mapping(place))
    said |= _spin_settings(_mapping(_mapping(content.get("hyper_parameters")).get("model")))
    return said


def _distiller_settings(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what s3prl's distiller says of its student.

    Raises:
        CheckpointError: the student has another attention than HuBERT, which no weight tells.
    """
    if _DISTILLER not in content:
        return {}
    said = _mapping(_mapping(content.get("Config")).get("distiller"))
    attention = said.get("attention_type", "original")
    if attention != "original":
        raise CheckpointError(
            f"it was distilled with attention_type = {shown([attention])}, which HuBERT does not "
            "have; expected original."
        )
    return said


def _deep_positions(place: Mapping[str, Any]) -> dict[str, Any]:
    """Read how data2vec splits `conv_pos` over several positional convolutions, if it does."""
    depth, kernel = place.get("pos_conv_depth"), place.get("conv_pos")
    if type(depth) is not int or depth < 2:
        return {}
    size = {"conv_pos_kernel_size": max(3, kernel // depth)} if type(kernel) is int else {}
    return {"num_conv_pos_embeddings": depth, **size}


def _spin_settings(model: Mapping[str, Any]) -> dict[str, Any]:
    """Read the `model` section of Spin's hyper-parameters."""
    encoder, loss = _mapping(model.get("encoder")), _mapping(model.get("loss"))
    expected = [(encoder, name, value) for name, value in _SPIN_ENCODER.items()]
    for section, name, value in [*expected, (loss, "l2_norm", True), (model, "normalize", False)]:
        found = section.get(name, value)
        if type(found) in (bool, str) and found != value:
            raise CheckpointError(
                f"Spin was trained with {name} = {shown([found])}, which our heads do not have; "
                f"expected {value}."
            )
    said = {ours: loss[name] for name, ours in _SPIN_NAMES.items() if name in loss}
    if "use_layer" in encoder:
        said["spin_layer"] = encoder["use_layer"]
    return said


def _conv_layers(text: str) -> dict[str, tuple[int, ...]]:
    """Read "[(512,10,5)] + [(512,3,2)] * 4": channels, kernel and stride of each convolution."""
    layers: list[tuple[int, ...]] = []
    for term in "".join(text[:1000].split()).split("+"):
        found = _CONV.fullmatch(term)
        if found is None or len(layers) > 100:
            return {}
        triples = re.findall(r"(\d+),(\d+),(\d+)", found.group(1))
        layers += [tuple(map(int, triple)) for triple in triples] * int(found.group(2) or 1)
    dims, kernels, strides = zip(*layers, strict=True)
    return {"conv_dim": dims, "conv_kernel": kernels, "conv_stride": strides}


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a dict, or the state of an object such as argparse.Namespace; else nothing."""
    value = value.state if isinstance(value, Inert) else value
    return value if type(value) is dict else {}


def find_state_dict(content: Any) -> dict[str, StoredTensor]:
    """Return the tensors of a checkpoint by name.

    Raises:
        CheckpointError: it holds none, or a pickled module in their place.
    """
    places = [_mapping(content).get(name) for name in _STATE_DICTS]
    dicts = [place for place in (*places, content) if type(place) is dict]
    found = [
        {n: value for n, value in one.items() if type(n) is str and isinstance(value, StoredTensor)}
        for one in dicts
    ]
    most = max(found, key=len, default={})
    if not most:
        keys = shown(_mapping(content), most=8) or type(content).__name__
        raise CheckpointError(
            f"it holds no tensors by name under {', '.join(_STATE_DICTS)} (it has: {keys}); "
            "expected a state dict, not a whole pickled module."
        )
    return most
