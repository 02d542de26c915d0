"""Kendall's tau-a, against a count of all choices of two pairs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist

from affectome.errors import InputError
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns, searchlight
from affectome.neural.searchlight._kendall import KendallScorer, concordance, tau_a
from affectome.neural.searchlight._permutations import stimulus_permutations


def counted(x, y):
    """Concordant less discordant, one choice after the other."""
    total = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    return total.sum() / (len(x) * (len(x) - 1))


def ids_of(n):
    return tuple(f"s{i}" for i in range(n))


@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_tau_a_counts_concordant_choices_and_no_ties(levels):
    rng = np.random.default_rng(levels)
    x, y = rng.integers(0, levels, 200), rng.integers(0, 3, 200) + 0.5
    assert tau_a(x, y) == pytest.approx(counted(x, y), abs=1e-12)
    assert tau_a(x, x) == pytest.approx(1 - np.mean(x[:, None] == x) * 200 / 199 + 1 / 199, abs=1e-12)
    assert np.isnan(tau_a(np.zeros(9), np.arange(9)))


def test_without_ties_it_is_the_tau_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500))
    assert tau_a(x, y + x) == pytest.approx(stats.kendalltau(x, y + x).statistic, abs=1e-12)


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean", "sqeuclidean"])
@pytest.mark.parametrize("with_runs", [True, False])
def test_neighbourhoods_are_scored_over_pairs_of_different_runs(metric, with_runs):
    rng = np.random.default_rng(1)
    run = rng.permutation(np.arange(24) % 4) if with_runs else None
    x = rng.normal(size=(24, 9)).astype(np.float32)
    labels = np.eye(3)[rng.integers(0, 3, 24)]
    models = [
        ModelGeometry("labels", "dot", factors=labels, signs=np.ones(3)),
        ModelGeometry("table", "similarity", dense=np.corrcoef(rng.normal(size=(24, 4))).astype(np.float32)),
    ]
    spheres = Neighbourhoods(np.array([0, 5, 9]), np.arange(9, dtype=np.int32))
    scores = KendallScorer(metric=metric).prepare(models, Patterns("sub-01", ids_of(24), x, run)).score(spheres)
    upper = np.triu_indices(24, 1)
    counts = np.ones(276, bool) if run is None else run[upper[0]] != run[upper[1]]
    assert scores.names == ("labels", "table") and scores.n_pairs == counts.sum()
    theirs = [(labels @ labels.T)[upper][counts], models[1].dense[upper][counts]]
    for centre in range(2):
        own = -pdist(x[:, spheres[centre]].astype(float), metric)[counts]
        np.testing.assert_allclose(scores.tau[centre], [counted(own, y) for y in theirs], atol=1e-12)


def test_a_model_of_ties_is_not_preferred_to_the_truth():
    """The brain is the true distance; labels that cut it in half tie most pairs, and rho cannot reach 1 there."""
    truth = np.arange(16.0)[:, None]
    halves = np.eye(2)[(truth[:, 0] > 7).astype(int)]
    models = [
        ModelGeometry("truth", "euclidean", dense=-np.abs(truth - truth.T).astype(np.float32)),
        ModelGeometry("halves", "dot", factors=halves, signs=np.ones(2)),
    ]
    patterns = Patterns("sub-01", ids_of(16), truth.astype(np.float32))
    sphere = Neighbourhoods(np.array([0, 1]), np.zeros(1, np.int32))
    tau = KendallScorer(metric="euclidean").prepare(models, patterns).score(sphere).tau[0]
    own = -pdist(truth)
    assert tau[0] == pytest.approx(counted(own, own)) and tau[1] < 0.6 * tau[0]


def test_many_stimuli_and_other_mistakes_are_refused():
    x = np.zeros((449, 2), np.float32)
    model = ModelGeometry("m", "dot", factors=np.ones((449, 1)), signs=np.ones(1))
    with pytest.raises(InputError, match=r'449 stimuli make 100,576 pairs.*use "spearman", or fewer stimuli'):
        KendallScorer().prepare([model], Patterns("sub-01", ids_of(449), x))
    with pytest.raises(InputError, match="there is no space to compare"):
        KendallScorer().prepare([], Patterns("sub-01", ids_of(9), x[:9]))
    with pytest.raises(InputError, match="'taxi' is no measure of patterns"):
        KendallScorer(metric="taxi")
    with pytest.raises(InputError, match="1 neighbourhoods have fewer than 2 voxels"):
        model = ModelGeometry("m", "dot", factors=np.arange(9.0)[:, None], signs=np.ones(1))
        one = Neighbourhoods(np.array([0, 1]), np.zeros(1, np.int32))
        KendallScorer().prepare([model], Patterns("sub-01", ids_of(9), x[:9])).score(one)


@given(seed=st.integers(0, 10**6), size=st.integers(2, 60), levels=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=60, deadline=None)
def test_concordance_of_each_pair_is_that_of_all_choices_written_out(seed, size, levels):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, k, size).astype(np.int32) for k in levels)
    written_out = (np.sign(x[:, None] - x) * np.sign(y[:, None] - y)).sum(axis=1)
    np.testing.assert_array_equal(concordance(x, y), written_out)


def related(rng, n, run=None):
    """Three parcels of which the first two share the space, and a space of categories beside it."""
    truth, labels = rng.normal(size=(n, 3)), np.eye(3)[rng.integers(0, 3, n)]
    x = np.hstack([truth @ rng.normal(size=(3, 12)), np.zeros((n, 4))]) + rng.normal(size=(n, 16))
    models = [ModelGeometry("truth", "dot", factors=truth), ModelGeometry("labels", "dot", factors=labels)]
    patterns = Patterns("sub-01", ids_of(n), x.astype(np.float32), run)
    return models, patterns, Neighbourhoods(np.array([0, 6, 12, 16]), np.arange(16, dtype=np.int32))


@pytest.mark.parametrize("within", ["run", None])
def test_permuted_tau_is_that_of_rearranged_spaces(within):
    rng = np.random.default_rng(2)
    run = rng.permutation(np.arange(18) % 3)
    models, patterns, spheres = related(rng, 18, run)
    orders = stimulus_permutations(18, run, within=within, n_permutations=39, seed=0).orders
    prepared = KendallScorer().prepare(models, patterns)
    tau = prepared.score(spheres).tau
    found = prepared.permuted(spheres, tau, orders)
    left, right = np.nonzero(np.triu(run[:, None] != run, 1))
    null = np.empty((len(orders), 3, 2))
    for c in range(3):
        own = np.corrcoef(patterns.responses[:, spheres[c]].astype(float))[left, right]
        for m, model in enumerate(models):
            table = (model.factors @ model.factors.T).round(9)
            null[:, c, m] = [counted(own, table[order[left], order[right]]) for order in orders]
    np.testing.assert_array_equal(found.reached, (null >= tau - 1e-12).sum(axis=0))
    np.testing.assert_allclose(found.maxima, null.max(axis=1), atol=1e-12)


def test_covariances_of_tau_are_those_of_the_derivatives_by_the_weights_of_stimuli():
    rng = np.random.default_rng(3)
    run = rng.permutation(np.arange(16) % 4)
    models, patterns, spheres = related(rng, 16, run)
    left, right = np.nonzero(np.triu(run[:, None] != run, 1))
    own = np.corrcoef(patterns.responses[:, spheres[0]].astype(float))[left, right]
    influence = np.empty((2, 16))
    for m, model in enumerate(models):
        theirs = (model.factors @ model.factors.T).round(9)[left, right]
        signs = np.sign(own[:, None] - own) * np.sign(theirs[:, None] - theirs)

        def weighted(weights, signs=signs):
            pair = weights[left] * weights[right]
            return pair @ signs @ pair / (pair.sum() ** 2 - pair @ pair)

        for i in range(16):
            step = 1e-5 * (np.arange(16) == i)
            influence[m, i] = (weighted(1 + step) - weighted(1 - step)) / 2e-5
    prepared = KendallScorer(jackknife=True).prepare(models, patterns)
    found = prepared.score(spheres).covariances[0]
    np.testing.assert_allclose(found, influence @ influence.T * 16 / 15, rtol=1e-6, atol=1e-12)
    sums = np.stack([np.bincount(run, row) for row in influence])
    np.testing.assert_allclose(
        replace(prepared, groups=run).score(spheres).covariances[0], sums @ sums.T * 4 / 3, rtol=1e-6, atol=1e-12
    )


def test_a_searchlight_of_tau_finds_the_planted_space_and_says_how_certain_it_is():
    rng = np.random.default_rng(4)
    models, patterns, spheres = related(rng, 32, np.arange(32) // 8)
    asked = {"statistic": "kendall", "test": "drawn", "n_permutations": 99, "seed": 0, "intervals": True}
    found = searchlight(patterns, models, spheres, differences=[("truth", "labels")], **asked)
    assert found.p[:2, 0].tolist() == [0.01, 0.01] and found.p[2, 0] > 0.05
    assert (found.p_family >= found.p).all() and (found.p_family[:2, 0] == 0.01).all()
    assert (found.low < found.r).all() and (found.r < found.high).all() and found.low[0, 0] > 0
    assert found.difference[0, 0] == pytest.approx(found.r[0, 0] - found.r[0, 1]) and found.difference_low[0, 0] > 0


def test_p_of_tau_is_uniform_and_its_interval_covers_where_nothing_is_related():
    rng = np.random.default_rng(5)
    n, count = 20, 600
    patterns = Patterns("sub-01", ids_of(n), rng.normal(size=(n, 6 * count)).astype(np.float32))
    spheres = Neighbourhoods(6 * np.arange(count + 1), np.arange(6 * count, dtype=np.int32))
    model = ModelGeometry("m", "dot", factors=rng.normal(size=(n, 3)))
    found = searchlight(
        patterns, [model], spheres, statistic="kendall", test="drawn", permute_within=None, n_permutations=199, seed=1,
        intervals=True,
    )  # fmt: skip
    for level in (0.05, 0.2, 0.5):
        assert abs((found.p <= level).mean() - level) <= 3 * np.sqrt(level * (1 - level) / count)
    assert (
        (found.low <= 0) & (found.high >= 0)
    ).mean() >= 0.93  # r = 0: the standard errors are too large, if anything
