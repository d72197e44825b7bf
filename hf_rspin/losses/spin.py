"""Speaker-invariant clustering: Equation 1 of R-Spin (arXiv 2311.09117), after Spin.

Each view predicts the Sinkhorn assignment of the other view:
loss = -1/2 [ mean_b sum_k q(clean) log p(perturbed) + mean_b sum_k q(perturbed) log p(clean) ]
with p = softmax(cosine / temperature) and q = Sinkhorn(cosine), which carries no gradient.
The gradient is written out: with logits l = z . codebook^T,
d loss / d l(perturbed) = (p(perturbed) - q(clean)) / (2 * frames * temperature).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hf_rspin.losses.distributed import reduce_sum_, world_size
from hf_rspin.losses.sinkhorn import (
    Assignments,
    assign,
    check_sinkhorn_arguments,
    computing_dtype,
    row_chunks,
)

# inside the logarithm of the reported entropies, as in the authors' code
ENTROPY_FLOOR = 1e-7
# cross-entropy, hits, frames: what is summed over frames besides two vectors of (codes,)
NUM_COUNTS = 3


class SpinLossOutput(NamedTuple):
    """The Spin loss and what is reported beside it; all are scalar tensors over all ranks.

    Attributes:
        loss: Equation 1, averaged over the frames of all ranks.
        accuracy: share of frames whose most probable code is the most probable target of the
            other view, averaged over the two views.
        code_perplexity: exp of the entropy of the histogram of most probable codes, both views.
        probability_perplexity: exp of the entropy of the mean probabilities, both views.
        num_frames: frames of one view.
    """

    loss: Tensor
    accuracy: Tensor
    code_perplexity: Tensor
    probability_perplexity: Tensor
    num_frames: Tensor


def spin_loss(
    projections_clean: Tensor,
    projections_perturbed: Tensor,
    codebook: Tensor,
    temperature: float = 0.1,
    epsilon: float = 0.02,
    num_iterations: int = 3,
) -> SpinLossOutput:
    """Swapped prediction of Sinkhorn assignments between two aligned views.

    Computed in float32 (float64 for float64 inputs), also under autocast. In a distributed run
    the loss is the mean over the frames of all ranks, equal on every rank, and gradients are
    scaled so that their average over ranks is that of one process holding all frames.

    Args:
        projections_clean: (frames, dim), rows of unit L2 norm, valid frames only.
        projections_perturbed: (frames, dim), the same frames of the other view.
        codebook: (codes, dim), rows of unit L2 norm.
        temperature: divides the cosines of the prediction, not those of the target.
        epsilon: see `sinkhorn`.
        num_iterations: see `sinkhorn`.

    Raises:
        ValueError: shapes that do not match, no frame at all, or a constant out of range.
    """
    check_sinkhorn_arguments(epsilon, num_iterations)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a positive number such as 0.1.")
    _check_shapes(projections_clean, projections_perturbed, codebook)
    tensors = (projections_clean, projections_perturbed, codebook)
    want_grads = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return SpinLossOutput(
        *_SpinLoss.apply(*tensors, temperature, epsilon, num_iterations, want_grads)
    )


def _check_shapes(clean: Tensor, perturbed: Tensor, codebook: Tensor) -> None:
    if clean.ndim != 2 or clean.shape != perturbed.shape:
        raise ValueError(
            f"projections have shapes {tuple(clean.shape)} and {tuple(perturbed.shape)}; expected "
            "the same (frames, dim) twice: crop both views alike and keep valid frames only."
        )
    if codebook.ndim != 2 or codebook.shape[1] != clean.shape[1]:
        raise ValueError(
            f"codebook has shape {tuple(codebook.shape)}; expected (codes, {clean.shape[1]})."
        )
    if len(clean) == 0 and world_size() == 1:
        raise ValueError("projections hold no frame; skip batches without a valid frame.")


class _SpinLoss(torch.autograd.Function):
    """The whole loss as one node, whose gradients are computed along with it.

    Four matrices of (frames, codes) live during the forward and none until the backward, where
    separate operations would keep a dozen.
    """

    @staticmethod
    def forward(ctx, clean, perturbed, codebook, temperature, epsilon, num_iterations, want_grads):
        inputs = (clean, perturbed, codebook)
        dtype = computing_dtype(*inputs)
        clean, perturbed, codebook = (tensor.to(dtype) for tensor in inputs)
        grads = [torch.zeros_like(t) for t in (clean, perturbed, codebook)] if want_grads else []
        with torch.autocast(clean.device.type, enabled=False):
            logits = [view @ codebook.T for view in (clean, perturbed)]  # (frames, codes) each
            targets = [assign(view, epsilon, num_iterations) for view in logits]
            sums = codebook.new_zeros(NUM_COUNTS + 2 * len(codebook))
            for index, view in enumerate((clean, perturbed)):
                errors = _predict_(logits[index], targets[1 - index], temperature, sums)
                for rows, error in errors:
                    if want_grads:
                        torch.mm(error, codebook, out=grads[index][rows])
                        grads[2].addmm_(error.T, view[rows])
            totals = reduce_sum_(sums)
        outputs = _report(totals, len(codebook))
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.gradient_scale = world_size() / (temperature * totals[2])
        ctx.save_for_backward(*(g.to(t.dtype) for g, t in zip(grads, inputs, strict=False)))
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        scale = gradient * ctx.gradient_scale
        grads = [
            (grad * scale).to(grad.dtype) if needed else None
            for grad, needed in zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        ]
        return (*grads, None, None, None, None)


def _predict_(
    logits: Tensor, target: Assignments, temperature: float, sums: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Compare one view's prediction with the other view's target, some rows at a time.

    Yields the rows and their errors p - q (rows, codes); both matrices are used up. Adds to
    `sums` the cross-entropy, hits, frames, hard codes (codes,) and probabilities (codes,).
    """
    counts, code_counts, code_probabilities = sums.split([NUM_COUNTS, *2 * [logits.shape[1]]])
    for rows in row_chunks(logits):
        wanted = target.finish_(rows)
        log_probabilities = torch.log_softmax(logits[rows].div_(temperature), dim=1)
        cross_entropy = -torch.dot(wanted.flatten(), log_probabilities.flatten())
        probabilities = log_probabilities.exp_()
        best = probabilities.max(dim=1).indices  # (rows,)
        hits = (best == wanted.max(dim=1).indices).sum()
        ones = torch.ones_like(best, dtype=logits.dtype)
        counts += torch.stack([cross_entropy, hits.to(logits.dtype), ones.sum()])
        code_counts.index_add_(0, best, ones)
        code_probabilities += probabilities.sum(dim=0)
        yield rows, probabilities.sub_(wanted)


def _report(totals: Tensor, num_codes: int) -> tuple[Tensor, ...]:
    """Turn sums over both views and all ranks into the fields of `SpinLossOutput`."""
    cross_entropy, hits, predictions = totals[:NUM_COUNTS].unbind()
    code_counts, probabilities = totals[NUM_COUNTS:].split(num_codes)  # (codes,) each
    return (
        cross_entropy / predictions,
        hits / predictions,
        _perplexity(code_counts / predictions),
        _perplexity(probabilities / predictions),
        predictions / 2,
    )


def _perplexity(distribution: Tensor) -> Tensor:
    return torch.exp(-(distribution * torch.log(distribution + ENTROPY_FLOOR)).sum())
