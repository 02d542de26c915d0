"""VoxelwiseEncoder is a scikit-learn regressor, and finds what scikit-learn finds."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from affectome.errors import InputError
from affectome.neural import Recording, VoxelwiseEncoder, encode

GRID = np.logspace(-1, 3, 7)

ESTIMATORS = [
    VoxelwiseEncoder(),
    VoxelwiseEncoder(solver="himalaya", precision="float64", cv=3),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


@pytest.fixture
def xy():
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, size=(150, 6)) * [1, 10, 0.1, 5, 1, 1] + 3
    y = x @ rng.normal(size=(6, 20)) / 3 * rng.uniform(0, 1, 20) + rng.normal(size=(150, 20)) + 40
    return x, y


@pytest.mark.parametrize("solver", ["moments", "himalaya"])
def test_alpha_of_each_voxel_and_coefficients_are_those_of_plain_loops(xy, solver):
    x, y = xy
    encoder = VoxelwiseEncoder(GRID, cv=4, precision="float64", solver=solver).fit(x, y)
    errors = np.zeros((len(GRID), 20))
    for train, held in KFold(4).split(x):
        for k, alpha in enumerate(GRID):
            model = make_pipeline(StandardScaler(), Ridge(alpha)).fit(x[train], y[train])
            errors[k] += ((y[held] - model.predict(x[held])) ** 2).sum(axis=0)
    alpha = GRID[errors.argmin(axis=0)]
    np.testing.assert_allclose(encoder.alpha_, alpha)
    scaler = StandardScaler().fit(x)
    model = Ridge(alpha).fit(scaler.transform(x), y)
    np.testing.assert_allclose(encoder.coef_, model.coef_ / scaler.scale_, atol=1e-9)
    np.testing.assert_allclose(encoder.predict(x), model.predict(scaler.transform(x)), atol=1e-9)
    assert encoder.edge_shares_ == ((alpha == GRID[0]).mean(), (alpha == GRID[-1]).mean())


def test_score_is_the_mean_r2_over_voxels(xy):
    x, y = xy
    encoder = VoxelwiseEncoder(GRID).fit(x, y)
    left, whole = ((y - encoder.predict(x)) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert encoder.score(x, y) == pytest.approx((1 - left / whole).mean(), abs=1e-5)
    assert (encoder.cv_scores_ < 1 - left / whole).all()


def test_groups_keep_runs_whole(xy):
    x, y = xy
    runs = np.arange(150) // 10
    by_number = VoxelwiseEncoder(GRID, cv=5).fit(x, y, groups=runs)
    by_splits = VoxelwiseEncoder(GRID, cv=list(GroupKFold(5).split(x, groups=runs))).fit(x, y)
    assert np.array_equal(by_number.alpha_, by_splits.alpha_)
    assert np.array_equal(by_number.cv_scores_, by_splits.cv_scores_)


def test_cross_validation_and_grid_search_take_it(xy):
    x, y = xy
    scores = cross_val_score(VoxelwiseEncoder(GRID), x, y, cv=GroupKFold(5), groups=np.arange(150) // 10)
    assert scores.shape == (5,) and scores.mean() > 0.1
    search = GridSearchCV(VoxelwiseEncoder(), {"alphas": [[0.1], [30.0], [1e6]]}, error_score="raise").fit(x, y)
    assert search.best_params_["alphas"] != [1e6]


def test_outer_loop_by_hand_is_what_encode_does(xy):
    x, y = xy
    ids = [f"s{k:03d}" for k in range(150)]
    space = pd.DataFrame(x, index=ids).astype(np.float32)
    recording = Recording(
        "s", y.astype(np.float32), pd.DataFrame({"stimulus": ids, "run": np.arange(150) // 25, "session": 1})
    )
    found = encode(space, recording, name="x", alphas=GRID, precision="float64")
    for f in range(6):
        train = found.fold != f
        inner = [
            (np.flatnonzero(found.fold[train] != g), np.flatnonzero(found.fold[train] == g)) for g in range(6) if g != f
        ]
        encoder = VoxelwiseEncoder(GRID, cv=inner, precision="float64")
        encoder.fit(space.to_numpy()[train], recording.responses[train])
        np.testing.assert_allclose(found.alpha[f], encoder.alpha_, rtol=1e-6)
        np.testing.assert_allclose(found.models[f].coefficients.T, encoder.coef_, rtol=1e-4, atol=1e-6)


def test_bands_name_columns_of_a_frame_or_places_of_an_array(xy):
    x, y = xy
    frame = pd.DataFrame(x, columns=list("abcdef"))
    kw = {"weightings": 6, "random_state": 0}
    named = VoxelwiseEncoder(GRID, bands={"one": ["a", "c"], "two": ["b", "d", "e", "f"]}, **kw).fit(frame, y)
    placed = VoxelwiseEncoder(GRID, bands={"one": [0, 2], "two": [1, 3, 4, 5]}, **kw).fit(x, y)
    assert np.array_equal(named.coef_, placed.coef_)
    assert named.band_weights_.shape == (2, 20)
    np.testing.assert_allclose(named.band_weights_.mean(axis=0), 1)
    assert named.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(InputError, match="drawn without a seed"):
        VoxelwiseEncoder(bands={"one": [0, 2], "two": [1, 3, 4, 5]}).fit(x, y)


def test_one_voxel_gives_vectors_and_the_same_numbers(xy):
    x, y = xy
    one, all_ = VoxelwiseEncoder(GRID).fit(x, y[:, 3]), VoxelwiseEncoder(GRID).fit(x, y)
    assert one.coef_.shape == (6,) and one.predict(x).shape == (150,)
    assert one.alpha_ == all_.alpha_[3]
    np.testing.assert_allclose(one.coef_, all_.coef_[3], rtol=1e-5)


def test_pickled_and_cloned_encoder_predicts_the_same(xy):
    x, y = xy
    encoder = VoxelwiseEncoder(GRID).fit(x, y)
    back = pickle.loads(pickle.dumps(encoder))
    assert np.array_equal(back.predict(x), encoder.predict(x))
    copy = clone(encoder)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert np.array_equal(copy.fit(x, y).coef_, encoder.coef_)
    with pytest.raises(NotFittedError):
        clone(encoder).predict(x)


def test_bad_input_is_named(xy):
    x, y = xy
    with pytest.raises(ValueError, match="NaN"):
        VoxelwiseEncoder().fit(np.where(x > 4, np.nan, x), y)
    with pytest.raises(ValueError, match="NaN"):
        VoxelwiseEncoder().fit(x, np.where(y > 41, np.nan, y))
    with pytest.raises(InputError, match="above 0"):
        VoxelwiseEncoder([0.0]).fit(x, y)
    with pytest.raises(InputError, match="memory_gb=-1"):
        VoxelwiseEncoder(memory_gb=-1).fit(x, y)
