"""Which utterances an evaluation measures on, and which it learns from."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from hf_rspin.data.corpus import load_corpus
from hf_rspin.data.lexicon import Lexicon
from hf_rspin.evaluation.arguments import EvaluationScriptArguments
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.splits import hold_out_speakers
from hf_rspin.training.corpus_arguments import split_name

logger = logging.getLogger(__name__)


def read_test(arguments: EvaluationScriptArguments) -> tuple[EvaluationSet, bool]:
    """Return the utterances to measure on, and whether the corpus has splits.

    Raises:
        ValueError: there is no such split, or nothing usable.
    """
    count = arguments.test_utterances
    if arguments.test_split is not None:
        return read_split(arguments, split_name(arguments.test_split), count, keep=True), True
    try:
        return read_split(arguments, "test", count, keep=True), True
    except ValueError:
        if not Path(arguments.corpus).exists() or "split" in load_corpus(arguments.corpus).features:
            raise
    logger.info("The corpus has no column `split`: all of it is measured, nothing is trained.")
    return read_split(arguments, None, count, keep=True), False


def read_train(arguments: EvaluationScriptArguments) -> EvaluationSet | None:
    """Return the utterances to learn on; None where there are none and none were asked for."""
    count = arguments.train_utterances
    if arguments.train_split is not None:
        split = split_name(arguments.train_split)
        return read_split(arguments, split, count, keep=False) if split else None
    try:
        return read_split(arguments, "train", count, keep=False)
    except ValueError as error:
        logger.info("Nothing is trained: %s", error)
        return None


def without_measured(
    train: EvaluationSet | None, test: EvaluationSet
) -> tuple[EvaluationSet | None, list[str]]:
    """Take what is measured out of what is learned from; return the rest and what is to be said.

    A probe measured on recordings that it learned from tells how well it remembers them.
    """
    shared = set(train.shared_with(test)) if train else set()
    if not shared:
        return train, []
    kept = [place for place in range(len(train)) if place not in shared]
    said = (
        f"{len(shared)} of {len(train)} training utterances are measured too (the same audio): "
        + ("nothing is learned from them." if kept else "nothing is learned at all.")
    )
    return train.select(kept) if kept else None, [said]


def read_dev(arguments: EvaluationScriptArguments) -> tuple[EvaluationSet, EvaluationSet]:
    """Return the utterances of a tenth of the training speakers, and those of the others.

    Raises:
        ValueError: there is no training split, or its speakers are not known.
    """
    split = split_name(arguments.train_split or "train")
    everything = read_split(arguments, split, None, keep=False)
    if everything.speakers is None:
        raise ValueError("--dev holds speakers out, but the corpus names none: add them.")
    learned, held = hold_out_speakers(everything.speakers)
    test, train = (
        everything.select(chosen).subset(count)
        for chosen, count in (
            (held, arguments.test_utterances), (learned, arguments.train_utterances)
        )
    )  # fmt: skip
    test.keep_waveforms = True
    return test, train


def read_split(
    arguments: EvaluationScriptArguments, split: str | None, count: int | None, keep: bool
) -> EvaluationSet:
    """Return one split of the corpus, or a deterministic subset of it."""
    # Decoding now leaves damaged and silent files out, instead of stopping at them later; of a
    # subset only its own files are decoded.
    corpus = load_corpus(
        arguments.corpus, split, decode=count is None,
        segment_seconds=arguments.segment_seconds or None,
    )  # fmt: skip
    chosen = EvaluationSet.from_corpus(
        corpus, arguments.strip_stress, keep, arguments.least_alignment_score
    ).subset(count)
    return chosen if count is None else chosen.readable()


def with_phones_of(utterances: EvaluationSet, lexicon: Lexicon) -> EvaluationSet:
    """Return the utterances with the phones that a lexicon gives to their texts.

    Those with a word that it lacks get none, and a warning names the most frequent of these words.

    Raises:
        ValueError: there are no texts, or the lexicon lacks a word of every one.
    """
    if not any(utterances.texts or ()):
        raise ValueError(
            "--lexicon gives phones to the words of a corpus, but this one has no column text: "
            "add it, or leave --lexicon out."
        )
    found = [lexicon.phones_of(text) for text in utterances.texts]
    lacking = [text for text, phones in zip(utterances.texts, found, strict=True) if phones is None]
    if lacking:
        words = ", ".join(word for word, _ in lexicon.unknown(lacking).most_common(5))
        sentence = (
            f"{len(lacking)} of {len(found)} utterances have no phones, as the lexicon lacks "
            f"words of them ({words})"
        )
        if not any(found):
            raise ValueError(f"{sentence}: give a lexicon of this language.")
        logger.warning("%s; phone recognition leaves them out.", sentence)
    return replace(utterances, phones=[phones or [] for phones in found])
