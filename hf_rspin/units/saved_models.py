"""A model folder or Hub id becomes a model, every weight of which came from there."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from transformers import PreTrainedConfig, PreTrainedModel

from hf_rspin.models.encoder import reads_normalized
from hf_rspin.resources import encoder_folder

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# of the root: repositories may hold checkpoints of the training beside
SETTINGS = ["*config.json", "unit_tokenizer.json", "acoustic_pieces*", "kmeans/*"]
WEIGHTS = ["model*.safetensors", "model*.safetensors.index.json"]
OLD_WEIGHTS = ["pytorch_model*.bin", "pytorch_model*.bin.index.json"]
UNUSED = {"masked_spec_embed"}  # only masking reads it, and not every folder has it


def fetch(name: str | Path, revision: str | None = None, token: str | bool | None = None) -> Path:
    """Return a folder as it is, or download what models need of a Hub repository.

    "embedded" is the encoder in the package.

    Raises:
        ValueError: `name` is neither a folder nor a repository that can be reached.
    """
    if str(name) == EMBEDDED:
        return encoder_folder()
    if Path(name).is_dir():
        return Path(name)
    reason = "no such folder exists"
    if HUB_ID.fullmatch(str(name)):
        try:
            folder = Path(snapshot_download(
                str(name), revision=revision, token=token, allow_patterns=SETTINGS + WEIGHTS
            ))  # fmt: skip
            if not any(folder.glob("*.safetensors")):
                snapshot_download(
                    str(name), revision=revision, token=token, allow_patterns=OLD_WEIGHTS
                )
            return folder
        except (OSError, ValueError) as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = " ".join(lines[:2]).rstrip(".")
    raise ValueError(
        f"{name} is neither a folder nor a model of the Hub that can be reached ({reason}); "
        "expected a folder with config.json and weights, or a Hub id such as microsoft/wavlm-base."
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Return the fields of a folder's config.json.

    Raises:
        ValueError: there is none, or the folder holds an adapter and not a model.
    """
    if (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"{folder} holds an adapter, not a model; expected config.json and all weights: merge "
            "the adapter into its model, and name the folder of that."
        )
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} holds no config.json; expected the folder of a model, as save_pretrained "
            "writes it."
        )
    return PreTrainedConfig.get_config_dict(str(folder))[0]


def load_whole(
    model_class: type[PreTrainedModel] | Any, folder: Path, **options: Any
) -> PreTrainedModel:
    """Load a model in float32, in eval mode; weights that its folder lacks are an error.

    Args:
        model_class: what has the `from_pretrained`.
        folder: of the model.
        **options: handed on to `from_pretrained`.

    Raises:
        ValueError: weights are missing, which `from_pretrained` would draw at random.
    """
    model, report = model_class.from_pretrained(
        str(folder), dtype=torch.float32, output_loading_info=True, **options
    )
    missing = sorted(
        name for name in report["missing_keys"] if name.rpartition(".")[2] not in UNUSED
    )
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} weights, {missing[0]} among them, which would be drawn "
            f"at random; expected a folder saved by {type(model).__name__}.save_pretrained."
        )
    return model.eval()


def wants_normalized(folder: Path, config: PreTrainedConfig) -> bool:
    """Return whether a saved model reads waveforms of zero mean and unit variance.

    A folder that a trainer of this package saved says so in its feature extractor, as the model
    was trained. Of all others the front end decides (`reads_normalized`): on the Hub the feature
    extractor of a base model may contradict its training.
    """
    trained = reads_normalized(config)
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return trained
    said = json.loads(path.read_text()).get("do_normalize", trained)
    architecture = (config.architectures or [""])[0]
    if said != trained and not architecture.startswith(("RSpin", "Laser")):
        logger.warning(
            "%s says do_normalize=%s, but encoders with such a front end were trained with %s, "
            "which is used; pass normalize to choose.", path, said, trained,
        )  # fmt: skip
        return trained
    return said
