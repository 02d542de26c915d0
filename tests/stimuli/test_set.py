"""A stimulus set keeps ids, captions, videos and spaces together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.stimuli import StimulusSet


def test_every_stimulus_has_captions_even_if_none(stimuli):
    assert len(stimuli) == 4
    assert stimuli.captions == {"a": ("A dog runs.", "Happy dog."), "b": ("A fall.",), "c": (), "d": ()}
    assert repr(stimuli) == "StimulusSet(4 stimuli, 3 captions, 1 videos, spaces: category (3))"


@settings(deadline=None, max_examples=40)
@given(order=st.permutations("abcdef"))
def test_spaces_follow_the_order_of_the_ids_whatever_their_own(order):
    codes = pd.DataFrame({"code": [float(ord(i)) for i in order]}, index=list(order))
    space = StimulusSet("abcdef", spaces={"s": codes}).spaces["s"]
    assert space.index.tolist() == list("abcdef")
    assert space["code"].tolist() == [ord(i) for i in "abcdef"]


@settings(deadline=None, max_examples=40)
@given(wanted=st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
def test_select_takes_everything_known_of_a_stimulus_along(wanted):
    codes = pd.DataFrame({"code": [float(ord(i)) for i in "abcdef"]}, index=list("abcdef"))
    videos = {i: f"{i}.mp4" for i in "ace"}
    stimuli = StimulusSet("abcdef", captions={i: [i.upper()] for i in "abc"}, videos=videos, spaces={"s": codes})
    some = stimuli.select(wanted)
    assert some.ids == tuple(wanted)
    assert some.captions == {i: (i.upper(),) if i in "abc" else () for i in wanted}
    assert {i: path.name for i, path in some.videos.items()} == {i: videos[i] for i in wanted if i in videos}
    assert some.spaces["s"]["code"].tolist() == [ord(i) for i in wanted]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ()}, "the list: there are no stimuli; give at least one."),
        ({"ids": "aba"}, "the list, row 3: the id 'a' was already used in row 1; rename or delete one of the two"),
        (
            {"ids": "ab", "captions": {"x": ["hm"]}},
            "the list: there are captions for 1 unknown stimuli (x); make the ids match.",
        ),
        (
            {"ids": "ab", "captions": {"b": ["Fine."], "a": "A dog runs."}},
            "the list: the captions of 'a' are one text; give a list of texts.",
        ),
        (
            {"ids": "ab", "videos": {"a": "a.mp4", "y": "y.mp4"}},
            "the list: there are videos for 1 unknown stimuli (y); make the ids match.",
        ),
        (
            {"ids": "ab", "spaces": {"s": pd.DataFrame({"x": [1.0]}, index=["a"])}},
            "the list: 1 of its ids are not in s (b); make the ids match",
        ),
        (
            {"ids": "a", "spaces": {"s": pd.DataFrame({"x": ["?"]}, index=["a"])}},
            "s, row 1 (id a): the value in column 'x' is '?', not a finite number; fill it in",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name_and_remedy(arguments, message):
    with pytest.raises(InputError) as caught:
        StimulusSet(**arguments, source="the list")
    assert str(caught.value).startswith(message)


def test_select_refuses_unknown_and_repeated_ids(stimuli):
    with pytest.raises(InputError, match=r"the test set: 2 ids are unknown \(x, y\); correct them"):
        stimuli.select(["a", "x", "y"])
    with pytest.raises(InputError, match="'a' was already used in row 1"):
        stimuli.select(["a", "a"])


def test_a_space_is_added_to_a_copy(stimuli, make_ratings):
    more = stimuli.with_space("again", make_ratings("dcba", seed=1))
    assert list(more.spaces) == ["category", "again"] and list(stimuli.spaces) == ["category"]
    pd.testing.assert_frame_equal(more.spaces["again"], make_ratings("dcba", seed=1).loc[list("abcd")])


def test_a_space_over_other_stimuli_needs_intersect_said_aloud(stimuli, make_ratings, caplog):
    other = make_ratings("cabx", seed=1)
    with pytest.raises(InputError, match=r'not in other \(d\).*how="intersect"'):
        stimuli.with_space("other", other)
    fewer = stimuli.with_space("other", other, how="intersect")
    assert fewer.ids == ("a", "b", "c")
    assert list(fewer.spaces) == ["category", "other"]
    assert all(space.index.tolist() == ["a", "b", "c"] for space in fewer.spaces.values())
    assert np.array_equal(fewer.spaces["other"], other.loc[["a", "b", "c"]])
    assert [message.split(" are not")[0] for message in caplog.messages] == [
        "1 of the stimuli of the test set",
        "1 of the stimuli of other",
    ]


def test_a_second_space_of_the_same_name_is_refused(stimuli, make_ratings):
    with pytest.raises(InputError, match="there is already a space called 'category'; choose another name"):
        stimuli.with_space("category", make_ratings("abcd"))


def test_captions_can_be_replaced_and_must_belong_to_the_set(stimuli):
    assert stimuli.with_captions({"d": ["New."]}).captions == {"a": (), "b": (), "c": (), "d": ("New.",)}
    assert stimuli.captions["a"] == ("A dog runs.", "Happy dog.")
    with pytest.raises(InputError, match=r"captions for 1 unknown stimuli \(z\)"):
        stimuli.with_captions({"z": ["New."]})
