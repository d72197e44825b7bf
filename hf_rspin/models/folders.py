"""A model folder or Hub id becomes a model, every weight of which came from there."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor
from transformers.utils import cached_file

from hf_rspin.models.encoder import default_feature_extractor, reads_normalized
from hf_rspin.models.modeling_spin import RSpinModel
from hf_rspin.utils import read_json
from hf_rspin.whole_folders import repair_folder

logger = logging.getLogger(__name__)

BUNDLED = "bundled"  # the encoder in the package
EXTRACTOR = "preprocessor_config.json"
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# of the root: repositories may hold checkpoints of the training beside
SETTINGS = ["*config.json", "unit_tokenizer.json", "acoustic_pieces*", "kmeans/*"]
WEIGHTS = ["model*.safetensors", "model*.safetensors.index.json"]
OLD_WEIGHTS = ["pytorch_model*.bin", "pytorch_model*.bin.index.json"]


def encoder_folder() -> Path:
    """Return the folder of the small encoder in the package."""
    return Path(__file__).parents[1] / "resources" / "encoder"


def is_bundled(name: str | Path) -> bool:
    """Say whether a name stands for the encoder in the package: "bundled", once "embedded"."""
    return str(name) in (BUNDLED, "embedded")


def resolve_encoder(name: str | Path) -> str:
    """Return the folder or Hub id of a model; "bundled" is the encoder in the package.

    Raises:
        ValueError: there is no such folder with a model, and none on the Hub.
    """
    if is_bundled(name):
        return str(encoder_folder())
    folder = Path(name)
    if not folder.exists():
        repair_folder(folder)
    if folder.is_dir():
        is_adapter = (folder / "adapter_config.json").is_file()
        if (folder / "config.json").is_file() and not is_adapter:
            return str(name)
        what = "holds an adapter, no model" if is_adapter else "holds no config.json"
        if is_adapter and (folder / "merged" / "config.json").is_file():
            raise ValueError(f"{name} {what}: pass {folder / 'merged'}, where it is merged.")
    else:
        what = "is neither a folder nor a model of the Hub that can be reached"
        if HUB_ID.fullmatch(str(name)):
            try:
                cached_file(str(name), "config.json")
                return str(name)
            except OSError as error:
                what += f" ({str(error).split(chr(10))[0].rstrip('.')})"
    raise ValueError(
        f"{name} {what}; expected a folder with config.json and weights, a Hub id such as "
        "microsoft/wavlm-base (after `hf auth login` also a private one), or bundled."
    )


def fetch(name: str | Path, revision: str | None = None, token: str | bool | None = None) -> Path:
    """Return a folder as it is, or download what models need of a Hub repository.

    "bundled" is the encoder in the package.

    Raises:
        ValueError: `name` is neither a folder nor a repository that can be reached.
    """
    if is_bundled(name):
        return encoder_folder()
    if not Path(name).exists():
        repair_folder(name)
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
        "expected a folder with config.json and weights, a Hub id such as microsoft/wavlm-base "
        "(after `hf auth login` also a private one), or bundled."
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


def load_spin(folder: str | Path) -> RSpinModel:
    """Load a Spin or R-Spin model with its heads, in float32, in eval mode.

    Raises:
        ValueError: weights are missing or damaged, or its heads were never trained.
    """
    model = RSpinModel.from_pretrained(folder)
    if model.config.untrained_heads:
        raise ValueError(
            f"{folder} lacks the weights of its heads, or they were never trained: its units would "
            "be random; expected the folder of a trained Spin or R-Spin model."
        )
    return model.eval()


def wants_normalized(name: str | Path, config: PreTrainedConfig) -> bool:
    """Return whether a model reads waveforms of zero mean and unit variance: its folder decides.

    The feature extractor in the folder says so (`do_normalize`). Where there is none, the kind of
    convolutions decides, as the encoders were pre-trained (`reads_normalized`); where the two
    differ, as in facebook/hubert-base-ls960, that is logged.

    Args:
        name: folder or Hub id of the model.
        config: of the model.
    """
    trained = reads_normalized(config)
    said = None
    for file in ("processor_config.json", EXTRACTOR):
        found = cached_file(
            str(name), file,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
        content = read_json(found) or {} if found else {}
        said = content.get("feature_extractor", content).get("do_normalize", said)
    if not isinstance(said, bool):
        return trained
    if said != trained:
        logger.info("%s says do_normalize=%s, which is followed; encoders with such convolutions "
                    "were pre-trained with %s.", name, said, trained)  # fmt: skip
    return said


def feature_extractor_of(model: PreTrainedModel) -> Wav2Vec2FeatureExtractor:
    """Return the feature extractor with which a loaded model is to be trained and saved.

    Args:
        model: an encoder, with heads of any kind or without; see `wants_normalized`.
    """
    extractor = default_feature_extractor(model.config)
    if model.name_or_path:
        extractor.do_normalize = wants_normalized(model.name_or_path, model.config)
    return extractor
