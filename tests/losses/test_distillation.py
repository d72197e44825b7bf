"""DistilHuBERT's loss: closed forms, brute force over frames, and padding that never counts."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from hf_rspin.losses.distillation import distillation_loss


def inputs(batch=2, layers=3, frames=7, dim=5, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, layers, frames, dim)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2)]


def by_frame(predictions, targets, valid):
    """Both parts as they are printed: a mean over valid frames, then one over layers."""
    distances, angles = [], []
    for layer in range(predictions.shape[1]):
        pairs = [(predictions[b, layer, t], targets[b, layer, t]) for b, t in valid.nonzero()]
        distances.append(sum((p - t).abs().sum() / len(p) for p, t in pairs) / len(pairs))
        cosines = [torch.dot(p, t) / p.norm() / t.norm() for p, t in pairs]
        angles.append(sum(torch.log(1 + torch.exp(-c)) for c in cosines) / len(pairs))
    return torch.stack(distances).mean(), torch.stack(angles).mean()


def test_a_case_by_hand():
    """Two frames: one is met, the other is as far as its opposite."""
    targets = torch.tensor([[[[3.0, 4.0], [1.0, 0.0]]]])
    predictions = torch.tensor([[[[3.0, 4.0], [-1.0, 0.0]]]])
    found = distillation_loss(predictions, targets, cosine_weight=0.5)
    assert found.l1.item() == pytest.approx((0 + 2 / 2) / 2)
    cosine = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert found.cosine.item() == pytest.approx(cosine)
    assert found.loss.item() == pytest.approx(0.5 + 0.5 * cosine)


@pytest.mark.parametrize("lengths", [(7, 7), (7, 3), (1, 6), (7, 0)])
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_brute_force_over_valid_frames(lengths, layers):
    predictions, targets = inputs(layers=layers)
    valid = torch.arange(7) < torch.tensor(lengths)[:, None]
    found = distillation_loss(predictions, targets, valid, cosine_weight=0.7)
    l1, cosine = by_frame(predictions, targets, valid)
    torch.testing.assert_close(found.l1, l1)
    torch.testing.assert_close(found.cosine, cosine)
    torch.testing.assert_close(found.loss, l1 + 0.7 * cosine)


def test_a_mask_of_ones_is_no_mask():
    predictions, targets = inputs()
    whole = distillation_loss(predictions, targets)
    masked = distillation_loss(predictions, targets, torch.ones(2, 7, dtype=torch.bool))
    torch.testing.assert_close(masked.loss, whole.loss)


@pytest.mark.parametrize("garbage", [1e4, float("inf"), float("nan")])
def test_padding_never_counts(garbage):
    predictions, targets = inputs()
    valid = torch.arange(7) < torch.tensor([7, 4])[:, None]
    wanted = distillation_loss(predictions, targets, valid)
    predictions[1, :, 4:], targets[1, :, 4:] = garbage, -garbage
    predictions.requires_grad_()
    found = distillation_loss(predictions, targets, valid)
    assert (found.l1, found.cosine) == (wanted.l1, wanted.cosine)
    if math.isfinite(garbage):
        found.loss.backward()
        assert (predictions.grad[1, :, 4:] == 0).all()
        assert (predictions.grad[1, :, :4] != 0).any() and (predictions.grad[0] != 0).any()


def test_no_valid_frame_is_no_loss():
    predictions, targets = inputs()
    predictions.requires_grad_()
    found = distillation_loss(predictions, targets, torch.zeros(2, 7, dtype=torch.bool))
    found.loss.backward()
    assert found.loss == 0 and (predictions.grad == 0).all()


def test_gradients():
    predictions, targets = inputs(batch=2, layers=2, frames=3, dim=3)
    valid = torch.arange(3) < torch.tensor([3, 2])[:, None]
    predictions.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: distillation_loss(p, targets, valid, 0.7).loss, predictions
    )


def test_no_gradient_flows_into_targets():
    predictions, targets = (one.requires_grad_() for one in inputs())
    distillation_loss(predictions, targets).loss.backward()
    assert targets.grad is None and predictions.grad is not None


def test_scale_of_both_changes_l1_alone():
    predictions, targets = inputs()
    one, other = (distillation_loss(s * predictions, s * targets) for s in (1.0, 3.0))
    torch.testing.assert_close(other.l1, 3 * one.l1)
    torch.testing.assert_close(other.cosine, one.cosine)


def test_half_precision_is_computed_in_float32():
    predictions, targets = (one.bfloat16() for one in inputs(dtype=torch.float32, dim=64))
    wanted = distillation_loss(predictions.float(), targets.float()).loss
    predictions.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = distillation_loss(predictions, targets).loss
    assert found.dtype == torch.float32 and torch.equal(found, wanted)
    rough = cosine_similarity(predictions, targets, dim=-1)
    assert rough.dtype == torch.bfloat16  # what it would be without
    found.backward()
    assert predictions.grad.dtype == torch.bfloat16 and predictions.grad.isfinite().all()


@pytest.mark.parametrize("shapes", [((2, 3, 4, 5), (2, 3, 3, 5)), ((2, 3, 4, 5), (2, 1, 4, 5)),
                                    ((3, 4, 5), (3, 4, 5))])  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(shapes):
    message = r"got predictions of shape .* expected both \(batch, layers, frames, dim\)\.$"
    with pytest.raises(ValueError, match=message):
        distillation_loss(*map(torch.zeros, shapes))
