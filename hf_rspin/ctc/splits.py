"""Utterances to train on, to watch training on (dev), and to measure once at the end (test)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np

from hf_rspin.ctc.arguments import CtcCorpusArguments
from hf_rspin.data import SkippedFiles
from hf_rspin.data.transcripts import TranscriptRules, choose_target
from hf_rspin.evaluation.evaluation_set import EvaluationSet
from hf_rspin.evaluation.splits import hold_out_speakers

logger = logging.getLogger(__name__)

NAMES_SHOWN = 10


@dataclass
class TrainSplit:
    """What to train on: rows of the corpus and their transcripts, in the same order.

    Attributes:
        left_out: why utterances were left out, and how many.
    """

    corpus: datasets.Dataset
    transcripts: list[str]
    left_out: dict[str, int] = field(default_factory=dict)

    def select(self, rows: Sequence[int]) -> None:
        """Keep some rows."""
        self.corpus = self.corpus.select(rows)
        self.transcripts = [self.transcripts[row] for row in rows]

    def leave_out(self, bad: Sequence[bool], reason: str) -> None:
        """Drop rows, and say which.

        Args:
            bad: (utterances,), True for those to drop.
            reason: completes "N utterances ...".
        """
        dropped = np.flatnonzero(bad)
        if len(dropped) == 0:
            return
        names = [str(self.corpus[int(i)]["id"]) for i in dropped[:NAMES_SHOWN]]
        more = f" and {len(dropped) - len(names)} more" if len(dropped) > len(names) else ""
        logger.warning(
            "%d of %d training utterances %s and are left out: %s%s",
            len(dropped), len(bad), reason, ", ".join(names), more,
        )  # fmt: skip
        self.select(np.flatnonzero(~np.asarray(bad, dtype=bool)))
        self.left_out[reason] = len(dropped)


@dataclass
class EvaluationSplit:
    """What to measure on: utterances sorted by duration, and what was said in them.

    Attributes:
        name: how results call it.
        skipped: files that could not be used.
        num_empty: utterances without a transcript, which are left out.
    """

    name: str
    utterances: EvaluationSet
    references: list[str]
    skipped: SkippedFiles = field(default_factory=SkippedFiles)
    num_empty: int = 0

    def __len__(self) -> int:
        return len(self.references)


@dataclass
class CtcSplits:
    """The parts of a corpus, and how its transcripts are read."""

    rules: TranscriptRules
    train: TrainSplit
    dev: EvaluationSplit | None = None
    test: EvaluationSplit | None = None


def load_splits(arguments: CtcCorpusArguments, skipped: SkippedFiles) -> CtcSplits:
    """Load the corpus and divide it; without a dev split, some of the training data is held out.

    Args:
        arguments: what to load.
        skipped: is given the training files that were left out.

    Raises:
        ValueError: nothing usable, no transcripts, or a row in two splits.
    """
    corpus = arguments.load(skipped)
    target = choose_target(corpus.column_names, arguments.target)
    rules = TranscriptRules(
        target, arguments.text_case, arguments.keep_punctuation, arguments.strip_stress
    )
    test = _load_evaluation(arguments, arguments.test_split, rules)
    dev = _load_evaluation(arguments, arguments.dev_split, rules)
    _check_disjoint(arguments, corpus, dev, test)
    if dev is None and arguments.dev_fraction > 0:
        corpus, held, name = _hold_out(corpus, arguments.dev_fraction)
        dev = _evaluation(name, held, rules, SkippedFiles(arguments.strict))
    train = TrainSplit(corpus, rules.read(corpus))
    train.leave_out([not text for text in train.transcripts], f"have no {rules.target}")
    seconds = np.asarray(train.corpus["duration"], dtype=float)
    train.leave_out(seconds < arguments.min_seconds, f"are under {arguments.min_seconds:g} s")
    seconds = np.asarray(train.corpus["duration"], dtype=float)
    train.leave_out(seconds > arguments.max_seconds, f"are over {arguments.max_seconds:g} s")
    if not train.transcripts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in train.left_out.items())
        raise ValueError(
            f"none of the training utterances can be used ({reasons}): fill the column "
            f"{rules.target}, or set min_seconds and max_seconds."
        )
    return CtcSplits(rules, train, dev, test)


def _load_evaluation(
    arguments: CtcCorpusArguments, split: str | None, rules: TranscriptRules
) -> EvaluationSplit | None:
    if split is None:
        return None
    skipped = SkippedFiles(arguments.strict)
    corpus = arguments.load_split(split, skipped)
    return _evaluation(split, corpus, rules, skipped)


def _evaluation(
    name: str, corpus: datasets.Dataset, rules: TranscriptRules, skipped: SkippedFiles
) -> EvaluationSplit:
    texts = dict(zip(map(str, corpus["id"]), rules.read(corpus), strict=True))
    utterances = EvaluationSet.from_corpus(corpus)
    spoken = [i for i, key in enumerate(utterances.ids) if texts[key]]
    if not spoken:
        raise ValueError(
            f"no utterance of the {name} split has a transcript; fill the column {rules.target}."
        )
    num_empty = len(utterances) - len(spoken)
    if num_empty:
        logger.warning(
            "%d of %d utterances of %s have no %s and are not measured.",
            num_empty, len(utterances), name, rules.target,
        )  # fmt: skip
        utterances = utterances.select(spoken)
    references = [texts[key] for key in utterances.ids]
    return EvaluationSplit(name, utterances, references, skipped, num_empty)


def _hold_out(
    corpus: datasets.Dataset, fraction: float
) -> tuple[datasets.Dataset, datasets.Dataset, str]:
    """Return what stays, what is held out, and how that is called; the same at every call.

    Speakers are held out where that takes about `fraction` of them, else utterances.
    """
    speakers = corpus["speaker"][:] if "speaker" in corpus.column_names else []
    num_speakers = len(set(speakers) - {None})
    if fraction * num_speakers >= 0.5 and num_speakers > 1:
        stay, held = hold_out_speakers(speakers, fraction)
        count = len({speakers[i] for i in held})
        what = f"{count} of {num_speakers} speakers"
        name = "held-out speakers"
    else:
        count = max(1, round(fraction * len(corpus)))
        if count >= len(corpus):
            raise ValueError(
                f"{len(corpus)} utterance is too few to hold one out: give --dev_split, or set "
                "--dev_fraction 0 to train without a dev split."
            )
        order = np.random.default_rng(0).permutation(len(corpus))
        held, stay = sorted(order[:count].tolist()), sorted(order[count:].tolist())
        what, name = "the utterances", "held-out utterances"
    logger.info("No dev_split: %d utterances are held out, %s.", len(held), what)
    return corpus.select(stay), corpus.select(held), name


def _check_disjoint(
    arguments: CtcCorpusArguments,
    corpus: datasets.Dataset,
    dev: EvaluationSplit | None,
    test: EvaluationSplit | None,
) -> None:
    """Refuse rows of one table in two splits; ids of different Hub splits may repeat."""
    if not Path(arguments.corpus).exists():
        return
    parts = {f"--corpus_split {arguments.corpus_split or 'none'}": set(map(str, corpus["id"]))}
    for option, part in (("--dev_split", dev), ("--test_split", test)):
        if part is None:
            continue
        ids = set(part.utterances.ids)
        for other, known in parts.items():
            if shared := len(ids & known):
                raise ValueError(
                    f"{shared} utterances of {option} {part.name} are in {other} too; expected "
                    "splits without a common row: name another split to train on."
                )
        parts[f"{option} {part.name}"] = ids
