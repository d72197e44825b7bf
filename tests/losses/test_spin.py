import math
from importlib import import_module

import pytest
import torch
from torch.nn.functional import normalize

from hf_rspin.losses import spin_loss


def plain_sinkhorn(logits, epsilon, num_iterations):
    weights = torch.exp(logits.T / epsilon)
    weights = weights / weights.sum()
    codes, frames = weights.shape
    for _ in range(num_iterations):
        weights = weights / (codes * weights.sum(1, keepdim=True))
        weights = weights / (frames * weights.sum(0, keepdim=True))
    return frames * weights.T


def reference(clean, perturbed, codebook, temperature, epsilon, num_iterations):
    """Equation 1 as it is printed, by automatic differentiation, with the reported figures."""
    logits = [view @ codebook.T for view in (clean, perturbed)]
    targets = [plain_sinkhorn(view.detach(), epsilon, num_iterations) for view in logits]
    predictions = [torch.softmax(view / temperature, 1) for view in logits]
    pairs = list(zip(predictions, reversed(targets), strict=True))
    loss = -sum((target * p.log()).sum(1).mean() for p, target in pairs) / 2
    accuracy = sum((p.argmax(1) == t.argmax(1)).double().mean() for p, t in pairs) / 2
    both = torch.cat(predictions).detach()
    histogram = torch.bincount(both.argmax(1), minlength=len(codebook)) / len(both)
    return loss, accuracy, perplexity(histogram), perplexity(both.mean(0))


def perplexity(distribution):
    return torch.exp(-torch.xlogy(distribution, distribution).sum())


def unit_inputs(frames, codes, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    clean, codebook = (
        normalize(torch.randn(rows, dim, generator=generator, dtype=torch.float64), dim=1)
        for rows in (frames, codes)
    )
    noise = torch.randn(frames, dim, generator=generator, dtype=torch.float64)
    perturbed = normalize(clean + 0.3 * noise, dim=1)
    return [tensor.requires_grad_() for tensor in (clean, perturbed, codebook)]


@pytest.mark.parametrize("constants", [(0.1, 0.02, 3), (0.5, 0.05, 1), (0.07, 0.1, 5)])
@pytest.mark.parametrize("shape", [(29, 6, 5), (8, 40, 16), (2, 3, 4)])
def test_values_and_gradients_equal_the_printed_equation(shape, constants):
    inputs = unit_inputs(*shape)
    found = spin_loss(*inputs, *constants)
    expected = reference(*inputs, *constants)
    torch.testing.assert_close(found.loss, expected[0], rtol=1e-10, atol=0)
    for figure, wanted in zip(found[1:4], expected[1:], strict=True):
        torch.testing.assert_close(figure, wanted.double(), rtol=1e-5, atol=0)
    assert found.num_frames == shape[0]
    gradients = torch.autograd.grad(3 * found.loss, inputs)
    expected_gradients = torch.autograd.grad(3 * expected[0], inputs)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-8, atol=1e-12)


def test_closed_form_of_frames_that_are_codes():
    """Frames equal to orthogonal codes: by symmetry q and p are softmax rows of the identity."""
    codes = torch.eye(5, dtype=torch.float64)
    found = spin_loss(codes, codes, codes)
    target = math.exp(1 / 0.02) / (math.exp(1 / 0.02) + 4)
    denominator = math.exp(1 / 0.1) + 4
    loss = -target * math.log(math.exp(10) / denominator) - (1 - target) * math.log(1 / denominator)
    assert found.loss.item() == pytest.approx(loss, rel=1e-12)
    assert found.accuracy == 1
    assert found.code_perplexity.item() == pytest.approx(5, rel=1e-5)
    assert found.probability_perplexity.item() == pytest.approx(5, rel=1e-5)


def test_one_code_for_all_has_perplexity_one():
    codes = torch.eye(4, dtype=torch.float64)
    frames = codes[:1].expand(20, 4)
    assert spin_loss(frames, frames, codes).code_perplexity.item() == pytest.approx(1, rel=1e-5)


def test_gradient_of_each_input_alone():
    inputs = unit_inputs(12, 5, 6)
    wanted = torch.autograd.grad(spin_loss(*inputs).loss, inputs)
    for index, gradient in enumerate(wanted):
        alone = [t.detach().requires_grad_(i == index) for i, t in enumerate(inputs)]
        spin_loss(*alone).loss.backward()
        torch.testing.assert_close(alone[index].grad, gradient)
        assert all(t.grad is None for i, t in enumerate(alone) if i != index)


def test_without_gradients_the_value_is_the_same():
    inputs = unit_inputs(12, 5, 6)
    with torch.no_grad():
        found = spin_loss(*inputs)
    assert not found.loss.requires_grad
    torch.testing.assert_close(found.loss, spin_loss(*inputs).loss.detach())


def test_float32_inside_autocast_and_of_half_inputs():
    inputs = [t.detach().float() for t in unit_inputs(50, 8, 32)]
    wanted = spin_loss(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spin_loss(*inputs)
    assert found.loss.dtype == torch.float32
    assert torch.equal(found.loss, wanted.loss)
    halves = [t.to(torch.bfloat16).requires_grad_() for t in inputs]
    loss = spin_loss(*halves).loss
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(wanted.loss.item(), rel=0.02)
    loss.backward()
    assert all(t.grad.dtype == torch.bfloat16 and t.grad.isfinite().all() for t in halves)


def test_pieces_of_any_size_give_the_same(monkeypatch):
    inputs = unit_inputs(31, 6, 5)
    whole = spin_loss(*inputs)
    gradients = torch.autograd.grad(whole.loss, inputs)
    monkeypatch.setattr(import_module("hf_rspin.losses.sinkhorn"), "CHUNK_ENTRIES", 24)
    pieces = spin_loss(*inputs)
    torch.testing.assert_close(torch.stack(pieces), torch.stack(whole))
    for found, wanted in zip(torch.autograd.grad(pieces.loss, inputs), gradients, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((3, 4), (2, 4), (5, 4)), {}, r"shapes \(3, 4\) and \(2, 4\).*crop both views alike"),
        (((1, 3, 4), (1, 3, 4), (5, 4)), {}, r"expected the same \(frames, dim\)"),
        (((3, 4), (3, 4), (5, 6)), {}, r"codebook has shape \(5, 6\); expected \(codes, 4\)"),
        (((0, 4), (0, 4), (5, 4)), {}, "no frame; skip batches"),
        (((3, 4), (3, 4), (5, 4)), {"temperature": 0.0}, "temperature is 0.0; expected a positive"),
        (((3, 4), (3, 4), (5, 4)), {"epsilon": -1}, "epsilon is -1"),
    ],
)
def test_refuses_what_makes_no_sense(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        spin_loss(*(torch.ones(shape) for shape in shapes), **options)
