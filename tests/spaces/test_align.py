"""Spaces are brought onto the same stimuli, and what was lost is said."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.spaces import align, rows_for

IDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


def numbered(ids):
    """A space in which every stimulus bears its own number wherever it stands."""
    return pd.DataFrame({"code": [float(ord(i)) for i in ids]}, index=pd.Index(list(ids), name="id"))


@settings(deadline=None, max_examples=80)
@given(first=IDS, second=IDS, third=IDS)
def test_intersect_keeps_the_shared_stimuli_in_the_order_of_the_first_and_accounts_for_the_rest(first, second, third):
    shared = set(first) & set(second) & set(third)
    spaces = [numbered(ids) for ids in (first, second, third)]
    if not shared:
        with pytest.raises(InputError, match=r"share no stimulus ids .*make the ids match"):
            align(*spaces, how="intersect")
        return
    aligned = align(*spaces, how="intersect")
    assert list(aligned.ids) == [i for i in first if i in shared]
    for space, ids, dropped in zip(aligned.spaces, (first, second, third), aligned.dropped, strict=True):
        assert space.index.tolist() == list(aligned.ids)
        assert space["code"].tolist() == [ord(i) for i in aligned.ids]
        assert list(dropped) == [i for i in ids if i not in shared]


@settings(deadline=None, max_examples=40)
@given(ids=IDS, seed=st.integers(0, 99))
def test_exact_brings_any_order_of_the_same_ids_into_the_order_of_the_first(ids, seed):
    order = np.random.default_rng(seed).permutation(len(ids))
    aligned = align(numbered(ids), numbered(ids).iloc[order])
    pd.testing.assert_frame_equal(aligned.spaces[1], numbered(ids))
    assert aligned.dropped == ((), ())


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("abc", "ab", "ratings: 1 of its ids are not in captions (c)"),
        ("ab", "abcdefgh", "captions: 6 of its ids are not in ratings (c, d, e, f, g and 1 more)"),
    ],
)
def test_exact_names_the_ids_that_do_not_match_and_the_way_out(first, second, message):
    with pytest.raises(InputError) as caught:
        align(numbered(first), numbered(second), names=["ratings", "captions"])
    assert str(caught.value).startswith(message)
    assert 'make the ids match, or keep only the shared ones with how="intersect"' in str(caught.value)


def test_what_was_dropped_is_logged_space_by_space(caplog):
    align(numbered("abc"), numbered("cab"), numbered("b"), how="intersect", names=["one", "two", "three"])
    assert caplog.messages == [
        "2 of the stimuli of one are not in every space and were dropped: a, c.",
        "2 of the stimuli of two are not in every space and were dropped: c, a.",
    ]


@pytest.mark.parametrize(
    ("spaces", "how", "message"),
    [
        ((), "exact", "there is no space to align; give at least one"),
        (("ab",), "outer", "'outer' is no way to align; choose exact or intersect"),
    ],
)
def test_align_refuses_what_it_cannot_do(spaces, how, message):
    with pytest.raises(InputError, match=message):
        align(*map(numbered, spaces), how=how)


BROKEN = {
    "twice": (pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=list("aba")), "row 3: the id 'a' was already used in row 1"),
    "missing": (
        pd.DataFrame({"x": [1.0, np.nan]}, index=list("ab")),
        "row 2 (id b): the value in column 'x' is missing; fill it in",
    ),
}


@pytest.mark.parametrize("use", ["exact", "intersect", "rows_for"])
@pytest.mark.parametrize(("broken", "message"), BROKEN.values(), ids=BROKEN)
def test_a_repeated_id_or_a_missing_value_is_refused_by_space_and_row(use, broken, message):
    with pytest.raises(InputError) as caught:
        if use == "rows_for":
            rows_for(broken, ["a", "b"], name="two")
        else:
            align(numbered("ab"), broken, how=use, names=["one", "two"])
    assert str(caught.value).startswith(f"two, {message}")


def test_rows_for_looks_stimuli_up_by_id_in_the_order_asked():
    assert rows_for(numbered("abcdef"), ["e", "a"])["code"].tolist() == [ord("e"), ord("a")]


def test_rows_for_names_the_stimuli_it_lacks_and_what_it_has():
    with pytest.raises(InputError) as caught:
        rows_for(numbered("abcd"), ["a", "x", "y"], name="the judge's space")
    assert str(caught.value) == (
        "the judge's space: 2 of 3 stimuli are not in it (x, y); make the ids match (it has a, b, c and 1 more)."
    )
