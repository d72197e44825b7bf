"""Word vectors read from a file: text such as GloVe's, or an .npz of words and vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np


def read_embeddings(path: str | Path, words: Collection[str]) -> dict[str, np.ndarray]:
    """Return the vectors (dim,) of those of some words that the file has, in lower case.

    Of spellings that differ by their case the first counts.

    Args:
        path: an .npz with the arrays `words` (words,) and `vectors` (words, dim), or text with a
            word and its numbers on each line, and maybe a first line with their two counts.
        words: in lower case.

    Raises:
        ValueError: the file is missing or of another form.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"there is no table of embeddings {file}; check the path.")
    found: dict[str, np.ndarray] = {}
    for word, vector in _of_npz(file) if file.suffix == ".npz" else _of_text(file, words):
        if word.casefold() in words:
            found.setdefault(word.casefold(), np.asarray(vector, dtype=np.float64))
    sizes = sorted({len(vector) for vector in found.values()})
    if len(sizes) > 1 or any(not np.isfinite(vector).all() for vector in found.values()):
        raise ValueError(
            f"{file} has vectors of {sizes} numbers; expected as many for every word, all finite."
        )
    return found


def file_hash(path: str | Path) -> str:
    """Return a hash of the content of a file; "missing" where there is none."""
    if not Path(path).is_file():
        return "missing"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _of_npz(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    with np.load(file) as arrays:
        if not {"words", "vectors"} <= set(arrays):
            raise ValueError(f"{file} holds {sorted(arrays)}; expected `words` and `vectors`.")
        words, vectors = arrays["words"], arrays["vectors"]
    if vectors.ndim != 2 or words.shape != vectors.shape[:1]:
        raise ValueError(
            f"{file} has words {words.shape} and vectors {vectors.shape}; expected (words,) and "
            "(words, dim)."
        )
    yield from zip(map(str, words), vectors, strict=True)


def _of_text(file: Path, words: Collection[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what is wanted; other lines are not parsed: there are millions, some with blanks."""
    with open(file, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, *numbers = line.split() or [""]
            if word.casefold() not in words or (number == 1 and len(numbers) == 1):
                continue  # the first line may count words and dimensions
            try:
                yield word, np.array(numbers, dtype=np.float64)
            except ValueError as error:
                raise ValueError(
                    f"line {number} of {file} is {line[:40]!r}; expected a word and numbers."
                ) from error
