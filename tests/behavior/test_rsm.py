from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError, predicted_rsm, simulate_emotions
from affectome.embedding import choice_probabilities


def draw_space(seed, n=9, p=4):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(0.3, 1, (n, p)), index=[f"s{i}" for i in range(n)])


def brute_force(space):
    n, e = len(space), np.exp(space.to_numpy() @ space.to_numpy().T)
    out = np.full((n, n), np.nan)
    for i, j in combinations(range(n), 2):
        out[i, j] = out[j, i] = np.mean([e[i, j] / (e[i, j] + e[i, k] + e[j, k]) for k in range(n) if k not in (i, j)])
    return out


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


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_threads_change_no_bit(n_jobs):
    space = draw_space(3, n=40)
    assert np.array_equal(predicted_rsm(space, n_jobs=n_jobs), predicted_rsm(space), equal_nan=True)


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
