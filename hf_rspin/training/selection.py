"""Choose the part of a corpus that a run trains on, and record what was chosen."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import TrainerCallback

from hf_rspin.data import SkippedFiles
from hf_rspin.data.selection.budget import Selection, check_hours, seeded_ranks, take_hours
from hf_rspin.data.selection.coverage import coverage_order, ngram_sets
from hf_rspin.device import check_device
from hf_rspin.models.folders import resolve_encoder, wants_normalized
from hf_rspin.models.loading import load_encoder
from hf_rspin.training.provenance import corpus_key, weights_key
from hf_rspin.training.selection_arguments import (
    RANDOM,
    UNIT_COVERAGE,
    HoursArguments,
    SelectionArguments,
)
from hf_rspin.training.trainer import SpeechTrainer
from hf_rspin.training.training_arguments import SpeechTrainingArguments
from hf_rspin.units import FrameLabels, layer_features
from hf_rspin.units.features import LayerFeatures
from hf_rspin.units.label_losses import label_losses
from hf_rspin.utils import write_json

logger = logging.getLogger(__name__)

SELECTION = "selection.json"
LOSSES = "selection_losses_{}.json"  # with a hash of what they are made from
LOSS_SEED = 0  # of halves and draws: the losses are the same for every seed of a run


def select_rows(
    arguments: HoursArguments,
    corpus: datasets.Dataset,
    training: SpeechTrainingArguments,
    *,
    labels: FrameLabels | None = None,
    start: str | None = None,
    start_layer: int = -1,
    min_seconds: float = 0.0,
    skipped: SkippedFiles | None = None,
) -> tuple[list[int], Selection | None]:
    """Return the rows to train on, in the order of the corpus, and what they are of it.

    Chosen are utterances that the run can use: long enough, and with labels where it trains on
    some. Hours count whole utterances, also where crops are trained on. More hours with the same
    seed hold the same utterances and some more.

    - random: by hashes of seed and id.
    - unit_coverage: next the utterance with most n-grams (1 to 3) of the frame labels, repetitions
      merged, that no other one has, per second; covered once, a new round begins.
    - loss: next the utterance with the highest `label_losses` under the encoder that the run starts
      from. The seed decides between equals only.

    All processes must call it together.

    Args:
        arguments: how many hours, and which; `SelectionArguments` where not random.
        corpus: columns `id`, `audio` and `duration` in seconds.
        training: its `data_seed`, or else `seed`, is that of the selection.
        labels: that the run trains on; every utterance must have some.
        start: encoder that the run starts from; None: one that could predict nothing.
        start_layer: hidden state of it that is the last of what starts.
        min_seconds: shorter utterances cannot be chosen.
        skipped: is given files that loss could not read.

    Raises:
        ValueError: more hours than there are, no labels, or no encoder to ask.
    """
    if arguments.hours is None:
        return list(range(len(corpus))), None
    guide = _guide(arguments, labels)
    rows = _candidates(corpus, [known for known in (labels, guide) if known is not None],
                       min_seconds)  # fmt: skip
    part = corpus.select(rows)
    ids, seconds = [str(key) for key in part["id"]], np.asarray(part["duration"], dtype=float)
    check_hours(arguments.hours, seconds)
    seed = training.seed if training.data_seed is None else training.data_seed
    ranks = seeded_ranks(ids, seed)
    if arguments.select == RANDOM:
        order = np.argsort(ranks)
    elif arguments.select == UNIT_COVERAGE:
        order = coverage_order(ngram_sets(guide[key] for key in ids), seconds, ranks)
    else:
        encoder = _encoder(arguments, start, start_layer)
        losses = _losses(arguments, part, training, guide, encoder, skipped)
        order = _by_loss(losses, ranks, arguments.hours, seconds)
    taken = take_hours(order, seconds, arguments.hours)
    found = Selection(
        [ids[row] for row in taken], float(seconds[taken].sum()), len(ids), float(seconds.sum()),
        arguments.select, arguments.hours, seed,
    )  # fmt: skip
    logger.info("kept %s", found)
    return sorted(rows[row] for row in taken), found


def keep_selection(trainer: SpeechTrainer, selection: Selection | None) -> None:
    """Let a run record what was chosen: in its provenance, on its card and in `selection.json`."""
    if selection is not None:
        trainer.provenance["selection"] = str(selection)
    trainer.add_callback(SelectionRecord(selection))


class SelectionRecord(TrainerCallback):
    """Writes `selection.json` when every check has passed; removes that of an earlier run.

    Args:
        selection: None for all of the corpus.
    """

    def __init__(self, selection: Selection | None):
        self.selection = selection

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write or remove the file, in the first process."""
        file = Path(args.output_dir) / SELECTION
        if not args.should_save:
            return
        if self.selection is None:
            file.unlink(missing_ok=True)
        else:
            write_json(file, self.selection.as_json(), indent=1)


def _guide(arguments: HoursArguments, labels: FrameLabels | None) -> FrameLabels | None:
    """Return the frame labels that a selection looks at; None for random.

    Raises:
        ValueError: it needs some, and there are none.
    """
    if not isinstance(arguments, SelectionArguments) or arguments.select == RANDOM:
        return None
    if arguments.selection_labels is not None:
        return FrameLabels.load(arguments.selection_labels)
    if labels is None:
        raise ValueError(
            f"select is {arguments.select}, which looks at frame labels, and this run trains on "
            "none: pass --selection_labels with a folder of `hf-rspin labels`."
        )
    return labels


def _candidates(
    corpus: datasets.Dataset, needed: list[FrameLabels], min_seconds: float
) -> list[int]:
    """Return the rows that can be chosen; say how many cannot.

    Raises:
        ValueError: none can.
    """
    seconds = np.asarray(corpus["duration"], dtype=float)
    long_enough = seconds >= min_seconds
    labelled = np.array([all(str(key) in one for one in needed) for key in corpus["id"]])
    rows = np.flatnonzero(long_enough & labelled).tolist()
    reasons = (
        f"{np.count_nonzero(~long_enough)} are shorter than {min_seconds:g} s, "
        f"{np.count_nonzero(~labelled)} have no frame labels"
    )
    if not rows:
        raise ValueError(
            f"none of the {len(corpus)} utterances can be chosen ({reasons}); expected the corpus "
            "that the labels were made from, with the same ids."
        )
    if len(rows) < len(corpus):
        logger.warning(
            "%d of %d utterances cannot be chosen: %s.",
            len(corpus) - len(rows), len(corpus), reasons,
        )  # fmt: skip
    return rows


def _losses(
    arguments: SelectionArguments,
    corpus: datasets.Dataset,
    training: SpeechTrainingArguments,
    labels: FrameLabels,
    encoder: tuple[str, int],
    skipped: SkippedFiles | None,
) -> list[float | None]:
    """Return the loss of each utterance; the first process computes what is not known yet."""
    ids = [str(key) for key in corpus["id"]]
    skipped = SkippedFiles() if skipped is None else skipped
    # the run draws the same numbers afterwards, whether the losses were known or not
    with torch.random.fork_rng(), training.main_process_first(desc="selection"):
        features = _features(encoder, training)
        key = {
            "weights": weights_key(features.model), "layer": features.layer,
            "normalize": features.normalize, "bf16": features.bf16, "labels": _labels_key(labels),
            **corpus_key(corpus),
        }  # fmt: skip
        digest = hashlib.sha256(repr(sorted(key.items())).encode()).hexdigest()[:16]
        file = Path(arguments.selection_cache or training.output_dir) / LOSSES.format(digest)
        ranks = seeded_ranks(ids, LOSS_SEED)
        losses = label_losses(features, corpus, labels, ranks, file, key, skipped)
    return [losses[one] for one in ids]


def _encoder(arguments: SelectionArguments, start: str | None, start_layer: int) -> tuple[str, int]:
    """Return the encoder that loss asks, and its hidden state.

    Raises:
        ValueError: the run starts from random weights, and no other encoder is named.
    """
    layer = arguments.selection_layer
    if arguments.selection_model is not None:
        return arguments.selection_model, -1 if layer is None else layer
    if not start:
        raise ValueError(
            "select is loss, but this run starts from no encoder that could predict anything: pass "
            "--selection_model with one."
        )
    return start, start_layer if layer is None else layer


def _features(encoder: tuple[str, int], training: SpeechTrainingArguments) -> LayerFeatures:
    folder = resolve_encoder(encoder[0])
    model = load_encoder(folder).to(check_device(str(training.device)))
    normalize = wants_normalized(folder, model.config)
    return layer_features(model, encoder[1], training.bf16, normalize)


def _labels_key(labels: FrameLabels) -> str:
    digest = hashlib.sha256()
    for block in labels.blocks():
        digest.update(np.ascontiguousarray(block).data)
    digest.update(np.ascontiguousarray(labels.offsets).data)
    digest.update("\n".join(labels.ids).encode())
    return digest.hexdigest()[:16]


def _by_loss(
    losses: list[float | None], ranks: np.ndarray, hours: float, seconds: np.ndarray
) -> list[int]:
    """Return the rows with a loss, the highest first.

    Raises:
        ValueError: those that could be read last less than the hours.
    """
    read = [row for row, loss in enumerate(losses) if loss is not None]
    check_hours(hours, seconds[read])
    return sorted(read, key=lambda row: (-losses[row], int(ranks[row])))
