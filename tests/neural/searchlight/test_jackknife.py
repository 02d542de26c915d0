"""Standard errors over stimuli: derivatives, ties that are rejected at the nominal rate, intervals that cover."""

import numpy as np
import pytest

from affectome import InputError
from affectome.neural import ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._jackknife import (
    JackknifedScores,
    jackknife,
    jackknife_covariance,
    score_differences,
    score_intervals,
    score_p,
)
from affectome.neural.searchlight._pearson import pearson_sums

N_VOXELS = 20
MIXING = np.random.default_rng(99).normal(size=(5, N_VOXELS))
SPHERE = Neighbourhoods(np.array([0, N_VOXELS]), np.arange(N_VOXELS, dtype=np.int32))


def world(rng, n, n_runs, *, noise=1.0, shared=0.0):
    """A brain that knows t, two spaces equally far from t, and t itself; noise that runs share."""
    truth = rng.normal(size=(n, 5))
    spaces = {"a": truth + noise * rng.normal(size=(n, 5)), "b": truth + noise * rng.normal(size=(n, 5)), "t": truth}
    run = np.arange(n) % n_runs
    brain = truth @ MIXING + 2 * rng.normal(size=(n, N_VOXELS)) + shared * rng.normal(size=(n_runs, N_VOXELS))[run]
    patterns = Patterns("s", tuple(map(str, range(n))), brain.astype(np.float32), run)
    return patterns, [ModelGeometry(name, "dot", values) for name, values in spaces.items()]


def weighted_scores(patterns, models, weights, given=None):
    """Correlations over pairs that weigh w_i w_j, from written-out pairs; partial where `given`."""
    x = patterns.responses.astype(np.float64)
    x -= x.mean(axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    left, right = np.triu_indices(len(x), 1)
    counted = patterns.run[left] != patterns.run[right]
    left, right = left[counted], right[counted]
    values = np.stack([(x @ x.T)[left, right], *((m.factors @ m.factors.T)[left, right] for m in models)])
    weight = weights[left] * weights[right]
    covariance = np.cov(values, aweights=weight, ddof=0)
    r = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    if given is None:
        return r[0, 1:]
    scores = r[0, 1:].copy()
    for target, others in given.items():
        inverse = np.linalg.inv(
            r[np.ix_([0, 1 + target, *(1 + o for o in others)], [0, 1 + target, *(1 + o for o in others)])]
        )
        scores[target] = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
    return scores


@pytest.mark.parametrize("controls", [None, {"a": ["t"], "b": ["a", "t"]}])
def test_covariances_are_those_of_numerical_derivatives(controls):
    rng = np.random.default_rng(0)
    patterns, models = world(rng, 24, 5, shared=1.0)
    found = jackknife(pearson_sums(patterns, SPHERE, models, per_stimulus=True), controls=controls)
    given = None if controls is None else {0: [2], 1: [0, 2]}
    np.testing.assert_allclose(found.scores[0], weighted_scores(patterns, models, np.ones(24), given), atol=1e-5)
    step, influence = 1e-4, np.empty((3, 24))
    for i in range(24):
        up, down = np.ones(24), np.ones(24)
        up[i], down[i] = 1 + step, 1 - step
        high, low = (weighted_scores(patterns, models, w, given) for w in (up, down))
        influence[:, i] = (high - low) / (2 * step)
    np.testing.assert_allclose(found.covariances[0], influence @ influence.T * 24 / 23, rtol=1e-3, atol=1e-8)
    by_run = jackknife(
        pearson_sums(patterns, SPHERE, models, per_stimulus=True), controls=controls, groups=patterns.run
    )
    sums = np.stack([influence[:, patterns.run == run].sum(axis=1) for run in range(5)], axis=1)
    np.testing.assert_allclose(by_run.covariances[0], sums @ sums.T * 5 / 4, rtol=1e-3, atol=1e-8)
    assert (found.n_units, by_run.n_units) == (24, 5)


def simulate(n_worlds, seed, **settings):
    """Of ties: p of a difference, and of one of partials; r, and its interval."""
    rng = np.random.default_rng(seed)
    p, partial, r, low, high = [], [], [], [], []
    for _ in range(n_worlds):
        patterns, models = world(rng, **settings)
        sums = pearson_sums(patterns, SPHERE, models, per_stimulus=True)
        scores = jackknife(sums)
        p.append(score_differences(scores, [("a", "b")]).p[0, 0])
        given = jackknife(sums, controls={"a": ["t"], "b": ["t"]})
        partial.append(score_differences(given, [("a", "b")]).p[0, 0])
        ends = score_intervals(scores)
        r.append(scores.scores[0]), low.append(ends[0][0]), high.append(ends[1][0])
    r, low, high = map(np.array, (r, low, high))
    truth = np.tanh(np.arctanh(r).mean(axis=0))
    return np.array(p), np.array(partial), ((low <= truth) & (high >= truth)).mean(axis=0)


def test_ties_are_rejected_at_the_nominal_rate_and_intervals_cover():
    """200 stimuli in 20 runs that share noise; both spaces as far from what the brain knows."""
    p, partial, covered = simulate(250, seed=1, n=200, n_runs=20, shared=2.0)
    for values in (p, partial):
        assert 0.005 <= (values <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 250)
        assert (values <= 0.01).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 250)
    assert (np.abs(covered - 0.95) < 0.015 + 3 * np.sqrt(0.05 * 0.95 / 250)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "shared"), [(1.0, 0.0), (1.0, 2.0), (3.0, 0.0)])
def test_ties_and_intervals_in_two_thousand_worlds(noise, shared):
    p, partial, covered = simulate(2000, seed=2, n=200, n_runs=20, noise=noise, shared=shared)
    assert 0.01 <= (p <= 0.05).mean() <= 0.06
    assert 0.01 <= (partial <= 0.05).mean() <= 0.06
    assert (p <= 0.01).mean() <= 0.015
    assert (np.abs(covered - 0.95) < 0.03).all()


@pytest.mark.parametrize("related", [True, False])
def test_p_beyond_a_control_is_at_most_nominal_where_the_control_is_all_there_is(related):
    """A space that is the control with noise, and one that is nothing; 300 worlds of 60 stimuli in 10 runs."""
    p = []
    for k in range(300):
        rng = np.random.default_rng([5, k])
        patterns, (_, _, truth) = world(rng, 60, 10)
        space = truth.factors * related + rng.normal(size=truth.factors.shape)
        models = [ModelGeometry("space", "dot", space), ModelGeometry("control", "dot", truth.factors)]
        sums = pearson_sums(patterns, SPHERE, models, per_stimulus=True)
        p.append(score_p(jackknife(sums, controls={"space": ["control"]}))[0, 0])
    p = np.array(p)
    assert (p <= 0.05).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert (p <= 0.05).mean() >= (0.01 if related else 0)  # conservative where no stimulus has an influence
    assert 0.4 < np.median(p) < 0.6


def test_p_beyond_a_control_finds_what_the_control_lacks_and_agrees_with_the_interval():
    patterns, models = world(np.random.default_rng(6), 200, 20)
    sums = pearson_sums(patterns, SPHERE, models, per_stimulus=True)
    scores = jackknife(sums, controls={"t": ["a"]})
    p = score_p(scores)
    assert p[0, 2] < 1e-4
    for level in (0.5, 0.9, 0.999):
        np.testing.assert_array_equal(score_intervals(scores, level=level)[0] > 0, p < (1 - level) / 2)


def test_a_space_that_is_nearer_is_found():
    rng = np.random.default_rng(3)
    patterns, models = world(rng, 200, 20)
    found = score_differences(
        jackknife(pearson_sums(patterns, SPHERE, models, per_stimulus=True)), [("t", "a"), ("a", "t")]
    )
    assert found.p.max() < 1e-4 and found.low[0, 0] > 0 and found.high[0, 1] < 0
    np.testing.assert_allclose(found.difference[:, 0], -found.difference[:, 1])
    np.testing.assert_allclose(found.q, found.p)  # of one centre


def test_a_space_and_its_copy_do_not_differ():
    patterns, models = world(np.random.default_rng(4), 40, 5)
    copy = ModelGeometry("copy", "dot", models[0].factors * 3)
    scores = jackknife(pearson_sums(patterns, SPHERE, [models[0], copy], per_stimulus=True))
    found = score_differences(scores, [("a", "copy")])
    assert (abs(found.difference[0, 0]) < 1e-7, found.p[0, 0]) == (True, 1.0)
    given = jackknife(pearson_sums(patterns, SPHERE, [models[0], copy], per_stimulus=True), controls={"a": ["copy"]})
    assert np.isnan(given.scores[0, 0])


def test_what_cannot_be_jackknifed_is_refused():
    patterns, models = world(np.random.default_rng(5), 40, 5)
    with pytest.raises(InputError, match="per_stimulus=True"):
        jackknife(pearson_sums(patterns, SPHERE, models))
    sums = pearson_sums(patterns, SPHERE, models, per_stimulus=True)
    with pytest.raises(InputError, match="no model 'z'"):
        jackknife(sums, controls={"a": ["z"]})
    with pytest.raises(InputError, match="cannot be its own control"):
        jackknife(sums, controls={"a": ["a"]})
    with pytest.raises(InputError, match="no model 'z' to compare"):
        score_differences(jackknife(sums), [("a", "z")])
    with pytest.raises(InputError, match="compared with itself"):
        score_differences(jackknife(sums), [("a", "a")])
    with pytest.raises(InputError, match="one unit has no spread"):
        jackknife_covariance(np.ones((2, 5)), np.zeros(5, np.intp))


def test_undefined_scores_stay_undefined_and_count_for_nothing():
    scores = np.array([[0.3, 0.1], [np.nan, np.nan], [0.2, 0.2]])
    covariances = np.tile(0.01 * np.eye(2), (3, 1, 1))
    covariances[1] = np.nan
    found = score_differences(JackknifedScores(("a", "b"), scores, covariances, 50), [("a", "b")])
    assert np.isnan(found.p[1, 0]) and np.isnan(found.q[1, 0])
    assert found.q[0, 0] == pytest.approx(2 * found.p[0, 0])
    low, high = score_intervals(JackknifedScores(("a", "b"), scores, covariances, 50))
    assert np.isnan(low[1]).all() and (low[0] < scores[0]).all() and (high[0] > scores[0]).all()
