"""A judge who prefers a slot: its choices are explained by content and slot together."""

import numpy as np
import pytest
from scipy.special import softmax

from affectome import InputError, SPoSE, TripletSet, simulate_emotions
from affectome.embedding import choice_probabilities
from affectome.triplets import sample_triplets

PRIOR = np.array([0.7, 0.2, 0.1])
OFFSETS = tuple(np.log(PRIOR))


def biased_choices(world, questions, prior=PRIOR, seed=0):
    """Hard choices of a judge that weighs what it sees by the slot it is in."""
    p = choice_probabilities(world.planted.to_numpy(), questions.triplets) * np.asarray(prior)
    p /= p.sum(axis=1, keepdims=True)
    draw = np.random.default_rng(seed).random((len(p), 1))
    return questions.with_answers((draw > p.cumsum(axis=1)[:, :2]).sum(axis=1), p)


def rsm_correlation(x, y):
    above = np.triu_indices(len(x), 1)
    return np.corrcoef((x @ x.T)[above], (y @ y.T)[above])[0, 1]


def divergence(model, fresh):
    """Mean Kullback-Leibler divergence of the fitted from the true choice probabilities."""
    fitted = model.predict_proba(fresh)
    return float((fresh.probabilities * np.log(fresh.probabilities / fitted)).sum(axis=1).mean())


@pytest.fixture(scope="module")
def world():
    return simulate_emotions(60, 4, seed=1)


@pytest.fixture(scope="module")
def biased(world):
    return biased_choices(world, sample_triplets(world.stimuli.ids, 20_000, seed=1))


def test_offsets_recover_the_content_that_a_strong_preference_distorts(world, biased):
    fresh, true = world.sample_answers(20_000, seed=50), world.planted.to_numpy()
    plain = SPoSE(4, random_state=0).fit(biased)
    aware = SPoSE(4, random_state=0, slot_offsets=OFFSETS).fit(biased)
    unbiased = SPoSE(4, random_state=0).fit(biased_choices(world, biased, np.ones(3)))
    assert divergence(aware, fresh) < 0.4 * divergence(plain, fresh)
    assert divergence(aware, fresh) < 1.6 * divergence(unbiased, fresh)
    assert rsm_correlation(aware.embedding_, true) > rsm_correlation(plain.embedding_, true)
    assert aware.score(fresh) > plain.score(fresh) - 0.001
    assert aware.objective_ < plain.objective_ - 0.1


def test_offsets_undo_slots_that_were_not_shuffled(world):
    rows = np.sort(sample_triplets(world.stimuli.ids, 20_000, seed=1).triplets, axis=1)  # early stimuli always first
    biased = biased_choices(world, TripletSet(rows, world.stimuli.ids))
    fresh, true = world.sample_answers(20_000, seed=50), world.planted.to_numpy()
    plain = SPoSE(4, random_state=0).fit(biased)
    aware = SPoSE(4, random_state=0, slot_offsets=OFFSETS).fit(biased)
    assert rsm_correlation(plain.embedding_, true) < 0.97 < 0.99 < rsm_correlation(aware.embedding_, true)
    assert aware.score(fresh) > plain.score(fresh) + 0.01


def test_biased_probabilities_are_explained_as_well(world, biased):
    fresh = world.sample_answers(5000, seed=50)
    plain, aware = (
        SPoSE(4, 0.0005, random_state=0, slot_offsets=offsets).fit(biased, biased.probabilities)
        for offsets in (None, OFFSETS)
    )
    assert divergence(aware, fresh) < 0.002 < 0.01 < divergence(plain, fresh)


def test_objective_holds_the_offsets_and_predictions_do_not(biased, losses_twin):
    model = SPoSE(4, random_state=0, slot_offsets=OFFSETS).fit(biased)
    losses = losses_twin(model.embedding_, biased.triplets, np.eye(3)[biased.choice], OFFSETS)
    expected = losses.mean() + model.l1_ / model.n_stimuli_ * model.embedding_.sum(dtype=np.float64)
    assert model.objective_ == pytest.approx(expected, rel=1e-6)
    assert model.objective_path_[-1] == pytest.approx(model.objective_, rel=5e-3)
    content = choice_probabilities(model.embedding_, biased.triplets)
    assert np.array_equal(model.predict_proba(biased), content)
    # Exact ties are shared by the score.
    assert model.score(biased) == pytest.approx((content.argmax(axis=1) == biased.choice).mean(), abs=5e-4)


def test_offsets_count_up_to_a_constant_and_zeros_are_none(biased):
    some = biased[:6000]
    model = SPoSE(3, random_state=0, slot_offsets=OFFSETS).fit(some)
    raised = SPoSE(3, random_state=0, slot_offsets=tuple(np.array(OFFSETS) + 8.0)).fit(some)
    np.testing.assert_allclose(raised.embedding_, model.embedding_, atol=1e-3)
    none, zero = (SPoSE(3, random_state=0, slot_offsets=o).fit(some) for o in (None, (0, 0, 0)))
    np.testing.assert_allclose(zero.embedding_, none.embedding_, atol=1e-3)


def test_sets_and_arrays_in_the_order_shown_give_the_same_fit(biased):
    some, model = biased[:5000], SPoSE(3, random_state=0, slot_offsets=OFFSETS)
    choice = some.choice.copy()
    choice[::5] = -1
    from_set = model.fit(some.with_answers(choice)).embedding_
    assert (model.n_trials_, model.n_dropped_) == (4000, 1000)
    from_array = model.fit(some.triplets, choice, n_stimuli=60).embedding_
    whole = model.fit(some[choice >= 0]).embedding_
    assert np.array_equal(from_set, from_array) and np.array_equal(from_set, whole)


def test_relabelled_slots_with_relabelled_offsets_are_the_same_problem(biased):
    some, turn = biased[:5000], [2, 0, 1]
    model = SPoSE(3, random_state=0, slot_offsets=OFFSETS).fit(some)
    turned = TripletSet(some.triplets[:, turn], some.ids, np.argsort(turn)[some.choice])
    again = SPoSE(3, random_state=0, slot_offsets=tuple(np.array(OFFSETS)[turn])).fit(turned)
    np.testing.assert_allclose(again.embedding_, model.embedding_, atol=2e-3)
    assert again.objective_ == pytest.approx(model.objective_, rel=1e-5)
    np.testing.assert_allclose(softmax(OFFSETS), PRIOR)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.array([[0, 1, 2], [3, 1, 2]]), None),
        (TripletSet([[0, 1, 2]], "abc", [2], metadata={"order_shown": "unknown"}), None),
        (TripletSet([[0, 1, 2]], "abc", [2], metadata={"order_shown": "unknown"}), [2]),
    ],
    ids=["array", "imported set", "imported set with y"],
)
def test_offsets_without_the_order_shown_are_refused(X, y):
    with pytest.raises(InputError, match=r"slot offsets need the order in which .* or leave slot_offsets out\."):
        SPoSE(2, slot_offsets=OFFSETS).fit(X, y)
    assert SPoSE(1, random_state=0, prune=0.0).fit(X, y).n_trials_ >= 1  # without them all is well


@pytest.mark.parametrize("offsets", [(0.1, 0.2), 0.5, (0, 0, np.nan), (0, 0, np.inf), "abc", ("a", "b", "c")], ids=str)
def test_offsets_that_are_not_three_numbers_are_named(biased, offsets):
    with pytest.raises(InputError, match=r"SPoSE: slot_offsets=.* is not accepted"):
        SPoSE(2, slot_offsets=offsets).fit(biased)
