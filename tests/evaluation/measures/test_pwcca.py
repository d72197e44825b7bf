import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from sklearn.cross_decomposition import CCA

from hf_rspin.evaluation.measures.pwcca import PWCCA


def draw(samples=400, dims=(9, 6), seed=0, offset=2.0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(samples, 4))
    return [
        shared @ rng.normal(size=(4, dim)) + rng.normal(size=(samples, dim))
        + offset * rng.normal(size=dim)
        for dim in dims
    ]  # fmt: skip


def halves(x, y):
    return (x[::2], y[::2]), (x[1::2], y[1::2])


def by_loops(train, test, epsilon_x, epsilon_y, weights_from):
    """The definition, direction by direction, with Gram-Schmidt; weights of view 0 or 1."""
    (x, y), views = train, test
    covariance = np.cov(x.T, y.T)
    dim = x.shape[1]
    xx, yy, xy = covariance[:dim, :dim], covariance[dim:, dim:], covariance[:dim, dim:]
    scale_x, scale_y = np.abs(xx).max(), np.abs(yy).max()
    a = scipy.linalg.inv(scipy.linalg.sqrtm(xx / scale_x + epsilon_x * np.eye(dim)))
    b = scipy.linalg.inv(scipy.linalg.sqrtm(yy / scale_y + epsilon_y * np.eye(len(yy))))
    u, _, vt = np.linalg.svd(a @ (xy / np.sqrt(scale_x * scale_y)) @ b)
    projections, count = (u.T @ a, vt @ b), min(dim, len(yy))
    z = [(view - view.mean(0)) @ p[:count].T for view, p in zip(views, projections, strict=True)]
    rho = [scipy.stats.pearsonr(z[0][:, i], z[1][:, i]).statistic for i in range(count)]
    view, basis, alpha = views[weights_from], [], []
    for i in range(count):
        direction = z[weights_from][:, i] + view[:, i].mean()
        for earlier in basis:
            direction = direction - (earlier @ direction) * earlier
        basis.append(direction / np.linalg.norm(direction))
        alpha.append(sum(abs(basis[-1] @ feature) for feature in view.T))
    return np.dot(alpha, rho) / sum(alpha), np.mean(rho)


@pytest.mark.parametrize("epsilons", [(1e-10, 1e-10), (1e-2, 1e-3)])
@pytest.mark.parametrize(("dims", "lower"), [((9, 6), 1), ((5, 8), 0), ((6, 6), 1)])
def test_equals_the_definition_on_held_out_samples(dims, lower, epsilons):
    train, test = halves(*draw(dims=dims))
    pwcca = PWCCA(*epsilons).fit(*train)
    score, unweighted = by_loops(train, test, *epsilons, lower)
    assert pwcca.score(*test) == pytest.approx(score, abs=1e-9)
    assert pwcca.correlations(*test).mean() == pytest.approx(unweighted, abs=1e-9)


def test_mean_score_takes_the_weights_of_both_views():
    train, test = halves(*draw(dims=(6, 6)))
    expected = np.mean([by_loops(train, test, 1e-9, 1e-9, view)[0] for view in (0, 1)])
    assert PWCCA(1e-9, 1e-9).fit(*train).mean_score(*test) == pytest.approx(expected, abs=1e-9)


def test_directions_are_canonical():
    x, y = draw(dims=(7, 3))
    found = PWCCA(1e-12, 1e-12).fit(x, y).correlations(x, y)
    variates = CCA(3, max_iter=5000, tol=1e-10).fit(x, y).transform(x, y)
    expected = [np.corrcoef(*(side[:, i] for side in variates))[0, 1] for i in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_identical_views_and_linear_images_are_one_and_unrelated_ones_are_not():
    (x, y), test = halves(*draw(dims=(6, 6)))
    assert PWCCA().fit(x, x).score(test[0], test[0]) == pytest.approx(1, abs=1e-6)
    image = np.random.default_rng(1).normal(size=(6, 8))
    assert PWCCA(1e-9, 1e-9).fit(x, x @ image + 3).score(
        test[0], test[0] @ image + 3
    ) == pytest.approx(1, abs=1e-5)
    noise = np.random.default_rng(2).normal(size=(800, 12))
    (a, b), held_out = halves(noise[:, :6], noise[:, 6:])
    assert PWCCA().fit(a, b).score(a, b) > 0.08  # fitted noise
    assert abs(PWCCA().fit(a, b).score(*held_out)) < 0.08


def test_order_of_samples_and_scales_do_not_matter():
    train, test = halves(*draw())
    expected = PWCCA().fit(*train).score(*test)
    orders = [np.random.default_rng(i).permutation(200) for i in range(2)]
    found = PWCCA().fit(*(v[orders[0]] for v in train)).score(*(v[orders[1]] for v in test))
    assert found == pytest.approx(expected, abs=1e-9)
    scaled = [(3e3 * x, 2e-3 * y) for x, y in (train, test)]
    assert PWCCA().fit(*scaled[0]).score(*scaled[1]) == pytest.approx(expected, abs=1e-9)


def test_rotations_change_no_correlation():
    train, test = halves(*draw())
    turns = [scipy.stats.ortho_group.rvs(dim, random_state=dim) for dim in (9, 6)]

    def turned(views):
        return [view @ turn + 5 for view, turn in zip(views, turns, strict=True)]

    expected = PWCCA().fit(*train).correlations(*test)
    found = PWCCA().fit(*turned(train)).correlations(*turned(test))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_score_does_not_see_the_axes_of_the_larger_view():
    (x, y), _ = halves(*draw())
    y = y - y.mean(0)  # without an offset weights do not depend on signs
    turned = x @ scipy.stats.ortho_group.rvs(9, random_state=0) + 5
    expected = PWCCA().fit(x, y).score(x, y)
    assert PWCCA().fit(turned, y).score(turned, y) == pytest.approx(expected, abs=1e-7)


def test_constant_dimensions_are_left_out():
    train, test = halves(*draw())
    expected = PWCCA().fit(*train).score(*test)
    rng = np.random.default_rng(0)
    padded = [np.insert(x, 3, 1.0, axis=1) for x, _ in (train, test)]
    padded[1][:, 3] = rng.normal(size=200)  # such as a word that training lacks
    found = PWCCA().fit(padded[0], train[1]).score(padded[1], test[1])
    assert found == pytest.approx(expected, abs=1e-12)


def test_one_hot_labels_whose_sum_is_constant():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 600)
    vectors = rng.normal(size=(5, 12))[labels] + 0.1 * rng.normal(size=(600, 12))
    train, test = halves(vectors, np.eye(5)[labels])
    found = PWCCA(1e-10, 1e-10).fit(*train).correlations(*test)
    assert found[:4].min() > 0.95 and found[4] == 0


def test_float32_is_computed_in_float64():
    train, test = halves(*(view.astype(np.float32) for view in draw()))
    doubles = [[view.astype(np.float64) for view in side] for side in (train, test)]
    assert PWCCA().fit(*train).score(*test) == PWCCA().fit(*doubles[0]).score(*doubles[1])


def test_wrong_inputs_are_refused():
    x, y = draw()
    with pytest.raises(ValueError, match="got 9 samples of 9 dimensions in x"):
        PWCCA().fit(x[:9], y[:9])
    with pytest.raises(ValueError, match=r"got x \(400, 9\) and y \(399, 6\)"):
        PWCCA().fit(x, y[1:])
    with pytest.raises(ValueError, match=r"expected \(samples, dim\)"):
        PWCCA().fit(x[:, 0], y)
    with pytest.raises(ValueError, match="not finite"):
        PWCCA().fit(x, np.where(y > 0, y, np.nan))
    with pytest.raises(ValueError, match="all samples of y are equal"):
        PWCCA().fit(x, np.ones_like(y))
    with pytest.raises(ValueError, match="expected zero or more"):
        PWCCA(-1e-9, 0)
    with pytest.raises(np.linalg.LinAlgError, match="covariance of x is not positive definite"):
        doubled = np.concatenate([x, x @ np.ones((9, 9))], axis=1)
        PWCCA(1e-22, 1e-10).fit(doubled, y)
    with pytest.raises(ValueError, match="call fit before"):
        PWCCA().score(x, y)
    fitted = PWCCA().fit(x, y)
    with pytest.raises(ValueError, match=r"\[6, 9\] dimensions; expected \[9, 6\]"):
        fitted.score(y, x)
    with pytest.raises(ValueError, match="got 5 samples for 6 directions"):
        fitted.score(x[:5], y[:5])


def test_an_epsilon_above_everything_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no dimension of x varies by epsilon 2"):
        PWCCA(2.0, 2.0).fit(rng.normal(size=(50, 4)), rng.normal(size=(50, 3)))
