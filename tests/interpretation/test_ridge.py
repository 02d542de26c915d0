import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from affectome import InputError
from affectome._groups import assign_folds
from affectome.interpretation._ridge import ALPHAS, Band, FoldedRidge


@pytest.fixture(scope="module")
def data():
    """Skewed, sparse predictors of unlike scale, one that is constant within a training set, four targets."""
    rng = np.random.default_rng(0)
    x = rng.gamma(0.3, size=(90, 5)) * [1, 100, 0.01, 1, 1] + [0, 1000, 0, 0, 0]
    fold = assign_folds(np.arange(90), 5, rng)
    x[:, 4] = 0.0
    x[np.flatnonzero(fold == 2)[:4], 4] = 1.0
    y = np.column_stack([x[:, 0], x[:, 1] / 100, rng.normal(size=90), x[:, 2] * 100 + x[:, 4]])
    return x, y + rng.normal(size=y.shape) * [0.5, 1, 1, 1], fold


def bands(p, *weights):
    return [Band(np.arange(p), np.asarray(weight, float)) for weight in weights]


def twin(x, y, fold, weights):
    """Nested cross-validation with scikit-learn, every candidate refitted, the best chosen for each target."""
    predicted = np.empty_like(y)

    def fitted(rows, weight, alpha):
        scaler = StandardScaler().fit(x[rows])
        model = Ridge(alpha=alpha * rows.sum()).fit(scaler.transform(x[rows]) * weight, y[rows])
        return lambda held: model.predict(scaler.transform(x[held]) * weight)

    for f in range(5):
        errors = {}  # of each candidate, (n_targets,)
        for k, weight in enumerate(weights):
            for alpha in ALPHAS:
                errors[k, alpha] = sum(
                    ((y[fold == g] - fitted((fold != f) & (fold != g), weight, alpha)(fold == g)) ** 2).sum(axis=0)
                    for g in range(5)
                    if g != f
                )
        for t in range(y.shape[1]):
            k, alpha = min(errors, key=lambda candidate, t=t: errors[candidate][t])
            predicted[fold == f, t] = fitted(fold != f, weights[k], alpha)(fold == f)[:, t]
    return predicted


@pytest.mark.parametrize("weights", [[np.ones(5)], [[1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [0.5, 0.5, 0.8, 0.8, 0.8]]])
def test_held_out_predictions_equal_nested_cross_validation_with_scikit_learn(data, weights):
    x, y, fold = data
    weights = [np.asarray(weight, float) for weight in weights]
    ridge = FoldedRidge(x, fold, bands(5, *weights))
    got = ridge.predict(y, range(len(weights)))
    np.testing.assert_allclose(got, twin(x, y, fold, weights), rtol=1e-7, atol=1e-7)


def test_r2_from_sums_equals_r2_from_predictions(data):
    x, y, fold = data
    ridge = FoldedRidge(x, fold, bands(5, np.ones(5)))
    left = ((y - ridge.predict(y, [0])) ** 2).sum(axis=0)
    whole = ((y - ridge.baseline(y)) ** 2).sum(axis=0)
    np.testing.assert_allclose(ridge.r2(y[ridge.order]), 1 - left / whole, rtol=1e-8)


def test_baseline_is_the_mean_of_the_other_folds(data):
    x, y, fold = data
    baseline = FoldedRidge(x, fold, bands(5, np.ones(5))).baseline(y)
    for f in range(5):
        np.testing.assert_allclose(baseline[fold == f], np.tile(y[fold != f].mean(axis=0), ((fold == f).sum(), 1)))


def test_affine_changes_of_predictors_and_targets_change_nothing(data):
    x, y, fold = data
    one = FoldedRidge(x, fold, bands(5, np.ones(5))).predict(y, [0])
    other = FoldedRidge(x * [3, 0.1, 1e4, 7, 2] + 5, fold, bands(5, np.ones(5))).predict(y * 2 - 40, [0])
    np.testing.assert_allclose(other, one * 2 - 40, rtol=1e-7, atol=1e-6)


def test_nothing_of_a_held_out_stimulus_reaches_its_own_prediction(data):
    x, y, fold = data
    changed = y.copy()
    changed[fold == 1] = 1e3
    first, second = (FoldedRidge(x, fold, bands(5, np.ones(5))).predict(part, [0]) for part in (y, changed))
    np.testing.assert_allclose(first[fold == 1], second[fold == 1], rtol=1e-9)
    assert np.abs(first - second)[fold != 1].min() > 1


def test_bad_penalties_are_refused(data):
    x, _, fold = data
    with pytest.raises(InputError, match="not all above 0"):
        FoldedRidge(x, fold, bands(5, np.ones(5)), [1.0, 0.0])
