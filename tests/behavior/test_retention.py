"""How many components are needed: the curve, the number with its interval, and the fit to an RSM."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import (
    InputError,
    TripletSet,
    components_needed,
    held_out_accuracy,
    measured_rsm,
    predicted_rsm,
    rsm_agreement,
    sample_triplets,
    simulate_emotions,
)
from affectome.behavior import rsm_by_components

WORLD = simulate_emotions(40, 5, seed=0)


def truncated(space, k):
    """Twin of the cut: stimulus by stimulus."""
    kept = space.copy()
    for name, row in space.iterrows():
        smallest = row.abs().sort_values(ascending=False, kind="stable").index[k:]
        kept.loc[name, smallest] = 0
    return kept


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=10)
def test_curve_is_the_accuracy_of_each_truncated_space(seed):
    rng = np.random.default_rng(seed)
    space = pd.DataFrame(rng.normal(0.5, 1, (40, 4)).round(1), index=WORLD.planted.index)
    trials = WORLD.sample_answers(300, seed=seed)
    got = components_needed(space, trials, n_boot=200, seed=1)
    assert got.curve.index.tolist() == [1, 2, 3, 4]
    for k, row in got.curve.iterrows():
        alone = held_out_accuracy(truncated(space, k), trials, n_boot=200, seed=1)
        assert row["accuracy"] == pytest.approx(alone.value, abs=1e-9)
        # Two bootstraps of 200 draws: their ends differ by up to a few tenths of the half width.
        assert row["ci_high"] - row["ci_low"] == pytest.approx(alone.ci_high - alone.ci_low, rel=0.4)
    assert (got.n_trials, got.n_triplets, got.n_unanswered) == (300, 300, 0)


def two_weights_decide():
    """Stimuli whose first weight is the same for all and whose third never decides; trials that the second decides."""
    rng = np.random.default_rng(0)
    weights = np.full((60, 5), 3.0)
    weights[:, 1:] = 1e-3 * rng.random((60, 4))
    own = rng.integers(1, 5, 60)
    weights[np.arange(60), own] = 2 + rng.random(60) / 2
    space = pd.DataFrame(weights, index=[f"s{k}" for k in range(60)])
    questions = sample_triplets(space.index.tolist(), 3000, seed=1)
    a, b, c = own[questions.triplets].T
    same = np.stack([b == c, a == c, a == b])  # the pair that shares its second weight stays
    decided = same.sum(axis=0) == 1
    return space, questions.with_answers(same.argmax(axis=0))[decided]


def test_planted_weights_are_all_that_is_needed():
    space, trials = two_weights_decide()
    got = components_needed(space, trials, shares=[0.5, 0.9], seed=0)
    # One weight is the same for all, and every triplet ties.
    assert got.curve["accuracy"].iloc[0] == pytest.approx(1 / 3)
    assert got.curve["accuracy"].iloc[1:].tolist() == [1, 1, 1, 1]
    needed = got.needed.set_index(["baseline", "share"])
    assert needed["k"].tolist() == [2, 2, 2, 2]
    assert (needed["ci_low"] == 2).all() and (needed["ci_high"] == 2).all()
    full = got.curve["accuracy"].iloc[-1]
    assert needed.loc[("zero", 0.9), "threshold"] == pytest.approx(0.9 * full)
    assert needed.loc[("chance", 0.9), "threshold"] == pytest.approx(1 / 3 + 0.9 * (full - 1 / 3))


def test_share_of_the_accuracy_asks_for_less_than_share_above_chance():
    got = components_needed(WORLD.planted, WORLD.sample_answers(2000, seed=3), n_boot=300, seed=0)
    zero, chance = (got.needed[got.needed["baseline"] == base].reset_index() for base in ("zero", "chance"))
    assert (zero["threshold"] < chance["threshold"]).all() and (zero["k"] <= chance["k"]).all()
    assert zero["share"].tolist() == [0.95, 0.96, 0.97, 0.98, 0.99]
    # Every number is the first point of the curve at its threshold.
    for row in got.needed.itertuples():
        reached = got.curve.index[got.curve["accuracy"] >= row.threshold - 1e-9]
        assert row.k == reached[0] and row.ci_low <= row.k <= row.ci_high


def test_the_number_varies_as_in_new_samples_of_triplets():
    rng = np.random.default_rng(0)
    space = pd.DataFrame(np.sort(rng.exponential(1, (40, 8)))[:, ::-1], index=WORLD.planted.index)
    space = space * rng.permuted(np.tile(np.arange(8) < 6, (40, 1)), axis=1)
    judge = sample_triplets(space.index.tolist(), design="exhaustive", seed=0)
    x = space.to_numpy()[judge.triplets]
    kept = np.stack([(x[:, a] * x[:, b]).sum(axis=1) for a, b in ((1, 2), (0, 2), (0, 1))]).T
    everything = judge.with_answers(kept.argmax(axis=1))
    settings = {"shares": [0.9], "n_boot": 300}
    fresh = [
        components_needed(space, everything[rng.integers(0, len(judge), 150)], seed=k, **settings).needed["k"]
        for k in range(60)
    ]
    spread = np.std([row.iloc[0] for row in fresh])
    one = components_needed(space, everything[:150], seed=0, **settings).needed.iloc[0]
    truth = components_needed(space, everything, seed=0, **settings).needed.iloc[0]["k"]
    assert one["ci_low"] <= truth <= one["ci_high"]
    assert one["ci_high"] - one["ci_low"] == pytest.approx(3.92 * spread, abs=1.5)


def test_repeats_of_a_triplet_are_one_unit():
    trials = WORLD.sample_answers(200, seed=0)
    rows = np.repeat(np.arange(200), 6)
    once, often = (components_needed(WORLD.planted, t, n_boot=2000, seed=0) for t in (trials, trials[rows]))
    assert often.n_trials == 1200 and often.n_triplets == 200
    np.testing.assert_allclose(often.curve, once.curve, atol=0.015)


def test_a_space_without_skill_has_no_share_above_chance():
    got = components_needed(WORLD.planted * 0, WORLD.sample_answers(100, seed=0), shares=[0.9], n_boot=50, seed=0)
    zero, chance = got.needed.to_dict("records")
    assert (zero["k"], zero["ci_high"]) == (1, 1)
    assert all(np.isnan(chance[key]) for key in ("k", "threshold", "ci_low", "ci_high"))


def test_threads_and_the_order_of_trials_change_no_number():
    trials = WORLD.sample_answers(500, seed=0)
    one, two = (components_needed(WORLD.planted, trials, n_boot=50, seed=0, n_jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.curve, two.curve, check_exact=True)
    order = np.random.default_rng(0).permutation(500)
    mixed = components_needed(WORLD.planted, trials[order], n_boot=50, seed=0)
    pd.testing.assert_frame_equal(one.curve, mixed.curve, rtol=1e-9)
    pd.testing.assert_frame_equal(one.needed, mixed.needed)


def test_bad_input_is_refused():
    trials = WORLD.sample_answers(50, seed=0)
    for shares in ([], [0.0], [1.2]):
        with pytest.raises(InputError, match="not above 0 and at most 1"):
            components_needed(WORLD.planted, trials, shares=shares, seed=0)
    with pytest.raises(InputError, match="no trial is answered"):
        components_needed(WORLD.planted, TripletSet(trials.triplets, trials.ids), seed=0)
    with pytest.raises(InputError, match="1 of 40 stimuli are not in it"):
        components_needed(WORLD.planted.iloc[1:], trials, seed=0)
    with pytest.raises(InputError, match="make no interval"):
        components_needed(WORLD.planted, trials, level=1, seed=0)


# The fit to an RSM


def test_r_by_components_is_that_of_the_space_without_its_smallest():
    some = WORLD.planted.index[:20].tolist()
    measured = measured_rsm(WORLD.sample_answers(6000, seed=0), some, third="all").similarity
    told = []
    progress = lambda done, total, /, *, detail="": told.append((done, total))  # noqa: E731
    got = rsm_by_components(WORLD.planted, measured, third="all", n_boot=200, seed=0, progress=progress)
    sizes = WORLD.planted.sum().sort_values(ascending=False)
    assert got.curve["component"].tolist() == sizes.index.tolist()
    for k in (2, 5):
        predicted = predicted_rsm(WORLD.planted[sizes.index[:k]], some, third="all")
        want = rsm_agreement(measured, predicted, n_boot=200, n_permutations=0, seed=0).pearson
        row = got.curve.loc[k]
        assert (row["r"], row["ci_low"], row["ci_high"]) == pytest.approx((want.r, want.ci_low, want.ci_high))
    assert got.curve["r"].iloc[-1] > got.curve["r"].iloc[0] + 0.2
    assert (got.n_stimuli, got.n_pairs) == (20, 190) and told[-1] == (5, 5)


def test_a_prediction_without_any_spread_has_no_r():
    space = pd.DataFrame({"same": [2.0] * 8, "apart": [1.0, 0] * 4}, index=list("abcdefgh"))
    measured = predicted_rsm(space)
    got = rsm_by_components(space, measured, n_boot=50, seed=0).curve
    assert np.isnan(got.loc[1, "r"]) and np.isnan(got.loc[1, "ci_low"])
    assert got.loc[2, "r"] == pytest.approx(1)
    with pytest.raises(InputError, match="the same similarity for all of 28 pairs"):
        rsm_by_components(space, measured * 0, n_boot=50, seed=0)
