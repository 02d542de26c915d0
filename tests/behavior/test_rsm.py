from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import (
    FeatureJudge,
    InputError,
    TripletSet,
    ask,
    measured_rsm,
    predicted_rsm,
    rsm_agreement,
    sample_triplets,
    simulate_emotions,
)
from affectome.behavior import rsm_order, rsm_reliability
from affectome.embedding import choice_probabilities


def draw_space(seed, n=9, p=4):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(0.3, 1, (n, p)), index=[f"s{i}" for i in range(n)])


def brute_force(space, thirds=None):
    """Twin of the kernels: every pair of `space`, every third of `thirds`."""
    thirds = space if thirds is None else thirds
    e = np.exp(space.to_numpy() @ space.to_numpy().T)
    f = np.exp(space.to_numpy() @ thirds.to_numpy().T)
    out = np.full(e.shape, np.nan)
    for i, j in combinations(range(len(space)), 2):
        others = [k for k, name in enumerate(thirds.index) if name not in space.index[[i, j]]]
        out[i, j] = out[j, i] = np.mean([e[i, j] / (e[i, j] + f[i, k] + f[j, k]) for k in others])
    return out


# The prediction


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(3, 12))
@settings(deadline=None, max_examples=25)
def test_predicted_rsm_equals_brute_force(seed, n):
    space = draw_space(seed, n)
    got = predicted_rsm(space)
    np.testing.assert_allclose(got, brute_force(space.astype(np.float32)), rtol=1e-6)
    assert got.index.tolist() == got.columns.tolist() == space.index.tolist()


def test_predicted_rsm_averages_the_choice_probabilities_of_all_triplets():
    space = simulate_emotions(12, 3, seed=0).planted
    triplets = np.array(list(combinations(range(12), 3)))
    p = choice_probabilities(space, triplets)
    sums = np.zeros((12, 12))
    for slot, (i, j) in enumerate(((1, 2), (0, 2), (0, 1))):
        np.add.at(sums, (triplets[:, i], triplets[:, j]), p[:, slot])
    expected = (sums + sums.T) / 10
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(predicted_rsm(space), expected, atol=1e-6)


def test_pairs_are_kept_a_third_of_the_time_on_average():
    # Each triplet keeps one of its three pairs.
    assert np.nanmean(predicted_rsm(draw_space(1, 20)).to_numpy()) == pytest.approx(1 / 3, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_relabelling_stimuli_permutes_the_rsm(seed):
    space = draw_space(seed)
    order = np.random.default_rng(seed).permutation(len(space))
    expected = predicted_rsm(space).iloc[order, order]
    pd.testing.assert_frame_equal(predicted_rsm(space.iloc[order]), expected, rtol=1e-12)
    pd.testing.assert_frame_equal(predicted_rsm(space, expected.index.tolist()), expected, rtol=1e-12)


def test_chosen_stimuli_are_also_the_third_ones():
    space = draw_space(2)
    some = ["s7", "s1", "s4", "s0"]
    pd.testing.assert_frame_equal(predicted_rsm(space, some), predicted_rsm(space.loc[some]), rtol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), m=st.integers(3, 9))
@settings(deadline=None, max_examples=25)
def test_thirds_may_be_all_stimuli_of_the_space(seed, m):
    space = draw_space(seed)
    some = np.random.default_rng(seed).permutation(space.index)[:m].tolist()
    got = predicted_rsm(space, some, third="all")
    rounded = space.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(got, brute_force(rounded.loc[some], rounded), rtol=1e-9)
    assert got.index.tolist() == got.columns.tolist() == some
    whole = predicted_rsm(space, third="all")
    pd.testing.assert_frame_equal(predicted_rsm(space, some, third="all"), whole.loc[some, some], rtol=1e-12)


@pytest.mark.parametrize("third", ["subset", "all"])
def test_a_flat_space_keeps_every_pair_a_third_of_the_time(third):
    got = predicted_rsm(draw_space(0, 30) * 0, [f"s{k}" for k in range(0, 30, 3)], third=third).to_numpy()
    assert got[~np.eye(10, dtype=bool)] == pytest.approx(1 / 3, abs=1e-15)
    assert np.isnan(np.diag(got)).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_change_no_bit(n_jobs):
    space = draw_space(3, n=40)
    for some in (None, space.index[5:30].tolist()):
        one, other = (predicted_rsm(space, some, third="all", n_jobs=jobs) for jobs in (n_jobs, None))
        assert np.array_equal(one, other, equal_nan=True)


def test_large_similarities_keep_their_limit():
    # One axis each for a close pair and a loner: the pair always stays.
    space = pd.DataFrame([[20.0, 0], [20.0, 0], [0, 20.0]], index=list("abc"))
    got = predicted_rsm(space)
    assert got.loc["a", "b"] == pytest.approx(1)
    assert got.loc["a", "c"] == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="similarities up to 800"):
        predicted_rsm(space * np.sqrt(2))


@pytest.mark.parametrize("stimuli", [None, ["s0", "s1", "s2"]])
def test_a_space_with_a_missing_value_is_refused(stimuli):
    space = draw_space(0)
    space.iloc[5, 2] = np.nan
    with pytest.raises(InputError, match=r"row 6 \(id s5\): the value in column '2' is missing"):
        predicted_rsm(space, stimuli)


def test_too_few_or_unknown_stimuli_are_refused():
    with pytest.raises(InputError, match="2 stimuli make no triplet"):
        predicted_rsm(draw_space(0), ["s0", "s1"])
    with pytest.raises(InputError, match="zz"):
        predicted_rsm(draw_space(0), ["s0", "s1", "zz"])
    with pytest.raises(InputError, match="names one twice"):
        predicted_rsm(draw_space(0), ["s0", "s1", "s0"])
    with pytest.raises(InputError, match="choose subset or all"):
        predicted_rsm(draw_space(0), third="some")


# The measurement


def exhaustive(space, temperature=None, *, stimuli=None, seed=0):
    """All triplets of some stimuli of a space, answered by a judge who sees it."""
    questions = sample_triplets(space.index.tolist(), design="exhaustive", subset=stimuli, seed=seed)
    return ask(FeatureJudge(space, metric="dot", temperature=temperature, seed=seed), questions)


def counted(trials, ids, third):
    """Twin of the measurement: trial by trial."""
    kept, asked = (pd.DataFrame(0.0, index=ids, columns=ids) for _ in range(2))
    for shown, odd in zip(trials.triplets, trials.choice, strict=True):
        names = [trials.ids[k] for k in shown]
        if odd < 0 or (third == "subset" and not set(names) <= set(ids)):
            continue
        for slot in range(3):
            a, b = (name for k, name in enumerate(names) if k != slot)
            if a in ids and b in ids:
                for left, right in ((a, b), (b, a)):
                    asked.loc[left, right] += 1
                    kept.loc[left, right] += odd == slot
    return kept / asked.where(asked > 0), asked


@given(seed=st.integers(0, 2**20), third=st.sampled_from(["subset", "all"]))
@settings(deadline=None, max_examples=25)
def test_measured_shares_equal_a_count_trial_by_trial(seed, third):
    rng = np.random.default_rng(seed)
    ids = [f"s{k}" for k in range(9)]
    questions = sample_triplets(ids, 30, seed=seed)
    trials = questions.with_answers(rng.integers(-1, 3, 30))
    some = rng.permutation(ids)[:6].tolist()
    got = measured_rsm(trials, some, third=third)
    share, asked = counted(trials, some, third)
    np.testing.assert_allclose(got.similarity, share, rtol=1e-12)
    np.testing.assert_array_equal(got.counts, asked)
    assert got.n_missing == (np.triu(asked == 0, 1)).sum()
    assert got.n_unanswered == (trials.choice == -1).sum()
    inside = np.isin(trials.triplets[trials.answered], [ids.index(name) for name in some]).sum(axis=1)
    assert got.n_trials == (inside >= (3 if third == "subset" else 2)).sum()
    assert got.n_trials + got.n_outside + got.n_unanswered == 30


def test_an_exhaustive_set_of_decided_choices_has_its_theoretical_shares():
    # On a line of growing gaps the highest of three is always odd.
    at = 2.0 ** np.arange(8)
    questions = sample_triplets(list("abcdefgh"), design="exhaustive", seed=0)
    trials = ask(FeatureJudge(pd.DataFrame({"x": at}, index=list("abcdefgh")), metric="euclidean"), questions)
    assert np.array_equal(trials.choice, at[trials.triplets].argmax(axis=1))
    got = measured_rsm(trials)
    assert (got.n_trials, got.n_missing) == (56, 0)
    assert set(got.counts.to_numpy()[~np.eye(8, dtype=bool)]) == {6}
    # The pair (i, j), i < j, stays with each of the 7 - j stimuli above it.
    for i, j in combinations(range(8), 2):
        assert got.similarity.iloc[i, j] == pytest.approx((7 - j) / 6)
    assert np.nanmean(got.similarity) == pytest.approx(1 / 3)


def test_probabilities_of_all_triplets_are_the_prediction_itself():
    world = simulate_emotions(14, 3, seed=0)
    trials = exhaustive(world.planted, 1.0)
    soft = measured_rsm(trials, soft=True)
    np.testing.assert_allclose(soft.similarity, predicted_rsm(world.planted), atol=1e-6)
    hard = measured_rsm(trials)
    assert (soft.soft, hard.soft) == (True, False)
    # A choice is a draw from the probabilities: hard shares scatter about them with the binomial spread of 12 draws.
    miss = (hard.similarity - soft.similarity).to_numpy()[np.triu_indices(14, 1)]
    p = predicted_rsm(world.planted).to_numpy()[np.triu_indices(14, 1)]
    assert 0.5 < miss.std() / np.sqrt((p * (1 - p) / 12).mean()) < 1.2


def test_a_triplet_set_about_more_stimuli_knows_those_it_asked():
    world = simulate_emotions(20, 3, seed=0)
    some = world.planted.index[[3, 8, 1, 15]].tolist()
    got = measured_rsm(exhaustive(world.planted, stimuli=some))
    assert sorted(got.similarity.index) == sorted(some) and got.n_trials == 4


def test_what_cannot_be_measured_is_refused():
    trials = sample_triplets(list("abcdef"), 6, seed=0)
    answered = trials.with_answers(np.zeros(6, int))
    with pytest.raises(InputError, match="no answered trial is about these stimuli"):
        measured_rsm(trials)
    with pytest.raises(InputError, match=r"1 of 4 stimuli are not in the trials \(z\)"):
        measured_rsm(answered, ["a", "b", "c", "z"])
    with pytest.raises(InputError, match="names one twice"):
        measured_rsm(answered, ["a", "b", "a"])
    with pytest.raises(InputError, match="2 stimuli make no triplet"):
        measured_rsm(answered, ["a", "b"])
    with pytest.raises(InputError, match="no probabilities"):
        measured_rsm(answered, soft=True)
    with pytest.raises(InputError, match="choose subset or all"):
        measured_rsm(answered, third="none")


# Its reliability


def test_guessing_has_no_reliability_and_deciding_by_repeats_has_all():
    questions = sample_triplets(12, 220, design="repeated", repeats=4, seed=0)
    guesses = questions.with_answers(np.random.default_rng(0).integers(0, 3, len(questions)))
    got = rsm_reliability(guesses, split="repeats", seed=0)
    assert abs(got.half) < 0.25 and got.value < 0.4 and got.n_pairs == 66
    decided = questions.with_answers(questions.triplets.argmax(axis=1))
    same = rsm_reliability(decided, split="repeats", seed=0)
    assert (same.half, same.value, same.highest_r) == pytest.approx((1, 1, 1))
    # Halves of the triplets of the same judge differ by the thirds they met.
    thirds = rsm_reliability(decided, seed=0)
    assert thirds.half < 0.97 and thirds.share_asked == same.share_asked == 1


def test_reliability_foretells_the_correlation_of_two_measurements():
    world = simulate_emotions(60, 4, seed=0)
    some = world.planted.index[:12].tolist()
    above = np.triu_indices(12, 1)
    settings = {"stimuli": some, "third": "all"}

    def measure(seed):
        return measured_rsm(world.sample_answers(6_000, seed=seed), **settings).similarity.to_numpy()[above]

    again = [measure(seed) for seed in range(1, 13)]
    found = np.corrcoef(again)[np.triu_indices(12, 1)].mean()
    got = rsm_reliability(world.sample_answers(6_000, seed=0), n_splits=40, seed=0, **settings)
    assert got.value == pytest.approx(found, abs=0.03)
    assert got.value == pytest.approx(2 * got.half / (1 + got.half)) and got.highest_r**2 == pytest.approx(got.value)
    right = predicted_rsm(world.planted, some, third="all").to_numpy()[above]
    assert np.mean([np.corrcoef(right, row)[0, 1] for row in again]) == pytest.approx(got.highest_r, abs=0.03)
    assert got.share_asked == pytest.approx(6_000 / 34_220, abs=0.01)


def test_reliability_over_repeats_is_that_of_asking_the_same_again():
    world = simulate_emotions(20, 4, seed=0)
    questions = sample_triplets(world.planted.index.tolist(), 400, design="repeated", repeats=6, seed=0)
    trials = ask(world.judge(seed=0), questions)
    above = np.triu_indices(20, 1)
    again = [measured_rsm(ask(world.judge(seed=seed), questions)).similarity.to_numpy()[above] for seed in range(1, 9)]
    asked = np.isfinite(again[0])
    found = np.corrcoef([row[asked] for row in again])[np.triu_indices(8, 1)].mean()
    assert rsm_reliability(trials, split="repeats", n_splits=40, seed=0).value == pytest.approx(found, abs=0.02)


def test_reliability_that_cannot_be_told_is_refused():
    world = simulate_emotions(20, 4, seed=0)
    trials = world.sample_answers(300, seed=0)
    with pytest.raises(InputError, match="no triplet was answered twice; split the triplets instead"):
        rsm_reliability(trials, split="repeats", seed=0)
    with pytest.raises(InputError, match="share too few pairs"):
        rsm_reliability(trials[:2], seed=0)
    with pytest.raises(InputError, match="choose triplets or repeats"):
        rsm_reliability(trials, split="people", seed=0)
    with pytest.raises(InputError, match="n_splits >= 1"):
        rsm_reliability(trials, n_splits=0, seed=0)


# Agreement of two RSMs


def draw_rsms(rng, n=20, share=0.7, noise=0.0):
    """Two RSMs whose pairs correlate 2 / sqrt(4 + 4 share^2 + noise^2) in the population of stimuli."""
    x, y = rng.normal(size=(2, n, 4))
    own = rng.normal(size=(n, n)) * noise / np.sqrt(2)
    one = pd.DataFrame(x @ x.T)
    return one, one + share * (y @ y.T) + own + own.T


def pairs_of(rsm):
    return rsm.to_numpy()[np.triu_indices(len(rsm), 1)]


def test_correlations_equal_scipy_ties_and_missing_pairs_included():
    one, two = draw_rsms(np.random.default_rng(0))
    one = one.round(0)  # many ties
    got = rsm_agreement(one, two, n_boot=10, n_permutations=0, seed=0)
    assert got.pearson.r == pytest.approx(stats.pearsonr(pairs_of(one), pairs_of(two)).statistic, abs=1e-12)
    assert got.spearman.r == pytest.approx(stats.spearmanr(pairs_of(one), pairs_of(two)).statistic, abs=1e-12)
    assert (got.n_stimuli, got.n_pairs, got.n_missing) == (20, 190, 0) and np.isnan(got.pearson.p)
    one.iloc[3, 7] = one.iloc[7, 3] = two.iloc[2, 1] = two.iloc[1, 2] = np.nan
    x, y = pairs_of(one), pairs_of(two)
    both = ~np.isnan(x + y)
    got = rsm_agreement(one, two, n_boot=10, n_permutations=0, seed=0)
    assert got.spearman.r == pytest.approx(stats.spearmanr(x[both], y[both]).statistic, abs=1e-12)
    assert (got.n_pairs, got.n_missing) == (188, 2)


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=10)
def test_order_and_scale_of_an_rsm_change_nothing(seed):
    rng = np.random.default_rng(seed)
    one, two = draw_rsms(rng, 12)
    order = rng.permutation(12)
    got = rsm_agreement(one, two, n_boot=20, n_permutations=20, seed=1)
    for other in (two.iloc[order, order], 3 * two - 5):
        same = rsm_agreement(one, other, n_boot=20, n_permutations=20, seed=1)
        assert vars(same.pearson) == pytest.approx(vars(got.pearson), abs=1e-9)
        assert vars(same.spearman) == pytest.approx(vars(got.spearman), abs=1e-9)


def test_intervals_are_those_of_drawing_stimuli_and_ranking_again():
    rng = np.random.default_rng(1)
    one, two = (rsm.round(1) for rsm in draw_rsms(rng, 15))
    draws = []
    for _ in range(4000):
        drawn = rng.integers(0, 15, 15)
        x, y = (rsm.to_numpy()[np.ix_(drawn, drawn)] for rsm in (one, two))
        kept = np.triu(drawn[:, None] != drawn, 1)  # a stimulus with itself is no pair
        draws.append((np.corrcoef(x[kept], y[kept])[0, 1], stats.spearmanr(x[kept], y[kept]).statistic))
    got = rsm_agreement(one, two, n_boot=20_000, n_permutations=0, level=0.9, seed=0)
    for found, column in ((got.pearson, 0), (got.spearman, 1)):
        values = np.array(draws)[:, column]
        # The 5% quantile of 4,000 draws has a standard error of about .033 s.d.
        assert found.ci_low == pytest.approx(np.quantile(values, 0.05), abs=0.15 * values.std())
        assert found.ci_high == pytest.approx(np.quantile(values, 0.95), abs=0.15 * values.std())


def test_interval_over_pairs_is_the_bootstrap_of_scipy():
    one, two = draw_rsms(np.random.default_rng(2))
    got = rsm_agreement(one, two, n_boot=10_000, n_permutations=0, seed=0)
    for found, statistic in ((got.pearson, stats.pearsonr), (got.spearman, stats.spearmanr)):
        reference = stats.bootstrap(
            (pairs_of(one), pairs_of(two)), lambda x, y, by=statistic: by(x, y).statistic, paired=True,
            vectorized=False, method="percentile", n_resamples=2000, random_state=np.random.default_rng(3),
        )  # fmt: skip
        tolerance = 0.2 * reference.standard_error
        assert found.pairs_ci_low == pytest.approx(reference.confidence_interval.low, abs=tolerance)
        assert found.pairs_ci_high == pytest.approx(reference.confidence_interval.high, abs=tolerance)


def test_interval_over_stimuli_covers_the_population_and_that_over_pairs_does_not():
    rng, truth, n_studies = np.random.default_rng(0), 2 / np.sqrt(4 + 4 * 0.49), 200
    found = [rsm_agreement(*draw_rsms(rng, 25), n_boot=300, n_permutations=0, seed=k).pearson for k in range(n_studies)]
    covered = np.mean([one.ci_low <= truth <= one.ci_high for one in found])
    narrow = np.mean([one.pairs_ci_low <= truth <= one.pairs_ci_high for one in found])
    # Monte-Carlo error 3.3 s.e. (.05); the percentile bootstrap of 25 stimuli falls short by about .01 itself.
    assert 0.95 - 0.06 < covered <= 1
    assert narrow < 0.75
    assert all(one.ci_high - one.ci_low > one.pairs_ci_high - one.pairs_ci_low for one in found)


def test_p_is_uniform_for_unrelated_rsms_though_their_pairs_depend_on_each_other():
    rng = np.random.default_rng(0)
    p = []
    for k in range(200):
        (one, _), (two, _) = (draw_rsms(rng, 12) for _ in range(2))
        if k % 2:
            one.iloc[0, 5:9] = one.iloc[5:9, 0] = np.nan
        found = rsm_agreement(one, two, n_boot=1, n_permutations=99, seed=k)
        p.append((found.pearson.p, found.spearman.p))
    for values in np.array(p).T:
        assert stats.kstest(values, "uniform").pvalue > 0.01
    # Related ones reach the smallest p that the permutations allow.
    related = rsm_agreement(*draw_rsms(rng, 12), n_boot=1, n_permutations=99, seed=0)
    assert related.pearson.p == related.spearman.p == 0.01


def test_p_equals_the_share_of_all_orders():
    one, two = draw_rsms(np.random.default_rng(6), 6, share=3)
    x, observed, reached = pairs_of(one), [], []
    for order in permutations(range(6)):
        y = pairs_of(two.iloc[list(order), list(order)])
        observed.append(abs(np.corrcoef(x, y)[0, 1]))
    reached = np.mean(np.array(observed) >= observed[0] - 1e-9)
    got = rsm_agreement(one, two, n_boot=1, n_permutations=5000, seed=0)
    assert got.pearson.p == pytest.approx(reached, abs=4 * np.sqrt(reached * (1 - reached) / 5000))


def test_seed_decides_the_intervals():
    one, two = draw_rsms(np.random.default_rng(0))
    a, b, c = (rsm_agreement(one, two, n_boot=50, n_permutations=50, seed=seed) for seed in (0, 0, 1))
    assert vars(a.pearson) == vars(b.pearson) and vars(a.spearman) == vars(b.spearman)
    assert a.pearson.r == c.pearson.r and a.pearson.ci_low != c.pearson.ci_low


def test_rsms_that_cannot_be_compared_are_refused():
    one, two = draw_rsms(np.random.default_rng(0), 6)
    with pytest.raises(InputError, match=r"2 stimuli are in one RSM and not in the other \(5, x\)"):
        rsm_agreement(one, two.rename(index={5: "x"}, columns={5: "x"}), seed=0)
    with pytest.raises(InputError, match="the second RSM has the same similarity for all of 15 pairs"):
        rsm_agreement(one, two * 0 + 1 / 3, seed=0)
    with pytest.raises(InputError, match="the first RSM does not have the same stimuli"):
        rsm_agreement(one.iloc[:3], two, seed=0)
    with pytest.raises(InputError, match="the first RSM is not symmetric"):
        rsm_agreement(one + np.arange(6), two, seed=0)
    with pytest.raises(InputError, match="make no interval"):
        rsm_agreement(one, two, n_boot=0, seed=0)
    with pytest.raises(InputError, match="use 0 or more"):
        rsm_agreement(one, two, n_permutations=-1, seed=0)


def test_work_is_reported_to_the_end():
    told = []
    one, two = draw_rsms(np.random.default_rng(0), 8)
    progress = lambda done, total, /, *, detail="": told.append((done, total))  # noqa: E731
    rsm_agreement(one, two, n_boot=30, n_permutations=40, seed=0, progress=progress)
    assert told[-1] == (100, 100) and told == sorted(told)


# The order drawn


def test_clustering_puts_the_members_of_planted_groups_side_by_side():
    group = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 5))
    ids = [f"s{k:02d}" for k in range(15)]
    rsm = pd.DataFrame((group[:, None] == group) * 0.6 + 0.2, index=ids, columns=ids)
    rsm.iloc[0, 1] = rsm.iloc[1, 0] = np.nan
    order = rsm_order(rsm)
    assert sorted(order) == ids
    assert (np.diff([group[ids.index(name)] for name in order]) != 0).sum() == 2


def test_groups_stay_together_the_largest_first():
    rng = np.random.default_rng(0)
    one, _ = draw_rsms(rng, 9)
    names = [f"s{k}" for k in range(9)]
    one.index = one.columns = names
    groups = pd.Series(list("bbccccbaa"), index=names)
    order = rsm_order(one, groups)
    assert "".join(groups[order]) == "ccccbbbaa" and sorted(order) == names
    fewer = rsm_order(one, groups.drop(["s4", "s6"]))
    assert "".join(groups.drop(["s4", "s6"])[fewer[:7]]) == "cccaabb" and sorted(fewer[7:]) == ["s4", "s6"]
    with pytest.raises(InputError, match="no stimulus of the RSM has a group"):
        rsm_order(one, groups.rename(index=str.upper))


def test_a_set_without_a_choice_names_nobody():
    trials = TripletSet(np.empty((0, 3), int), list("abc"))
    with pytest.raises(InputError, match="0 stimuli make no triplet"):
        measured_rsm(trials)
