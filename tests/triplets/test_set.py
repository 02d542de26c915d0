"""A triplet set holds valid trials in the order shown, and indexes like an array of them."""

import pickle
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.triplets import TripletSet

ROWS = st.lists(st.permutations(range(7)).map(lambda p: p[:3]), min_size=1, max_size=20)
NAN = float("nan")


def test_arrays_have_the_documented_types_and_new_trials_are_unanswered():
    trials = TripletSet(np.array([[0, 1, 2], [2.0, 1, 0]]), ids=[10, 11, 12], block=[0, 1])
    assert trials.triplets.dtype == np.int32 and trials.triplets.flags.c_contiguous
    assert trials.choice.dtype == np.int8 and trials.choice.tolist() == [-1, -1]
    assert trials.block.dtype == np.int32 and trials.probabilities is None
    assert trials.ids == ("10", "11", "12") and trials.shape == (2, 3) and len(trials) == 2
    assert not trials.answered.any()
    assert repr(trials) == "TripletSet(2 trials of 3 stimuli, 0 answered)"


def test_an_empty_set_is_allowed():
    trials = TripletSet(np.empty((0, 3)), ids="abc")
    assert len(trials) == 0 and trials.keys().shape == (0,) and trials.odd_last().shape == (0, 3)


def test_keys_tell_all_unordered_triplets_apart_and_no_others():
    every = np.array(list(combinations(range(12), 3)))
    assert len(set(TripletSet(every, ids=range(12)).keys().tolist())) == len(every) == 220
    orders = np.array(list(permutations([3, 7, 11])))
    assert len(set(TripletSet(orders, ids=range(12)).keys().tolist())) == 1


def test_keys_stay_distinct_where_products_leave_32_bits():
    rows = [[0, 1, 99_999], [0, 2, 99_999], [99_997, 99_998, 99_999], [99_996, 99_998, 99_999]]
    assert len(set(TripletSet(rows, ids=range(100_000)).keys().tolist())) == 4


@settings(deadline=None, max_examples=60)
@given(rows=ROWS, data=st.data())
def test_permuting_slots_changes_neither_keys_nor_who_is_odd(rows, data):
    rows = np.array(rows)
    odd = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))))
    orders = np.array([data.draw(st.permutations(range(3))) for _ in rows])
    one = TripletSet(rows, range(7), odd)
    other = TripletSet(np.take_along_axis(rows, orders, axis=1), range(7), (orders == odd[:, None]).argmax(axis=1))
    np.testing.assert_array_equal(one.keys(), other.keys())
    for left, right, row, slot in zip(one.odd_last(), other.odd_last(), rows, odd, strict=True):
        assert left[2] == right[2] == row[slot]
        assert set(left[:2]) == set(right[:2]) == set(row) - {row[slot]}


def test_odd_last_leaves_unanswered_trials_out():
    trials = TripletSet([[0, 1, 2], [3, 4, 5], [6, 7, 8]], ids=range(9), choice=[-1, 0, 1])
    assert trials.odd_last().tolist() == [[4, 5, 3], [6, 8, 7]]
    assert trials.odd_last().dtype == np.int32


INDEXES = [
    slice(10, 40, 3),
    slice(-5, None),
    [4, 0, 4],
    np.arange(60) % 7 == 0,
    np.array([59, 1]),
    (np.array([3, 2]), Ellipsis),
]


@pytest.mark.parametrize("index", INDEXES, ids=["slice", "tail", "list", "mask", "array", "rows and ellipsis"])
def test_indexing_takes_the_same_trials_from_every_array(trials, index):
    rows = np.arange(60)[index[0] if isinstance(index, tuple) else index]
    part = trials[index]
    assert isinstance(part, TripletSet) and len(part) == len(rows)
    for name in ("triplets", "choice", "probabilities", "block"):
        np.testing.assert_array_equal(getattr(part, name), getattr(trials, name)[rows])
    assert part.ids == trials.ids and part.metadata == trials.metadata


@pytest.mark.parametrize("index", [0, -1, np.int64(5)])
def test_one_index_gives_a_set_of_one_trial(trials, index):
    assert trials[index].triplets.tolist() == [trials.triplets[index].tolist()]


def test_a_set_is_not_indexed_by_slot_nor_iterated(trials):
    with pytest.raises(IndexError, match="indexed by trial only"):
        trials[:, 1]
    with pytest.raises(IndexError):
        trials[60]
    with pytest.raises(TypeError, match="not iterated trial by trial"):
        iter(trials)


def test_answers_are_added_to_a_copy_with_what_was_known(trials, assert_same):
    bare = TripletSet(trials.triplets, trials.ids, block=trials.block, metadata={"design": "random"})
    answered = bare.with_answers(trials.choice, trials.probabilities, {"judge": "j"})
    assert_same(answered, trials, metadata=False)
    assert answered.metadata == {"design": "random", "judge": "j"}
    assert bare.metadata == {"design": "random"} and not bare.answered.any()


@pytest.mark.parametrize("name", ["triplets", "choice", "probabilities", "block"])
def test_what_the_caller_does_to_an_array_later_changes_nothing(trials, assert_same, name):
    arrays = {key: getattr(trials, key).copy() for key in ("triplets", "choice", "probabilities", "block")}
    copy = TripletSet(**arrays, ids=trials.ids, metadata=trials.metadata)
    arrays[name][:] = arrays[name][::-1].copy()
    assert_same(copy, trials)


def test_a_set_survives_pickling(trials, assert_same):
    assert_same(pickle.loads(pickle.dumps(trials)), trials)


BAD = {
    "one-dimensional": ({"triplets": [0, 1, 2]}, "the triplets have shape (3,); give an array of shape (n, 3)"),
    "two slots": ({"triplets": [[0, 1]]}, "the triplets have shape (1, 2); give an array of shape (n, 3)"),
    "fractions": (
        {"triplets": [[0, 1, 2], [0, 1, 1.5]]},
        "row 2: a stimulus index is no whole number; give three stimulus indices",
    ),
    "missing": ({"triplets": [[0, 1, NAN]]}, "row 1: a stimulus index is no whole number; give three stimulus indices"),
    "text": ({"triplets": [["a", "b", "c"]]}, "the triplets are not numbers; give stimulus indices"),
    "beyond": (
        {"triplets": [[0, 1, 2], [3, 4, 1]]},
        "row 2: the stimulus index 4 is out of range; there are 4 stimuli",
    ),
    "negative": ({"triplets": [[0, -1, 2]]}, "row 1: the stimulus index -1 is out of range; there are 4 stimuli"),
    "twice ab": ({"triplets": [[0, 1, 2], [1, 1, 2]]}, "row 2: a stimulus appears twice in the triplet 1 1 2; show"),
    "twice ac": ({"triplets": [[1, 2, 1]]}, "row 1: a stimulus appears twice in the triplet 1 2 1; show three"),
    "twice bc": ({"triplets": [[2, 1, 1]]}, "row 1: a stimulus appears twice in the triplet 2 1 1; show three"),
    "twin ids": ({"ids": "abca"}, "two stimuli of the triplet set share an id; make the ids unique"),
    "choice 3": ({"choice": [0, 3]}, "row 2: the choice 3 is no slot; use 0, 1 or 2"),
    "choice .5": ({"choice": [0.5, 0]}, "row 1: the choice 0.5 is no slot; use 0, 1 or 2"),
    "choice count": ({"choice": [0]}, "the choices have shape (1,) for 2 trials; give one per trial"),
    "sum": ({"probabilities": [[1, 0, 0], [0.5, 0.5, 0.5]]}, "row 2: the probabilities [0.5, 0.5, 0.5] do not sum to"),
    "below 0": ({"probabilities": [[-0.5, 0.5, 1], [1, 0, 0]]}, "row 1: the probabilities [-0.5, 0.5, 1.0] do not"),
    "part NaN": ({"probabilities": [[0.5, 0.5, NAN], [1, 0, 0]]}, "row 1: the probabilities [0.5, 0.5, nan] do not"),
    "p shape": ({"probabilities": [[1, 0, 0]]}, "the probabilities have shape (1, 3) for 2 trials; give three per"),
    "block": ({"block": [0]}, "block has shape (1,) for 2 trials; give one block per trial"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_trial_is_refused_by_row_and_remedy(change, message):
    with pytest.raises(InputError) as caught:
        TripletSet(**{"triplets": [[0, 1, 2], [3, 2, 1]], "ids": "abcd"} | change)
    assert str(caught.value).startswith(message)


def test_the_ids_in_use_are_those_of_some_trial_in_their_order():
    trials = TripletSet([[4, 1, 2], [2, 4, 1]], ids=list("abcdef"))
    assert trials.used_ids() == ["b", "c", "e"] and trials[:0].used_ids() == []
