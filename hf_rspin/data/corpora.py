"""Several corpora, without the splits that are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets

from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.sources import CorpusSource


def load_corpora(
    sources: Sequence[CorpusSource],
    split: str | None = None,
    exclude_splits: Sequence[str] = (),
    **options: Any,
) -> datasets.Dataset:
    """Return id, audio and duration of corpora as one, without the splits that are left out.

    Equal arguments give equal ids: units of `hf-rspin labels` fit what distils them.

    Args:
        sources: see `load_corpus`; ids that repeat get a name in front, see `join_corpora`.
        split: of all of them, see `load_corpus`.
        exclude_splits: rows of these splits are left out, see `is_excluded`.
        **options: more of `load_corpus`.

    Raises:
        ValueError: nothing is left, or see `load_corpus`.
    """
    corpus = load_corpus(list(sources), split, **options)
    if "split" in corpus.column_names:
        kept = [i for i, s in enumerate(corpus["split"]) if not is_excluded(s, exclude_splits)]
        corpus = corpus.select(kept)
    if len(corpus) == 0:
        raise ValueError(
            "the corpora hold no utterance outside of the splits "
            f"{', '.join(exclude_splits)}: name others, or change --exclude_splits."
        )
    return corpus.select_columns(["id", "audio", "duration"])


def is_excluded(split: object, excluded: Sequence[str]) -> bool:
    """Say whether a split is one of those to leave out: test is TEST and test-clean too.

    Args:
        split: of a row; None where there is none.
        excluded: names, in any case; what follows "-", "_" or "." in the split does not count.

    Example:
        >>> [is_excluded(name, ["test"]) for name in ("test-clean", "TEST", "train", "tests")]
        [True, True, False, False]
    """
    name = str(split).lower()
    return split is not None and any(
        name == one.lower() or name.startswith(tuple(one.lower() + mark for mark in "-_."))
        for one in excluded
    )
