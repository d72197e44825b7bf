"""README.md of a saved model: written here, replaced by a newer one, kept once a person edits it.

A card ends with a comment that holds the checksum of the text above it. Whoever changes one
character has made the card their own.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard
from transformers import PreTrainedConfig

from hf_rspin.publishing.model_card import ADDRESS, ModelCardInfo, make_card
from hf_rspin.utils import read_json, write_text

logger = logging.getLogger(__name__)

CARD = "README.md"
CARD_BESIDE = "README.generated.md"
PIECES, EXTRACTOR = "acoustic_pieces.json", "preprocessor_config.json"
_SIGNATURE = re.compile(r"\n<!-- written by hf_rspin \(([0-9a-f]{16})\)[^>]*-->\n$")


def write_card(
    folder: str | Path, config: PreTrainedConfig, facts: ModelCardInfo | None = None
) -> Path:
    """Write the card of the model in `folder` and return its path; see `place_card`.

    Args:
        folder: of the saved model.
        config: of the model.
        facts: what the card says beside the config; its title is the folder's name if not given.
    """
    folder, facts = Path(folder), facts or ModelCardInfo()
    facts = replace(facts, name=facts.name or folder.resolve().name)
    if facts.normalized is None:
        extractor = read_json(folder / EXTRACTOR) or {}
        facts = replace(facts, normalized=extractor.get("do_normalize"))
    return place_card(folder, sign(make_card(config, facts, (folder / PIECES).is_file())))


def place_card(folder: str | Path, text: str) -> Path:
    """Write `text` as the card of a folder, whole or not at all, and return its path.

    A README.md that a person wrote or edited stays; the card is then README.generated.md.
    """
    path = Path(folder) / CARD
    if path.is_file() and not is_untouched(path.read_text(encoding="utf-8", errors="replace")):
        path = path.with_name(CARD_BESIDE)
        logger.info("%s in %s was written by hand and stays; the new card is %s.",
                    CARD, folder, CARD_BESIDE)  # fmt: skip
    write_text(path, text)
    return path


def sign(text: str) -> str:
    """Add the comment by which a card is known as untouched."""
    text = text.rstrip("\n") + "\n"
    return (
        f"{text}\n<!-- written by hf_rspin ({_checksum(text)}); an edited card is never replaced "
        "-->\n"
    )


def is_untouched(text: str) -> bool:
    """Say whether a card was written here and not edited since."""
    found = _SIGNATURE.search(text)
    return found is not None and found.group(1) == _checksum(text[: found.start()])


def unsigned(text: str) -> str:
    """Return a card without the comment of `sign`."""
    return _SIGNATURE.sub("", text)


def addressed(text: str, repo_id: str) -> str:
    """Return an untouched card with its repository's id in the examples; others as they are."""
    if not is_untouched(text):
        return text
    return sign(unsigned(text).replace(ADDRESS, repo_id))


def is_empty(text: str) -> bool:
    """Say whether a card holds metadata only, as the Hub's web page creates it."""
    return not ModelCard(text, ignore_metadata_errors=True).text.strip()


def with_metadata(text: str, metadata: dict) -> str:
    """Return an untouched card with `metadata` where it has none; others as they are."""
    if not is_untouched(text):
        return text
    card = ModelCard(unsigned(text))
    for name, value in metadata.items():
        if card.data.get(name) is None:
            card.data[name] = value
    return sign(str(card))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
