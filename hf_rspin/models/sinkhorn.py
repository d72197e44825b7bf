"""Sinkhorn-Knopp: frames share the codes of a codebook equally (SwAV, used by Spin section 2).

With P = exp(logits / epsilon) of shape (frames, codes), `num_iterations` times: every code is
scaled to a total weight of 1 / codes, every frame to a total weight of 1 / frames. Sums over
frames run over all ranks. Differs from the authors' code in that the number of frames is the
total over ranks too (theirs is local, which over-weights ranks with fewer frames).
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ranks import reduce_max_, reduce_sum_


def check_sinkhorn_arguments(epsilon: float, num_iterations: int) -> None:
    """Refuse what no assignment can be computed with.

    Raises:
        ValueError: `epsilon` is not positive, or `num_iterations` is below 1.
    """
    if not epsilon > 0:
        raise ValueError(f"epsilon is {epsilon}; expected a positive number such as 0.02.")
    if num_iterations < 1:
        raise ValueError(f"num_iterations is {num_iterations}; expected at least 1, such as 3.")


def computing_dtype(*tensors: Tensor) -> torch.dtype:
    """Return float64 if any tensor is float64, else float32: half precision would overflow."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


@torch.no_grad()
def sinkhorn(logits: Tensor, epsilon: float = 0.02, num_iterations: int = 3) -> Tensor:
    """Assign frames to codes so that all codes are used equally; no gradient.

    Args:
        logits: (frames, codes), cosines without a temperature; any floating dtype.
        epsilon: weight of the entropy; smaller is closer to a hard assignment.
        num_iterations: number of times codes, then frames, are normalised.

    Returns:
        (frames, codes) in float32 (float64 for float64 logits); every row sums to 1.

    Raises:
        ValueError: wrong shape, epsilon or number of iterations.
    """
    check_sinkhorn_arguments(epsilon, num_iterations)
    if logits.ndim != 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}; expected (frames, codes): "
            "flatten the batch and drop padded frames first."
        )
    scaled = logits.to(computing_dtype(logits), copy=True).div_(epsilon)
    return sinkhorn_(scaled, num_iterations)


def sinkhorn_(scaled: Tensor, num_iterations: int) -> Tensor:
    """Turn `scaled` = logits / epsilon, of shape (frames, codes), into assignments, in place.

    The first iteration runs in the log domain, where no input can overflow. After it every row
    sums to 1 and every code holds at least 1 / codes of weight, so that the later scale factors
    stay within codes * frames of 1: products with vectors are safe, and far cheaper.
    """
    num_codes = scaled.shape[1]
    assignments = _first_iteration_(scaled)  # (frames, codes), rows sum to 1
    code_scale = scaled.new_ones(num_codes)
    frame_scale = scaled.new_ones(len(scaled))
    for _ in range(num_iterations - 1):
        code_sums = reduce_sum_(frame_scale @ assignments).mul_(code_scale)  # (codes,)
        # a common factor cancels when the frames are normalised: only the ratio of codes counts
        code_scale = code_scale / (num_codes * code_sums)
        frame_scale = 1 / (assignments @ code_scale)  # (frames,)
    if num_iterations > 1:
        assignments.mul_(code_scale).mul_(frame_scale[:, None])
    return assignments


def _first_iteration_(scaled: Tensor) -> Tensor:
    """Normalise codes, then frames, in the log domain and in place."""
    peaks = scaled.new_full(scaled.shape[1:], -torch.inf)  # (codes,)
    if len(scaled) > 0:
        torch.amax(scaled, dim=0, out=peaks)
    scaled.sub_(reduce_max_(peaks))
    code_sums = reduce_sum_(torch.exp(scaled).sum(dim=0))  # at least 1: the peak is exp(0)
    scaled.sub_(code_sums.log_())
    scaled.sub_(scaled.amax(dim=1, keepdim=True)).exp_()
    return scaled.div_(scaled.sum(dim=1, keepdim=True))
