"""SpacePredictor is a scikit-learn regressor, finds what plain loops find, and says which new stimuli are unlike."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from affectome import SpacePredictor
from affectome.errors import InputError
from affectome.prediction import join_features

GRID = np.logspace(-2, 2, 5)


@parametrize_with_checks([SpacePredictor(cv=3)])
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


def world(n=120, p=6, n_components=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.gamma(0.5, size=(n, p)) * rng.uniform(0.1, 10, p) + 3
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    y = z @ rng.normal(size=(p, n_components)) * np.linspace(0.1, 1, n_components) + rng.normal(size=(n, n_components))
    ids = [f"v{k:03d}" for k in range(n)]
    names = [f"c{k}" for k in range(n_components)]
    return pd.DataFrame(x, ids, [f"f{k}" for k in range(p)]), pd.DataFrame(y, ids, names)


@pytest.mark.parametrize("p", [6, 200])  # fewer and more features than stimuli
def test_alpha_and_coefficients_of_each_component_are_those_of_plain_loops(p):
    features, space = world(p=p)
    x, y = features.to_numpy(), space.to_numpy()
    splits = list(KFold(4).split(x))
    predictor = SpacePredictor(GRID, cv=splits).fit(features, space)
    errors = np.zeros((len(GRID), 5))
    for train, held in splits:
        for k, alpha in enumerate(GRID):
            model = make_pipeline(StandardScaler(), Ridge(alpha * p)).fit(x[train], y[train])
            errors[k] += ((y[held] - model.predict(x[held])) ** 2).sum(axis=0)
    alpha = GRID[errors.argmin(axis=0)]
    np.testing.assert_allclose(predictor.alpha_, alpha)
    model = make_pipeline(StandardScaler(), Ridge(alpha * p)).fit(x, y)
    np.testing.assert_allclose(predictor.predict(features), model.predict(x), atol=1e-8)
    np.testing.assert_allclose(predictor.coef_, model[1].coef_ / model[0].scale_, atol=1e-8)


def test_negative_placements_are_raised_to_zero_where_the_space_has_none():
    features, space = world()
    positive = space.clip(lower=0)
    free, clipped = SpacePredictor(clip=False).fit(features, positive), SpacePredictor().fit(features, positive)
    assert clipped.clip_ and not free.clip_ and not SpacePredictor().fit(features, space).clip_
    assert free.predict(features).min() < 0 == clipped.predict(features).min()
    same = free.alpha_ == clipped.alpha_  # errors are those of what is predicted, so alpha may differ
    assert same.any()
    np.testing.assert_allclose(
        clipped.predict(features)[:, same], np.maximum(free.predict(features), 0)[:, same], atol=1e-12
    )


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-4, 4), min_size=6, max_size=6),
    st.floats(-100, 100),
    st.permutations(range(6)),
    st.floats(-3, 3),
)
def test_scale_and_order_of_features_and_scale_of_the_space_change_nothing(powers, shift, order, size):
    features, space = world(n=60)
    before = SpacePredictor(GRID).fit(features, space).place(features)
    turned = (features * 10.0 ** np.array(powers) + shift).iloc[:, order]
    after = SpacePredictor(GRID).fit(turned, space * 10**size).predict(turned) / 10**size
    np.testing.assert_allclose(after, before.space, atol=1e-4)


def test_copies_in_one_group_stay_on_one_side_of_every_fold():
    features, space = world(n=60, p=100)
    noise = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 5)), space.index, space.columns)
    twice, answer = (pd.concat([part, part.add_suffix("+", axis=0)]) for part in (features, noise))
    group = {name: name.rstrip("+") for name in twice.index}
    leaked = SpacePredictor(GRID).fit(twice, answer)
    kept = SpacePredictor(GRID).fit(twice, answer, groups=group)
    assert leaked.alpha_.max() <= GRID[1]  # remembers the copy
    assert np.median(kept.alpha_) == GRID[-1]  # knows that there is nothing
    labels = [group[name] for name in twice.index]
    assert np.array_equal(SpacePredictor(GRID).fit(twice, answer, groups=labels).alpha_, kept.alpha_)


def test_one_component_gives_vectors_and_the_same_numbers():
    features, space = world()
    one, all_ = SpacePredictor().fit(features, space["c3"]), SpacePredictor().fit(features, space)
    assert one.coef_.shape == (6,) and one.predict(features).shape == (120,)
    np.testing.assert_allclose(one.predict(features), all_.predict(features)[:, 3], rtol=1e-10)


def test_cross_validation_and_grid_search_take_it():
    features, space = world()
    scores = cross_val_score(SpacePredictor(), features, space, cv=KFold(4))
    assert scores.shape == (4,) and scores.mean() > 0.2
    search = GridSearchCV(SpacePredictor(), {"alphas": [[0.01], [1e5]]}, error_score="raise").fit(features, space)
    assert search.best_params_["alphas"] == [0.01]


def test_pickled_and_cloned_predictor_predicts_the_same():
    features, space = world()
    predictor = SpacePredictor().fit(features, space)
    assert np.array_equal(pickle.loads(pickle.dumps(predictor)).predict(features), predictor.predict(features))
    copy = clone(predictor)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert np.array_equal(copy.fit(features, space).coef_, predictor.coef_)
    with pytest.raises(NotFittedError):
        clone(predictor).place(features)


def test_a_band_of_noise_is_left_alone_by_components_that_do_not_need_it():
    rng = np.random.default_rng(0)
    ids = [f"v{k}" for k in range(150)]
    told, noise = pd.DataFrame(rng.normal(size=(150, 4)), ids), pd.DataFrame(rng.normal(size=(150, 300)), ids)
    space = pd.DataFrame(told.to_numpy() @ rng.normal(size=(4, 6)) + rng.normal(size=(150, 6)), ids)
    joined, bands = join_features({"told": told, "noise": noise})
    names = [f"c{k}" for k in range(6)]
    banded = SpacePredictor(bands=bands).fit(joined[:100], space[:100].set_axis(names, axis=1))
    plain = SpacePredictor().fit(joined[:100], space[:100].set_axis(names, axis=1))
    assert (banded.weighting_ == 1).mean() >= 0.8
    assert (banded.coef_[banded.weighting_ == 1][:, 4:] == 0).all()
    assert banded.score(joined[100:], space[100:]) > plain.score(joined[100:], space[100:]) + 0.2
    alone = SpacePredictor().fit(joined[:100][bands["told"]], space[:100])
    own = banded.weighting_ == 1
    np.testing.assert_allclose(
        banded.predict(joined)[:, own], alone.predict(joined[bands["told"]])[:, own], atol=1e-8
    )  # alpha means the same


def test_leverage_is_that_of_the_normal_equations_and_of_leaving_a_stimulus_out():
    features, space = world(p=30, n=60)
    predictor = SpacePredictor([1.0]).fit(features, space)
    new = features[:5] * 1.5
    z, z_new = ((part - features.mean()) / features.std(ddof=0) for part in (features, new))
    square = z.T @ z + 30 * np.eye(30)
    expected = [row @ np.linalg.solve(square, row) for row in z_new.to_numpy()]
    placed = predictor.place(new)
    np.testing.assert_allclose(placed.extrapolation["leverage"], expected, rtol=1e-6)  # float32
    row = z.to_numpy()[7]
    without = np.linalg.solve(square - np.outer(row, row), row)
    assert predictor.leverages_[7] == pytest.approx(row @ without, rel=1e-8)
    wide, answer = world(p=90, n=60)
    z = (wide - wide.mean()) / wide.std(ddof=0)
    z_new = ((wide[:3] * 1.5 - wide.mean()) / wide.std(ddof=0)).to_numpy()
    expected = [row @ np.linalg.solve(z.T @ z + 90 * np.eye(90), row) for row in z_new]
    found = SpacePredictor([1.0]).fit(wide, answer).place(wide[:3] * 1.5).extrapolation["leverage"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_in_a_hundred_of_like_stimuli_is_called_far_and_all_unlike_ones():
    rng = np.random.default_rng(0)

    def drawn(n, shift=0.0):
        table = pd.DataFrame(rng.normal(size=(n, 40)) + shift, [f"{shift}-{k}" for k in range(n)])
        return table.rename(columns="f{}".format)

    features = drawn(400)
    space = pd.DataFrame({"c": features["f0"] + rng.normal(size=400)})
    predictor = SpacePredictor().fit(features, space)
    like, unlike = predictor.place(drawn(3000)).extrapolation, predictor.place(drawn(200, 2.5)).extrapolation
    assert like["far"].mean() == pytest.approx(0.01, abs=0.01)
    assert like["share_as_far"].mean() == pytest.approx(0.5, abs=0.06)
    assert unlike["far"].all() and unlike["n_outside"].min() > 2 and unlike["relative"].min() > 2


def test_missing_columns_are_named_and_surplus_ones_left_out(caplog):
    features, space = world()
    predictor = SpacePredictor().fit(features, space)
    placed = predictor.place(features[:4].assign(extra=1.0)[["f3", "extra", "f0", "f5", "f1", "f2", "f4"]])
    assert "1 columns that the predictor was not learned from are left out: extra." in caplog.text
    np.testing.assert_allclose(placed.space, predictor.predict(features[:4]), atol=1e-5)
    assert placed.space.columns.tolist() == space.columns.tolist()
    with pytest.raises(InputError, match=r"2 of the 6 features .* are missing \(f1, f4\)"):
        predictor.place(features.drop(columns=["f1", "f4"]))
    with pytest.raises(InputError, match=r"row 2 \(id v001\).*column 'f2' is missing"):
        predictor.place(features.assign(f2=np.r_[1.0, np.nan, np.ones(118)]))
    with pytest.raises(InputError, match="features without names"):
        SpacePredictor().fit(features.to_numpy(), space).place(features)


def test_grid_that_ends_too_early_and_constant_features_are_told(caplog):
    features, space = world()
    SpacePredictor([1e-6]).fit(features, space)
    SpacePredictor([1e-6, 100.0]).fit(features, space)  # low enough to shrink nothing
    assert "smallest alpha" not in caplog.text
    SpacePredictor([10.0, 100.0]).fit(features.assign(f1=2.0), space)
    assert "The smallest alpha (10) was chosen for" in caplog.text
    assert "1 features are constant and get no weight: f1." in caplog.text
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=space.shape), space.index, space.columns)
    SpacePredictor().fit(features, noise)
    assert "The largest alpha (10000) was chosen for" in caplog.text
    with pytest.raises(InputError, match="every feature is constant"):
        SpacePredictor().fit(features * 0 + 1, space)


def test_bad_settings_are_named():
    features, space = world()
    with pytest.raises(InputError, match="above 0"):
        SpacePredictor([0.0]).fit(features, space)
    with pytest.raises(InputError, match="clip='maybe'"):
        SpacePredictor(clip="maybe").fit(features, space)
    with pytest.raises(InputError, match=r"do not part the features \(f5\)"):
        SpacePredictor(bands={"a": ["f0", "f1", "f2"], "b": ["f3", "f4"]}).fit(features, space)
    with pytest.raises(InputError, match="cannot fill 200 folds"):
        SpacePredictor(cv=200).fit(features, space)
    with pytest.raises(InputError, match="3 groups are given for 120 stimuli"):
        SpacePredictor().fit(features, space, groups=["a", "b", "c"])
    with pytest.raises(InputError, match="row 1 is 'v000' in the features and 'v119' in the space"):
        SpacePredictor().fit(features, space[::-1])
    with pytest.raises(ValueError, match="NaN"):
        SpacePredictor().fit(features, space.mask(space > 2))
