"""What scikit-learn asks of an estimator, for every estimator of this room."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils import estimator_checks

from affectome import VICE, SPoSE

ESTIMATORS = [
    pytest.param(SPoSE(n_components=3, random_state=0), id="SPoSE"),
    pytest.param(SPoSE(n_components=3, slot_offsets=(0.1, 0.0, -0.1), random_state=0), id="SPoSE with slot offsets"),
    pytest.param(VICE(n_components=3, n_epochs=24, random_state=0), id="VICE"),
]
pytestmark = pytest.mark.parametrize("estimator", ESTIMATORS)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_repr,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learn_check_passes(estimator, check):
    check(type(estimator).__name__, clone(estimator))


def test_init_keeps_every_parameter_untouched(estimator):
    given = {name: object() for name in inspect.signature(type(estimator)).parameters}
    kept = type(estimator)(**given).get_params(deep=False)
    assert given.keys() == kept.keys()
    assert all(kept[name] is given[name] for name in given)


def test_fit_changes_no_parameter_and_no_input(estimator, trials):
    model = clone(estimator)
    before, triplets, choice = model.get_params(), trials.triplets.copy(), trials.choice.copy()
    assert model.fit(trials) is model
    assert model.get_params() == before
    assert np.array_equal(trials.triplets, triplets)
    assert np.array_equal(trials.choice, choice)


def test_clone_of_a_fit_is_unfitted_and_refits_to_the_same_bits(estimator, trials):
    model = clone(estimator).fit(trials)
    copy = clone(model)
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert np.array_equal(copy.fit(trials).embedding_, model.embedding_)


def test_pickled_fit_predicts_the_same(estimator, trials):
    model = clone(estimator).fit(trials)
    back = pickle.loads(pickle.dumps(model))
    assert np.array_equal(back.predict(trials), model.predict(trials))
    assert np.array_equal(back.predict_proba(trials), model.predict_proba(trials))


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score", "to_space"])
def test_unfitted_estimator_says_so(estimator, method, trials):
    with pytest.raises(NotFittedError):
        getattr(clone(estimator), method)(trials if method != "to_space" else trials.ids)


def test_score_is_the_share_of_predicted_choices(estimator, trials):
    model = clone(estimator).fit(trials)
    # Exact ties, between stimuli without weight, are shared by the score; `predict` must take a side.
    assert model.score(trials) == pytest.approx((model.predict(trials) == trials.choice).mean(), abs=5e-4)
    assert model.score(trials.triplets, trials.choice) == model.score(trials)
    best = model.predict_proba(trials).argmax(axis=1)
    if isinstance(model, VICE):  # its probabilities are averaged over the posterior, its score is that of the means
        assert (best == model.predict(trials)).mean() > 0.97
        best = model.predict(trials)
    soft = trials.probabilities[np.arange(len(trials)), best].mean()
    assert model.score(trials, trials.probabilities) == pytest.approx(soft, rel=1e-5)


def test_cross_validation_takes_trial_sets_and_plain_arrays_alike(estimator, trials):
    split = {"cv": GroupKFold(3), "groups": trials.keys(), "error_score": "raise"}
    from_set = cross_val_score(estimator, trials, **split)
    from_arrays = cross_val_score(
        estimator, trials.triplets, trials.choice, params={"n_stimuli": trials.n_stimuli}, **split
    )
    assert np.array_equal(from_set, from_arrays)
    noiseless = trials.probabilities.max(axis=1).mean()  # no space predicts better than the modal answer
    np.testing.assert_allclose(from_set, noiseless, atol=0.04)


def test_grid_search_finds_the_planted_number_of_components(estimator, trials):
    wanted = {"n_components": 3, "l1": 0.003}
    grid = {"n_components": [1, 3], "l1": [0.003, 0.05]}
    if "l1" not in estimator.get_params():  # VICE has its prior instead, which choices of this number outweigh
        del grid["l1"], wanted["l1"]
    from_set = GridSearchCV(estimator, grid, cv=3, error_score="raise").fit(trials)
    from_arrays = GridSearchCV(estimator, grid, cv=3, error_score="raise").fit(
        trials.triplets, trials.choice, n_stimuli=trials.n_stimuli
    )
    assert from_set.best_params_ == from_arrays.best_params_ == wanted
    assert np.array_equal(from_set.cv_results_["mean_test_score"], from_arrays.cv_results_["mean_test_score"])
    assert np.array_equal(from_set.predict(trials), from_arrays.predict(trials.triplets))
