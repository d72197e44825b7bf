"""The loss of LASER, and of SCORE: two views of an utterance are aligned in time, not in frames.

LASER: L = divergence(Z, Z') + alpha * (I(Z) + I(Z')), with the soft-DTW divergence, not divided by
the lengths, and Contrastive-IDM, I; both views are trained. SCORE: L = divergence / (T + T'), with
T frames in one view and T' in the other, and no regulariser; one view is of a frozen teacher.
Without a change of speed the distance frame by frame can take the place of the divergence.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from hf_rspin.losses.contrastive_idm import contrastive_idm
from hf_rspin.losses.distributed import mean_over_ranks
from hf_rspin.losses.frame_distance import frame_distance
from hf_rspin.losses.sequences import Lengths, check_lengths
from hf_rspin.losses.soft_dtw.divergence import soft_dtw_divergence

ALIGNMENTS = ("soft_dtw", "frames")


class LaserLossOutput(NamedTuple):
    """The loss of LASER or SCORE and its parts.

    Attributes:
        loss: scalar, the mean over the pairs of the batch, of all ranks.
        soft_dtw_divergence: (batch,), divided by the frames of both views if that was asked for;
            with the alignment "frames" the `frame_distance` instead.
        idm_clean: (batch,), Contrastive-IDM of the first view, before it is weighted by alpha.
        idm_perturbed: (batch,), that of the second view.
    """

    loss: Tensor
    soft_dtw_divergence: Tensor
    idm_clean: Tensor
    idm_perturbed: Tensor


def laser_loss(
    projections_clean: Tensor,
    projections_perturbed: Tensor,
    clean_lengths: Lengths = None,
    perturbed_lengths: Lengths = None,
    gamma: float = 0.1,
    alpha: float = 0.4,
    sigma: int = 0,
    margin: float = 1.1,
    length_normalization: bool = False,
    alignment: str = "soft_dtw",
) -> LaserLossOutput:
    """Soft-DTW divergence of two views, with Contrastive-IDM of each against collapse.

    The defaults are those of LASER for HuBERT; for WavLM alpha is 0.15 and margin 1.0. SCORE is
    alpha 0 with `length_normalization`: Contrastive-IDM is then reported, without a gradient.

    Args:
        projections_clean: (batch, clean_frames, dim), rows of unit L2 norm.
        projections_perturbed: (batch, perturbed_frames, dim), of the other view.
        clean_lengths: (batch,) valid frames, a tensor or a list; None if all are.
        perturbed_lengths: (batch,) valid frames of the other view.
        gamma: smoothing of soft-DTW, in units of the squared distance.
        alpha: weight of Contrastive-IDM.
        sigma: see `contrastive_idm`.
        margin: see `contrastive_idm`.
        length_normalization: divide each divergence by the frames of both views; as published,
            without it long utterances dominate a batch.
        alignment: "soft_dtw", or "frames" for views of equal length: frame t with frame t.

    Raises:
        TypeError: see `soft_dtw`.
        ValueError: see `soft_dtw`, `frame_distance` and `contrastive_idm`, a negative alpha, or an
            unknown alignment.
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"alpha is {alpha}; expected 0 or a positive number such as 0.4.")
    views = (projections_clean, projections_perturbed)
    lengths = (clean_lengths, perturbed_lengths)
    if alignment not in ALIGNMENTS:
        raise ValueError(f"alignment is {alignment!r}; expected one of {', '.join(ALIGNMENTS)}.")
    if alignment == "frames":
        divergence = frame_distance(*views, _common_lengths(views, lengths))
    else:
        divergence = soft_dtw_divergence(*views, gamma, *lengths)
    if length_normalization:
        divergence = divergence / _frames_of_both(views, lengths).to(divergence)
    idm_clean, idm_perturbed = (
        contrastive_idm(view if alpha > 0 else view.detach(), counts, sigma, margin)
        for view, counts in zip(views, lengths, strict=True)
    )
    loss = mean_over_ranks(divergence + alpha * (idm_clean + idm_perturbed))
    return LaserLossOutput(loss, divergence, idm_clean, idm_perturbed)


def _common_lengths(views: tuple[Tensor, Tensor], lengths: tuple[Lengths, Lengths]) -> list[int]:
    """Return the valid frames of each utterance, the same in both views."""
    clean, perturbed = _counts(views, lengths)
    if clean != perturbed:
        raise ValueError(
            f"the views have {clean} and {perturbed} valid frames; expected the same: leave out "
            "changes of speed, or align them by soft_dtw."
        )
    return clean


def _frames_of_both(views: tuple[Tensor, Tensor], lengths: tuple[Lengths, Lengths]) -> Tensor:
    """Return the number of valid frames of both views together, (batch,)."""
    counts = _counts(views, lengths)
    return views[0].new_tensor([sum(pair) for pair in zip(*counts, strict=True)])


def _counts(views: tuple[Tensor, Tensor], lengths: tuple[Lengths, Lengths]) -> list[list[int]]:
    names = ("clean_lengths", "perturbed_lengths")
    return [
        check_lengths(name, count, *view.shape[:2])
        for name, view, count in zip(names, views, lengths, strict=True)
    ]
