"""Check data before the first step: what would fail, or teach nothing, hours into a run."""

from __future__ import annotations

import logging

import numpy as np

from hf_rspin.audio import FRAME_SHIFT, SAMPLING_RATE, AudioError, num_frames
from hf_rspin.data.dataset import NAMES_SHOWN, TwoViewDataset, num_labels_of

logger = logging.getLogger(__name__)

TOLERATED_FRAMES = 2  # headers and resamplers round differently
TOLERATED_SHARE = 0.01  # of utterances whose labels do not fit; they are skipped in training


class ConfigurationError(ValueError):
    """A run that cannot work; the message lists every reason and its remedy."""


def raise_problems(problems: list[str]) -> None:
    """Raise what the checks found, if anything.

    Raises:
        ConfigurationError: `problems` is not empty.
    """
    if len(problems) == 1:
        raise ConfigurationError(f"Training cannot start: {problems[0]}")
    if problems:
        listed = "\n".join(f"  {number}. {text}" for number, text in enumerate(problems, 1))
        raise ConfigurationError(f"Training cannot start:\n{listed}")


def check_batches(
    dataset: TwoViewDataset, batch_seconds: float, world_size: int, slowest: float = 1.0
) -> list[str]:
    """Return why `dataset` cannot be cut into batches of `batch_seconds` for every process.

    At speeds below 1, the `slowest` of which is given, the second view is the longer one.
    """
    if len(dataset) == 0:
        return [
            f"No utterance is left to train on ({dataset.num_too_short} are shorter than "
            f"min_seconds={dataset.min_seconds:g}): add audio or lower min_seconds."
        ]
    problems = []
    if dataset.max_seconds < dataset.min_seconds:
        problems.append(
            f"max_seconds={dataset.max_seconds:g} is below min_seconds={dataset.min_seconds:g}."
        )
    longest = float(dataset.durations.max())
    if num_frames(round(longest * SAMPLING_RATE)) < 1:
        problems.append(
            f"max_seconds={dataset.max_seconds:g} is shorter than one frame (0.025 s): raise it."
        )
    if not batch_seconds >= longest / slowest:  # nor is NaN
        at = f" at speed {slowest:g}" if slowest < 1 else ""
        problems.append(
            f"batch_seconds={batch_seconds:g} cannot hold the longest utterance "
            f"({longest / slowest:.2f} s{at}): raise batch_seconds or lower max_seconds."
        )
    if len(dataset) < world_size:
        problems.append(
            f"{world_size} processes share {len(dataset)} utterances: use fewer processes."
        )
    return problems


def check_labels(
    dataset: TwoViewDataset, num_pseudo_labels: int | None, required: bool = True
) -> list[str]:
    """Return why the frame labels do not fit the model's head, the utterances or the audio.

    Args:
        dataset: with labels, or without.
        num_pseudo_labels: outputs of the model's auxiliary head; None without one.
        required: False where the loss of that head is off.
    """
    labels = dataset.frame_labels
    if labels is None and (num_pseudo_labels is None or not required):
        return []
    if labels is None:
        return [
            f"The model predicts {num_pseudo_labels} pseudo-labels but the data has none: pass "
            "frame_labels, or use a model without num_pseudo_labels (plain Spin)."
        ]
    if num_pseudo_labels is None:
        return [
            "The data has frame labels but the model has no auxiliary head: set num_pseudo_labels="
            f"{labels.num_labels} in its config, or leave the labels out (plain Spin)."
        ]
    problems = []
    if labels.num_labels > num_pseudo_labels:
        problems.append(
            f"The labels go up to {labels.num_labels - 1} but the model has num_pseudo_labels="
            f"{num_pseudo_labels}: build it with num_pseudo_labels={labels.num_labels}."
        )
    ids = [str(key) for key in dataset.corpus["id"]]
    missing = [key for key in ids if key not in labels]
    if missing:
        problems.append(
            f"{len(missing)} of {len(ids)} utterances have no labels, such as "
            f"{', '.join(missing[:NAMES_SHOWN])}: make pseudo-labels of this corpus."
        )
        return problems
    return problems + _check_lengths(dataset, ids)


def _check_lengths(dataset: TwoViewDataset, ids: list[str]) -> list[str]:
    expected = [num_frames(round(t * SAMPLING_RATE)) for t in dataset.full_durations]
    found = [num_labels_of(dataset.frame_labels, key) for key in ids]
    wrong = np.flatnonzero(np.abs(np.subtract(found, expected)) > TOLERATED_FRAMES)
    if len(wrong) == 0:
        return []
    first = int(wrong[0])
    text = (
        f"The labels of {len(wrong)} of {len(ids)} utterances do not have one label per frame of "
        f"{FRAME_SHIFT} samples, such as {ids[first]}: {found[first]} labels, {expected[first]} "
        "frames. Make the labels again from this audio."
    )
    if dataset.strict or len(wrong) > TOLERATED_SHARE * len(ids):
        return [text]
    logger.warning("%s These utterances are skipped where the audio disagrees.", text)
    return []


def check_examples(dataset: TwoViewDataset, count: int = 3) -> list[str]:
    """Make a few examples as training will; return why that is impossible.

    One bad file among them is no problem, training skips it. An error of the views is: noise that
    cannot be read, for instance.
    """
    if len(dataset) == 0:
        return []
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    try:
        dataset.__getitems__([(0, int(index)) for index in chosen])
    except AudioError as error:
        return [f"Making the first examples failed: {error}"]
    except KeyError:
        return []  # missing labels: check_labels says it better
    return []
