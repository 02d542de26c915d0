"""The feature judge keeps the most similar pair, breaks ties by seed alone, and is noisy as stated."""

import logging
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import correlation, cosine, euclidean
from scipy.special import softmax
from scipy.stats import chisquare

from affectome.errors import InputError
from affectome.judges import FeatureJudge
from affectome.spaces import METRICS, STANDARDISATIONS, standardise
from affectome.triplets import TripletSet, sample_triplets

SIMILARITY = {
    "cosine": lambda a, b: 1 - cosine(a, b),
    "correlation": lambda a, b: 1 - correlation(a, b),
    "dot": np.dot,
    "euclidean": lambda a, b: -euclidean(a, b),
}


def kept_pairs(space, questions, metric):
    """Trial by trial, the similarity of the two stimuli that stay when slot 0, 1 or 2 is odd."""
    rows = space.loc[list(questions.ids)].to_numpy(np.float64)
    measure = SIMILARITY[metric]
    return np.array(
        [
            [measure(rows[b], rows[c]), measure(rows[a], rows[c]), measure(rows[a], rows[b])]
            for a, b, c in questions.triplets.tolist()
        ]
    )


@pytest.mark.parametrize("how", STANDARDISATIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_choices_agree_with_brute_force(space, questions, metric, how):
    some = questions[:300]
    answers = FeatureJudge(space, metric=metric, standardise=how).answer(some)
    np.testing.assert_array_equal(answers.choice, kept_pairs(standardise(space, how), some, metric).argmax(axis=1))
    assert answers.probabilities is None


@pytest.mark.parametrize("temperature", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("metric", METRICS)
def test_probabilities_are_the_softmax_of_similarity_over_temperature(space, questions, metric, temperature):
    some = questions[:200]
    answers = FeatureJudge(space, metric=metric, temperature=temperature).answer(some)
    expected = softmax(kept_pairs(space, some, metric) / temperature, axis=1)
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
    assert answers.probabilities.dtype == np.float32


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_sampled_choices_follow_the_probabilities(space, same_question, temperature):
    answers = FeatureJudge(space, temperature=temperature, seed=4).answer(same_question(space.index, 100_000))
    counts = np.bincount(answers.choice, minlength=3)
    expected = 100_000 * answers.probabilities[0].astype(np.float64)
    assert expected.min() > 100 and np.ptp(expected) > 1000  # the test has something to see
    assert chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


def test_a_cold_judge_chooses_like_one_without_noise_and_a_hot_one_guesses(space, questions):
    sure = FeatureJudge(space).answer(questions).choice
    cold = FeatureJudge(space, temperature=1e-9).answer(questions)
    np.testing.assert_array_equal(cold.choice, sure)
    assert np.isfinite(cold.probabilities).all()
    np.testing.assert_allclose(FeatureJudge(space, temperature=1e9).answer(questions).probabilities, 1 / 3, atol=1e-6)


@pytest.mark.parametrize("temperature", [None, 0.3])
@pytest.mark.parametrize("metric", METRICS)
def test_identical_stimuli_are_odd_equally_often_in_every_slot(same_question, metric, temperature):
    twins = pd.DataFrame([[0.3, 0.1, 0.7]] * 3, index=list("abc"))
    answers = FeatureJudge(twins, metric=metric, temperature=temperature, seed=2).answer(same_question("abc", 30_000))
    assert chisquare(np.bincount(answers.choice, minlength=3)).pvalue > 1e-3


@pytest.mark.parametrize("slots", list(permutations(range(3))))
def test_a_tie_of_two_pairs_is_broken_between_them_wherever_they_stand(same_question, slots):
    # The middle one is as close to either end: an end is odd, each as often, and never the middle.
    angles = np.deg2rad([-40.0, 0.0, 40.0])
    fan = pd.DataFrame({"x": np.cos(angles), "y": np.sin(angles)}, index=["left", "middle", "right"])
    choice = FeatureJudge(fan, seed=1).answer(same_question(fan.index, 20_000, slots)).choice
    odd = np.bincount(np.array(slots)[choice], minlength=3)
    assert odd[1] == 0 and chisquare(odd[[0, 2]]).pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), slots=st.permutations(range(3)), temperature=st.sampled_from([None, 0.1, 1.0]))
@pytest.mark.parametrize("metric", METRICS)
def test_permuting_slots_permutes_the_answers(metric, seed, slots, temperature):
    rng = np.random.default_rng(seed)
    space = pd.DataFrame(rng.normal(size=(8, 3)), index=list("abcdefgh"))
    asked = sample_triplets(list("abcdefgh"), 20, seed=seed)
    turned = TripletSet(asked.triplets[:, slots], asked.ids)
    judge = FeatureJudge(space, metric=metric, temperature=temperature, seed=seed)
    one, other = judge.answer(asked), judge.answer(turned)
    if temperature is None:
        np.testing.assert_array_equal(np.array(slots)[other.choice], one.choice)
    else:
        np.testing.assert_allclose(other.probabilities, one.probabilities[:, slots], atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_scaling_stimuli_leaves_cosine_choices_alone(seed):
    rng = np.random.default_rng(seed)
    space = pd.DataFrame(rng.normal(size=(8, 3)), index=list("abcdefgh"))
    asked = sample_triplets(list("abcdefgh"), 20, seed=seed)
    scaled = space.mul(rng.uniform(0.1, 10, 8), axis=0)
    np.testing.assert_array_equal(FeatureJudge(space).answer(asked).choice, FeatureJudge(scaled).answer(asked).choice)


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_answers_and_probabilities_do_not_depend_on_the_batch(space, questions, temperature):
    judge = FeatureJudge(space, temperature=temperature, seed=3)
    whole = judge.answer(questions)
    rows = np.random.default_rng(0).permutation(len(questions))[:700]
    part = judge.answer(questions[rows])
    if temperature is None:
        np.testing.assert_array_equal(part.choice, whole.choice[rows])
    else:
        np.testing.assert_array_equal(part.probabilities, whole.probabilities[rows])


def test_the_noise_of_a_block_belongs_to_its_questions_and_never_repeats_along_the_batch(space, same_question):
    judge = FeatureJudge(space, temperature=2.0, seed=3)
    long = judge.answer(same_question(space.index, 140_000))
    for n in (65_536, 131_072, 140_000):  # whole blocks are answered alike whatever follows them
        np.testing.assert_array_equal(judge.answer(same_question(space.index, n)).choice, long.choice[:n])
    first, second = long.choice[:65_536], long.choice[65_536:131_072]
    by_chance = (long.probabilities[0].astype(float) ** 2).sum()
    assert (first == second).mean() == pytest.approx(by_chance, abs=4 * np.sqrt(0.25 / 65_536))


def test_another_seed_gives_independent_noise(space, same_question):
    asked = same_question(space.index, 20_000)
    one, other = (FeatureJudge(space, temperature=2.0, seed=seed).answer(asked) for seed in (0, 1))
    by_chance = (one.probabilities[0].astype(float) ** 2).sum()
    assert (one.choice == other.choice).mean() == pytest.approx(by_chance, abs=4 * np.sqrt(0.25 / 20_000))


def test_float_noise_does_not_decide_a_tie(same_question):
    # 0.1 + 0.2 != 0.3: mathematically three equal vectors, one of them off by one unit in the last place.
    close = pd.DataFrame({"x": [0.1 + 0.2, 0.3, 0.3], "y": [0.6, 0.6, 0.6]}, index=list("abc"), dtype=np.float64)
    choice = FeatureJudge(close, metric="dot").answer(same_question("abc", 30_000)).choice
    assert chisquare(np.bincount(choice, minlength=3)).pvalue > 1e-3


def test_a_stimulus_without_direction_is_reported_and_similar_to_none(same_question, caplog):
    space = pd.DataFrame([[0.0, 0.0], [1.0, 0.1], [1.0, 0.2]], index=list("abc"))
    with caplog.at_level(logging.WARNING):
        choice = FeatureJudge(space).answer(same_question("abc", 10)).choice
    assert choice.tolist() == [0] * 10
    assert "1 stimuli have no direction under cosine" in caplog.text


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_temperature_that_is_not_above_zero_is_refused(space, temperature):
    with pytest.raises(InputError, match="is not above 0; give a positive number or none"):
        FeatureJudge(space, temperature=temperature)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"metric": "jaccard"}, "metric='jaccard' is unknown; choose one of cosine, correlation, dot, euclidean."),
        ({"standardise": "rank"}, "standardise='rank' is unknown; choose one of none, centre, zscore, minmax."),
    ],
)
def test_unknown_settings_are_refused_before_anything_is_asked(space, settings_, message):
    with pytest.raises(InputError) as caught:
        FeatureJudge(space, **settings_)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"x": [1.0, np.nan]}, index=["a", "b"]), r"row 2 \(id b\): the value in column 'x' is missing"),
        (pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "a"]), "row 2: the id 'a' was already used in row 1"),
    ],
)
def test_a_space_with_a_fault_makes_no_judge(frame, message):
    with pytest.raises(InputError, match=f"the judge's space, {message}"):
        FeatureJudge(frame)


def test_numbered_rows_are_stimuli_called_by_their_number(space, questions):
    numbered = space.reset_index(drop=True)
    asked = TripletSet(questions.triplets, range(len(space)))
    got = FeatureJudge(numbered).answer(asked).choice
    np.testing.assert_array_equal(got, FeatureJudge(space).answer(questions).choice)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("size", [2.0**-13, 1.0, 2.0**13])
def test_orthonormal_stimuli_all_tie_and_only_the_seed_decides(metric, size):
    three = np.array([[1, 2, 2], [2, 1, -2], [2, -2, 1]])  # whole numbers, whose unit vectors are rounded thirds
    axes = pd.DataFrame(size * np.kron(np.kron(three, three), np.kron(three, three)))
    asked = sample_triplets(81, 9000, seed=0)
    one, other = (FeatureJudge(axes, metric=metric, seed=seed).answer(asked) for seed in (0, 1))
    assert chisquare(np.bincount(one.choice, minlength=3)).pvalue > 1e-3
    assert (one.choice == other.choice).mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 9000))


def test_what_differs_by_more_than_float_noise_is_no_tie_beside_a_long_stimulus(same_question):
    close = pd.DataFrame([[1.0, 0, 0], [1.0, 1e-3, 0], [0, 1.0, 1e-3], [0, 0, 10.0]], index=list("abcd"))
    assert set(FeatureJudge(close, metric="dot").answer(same_question("abcd", 500)).choice.tolist()) == {2}


def test_other_questions_get_other_noise_under_the_same_seed(space, same_question):
    judge, n = FeatureJudge(space, temperature=2.0, seed=3), 20_000
    asked = same_question(space.index, n)
    elsewhere = asked.triplets.copy()
    elsewhere[-1] = [3, 4, 5]  # one question of the block is another one
    once, again, other = (judge.answer(q) for q in (asked, asked[:], TripletSet(elsewhere, asked.ids)))
    np.testing.assert_array_equal(once.choice, again.choice)
    by_chance = (once.probabilities[0].astype(float) ** 2).sum()
    assert (once.choice == other.choice).mean() == pytest.approx(by_chance, abs=4 * np.sqrt(0.25 / n))


@pytest.mark.parametrize("temperature", [1e-30, 1e-300])
def test_however_cold_the_probabilities_are_finite(space, questions, temperature):
    answers = FeatureJudge(space, temperature=temperature).answer(questions)
    np.testing.assert_array_equal(answers.probabilities, np.eye(3)[answers.choice])
    np.testing.assert_array_equal(answers.choice, FeatureJudge(space).answer(questions).choice)
