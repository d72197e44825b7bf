"""What the training scripts build from their arguments: corpus, views, training set."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from hf_rspin.data import SkipLog, TwoViewDataset, load_corpus
from hf_rspin.training.card_facts import portable
from hf_rspin.units import AcousticPieces, FrameLabels
from hf_rspin.views import NoiseBank, RSpinViews, SpinViews

logger = logging.getLogger(__name__)


@dataclass
class CorpusArguments:
    """Which utterances to train on."""

    corpus: str = field(
        default="",
        metadata={
            "help": "folder of audio, metadata.csv / parquet file, or Hub dataset as owner/name or "
            "owner/name:configuration"
        },
    )
    corpus_split: str | None = field(
        default=None,
        metadata={"help": "value of the column `split`, or split of a Hub dataset; none: all rows"},
    )
    min_seconds: float = field(default=2.5, metadata={"help": "shorter utterances are left out"})
    max_seconds: float = field(default=17.0, metadata={"help": "longer ones are cropped at random"})
    strict: bool = field(default=False, metadata={"help": "stop at the first bad file"})

    def load(self, skipped: SkipLog | None = None) -> datasets.Dataset:
        """Load the corpus; `skipped` is given the files left out.

        Raises:
            ValueError: no corpus was named, or nothing in it can be used.
        """
        if not self.corpus:
            raise ValueError(
                "no corpus was given; pass --corpus with a folder of audio, a metadata.csv or the "
                "id of a Hub dataset."
            )
        skipped = SkipLog(self.strict) if skipped is None else skipped
        return load_corpus(self.corpus, split_name(self.corpus_split), skipped=skipped)


@dataclass
class ViewArguments:
    """How the two views differ."""

    noise: str | None = field(
        default=None, metadata={"help": "folder of noise recordings; none: views without noise"}
    )
    noise_split: str | None = field(
        default=None,
        metadata={"help": "value of the column `split` of the noise metadata.csv; none: all rows"},
    )
    snr_low: float = field(default=-10.0, metadata={"help": "least SNR in dB"})
    snr_high: float = field(default=10.0, metadata={"help": "greatest SNR in dB"})
    babble_probability: float = field(
        default=0.0, metadata={"help": "how often the noise is a mix of other utterances"}
    )
    change_voice: bool = field(default=True, metadata={"help": "speaker perturbation of view 2"})
    equalize: bool = field(default=True, metadata={"help": "random equaliser of view 2"})

    def build(self, corpus: datasets.Dataset) -> SpinViews:
        """Return Spin's views, or R-Spin's where there is noise.

        Babble is made of `corpus`; that of an utterance leaves out the utterance.

        Raises:
            ValueError: the noise folder holds nothing usable.
        """
        options = {"change_voice": self.change_voice, "equalize": self.equalize}
        if self.noise is None and self.babble_probability == 0:
            return SpinViews(**options)
        # Columns are read row by row: a table with audio inside need not fit into memory.
        noise = load_corpus(self.noise, split_name(self.noise_split))["audio"] if self.noise else []
        bank = NoiseBank(
            noise,
            speech_sources=corpus["audio"] if self.babble_probability > 0 else [],
            babble_probability=self.babble_probability,
            speech_names=corpus["id"][:] if self.babble_probability > 0 else None,
        )
        return RSpinViews(bank, (self.snr_low, self.snr_high), **options)


def split_name(value: str | None) -> str | None:
    """Read the word none, with which a command line takes back the split of a config."""
    return None if value is None or value.lower() in ("", "none") else value


def build_training_set(
    corpus: datasets.Dataset,
    corpus_arguments: CorpusArguments,
    views: SpinViews,
    frame_labels: FrameLabels | None,
    seed: int,
    skipped: SkipLog | None = None,
) -> TwoViewDataset:
    """Return the two-view data set; with labels, only utterances that have some.

    `skipped` holds the files that loading the corpus left out, for the summary of the run.
    """
    if frame_labels is not None:
        labelled = [i for i, key in enumerate(corpus["id"]) if str(key) in frame_labels]
        missing = len(corpus) - len(labelled)
        if missing and labelled:
            logger.warning(
                "%d of %d utterances have no pseudo-labels and are left out.", missing, len(corpus)
            )
        if labelled:  # none at all is a mistake, which the checks before the first step name
            corpus = corpus.select(labelled)
    return TwoViewDataset(
        corpus,
        views,
        frame_labels,
        seed=seed,
        min_seconds=corpus_arguments.min_seconds,
        max_seconds=corpus_arguments.max_seconds,
        strict=corpus_arguments.strict,
        skipped=skipped,
    )


def show_progress() -> None:
    """Print what the package has to say; of several processes the first speaks for all."""
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("hf_rspin").setLevel(logging.INFO if first else logging.ERROR)


def pieces_of_labels(folder: str | Path, labels: FrameLabels) -> AcousticPieces | None:
    """Return the acoustic pieces that pseudo-labels stand for, to be published with the model.

    `make_pseudo_labels.py` saves them beside the folder of the labels. None where there are none,
    or where the labels are the units themselves. Local paths in their history are shortened.
    """
    place = Path(folder).resolve().parent / "acoustic_pieces"
    try:
        pieces = AcousticPieces.from_pretrained(place)
    except FileNotFoundError:
        return None
    if pieces.num_labels != labels.num_labels:
        return None
    pieces.provenance = portable(pieces.provenance)
    return pieces
