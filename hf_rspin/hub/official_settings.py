"""What is said of a checkpoint beside its tensors: options, a config.json, its own settings.

What is no plain value of the expected type counts as not said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_rspin.hub.official_content import DISTILLED, is_distilled, own_settings

OPTION = "--num-attention-heads"
OWN = "the file's own settings"
# fields that decide what an encoder computes, with their types
FIELDS = {
    "model_type": str, "hidden_size": int, "num_hidden_layers": int, "intermediate_size": int,
    "num_attention_heads": int, "hidden_act": str, "layer_norm_eps": float,
    "feat_extract_norm": str, "feat_extract_activation": str, "conv_dim": tuple,
    "conv_kernel": tuple, "conv_stride": tuple, "conv_bias": bool, "num_conv_pos_embeddings": int,
    "num_conv_pos_embedding_groups": int, "conv_pos_kernel_size": int,
    "do_stable_layer_norm": bool, "num_buckets": int, "max_bucket_distance": int,
    "do_normalize": bool,
    "feat_proj_layer_norm": bool, "conv_pos_batch_norm": bool, "add_adapter": bool,
    "projection_size": int, "codebook_size": int, "spin_layer": int, "temperature": float,
    "sinkhorn_epsilon": float, "sinkhorn_iterations": int,
    "block_layers": tuple, "resolution_strides": tuple,
}  # fmt: skip


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
            CheckpointError: Spin was trained with settings that our heads do not have, or a
                distilled encoder with an attention that HuBERT does not have.
        """
        values, sources = {}, {}
        given = {} if num_attention_heads is None else {"num_attention_heads": num_attention_heads}
        if any(heads < 1 for heads in given.values()):
            raise ValueError(f"{OPTION} is {num_attention_heads}; expected at least 1.")
        read = {} if config is None else read_config(config)
        own = {n: _typed(v, FIELDS[n]) for n, v in own_settings(content).items()}
        own = {name: value for name, value in own.items() if value is not None}
        usual = DISTILLED if is_distilled(content) else {}
        for source, said in (
            (OPTION, given), (str(config), read), (OWN, own), ("s3prl's distiller", usual)
        ):  # fmt: skip
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


def _typed(value: Any, wanted: type) -> Any:
    """Return a value of the wanted type, or None if it is none; whole numbers are floats too."""
    if wanted is tuple:
        whole = isinstance(value, list | tuple) and all(type(item) is int for item in value)
        return tuple(value) if whole else None
    if wanted is float and type(value) is int:
        return float(value)
    return value if type(value) is wanted else None
