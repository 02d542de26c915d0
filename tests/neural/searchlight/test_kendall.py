"""Kendall's tau-a, against a count of all choices of two pairs."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist

from affectome.errors import InputError
from affectome.neural.searchlight import ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._kendall import KendallScorer, tau_a


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
