"""What the folder of a unit tokenizer holds, and what it says of its units."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from hf_rspin.models.folders import load_spin, read_config
from hf_rspin.models.loading import load_encoder
from hf_rspin.units.acoustic_pieces import FILE_NAME, AcousticPieces
from hf_rspin.units.kmeans import KMeans

logger = logging.getLogger(__name__)

SETTINGS, PIECES, KMEANS = "unit_tokenizer.json", "acoustic_pieces", "kmeans"
AUTO = "auto"
UNITS = ("spin", "auxiliary", "layer", "mfcc")


def check_units(units: str) -> str:
    """Return the name of a kind of units.

    Raises:
        ValueError: there is no such kind.
    """
    if units not in UNITS:
        raise ValueError(f"units is {units!r}; expected one of {', '.join(UNITS)}.")
    return units


def read_settings(folder: Path) -> dict[str, Any]:
    """Return what `UnitTokenizer.save_pretrained` noted; nothing of another folder.

    Raises:
        ValueError: the file is damaged or of another format.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text())
        if settings["format"] != 1:
            raise ValueError(f"format {settings['format']}, expected 1")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no settings of a tokenizer ({error}).") from error
    return settings


def find_kmeans(folder: Path, given: KMeans | str | Path | None) -> KMeans | None:
    """Return the k-means that was given, as object, folder or file; or that of the folder.

    Raises:
        ValueError: what was given is not there, or no k-means.
    """
    if isinstance(given, KMeans):
        return given
    if given is not None and Path(given).is_file():
        return KMeans.from_file(given)
    if given is not None and not Path(given).exists():
        raise ValueError(f"{given} does not exist; expected a k-means: its folder or file.")
    if given is not None:
        inside = Path(given) / KMEANS  # the folder of `hf-rspin labels`
        return KMeans.from_pretrained(inside if KMeans.is_saved(inside) else given)
    return KMeans.from_pretrained(folder / KMEANS) if KMeans.is_saved(folder / KMEANS) else None


def choose_units(folder: Path, kmeans: KMeans | None, kmeans_given: bool) -> str:
    """Return the units that a folder stands for: spin, layer or mfcc.

    Raises:
        ValueError: it has neither a codebook nor a k-means.
    """
    clustered = "" if kmeans is None else ("mfcc" if kmeans.source == "mfcc" else "layer")
    if kmeans_given or (clustered == "mfcc" and not (folder / "config.json").is_file()):
        return clustered
    if "codebook_size" in read_config(folder):
        return "spin"
    if not clustered:
        raise ValueError(
            f"{folder} has no codebook and no k-means, so its units would be random; expected the "
            "folder of a Spin or R-Spin model, or a k-means beside another encoder: --kmeans "
            "(`hf-rspin labels` makes one) with --layer, kmeans=... in Python."
        )
    return clustered


def load_model(folder: Path, units: str) -> PreTrainedModel | None:
    """Load what the units need: a model with its heads, an encoder, or nothing for MFCC.

    Raises:
        ValueError: the folder lacks the heads, or other weights.
    """
    if check_units(units) == "mfcc":
        return None
    if units == "layer":
        return load_encoder(folder)
    if "codebook_size" not in read_config(folder):
        raise ValueError(
            f"{folder} holds a model without codebook; expected a Spin or R-Spin model: pass "
            "kmeans for the units of another encoder."
        )
    return load_spin(folder)


def clustered_layer(kmeans: KMeans) -> int | None:
    """Return the layer that a k-means names as its source ("layer 9 of ..."), if it does."""
    found = re.match(r"layer (-?\d+)\b", kmeans.source)
    return int(found[1]) if found else None


def find_pieces(
    folder: Path,
    given: AcousticPieces | str | Path | None,
    units: str,
    num_units: int,
    model: PreTrainedModel | None,
) -> AcousticPieces | None:
    """Return the pieces that were given; for "auto" those of the folder, where they fit."""
    if given is None or isinstance(given, AcousticPieces):
        return given
    root = folder if given == AUTO else Path(given)
    place = root / PIECES if (root / PIECES / FILE_NAME).is_file() else root
    if given != AUTO:
        return AcousticPieces.from_pretrained(place)
    if units == "auxiliary" or not (place / FILE_NAME).is_file():
        return None
    pieces = AcousticPieces.from_pretrained(place)
    problem = pieces_problem(pieces, units, num_units, model)
    if problem:
        logger.warning("The acoustic pieces in %s are not used: %s.", place, problem)
        return None
    return pieces


def pieces_problem(
    pieces: AcousticPieces, units: str, num_units: int, model: PreTrainedModel | None
) -> str:
    """Say why pieces cannot have been learned on these units; "" where they can."""
    if units == "auxiliary":
        return "the auxiliary head predicts acoustic pieces already"
    if units == "spin" and model.config.num_pseudo_labels == pieces.num_labels:
        return (
            "they are what the auxiliary head of this model predicts (units='auxiliary'), and were "
            "learned on the units of the model before it"
        )
    if pieces.units[-1] >= num_units:
        return f"they were learned on units up to {pieces.units[-1]}, and here are {num_units}"
    return ""
