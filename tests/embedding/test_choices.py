import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from affectome import InputError
from affectome.embedding import choice_probabilities, predicted_choice, shared_hits


def draw_problem(seed, n=12, p=5, t=40):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 1.5, (n, p)), np.argsort(rng.random((t, n)), axis=1)[:, :3], rng


@pytest.mark.parametrize("p", [1, 8, 9, 30])
def test_probabilities_are_the_softmax_of_kept_pairs(p, similarities_twin):
    weights, triplets, _ = draw_problem(0, p=p)
    expected = softmax(similarities_twin(weights, triplets), axis=1)
    np.testing.assert_allclose(choice_probabilities(weights, triplets), expected, atol=2e-6)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_predictions_follow_stimuli_through_slots_and_labels(seed):
    weights, triplets, rng = draw_problem(seed)
    p = choice_probabilities(weights, triplets)
    slots = rng.permutation(3)
    np.testing.assert_allclose(choice_probabilities(weights, triplets[:, slots]), p[:, slots], atol=1e-6)
    labels = rng.permutation(len(weights))
    renamed = np.empty_like(weights)
    renamed[labels] = weights
    np.testing.assert_allclose(choice_probabilities(renamed, labels[triplets]), p, atol=1e-6)


def test_prediction_is_the_likeliest_slot():
    weights, triplets, _ = draw_problem(4)
    assert np.array_equal(predicted_choice(weights, triplets), choice_probabilities(weights, triplets).argmax(axis=1))


def test_probabilities_stay_finite_for_huge_similarities():
    p = choice_probabilities([[1000.0], [1000.0], [0.0]], [[0, 1, 2]])
    assert p.tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("p", [1, 3, 7, 9, 30])
def test_equal_stimuli_tie_exactly_and_share_the_hit(p):
    weights = np.random.default_rng(p).random((20, p))
    weights = np.vstack([weights * 3, weights * 3, weights])  # rows i and i + 20 are one stimulus; the third is weaker
    triplets = np.array([[i, 40 + i, 20 + i] for i in range(20)])
    # The twins are kept: slot 1 is odd. Then the strong one twice against a stronger third: slots 0 and 2 tie.
    assert (predicted_choice(weights, triplets) == 1).all()
    weights[40:] *= 10
    chosen = np.eye(3)[np.zeros(20, int)]
    assert shared_hits(weights, triplets, chosen).tolist() == [0.5] * 20


def test_space_without_preference_scores_a_third_whatever_the_slot():
    hits = shared_hits(np.zeros((3, 2)), [[0, 1, 2]] * 3, np.eye(3))
    np.testing.assert_allclose(hits, 1 / 3)


def test_unknown_stimulus_is_refused():
    with pytest.raises(InputError, match="index 3 is out of range"):
        predicted_choice(np.ones((3, 1)), [[0, 1, 3]])
