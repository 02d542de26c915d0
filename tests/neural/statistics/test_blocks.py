import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.neural import block_permutations


def trials_of(*runs):
    """Trials from one text per run, a letter a stimulus."""
    return pd.DataFrame(
        {"stimulus": list("".join(runs)), "run": np.repeat(np.arange(len(runs)) + 1, [len(r) for r in runs])}
    )


def test_blocks_move_as_wholes_and_only_inside_their_run():
    trials = trials_of("abcdefgh", "ijklmnop")
    drawn = block_permutations(trials, block_length=2, n_permutations=500, seed=0)
    runs = trials["run"].to_numpy()
    assert (runs[drawn.orders] == runs).all()
    pairs = drawn.orders.reshape(500, 8, 2)
    assert (pairs[..., 1] == pairs[..., 0] + 1).all() and (pairs[..., 0] % 2 == 0).all()
    assert (np.sort(drawn.orders, axis=1) == np.arange(16)).all()
    assert drawn.block.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]


def test_every_block_comes_to_every_place_equally_often():
    drawn = block_permutations(trials_of("abcdefgh"), n_permutations=8000, seed=1)
    assert not drawn.exact
    for place in range(8):
        counts = np.bincount(drawn.orders[:, place], minlength=8)
        assert np.abs(counts - 1000).max() < 4 * np.sqrt(8000 * 7 / 64)


def test_over_the_recording_blocks_meet_those_of_other_runs():
    trials = trials_of("ab", "cd", "ef", "gh")
    drawn = block_permutations(trials, block_length=2, within=None, n_permutations=23, seed=0)
    assert drawn.exact and drawn.n_distinct == 24
    firsts = {tuple(order[::2].tolist()) for order in drawn.orders}
    assert firsts == set(itertools.permutations([0, 2, 4, 6])) - {(0, 2, 4, 6)}


@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3))
@settings(max_examples=60)
def test_distinct_rearrangements_are_those_that_change_which_stimulus_meets_which_response(runs):
    trials = trials_of(*runs)
    ways = math.prod(len(set(itertools.permutations(run))) for run in runs)
    if ways < 20:
        with pytest.raises(InputError, match=f"in {ways} ways only"):
            block_permutations(trials, n_permutations=5000, seed=0)
        return
    drawn = block_permutations(trials, n_permutations=5000, seed=0)
    assert drawn.n_distinct == ways and drawn.exact and drawn.n_permutations == ways - 1
    stimulus = trials["stimulus"].to_numpy()
    met = {tuple(stimulus[np.argsort(order)]) for order in drawn.orders}  # what each response meets
    assert len(met) == ways - 1 and tuple(stimulus) not in met


def test_one_rearrangement_more_than_asked_for_makes_the_test_random():
    trials = trials_of("abcd")  # 24 ways
    assert block_permutations(trials, n_permutations=23, seed=0).exact
    drawn = block_permutations(trials, n_permutations=22, seed=0)
    assert not drawn.exact and drawn.n_permutations == 22 and drawn.smallest_p == 1 / 23


def test_blocks_of_unequal_length_do_not_change_places_and_what_stays_is_said(caplog):
    trials = trials_of("abcdefghijk", "lmnopqrstuv")  # blocks of 3, 3, 3 and a rest of 2
    drawn = block_permutations(trials, block_length=3, n_permutations=1000, seed=0)
    assert drawn.n_distinct == 36 and drawn.exact
    assert (drawn.orders[:, [9, 10, 20, 21]] == [9, 10, 20, 21]).all()
    assert drawn.still == pytest.approx(4 / 22) and not caplog.records
    block_permutations(trials_of("abcdefgh", "ijklmnop", "qrstuvwx"), blocks=np.tile([0, 1, 2, 3, 4, 5, 5, 5], 3),
                       n_permutations=99, seed=0)  # fmt: skip
    assert "38% of the trials are in blocks that have no other of their length" in caplog.text


def test_a_block_ends_where_its_label_or_the_run_does():
    trials = trials_of("aabbaa", "aabbcc").assign(block=[0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 2, 2])
    drawn = block_permutations(trials, blocks="block", n_permutations=35, within=None, seed=0)
    assert drawn.block.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_blocks_with_the_same_stimuli_are_one_arrangement_within_their_run():
    trials = trials_of("ababcdef")  # pairs ab, ab, cd, ef: 4! / 2!
    with pytest.raises(InputError, match="arranged in 12 ways only"):
        block_permutations(trials, block_length=2, n_permutations=100, seed=0)
    twice = trials_of("ababcdef", "ababcdef")
    assert block_permutations(twice, block_length=2, n_permutations=1000, seed=0).n_distinct == 144
    # In another run the same stimuli are predicted by another model, so that it matters.
    assert block_permutations(twice, block_length=2, within=None, n_permutations=100, seed=0).n_distinct == (
        math.factorial(8) // 4
    )


def test_the_seed_alone_decides():
    trials = trials_of("abcdefgh")
    first, again, other = (block_permutations(trials, n_permutations=50, seed=s).orders for s in (3, 3, 4))
    assert (first == again).all() and (first != other).any()


def test_the_null_is_a_sentence():
    trials = trials_of("abcdefgh", "ijklmnop")
    assert block_permutations(trials, block_length=2, n_permutations=99, seed=0).null == (
        "responses are exchangeable in blocks of 2 trials of equal length within its run "
        "(rearrangements drawn at random)"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": "chunk"}, "no column 'chunk'; name one of stimulus, run"),
        ({"blocks": [0, 1]}, r"blocks of shape \(2,\) are given for 8 trials"),
        ({"blocks": [0, 1, 2, None, 4, 5, 6, 7]}, "trial 3: the block is missing"),
        ({"block_length": 0}, "block_length=0 makes no blocks"),
        ({"block_length": 2, "blocks": "run"}, "both blocks and block_length are given"),
        ({"n_permutations": 0}, "no null without permutations"),
        ({"n_permutations": 10}, "10 permutations cannot give a p below 0.0909; use at least 19 permutations"),
        ({"block_length": 8}, "arranged in 1 ways only, .*use shorter blocks, or exchange them across runs"),
    ],
)
def test_settings_that_make_no_test_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        block_permutations(trials_of("abcdefgh"), **{"n_permutations": 99, "seed": 0, **changes})


def test_trials_without_run_or_stimulus_are_refused():
    trials = trials_of("abcdefgh")
    with pytest.raises(InputError, match="no column 'run'"):
        block_permutations(trials.drop(columns="run"), n_permutations=99, seed=0)
    trials.loc[2, "stimulus"] = None
    with pytest.raises(InputError, match="trial 2: the stimulus is missing"):
        block_permutations(trials, n_permutations=99, seed=0)
