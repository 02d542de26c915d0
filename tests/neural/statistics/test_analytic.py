import numpy as np
import pytest
from scipy import stats

from affectome.errors import InputError
from affectome.neural import correlation_p, effective_trials


def autoregressive(rng, n, columns, phi):
    values = rng.normal(size=(n, columns))
    for t in range(1, n):
        values[t] = phi * values[t - 1] + np.sqrt(1 - phi**2) * values[t]
    return values


def test_p_is_that_of_scipy_for_independent_trials():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40))
    expected = stats.pearsonr(x, y, alternative="greater")
    assert correlation_p(expected.statistic, 40) == pytest.approx(expected.pvalue)
    assert np.isnan(correlation_p(0.5, 2)) and correlation_p(1.0, 10) == 0


def test_the_spread_of_r_is_that_of_so_many_independent_trials():
    """AR(1) with .5 and .8: n (1 - .4) / (1 + .4), by the sum of the series."""
    rng = np.random.default_rng(1)
    n, runs = 400, np.zeros(400)
    x, y = autoregressive(rng, n, 3000, 0.5), autoregressive(rng, n, 3000, 0.8)
    effective = effective_trials(x, y, runs)
    assert np.median(effective) == pytest.approx(n * 0.6 / 1.4, rel=0.06)
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)])
    assert 1 / r.var() == pytest.approx(n * 0.6 / 1.4, rel=0.06)
    p = correlation_p(r, effective)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert (correlation_p(r, n) < 0.05).mean() > 0.1  # and not without the correction


def test_lags_equal_a_loop_over_pairs_within_runs_in_any_order_of_runs():
    rng = np.random.default_rng(2)
    runs = np.array([2] * 7 + [1] * 5 + [2] * 4)
    x, y = rng.normal(size=(2, 16, 3)).cumsum(axis=1)
    rows = [np.flatnonzero(runs == r) for r in (1, 2)]
    centred = [np.array(v) for v in (x, y)]
    for v in centred:
        for own in rows:
            v[own] -= v[own].mean(axis=0)
    total = 0
    for lag in range(1, 4):
        pairs = [(own[k], own[k + lag]) for own in rows for k in range(len(own) - lag)]
        a, b = (np.mean([v[i] * v[j] for i, j in pairs], axis=0) / (v**2).mean(axis=0) for v in centred)
        total = total + len(pairs) / 16 * a * b
    expected = 16 / np.maximum(1 + 2 * total, 1)
    assert effective_trials(x, y, runs, max_lag=3) == pytest.approx(expected)


def test_never_more_trials_than_there_are_and_none_of_a_constant_column():
    rng = np.random.default_rng(3)
    alternating = np.tile([[1.0], [-1.0]], (50, 1)) + 0.1 * rng.normal(size=(100, 1))
    slow = autoregressive(rng, 100, 1, 0.9)
    assert effective_trials(alternating, slow, np.zeros(100))[0] == 100
    assert np.isnan(effective_trials(np.ones((100, 1)), slow, np.zeros(100))[0])


def test_columns_that_cannot_be_paired_are_refused():
    with pytest.raises(InputError, match="cannot be paired"):
        effective_trials(np.zeros((4, 2)), np.zeros((4, 3)), np.zeros(4))
