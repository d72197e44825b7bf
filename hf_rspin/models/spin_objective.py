"""Speaker-invariant clustering: Equation 1 of R-Spin (arXiv 2311.09117), after Spin.

Each view predicts the Sinkhorn assignment of the other view:
loss = -1/2 [ mean_b sum_k q(clean) log p(perturbed) + mean_b sum_k q(perturbed) log p(clean) ]
with p = softmax(cosine / temperature) and q = Sinkhorn(cosine), which carries no gradient.
The gradient is written out: with logits l = z . codebook^T,
d loss / d l(perturbed) = (p(perturbed) - q(clean)) / (2 * frames * temperature).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .ranks import reduce_sum_, world_size
from .sinkhorn import check_sinkhorn_arguments, computing_dtype, sinkhorn_

# inside the logarithm of the reported entropies, as in the authors' code
ENTROPY_FLOOR = 1e-7


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
    return SpinLossOutput(
        *_SpinLoss.apply(
            projections_clean, projections_perturbed, codebook, temperature, epsilon, num_iterations
        )
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
    """The whole loss as one node: two matrices of (frames, codes) are kept, not a dozen."""

    @staticmethod
    def forward(ctx, clean, perturbed, codebook, temperature, epsilon, num_iterations):
        dtype = computing_dtype(clean, perturbed, codebook)
        ctx.input_dtypes = (clean.dtype, perturbed.dtype, codebook.dtype)
        clean, perturbed, codebook = (t.to(dtype) for t in (clean, perturbed, codebook))
        with torch.autocast(clean.device.type, enabled=False):
            logits = (clean @ codebook.T, perturbed @ codebook.T)  # (frames, codes) each
        targets = [sinkhorn_(view / epsilon, num_iterations) for view in logits]
        errors, sums = [], []
        for view, target in zip(logits, reversed(targets), strict=True):
            error, view_sums = _predict_(view.div_(temperature), target)
            errors.append(error)
            sums.append(view_sums)
        totals = reduce_sum_(torch.stack(sums).sum(dim=0))  # (3 + 2 * codes,)
        outputs = _report(totals, codebook.shape[0])
        ctx.save_for_backward(clean, perturbed, codebook, *errors)
        ctx.gradient_scale = world_size() / (temperature * totals[2])
        ctx.mark_non_differentiable(*outputs[1:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        clean, perturbed, codebook, error_clean, error_perturbed = ctx.saved_tensors
        scale = gradient * ctx.gradient_scale
        grads = [None, None, None]
        with torch.autocast(clean.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                grads[0] = (error_clean @ codebook).mul_(scale)
            if ctx.needs_input_grad[1]:
                grads[1] = (error_perturbed @ codebook).mul_(scale)
            if ctx.needs_input_grad[2]:
                grads[2] = (error_clean.T @ clean).addmm_(error_perturbed.T, perturbed).mul_(scale)
        grads = [
            None if grad is None else grad.to(dtype)
            for grad, dtype in zip(grads, ctx.input_dtypes, strict=True)
        ]
        return (*grads, None, None, None)


def _predict_(scaled: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Compare one view's prediction with the other view's target, both (frames, codes).

    Returns the error p - q (written over `target`), and the sums over this rank's frames of
    cross-entropy, hits, frames, hard codes and probabilities in one vector of (3 + 2 * codes,).
    """
    log_probabilities = torch.log_softmax(scaled, dim=1)
    cross_entropy = -torch.linalg.vecdot(target, log_probabilities).sum()
    probabilities = log_probabilities.exp_()
    best, wanted = probabilities.max(dim=1).indices, target.max(dim=1).indices  # (frames,)
    ones = torch.ones_like(best, dtype=scaled.dtype)
    code_counts = scaled.new_zeros(scaled.shape[1]).index_add_(0, best, ones)
    heads = torch.stack([cross_entropy, (best == wanted).sum().to(scaled.dtype), ones.sum()])
    sums = torch.cat([heads, code_counts, probabilities.sum(dim=0)])
    return torch.sub(probabilities, target, out=target), sums


def _report(totals: Tensor, num_codes: int) -> tuple[Tensor, ...]:
    """Turn sums over both views and all ranks into the fields of `SpinLossOutput`."""
    cross_entropy, hits, predictions = totals[:3].unbind()
    code_counts, probabilities = totals[3:].split(num_codes)  # (codes,) each
    return (
        cross_entropy / predictions,
        hits / predictions,
        _perplexity(code_counts / predictions),
        _perplexity(probabilities / predictions),
        predictions / 2,
    )


def _perplexity(distribution: Tensor) -> Tensor:
    return torch.exp(-(distribution * torch.log(distribution + ENTROPY_FLOOR)).sum())
