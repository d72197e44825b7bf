"""What is said of a checkpoint beside its tensors: options, a config.json, its own settings.

Settings of fairseq, WavLM and Spin are plain data in most files, in other words than ours. Nothing
of them is evaluated; what is no plain value of the expected type counts as not said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_rspin.hub.inert_pickle import CheckpointError, Inert
from hf_rspin.hub.official_names import shown
from hf_rspin.hub.stored_tensors import StoredTensor

OPTION = "--num-attention-heads"
OWN = "the file's own settings"

# fields that decide what an encoder computes, with their types
FIELDS = {
    "model_type": str, "hidden_size": int, "num_hidden_layers": int, "intermediate_size": int,
    "num_attention_heads": int, "hidden_act": str, "layer_norm_eps": float,
    "feat_extract_norm": str, "feat_extract_activation": str, "conv_dim": tuple,
    "conv_kernel": tuple, "conv_stride": tuple, "conv_bias": bool, "num_conv_pos_embeddings": int,
    "num_conv_pos_embedding_groups": int, "do_stable_layer_norm": bool, "num_buckets": int,
    "max_bucket_distance": int, "do_normalize": bool,
    "feat_proj_layer_norm": bool, "conv_pos_batch_norm": bool, "add_adapter": bool,
    "projection_size": int, "codebook_size": int, "spin_layer": int, "temperature": float,
    "sinkhorn_epsilon": float, "sinkhorn_iterations": int,
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
_CONV = re.compile(r"\[((?:\(\d{1,5},\d{1,3},\d{1,3}\),?)+)\](?:\*(\d{1,2}))?")


@dataclass(frozen=True)
class Settings:
    """Fields of a config and where each was said.

    Attributes:
        values: by field.
        sources: where, by field.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    @classmethod
    def gather(
        cls, content: Any, config: str | Path | None, num_attention_heads: int | None
    ) -> Settings:
        """Collect what is said: the option first, then the config, then the file itself.

        Args:
            content: of the checkpoint.
            config: config.json of transformers, or a folder with one.
            num_attention_heads: of each layer.

        Raises:
            ValueError: the config is none, or the number of heads is not positive.
            CheckpointError: Spin was trained with settings that our heads do not have.
        """
        values, sources = {}, {}
        given = {} if num_attention_heads is None else {"num_attention_heads": num_attention_heads}
        if any(heads < 1 for heads in given.values()):
            raise ValueError(f"{OPTION} is {num_attention_heads}; expected at least 1.")
        read = {} if config is None else read_config(config)
        for source, said in ((OPTION, given), (str(config), read), (OWN, own_settings(content))):
            for name, value in said.items():
                if name not in values:
                    values[name], sources[name] = value, source
        return cls(values, sources)


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the fields of a config.json that decide what an encoder computes.

    Raises:
        ValueError: there is none, or a field has a value that no config has.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a config.json of transformers.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({' '.join(str(error).split())}).") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a {type(config).__name__}; expected a config.json.")
    fields = {name: value for name, value in config.items() if name in FIELDS and value is not None}
    for name, value in fields.items():
        fields[name] = _typed(value, FIELDS[name])
        if fields[name] is None:
            raise ValueError(f"{path} has {name} = {value!r}; expected {FIELDS[name].__name__}.")
    return fields


def own_settings(content: Any) -> dict[str, Any]:
    """Return the fields that a checkpoint says of itself, as far as they are plain values.

    Raises:
        CheckpointError: Spin was trained with settings that our heads do not have.
    """
    content = _mapping(content)
    cfg = _mapping(content.get("cfg"))
    places = [content.get("model_cfg"), content.get("task_cfg"), cfg.get("model"), cfg.get("task")]
    said: dict[str, Any] = {}
    for place in (*places, cfg, content.get("args")):
        for name, value in _mapping(place).items():
            if name in _OWN_NAMES:
                said.setdefault(_OWN_NAMES[name], value)
            elif name == "extractor_mode" and value in ("default", "layer_norm"):
                said.setdefault("feat_extract_norm", "group" if value == "default" else "layer")
            elif name == "conv_feature_layers" and type(value) is str:
                said |= _conv_layers(value)
    said |= _spin_settings(_mapping(_mapping(content.get("hyper_parameters")).get("model")))
    typed = {name: _typed(value, FIELDS[name]) for name, value in said.items()}
    return {name: value for name, value in typed.items() if value is not None}


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


def _typed(value: Any, wanted: type) -> Any:
    """Return a value of the wanted type, or None if it is none; whole numbers are floats too."""
    if wanted is tuple:
        whole = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        return tuple(value) if whole else None
    if wanted is float and type(value) is int:
        return float(value)
    return value if type(value) is wanted else None


def find_state_dict(content: Any) -> dict[str, StoredTensor]:
    """Return the tensors of a checkpoint by name.

    Raises:
        CheckpointError: it holds none, or a pickled module in their place.
    """
    places = [_mapping(content).get(name) for name in ("state_dict", "model", "model_weight")]
    dicts = [place for place in (*places, content) if type(place) is dict]
    found = [
        {n: value for n, value in one.items() if type(n) is str and isinstance(value, StoredTensor)}
        for one in dicts
    ]
    most = max(found, key=len, default={})
    if not most:
        keys = shown(_mapping(content), most=8) or type(content).__name__
        raise CheckpointError(
            f"it holds no tensors by name under state_dict, model or model_weight (it has: {keys})"
            "; expected a state dict, not a whole pickled module."
        )
    return most
