"""The slot test rejects as often as it should, and dividing the prior out leaves the unbiased judge."""

import json

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from affectome._files import read_parquet, write_parquet
from affectome.collection import check_slot_prior, debias, estimate_slot_prior, slot_bias, slot_bias_from_counts
from affectome.errors import InputError
from affectome.judges import ask
from affectome.simulation import simulate_emotions
from affectome.triplets import TripletSet, read_triplets, sample_triplets, write_triplets

PRIOR = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def world():
    return simulate_emotions(100, 5, seed=0)


def answers(world, questions, prior=(1, 1, 1), *, greedy, temperature=1.0, seed=0):
    """Content times prior; the most probable slot, or a draw from the probabilities."""
    p = ask(world.judge(temperature=temperature), questions).probabilities.astype(float) * np.asarray(prior)
    p /= p.sum(axis=1, keepdims=True)
    draw = np.random.default_rng(seed).random((len(p), 1))
    choice = p.argmax(axis=1) if greedy else (draw > p.cumsum(axis=1)[:, :2]).sum(axis=1)
    return questions.with_answers(choice, p)


# The test of the slot rates


@pytest.mark.parametrize("counts", [[40, 20, 0], [1, 0, 0], [333, 333, 334], [1000, 1200, 1100]], ids=str)
def test_statistic_and_p_value_are_those_of_pearson(counts):
    bias, reference = slot_bias_from_counts(counts), chisquare(counts)
    assert bias.chi2 == pytest.approx(reference.statistic, rel=1e-12)
    assert bias.p_value == pytest.approx(reference.pvalue, rel=1e-9)
    assert bias.n == sum(counts) and bias.counts.tolist() == counts
    assert bias.effect == pytest.approx(max(abs(c / sum(counts) - 1 / 3) for c in counts))
    # Cohen's w over cells: sqrt(sum((p - p0)^2 / p0))
    w = np.sqrt(3 * ((np.array(counts) / sum(counts) - 1 / 3) ** 2).sum())
    assert bias.cohens_w == pytest.approx(w)


def test_intervals_are_wilsons():
    from scipy.stats import binomtest

    bias = slot_bias_from_counts([40, 20, 0])
    for slot, count in enumerate([40, 20, 0]):
        want = binomtest(count, 60).proportion_ci(method="wilson")
        assert (bias.ci_low[slot], bias.ci_high[slot]) == pytest.approx((want.low, want.high), abs=1e-12)


def test_p_values_of_a_decisive_judge_without_bias_are_uniform(world):
    p = [
        slot_bias(ask(world.judge(temperature=None), sample_triplets(world.stimuli.ids, 600, seed=seed))).p_value
        for seed in range(300)
    ]
    assert kstest(p, "uniform").pvalue > 1e-3


def test_orders_of_one_triplet_make_the_test_conservative(world):
    p = [
        slot_bias(
            answers(world, sample_triplets(world.stimuli.ids, 100, seed=s, orders=6), greedy=False, seed=s)
        ).p_value
        for s in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.02


def test_unanswered_trials_do_not_count():
    trials = TripletSet([[0, 1, 2]] * 5, "abc", [0, -1, 2, 2, -1])
    assert slot_bias(trials).counts.tolist() == [1, 0, 2]


# Dividing the prior out


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_debiased_probabilities_are_those_of_the_unbiased_judge(world, temperature):
    questions = sample_triplets(world.stimuli.ids, 2000, seed=1, orders=6, orders_share=0.3)
    biased = answers(world, questions, PRIOR, greedy=True, temperature=temperature)
    true = answers(world, questions, greedy=True, temperature=temperature)
    got = debias(biased, estimate_slot_prior(biased, seed=0))
    np.testing.assert_allclose(got.probabilities, true.probabilities, atol=1e-5)
    clear = np.sort(true.probabilities, axis=1)
    clear = clear[:, 2] - clear[:, 1] > 1e-4
    assert np.array_equal(got.choice[clear], true.choice[clear]) and clear.sum() > 2000


def test_slot_rates_are_uniform_after_debiasing(world):
    questions = sample_triplets(world.stimuli.ids, 20_000, seed=1)
    biased = answers(world, questions, PRIOR, greedy=True)
    asked = sample_triplets(world.stimuli.ids, 500, seed=2, orders=6)
    prior = estimate_slot_prior(answers(world, asked, PRIOR, greedy=True), seed=0)
    before, after = slot_bias(biased), slot_bias(debias(biased, prior))
    assert before.effect > 0.1 and before.p_value < 1e-100
    assert after.effect < 0.01 and after.p_value > 1e-3


def test_debiasing_counts_what_it_turned_and_what_it_left(world):
    questions = sample_triplets(world.stimuli.ids, 3000, seed=1)
    drawn = answers(world, questions, PRIOR, greedy=False)
    choice, p = drawn.choice.copy(), drawn.probabilities.copy()
    choice[:10], p[10:30] = -1, np.nan
    raw = questions.with_answers(choice, p, {"judge": "x"})
    got = debias(raw, PRIOR)
    modal = choice == np.nan_to_num(p).argmax(axis=1)
    facts = got.metadata["slot_prior"]
    assert facts["n_choices_kept"] == (~modal[30:]).sum() > 500
    assert facts["n_choices_changed"] == (got.choice != raw.choice).sum() > 50
    assert facts["n_without_probabilities"] == 20
    assert facts["divided_out"] is True and facts["prior"] == pytest.approx(PRIOR)
    assert (got.choice[:10] == -1).all() and np.array_equal(got.choice[10:30], choice[10:30])
    assert np.array_equal(got.choice[30:][~modal[30:]], choice[30:][~modal[30:]])
    assert np.isnan(got.probabilities[10:30]).all() and got.metadata["judge"] == "x"
    assert np.array_equal(raw.choice, choice)  # the raw answers are as they were


def test_ties_left_by_the_division_are_broken_by_the_seed_and_not_by_the_slot():
    trials = TripletSet([[0, 1, 2]] * 3000, "abc", [0] * 3000, np.tile(PRIOR, (3000, 1)))  # a judge of slots alone
    got = debias(trials, PRIOR)
    np.testing.assert_allclose(got.probabilities, 1 / 3, atol=1e-6)
    assert slot_bias(got).p_value > 1e-3
    assert np.array_equal(got.choice, debias(trials, PRIOR).choice)
    assert not np.array_equal(got.choice, debias(trials, PRIOR, seed=1).choice)


def test_choices_without_probabilities_stay_and_carry_the_prior(world, tmp_path):
    questions = sample_triplets(world.stimuli.ids, 500, seed=1, orders=6)
    hard = questions.with_answers(answers(world, questions, PRIOR, greedy=False).choice)
    prior = estimate_slot_prior(hard, seed=0, n_boot=20)
    got = debias(hard, prior)
    assert np.array_equal(got.choice, hard.choice) and got.probabilities is None
    assert got.metadata["slot_prior"] == {**prior.describe(), "divided_out": False}
    write_triplets(tmp_path / "t.parquet", got)
    assert read_triplets(tmp_path / "t.parquet").metadata == json.loads(json.dumps(got.metadata))


def test_raw_answers_beside_the_debiased_ones_do_not_disturb_reading(world, tmp_path):
    questions = sample_triplets(world.stimuli.ids, 50, seed=1)
    raw = answers(world, questions, PRIOR, greedy=True)
    clean = debias(raw, PRIOR)
    write_triplets(tmp_path / "t.parquet", clean)
    table, metadata = read_parquet(tmp_path / "t.parquet")
    for name, column in zip(("raw_p_a", "raw_p_b", "raw_p_c"), raw.probabilities.T, strict=True):
        table = table.append_column(name, [np.ascontiguousarray(column)])
    table = table.append_column("raw_choice", [raw.choice])
    write_parquet(tmp_path / "more.parquet", table, metadata)
    back = read_triplets(tmp_path / "more.parquet")
    assert np.array_equal(back.choice, clean.choice) and np.array_equal(back.probabilities, clean.probabilities)
    assert back.metadata == clean.metadata


# What is refused


UNKNOWN = TripletSet([[0, 1, 2]], "abc", [2], [[0.2, 0.3, 0.5]], metadata={"order_shown": "unknown"})


@pytest.mark.parametrize("use", [slot_bias, lambda t: debias(t, PRIOR)], ids=["slot_bias", "debias"])
def test_odd_last_imports_are_refused(use):
    with pytest.raises(
        InputError, match="imported odd-last, and the slots that were shown are not known; give the file"
    ):
        use(UNKNOWN)


def test_nothing_answered_is_refused():
    with pytest.raises(InputError, match="no trial is answered"):
        slot_bias(TripletSet([[0, 1, 2]], "abc"))


@pytest.mark.parametrize("counts", [[1, 2], [1, 2, -1], [0.5, 1.0, 2.0]], ids=str)
def test_what_is_no_count_is_refused(counts):
    with pytest.raises(InputError, match="not three numbers of answers"):
        slot_bias_from_counts(counts)


@pytest.mark.parametrize("prior", [[0.5, 0.5], [1, 0, 0], [0.5, 0.6, -0.1], [1, float("nan"), 1], "abc", None], ids=str)
def test_what_is_no_prior_is_refused(prior):
    with pytest.raises(InputError, match="is not three numbers above 0"):
        check_slot_prior(prior)
    with pytest.raises(InputError, match="is not three numbers above 0"):
        debias(TripletSet([[0, 1, 2]], "abc", [2]), prior)


def test_a_prior_is_divided_out_once():
    once = debias(TripletSet([[0, 1, 2]], "abc", [2], [[0.2, 0.3, 0.5]]), PRIOR)
    with pytest.raises(InputError, match="already divided out of these answers; give the raw answers"):
        debias(once, PRIOR)
