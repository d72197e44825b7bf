"""What noise is drawn from: a folder or a list, checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from pathlib import Path

import numpy as np

from ..audio import AUDIO_SUFFIXES


def as_sources(sources: str | Path | Sequence) -> Sequence:
    """Return the sources one by one: the audio files of a folder, or what was listed.

    Raises:
        ValueError: a single source came instead of a folder or a list, or an array is damaged.
    """
    if isinstance(sources, str | Path):
        return _audio_files(Path(sources))
    if isinstance(sources, bytes | Mapping | np.ndarray):
        kind = type(sources).__name__
        raise ValueError(f"got one noise source ({kind}), expected a folder or a list: list it.")
    if not isinstance(sources, Iterable):
        kind = type(sources).__name__
        raise ValueError(f"got noise sources as {kind}, expected a folder or a list.")
    if not isinstance(sources, Sequence):  # tables are sequences, and are not decoded here
        sources = list(sources)
    for index, source in enumerate(sources if isinstance(sources, list | tuple) else ()):
        if isinstance(source, int | float | None):
            raise ValueError(f"got {source!r} as noise source {index}, expected audio, as a path.")
        if not isinstance(source, np.ndarray):
            continue
        if source.ndim != 1 or len(source) == 0 or not np.isfinite(source).all():
            raise ValueError(
                f"got noise source {index} of shape {source.shape}, expected (samples,) of finite "
                "numbers: average its channels, or leave it out."
            )
    return sources


def _audio_files(folder: Path) -> list[Path]:
    """Return the audio files of a folder and its subfolders, in order; hidden ones are left out."""
    if not folder.is_dir():
        raise ValueError(f"got {str(folder)!r} as noise, expected a folder or a list of files.")
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in AUDIO_SUFFIXES]
    inside = [path.relative_to(folder).parts for path in found]
    shown = [not any(part.startswith(".") for part in parts) for parts in inside]
    if not any(shown):
        raise ValueError(f"got the noise folder {str(folder)!r}, expected audio files in it.")
    return list(compress(found, shown))


def places_of_names(names: Sequence[str] | None, count: int) -> dict[str, int]:
    """Return where each named speech source stands.

    Raises:
        ValueError: not one different name for each of the `count` sources.
    """
    if names is None:
        return {}
    places = {str(name): place for place, name in enumerate(names)}
    if not len(names) == len(places) == count:
        raise ValueError(
            f"got {len(places)} different speech_names for {count} speech_sources: give every "
            "source a name of its own, such as its utterance id."
        )
    return places
