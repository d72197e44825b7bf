"""Sinkhorn-Knopp: frames share the codes of a codebook equally (SwAV, used by Spin section 2).

With P = exp(logits / epsilon) of shape (frames, codes), `num_iterations` times: every code is
scaled to a total weight of 1 / codes, then every frame to a total weight of 1 / frames. Sums over
frames run over all ranks. Differs from the authors' code in that the number of frames is the
total over ranks too (theirs is local, which over-weights ranks with fewer frames).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hf_rspin.losses.distributed import reduce_max_, reduce_sum_

# entries of a (frames, codes) matrix worked on at a time on a CPU: 2 MB stay in the cache
CHUNK_ENTRIES = 2**19


class Assignments(NamedTuple):
    """Assignments of frames to codes, before the last scaling of the matrix.

    Attributes:
        matrix: (frames, codes).
        code_scale: (codes,).
        frame_scale: (frames,).
    """

    matrix: Tensor
    code_scale: Tensor
    frame_scale: Tensor

    def finish_(self, rows: slice) -> Tensor:
        """Scale `rows` of the matrix in place, once, and return them; each sums to 1."""
        return self.matrix[rows].mul_(self.code_scale).mul_(self.frame_scale[rows, None])


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


def row_chunks(matrix: Tensor) -> Iterator[slice]:
    """Cut (frames, codes) into pieces that fit a CPU's cache; one piece on other devices."""
    frames, codes = matrix.shape
    step = frames if matrix.device.type != "cpu" else CHUNK_ENTRIES // max(codes, 1)
    step = max(step, 1)
    return (slice(start, min(start + step, frames)) for start in range(0, frames, step))


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
    assignments = assign(logits.to(computing_dtype(logits)), epsilon, num_iterations)
    return assignments.finish_(slice(None))


def assign(logits: Tensor, epsilon: float, num_iterations: int) -> Assignments:
    """Run Sinkhorn-Knopp on (frames, codes) in float32 or float64.

    The first iteration runs in the log domain, where no input can overflow. After it every row
    sums to 1 and every code holds at least 1 / codes of weight, so that the later scale factors
    stay within codes * frames of 1: products with vectors are safe, and far cheaper.
    """
    with torch.autocast(logits.device.type, enabled=False):
        matrix = _first_iteration(logits, epsilon)  # (frames, codes), rows sum to 1
        code_scale = matrix.new_ones(matrix.shape[1])
        frame_scale = matrix.new_ones(matrix.shape[0])
        for _ in range(num_iterations - 1):
            code_scale = reduce_sum_(frame_scale @ matrix).reciprocal_()  # (codes,)
            # a common factor cancels when the frames are normalised; left alone it would grow
            code_scale /= code_scale.mean()
            frame_scale = (matrix @ code_scale).reciprocal_()  # (frames,)
    return Assignments(matrix, code_scale, frame_scale)


def _first_iteration(logits: Tensor, epsilon: float) -> Tensor:
    """Normalise codes, then frames: in the log domain the latter is a softmax over codes."""
    peaks = logits.new_full(logits.shape[1:], -torch.inf)  # (codes,)
    code_sums = torch.zeros_like(peaks)
    matrix = torch.empty_like(logits)
    if len(logits) > 0:
        torch.amax(logits, dim=0, out=peaks)
    reduce_max_(peaks)
    shift = peaks.div_(-epsilon)
    for rows in row_chunks(logits):
        code_sums += torch.add(shift, logits[rows], alpha=1 / epsilon).exp_().sum(dim=0)
    # at least 1, as the peak contributes exp(0)
    shift -= reduce_sum_(code_sums).log_()
    for rows in row_chunks(logits):
        scaled = torch.add(shift, logits[rows], alpha=1 / epsilon)
        torch.softmax(scaled, dim=1, out=matrix[rows])
    return matrix
