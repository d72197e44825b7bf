"""What lies beside the weights of a saved model: feature extractor, acoustic pieces, card, code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2FeatureExtractor

from hf_rspin.publishing.card_file import EXTRACTOR, write_card
from hf_rspin.publishing.model_card import ModelCardInfo
from hf_rspin.publishing.upload import upload
from hf_rspin.utils import read_json


class Saves(Protocol):
    """What can write itself into a folder, such as `hf_rspin.AcousticPieces`."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write into `folder`."""


def save_companions(
    folder: str | Path,
    config: PreTrainedConfig,
    acoustic_pieces: Saves | None = None,
    facts: ModelCardInfo | None = None,
) -> None:
    """Write acoustic pieces, where there are any, and the model card into a saved model's folder.

    Args:
        folder: of the saved model.
        config: of the model.
        acoustic_pieces: of its pseudo-labels.
        facts: what the card says beside the config.
    """
    if acoustic_pieces is not None:
        acoustic_pieces.save_pretrained(folder)
    write_card(folder, config, facts)


def has_own_extractor(
    folder: str | Path, default: Callable[[PreTrainedConfig], Wav2Vec2FeatureExtractor]
) -> bool:
    """Say whether a folder holds a feature extractor that a model saved there must not replace.

    One that equals the default of the model beside it was written with that model, and goes with
    it: left beside a model with other convolutions it would normalise waveforms wrongly.

    Args:
        folder: where a model will be saved.
        default: gives the feature extractor of an encoder's config.
    """
    folder = Path(folder)
    if "feature_extractor" in (read_json(folder / "processor_config.json") or {}):
        return True
    if not (folder / EXTRACTOR).is_file():
        return False
    config = read_json(folder / "config.json")
    try:
        before = default(PreTrainedConfig.from_dict(config or {}))
    except (ValueError, AttributeError):  # no encoder's
        return True
    return read_json(folder / EXTRACTOR) != before.to_dict()


def push_model(
    model: PreTrainedModel,
    repo_id: str,
    *,
    max_shard_size: int | str = "50GB",
    tags: list[str] | None = None,
    **options: Any,
) -> str:
    """Save a model with heads and upload it in one commit; return the address of the commit.

    Args:
        model: with heads.
        repo_id: `owner/name`, or a name for the owner of the token.
        max_shard_size: of a file of weights.
        tags: more tags for the card.
        **options: of `upload`.

    Raises:
        UploadError: the Hub cannot be reached, or refuses.
    """
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / repo_id.split("/")[-1]  # the card's title is that of its folder
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        if tags:
            facts = model.card_info or ModelCardInfo()
            write_card(folder, model.config, replace(facts, tags=[*facts.tags, *tags]))
        return upload(folder, repo_id, **options)
