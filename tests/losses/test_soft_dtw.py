import math

import pytest
import torch
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from hf_rspin.losses import soft_dtw, soft_dtw_divergence

BOTH = pytest.mark.parametrize("function", [soft_dtw, soft_dtw_divergence])


def paths(rows, columns):
    """List all paths of steps (1, 0), (0, 1), (1, 1) as lists of cells."""
    if (rows, columns) == (1, 1):
        return [[(0, 0)]]
    shorter = [(rows - 1, columns), (rows, columns - 1), (rows - 1, columns - 1)]
    end = (rows - 1, columns - 1)
    return [[*path, end] for shape in shorter if min(shape) > 0 for path in paths(*shape)]


def enumerated(x, y, gamma):
    """Soft-DTW of (frames, dim) with (frames, dim) by its definition."""
    costs = (x[:, None] - y[None]).square().sum(-1)
    totals = [torch.stack([costs[cell] for cell in path]).sum() for path in paths(*costs.shape)]
    return -gamma * torch.logsumexp(-torch.stack(totals) / gamma, 0)


def number_of_paths(rows, columns):
    """Count the paths through a matrix: the Delannoy numbers."""
    n, m = rows - 1, columns - 1
    return sum(math.comb(n, k) * math.comb(m, k) * 2**k for k in range(min(n, m) + 1))


def pair(batch, x_frames, y_frames, dim=3, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, frames, dim, generator=generator, dtype=torch.float64)
        .to(dtype)
        .requires_grad_()
        for frames in (x_frames, y_frames)
    ]


def with_gradients(function, x, y, *arguments, **options):
    values = function(x, y, *arguments, **options)
    weights = torch.arange(1, len(values) + 1).to(values)
    return values, *torch.autograd.grad((weights * values).sum(), (x, y))


@pytest.mark.parametrize("gamma", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (3, 4), (5, 5), (2, 6)])
def test_values_and_gradients_are_those_of_all_paths_enumerated(shape, gamma):
    x, y = pair(2, *shape)
    found = with_gradients(soft_dtw, x, y, gamma)

    def expected(x, y, gamma):
        return torch.stack([enumerated(*item, gamma) for item in zip(x, y, strict=True)])

    for one, other in zip(found, with_gradients(expected, x, y, gamma), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (65, 64), (1100, 1030), (3, 1500), (1500, 2)])
def test_equal_frames_leave_the_count_of_paths(shape):
    """Costs of zero: the value is -gamma log of the number of paths, at any length."""
    x, y = (torch.ones(1, frames, 4, dtype=torch.float64) for frames in shape)
    expected = -0.3 * math.log(number_of_paths(*shape))
    assert soft_dtw(x, y, 0.3).item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    single = soft_dtw(x.float(), y.float(), 0.3)
    assert single.item() == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_a_single_frame_is_compared_with_all():
    x, y = pair(3, 1, 400)
    found = with_gradients(soft_dtw, x, y)
    expected = with_gradients(lambda x, y: (x - y).square().sum((1, 2)), x, y)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=0)


def test_a_small_gamma_gives_the_cheapest_path():
    x, y = pair(1, 5, 6)
    costs = (x[0, :, None] - y[0]).square().sum(-1)
    cheapest = min(sum(costs[cell].item() for cell in path) for path in paths(5, 6))
    assert soft_dtw(x, y, 1e-9).item() == pytest.approx(cheapest, rel=1e-8)
    assert soft_dtw(x.float(), y.float(), 1e-9).item() == pytest.approx(cheapest, rel=1e-5)


@BOTH
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (7, 3), (66, 5)])
def test_float64_passes_gradcheck(function, shape):
    x, y = pair(2, *shape, dim=2)
    lengths = {"x_lengths": [shape[0], max(1, shape[0] - 2)], "y_lengths": [1, shape[1]]}
    check = torch.autograd.gradcheck
    assert check(lambda x, y: function(x, y, 0.7), (x, y), fast_mode=True)
    assert check(lambda x, y: function(x, y, 0.7, **lengths), (x, y), fast_mode=True)


def test_divergence_is_put_together_from_three_terms_of_any_lengths():
    x, y = pair(2, 9, 70)
    found = with_gradients(soft_dtw_divergence, x, y, 0.5)

    def expected(x, y):
        # clones: the same tensor twice takes another way
        own = [soft_dtw(z, z.clone(), 0.5) for z in (x, y)]
        return soft_dtw(x, y, 0.5) - sum(own) / 2

    for one, other in zip(found, with_gradients(expected, x, y), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_divergence_of_equal_sequences_is_a_minimum_of_zero():
    x, y = pair(2, 20, 24)
    values, *gradients = with_gradients(soft_dtw_divergence, x, x.detach().clone().requires_grad_())
    torch.testing.assert_close(values, torch.zeros_like(values), rtol=0, atol=1e-11)
    for gradient in gradients:
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-11)
    assert (soft_dtw_divergence(x, y) > 1).all()


@BOTH
def test_symmetric_and_the_same_backwards_in_time(function):
    x, y = pair(2, 80, 70)
    torch.testing.assert_close(function(x, y), function(y, x))
    torch.testing.assert_close(function(x, y), function(x.flip(1), y.flip(1)))


@BOTH
@pytest.mark.parametrize("padding", [0.0, 1e30, math.nan, math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_has_no_influence(function, padding, dtype):
    x, y = pair(4, 90, 75, dtype=dtype)
    x_lengths, y_lengths = [90, 1, 65, 30], torch.tensor([3, 75, 64, 1])
    cropped = []
    filled = [z.detach().clone() for z in (x, y)]
    for i in range(4):
        filled[0][i, x_lengths[i] :] = padding
        filled[1][i, y_lengths[i] :] = padding
        one, other = (
            z[i : i + 1, :frames].detach().clone().requires_grad_()
            for z, frames in ((x, x_lengths[i]), (y, y_lengths[i]))
        )
        value = function(one, other)
        cropped.append((value, *torch.autograd.grad((i + 1) * value, (one, other))))
    filled = [z.requires_grad_() for z in filled]
    values, *gradients = with_gradients(function, *filled, 0.1, x_lengths, y_lengths)
    for i, (value, *expected) in enumerate(cropped):
        torch.testing.assert_close(values[i : i + 1], value)
        for gradient, wanted in zip(gradients, expected, strict=True):
            frames = wanted.shape[1]
            torch.testing.assert_close(gradient[i : i + 1, :frames], wanted)
            assert (gradient[i, frames:] == 0).all()


@pytest.mark.parametrize("related", [True, False])
def test_float32_gradients_are_accurate(related):
    """Below 5e-5 of the largest gradient at 500 x 550; other recursions lose a digit or two."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 500, 32, generator=generator).cumsum(1)
    y = torch.nn.functional.interpolate(x.mT, 550, mode="linear").mT
    y = y + (3 if related else 300) * torch.randn(y.shape, generator=generator)
    x, y = (normalize(z, dim=2).requires_grad_() for z in (x, y))
    found = with_gradients(soft_dtw_divergence, x, y)
    exact = with_gradients(
        soft_dtw_divergence, *(z.detach().double().requires_grad_() for z in (x, y))
    )
    for one, other in zip(found[1:], exact[1:], strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().max() < 1e-5 * other.abs().max()
    torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-5, atol=0)


def test_float64_results_hold_more_digits_than_float32_can():
    x, y = pair(1, 40, 50)
    value = soft_dtw(x, y)
    assert value.dtype == torch.float64 and value != value.float()
    assert with_gradients(soft_dtw, x, y)[1].dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_are_computed_in_float32(dtype):
    x, y = pair(2, 30, 20, dtype=dtype)
    value, x_grad, y_grad = with_gradients(soft_dtw, x, y)
    assert (value.dtype, x_grad.dtype, y_grad.dtype) == (torch.float32, dtype, dtype)
    torch.testing.assert_close(value, soft_dtw(x.float(), y.float()))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(soft_dtw(x.float(), y.float()), value, rtol=0, atol=0)


@BOTH
def test_inputs_are_left_alone_and_need_not_be_contiguous(function):
    x, y = pair(2, 20, 30)
    before = x.detach().clone(), y.detach().clone()
    found = with_gradients(function, x, y)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])
    views = [z.detach().transpose(0, 1).contiguous().requires_grad_() for z in (x, y)]
    values, *gradients = with_gradients(
        lambda x, y: function(x.transpose(0, 1), y.transpose(0, 1)), *views
    )
    torch.testing.assert_close(values, found[0])
    for gradient, wanted in zip(gradients, found[1:], strict=True):
        torch.testing.assert_close(gradient.transpose(0, 1), wanted)


def test_one_side_may_need_no_gradient_and_a_graph_can_be_used_twice():
    x, y = pair(2, 12, 9)
    expected = with_gradients(soft_dtw, x, y)
    for inputs, wanted in (((x, y.detach()), expected[1]), ((x.detach(), y), expected[2])):
        value = soft_dtw(*inputs)
        side = inputs[0] if inputs[0].requires_grad else inputs[1]
        for _ in range(2):
            loss = (torch.tensor([1.0, 2.0]) * value).sum()
            (gradient,) = torch.autograd.grad(loss, side, retain_graph=True)
            torch.testing.assert_close(gradient, wanted)
    assert not soft_dtw(x.detach(), y.detach()).requires_grad
    with torch.no_grad():
        torch.testing.assert_close(soft_dtw(x, y), expected[0].detach())


def test_a_second_derivative_is_refused():
    x, y = pair(1, 4, 5)
    with pytest.raises(RuntimeError, match="soft_dtw was differentiated with create_graph=True"):
        torch.autograd.grad(soft_dtw(x, y), x, create_graph=True)


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


@BOTH
def test_no_tensor_of_frames_by_frames_by_dim(function):
    x, y = pair(2, 40, 50, dim=60)
    with LargestTensor() as largest:
        with_gradients(function, x, y)
    assert 0 < largest.numel <= 2 * 50 * 60


X = torch.zeros(2, 5, 3)
NAN = X.clone()
NAN[1, 4, 0] = math.nan


@BOTH
@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ((X, NAN), {}, ValueError, "y holds NaN, infinity .* sequence 1, frame 4"),
        ((NAN * math.inf, X), {}, ValueError, "x holds NaN, infinity"),
        ((X + 1e25, X), {}, ValueError, "too large to be squared"),
        ((X[0], X[0]), {}, ValueError, r"\(5, 3\); expected \(batch, frames, dim\)"),
        ((X[:, :0], X), {}, ValueError, "at least one sequence, frame and dimension"),
        ((X[:0], X[:0]), {}, ValueError, "at least one sequence, frame and dimension"),
        ((X, X[:1]), {}, ValueError, "expected the same batch and dim"),
        ((X, X[:, :, :2]), {}, ValueError, "expected the same batch and dim"),
        ((X, X.double()), {}, TypeError, "torch.float32 and y is torch.float64"),
        ((X.long(), X), {}, TypeError, "x is torch.int64; expected a tensor of floats"),
        ((X.numpy(), X), {}, TypeError, "x is ndarray; expected a tensor of floats"),
        ((X, X.to("meta")), {}, ValueError, "x is on cpu and y on meta; expected one device"),
        ((X, X), {"gamma": 0.0}, ValueError, "gamma is 0.0; expected a positive number"),
        ((X, X), {"gamma": -1}, ValueError, "gamma is -1; expected a positive number"),
        ((X, X), {"gamma": math.nan}, ValueError, "gamma is nan; expected a positive number"),
        ((X, X), {"gamma": math.inf}, ValueError, "gamma is inf; expected a positive number"),
        ((X, X), {"x_lengths": [5, 6]}, ValueError, r"x_lengths\[1\] is 6; expected 1 to 5"),
        ((X, X), {"y_lengths": [0, 5]}, ValueError, r"y_lengths\[0\] is 0; expected 1 to 5"),
        ((X, X), {"y_lengths": [-1, 5]}, ValueError, r"y_lengths\[0\] is -1"),
        ((X, X), {"x_lengths": [5]}, ValueError, r"\(1,\); expected \(2,\)"),
        ((X, X), {"x_lengths": torch.ones(2)}, TypeError, "torch.float32; expected integers"),
        ((X, X), {"x_lengths": [True, True]}, TypeError, "torch.bool; expected integers"),
    ],
)
def test_refuses_what_makes_no_sense(function, inputs, options, error, message):
    with pytest.raises(error, match=message):
        function(*inputs, **options)


@pytest.mark.parametrize("offset", [0.0, 300.0, 1000.0])
def test_a_common_offset_costs_no_precision(offset):
    x, y = (normalize(z, dim=-1).float() + offset for z in pair(2, 40, 50))
    found = with_gradients(soft_dtw, x, y, 0.1)
    wanted = with_gradients(soft_dtw, x.double(), y.double(), 0.1)
    assert found[0].dtype == torch.float32
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).norm() <= 2e-6 * other.norm()
