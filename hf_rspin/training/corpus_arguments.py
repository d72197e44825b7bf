"""What a run is told about its corpus: the options of the scripts.

Only the standard library is imported here, so that `--help` starts fast; `load` imports what it
needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_rspin.training.selection_arguments import SelectionArguments
from hf_rspin.utils import option

if TYPE_CHECKING:
    import datasets

    from hf_rspin.data import SkippedFiles


def split_name(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def resolved(split: str | None, rows: datasets.Dataset) -> str | None:
    """Return a split, and for `auto` what it means for these rows."""
    from hf_rspin.data.sources import AUTO_SPLIT, split_found

    return split_found(rows) if split == AUTO_SPLIT else split


@dataclass
class CorpusArguments:
    """Which utterances to train on."""

    corpus: str = option(
        "",
        "folder of audio, metadata.csv / parquet file, or Hub dataset as owner/name or "
        "owner/name:configuration",
    )
    corpus_split: str | None = option(
        None,
        "value of the column `split`, or split of a Hub dataset; none: all rows; auto: train where "
        "there is such a column",
    )
    min_seconds: float = option(2.5, "shorter utterances are left out")
    max_seconds: float = option(17.0, "longer ones are cropped at random")
    segment_seconds: float = option(
        17.0, "recordings above a minute are cut at pauses into parts of up to this; 0: none"
    )
    audio_column: str | None = option(None, "column of the audio or its paths, such as wav_path")
    text_column: str | None = option(None, "column of the transcripts, such as sentence", rare=True)
    speaker_column: str | None = option(None, "column of the speakers, such as client_id")
    strict: bool = option(False, "stop at the first bad file")

    def load(self, skipped: SkippedFiles | None = None) -> datasets.Dataset:
        """Load the corpus; `skipped` is given the files left out.

        The split `auto` becomes what it was found to mean.

        Raises:
            ValueError: no corpus was named, or nothing in it can be used.
        """
        if not self.corpus:
            raise ValueError(
                "no corpus was given; pass --corpus with a folder of audio, a metadata.csv or the "
                "id of a Hub dataset."
            )
        split = split_name(self.corpus_split)
        rows = self.load_split(split, skipped)
        self.corpus_split = resolved(split, rows)
        return rows

    def load_split(
        self, split: str | None, skipped: SkippedFiles | None = None
    ) -> datasets.Dataset:
        """Load one split of the corpus, None for all rows."""
        from hf_rspin.data import SkippedFiles, load_corpus

        return load_corpus(
            self.corpus,
            split,
            skipped=SkippedFiles(self.strict) if skipped is None else skipped,
            audio_column=self.audio_column,
            text_column=self.text_column,
            speaker_column=self.speaker_column,
            segment_seconds=self.segment_seconds or None,
        )


@dataclass
class TrainingCorpusArguments(SelectionArguments, CorpusArguments):
    """Which utterances to train on."""
