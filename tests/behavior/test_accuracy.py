import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError, TripletSet, held_out_accuracy, sample_triplets, simulate_emotions

IDS = tuple(f"s{i:02d}" for i in range(40))


def draw_space(seed, p=4):
    """Small whole numbers, so that similarities are exact and often tie."""
    return pd.DataFrame(np.random.default_rng(seed).integers(0, 3, (len(IDS), p)), index=IDS)


def draw_trials(seed, n=200):
    rng = np.random.default_rng(seed)
    questions = sample_triplets(IDS, n, seed=seed)
    return questions.with_answers(rng.integers(0, 3, n))


def brute_force_hits(space, trials):
    hits = []
    for shown, odd in zip(trials.triplets, trials.choice, strict=True):
        a, b, c = (space.loc[trials.ids[i]].to_numpy() for i in shown)
        kept = [b @ c, a @ c, a @ b]
        best = [slot for slot in range(3) if kept[slot] == max(kept)]
        hits.append((odd in best) / len(best))
    return np.array(hits)


@pytest.fixture(scope="module")
def sharp_space():
    """A space that never ties."""
    return simulate_emotions(60, 5, seed=0).planted + np.random.default_rng(0).uniform(0, 0.1, (60, 5))


def judged(space, n, rng, *, repeats=1, spread=None, rate=0.7):
    """`n` triplets, `repeats` times each, named as `space` does with a chance that may vary over triplets."""
    questions = sample_triplets(space.index.tolist(), n, seed=int(rng.integers(2**31)))
    triplets = np.repeat(questions.triplets, repeats, axis=0)
    x = space.to_numpy()[triplets]  # (t, 3, p)
    best = np.stack([(x[:, 1] * x[:, 2]).sum(1), (x[:, 0] * x[:, 2]).sum(1), (x[:, 0] * x[:, 1]).sum(1)]).argmax(axis=0)
    chance = np.full(n, rate) if spread is None else rng.beta(rate * spread, (1 - rate) * spread, n)
    right = rng.random(len(triplets)) < np.repeat(chance, repeats)
    return TripletSet(triplets, questions.ids, choice=np.where(right, best, (best + 1) % 3))


# The share


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=20)
def test_accuracy_equals_brute_force_with_ties_shared(seed):
    space, trials = draw_space(seed), draw_trials(seed + 1)
    expected = brute_force_hits(space, trials)
    assert ((expected > 0) & (expected < 1)).mean() > 0
    assert held_out_accuracy(space, trials, n_boot=10, seed=0).value == pytest.approx(expected.mean(), abs=1e-12)


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=20)
def test_accuracy_ignores_trial_order_slots_labels_and_row_order(seed):
    rng = np.random.default_rng(seed)
    space, trials = draw_space(seed), draw_trials(seed)
    expected = held_out_accuracy(space, trials, n_boot=50, seed=1)
    rows, slots = rng.permutation(len(trials)), rng.permutation(3)
    moved = TripletSet(trials.triplets[rows][:, slots], trials.ids, choice=np.argsort(slots)[trials.choice[rows]])
    names = dict(zip(IDS, rng.permutation(IDS), strict=True))
    renamed = TripletSet(moved.triplets, [names[i] for i in moved.ids], choice=moved.choice)
    shuffled = space.rename(index=names).iloc[rng.permutation(len(IDS))]
    for got in (
        held_out_accuracy(space, moved, n_boot=50, seed=1),
        held_out_accuracy(shuffled, renamed, n_boot=50, seed=1),
    ):
        assert got.value == pytest.approx(expected.value, abs=1e-12)
        assert (got.ci_low, got.ci_high) == pytest.approx((expected.ci_low, expected.ci_high), abs=1e-9)


def test_space_that_always_ties_scores_a_third_with_no_spread():
    got = held_out_accuracy(draw_space(0) * 0, draw_trials(0), seed=0)
    assert (got.value, got.ci_low, got.ci_high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_planted_space_scores_the_modal_share_of_its_judge():
    world = simulate_emotions(60, 5, seed=0)
    trials = world.sample_answers(20_000, seed=1)
    p = trials.probabilities.max(axis=1).astype(float)
    got = held_out_accuracy(world.planted, trials, n_boot=10, seed=0).value
    assert got == pytest.approx(p.mean(), abs=4 * np.sqrt((p * (1 - p)).mean() / len(trials)))
    # A judge without noise always takes one of the best, so that only ties, which are shared, cost anything.
    noiseless = world.sample_answers(20_000, temperature=None, seed=1)
    n_best = np.isclose(trials.probabilities, p[:, None], atol=1e-6).sum(axis=1)
    got = held_out_accuracy(world.planted, noiseless, n_boot=10, seed=0).value
    assert got == pytest.approx((1 / n_best).mean(), abs=1e-3)


def test_unanswered_trials_and_other_stimuli_are_left_out():
    space, trials = draw_space(3), draw_trials(3)
    holes = trials.choice.copy()
    holes[:50] = -1
    more = pd.concat([pd.DataFrame(9, index=["zz"], columns=space.columns), space])
    got, expected = (
        held_out_accuracy(more, trials.with_answers(holes), seed=0),
        held_out_accuracy(space, trials[50:], seed=0),
    )
    assert (got.n_trials, got.n_triplets, got.n_unanswered) == (150, 150, 50)
    assert (got.value, got.ci_low, got.ci_high) == (expected.value, expected.ci_low, expected.ci_high)


# The interval


def test_interval_equals_scipy_bootstrap_over_unequal_clusters():
    rng = np.random.default_rng(0)
    space, base = draw_space(5), draw_trials(5, n=150)
    rows = np.repeat(np.arange(150), rng.integers(1, 5, 150))
    trials = TripletSet(base.triplets[rows], IDS, choice=rng.integers(0, 3, len(rows)))
    hits = brute_force_hits(space, trials)
    per_triplet = np.bincount(rows, weights=hits), np.bincount(rows)
    got = held_out_accuracy(space, trials, n_boot=20_000, level=0.9, seed=1)
    reference = stats.bootstrap(
        per_triplet, lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True, method="percentile",
        n_resamples=20_000, confidence_level=0.9, random_state=np.random.default_rng(2),
    )  # fmt: skip
    assert (got.n_trials, got.n_triplets) == (len(rows), 150)
    # The 5% quantile of 20,000 draws has a standard error of about .015 s.d.
    tolerance = 6 * 0.015 * reference.standard_error
    assert got.ci_low == pytest.approx(reference.confidence_interval.low, abs=tolerance)
    assert got.ci_high == pytest.approx(reference.confidence_interval.high, abs=tolerance)


def test_interval_of_independent_trials_has_the_binomial_width(sharp_space):
    trials = judged(sharp_space, 2000, np.random.default_rng(0))
    got = held_out_accuracy(sharp_space, trials, n_boot=20_000, seed=0)
    half = stats.norm.ppf(0.975) * np.sqrt(got.value * (1 - got.value) / 2000)
    assert (got.value - got.ci_low, got.ci_high - got.value) == pytest.approx((half, half), rel=0.05)
    wider = held_out_accuracy(sharp_space, trials, n_boot=20_000, level=0.99, seed=0)
    ratio = stats.norm.ppf(0.995) / stats.norm.ppf(0.975)
    assert (wider.ci_high - wider.ci_low) / (got.ci_high - got.ci_low) == pytest.approx(ratio, rel=0.05)


def test_repeats_that_agree_add_nothing_to_what_is_known(sharp_space):
    once = judged(sharp_space, 300, np.random.default_rng(1))
    rows = np.repeat(np.arange(300), 9)
    got, single = (held_out_accuracy(sharp_space, trials, n_boot=10_000, seed=0) for trials in (once[rows], once))
    as_if_independent = 2 * stats.norm.ppf(0.975) * np.sqrt(got.value * (1 - got.value) / 2700)
    assert got.value == pytest.approx(single.value)
    assert (got.ci_low, got.ci_high) == pytest.approx((single.ci_low, single.ci_high))
    assert (got.ci_high - got.ci_low) / as_if_independent == pytest.approx(np.sqrt(9), rel=0.06)


@pytest.mark.parametrize(("repeats", "spread"), [(1, None), (5, 2.0)], ids=["single trials", "repeated triplets"])
def test_interval_covers_the_truth_as_often_as_it_says(sharp_space, repeats, spread):
    rng, covered, n_studies = np.random.default_rng(4), 0, 500
    for study in range(n_studies):
        trials = judged(sharp_space, 120, rng, repeats=repeats, spread=spread)
        got = held_out_accuracy(sharp_space, trials, n_boot=500, seed=study, n_jobs=1)
        covered += got.ci_low <= 0.7 <= got.ci_high
    # Monte-Carlo error 3.3 s.e. (.032); the percentile bootstrap of 120 units itself falls short by up to .01.
    assert 0.95 - 0.042 < covered / n_studies < 0.95 + 0.032


def test_seed_decides_the_interval_and_threads_do_not():
    space, trials = draw_space(0), draw_trials(0)
    a, b, c = (held_out_accuracy(space, trials, seed=s, n_jobs=j) for s, j in ((0, 1), (0, 2), (1, 1)))
    assert vars(a) == vars(b)
    assert a.value == c.value
    assert (a.ci_low, a.ci_high) != (c.ci_low, c.ci_high)


# What is refused


@pytest.mark.parametrize("bad", [{"n_boot": 0}, {"level": 0.0}, {"level": 1.0}], ids=str)
def test_interval_that_cannot_be_made_is_refused(bad):
    with pytest.raises(InputError, match="make no interval"):
        held_out_accuracy(draw_space(0), draw_trials(0), seed=0, **bad)


def test_a_space_with_a_missing_value_or_a_repeated_stimulus_is_refused():
    holed = draw_space(0).astype(float)
    holed.iloc[3, 1] = np.nan
    with pytest.raises(InputError, match=r"row 4 \(id s03\): the value in column '1' is missing"):
        held_out_accuracy(holed, draw_trials(0), seed=0)
    with pytest.raises(InputError, match="row 41: the id 's00' was already used in row 1"):
        held_out_accuracy(pd.concat([draw_space(0), draw_space(0).iloc[:1]]), draw_trials(0), seed=0)


def test_missing_answers_or_stimuli_are_refused():
    with pytest.raises(InputError, match="no trial is answered"):
        held_out_accuracy(draw_space(0), sample_triplets(IDS, 5, seed=0), seed=0)
    with pytest.raises(InputError, match=r"1 of 40 stimuli are not in it \(s39\)"):
        held_out_accuracy(draw_space(0).iloc[:-1], draw_trials(0), seed=0)
