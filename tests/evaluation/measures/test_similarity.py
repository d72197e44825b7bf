import numpy as np
import pytest
import torch

from hf_rspin.evaluation import LinearCKA, linear_cka


def hsic(k, m, debiased):
    """HSIC from Gram matrices: Gretton's biased and Song's unbiased estimator."""
    n = len(k)
    if not debiased:
        centre = np.eye(n) - 1 / n
        return np.trace(k @ centre @ m @ centre)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    total = k.sum() * m.sum() / ((n - 1) * (n - 2))
    return np.trace(k @ m) + total - 2 / (n - 2) * (k @ m).sum()


def cka_from_gram_matrices(x, y, debiased):
    k, m = x @ x.T, y @ y.T
    return hsic(k, m, debiased) / np.sqrt(hsic(k, k, debiased) * hsic(m, m, debiased))


def draw(frames=90, dims=(12, 7), shared=0.5, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(frames, 5))
    return [
        shared * common @ rng.normal(size=(5, dim)) + rng.normal(size=(frames, dim)) + offset
        for dim, offset in zip(dims, (3.0, -2.0), strict=True)
    ]


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("shared", [0.0, 0.5, 2.0])
def test_equals_the_estimator_on_gram_matrices(debiased, shared):
    x, y = draw(shared=shared)
    found = linear_cka(torch.from_numpy(x), torch.from_numpy(y), debiased)
    assert found == pytest.approx(cka_from_gram_matrices(x, y, debiased), abs=1e-10)


@pytest.mark.parametrize("batch", [1, 7, 90])
def test_streaming_in_any_batches_gives_the_same_per_layer(batch):
    pairs = [draw(seed=seed, shared=seed) for seed in range(3)]
    x, y = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    stream = LinearCKA()
    for start in range(0, 90, batch):
        stream.update(x[:, start : start + batch], y[:, start : start + batch])
    for layer, (a, b) in enumerate(pairs):
        expected = cka_from_gram_matrices(a, b, True)
        assert stream.debiased_value()[layer] == pytest.approx(expected, abs=1e-10)
        assert stream.value()[layer] == pytest.approx(cka_from_gram_matrices(a, b, False))


def test_float32_frames_with_a_large_offset_stay_exact():
    x, y = draw(frames=600)
    expected = cka_from_gram_matrices(x, y, True)
    stream = LinearCKA()
    for rows in np.array_split(np.arange(600), 20):
        stream.update(
            torch.from_numpy(x[rows] + 300).float()[None], torch.from_numpy(y[rows]).float()[None]
        )
    assert stream.debiased_value()[0] == pytest.approx(expected, abs=1e-4)


def test_rotation_scale_and_offset_change_nothing():
    x, _ = draw()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0]
    turned = torch.from_numpy(3 * x @ rotation + 5)
    for debiased in (False, True):
        assert linear_cka(torch.from_numpy(x), turned, debiased) == pytest.approx(1)


def test_debiasing_brings_unrelated_features_to_zero():
    rng = np.random.default_rng(2)
    x, y = (torch.from_numpy(rng.normal(size=(200, 100))) for _ in "xy")
    assert linear_cka(x, y) > 0.3
    assert abs(linear_cka(x, y, debiased=True)) < 0.02


def test_arrays_are_taken_like_tensors():
    x, y = draw()
    for debiased in (False, True):
        expected = linear_cka(torch.from_numpy(x), torch.from_numpy(y), debiased)
        assert linear_cka(x, y, debiased) == expected
        assert linear_cka(x, torch.from_numpy(y), debiased) == expected
    whole = np.random.default_rng(0).integers(0, 9, (50, 4))
    assert linear_cka(whole, whole.astype(np.float16)) == pytest.approx(1)
    stream = LinearCKA()
    stream.update(x[None], y[None])
    assert stream.value()[0] == linear_cka(x, y)


def test_order_of_frames_and_of_views_does_not_matter():
    x, y = draw()
    order = np.random.default_rng(3).permutation(len(x))
    for debiased in (False, True):
        expected = linear_cka(x, y, debiased)
        assert linear_cka(x[order], y[order], debiased) == pytest.approx(expected)
        assert linear_cka(y, x, debiased) == pytest.approx(expected)


def test_wrong_inputs_are_refused_and_constants_are_nan():
    stream = LinearCKA()
    with pytest.raises(ValueError, match="got no frames"):
        stream.value()
    with pytest.raises(ValueError, match="equal layers and frames"):
        stream.update(torch.zeros(1, 5, 2), torch.zeros(1, 6, 2))
    stream.update(torch.zeros(1, 3, 2), torch.randn(1, 3, 2))
    assert np.isnan(stream.value()[0])
    with pytest.raises(ValueError, match="got 3 frames"):
        stream.debiased_value()


def test_lists_are_compared_too():
    x, y = [[0.0, 1.0], [1.0, 0.5], [3.0, 2.0], [0.5, 4.0]], [[1.0], [2.0], [2.5], [0.0]]
    assert linear_cka(x, y) == pytest.approx(linear_cka(np.array(x), np.array(y)), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-120, 1e100])
def test_no_scale_is_too_large_or_small(scale):
    x, y = (torch.from_numpy(side) for side in draw())
    stream = LinearCKA()
    for start in (0, 1, 40):  # the first batch has one frame, which varies by nothing
        stop = {0: 1, 1: 40, 40: 90}[start]
        stream.update(scale * x[None, start:stop], y[None, start:stop])
    expected = linear_cka(x, y)
    assert stream.value()[0] == pytest.approx(expected) == linear_cka(scale * x, y)


@pytest.mark.parametrize("first", [0.1, 1e-20, 0.0, 1e6])
def test_constant_frames_at_the_start_do_not_decide_the_scale(first):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2000, 64, generator=generator)
    y = x + 0.5 * torch.randn(1, 2000, 64, generator=generator)
    start = torch.full((1, 50, 64), first)
    wanted = [torch.cat([start, one], 1).double() for one in (x, y)]
    stream, exact = LinearCKA(), LinearCKA()
    stream.update(start, start)
    stream.update(x, y)
    exact.update(*wanted)
    tolerance = 1e-4 if first < 1e5 else 1e-2  # of float32 beside an offset of 1e6
    assert stream.value() == pytest.approx(exact.value(), rel=tolerance)
    assert stream.debiased_value() == pytest.approx(exact.debiased_value(), rel=tolerance)


def test_frames_of_none_and_of_another_precision_are_taken():
    x, y = (torch.from_numpy(side) for side in draw())
    stream = LinearCKA()
    stream.update(x[None, :0], y[None, :0])
    stream.update(x[None], y[None])
    assert stream.value()[0] == pytest.approx(linear_cka(x.float(), y), abs=1e-6)
    with pytest.raises(ValueError, match="after others of 1 layers and 12 dimensions"):
        stream.update(x[None, :, :5], y[None])
