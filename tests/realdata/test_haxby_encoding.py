"""The category design on real fMRI: 8 categories, 12 runs, 530 voxels of one slice through ventral temporal cortex."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from affectome.neural import encode, standardise_runs

from .haxby import haxby_recording

GRID = np.logspace(-1, 4, 20)


@pytest.fixture(scope="module")
def haxby(data):
    return standardise_runs(haxby_recording(data))


@pytest.fixture(scope="module")
def categories(haxby):
    names = sorted(haxby.trials["stimulus"].unique())
    return pd.DataFrame(np.eye(len(names)), index=names, columns=names)


def by_scikit_learn(recording, categories, fold, alphas):
    """Alpha (n_folds, V) and r of nested ridge in plain loops."""
    x = categories.loc[recording.trials["stimulus"]].to_numpy()
    y = recording.responses.astype(np.float64)
    chosen, predicted = [], np.empty_like(y)
    for f in np.unique(fold):
        errors = np.zeros((len(alphas), y.shape[1]))
        for g in np.unique(fold[fold != f]):
            train, held = (fold != f) & (fold != g), fold == g
            scaler = StandardScaler().fit(x[train])
            for k, alpha in enumerate(alphas):
                model = Ridge(alpha, solver="svd").fit(scaler.transform(x[train]), y[train])
                errors[k] += ((y[held] - model.predict(scaler.transform(x[held]))) ** 2).sum(axis=0)
        chosen.append(np.asarray(alphas)[errors.argmin(axis=0)])
        scaler = StandardScaler().fit(x[fold != f])
        model = Ridge(chosen[-1], solver="svd").fit(scaler.transform(x[fold != f]), y[fold != f])
        predicted[fold == f] = model.predict(scaler.transform(x[fold == f]))
    a, b = y - y.mean(axis=0), predicted - predicted.mean(axis=0)
    return np.array(chosen), (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
@pytest.mark.parametrize("n_folds", [6, 12])
def test_r_at_a_fixed_alpha_is_that_of_scikit_learn(haxby, categories, n_folds, solver):
    found = encode(
        categories,
        haxby,
        name="categories",
        n_folds=n_folds,
        alphas=[30.0],
        shared_stimuli="allow",
        precision="float64",
        solver=solver,
    )
    _, r = by_scikit_learn(haxby, categories, found.fold, [30.0])
    np.testing.assert_allclose(found.r, r, atol=1e-5)


def test_alphas_of_nested_folds_are_those_of_scikit_learn(haxby, categories):
    found = encode(categories, haxby, name="categories", alphas=GRID, shared_stimuli="allow", precision="float64")
    alpha, r = by_scikit_learn(haxby, categories, found.fold, GRID)
    same = np.isclose(found.alpha, alpha)
    assert same.mean() >= 0.99
    np.testing.assert_allclose(found.r[same.all(axis=0)], r[same.all(axis=0)], atol=1e-5)
    quick = encode(categories, haxby, name="categories", alphas=GRID, shared_stimuli="allow")
    assert np.isclose(quick.alpha, alpha).mean() >= 0.99


def test_well_predicted_voxels_lie_together_and_are_the_same_in_both_halves(haxby, categories):
    kw = {"name": "categories", "alphas": GRID, "shared_stimuli": "allow"}
    found = encode(categories, haxby, n_folds=12, **kw)
    assert found.r.max() > 0.85
    assert 0.05 < (found.r > 0.5).mean() < 0.2
    assert abs(np.median(found.r)) < 0.1  # most of the slice knows nothing of the categories
    volume = haxby.geometry.volume(found.r)[:, :, 0]
    beside = np.isfinite(volume[:-1]) & np.isfinite(volume[1:])
    assert np.corrcoef(volume[:-1][beside], volume[1:][beside])[0, 1] > 0.4
    run = haxby.trials["run"].to_numpy()
    halves = [encode(categories, haxby.select_trials(part), n_folds=6, **kw).r for part in (run <= 6, run > 6)]
    assert np.corrcoef(halves[0], halves[1])[0, 1] > 0.4
