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
        exclude_splits: rows with these values of `split` are left out.
        **options: more of `load_corpus`.

    Raises:
        ValueError: nothing is left, or see `load_corpus`.
    """
    corpus = load_corpus(list(sources), split, **options)
    if "split" in corpus.column_names:
        left_out = set(exclude_splits)
        corpus = corpus.select([i for i, s in enumerate(corpus["split"]) if s not in left_out])
    if len(corpus) == 0:
        raise ValueError(
            "the corpora hold no utterance outside of the splits "
            f"{', '.join(exclude_splits)}: name others, or change --exclude_splits."
        )
    return corpus.select_columns(["id", "audio", "duration"])
