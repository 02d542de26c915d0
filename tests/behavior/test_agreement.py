from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError, TripletSet, sample_triplets
from affectome.behavior import choice_agreement

QUESTIONS = sample_triplets([f"s{k:02d}" for k in range(30)], 400, seed=0)


def answered(seed, *, unanswered=0.0, questions=QUESTIONS):
    rng = np.random.default_rng(seed)
    choice = rng.integers(0, 3, len(questions))
    choice[rng.random(len(questions)) < unanswered] = -1
    return questions.with_answers(choice)


@given(seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=20)
def test_agreement_equals_brute_force_with_the_unanswered_left_out_per_pair(seed):
    systems = {name: answered(seed + k, unanswered=0.3 * k) for k, name in enumerate(("human", "llm", "mllm"))}
    table = choice_agreement(systems, n_boot=10, seed=0).table
    assert list(zip(table["first"], table["second"], strict=True)) == list(combinations(systems, 2))
    for row in table.itertuples():
        pairs = zip(systems[row.first].choice.tolist(), systems[row.second].choice.tolist(), strict=True)
        same = [a == b for a, b in pairs if a >= 0 and b >= 0]
        assert row.n_trials == len(same) < 400
        assert row.value == pytest.approx(np.mean(same), abs=1e-12)


def test_random_systems_agree_in_a_third_and_a_system_with_itself_always():
    table = choice_agreement({"a": answered(0), "b": answered(1), "again": answered(0)}, seed=0).table
    assert table["value"].iloc[0] == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 400))
    assert table.iloc[1][["value", "ci_low", "ci_high"]].tolist() == [1, 1, 1]


def test_interval_of_independent_trials_has_the_binomial_width():
    questions = sample_triplets(40, 2000, seed=1)
    systems = {"a": answered(0, questions=questions), "b": answered(1, questions=questions)}
    got = choice_agreement(systems, n_boot=20_000, seed=0).table.iloc[0]
    wider = choice_agreement(systems, n_boot=20_000, level=0.99, seed=0).table.iloc[0]
    for row, level in ((got, 0.95), (wider, 0.99)):
        half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(row.value * (1 - row.value) / 2000)
        assert (row.value - row.ci_low, row.ci_high - row.value) == pytest.approx((half, half), rel=0.06)


def test_repeats_of_a_triplet_are_resampled_together():
    rows = np.repeat(np.arange(400), 4)
    once, often = ({"a": answered(0)[r], "b": answered(1)[r]} for r in (slice(None), rows))
    got, expected = (choice_agreement(systems, n_boot=500, seed=2).table.iloc[0] for systems in (often, once))
    assert got.n_trials == 1600
    assert (got.value, got.ci_low, got.ci_high) == pytest.approx((expected.value, expected.ci_low, expected.ci_high))


def test_seed_decides_the_interval_alone():
    systems = {"a": answered(0), "b": answered(1)}
    one, again, other = (choice_agreement(systems, n_boot=200, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one.table, again.table)
    assert (one.level, one.n_boot) == (0.95, 200)
    assert one.table["value"].equals(other.table["value"])
    assert not one.table["ci_low"].equals(other.table["ci_low"])


def test_matrix_is_symmetric_with_ones_on_the_diagonal_in_the_order_of_the_systems():
    names = ["mllm", "human", "llm"]
    agreement = choice_agreement({name: answered(k) for k, name in enumerate(names)}, n_boot=10, seed=0)
    matrix = agreement.matrix()
    assert matrix.index.tolist() == matrix.columns.tolist() == names
    assert np.diag(matrix).tolist() == [1, 1, 1]
    for row in agreement.table.itertuples():
        assert matrix.loc[row.first, row.second] == matrix.loc[row.second, row.first] == row.value


@pytest.mark.parametrize(
    "other",
    [
        answered(1)[::-1],
        answered(1)[:-1],
        TripletSet(QUESTIONS.triplets[:, ::-1], QUESTIONS.ids, answered(1).choice),
        TripletSet(QUESTIONS.triplets, QUESTIONS.ids[::-1], answered(1).choice),
    ],
    ids=["other order", "fewer", "other slots", "other ids"],
)
def test_systems_that_answered_different_questions_are_refused(other):
    with pytest.raises(InputError, match="'a' and 'b' answered different questions; ask both the same triplets"):
        choice_agreement({"a": answered(0), "b": other}, seed=0)


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError, match="1 system has nobody to agree with; give at least two"):
        choice_agreement({"a": answered(0)}, seed=0)
    halves = np.arange(400) < 200
    a, b = (QUESTIONS.with_answers(np.where(half, 0, -1)) for half in (halves, ~halves))
    with pytest.raises(InputError, match="'a' and 'b' have no answered trial in common"):
        choice_agreement({"a": a, "b": b}, seed=0)
    with pytest.raises(InputError, match="make no interval"):
        choice_agreement({"a": answered(0), "b": answered(1)}, level=1.0, seed=0)
