"""Models that the page offers, and the units that are compared."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from hf_rspin.demo.clusters import last_layer_clusters
from hf_rspin.models.encoder import num_hidden_states
from hf_rspin.models.folders import BUNDLED, fetch, is_bundled, read_config, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.units import KMeans, UnitTokenizer
from hf_rspin.units.acoustic_pieces import FILE_NAME
from hf_rspin.units.tokenizer_folder import KMEANS, PIECES, SETTINGS

logger = logging.getLogger(__name__)

CLUSTERS, OWN = "clusters", "own"


@dataclass(frozen=True)
class Place:
    """Where the parts of a model are.

    Attributes:
        name: how the page calls it.
        model: folder or Hub id.
        kmeans: folder of the k-means that belongs to it, if there is one.
        pieces: folder of the acoustic pieces learned on the units of that k-means.
    """

    name: str
    model: str
    kmeans: Path | None = None
    pieces: Path | None = None


@dataclass(frozen=True)
class Listener:
    """A model with the units that it makes of sound.

    Attributes:
        name: of the model, as the page calls it.
        units: what its units are, in a few words.
        tokenizer: makes them.
    """

    name: str
    units: str
    tokenizer: UnitTokenizer


def locate(name: str) -> Place:
    """Return where the parts of a model are; quickstart and adapt have them in one folder.

    Args:
        name: bundled, a Hub id, or a folder: of a model, or with `model/`, and maybe `kmeans/` and
            `acoustic_pieces/`, inside.
    """
    folder = Path(name)
    if is_bundled(name) or not folder.is_dir():
        return Place(BUNDLED if is_bundled(name) else name, name)
    if (folder / "model" / "config.json").is_file():
        model, root = folder / "model", folder
    elif folder.resolve().name == "model" and KMeans.is_saved(folder.resolve().parent / KMEANS):
        model, root = folder, folder.resolve().parent
    else:
        model = root = folder
    pieces = root / PIECES
    return Place(
        _shown(folder),
        str(model),
        root / KMEANS if KMeans.is_saved(root / KMEANS) else None,
        pieces if (pieces / FILE_NAME).is_file() else None,
    )


def _shown(folder: Path) -> str:
    """Return the end of a long path: who looks at the page need not know the rest."""
    return "/".join(folder.parts[-2:]) if folder.is_absolute() else str(folder)


def find_models(model: str, other: str | None, runs: str | Path = "runs") -> dict[str, Place]:
    """Return the models to choose from, by name: those named, the bundled one, those in `runs`.

    Raises:
        ValueError: a model that was named is not there.
    """
    found = {}
    for name in dict.fromkeys([model, *([other] if other else []), BUNDLED]):
        place = locate(name)
        read_config(fetch(place.model))
        if found.setdefault(place.name, place).model != place.model:
            raise ValueError(f"got two models called {place.name}; name one by a relative path.")
    known = {Path(place.model).resolve() for place in found.values()}
    for folder in sorted(Path(runs).glob("*/")) if Path(runs).is_dir() else []:
        place = locate(str(folder))
        there = Path(place.model)
        if (there / "config.json").is_file() and there.resolve() not in known:
            found.setdefault(place.name, place)
    return found


def load(
    place: Place, units: str, partner: Place | None, num_clusters: int, cache: str, device: str
) -> Listener:
    """Load a model with its units.

    Args:
        place: of the model.
        units: "clusters" (k-means of the last layer, fitted on the sample in the same way for
            every model) or "own" (what comes with the model; see `own_units`).
        partner: the model beside it, whose labels a model without units of its own takes.
        num_clusters: of "clusters".
        cache: folder that keeps the k-means of "clusters".
        device: cpu or cuda.

    Raises:
        ValueError: the folder is damaged, or is no speech encoder.
    """
    if units == OWN:
        listener = own_units(place, device)
        if listener is None and partner is not None and partner.kmeans is not None:
            listener = own_units(replace(partner, name=place.name, model=place.model), device, True)
        if listener is not None:
            return listener
    folder = fetch(place.model)
    model = load_encoder(folder).to(device)
    normalize = wants_normalized(folder, model.config)
    kmeans = last_layer_clusters(model, normalize, num_clusters, cache)
    layer = num_hidden_states(model.config) - 1
    tokenizer = UnitTokenizer(model, "layer", kmeans, layer, None, normalize)
    return Listener(place.name, f"{num_clusters} clusters of layer {layer}", tokenizer)


def own_units(place: Place, device: str, labels: bool = False) -> Listener | None:
    """Return the units that come with a model; None where none do.

    Those are, in this order: what a saved `UnitTokenizer` says; the acoustic pieces that the
    auxiliary head of R-Spin predicts; the codebook of Spin; the k-means beside it, with its pieces.

    Args:
        place: of the model.
        device: cpu or cuda.
        labels: only the k-means and its pieces.
    """
    folder = fetch(place.model)
    config = read_config(folder)
    try:
        if (folder / SETTINGS).is_file() and not labels:
            tokenizer = UnitTokenizer.from_pretrained(folder, device=device)
        elif "codebook_size" in config and not labels:
            units = "auxiliary" if config.get("num_pseudo_labels") else "spin"
            tokenizer = UnitTokenizer.from_pretrained(folder, None, units, device=device)
        elif place.kmeans is not None:
            tokenizer = UnitTokenizer.from_pretrained(
                folder, place.pieces, "layer", place.kmeans, device=device
            )
        else:
            return None
    except ValueError as error:
        logger.warning("The units of %s are not used: %s", place.name, error)
        return None
    return Listener(place.name, _in_words(tokenizer), tokenizer)


def _in_words(tokenizer: UnitTokenizer) -> str:
    count = tokenizer.vocab_size
    if tokenizer.units == "auxiliary":
        return f"{count} acoustic pieces, predicted by its head"
    if tokenizer.units == "spin":
        units = f"{tokenizer.extractor.num_units} codes of its codebook"
    else:
        units = f"{tokenizer.kmeans.num_clusters} clusters of layer {tokenizer.layer}"
    return units if tokenizer.pieces is None else f"{count} acoustic pieces of {units}"
