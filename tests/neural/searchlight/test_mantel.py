"""Permutation of stimuli in closed form: exact moments, the shape between them, and validity under the null."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError
from affectome.neural import ModelGeometry
from affectome.neural.searchlight._mantel import mantel_test, model_nulls, null_p
from affectome.neural.searchlight._moments3 import (
    DEGREES,
    SUMS,
    RunBlocks,
    dense_pair_sums,
    low_rank_pair_sums,
    permutation_moments,
)
from affectome.neural.searchlight._permutations import CentreGeometry, permuted_scores, stimulus_permutations


def unit_rows(values):
    about = values - values.mean(axis=1, keepdims=True)
    return about / np.linalg.norm(about, axis=1, keepdims=True)


def smooth_patterns(rng, n, n_voxels=60):
    """Patterns of a sphere whose voxels share a few spatial modes and a mean pattern, unit rows."""
    modes = np.linalg.qr(rng.normal(size=(n_voxels, n_voxels)))[0] * np.exp(-np.arange(n_voxels) / 6)
    return unit_rows(rng.normal(size=(n, n_voxels)) @ modes.T + 0.3 * rng.normal(size=n_voxels))


def model(factors, name="model", signs=None):
    return ModelGeometry(name, "dot", factors, np.ones(factors.shape[1]) if signs is None else signs)


def r_over(similarity, other, blocks):
    counted = blocks.counts(slice(None))
    return np.corrcoef(similarity[counted], other[counted])[0, 1]


def sums_by_loops(a):
    """The sums of a matrix that is centred, and 0 where a pair does not count."""
    n, row, square_row = len(a), a.sum(axis=1), (a**2).sum(axis=1)
    triangle = sum(a[i, j] * a[j, k] * a[k, i] for i in range(n) for j in range(n) for k in range(n))
    path = sum(row[i] * a[i, j] * row[j] for i in range(n) for j in range(n))
    values = [a.sum(), (a**2).sum(), (row**2).sum(), (a**3).sum(), square_row @ row, triangle, (row**3).sum(), path]
    centred = a - a.mean(axis=0) - a.mean(axis=1)[:, None] + a.mean()
    return [*values, *(np.trace(np.linalg.matrix_power(centred, power)) for power in (3, 4))]


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
@pytest.mark.parametrize("centred", [True, False])
def test_three_moments_are_those_of_all_permutations(n, centred):
    """Of any two symmetric matrices, one with pairs left out."""
    rng = np.random.default_rng(n)
    a, b = (np.triu(part, 1) for part in rng.gamma(1, size=(2, n, n)))
    a, b = a + a.T, b + b.T
    counted = RunBlocks(n, np.arange(n) // 2).counts(slice(None))
    if centred:
        a = (a - a[counted].mean()) * counted
        np.testing.assert_allclose(sums_by_loops(a), dense_pair_sums(a, RunBlocks(n, np.arange(n) // 2)), atol=1e-9)
    orders = np.array(list(permutations(range(n))))
    drawn = np.einsum("ij,pij->p", a, b[orders[:, :, None], orders[:, None, :]])
    found = permutation_moments(sums_by_loops(a), sums_by_loops(b), n)
    assert found.mean == pytest.approx(drawn.mean(), abs=1e-9)
    assert found.variance == pytest.approx(drawn.var())
    assert found.skewness == pytest.approx(stats.skew(drawn), abs=1e-9)


def test_variance_is_that_of_the_published_formula():
    """Mantel's, from A1, A2 and A3 of both."""
    rng = np.random.default_rng(0)
    n, (a, b) = 30, rng.normal(size=(2, 30, 4)) + 0.5
    first, second = a @ a.T, b @ b.T
    np.fill_diagonal(first, 0), np.fill_diagonal(second, 0)
    (a1, a2, a3), (b1, b2, b3) = sums_by_loops(first)[:3], sums_by_loops(second)[:3]
    m = n * (n - 1)
    expected = (
        2 * a2 * b2 / m
        + 4 * (a3 - a2) * (b3 - b2) / (m * (n - 2))
        + (a1**2 + 2 * a2 - 4 * a3) * (b1**2 + 2 * b2 - 4 * b3) / (m * (n - 2) * (n - 3))
        - (a1 * b1 / m) ** 2
    )
    found = permutation_moments(sums_by_loops(first), sums_by_loops(second), n)
    assert (found.mean, found.variance) == pytest.approx((a1 * b1 / m, expected))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(8, 40), st.integers(1, 7), st.booleans(), st.booleans())
def test_low_rank_sums_are_those_of_the_matrix(seed, n, k, signed, runs):
    """With runs of unequal length, signed factors, a mean row."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, k)) + rng.normal(size=k)
    signs = rng.choice([-1.0, 1.0], size=k) if signed else None
    run = rng.integers(0, 4, size=n) if runs else None
    blocks = RunBlocks(n, run)
    similarity = (factors if signs is None else factors * signs) @ factors.T
    expected = dense_pair_sums(similarity, blocks)
    found = low_rank_pair_sums(factors, signs, blocks)
    scale = np.maximum(np.abs(expected), expected[1] ** (np.array(DEGREES) / 2))[:8]
    np.testing.assert_allclose(found[:8] / scale, expected[:8] / scale, atol=1e-8)


def test_single_precision_moves_the_null_by_less_than_a_thousandth():
    """Of its skewness, with 800 stimuli whose patterns share a mean, cubes of 32 stimuli."""
    rng = np.random.default_rng(3)
    blocks = RunBlocks(800, np.arange(800) // 20)
    patterns = unit_rows(rng.normal(size=(800, 50)) + rng.normal(size=50))
    exact = dense_pair_sums(patterns @ patterns.T, blocks)
    found = low_rank_pair_sums(patterns.astype(np.float32), None, blocks)
    others = [k for k, name in enumerate(SUMS[:8]) if name not in ("value", "cube")]
    np.testing.assert_allclose(found[others], exact[others], rtol=1e-4)
    null = dense_pair_sums(*(lambda x: (x @ x.T, RunBlocks(800)))(rng.gamma(0.5, size=(800, 3))))
    one, other = permutation_moments(found, null, 800), permutation_moments(exact, null, 800)
    assert one.skewness == pytest.approx(float(other.skewness), abs=1e-3)
    assert one.variance == pytest.approx(float(other.variance), rel=1e-6)


def test_pairs_left_out_keep_the_closed_form_exact():
    """The statistic of the test is a covariance in units of the observed r: all permutations of seven stimuli."""
    rng = np.random.default_rng(5)
    run = np.array([0, 0, 1, 1, 2, 2, 3])
    blocks = RunBlocks(7, run)
    brain, space = rng.normal(size=(7, 3)), model(rng.normal(size=(7, 2)) + 1)
    similarity, other = brain @ brain.T, space.factors @ space.factors.T
    counted = blocks.counts(slice(None))
    orders = np.array(list(permutations(range(7))))
    drawn = [np.cov(similarity[counted], other[np.ix_(o, o)][counted], ddof=0)[0, 1] for o in orders]
    drawn = np.array(drawn) / (similarity[counted].std() * other[counted].std())
    r = r_over(similarity, other, blocks)
    found = mantel_test([[r]], low_rank_pair_sums(brain, None, blocks)[None], model_nulls([space], blocks))
    assert drawn[0] == pytest.approx(r)  # what is observed orders alike as r
    assert found.null_mean[0, 0] == pytest.approx(drawn.mean(), abs=1e-12)
    assert found.null_sd[0, 0] == pytest.approx(drawn.std())
    assert found.null_skewness[0, 0] == pytest.approx(stats.skew(drawn))


def test_dense_models_have_the_null_of_their_factors():
    rng = np.random.default_rng(6)
    blocks = RunBlocks(40, np.arange(40) // 8)
    factors = rng.normal(size=(40, 3)) + 0.5
    one, other = model_nulls(
        [model(factors), ModelGeometry("dense", "dot", dense=(factors @ factors.T).astype(np.float32))], blocks
    )
    np.testing.assert_allclose(one.sums[1:8], other.sums[1:8], rtol=1e-5)
    assert one.squares == pytest.approx(other.squares, rel=1e-6)
    with pytest.raises(InputError, match="flat: all pairs of stimuli are equally similar"):
        model_nulls([ModelGeometry("flat", "dot", dense=np.ones((40, 40), np.float32))], blocks)
    with pytest.raises(InputError, match="1 centres and 2 models"):
        mantel_test([[0.1]], one.sums[None], [one, other])


def test_pearson_iii_is_that_of_scipy_and_never_lighter_than_normal_when_skewed_to_the_left():
    z = np.linspace(-3, 5, 30)
    for skewness in (0.05, 0.5, 2.5):
        np.testing.assert_allclose(null_p(z, skewness), stats.pearson3.sf(z, skewness), rtol=1e-6)
    np.testing.assert_allclose(null_p(z, 0.0), stats.norm.sf(z))
    left = null_p(z, -0.8)
    np.testing.assert_allclose(left, np.maximum(stats.pearson3.sf(z, -0.8), stats.norm.sf(z)), rtol=1e-6)
    assert np.isnan(null_p([np.nan, 1.0], [0.1, np.nan])).all()


def test_a_heavy_tail_is_that_of_its_cumulants():
    """Sums of few weighted chi-squared variables, by a million draws."""
    rng = np.random.default_rng(12)
    for weights in ([1.0], [1.0, 0.5], [1.0, 0.3, 0.3, 0.3], [0.5] * 4 + [0.1] * 30):
        w = np.array(weights) / np.sqrt(2 * np.sum(np.square(weights)))
        drawn = sum(weight * (rng.standard_normal(1_000_000) ** 2 - 1) for weight in w)
        for chance in (0.05, 0.01, 0.001):
            z = np.quantile(drawn, 1 - chance)
            assert null_p(z, 8 * (w**3).sum(), 48 * (w**4).sum()) == pytest.approx(chance, rel=0.15)


@pytest.mark.parametrize(("n", "width"), [(60, 3), (60, 30)])
def test_p_is_that_of_drawn_permutations(n, width):
    """Distance below .02 in the bulk; .01 within a fifth and .001 within a factor 1.5, of 60,000."""
    _compare_with_drawn(n, width, 60_000, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("width", [3, 30])
@pytest.mark.parametrize("n", [300, 2180])
def test_p_is_that_of_drawn_permutations_of_many_stimuli(n, width):
    _compare_with_drawn(n, width, 200_000, seed=8)


def _compare_with_drawn(n, width, n_permutations, seed):
    rng = np.random.default_rng(seed)
    blocks, brain = RunBlocks(n), smooth_patterns(rng, n, 40)
    factors = rng.gamma(0.5, size=(n, width))
    space = model(factors / np.linalg.norm(factors, axis=1, keepdims=True))
    parts = [
        permuted_scores(
            [CentreGeometry(brain)], [space], blocks,
            stimulus_permutations(n, within=None, n_permutations=10_000, seed=part), keep=True,
        ).null.ravel()
        for part in range(n_permutations // 10_000)
    ]  # fmt: skip
    drawn = np.sort(np.concatenate(parts).astype(np.float64))
    sums = np.repeat(low_rank_pair_sums(brain, None, blocks)[None], len(drawn), axis=0)
    p = mantel_test(drawn[:, None], sums, model_nulls([space], blocks)).p[:, 0]
    assert np.abs(p - (1 - (np.arange(len(drawn)) + 0.5) / len(drawn))).max() < 0.02
    for chance, factor in ((0.05, 1.1), (0.01, 1.2), (0.001, 1.5)):
        reached = p[int(len(drawn) * (1 - chance))]
        assert chance / factor < reached < chance * factor


def simulate_p(rng, n_worlds, *, drift, sorted_stimuli, n=40, n_runs=8):
    """P of unrelated worlds in closed form and by permutations within runs; noise that runs share."""
    run = np.arange(n) // (n // n_runs)
    blocks, p, within = RunBlocks(n, run), [], []
    for world in range(n_worlds):
        level = rng.normal(size=(n_runs, 20))
        if drift:
            level = np.cumsum(level, axis=0)
        brain = unit_rows(rng.normal(size=(n, 20)) + level[run])
        features = rng.gamma(1, size=(n, 3))
        if sorted_stimuli:
            features = features[np.argsort(features[:, 0])]
        space = model(features)
        similarity, other = brain @ brain.T, features @ features.T
        r = r_over(similarity, other, blocks)
        sums = low_rank_pair_sums(brain, None, blocks)[None]
        p.append(mantel_test([[r]], sums, model_nulls([space], blocks)).p[0, 0])
        drawn = stimulus_permutations(n, run, n_permutations=99, seed=world)
        within.append(permuted_scores([CentreGeometry(brain)], [space], blocks, drawn).p[0, 0])
    return np.array(p), np.array(within)


def test_p_is_valid_when_runs_share_noise_and_stimuli_were_assigned_at_random():
    p, within = simulate_p(np.random.default_rng(9), 1000, drift=True, sorted_stimuli=False)
    for alpha in (0.05, 0.01):
        error = 3 * np.sqrt(alpha * (1 - alpha) / len(p))
        assert (p <= alpha).mean() == pytest.approx(alpha, abs=error)
        assert (within <= alpha + 1e-9).mean() == pytest.approx(alpha, abs=error)
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_only_permutations_within_runs_are_valid_when_stimuli_are_sorted_and_responses_drift():
    """What the docstring warns of."""
    p, within = simulate_p(np.random.default_rng(10), 300, drift=True, sorted_stimuli=True)
    assert (p <= 0.05).mean() > 0.2
    assert (within <= 0.05 + 1e-9).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_no_p_is_below_the_chance_of_one_arrangement():
    """Four stimuli have 24 arrangements, so that the best of them is reached in at least one of 24."""
    factors = np.array([[4.0, 0], [4.1, 0], [0, 1], [0, 1.2]])
    sums = low_rank_pair_sums(factors, None, RunBlocks(4))[None]
    test = mantel_test([[1.0]], sums, model_nulls([model(factors)], RunBlocks(4)))
    assert test.p[0, 0] >= 1 / 24
    assert null_p((1 - test.null_mean) / test.null_sd, test.null_skewness)[0, 0] < 1 / 24
