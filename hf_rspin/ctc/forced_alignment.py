"""Where each label of a known transcript lies: the best path through the frames of a CTC model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hf_rspin.ctc.align_arguments import SPREAD
from hf_rspin.ctc.vocabulary import frames_needed


@dataclass(frozen=True)
class ForcedAlignment:
    """Frames of each label; what lies between two of them is blank.

    Attributes:
        starts: (labels,) int64, first frame of each label.
        ends: (labels,) int64, the frame after its last one.
        scores: (labels,) float64, mean log probability over the frames in which the model gives
            the label itself, without the blanks that `spread` adds.
        path: (frames,) int64, the class of each frame on the best path.
        score: mean log probability of that path per frame.
    """

    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    path: np.ndarray
    score: float


def forced_align(
    log_probabilities: np.ndarray,
    labels: Sequence[int],
    blank: int = 0,
    spread: int | None = SPREAD,
) -> ForcedAlignment:
    """Find the most probable CTC path that says `labels`, and the frames of each label on it.

    A path is a class per frame; equal neighbours count once and blanks not at all, so that equal
    labels in sequence need a blank between them (Graves et al. 2006, "Connectionist temporal
    classification", sections 3 and 4.1, with the maximum in place of the sum). Of equally probable
    paths the same is taken at every call. Memory: frames x (2 labels + 1) x 17 bytes.

    CTC posteriors are peaky: a label has one or two frames of its own, wherever the model was sure,
    and all around it is blank. Ends are therefore a convention: of a run of blanks, each label
    takes up to `spread` frames on its side, the nearer ones; a middle frame goes to the label
    before. Longer runs stay blank in their middle, which then counts as silence. How near
    that comes to true boundaries depends on the model and the speech; do not expect milliseconds.

    Args:
        log_probabilities: (frames, classes), `log_softmax` of the logits; -inf is allowed.
        labels: class of each label, without blanks.
        blank: class of the blank.
        spread: blank frames that a label takes on each side at most; 0: only its own frames;
            None: all of them, so that each label ends where the next starts.

    Raises:
        ValueError: a label that is no class, too few frames, NaN, a negative spread, or no path
            has a probability.

    Example:
        >>> probabilities = np.array([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
        >>> forced_align(np.log(probabilities), [1, 2], spread=0).starts  # frames of 20 ms
        array([0, 2])
    """
    scores = np.asarray(log_probabilities, dtype=np.float64)
    targets = np.asarray(labels, dtype=np.int64).reshape(-1)
    if spread is not None and spread < 0:
        raise ValueError(f"spread is {spread}; expected frames from 0, or None for all of them.")
    _check(scores, targets, blank)
    states = np.full(2 * len(targets) + 1, blank)  # blank, label, blank, label, ... blank
    states[1::2] = targets
    path = _best_states(scores[:, states], _may_skip(states, blank))
    classes = states[path]
    along = np.take_along_axis(scores, classes[:, None], axis=1)[:, 0]
    starts = np.searchsorted(path, np.arange(1, len(states), 2), side="left")
    ends = np.searchsorted(path, np.arange(1, len(states), 2), side="right")
    peaks = [along[start:end].mean() for start, end in zip(starts, ends, strict=True)]
    score = float(along.mean()) if len(along) else 0.0
    starts, ends = _spread(starts, ends, len(scores), spread)
    return ForcedAlignment(starts, ends, np.array(peaks, dtype=np.float64), classes, score)


def _check(scores: np.ndarray, labels: np.ndarray, blank: int) -> None:
    if scores.ndim != 2:
        raise ValueError(f"got log probabilities {scores.shape}; expected (frames, classes).")
    classes = scores.shape[1]
    wrong = [int(one) for one in labels if not 0 <= one < classes or one == blank]
    if wrong or not 0 <= blank < classes:
        raise ValueError(
            f"got the label {wrong[0] if wrong else blank} for {classes} classes with the blank "
            f"{blank}; expected 0 to {classes - 1}, and no blank among the labels."
        )
    if len(scores) < frames_needed(labels.tolist()):
        raise ValueError(
            f"got {len(scores)} frames for {len(labels)} labels; expected at least "
            f"{frames_needed(labels.tolist())}, one for each and one between equal neighbours: is "
            "this the transcript of this audio?"
        )
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ValueError(
            "the log probabilities hold NaN or +infinity; expected log_softmax of finite logits."
        )


def _may_skip(states: np.ndarray, blank: int) -> np.ndarray:
    """Say of each state (states,) whether the blank before it may be left out."""
    skips = np.zeros(len(states), dtype=bool)
    skips[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    return skips


def _best_states(emissions: np.ndarray, skips: np.ndarray) -> np.ndarray:
    """Return the best state of each frame, (frames,), by Viterbi.

    Args:
        emissions: (frames, states) log probabilities.
        skips: (states,), see `_may_skip`.

    Raises:
        ValueError: no path has a probability.
    """
    frames, states = emissions.shape
    if frames == 0:
        return np.zeros(0, dtype=np.int64)
    steps = np.zeros((frames, states), dtype=np.uint8)  # how many states back the best one is
    best = np.full(states, -np.inf)
    best[:2] = emissions[0, :2]
    from_each = np.full((3, states), -np.inf)
    for frame in range(1, frames):
        from_each[0] = best
        from_each[1, 1:] = best[:-1]
        from_each[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        steps[frame] = from_each.argmax(axis=0)
        best = from_each.max(axis=0) + emissions[frame]
    last = states - 1 if states == 1 or best[-1] > best[-2] else states - 2
    if best[last] == -np.inf:
        raise ValueError(
            "no path through the frames has a probability above zero; expected a model that gives "
            "each label some: are these the labels of its vocabulary?"
        )
    path = np.empty(frames, dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = last
        last -= steps[frame, last]
    return path


def _spread(
    starts: np.ndarray, ends: np.ndarray, frames: int, spread: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Give the blanks beside labels to the nearer one, at most `spread` frames on each side."""
    if len(starts) == 0:
        return starts, ends
    most = frames if spread is None else spread
    between = starts[1:] - ends[:-1]
    after = np.append(np.minimum((between + 1) // 2, most), min(frames - ends[-1], most))
    before = np.append(min(starts[0], most), np.minimum(between // 2, most))
    return starts - before, ends + after
