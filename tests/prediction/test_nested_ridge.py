"""What a training stimulus does to the placements of others is what leaving it out undoes."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from affectome._fold_sums import Splits
from affectome.prediction._ridge import Draws, NestedRidge, band_weightings, check_alphas


@pytest.mark.parametrize("p", [6, 60])
def test_influence_of_a_training_stimulus_is_what_a_fit_without_it_lacks(p):
    rng = np.random.default_rng(0)
    n = 40
    x, y = rng.normal(size=(n, p)) * rng.uniform(1, 5, p), rng.normal(size=(n, 2))
    fold = np.arange(n) % 4
    bands = band_weightings({"a": range(4), "b": range(4, p)}, range(p))
    ridge = NestedRidge(x, Splits.leave_folds_out(fold), bands, check_alphas([0.1, 1.0]), -np.inf)
    choice = np.tile([1, 2], (4, 1))  # both bands at alpha 0.1, the first band alone at alpha 1
    weights = rng.normal(size=(10, 2))
    rows, (found,) = ridge.influence(1, y, choice, [weights])
    assert np.array_equal(rows, np.flatnonzero(fold != 1))
    mean, spread = x[rows].mean(axis=0), x[rows].std(axis=0)
    for target, (band, alpha) in enumerate([(0, 0.1), (1, 1.0)]):
        z = (x - mean) / spread * bands[band]

        def slopes(kept, z=z, alpha=alpha, target=target):
            return Ridge(alpha * p).fit(z[kept], y[kept, target]).coef_

        whole, held = slopes(rows), z[fold == 1]
        for j in (0, 7, 29):
            without = slopes(np.delete(rows, j))
            assert found[j, target] == pytest.approx(weights[:, target] @ held @ (whole - without), abs=1e-9)


def test_draws_that_leave_the_order_alone_score_as_the_data():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3)) + 1
    ridge = NestedRidge(x, Splits.leave_folds_out(np.arange(60) % 5), np.ones((1, 5)), check_alphas([1, 10]), 0.0)
    orders = np.array([np.arange(60), rng.permutation(60), np.arange(60)])
    score = ridge.r2(Draws(y, orders))
    assert np.array_equal(score[0], score[2]) and (score[0] != score[1]).all()
    moved = NestedRidge(x, ridge.splits, np.ones((1, 5)), ridge.alphas, 0.0).r2(Draws.as_observed(y[orders[1]]))
    np.testing.assert_allclose(moved[0], score[1], atol=1e-12)
