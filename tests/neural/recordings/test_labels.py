import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError
from affectome.neural import Recording, average_repeats, drop_duplicates, match_stimuli
from affectome.stimuli import HORIKAWA_DUPLICATES, N_PRESENTATIONS, N_VIDEOS, video_id


def shown(*labels, runs=None):
    """A recording of these stimuli whose single voxel counts the trials."""
    trials = pd.DataFrame({"stimulus": list(labels), "run": runs or 1, "session": 1})
    return Recording("sub-01", np.arange(len(labels), dtype=np.float32)[:, None], trials)


def test_an_id_is_taken_letter_for_letter_before_any_number():
    matched, match = match_stimuli(shown("7", "07", "7"), ["7", "07"])
    assert match.rule == "id" and matched.trials["stimulus"].tolist() == ["7", "07", "7"]
    assert match.matched.values.tolist() == [["7", "7", 2], ["07", "07", 1]]
    assert match.unmatched.empty and match.unshown == () and match.n_matched == 3


def test_one_rule_holds_for_all_trials_and_it_is_the_one_that_matches_most():
    matched, match = match_stimuli(shown("17", "0002"), ["0002", "0017"])
    assert match.rule == "number" and matched.trials["stimulus"].tolist() == ["0017", "0002"]
    matched, match = match_stimuli(
        shown("17", "a", "b"), ["0017", "a", "b"]
    )  # "17" is a number, but two are no numbers
    assert match.rule == "id" and matched.trials["stimulus"].tolist() == ["a", "b"]
    assert match.unmatched.values.tolist() == [["17", 1, 0]]
    assert match.unshown == ("0017",)
    assert match_stimuli(shown("17", "a"), ["0017", "a"])[1].rule == "id"  # as many: the stricter


@pytest.mark.parametrize("label", ["17", "0017", "0017.mp4", "clips/0017.mp4", r"D:\clips\17.mov", " 17"])
def test_labels_that_are_numbers_meet_ids_that_are(label):
    matched, match = match_stimuli(shown(label), ["00017", "scene"])
    assert match.rule == "number" and matched.trials["stimulus"].tolist() == ["00017"]
    assert matched.trials["label"].tolist() == [label]


@pytest.mark.parametrize("label", ["17.5", "clip17", "17 mp4", "-17", "1e1", ""])
def test_other_texts_with_digits_are_no_numbers(label):
    with pytest.raises(InputError, match="none of its 1 labels"):
        match_stimuli(shown(label), ["17x", "0017", "10"])


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_zeros_in_front_change_nothing(data):
    numbers = data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=8, unique=True))
    labels = ["0" * data.draw(st.integers(0, 3)) + str(one) for one in numbers]
    matched, _ = match_stimuli(
        shown(*labels, "999999"),
        [f"id{one}" for one in numbers],
        labels={label: f"id{one}" for label, one in zip(labels, numbers, strict=True)},
    )
    by_number, _ = match_stimuli(shown(*labels, "999999"), [f"{one:06d}.mp4" for one in numbers])
    assert [one.removeprefix("id") for one in matched.trials["stimulus"]] == [
        str(int(one.removesuffix(".mp4"))) for one in by_number.trials["stimulus"]
    ]


def test_a_table_is_the_only_rule_where_it_is_given():
    matched, match = match_stimuli(shown("a", "b", "x"), ["x", "one"], labels={"a": "one", "b": "two"})
    assert match.rule == "table" and matched.trials["stimulus"].tolist() == ["one"]
    assert match.unmatched["label"].tolist() == ["b", "x"]
    with pytest.raises(InputError, match=r"none of its 1 labels \(x\) is one of the 1 stimulus ids \(x\); the table"):
        match_stimuli(shown("x"), ["x"], labels={"a": "x"})


def test_trials_without_an_id_are_dropped_and_listed(caplog):
    with caplog.at_level(logging.WARNING):
        matched, match = match_stimuli(shown("n/a", "1", "x", "2", "n/a"), ["1", "2", "3"])
    np.testing.assert_array_equal(matched.responses, [[1], [3]])
    assert matched.trials.index.tolist() == [0, 1]
    assert match.unmatched.to_dict("records") == [
        {"label": "n/a", "n_trials": 2, "first_row": 0},
        {"label": "x", "n_trials": 1, "first_row": 2},
    ]
    assert (match.n_matched, match.n_unmatched, match.unshown) == (2, 3, ("3",))
    assert "3 trials are dropped, whose labels are no stimulus (n/a, x)" in caplog.text


def test_labels_that_fit_nothing_show_both_kinds():
    with pytest.raises(InputError, match=r"sub-01: none of its 2 labels \(joy, fear\) is one of the 3 .* \(1, 2, 3\)"):
        match_stimuli(shown("joy", "fear"), ["1", "2", "3"])


def test_ids_of_the_same_number_are_refused_where_numbers_count():
    with pytest.raises(InputError, match="the ids 02, 002 are all the number of the label 2, which could be any"):
        match_stimuli(shown("2"), ["02", "002"])
    assert match_stimuli(shown("02"), ["02", "002"])[1].rule == "id"
    with pytest.raises(InputError, match="the id 'a' was already used in row 1"):
        match_stimuli(shown("a"), ["a", "a"])
    with pytest.raises(InputError, match="no stimulus ids are given"):
        match_stimuli(shown("a"), [])


def test_the_presentations_of_horikawa_meet_the_videos():
    """2,196 presentations; their duplicates leave 2,181; the last eleven are clips that were shown before."""
    recording = shown(*(str(k) for k in range(1, N_PRESENTATIONS + 1)))
    unique = drop_duplicates(recording, HORIKAWA_DUPLICATES)
    assert len(unique.trials) == 2181
    ids = [video_id(k) for k in range(1, N_VIDEOS + 1)]
    matched, match = match_stimuli(unique, ids, labels={str(k): video_id(k) for k in range(1, N_PRESENTATIONS + 1)})
    assert match.rule == "table" and match.n_unmatched == 0 and matched.trials["stimulus"].is_unique
    assert set(match.unshown) == {"0859", "0866", "1673", "2157"} | {
        video_id(k) for k in HORIKAWA_DUPLICATES if k < 12 and N_VIDEOS + k in HORIKAWA_DUPLICATES
    }
    by_number = match_stimuli(recording, ids)[1]  # though the labels from 1000 are ids letter for letter
    assert by_number.rule == "number" and by_number.n_matched == N_VIDEOS
    assert by_number.unmatched["label"].tolist() == [str(k) for k in range(2186, 2197)]


def test_duplicates_drop_or_take_the_name_of_what_they_repeat():
    recording = shown("1", "2", "9", "1")
    assert drop_duplicates(recording, {"9"}).responses.ravel().tolist() == [0, 1, 3]
    renamed = drop_duplicates(recording, {"9": "2"})
    assert renamed.trials["stimulus"].tolist() == ["1", "2", "2", "1"]
    assert recording.trials["stimulus"].tolist() == ["1", "2", "9", "1"]
    for duplicates, message in (
        (["7"], r"none of the 1 duplicates \(7\) is shown in any trial; name them as the recording does \(it has 1, 2"),
        (["1", "2", "9"], "every trial shows a duplicate"),
        ({"9": "2", "2": "1"}, "9 repeat a stimulus that is itself a duplicate"),
        ("9", "duplicates is a single text"),
    ):
        with pytest.raises(InputError, match=message):
            drop_duplicates(recording, duplicates)


def test_repeats_are_averaged_within_the_asked_scope(draw):
    recording = draw(n_trials=24, n_runs=4)
    recording = replace(recording, trials=recording.trials.assign(session=(recording.trials["run"] > 2) + 1))
    for within, keys in (
        ("recording", ["stimulus"]),
        ("session", ["stimulus", "session"]),
        ("run", ["stimulus", "run"]),
    ):
        averaged = average_repeats(recording, within)
        frame = pd.DataFrame(recording.responses.astype(float))
        by = [recording.trials[key] for key in keys]
        np.testing.assert_allclose(averaged.responses, frame.groupby(by, sort=False).mean().to_numpy(), atol=1e-6)
        sizes = recording.trials.groupby(keys, sort=False)
        assert averaged.trials["n_averaged"].tolist() == sizes.size().tolist()
        assert averaged.trials["run"].tolist() == sizes["run"].first().tolist()
        assert averaged.trials["block"].tolist() == sizes["block"].first().tolist()
    with pytest.raises(InputError, match="within is 'block'"):
        average_repeats(recording, "block")


def test_averaging_in_two_steps_is_averaging_once():
    recording = shown("a", "a", "b", "a", "b", runs=[1, 1, 1, 2, 2])
    stepwise = average_repeats(average_repeats(recording, "run"))
    once = average_repeats(recording)
    np.testing.assert_allclose(stepwise.responses, once.responses)
    np.testing.assert_allclose(once.responses, [[4 / 3], [3]])
    assert stepwise.trials["n_averaged"].tolist() == once.trials["n_averaged"].tolist() == [3, 2]


def test_averaging_nothing_changes_no_bit(draw):
    recording = draw(n_trials=8)
    averaged = average_repeats(recording)
    np.testing.assert_array_equal(averaged.responses, recording.responses)
    assert (averaged.trials["n_averaged"] == 1).all()
