"""The slot prior of a simulated biased judge is recovered: from probabilities exactly, from choices as theory says."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from affectome.collection import SMALLEST_PROBABILITY, estimate_slot_prior, slot_bias
from affectome.errors import InputError
from affectome.judges import ask
from affectome.simulation import simulate_emotions
from affectome.triplets import TripletSet, sample_triplets

PRIOR = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def world():
    return simulate_emotions(100, 5, seed=0)


def biased_answers(world, questions, *, prior=PRIOR, temperature=1.0, seed=0):
    """A judge that calls slot s odd with probability proportional to prior_s * exp(similarity of the rest / T)."""
    p = ask(world.judge(temperature=temperature), questions).probabilities * np.asarray(prior)
    p /= p.sum(axis=1, keepdims=True)
    draw = np.random.default_rng(seed).random((len(p), 1))
    return questions.with_answers((draw > p.cumsum(axis=1)[:, :2]).sum(axis=1), p)


@pytest.mark.parametrize("orders", [3, 6])
@pytest.mark.parametrize("temperature", [4.0, 1.0, 0.3], ids="T={}".format)
def test_probabilities_give_the_prior_exactly_however_decisive_the_judge(world, orders, temperature):
    questions = sample_triplets(world.stimuli.ids, 500, seed=1, orders=orders, orders_share=0.4)
    got = estimate_slot_prior(biased_answers(world, questions, temperature=temperature), seed=0)
    assert (got.method, got.n_sets, got.n_dropped, got.n_below_floor) == ("probabilities", 200, 0, 0)
    np.testing.assert_allclose(got.prior, PRIOR, atol=1e-6)
    np.testing.assert_allclose(got.ci_low, PRIOR, atol=1e-6)  # every set says the same
    np.testing.assert_allclose(got.ci_high, PRIOR, atol=1e-6)


@pytest.mark.parametrize("orders", [3, 6])
@pytest.mark.parametrize("temperature", [2.0, 1.0], ids="T={}".format)
def test_twenty_thousand_hard_choices_give_the_prior_within_a_hundredth(world, orders, temperature):
    questions = sample_triplets(world.stimuli.ids, 20_000 // orders, seed=2, orders=orders)
    trials = biased_answers(world, questions, temperature=temperature, seed=3)
    got = estimate_slot_prior(trials, seed=0, method="choices")
    assert (got.method, got.n_sets, got.n_dropped) == ("choices", 20_000 // orders, 0)
    assert got.n_informative < got.n_sets
    np.testing.assert_allclose(got.prior, PRIOR, atol=0.01)
    assert np.abs(slot_bias(trials).rates - PRIOR).max() > 0.02  # the plain rates are not the prior


def test_choices_say_that_an_unbiased_judge_has_none(world):
    questions = sample_triplets(world.stimuli.ids, 3000, seed=2, orders=6)
    got = estimate_slot_prior(biased_answers(world, questions, prior=[1, 1, 1]), seed=0, method="choices")
    assert (got.ci_low <= 1 / 3).all() and (got.ci_high >= 1 / 3).all()
    assert (got.ci_high - got.ci_low < 0.03).all()


RANKS = {6: [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2], [2, 1, 0]], 3: [[0, 1, 2], [1, 2, 0], [2, 0, 1]]}


@pytest.mark.parametrize("orders", [3, 6])
def test_conditional_likelihood_is_maximised_as_by_enumeration(orders):
    """The plain twin: every sequence of slots with the same stimulus counts, listed for every set."""
    rng, ranks = np.random.default_rng(5), np.array(RANKS[orders])
    every = np.array(list(product(range(3), repeat=orders)))
    chosen = rng.choice(3, (25, orders), p=[0.45, 0.35, 0.2])
    shown = np.concatenate([3 * k + ranks for k in range(25)])
    trials = TripletSet(shown, ids=[str(k) for k in range(75)], choice=chosen.ravel())

    def item_counts(slots):
        return np.array([np.bincount(ranks[np.arange(orders), row], minlength=3) for row in slots])

    counts, of_every = item_counts(chosen), item_counts(every)

    def loss(free):
        b = np.array([*free, 0.0])
        return -sum(
            b[row].sum() - logsumexp(b[every[(of_every == mine).all(axis=1)]].sum(axis=1))
            for row, mine in zip(chosen, counts, strict=True)
        )

    best = softmax([*minimize(loss, np.zeros(2), tol=1e-10).x, 0.0])
    got = estimate_slot_prior(trials, seed=0, n_boot=10)
    np.testing.assert_allclose(got.prior, best, atol=1e-5)
    assert got.n_informative == (counts.max(axis=1) < orders).sum()


def test_intervals_of_hard_choices_cover_the_prior_as_often_as_they_say(world):
    questions = sample_triplets(world.stimuli.ids, 1000, seed=2, orders=6)
    covered = 0
    for seed in range(80):
        got = estimate_slot_prior(biased_answers(world, questions, seed=seed), seed=seed, n_boot=100, method="choices")
        covered += ((got.ci_low <= PRIOR) & (got.ci_high >= PRIOR)).astype(int)
    # Binomial(80, .95) has a standard deviation of .024; percentiles of 100 samples lose another .01.
    assert (covered / 80 > 0.86).all() and 0.89 < covered.mean() / 80 < 1


def test_intervals_of_noisy_probabilities_cover_the_prior(world):
    questions = sample_triplets(world.stimuli.ids, 200, seed=2, orders=3)
    clean = biased_answers(world, questions)
    covered = 0
    for seed in range(150):
        noisy = clean.probabilities * np.exp(np.random.default_rng(seed).normal(0, 0.5, (len(clean), 3)))
        noisy /= noisy.sum(axis=1, keepdims=True)
        got = estimate_slot_prior(questions.with_answers(clean.choice, noisy), seed=seed, n_boot=100)
        covered += ((got.ci_low <= PRIOR) & (got.ci_high >= PRIOR)).astype(int)
    assert (covered / 150 > 0.88).all() and (covered.mean() / 150 < 0.99)


def test_offsets_are_the_centred_logarithm_of_the_prior(world):
    questions = sample_triplets(world.stimuli.ids, 50, seed=1, orders=3)
    got = estimate_slot_prior(biased_answers(world, questions), seed=0)
    assert got.log_offsets.sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(softmax(got.log_offsets), got.prior)
    assert got.describe()["prior"] == got.prior.tolist()


def test_seed_decides_the_interval_and_nothing_else(world):
    trials = biased_answers(world, sample_triplets(world.stimuli.ids, 300, seed=1, orders=6))
    once, again, other = (estimate_slot_prior(trials, seed=s, method="choices", n_boot=50) for s in (1, 1, 2))
    assert np.array_equal(once.ci_low, again.ci_low) and np.array_equal(once.prior, other.prior)
    assert not np.array_equal(once.ci_low, other.ci_low)


# Which rows make a set


def test_sets_that_are_not_whole_or_not_answered_are_left_out_and_counted(world):
    questions = sample_triplets(world.stimuli.ids, 60, seed=1, orders=6, orders_share=0.5)
    full = biased_answers(world, questions)
    keys = questions.keys()
    often = np.unique(keys)[np.unique(keys, return_counts=True)[1] == 6]
    choice, probabilities = full.choice.copy(), full.probabilities.copy()
    torn = np.flatnonzero(keys == often[0])[:1]  # five of six orders hold three rotations still
    apart = np.concatenate([np.flatnonzero(keys == key) for key in often[1:3]])
    ranks = questions.triplets[apart].argsort(axis=1).argsort(axis=1)
    even = [tuple(row) in {(0, 1, 2), (1, 2, 0), (2, 0, 1)} for row in ranks.tolist()]
    first = [
        np.flatnonzero((keys[apart] == key) & (np.array(even) == kind))[0] for key in often[1:3] for kind in (0, 1)
    ]
    gone = np.concatenate([torn, apart[first]])  # one rotation of each class is missing in two triplets
    choice[gone], probabilities[gone] = -1, np.nan
    holes = questions.with_answers(choice, probabilities)
    soft, hard = estimate_slot_prior(holes, seed=0), estimate_slot_prior(holes, seed=0, method="choices")
    assert (soft.n_sets, soft.n_dropped) == (hard.n_sets, hard.n_dropped) == (28, 2)
    np.testing.assert_allclose(soft.prior, PRIOR, atol=1e-6)


def test_shuffling_trials_and_adding_others_changes_no_estimate(world):
    questions = sample_triplets(world.stimuli.ids, 200, seed=1, orders=6)
    trials = biased_answers(world, questions)
    order = np.random.default_rng(0).permutation(len(trials))
    for method in ("choices", "probabilities"):
        want = estimate_slot_prior(trials, seed=0, method=method, n_boot=5).prior
        np.testing.assert_allclose(
            estimate_slot_prior(trials[order], seed=0, method=method, n_boot=5).prior, want, atol=1e-9
        )


def test_a_triplet_asked_twice_in_every_order_makes_two_sets_of_one_triplet(world):
    trials = biased_answers(world, sample_triplets(world.stimuli.ids, 100, seed=1, orders=3))
    twice = trials[np.r_[0:300, 0:300]]
    one, two = (estimate_slot_prior(t, seed=0, method="choices", n_boot=50) for t in (trials, twice))
    assert (one.n_sets, two.n_sets) == (100, 200)
    np.testing.assert_allclose(two.prior, one.prior, atol=1e-6)
    np.testing.assert_allclose(two.ci_high, one.ci_high, atol=1e-6)  # triplets are resampled, not sets


def test_a_set_with_a_probability_of_nothing_is_left_out_and_counted(world):
    trials = biased_answers(world, sample_triplets(world.stimuli.ids, 100, seed=1, orders=3))
    p = trials.probabilities.copy()
    p[7] = [1 - SMALLEST_PROBABILITY / 10, SMALLEST_PROBABILITY / 10, 0]
    got = estimate_slot_prior(trials.with_answers(trials.choice, p), seed=0)
    assert (got.n_sets, got.n_below_floor) == (99, 1)
    np.testing.assert_allclose(got.prior, PRIOR, atol=1e-6)


# What is refused


def rotations(choices):
    """One triplet per row of choices, each asked in its three rotations."""
    shown = np.concatenate([3 * k + np.array(RANKS[3]) for k in range(len(choices))])
    return TripletSet(shown, [str(k) for k in range(3 * len(choices))], np.ravel(choices))


@pytest.mark.parametrize(
    ("trials", "arguments", "message"),
    [
        (
            TripletSet([[0, 1, 2], [3, 4, 5]], "abcdef", [0, 1]),
            {},
            "no triplet was answered in all three rotations or all six permutations; ask some in several orders"
            " (affectome triplets sample --orders 6 --orders-share 0.1).",
        ),
        (
            rotations([[0, 2, 1], [1, 0, 2]]),  # item 0, item 1 in every order
            {},
            "in all 2 sets of orders the same stimulus was chosen in every order, so the choices say nothing about the"
            " slots; ask more triplets in several orders, or use probabilities.",
        ),
        (
            rotations([[0, 0, 0]] * 5 + [[0, 2, 1]]),  # slot 0 always, but for one decisive triplet
            {},
            "the 5 sets of orders with different choices all lean to one side, so that a slot's prior would be"
            " estimated as 0 or 1; ask more triplets in several orders, or use probabilities.",
        ),
        (
            rotations([[0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1]]),  # never slot 2
            {},
            "the 4 sets of orders with different choices all lean to one side",
        ),
        (rotations([[0, 1, 2]]), {"method": "probabilities"}, "the trials carry no probabilities; use method choices."),
        (rotations([[0, 1, 2]]), {"method": "best"}, "method='best' is unknown"),
        (rotations([[0, 1, 2]]), {"n_boot": 0}, "n_boot=0 makes no interval"),
    ],
)
def test_what_identifies_no_prior_is_refused_with_its_reason(trials, arguments, message):
    with pytest.raises(InputError) as caught:
        estimate_slot_prior(trials, seed=0, **arguments)
    assert str(caught.value).startswith(message)


def test_all_probabilities_of_nothing_are_refused():
    trials = rotations([[0, 1, 2]] * 3)
    hard = trials.with_answers(trials.choice, np.eye(3)[trials.choice])
    with pytest.raises(InputError, match=r"all 3 sets of orders have a probability below 1e-12.*; use method choices"):
        estimate_slot_prior(hard, seed=0, method="probabilities")


def test_choices_speak_where_no_set_of_orders_has_probabilities(world):
    trials = biased_answers(world, sample_triplets(world.stimuli.ids, 500, seed=1, orders=3))
    p = trials.probabilities.copy()
    p[np.unique(trials.keys(), return_index=True)[1]] = np.nan  # one order of every triplet lacks them
    got = estimate_slot_prior(trials.with_answers(trials.choice, p), seed=0)
    want = estimate_slot_prior(trials, seed=0, method="choices")
    assert got.method == "choices" and np.array_equal(got.prior, want.prior)


def test_odd_last_imports_are_refused():
    trials = TripletSet(rotations([[0, 1, 2]]).triplets, "abc", [2, 2, 2], metadata={"order_shown": "unknown"})
    with pytest.raises(InputError, match="imported odd-last, and the slots that were shown are not known"):
        estimate_slot_prior(trials, seed=0)
