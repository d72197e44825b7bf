"""Which constants of R-Spin fit an encoder's size and the hours there are."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import yaml
from transformers import MODEL_MAPPING, PreTrainedConfig

from hf_rspin.adapting.options import AdaptOptions
from hf_rspin.configs import shipped_config
from hf_rspin.models.encoder import num_hidden_states
from hf_rspin.models.folders import resolve_encoder
from hf_rspin.models.loading import plain_config

SMALL_PARAMETERS = 50e6  # below: a distilled or bundled encoder; base models have 90 million
PASSES = 10  # over the speech, where that is less than the updates of the recipe
LEAST_STEPS = 120
LEAST_UPDATE, MOST_OF_SPEECH = 24.0, 1 / 6  # seconds, share: 120 updates are 20 passes at most
FRAMES_PER_UNIT, FRAMES_PER_PIECE = 30, 150
DEPTH_OF_UNITS = 0.75  # of a base or large encoder: layer 9 of 12, as HuBERT's second iteration
BASE_UNITS = {"num_clusters": 512, "vocab_size": 40_000, "kmeans_seconds": 36_000.0,
              "standardize": False}  # fmt: skip
BASE_UPDATE = 384.0  # seconds of a view in an update (R-Spin A.3); the file names half for two GPUs
TELEPHONE = "rspin_small_telephone.yaml"
BASE_WARMUP = 0.4  # 4000 of 10000 updates


@dataclass(frozen=True)
class Recipe:
    """What is decided before anything is trained.

    Attributes:
        files: names of the YAML files of R-Spin, in order.
        parameters: of the encoder.
        num_layers: transformer layers of the encoder.
        layer: hidden state that is clustered.
        num_clusters: units.
        kmeans_seconds: speech that they are learned from.
        standardize: every dimension before it is clustered.
        vocab_size: acoustic pieces.
        update_seconds: speech (one view) per update.
        max_steps: updates.
        warmup: share of them, or None for that of the files.
    """

    files: tuple[str, ...]
    parameters: int
    num_layers: int
    layer: int
    num_clusters: int
    kmeans_seconds: float
    standardize: bool
    vocab_size: int
    update_seconds: float
    max_steps: int
    warmup: float | None = None

    @property
    def has_telephone(self) -> bool:
        """Whether views are coded as telephones do."""
        return TELEPHONE in self.files

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "files": list(self.files)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Recipe:
        """Read what `to_json` gives."""
        return cls(**{**content, "files": tuple(content["files"])})

    def fitted(self, speech_seconds: float, options: AdaptOptions) -> Recipe:
        """Return it for an amount of speech; what the user asked for stays.

        Args:
            speech_seconds: to train on.
            options: of the user.
        """
        frames = int(50 * speech_seconds)
        units = options.num_clusters or max(2, min(self.num_clusters, frames // FRAMES_PER_UNIT))
        most = max(units + units // 15, frames // FRAMES_PER_PIECE)
        some = max(LEAST_UPDATE, MOST_OF_SPEECH * speech_seconds)
        update = min(self.update_seconds, speech_seconds, some)
        steps = max(LEAST_STEPS, math.ceil(PASSES * speech_seconds / update))
        return replace(
            self, num_clusters=units, vocab_size=options.vocab_size or min(self.vocab_size, most),
            update_seconds=update, max_steps=options.max_steps or min(self.max_steps, steps),
        )  # fmt: skip


def read_config(name: str) -> dict[str, Any]:
    """Return the values in a YAML file of the recipes."""
    return yaml.safe_load(shipped_config(name).read_text(encoding="utf-8"))


def recipe_for(options: AdaptOptions, telephone: bool) -> Recipe:
    """Return the recipe of an encoder, before it is known how much speech there is.

    Args:
        options: of the user.
        telephone: code views as telephones do.

    Raises:
        ValueError: there is no such encoder or layer.
    """
    content, _ = PreTrainedConfig.get_config_dict(resolve_encoder(options.encoder))
    config = plain_config(content)
    with torch.device("meta"):
        encoder = MODEL_MAPPING[type(config)](config)
    parameters = sum(weights.numel() for weights in encoder.parameters())
    layers = num_hidden_states(config) - 1
    small = parameters < SMALL_PARAMETERS
    labels = read_config("pseudo_labels_small.yaml") if small else BASE_UNITS
    name = "rspin_small.yaml" if small else "rspin_hubert_base_32_ap40k.yaml"
    layer = layers if small else round(DEPTH_OF_UNITS * layers)
    if options.layer is not None:
        layer = options.layer
    if not 0 <= layer <= layers:
        raise ValueError(f"--layer is {layer}; this encoder has layers 0 to {layers}.")
    rspin = read_config(name)
    return Recipe(
        files=(name, TELEPHONE) if telephone else (name,), parameters=parameters,
        num_layers=layers, layer=layer, num_clusters=labels["num_clusters"],
        kmeans_seconds=float(labels["kmeans_seconds"]), standardize=labels["standardize"],
        vocab_size=labels["vocab_size"],
        update_seconds=float(rspin["batch_seconds"]) if small else BASE_UPDATE,
        max_steps=rspin["max_steps"], warmup=None if small else BASE_WARMUP,
    )  # fmt: skip
