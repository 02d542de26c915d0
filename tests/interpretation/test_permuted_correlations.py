"""p over all permutations in closed form, against every permutation and many drawn ones."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from affectome import correlate_components
from affectome.interpretation._correlations import unit_columns
from affectome.interpretation._permuted_correlations import curve_chance, null_shape, permuted_p


def sparse(rng, n, m, share=0.3):
    return rng.gamma(0.5, size=(n, m)) * (rng.random((n, m)) < share)


@pytest.mark.parametrize("n", [4, 7])
def test_skewness_and_kurtosis_are_those_of_every_permutation(n):
    rng = np.random.default_rng(n)
    x, y = unit_columns(rng.gamma(0.5, size=(n, 2))), unit_columns(rng.normal(size=(n, 3)))
    every = np.array([x.T @ y[list(order)] for order in permutations(range(n))])
    skewness, kurtosis = null_shape(x, y)
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose((every**2).mean(axis=0), 1 / (n - 1), rtol=1e-9)
    np.testing.assert_allclose(skewness, stats.skew(every, axis=0), atol=1e-9)
    np.testing.assert_allclose(kurtosis, stats.kurtosis(every, axis=0), atol=1e-9)


def test_p_of_seven_stimuli_is_counted_and_of_eight_close_to_a_count():
    for n, tolerance in ((7, 1e-9), (8, 0.1)):
        rng = np.random.default_rng(3)
        x, y = unit_columns(rng.normal(size=(n, 3))), unit_columns(rng.normal(size=(n, 4)))
        every = np.abs([x.T @ y[list(order)] for order in permutations(range(n))])
        counted = (every >= np.abs(x.T @ y) - 1e-9).mean(axis=0)
        np.testing.assert_allclose(permuted_p(x.T @ y, x, y), counted, atol=tolerance)


@pytest.mark.parametrize(("n", "share"), [(60, 0.4), (400, 0.1), (400, 0.4)])
def test_far_tail_of_sparse_columns_is_that_of_drawn_permutations(n, share):
    """.01 and .001 of 200,000 within a quarter and a half; Student's p is far too small there."""
    rng = np.random.default_rng(1)
    x, y = unit_columns(sparse(rng, n, 1, share)), unit_columns(sparse(rng, n, 1, share))
    drawn = np.concatenate([rng.permuted(np.tile(y.T, (10_000, 1)), axis=1) @ x for _ in range(20)])
    for chance, tolerance in ((0.01, 0.25), (0.001, 0.5)):
        r = np.quantile(np.abs(drawn), 1 - chance)
        assert permuted_p(np.array([[r]]), x, y)[0, 0] == pytest.approx(chance, rel=tolerance)
    assert 2 * stats.t.sf(r * np.sqrt((n - 2) / (1 - r**2)), n - 2) < 0.0005


@pytest.mark.parametrize(
    ("skewness", "kurtosis", "reference"),
    [
        (0.0, 0.0, stats.norm()),
        (0.8, 1.5 * 0.64, stats.pearson3(0.8)),
        (-0.8, 1.5 * 0.64, stats.pearson3(-0.8)),
        (0.0, 6 / 5, stats.t(9, scale=np.sqrt(7 / 9))),
        (0.0, -6 / 5, stats.uniform(-np.sqrt(3), 2 * np.sqrt(3))),
        (None, None, stats.betaprime(3, 9)),
        (None, None, stats.invgamma(9)),
        (None, None, stats.beta(0.5, 4)),
    ],
)
def test_curve_is_the_known_distribution_with_its_skewness_and_kurtosis(skewness, kurtosis, reference):
    """Normal, gamma, t, beta, beta prime and inverse gamma variables are all Pearson curves."""
    mean, variance, skew, excess = (float(part) for part in reference.stats("mvsk"))
    skewness, kurtosis = (skew, excess) if skewness is None else (skewness, kurtosis)
    z = np.linspace(-2, 5, 29)
    expected = reference.sf(mean + np.sqrt(variance) * z)
    np.testing.assert_allclose(curve_chance(z, np.array(skewness), np.array(kurtosis)), expected, rtol=2e-4, atol=1e-5)
    mirrored = curve_chance(-z, np.array(-skewness), np.array(kurtosis))
    np.testing.assert_allclose(mirrored, 1 - expected, atol=3e-3)


def test_type_iv_has_the_moments_it_was_made_for():
    z = np.linspace(-40, 120, 40_001)
    mass, middle = -np.diff(curve_chance(z, np.array(1.0), np.array(2.5))), (z[1:] + z[:-1]) / 2
    got = [(mass * middle**power).sum() for power in range(5)]
    np.testing.assert_allclose(got, [1, 0, 1, 1, 5.5], atol=0.02)


@pytest.mark.parametrize("n", [8, 60, 2000])
def test_rating_of_one_stimulus_against_a_component_of_one_has_the_chance_that_it_is_the_same(n):
    once = unit_columns(np.eye(n)[:, :1])
    twice = unit_columns(np.eye(n)[:, :1] + np.eye(n)[:, 1:2])
    assert permuted_p(once.T @ once, once, once)[0, 0] == pytest.approx(1 / n, rel=1e-3)
    assert permuted_p(once.T @ twice, once, twice)[0, 0] == pytest.approx(2 / n, rel=1e-3)


def test_nothing_is_found_in_unrelated_sparse_columns_more_often_than_claimed():
    """Student's p finds something in two fifths of these tables."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        frames = [pd.DataFrame(sparse(rng, 120, m), [f"s{k}" for k in range(120)]) for m in (5, 8)]
        frames[1] = frames[1].add_prefix("r")
        found.append(float(correlate_components(frames[0], {"category": frames[1]}).q.min(axis=None)) <= 0.05)
    assert np.mean(found) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
