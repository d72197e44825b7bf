"""The columns of a corpus that an evaluation needs, in the order it runs through them."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import datasets
import numpy as np

from hf_rspin.audio import (
    FRAME_SHIFT,
    FRAME_WINDOW,
    AudioError,
    num_frames,
    num_samples,
    read_audio,
)
from hf_rspin.data.fingerprint import audio_keys, same_audio
from hf_rspin.data.phone_labels import parse_phones
from hf_rspin.data.phone_times import SILENCE, frame_phones, parse_alignment
from hf_rspin.data.tables import as_text
from hf_rspin.evaluation.alignment_columns import (
    alignment_without_stress,
    drop_late,
    trusted,
)

logger = logging.getLogger(__name__)


class AudioRows(Sequence):
    """The audio cells of a corpus, read one by one: some tables hold gigabytes of bytes.

    Args:
        corpus: with the column `audio`, not decoded.
    """

    def __init__(self, corpus: datasets.Dataset):
        self.corpus = corpus.select_columns("audio")

    def __len__(self) -> int:
        return len(self.corpus)

    def __getitem__(self, index: int) -> dict:
        """Return one cell."""
        return self.corpus[int(index)]["audio"]

    def select(self, indices: Sequence[int]) -> AudioRows:
        """Return some of the rows, in the given order."""
        return AudioRows(self.corpus.select(indices))


@dataclass
class EvaluationSet:
    """Test or training utterances; what is not known of them is None.

    `from_corpus` sorts by duration, and `read` leaves out the samples after the last whole frame
    (less than 20 ms): on a CPU every new length costs as much as encoding four seconds, because
    the kernels are built for it, so equal lengths should be many and in sequence.

    Args:
        ids: one per utterance; they decide what each distortion draws.
        audio: one cell `{"path": ..., "bytes": ...}` per utterance; from a corpus, rows that are
            read when asked for.
        speakers: who speaks; None where that is not known.
        phones: the phones of each utterance, word separators dropped.
        alignments: phones with their starts in seconds, see `resources.parse_alignment`.
        keep_waveforms: keep decoded audio in memory (230 MB per hour) for the next condition.
        word_alignments: words with their starts in seconds, as text like `alignments`.
        texts: what is said, as the corpus writes it; "" where that is not known.
        late: ids whose alignments were dropped, as they go on beyond the audio.
    """

    ids: list[str]
    audio: Sequence[dict]
    speakers: list[str | None] | None = None
    phones: list[list[str]] | None = None
    alignments: list[str] | None = None
    keep_waveforms: bool = False
    word_alignments: list[str] | None = None
    texts: list[str] | None = None
    late: frozenset[str] = frozenset()
    _kept: dict[int, np.ndarray] = field(default_factory=dict, repr=False)
    _audio_keys: list[str | None] | None = field(default=None, repr=False)

    @classmethod
    def from_corpus(
        cls,
        corpus: datasets.Dataset,
        strip_stress: bool = True,
        keep_waveforms: bool = False,
        least_score: float | None = None,
    ) -> EvaluationSet:
        """Take the columns `id`, `audio` and, where present, those that hold labels.

        These are `speaker`, `phones`, `alignment`, `word_alignment` and `text`; `duration`
        sorts.

        Args:
            corpus: audio not decoded.
            strip_stress: of phones, those of alignments too; see `parse_phones`.
            keep_waveforms: see the class.
            least_score: alignments with a lower `alignment_score`, or none, are left empty.

        Raises:
            ValueError: the corpus has no row, or no scores where a least one is given.
        """
        if len(corpus) == 0:
            raise ValueError("the corpus has no utterance; check its folder and its split.")
        columns = corpus.column_names
        if "duration" in columns:
            order = np.argsort(np.asarray(corpus["duration"], dtype=float), kind="stable")
            corpus = corpus.select(order.tolist())

        def texts(column: str) -> list[str] | None:
            return [str(x or "") for x in corpus[column]] if column in columns else None

        phones = texts("phones")
        if phones is not None:
            phones = [parse_phones(text, strip_stress) for text in phones]
        ids = [str(i) for i in corpus["id"]]
        known = corpus["speaker"] if "speaker" in columns else []
        speakers = [as_text(speaker) or None for speaker in known]
        speakers = speakers if any(speakers) else None
        alignments = texts("alignment")
        if alignments is not None:
            alignments = trusted(alignments, corpus, least_score)
        if alignments is not None and strip_stress:
            alignments = [alignment_without_stress(text) for text in alignments]
        words = texts("word_alignment")
        if words is not None:
            words = trusted(words, corpus, least_score)
        late: set[str] = set()
        if "duration" in columns:
            alignments, words = (
                drop_late(times, ids, corpus["duration"], late) for times in (alignments, words)
            )
        labels = speakers, phones, alignments, keep_waveforms, words, texts("text")
        return cls(ids, AudioRows(corpus), *labels, frozenset(late))

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, index: int) -> np.ndarray:
        """Return the waveform (samples,) of one utterance.

        Raises:
            AudioError: it cannot be read or is shorter than one encoder frame.
        """
        if index in self._kept:
            return self._kept[index]
        waveform = read_audio(self.audio[index])
        if len(waveform) < FRAME_WINDOW:
            raise AudioError(
                f"{self.ids[index]} has {len(waveform)} samples, less than one frame "
                f"({FRAME_WINDOW}); remove it from the corpus."
            )
        waveform = waveform[: num_samples(num_frames(len(waveform)))]
        if self.keep_waveforms:
            self._kept[index] = waveform
        return waveform

    def select(self, indices: Sequence[int]) -> EvaluationSet:
        """Return some of the utterances, in the given order."""

        def pick(column: Sequence | None) -> list | None:
            return None if column is None else [column[i] for i in indices]

        audio = self.audio
        audio = audio.select(indices) if isinstance(audio, AudioRows) else pick(audio)
        labels = (pick(column) for column in (self.speakers, self.phones, self.alignments))
        more = (pick(column) for column in (self.word_alignments, self.texts))
        ids = pick(self.ids)
        late = self.late.intersection(ids)
        found = EvaluationSet(ids, audio, *labels, self.keep_waveforms, *more, late)
        found._audio_keys = pick(self._audio_keys)
        return found

    def frame_labels(self) -> list[np.ndarray] | None:
        """Return a phone index per frame, (frames,) int64 each; None without alignments.

        Silence is -1, which measurements leave out. The audio is read for its length.
        """
        if self.alignments is None:
            return None
        named = self.phones_of_frames()
        phones = sorted({phone for row in named for phone in row} - {SILENCE})
        index = {SILENCE: -1} | {phone: number for number, phone in enumerate(phones)}
        return [np.array([index[phone] for phone in row], dtype=np.int64) for row in named]

    def phones_of_frames(self) -> list[list[str]]:
        """Return the phone of each frame, "SIL" for none; the audio is read for its length."""
        # What `read` left out may hold the start of the last phone; it makes no further frame.
        lengths = [len(self.read(i)) + FRAME_SHIFT - 1 for i in range(len(self))]
        return [self._labels(*row) for row in zip(self.ids, self.alignments, lengths, strict=True)]

    @staticmethod
    def _labels(name: str, alignment: str, num_samples: int) -> list[str]:
        try:
            return frame_phones(alignment, num_samples)
        except ValueError as error:
            raise ValueError(f"column alignment of {name}: {error}") from error

    def groups(self) -> list[str] | None:
        """Return what resampling keeps together: speakers, of an unknown one its utterance alone.

        None where no speaker is known.
        """
        pairs = zip(self.speakers or (), self.ids, strict=False)
        return [who or name for who, name in pairs] or None

    def readable(self) -> EvaluationSet:
        """Return the utterances that can be read; of the others a warning names each.

        Raises:
            ValueError: none can.
        """
        kept = []
        for index in range(len(self)):
            try:
                self.read(index)
                kept.append(index)
            except AudioError as error:
                logger.warning("Left out: %s", error)
        if not kept:
            raise ValueError(f"none of {len(self)} utterances, such as {self.ids[0]}, can be read.")
        return self if len(kept) == len(self) else self.select(kept)

    def labelled(self) -> dict[str, int]:
        """Return how many utterances have each kind of label, of the kinds that there are."""
        kinds = {
            "phones": self.phones, "times of phones": self.alignments,
            "times of words": self.word_alignments, "texts": self.texts,
        }  # fmt: skip
        counts = {kind: sum(map(bool, labels or ())) for kind, labels in kinds.items()}
        return {kind: count for kind, count in counts.items() if count}

    def remark(self, which: str = "") -> str | None:
        """Say whose alignments were dropped, and how many have labels; None where all have.

        Args:
            which: utterances these are: "test", "training".
        """
        utterances = f"{which} utterances".strip()
        said = []
        if self.late:
            said.append(
                f"The alignments of {len(self.late)} of {len(self)} {utterances}, such as "
                f"{min(self.late)}, are left out: they go on beyond the audio; check their times."
            )
        few = {kind: count for kind, count in self.labelled().items() if count < len(self)}
        if few:
            kinds = ", ".join(f"{kind} of {count}" for kind, count in few.items())
            said.append(
                f"Not all of {len(self)} {utterances} have labels, others are left out where "
                f"labels are needed: {kinds}."
            )
        return " ".join(said) or None

    def check_alignments(self) -> None:
        """Refuse alignments that cannot be read.

        Raises:
            ValueError: the first of them.
        """
        named = {"alignment": self.alignments, "word_alignment": self.word_alignments}
        for column, alignments in named.items():
            for key, alignment in zip(self.ids, alignments or (), strict=False):
                try:
                    parse_alignment(alignment, math.inf)
                except ValueError as error:
                    raise ValueError(f"column {column} of {key}: {error}") from error

    def audio_keys(self) -> list[str | None]:
        """Return a hash of the audio of each utterance, see `fingerprint.audio_keys`."""
        if self._audio_keys is None:  # some thousand files: once
            self._audio_keys = audio_keys(self.audio)
        return self._audio_keys

    def fingerprint(self) -> str:
        """Return a hash of names, labels and of the audio of every utterance."""
        columns = {
            "ids": self.ids, "audio": self.audio_keys(), "speakers": self.speakers,
            "phones": self.phones, "alignments": self.alignments, "texts": self.texts,
            "word_alignments": self.word_alignments,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]

    def shared_with(self, other: EvaluationSet) -> list[int]:
        """Return the places of utterances whose very audio is in the other set too."""
        theirs: dict[str | None, list[int]] = {}
        for place, key in enumerate(other.audio_keys()):
            theirs.setdefault(key, []).append(place)
        return [
            place for place, key in enumerate(self.audio_keys())
            # long recordings of one length with silence in the same places have one key
            if key is not None and any(
                same_audio(self.audio[place], other.audio[one]) for one in theirs.get(key, ())
            )
        ]  # fmt: skip

    def subset(self, count: int | None, seed: int = 0) -> EvaluationSet:
        """Return `count` utterances spread evenly over the speakers; all for None.

        The same ids, count and seed give the same subset on every machine; a larger count
        contains the smaller.
        """
        if count is None or count >= len(self):
            return self
        if count < 1:
            raise ValueError(f"a subset of {count} utterances was asked for; expected 1 or more.")
        order = np.random.default_rng(seed).permutation(len(self))
        turns: dict[str | None, int] = {}
        keyed = []
        for place, index in enumerate(order.tolist()):
            speaker = self.speakers[index] if self.speakers else ""
            turns[speaker] = turns.get(speaker, -1) + 1
            keyed.append((turns[speaker], place, index))
        return self.select(sorted(index for *_, index in sorted(keyed)[:count]))
