import pytest
import torch

from hf_rspin.losses import covariance_loss, invariance_loss, variance_loss

LOSSES = (variance_loss, invariance_loss, covariance_loss)


def two_views(frames=7, dim=4, scale=0.7):
    torch.manual_seed(0)
    shape = (2, frames, dim)
    return [view.requires_grad_() for view in scale * torch.randn(shape, dtype=torch.float64)]


def test_variance_is_the_missing_standard_deviation_summed_over_views():
    # deviations by frames - 1: 2 in the first dimension, 0.5 in the second, and 0 and 1
    first = torch.tensor([[-2.0, 0.5], [0.0, 0.0], [2.0, -0.5]]).double()
    second = torch.tensor([[3.0, 1.0], [3.0, 0.0], [3.0, -1.0]]).double()
    found = variance_loss(first, second, epsilon=1e-12)
    wanted = (0 + 0.5) / 2 + (1 + 0) / 2
    torch.testing.assert_close(found.item(), wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(variance_loss(first, second, gamma=3.0, epsilon=1e-12).item(),
                               (1 + 2.5) / 2 + (3 + 2) / 2, rtol=0, atol=1e-5)  # fmt: skip


def test_collapse_costs_twice_one_less_the_root_of_epsilon():
    same = torch.full((5, 3), 7.0, requires_grad=True)
    loss = variance_loss(same, same)
    torch.testing.assert_close(loss.item(), 2 * (1 - 0.01))
    loss.backward()
    assert torch.equal(same.grad, torch.zeros(5, 3))  # no direction to go, and no NaN
    assert covariance_loss(same, same) == 0


def test_wide_views_are_left_alone():
    views = two_views(scale=20.0)
    loss = variance_loss(*views)
    assert loss == 0
    assert all(not gradient.any() for gradient in torch.autograd.grad(loss, views))


def test_invariance_is_the_mean_squared_error():
    clean, perturbed = two_views()
    wanted = torch.nn.functional.mse_loss(clean, perturbed)
    torch.testing.assert_close(invariance_loss(clean, perturbed), wanted)
    assert invariance_loss(clean, clean) == 0


def test_covariance_is_that_of_numpy_off_the_diagonal():
    views = two_views()
    wanted = 0.0
    for view in views:
        matrix = torch.cov(view.detach().T)
        wanted += sum(float(matrix[i, j]) ** 2 for i in range(4) for j in range(4) if i != j) / 4
    torch.testing.assert_close(covariance_loss(*views).item(), wanted)


def test_a_dimension_told_twice_costs_its_variance_squared():
    column = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).double()  # variance 4 / 3
    twice, once = torch.cat([column, column], 1), torch.cat([column, torch.zeros_like(column)], 1)
    # two equal covariances over two dimensions, in one of the views
    torch.testing.assert_close(covariance_loss(twice, once).item(), (4 / 3) ** 2)


def test_variance_and_covariance_know_no_place():
    views = two_views()
    moved = [view + 5 for view in views]
    for loss in (variance_loss, covariance_loss):
        torch.testing.assert_close(loss(*moved), loss(*views))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients(loss):
    assert torch.autograd.gradcheck(loss, two_views())


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_float32(loss):
    views = [view.detach().to(torch.bfloat16).requires_grad_() for view in two_views(frames=40)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(*views)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), loss(*(view.double() for view in views)))
    found.backward()
    assert all(view.grad.isfinite().all() for view in views)


@pytest.mark.parametrize("loss", LOSSES)
def test_bad_views_are_refused(loss):
    with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(4, 2\); expected the same"):
        loss(torch.zeros(3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"shapes \(1, 3, 2\)"):
        loss(torch.zeros(1, 3, 2), torch.zeros(1, 3, 2))
    least = 1 if loss is invariance_loss else 2
    with pytest.raises(ValueError, match=f"hold {least - 1} frames; expected {least} or more"):
        loss(torch.zeros(least - 1, 2), torch.zeros(least - 1, 2))


@pytest.mark.parametrize(("name", "value"), [("gamma", 0.0), ("epsilon", float("nan"))])
def test_constants_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a positive number"):
        variance_loss(*two_views(), **{name: value})
