"""Noise ceilings: loops over answers and deals, exact expectations, guesses, and simulated judges of known ceiling."""

from itertools import combinations, product
from math import factorial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError, TripletSet, ask, sample_triplets, simulate_emotions
from affectome.behavior import choice_consistency, explained_accuracy, guessing_modal, held_out_accuracy, noise_ceiling
from affectome.behavior._ceiling import agreement_bound, ceiling_estimates, repeat_sums

IDS = [f"s{k:02d}" for k in range(30)]


def repeated(counts, seed=0, ids=IDS):
    """Answers with the given counts (n_triplets, 3), slots, rows and the places of a triplet drawn at random."""
    rng = np.random.default_rng(seed)
    questions = sample_triplets(ids, len(counts), seed=seed)
    triplet, odd = [], []
    for t, row in enumerate(np.asarray(counts)):
        triplet += [t] * int(row.sum())
        odd += np.repeat(questions.triplets[t], row).tolist()
    shown = rng.permuted(questions.triplets[triplet], axis=1)
    choice = (shown == np.array(odd)[:, None]).argmax(axis=1)
    return TripletSet(shown, ids, choice)[rng.permutation(len(odd))]


def draw_counts(p, repeats, rng):
    """How often each of three places is called odd, for chances p (n, 3)."""
    return rng.multinomial(repeats, p)


def guess(questions, seed):
    return questions.with_answers(np.random.default_rng(seed).integers(0, 3, len(questions)))


def lead(answers, odd):
    """Score of an answer against the most frequent of some others, ties shared."""
    counts = [answers.count(k) for k in range(3)]
    modes = [k for k in range(3) if counts[k] == max(counts)]
    return (odd in modes) / len(modes)


def every_deal(answers):
    """Mean score of the answers of one triplet over all deals into halves, each predicting the other."""
    n, scores = len(answers), []
    for chosen in combinations(range(n), n // 2):
        first = [answers[i] for i in chosen]
        second = [answers[i] for i in range(n) if i not in chosen]
        hits = [lead(second, odd) for odd in first] + [lead(first, odd) for odd in second]
        scores.append(np.mean(hits))
    return np.mean(scores)


def by_hand(counts):
    """All five estimates by loops."""
    modal, left_out, split, pairs = [], [], [], []
    for row in np.asarray(counts).tolist():
        answers = [k for k in range(3) for _ in range(row[k])]
        n = len(answers)
        if n < 2:
            continue
        modal += [max(row) / n] * n
        for i, odd in enumerate(answers):
            others = answers[:i] + answers[i + 1 :]
            left_out.append(lead(others, odd))
            pairs.append(np.mean([odd == other for other in others]))
        split += [every_deal(answers)] * n
    agree = np.mean(pairs)
    return [np.mean(modal), np.mean(left_out), np.mean(split), agree, (1 + np.sqrt(max(6 * agree - 2, 0))) / 3]


def outcomes(n):
    """All counts of n answers on three places."""
    return np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])


def expected(p, n):
    """Exact expectation of the first four estimates for n answers with chances p."""
    counts = outcomes(n)
    chance = [factorial(n) / np.prod([factorial(c) for c in row]) * np.prod(p**row) for row in counts]
    return np.array(chance) @ (repeat_sums(counts)[:, 1:] / n)


# The estimates


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=20)
def test_every_estimate_equals_loops_over_answers_and_deals_whatever_rows_and_slots(seed):
    rng = np.random.default_rng(seed)
    counts = np.array([draw_counts(rng.dirichlet([1, 1, 1]), n, rng) for n in rng.integers(1, 10, 12)])
    counts = np.r_[counts, [[3, 1, 0]]]
    result = noise_ceiling(repeated(counts, seed), n_boot=5, seed=0)
    assert result.table["value"].tolist() == pytest.approx(by_hand(counts), abs=1e-10)
    several = counts.sum(axis=1)[counts.sum(axis=1) >= 2]
    assert (result.n_triplets, result.n_answers) == (len(several), several.sum())
    assert (result.repeats_min, result.repeats_median, result.repeats_max) == (
        several.min(), np.median(several), several.max(),
    )  # fmt: skip
    assert result.n_single == (counts.sum(axis=1) == 1).sum()


def test_split_half_of_many_answers_is_what_random_deals_average_to():
    counts, rng = [23, 11, 7], np.random.default_rng(0)
    answers, scores = np.repeat([0, 1, 2], counts), []
    for _ in range(4000):
        dealt = rng.permutation(answers)
        halves = [dealt[:20], dealt[20:]]
        found = [np.bincount(half, minlength=3) for half in halves]
        hits = 0.0
        for other, half in ((1, found[0]), (0, found[1])):
            modes = found[other] == found[other].max()
            hits += (half * modes).sum() / modes.sum()
        scores.append(hits / 41)
    got = noise_ceiling(repeated([counts]), n_boot=1, seed=0).table.loc["split_half", "value"]
    assert got == pytest.approx(np.mean(scores), abs=4 * np.std(scores) / np.sqrt(4000))


def test_two_or_three_repeats_leave_one_estimate_on_the_low_side_and_agreement_is_one():
    rng = np.random.default_rng(0)
    for n in (2, 3):
        table = noise_ceiling(repeated(draw_counts(rng.dirichlet([1, 1, 1], 80), n, rng)), n_boot=1, seed=0).table
        low = table.loc[["leave_one_out", "split_half", "agreement"], "value"]
        assert low.tolist() == pytest.approx([low.iloc[0]] * 3, abs=1e-12)
    same = noise_ceiling(repeated([[4, 0, 0]] * 40), n_boot=5, seed=0)
    assert (same.table[["value", "ci_low", "ci_high"]] == 1).all(axis=None)


def test_every_answer_counts_once_so_triplets_weigh_as_many_answers_as_they_have():
    table = noise_ceiling(repeated([[18, 0, 0], [1, 1, 0]]), n_boot=5, seed=0).table
    assert table.loc["modal", "value"] == pytest.approx((18 * 1 + 2 * 0.5) / 20)
    assert table.loc["leave_one_out", "value"] == pytest.approx(18 / 20)


def test_bracket_is_the_one_that_consistency_reports():
    rng = np.random.default_rng(3)
    people = repeated(draw_counts(rng.dirichlet([1, 1, 1], 60), 5, rng))
    want = choice_consistency(people, {"m": people}, n_boot=10, seed=0).ceiling
    got = noise_ceiling(people, n_boot=10, seed=0).bracket()
    assert (got.lower, got.upper, got.n_triplets, got.n_answers) == pytest.approx(
        (want.lower, want.upper, want.n_triplets, want.n_answers)
    )


# Their bias


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9, 20])
def test_expectations_stand_in_the_order_that_is_claimed(n):
    """Exactly, without sampling: agreement <= split-half <= leave-one-out <= ceiling <= modal and bound."""
    rng = np.random.default_rng(n)
    for p in (*rng.dirichlet([1, 1, 1], 15), *rng.dirichlet([0.2] * 3, 5), np.ones(3) / 3, np.array([0.5, 0.5, 0.0])):
        modal, left_out, split, agree = expected(p, n)
        assert agree == pytest.approx((p**2).sum(), abs=1e-9)
        assert agree - 1e-9 <= split <= left_out + 1e-9
        assert left_out - 1e-9 <= p.max() <= modal + 1e-9
        assert p.max() <= agreement_bound(agree) + 1e-9


def test_bound_from_agreement_is_reached_and_holds_for_mixtures():
    for most in np.linspace(1 / 3, 1, 9):
        p = np.array([most, (1 - most) / 2, (1 - most) / 2])
        assert agreement_bound((p**2).sum()) == pytest.approx(most, abs=1e-7)
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.dirichlet(rng.uniform(0.1, 3, 3), 20)
        assert agreement_bound((p**2).sum(axis=1).mean()) >= p.max(axis=1).mean() - 1e-12
    assert agreement_bound(0.2) == pytest.approx(1 / 3)


# Guessing


@pytest.mark.parametrize("repeats", [2, 3, 5, 8])
def test_guessing_modal_equals_enumeration_of_all_answers(repeats):
    shares = [max(answers.count(k) for k in range(3)) / repeats for answers in product(range(3), repeat=repeats)]
    assert guessing_modal(repeats) == pytest.approx(np.mean(shares), abs=1e-12)


@pytest.mark.parametrize(("repeats", "modal"), [(20, 0.444), (3, 0.630), (2, 2 / 3)])
def test_judges_who_guess_give_the_known_modal_share_and_no_more_than_a_third_left_out(repeats, modal):
    questions = sample_triplets(200, 20_000, design="repeated", repeats=repeats, seed=0)
    table = noise_ceiling(guess(questions, 1), n_boot=200, seed=0).table
    assert table.loc["modal", "value"] == pytest.approx(modal, abs=0.003)
    assert table.loc["modal", "guessing"] == pytest.approx(modal, abs=5e-4)
    for estimate in ("leave_one_out", "split_half", "agreement"):
        row = table.loc[estimate]
        assert row.guessing == pytest.approx(1 / 3)
        assert row.value <= 1 / 3 + 4 * (row.ci_high - row.ci_low) / 3.92
    assert table.loc["agreement_bound", "value"] < 0.4  # while the modal share says .444 to .667


def test_what_guessing_gives_is_the_mean_of_simulated_guesses_with_unequal_repeats():
    repeats, rng = np.repeat([2, 3, 7, 20], 30), np.random.default_rng(0)
    studies = [rng.multinomial(repeats, np.ones(3) / 3) for _ in range(800)]
    found = np.array([ceiling_estimates(repeat_sums(counts).sum(axis=0)[None])[0] for counts in studies])
    said = noise_ceiling(repeated(studies[0]), n_boot=1, seed=0).table["guessing"]
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.abs(found.mean(axis=0) - said)[:4].max() < 4 * error[:4].max()
    assert found[:, 4].mean() == pytest.approx(said.iloc[4], abs=0.01)  # a normal approximation


# Known ceilings


def simulated_judges(repeats):
    """Answers of judges from nearly guessing to nearly certain, and their true ceiling."""
    for seed in range(5):
        for strength, temperature in ((1.0, 1.0), (2.0, 2.0), (2.0, 1.0), (2.0, 0.4)):
            world = simulate_emotions(40, 4, strength=strength, seed=seed)
            ids = world.planted.index.tolist()
            questions = sample_triplets(ids, 300, design="repeated", repeats=repeats, seed=seed)
            answers = ask(world.judge(temperature=temperature, seed=seed), questions)
            yield answers, float(answers.probabilities.max(axis=1).mean())


@pytest.mark.parametrize("repeats", [2, 3, 5, 20])
def test_simulated_judges_of_known_ceiling_fall_inside_the_bracket(repeats):
    off = []
    for answers, truth in simulated_judges(repeats):
        result = noise_ceiling(answers, n_boot=300, seed=0)
        bracket, table = result.bracket(), result.table
        assert bracket.lower_ci_low <= truth <= bracket.upper_ci_high
        assert table.loc["agreement", "ci_low"] <= truth <= table.loc["agreement_bound", "ci_high"]
        off.append((bracket.lower - truth, bracket.upper - truth))
    lower, upper = np.mean(off, axis=0)
    assert lower < 0 < upper  # the ends themselves, but for sampling error
    # Published use of the modal share alone would be this far off with few repeats, and little with 20.
    assert (0.05 < upper < 0.2) if repeats <= 5 else (0.01 < upper < 0.03)


def test_intervals_cover_the_expected_estimate_as_often_as_they_say():
    """300 studies of 150 triplets, 2, 4 or 9 answers; Dirichlet(1,1,1) chances make every outcome equally likely."""
    repeats = np.repeat([2, 4, 9], 50)
    sums = np.zeros(5)
    for n in (2, 4, 9):
        sums += repeat_sums(outcomes(n)).mean(axis=0)
    truth = ceiling_estimates(sums[None])[0]
    assert truth[3] == pytest.approx(1 / 2)
    rng, covered = np.random.default_rng(0), np.zeros(5)
    for study in range(300):
        counts = draw_counts(rng.dirichlet([1, 1, 1], 150), repeats, rng)
        table = noise_ceiling(repeated(counts, study), n_boot=400, seed=study).table
        covered += ((table["ci_low"] <= truth) & (truth <= table["ci_high"])).to_numpy()
    assert covered / 300 == pytest.approx(np.full(5, 0.95), abs=3.3 * np.sqrt(0.95 * 0.05 / 300))


# The share of the explainable

SPACE = simulate_emotions(30, 4, seed=0).planted.set_axis(IDS) + np.random.default_rng(0).uniform(0, 0.1, (30, 4))


def named_by(space, triplets):
    """Slots that a space without ties calls odd."""
    x = space.to_numpy()[triplets]
    kept = [(x[:, 1] * x[:, 2]).sum(axis=1), (x[:, 0] * x[:, 2]).sum(axis=1), (x[:, 0] * x[:, 1]).sum(axis=1)]
    return np.stack(kept).argmax(axis=0)


def beta_judge(n, repeats, rng, seed, *, rate=0.7, spread=4.0):
    """Names what SPACE names with a chance of its own for each triplet (mean `rate`), else the next slot's stimulus."""
    questions = sample_triplets(IDS, n, seed=seed)
    best = np.repeat(named_by(SPACE, questions.triplets), repeats)
    chance = np.repeat(rng.beta(rate * spread, (1 - rate) * spread, n), repeats)
    right = rng.random(n * repeats) < chance
    return TripletSet(np.repeat(questions.triplets, repeats, axis=0), IDS, choice=np.where(right, best, (best + 1) % 3))


def beta_truth(repeats, *, rate=0.7, spread=4.0):
    """Expected explained shares, from the beta-binomial number of answers as SPACE gives them."""
    hits = np.arange(repeats + 1)
    chance = stats.betabinom(repeats, rate * spread, (1 - rate) * spread).pmf(hits)
    sums = chance @ repeat_sums(np.column_stack([hits, repeats - hits, 0 * hits]))
    modal, left_out, _, _, bound = ceiling_estimates(sums[None])[0]
    return (rate - 1 / 3) / (np.array([left_out, modal, bound]) - 1 / 3)


def test_share_of_the_explainable_is_the_accuracy_over_each_end_of_the_ceiling():
    rng = np.random.default_rng(0)
    trials, repeats = beta_judge(300, 1, rng, 1), beta_judge(200, 6, rng, 2)
    got = explained_accuracy(SPACE, trials, repeats, n_boot=200, seed=4)
    accuracy = held_out_accuracy(SPACE, trials, n_boot=200, seed=4)
    ceiling = noise_ceiling(repeats, n_boot=200, seed=4)
    assert vars(got.accuracy) == vars(accuracy)
    pd.testing.assert_frame_equal(got.ceiling.table, ceiling.table)
    for end in ("leave_one_out", "modal", "agreement_bound"):
        want = (accuracy.value - 1 / 3) / (ceiling.table.loc[end, "value"] - 1 / 3)
        assert got.table.loc[end, "value"] == pytest.approx(want)
    assert got.n_shared == len(np.intersect1d(trials.keys(), repeats.keys()))


def test_interval_of_two_sets_is_that_of_independent_draws_and_of_one_set_that_of_joint_ones():
    rng = np.random.default_rng(1)
    one = beta_judge(400, 6, rng, 5)
    space = SPACE.iloc[:, :2]  # right less often than the judge, where the ceiling is
    per_triplet = (named_by(space, one.triplets) == one.choice).reshape(400, 6).sum(axis=1)
    names = np.take_along_axis(one.triplets, one.choice[:, None].astype(int), axis=1).reshape(400, 6)
    counts = np.stack([(names == np.sort(one.triplets[::6], axis=1)[:, [k]]).sum(axis=1) for k in range(3)], axis=1)
    sums = repeat_sums(counts)

    def shares(scored, repeated_rows):
        ends = ceiling_estimates(sums[repeated_rows].sum(axis=1))[:, [1, 0, 4]] - 1 / 3
        return (per_triplet[scored].sum(axis=1) / (6 * scored.shape[1]) - 1 / 3)[:, None] / ends

    both, first, second = (rng.integers(0, n, (4000, n)) for n in (400, 200, 200))
    for trials, repeats, draws in (
        (one, one, shares(both, both)),
        (one[:1200], one[1200:], shares(first, second + 200)),
    ):
        got = explained_accuracy(space, trials, repeats, n_boot=4000, seed=0)
        width = np.diff(np.quantile(draws, [0.025, 0.975], axis=0), axis=0)[0]
        assert (got.table["ci_high"] - got.table["ci_low"]).to_numpy() == pytest.approx(width, rel=0.06)
        assert got.n_shared in (0, 400)


@pytest.mark.parametrize("same", [False, True], ids=["two sets", "one set"])
def test_intervals_of_the_share_cover_it_as_often_as_they_say(same):
    truth, rng, covered = beta_truth(5), np.random.default_rng(2), np.zeros(3)
    for study in range(200):
        repeats = beta_judge(150, 5, rng, study)
        trials = repeats if same else beta_judge(300, 1, rng, 1000 + study)
        table = explained_accuracy(SPACE, trials, repeats, n_boot=300, seed=study, n_jobs=1).table
        covered += ((table["ci_low"] <= truth) & (truth <= table["ci_high"])).to_numpy()
    assert covered / 200 == pytest.approx(np.full(3, 0.95), abs=3.3 * np.sqrt(0.95 * 0.05 / 200))


def test_the_planted_space_explains_all_between_the_ends_and_a_guess_explains_nothing():
    world = simulate_emotions(40, 4, seed=1)
    ids = world.planted.index.tolist()
    questions = sample_triplets(ids, 500, design="repeated", repeats=10, seed=0)
    repeats, trials = ask(world.judge(seed=1), questions), world.sample_answers(5_000, seed=2)
    share = explained_accuracy(world.planted, trials, repeats, n_boot=200, seed=0).table
    assert share.loc["leave_one_out", "ci_high"] > 1 > share.loc["agreement_bound", "value"]
    flat = explained_accuracy(world.planted * 0, trials, repeats, n_boot=200, seed=0).table
    assert flat["value"].tolist() == pytest.approx([0, 0, 0], abs=1e-9)


def test_a_ceiling_at_chance_leaves_the_share_undefined_or_without_an_interval():
    trials = beta_judge(100, 1, np.random.default_rng(0), 0)
    table = explained_accuracy(SPACE, trials, repeated([[1, 1, 1]] * 40), n_boot=50, seed=0).table
    assert table.isna().all(axis=None)  # every end is at or below a third
    guesses = [[2, 1, 0], [1, 1, 1]] * 15 + [[2, 1, 0]] * 1
    table = explained_accuracy(SPACE, trials, repeated(guesses), n_boot=200, seed=0).table
    assert np.isfinite(table.loc["modal"]).all()
    assert table.loc["leave_one_out"].isna().all()  # two answers agree in 17% of pairs
    barely = [[2, 1, 0]] * 40 + [[3, 0, 0]] * 1
    table = explained_accuracy(SPACE, trials, repeated(barely), n_boot=200, seed=0).table
    assert np.isfinite(table.loc["leave_one_out", "value"])
    assert table.loc["leave_one_out", ["ci_low", "ci_high"]].isna().all()


# What is left out, said and refused


def test_triplets_with_one_answer_and_trials_without_are_left_out_and_counted():
    counts = [[3, 1, 0], [1, 0, 0], [0, 2, 2], [0, 0, 1]]
    trials = repeated(counts)
    more = TripletSet(np.r_[trials.triplets, trials.triplets[:2]], IDS, np.r_[trials.choice, -1, -1].astype(np.int8))
    got, want = (
        noise_ceiling(more, n_boot=20, seed=0),
        noise_ceiling(repeated([counts[0], counts[2]]), n_boot=20, seed=0),
    )
    assert (got.n_triplets, got.n_answers, got.n_single, got.n_unanswered) == (2, 8, 2, 2)
    assert got.table["value"].tolist() == pytest.approx(want.table["value"].tolist())


def test_few_triplets_copied_answers_and_slots_that_never_change_are_warned_of():
    rng = np.random.default_rng(0)
    few = noise_ceiling(repeated(draw_counts(rng.dirichlet([1, 1, 1], 12), 4, rng)), n_boot=5, seed=0)
    assert few.warnings == ("The intervals resample only 12 triplets and are rough.",)
    copies = noise_ceiling(repeated([[0, 5, 0]] * 40), n_boot=5, seed=0)
    assert copies.warnings[0].startswith("Every repeat got the same answer; if the judge cannot answer differently")
    questions = sample_triplets(IDS, 50, seed=0)
    fixed = guess(questions[np.repeat(np.arange(50), 4)], 1)
    (sentence,) = noise_ceiling(fixed, n_boot=5, seed=0).warnings
    assert sentence.startswith("50 of 50 triplets were shown in one order of slots in all their repeats")
    unknown = TripletSet(fixed.triplets, IDS, fixed.choice, metadata={"order_shown": "unknown"})
    assert noise_ceiling(unknown, n_boot=5, seed=0).warnings == ()


def test_seed_decides_the_intervals_alone():
    rng = np.random.default_rng(0)
    counts = draw_counts(rng.dirichlet([1, 1, 1], 50), 4, rng)
    one, again, other = (noise_ceiling(repeated(counts), n_boot=100, seed=s).table for s in (0, 0, 1))
    pd.testing.assert_frame_equal(one, again)
    assert one["value"].equals(other["value"])
    assert not one["ci_low"].equals(other["ci_low"])
    trials = beta_judge(60, 3, rng, 0)
    a, b = (explained_accuracy(SPACE, trials, trials, n_boot=50, seed=0, n_jobs=j).table for j in (1, 2))
    pd.testing.assert_frame_equal(a, b)


def test_nothing_repeated_nothing_answered_and_wrong_settings_are_refused():
    questions = sample_triplets(IDS, 20, seed=0)
    with pytest.raises(InputError, match="no trial is answered; give answered triplets"):
        noise_ceiling(questions, seed=0)
    with pytest.raises(InputError, match="no triplet was answered twice; ask some triplets several times"):
        noise_ceiling(guess(questions, 0), seed=0)
    with pytest.raises(InputError, match="make no interval"):
        noise_ceiling(repeated([[2, 0, 0]]), n_boot=0, seed=0)
    with pytest.raises(InputError, match="no triplet was answered twice"):
        explained_accuracy(SPACE, guess(questions, 0), guess(questions, 0), seed=0)
    with pytest.raises(InputError, match="1 of 30 stimuli are not in it"):
        explained_accuracy(SPACE.iloc[1:], guess(questions, 0), repeated([[2, 0, 0]]), seed=0)
