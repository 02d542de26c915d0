"""Pearson RSA by sums of factors, against scipy on explicit matrices of all pairs."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from affectome.errors import InputError
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns, model_geometry
from affectome.neural.searchlight._pearson import PearsonScorer, brain_factors, pearson_sums

METRICS = ("correlation", "cosine", "sqeuclidean", "euclidean")


def ids_of(n):
    return tuple(f"s{i}" for i in range(n))


def made_models(rng, n, metrics=("correlation", "sqeuclidean", "euclidean", "dot")):
    """One space per metric, sparse and skewed as ratings are; the Euclidean one is dense."""
    spaces = [pd.DataFrame(rng.gamma(0.4, size=(n, 4 + 3 * k)), index=ids_of(n)) for k in range(len(metrics))]
    return [model_geometry(s, name=m, metric=m) for s, m in zip(spaces, metrics, strict=True)], spaces


def made_patterns(rng, n, n_voxels, spaces, *, run=None, mean=0.0):
    signal = spaces[0].to_numpy()
    x = signal @ rng.standard_normal((signal.shape[1], n_voxels)) + rng.standard_normal((n, n_voxels))
    return Patterns("sub-01", ids_of(n), (x + mean).astype(np.float32), run)


def parcels(*sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Neighbourhoods(starts, np.arange(starts[-1], dtype=np.int32))


def similarities(model):
    return model.dense.astype(float) if model.factors is None else (model.factors * model.signs) @ model.factors.T


def explicit(x, metric, models, run):
    """Similarities g, each h, and which pairs count, as (n, n) matrices."""
    n = len(x)
    counts = ~np.eye(n, dtype=bool) if run is None else np.asarray(run)[:, None] != np.asarray(run)
    return -squareform(pdist(x.astype(np.float64), metric)), [similarities(m) for m in models], counts


def reference(x, metric, models, run=None):
    g, hs, counts = explicit(x, metric, models, run)
    upper = np.triu(counts)
    return np.array([stats.pearsonr(g[upper], h[upper]).statistic for h in hs])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("with_runs", [True, False])
def test_r_is_that_of_scipy_on_all_pairs_for_every_dissimilarity(metric, with_runs):
    rng = np.random.default_rng(1)
    models, spaces = made_models(rng, 300)
    run = rng.integers(0, 7, 300) if with_runs else None
    patterns = made_patterns(rng, 300, 40, spaces, run=run)
    spheres = parcels(33, 5, 2)
    found = pearson_sums(patterns, spheres, models, metric=metric)
    for centre in range(3):
        wanted = reference(patterns.responses[:, spheres[centre]], metric, models, run)
        np.testing.assert_allclose(found.r[centre], wanted, atol=1e-6)
    assert found.n_pairs == (300 * 299 // 2 if run is None else np.triu(run[:, None] != run).sum())
    assert found.r[0, 0] > 0.1  # the planted space


@pytest.mark.parametrize("metric", METRICS)
def test_a_thousand_stimuli_in_float32_with_a_mean_of_a_thousand_keep_six_digits(metric):
    rng = np.random.default_rng(2)
    models, spaces = made_models(rng, 1000, ("cosine", "sqeuclidean"))
    level = 1000 + 30 * rng.standard_normal(60)  # voxels differ more than stimuli do
    patterns = made_patterns(rng, 1000, 60, spaces, run=np.arange(1000) // 40, mean=level)
    found = pearson_sums(patterns, parcels(60), models, metric=metric)
    np.testing.assert_allclose(found.r[0], reference(patterns.responses, metric, models, patterns.run), atol=1e-6)


def test_a_pattern_that_all_stimuli_share_costs_no_digits():
    """Correlations between .999 and 1: sums of squares that are not about the mean would cancel."""
    rng = np.random.default_rng(3)
    models, spaces = made_models(rng, 600, ("cosine", "correlation"))
    patterns = made_patterns(rng, 600, 50, spaces, run=np.arange(600) // 30, mean=300 * rng.standard_normal(50))
    found = pearson_sums(patterns, parcels(50), models)
    assert found.mean[0] > 0.999
    np.testing.assert_allclose(
        found.r[0], reference(patterns.responses, "correlation", models, patterns.run), atol=1e-6
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_voxels", [20, 70])
def test_sums_of_every_stimulus_are_those_of_explicit_matrices(metric, n_voxels):
    """With 20 voxels by factors, with 70 by all pairs."""
    rng = np.random.default_rng(4)
    models, spaces = made_models(rng, 90)
    run = rng.permutation(np.arange(90) // 12)
    patterns = made_patterns(rng, 90, n_voxels, spaces, run=run)
    found = pearson_sums(patterns, parcels(n_voxels), models, metric=metric, per_stimulus=True)
    g, hs, counts = explicit(patterns.responses, metric, models, run)
    g = np.where(counts, g - g[counts].mean(), 0)
    hs = np.stack([np.where(counts, h - h[counts].mean(), 0) for h in hs])
    own = found.stimuli[0]
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(own.rows / np.abs(g).sum(), g.sum(axis=1) / np.abs(g).sum(), atol=1e-8)
    np.testing.assert_allclose(own.squares, (g**2).sum(axis=1), **close)
    scale = np.sqrt((g**2).sum() * (hs**2).sum(axis=(1, 2)))[:, None]
    np.testing.assert_allclose(own.products / scale, (g * hs).sum(axis=2) / scale, atol=1e-7)
    alone = found.model_stimuli
    np.testing.assert_allclose(alone.rows / scale, hs.sum(axis=2) / scale, atol=1e-7)
    ends = np.sqrt((hs**2).sum(axis=(1, 2)))
    wanted = np.einsum("aij,bij->abi", hs, hs) / np.outer(ends, ends)[..., None]
    np.testing.assert_allclose(alone.products / np.outer(ends, ends)[..., None], wanted, atol=1e-7)
    np.testing.assert_array_equal(found.degree, counts.sum(axis=1))
    # And they add up to the sums of the centre.
    np.testing.assert_allclose(found.squares[0], own.squares.sum() / 2, rtol=1e-6)
    np.testing.assert_allclose(found.products[0], own.products.sum(axis=1) / 2, rtol=1e-5, atol=1e-6 * scale.max())
    np.testing.assert_allclose(found.rows[0], (own.rows**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(found.model_rows, (alone.rows**2).sum(axis=1), rtol=1e-9)


def test_sums_give_mantels_mean_and_variance():
    """A1 = 0, A2 = 2 squares and A3 = rows make the variance of the sum over all relabellings, here all 720."""
    from itertools import permutations

    rng = np.random.default_rng(5)
    models, spaces = made_models(rng, 6, ("cosine",))
    patterns = made_patterns(rng, 6, 3, spaces)
    found = pearson_sums(patterns, parcels(3), models)
    n, m = 6, 30
    a2, a3, b2, b3 = 2 * found.squares[0], found.rows[0], 2 * found.model_products[0, 0], found.model_rows[0]
    variance = 2 * a2 * b2 / m + 4 * (a3 - a2) * (b3 - b2) / (m * (n - 2))
    variance += (2 * a2 - 4 * a3) * (2 * b2 - 4 * b3) / (m * (n - 2) * (n - 3))
    g, (h,), counts = explicit(patterns.responses, "correlation", models, None)
    g, h = np.where(counts, g - g[counts].mean(), 0), np.where(counts, h - h[counts].mean(), 0)
    draws = [(g * h[np.ix_(p, p)]).sum() for p in permutations(range(6))]
    assert np.mean(draws) == pytest.approx(0, abs=1e-6)
    assert np.var(draws) == pytest.approx(variance, rel=1e-5)


@given(st.integers(0, 2**32 - 1), st.sampled_from(METRICS))
@settings(max_examples=20)
def test_order_of_stimuli_and_of_voxels_do_not_matter(seed, metric):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(8, 60))
    models, spaces = made_models(rng, n, ("cosine", "euclidean"))
    patterns = made_patterns(rng, n, 9, spaces, run=np.arange(n) % 3)
    order, voxels = rng.permutation(n), rng.permutation(9)
    moved = Patterns(
        "sub-01", tuple(patterns.ids[i] for i in order), patterns.responses[np.ix_(order, voxels)], patterns.run[order]
    )
    turned = [
        ModelGeometry("cosine", "cosine", models[0].factors[order], models[0].signs),
        ModelGeometry("euclidean", "euclidean", dense=models[1].dense[np.ix_(order, order)]),
    ]
    one = pearson_sums(patterns, parcels(9), models, metric=metric)
    other = pearson_sums(moved, parcels(9), turned, metric=metric)
    np.testing.assert_allclose(one.r, other.r, atol=1e-6)


def test_unit_and_level_of_patterns_do_not_matter_under_correlation():
    rng = np.random.default_rng(6)
    models, spaces = made_models(rng, 80, ("cosine",))
    patterns = made_patterns(rng, 80, 12, spaces)
    scaled = patterns.responses * rng.uniform(1, 9, (80, 1)) + rng.standard_normal((80, 1))
    one, other = (
        pearson_sums(Patterns("sub-01", patterns.ids, x.astype(np.float32)), parcels(12), models).r
        for x in (patterns.responses, scaled)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_bits_do_not_depend_on_which_centres_come_together():
    rng = np.random.default_rng(7)
    models, spaces = made_models(rng, 400, ("cosine", "correlation"))
    patterns = made_patterns(rng, 400, 90, spaces, run=np.arange(400) // 20)
    scorer = PearsonScorer(models, patterns)
    spheres = parcels(30, 20, 40)
    together = scorer.score(spheres, per_stimulus=True)
    apart = [scorer.score(spheres, np.array([centre]), per_stimulus=True) for centre in (2, 0, 1)]
    assert np.array_equal(together.r, np.concatenate([apart[k].r for k in (1, 2, 0)]))
    assert np.array_equal(together.stimuli[2].products, apart[0].stimuli[0].products)
    assert np.array_equal(scorer.score(spheres, slice(1, 3)).r, together.r[1:])


def test_a_sphere_of_two_voxels_has_correlations_of_one_and_minus_one():
    rng = np.random.default_rng(8)
    models, spaces = made_models(rng, 200, ("cosine",))
    patterns = made_patterns(rng, 200, 2, spaces)
    found = pearson_sums(patterns, parcels(2), models, per_stimulus=True)
    sign = np.sign(np.diff(patterns.responses, axis=1)).ravel()
    upper = np.triu_indices(200, 1)
    wanted = stats.pearsonr(np.outer(sign, sign)[upper], similarities(models[0])[upper]).statistic
    assert found.r[0, 0] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
@pytest.mark.parametrize("n_voxels", [7, 150])
def test_a_pattern_without_direction_is_similar_to_nothing_and_counted(metric, n_voxels):
    rng = np.random.default_rng(9)
    models, spaces = made_models(rng, 120, ("cosine", "sqeuclidean"))
    patterns = made_patterns(rng, 120, n_voxels, spaces)
    patterns.responses[[3, 50]] = 0.1 if metric == "correlation" else 0.0
    found = pearson_sums(patterns, parcels(n_voxels), models, metric=metric)
    assert found.n_directionless.tolist() == [2]
    x = patterns.responses.astype(np.float64)
    x = x - x.mean(axis=1, keepdims=True) if metric == "correlation" else x
    x[[3, 50]] = 0
    length = np.linalg.norm(x, axis=1, keepdims=True)
    g = (x / np.where(length > 0, length, 1)) @ (x / np.where(length > 0, length, 1)).T
    upper = np.triu_indices(120, 1)
    wanted = [stats.pearsonr(g[upper], similarities(m)[upper]).statistic for m in models]
    np.testing.assert_allclose(found.r[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "responses"),
    [
        ("correlation", lambda rng: rng.standard_normal((60, 1))),  # one voxel has no correlation
        ("correlation", lambda rng: np.sort(rng.standard_normal((60, 2)), axis=1)),  # all correlations are 1
        ("cosine", lambda rng: np.abs(rng.standard_normal((60, 1)))),
        ("sqeuclidean", lambda rng: np.ones((60, 4))),
        ("euclidean", lambda rng: np.ones((60, 4))),
    ],
)
def test_where_all_pairs_are_equally_similar_r_is_undefined(metric, responses):
    rng = np.random.default_rng(10)
    models, _ = made_models(rng, 60, ("cosine",))
    x = responses(rng).astype(np.float32)
    found = pearson_sums(Patterns("sub-01", ids_of(60), x), parcels(x.shape[1]), models, metric=metric)
    assert np.isnan(found.r).all() and not found.defined.any()


def test_close_pairs_of_patterns_keep_their_euclidean_distance():
    """Every pattern twice, apart by a thousandth: the distances of twins come from cancelling squares."""
    rng = np.random.default_rng(11)
    models, _ = made_models(rng, 100, ("cosine",))
    x = np.repeat(100 + rng.standard_normal((50, 30)), 2, axis=0) + 1e-3 * rng.standard_normal((100, 30))
    patterns = Patterns("sub-01", ids_of(100), x.astype(np.float32))
    found = pearson_sums(patterns, parcels(30), models, metric="euclidean")
    np.testing.assert_allclose(found.r[0], reference(patterns.responses, "euclidean", models), atol=1e-6)


def test_sums_that_float32_would_lose_are_made_in_float64():
    """What runs share is nearly all there is: pairs within runs, which do not count, are most of every sum."""
    rng = np.random.default_rng(12)
    models, _ = made_models(rng, 800, ("cosine",))
    run = np.arange(800) // 20
    x = (20 * rng.standard_normal((40, 400))[run] + rng.standard_normal((800, 400))).astype(np.float32)
    patterns = Patterns("sub-01", ids_of(800), x, run)
    scorer = PearsonScorer(models, patterns)
    used = []
    by_factors = scorer._by_factors
    scorer._by_factors = lambda *a: used.append(a[2].dtype) or by_factors(*a)
    found = scorer.score(parcels(400))
    assert used == [np.float32, np.float64]
    np.testing.assert_allclose(found.r[0], reference(x, "correlation", models, run), atol=1e-9)


def test_correlations_of_models_are_those_over_the_pairs_that_count():
    rng = np.random.default_rng(13)
    models, spaces = made_models(rng, 70)
    run = np.arange(70) // 10
    found = pearson_sums(made_patterns(rng, 70, 5, spaces, run=run), parcels(5), models)
    upper = np.triu(run[:, None] != run)
    np.testing.assert_allclose(found.model_r, np.corrcoef([similarities(m)[upper] for m in models]), atol=1e-6)
    np.testing.assert_allclose(found.model_mean, [similarities(m)[upper].mean() for m in models], rtol=1e-6)


def test_visitors_see_factors_that_give_the_similarities():
    rng = np.random.default_rng(14)
    models, spaces = made_models(rng, 50, ("cosine",))
    for metric in METRICS[:3]:
        for n_voxels in (6, 60):
            patterns = made_patterns(rng, 50, n_voxels, spaces, run=np.arange(50) % 4)
            scorer = PearsonScorer(models, patterns, metric=metric)
            made = lambda s: s.constant + s.effect + s.effect[:, None] + s.d.T @ s.d  # noqa: E731
            (seen,) = scorer.score(parcels(n_voxels), visit=made).visited
            g, _, _ = explicit(patterns.responses[scorer.ready.order], metric, models, None)
            off = ~np.eye(50, dtype=bool)
            scale = np.abs(g).max()
            shift = 1.0 if metric != "sqeuclidean" else 0.0  # similarity, not minus distance
            np.testing.assert_allclose(seen[off] / scale, (g[off] + shift) / scale, atol=1e-6)
    with pytest.raises(InputError, match="no factors to visit"):
        PearsonScorer(models, patterns, metric="euclidean").score(parcels(5), visit=made)


@pytest.mark.parametrize("metric", METRICS[:3])
def test_factors_of_a_sphere_give_its_similarities(metric):
    rng = np.random.default_rng(15)
    x = (5 + rng.standard_normal((30, 8))).astype(np.float32)
    factors, signs = brain_factors(x, np.arange(1, 8), metric)
    off = ~np.eye(30, dtype=bool)
    wanted = (0 if metric == "sqeuclidean" else 1) - squareform(pdist(x[:, 1:].astype(float), metric))
    np.testing.assert_allclose(((factors * signs) @ factors.T)[off], wanted[off], atol=1e-9)
    with pytest.raises(InputError, match="have no factors"):
        brain_factors(x, np.arange(3), "euclidean")


def test_wrong_input_is_named():
    rng = np.random.default_rng(16)
    models, spaces = made_models(rng, 20, ("cosine", "euclidean"))
    patterns = made_patterns(rng, 20, 4, spaces)
    spheres = parcels(4)
    with pytest.raises(InputError, match="there is no model"):
        pearson_sums(patterns, spheres, [])
    with pytest.raises(InputError, match="cosine: it has 20 stimuli and the patterns have 19"):
        pearson_sums(Patterns("a", patterns.ids[1:], patterns.responses[1:]), spheres, models)
    with pytest.raises(InputError, match="metric='manhattan' compares no patterns"):
        pearson_sums(patterns, spheres, models, metric="manhattan")
    with pytest.raises(InputError, match="within_run='leave' is unknown"):
        pearson_sums(patterns, spheres, models, within_run="leave")
    with pytest.raises(InputError, match="no pair of stimuli lies in two runs"):
        pearson_sums(Patterns("a", patterns.ids, patterns.responses, np.zeros(20, np.intp)), spheres, models)
    with pytest.raises(InputError, match="same: all pairs of stimuli that count are equally similar"):
        pearson_sums(patterns, spheres, [ModelGeometry("same", "dot", np.ones((20, 1)), np.ones(1))])
    with pytest.raises(InputError, match="empty: it has neither factors"):
        pearson_sums(patterns, spheres, [ModelGeometry("empty", "dot")])
    with pytest.raises(InputError, match="the id 'cosine' was already used"):
        pearson_sums(patterns, spheres, [models[0], models[0]])
    with pytest.raises(InputError, match="centre 1 has no voxels"):
        pearson_sums(patterns, Neighbourhoods(np.array([0, 4, 4]), np.arange(4)), models)
    broken = patterns.responses.copy()
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match="sub-01, voxel 2: a response is no number"):
        pearson_sums(Patterns("sub-01", patterns.ids, broken), spheres, models)
    lost = models[1].dense.copy()
    lost[0, 1] = np.nan
    with pytest.raises(InputError, match="lost: a similarity is no number"):
        pearson_sums(patterns, spheres, [ModelGeometry("lost", "euclidean", dense=lost)])
