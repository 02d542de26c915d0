import numpy as np
import pytest

from affectome._resampling import bootstrap_weights, check_permutations, permutation_p
from affectome.errors import InputError


def test_weights_are_counts_of_draws_with_replacement():
    blocks = list(bootstrap_weights(20, 150, seed=3))
    assert [(rows.start, rows.stop) for rows, _ in blocks] == [(0, 64), (64, 128), (128, 150)]
    weights = np.concatenate([part for _, part in blocks])
    assert (weights.sum(axis=1) == 20).all() and (weights == weights.round()).all()
    assert weights.var(axis=0).mean() == pytest.approx(1 - 1 / 20, rel=0.1)  # binomial(20, 1/20)
    np.testing.assert_array_equal(weights, np.concatenate([part for _, part in bootstrap_weights(20, 150, seed=3)]))


def test_p_counts_ties_and_the_observed_order():
    null = np.array([[0.0], [1.0], [1.0 - 1e-13], [2.0]])
    assert permutation_p(np.array([1.0]), null)[0] == (3 + 1) / 5
    assert permutation_p(3.0, null[:, 0]) == 1 / 5


def test_two_sided_p_compares_sizes():
    assert permutation_p(-1.5, [-2.0, 1.0, 1.6], tail="two-sided") == 3 / 4


def test_undefined_statistics_never_help():
    assert permutation_p(1.0, [np.nan, 0.0]) == 2 / 3
    assert np.isnan(permutation_p(np.nan, [1.0, 0.0]))


def test_p_is_valid_under_the_null():
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 6, size=(20_000, 100)).astype(float)  # ties are common
    p = np.array([permutation_p(row[0], row[1:]) for row in draws])
    for a in (0.01, 0.05, 0.10):
        assert (p <= a).mean() <= a + 3 * np.sqrt(a * (1 - a) / len(p))


def test_no_permutations_are_refused():
    with pytest.raises(InputError, match="no null without permutations"):
        check_permutations(0)
