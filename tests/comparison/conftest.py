"""Small worlds in which the relation of spaces is known."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_blas_thread():
    """Products of small worlds wait for one another longer than they work."""
    with threadpool_limits(1, user_api="blas"):
        yield


def _draw(rng, n, kind):
    if kind == "gaussian":
        return rng.normal(size=(n, 6))
    return rng.gamma(0.5, size=(n, 6)) * (rng.random((n, 6)) < 0.4)  # sparse, non-negative, skewed: like a SPoSE space


@pytest.fixture(scope="session")
def related():
    """Makes three spaces that share a source; a and c have the same relation to b, in any population of stimuli."""

    def make(rng, n, kind, *, names="abc"):
        source = _draw(rng, n, kind) * np.array([1.6, 1.3, 1, 1, 0.7, 0.5])
        noisy = [source + 0.7 * _draw(rng, n, kind) + 0.01 for _ in "abc"]
        spaces = {"a": noisy[0], "b": noisy[1][:, :5], "c": noisy[2]}
        return {name: pd.DataFrame(spaces[name]) for name in names}

    return make


@pytest.fixture(scope="session")
def unrelated():
    """Makes three spaces that share nothing, of different make."""

    def make(rng, n):
        a, b, c = (
            _draw(rng, n, "sparse") + 0.01,
            _draw(rng, n, "gaussian")[:, :3],
            _draw(rng, n, "sparse")[:, :4] + 0.01,
        )
        return {"a": pd.DataFrame(a), "b": pd.DataFrame(b), "c": pd.DataFrame(c)}

    return make


@pytest.fixture(scope="session")
def assert_valid():
    """Asserts that p-values (n_worlds, n_tests) are as rare as they say."""

    def check(p):
        for a in (0.01, 0.05, 0.10):
            bound = a + 3 * np.sqrt(a * (1 - a) / p.size)
            assert (p <= a).mean() <= bound, f"{(p <= a).mean():.3f} of p are at most {a}"
        assert (p <= 0.5).mean() > 0.4  # and not always 1

    return check


@pytest.fixture(scope="session")
def assert_covers():
    """Asserts that intervals (n_worlds, n_tests, [low, high]) hold the truth (n_tests,) at .95, 3 s.e. either way."""

    def check(intervals, truth, *, at_least=0.95, at_most=0.95):
        covered = ((intervals[..., 0] <= truth) & (truth <= intervals[..., 1])).mean(axis=0)
        error = 3 * np.sqrt(0.95 * 0.05 / len(intervals))
        assert (covered >= at_least - error).all() and (covered <= at_most + error).all(), covered.round(3).tolist()

    return check
