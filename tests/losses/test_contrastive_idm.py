import math

import pytest
import torch
from torch.nn.functional import normalize

from hf_rspin.losses import contrastive_idm


def printed(x, sigma, margin):
    """The formula as it is printed, pair by pair, of (frames, dim)."""
    n, total = len(x), 0.0
    for i in range(n):
        for j in range(n):
            weight, distance = (i - j) ** 2 + 1, torch.linalg.vector_norm(x[i] - x[j])
            far = abs(i - j) > sigma
            total += weight * max(margin - distance, 0) if far else distance / weight
    return total / n**2


def unit_frames(batch, frames, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, frames, dim, generator=generator, dtype=torch.float64)
    return normalize(x, dim=2).requires_grad_()


@pytest.mark.parametrize("sigma", [0, 1, 3, 100])
@pytest.mark.parametrize("margin", [0.8, 1.1, 3.0])
def test_values_and_gradients_equal_the_printed_formula(sigma, margin):
    x = unit_frames(2, 9)
    found = contrastive_idm(x, sigma=sigma, margin=margin)
    expected = torch.stack([printed(item, sigma, margin) for item in x])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    weights = torch.tensor([1.0, -3.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * found).sum(), x)
    (wanted,) = torch.autograd.grad((weights * expected).sum(), x)
    torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("sigma", [0, 2])
def test_float64_passes_gradcheck(sigma):
    x = unit_frames(3, 6)
    assert torch.autograd.gradcheck(lambda x: contrastive_idm(x, [6, 1, 4], sigma), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collapse_has_its_closed_form_and_no_gradient(dtype):
    """All frames equal: margin / n^2 times the weights, sum over i != j of (i - j)^2 + 1."""
    n = 50
    x = normalize(torch.rand(1, 1, 256), dim=2).to(dtype).repeat(1, n, 1).requires_grad_()
    value = contrastive_idm(x)
    weights = n**2 * (n**2 - 1) / 6 + n**2 - n
    assert value.item() == pytest.approx(1.1 * weights / n**2, rel=1e-6)
    assert value.item() == pytest.approx(1.1 * n**2 / 6, rel=0.01)
    assert (torch.autograd.grad(value.sum(), x)[0] == 0).all()


def test_near_collapse_float32_frames_have_accurate_gradients():
    x = unit_frames(1, 40, 64).detach()
    near = normalize(x[:, :1] + 1e-3 * x, dim=2).float()
    single, double = near.requires_grad_(), near.detach().double().requires_grad_()
    gradients = [torch.autograd.grad(contrastive_idm(z).sum(), z)[0] for z in (single, double)]
    assert gradients[0].dtype == torch.float32
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-5, atol=1e-6)
    (exact,) = torch.autograd.grad(printed(double[0], 0, 1.1), double)
    torch.testing.assert_close(gradients[1], exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("padding", [0.0, 1e30, math.nan])
def test_padding_has_no_influence(padding):
    x, lengths = unit_frames(3, 12), [12, 1, 7]
    filled = x.detach().clone()
    for i, length in enumerate(lengths):
        filled[i, length:] = padding
    filled.requires_grad_()
    values = contrastive_idm(filled, torch.tensor(lengths), sigma=1)
    (gradient,) = torch.autograd.grad(values.sum(), filled)
    for i, length in enumerate(lengths):
        alone = x[i : i + 1, :length].detach().requires_grad_()
        value = contrastive_idm(alone, sigma=1)
        torch.testing.assert_close(values[i : i + 1], value, rtol=1e-12, atol=0)
        (wanted,) = torch.autograd.grad(value.sum(), alone)
        torch.testing.assert_close(gradient[i : i + 1, :length], wanted, rtol=1e-10, atol=1e-14)
        assert (gradient[i, length:] == 0).all()


def test_half_precision_autocast_and_input_left_alone():
    x = unit_frames(2, 10).detach().bfloat16().requires_grad_()
    before = x.detach().clone()
    with torch.autocast("cpu", torch.bfloat16):
        value = contrastive_idm(x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, contrastive_idm(x.double()).float())
    assert torch.autograd.grad(value.sum(), x)[0].dtype == torch.bfloat16
    assert torch.equal(x, before)


def test_a_second_derivative_is_refused():
    x = unit_frames(1, 4)
    with pytest.raises(RuntimeError, match="contrastive_idm was differentiated with create_graph"):
        torch.autograd.grad(contrastive_idm(x).sum(), x, create_graph=True)


X = torch.zeros(2, 5, 3)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (X * math.nan, {}, ValueError, "x holds NaN, infinity"),
        (X[0], {}, ValueError, r"\(5, 3\); expected \(batch, frames, dim\)"),
        (X[:, :0], {}, ValueError, "at least one sequence, frame and dimension"),
        (X.int(), {}, TypeError, "x is torch.int32; expected a tensor of floats"),
        (X, {"lengths": [5, 0]}, ValueError, r"lengths\[1\] is 0; expected 1 to 5"),
        (X, {"lengths": [5, 6]}, ValueError, r"lengths\[1\] is 6; expected 1 to 5"),
        (X, {"margin": 0.0}, ValueError, "margin is 0.0; expected a positive number"),
        (X, {"margin": math.nan}, ValueError, "margin is nan; expected a positive number"),
        (X, {"sigma": -1}, ValueError, "sigma is -1; expected a count of frames"),
        (X, {"sigma": 0.5}, ValueError, "sigma is 0.5; expected a count of frames"),
    ],
)
def test_refuses_what_makes_no_sense(x, options, error, message):
    with pytest.raises(error, match=message):
        contrastive_idm(x, **options)
