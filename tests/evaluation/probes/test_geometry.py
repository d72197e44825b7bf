import numpy as np
import pytest
import torch

from hf_rspin.evaluation.probes.geometry import effective_rank, uniformity


def test_uniformity_is_the_mean_over_all_pairs():
    frames = np.random.default_rng(0).normal(size=(7, 3))
    units = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    pairs = [np.exp(-2 * ((units[i] - units[j]) ** 2).sum()) for i in range(7) for j in range(i)]
    assert uniformity(torch.from_numpy(frames)) == pytest.approx(np.log(np.mean(pairs)))
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0)
    assert uniformity(torch.tensor([[1.0, 0], [-1, 0]])) == pytest.approx(-8)  # distance 2


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_effective_rank_is_of_the_singular_values(shape):
    frames = np.random.default_rng(1).normal(size=shape)
    values = np.linalg.svd(frames - frames.mean(0), compute_uv=False)
    shares = values[values > 1e-9] / values.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert effective_rank(torch.from_numpy(frames)) == pytest.approx(expected, rel=1e-5)


def test_effective_rank_counts_equal_directions_and_a_collapse_is_none():
    axes = torch.cat([torch.eye(4), -torch.eye(4)])  # four directions, equally far, mean zero
    assert effective_rank(axes) == pytest.approx(4)
    assert effective_rank(torch.ones(5, 3)) == 0


@pytest.mark.parametrize(
    "frames",
    [torch.full((9, 4), 0.1), torch.randn(1, 4).repeat(1000, 1) + 100, torch.ones(9, 4).int()],
)
def test_equal_frames_have_no_rank(frames):
    assert effective_rank(frames) == 0
    spread = frames.clone()
    spread[0, 0] += 1
    assert effective_rank(spread) == pytest.approx(1)


def test_frames_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="nan or infinity"):
        effective_rank(torch.tensor([[1.0, float("nan")]]))
