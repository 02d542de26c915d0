import logging

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import Recording, patterns


def recorded(stimuli, runs, n_voxels=6, seed=0):
    trials = pd.DataFrame({"stimulus": list(stimuli), "run": runs, "session": 1})
    responses = np.random.default_rng(seed).normal(1000, 1, size=(len(trials), n_voxels)).astype(np.float32)
    return Recording("sub-01", responses, trials, source="sub-01.h5")


def test_the_pattern_of_a_stimulus_is_the_mean_over_its_presentations():
    recording = recorded("abcabdeec", [1, 1, 2, 1, 1, 2, 3, 3, 2])
    made = patterns(recording)
    means = pd.DataFrame(recording.responses.astype(np.float64)).groupby(recording.trials["stimulus"]).mean()
    assert made.ids == tuple("abcde") and made.subject == "sub-01"
    np.testing.assert_array_equal(made.responses, means.loc[list("abcde")].to_numpy().astype(np.float32))
    assert made.run.tolist() == [0, 0, 1, 1, 2] and made.responses.dtype == np.float32


def test_ids_choose_and_order_the_stimuli_and_the_log_says_what_is_left_out(caplog):
    recording = recorded("abcdef", [1, 1, 2, 2, 7, 7])
    space = pd.DataFrame({"Joy": range(6)}, index=list("fzbaed"))
    with caplog.at_level(logging.WARNING):
        made = patterns(recording, space.index)
    assert made.ids == tuple("fbaed")
    np.testing.assert_array_equal(made.responses, recording.responses[[5, 1, 0, 4, 3]])
    assert made.run.tolist() == [2, 0, 0, 2, 1]
    assert "1 stimuli were never shown and are left out: z" in caplog.text
    assert "trials of 1 stimuli that were not asked for are left out: c" in caplog.text


def test_presentations_kept_apart_are_rows_with_repeated_ids():
    recording = recorded("abcd" * 3, np.repeat([4, 5, 9], 4))
    made = patterns(recording, list("abd"), average=False)
    assert made.ids == tuple("abd" * 3)
    np.testing.assert_array_equal(made.responses, recording.responses[[0, 1, 3, 4, 5, 7, 8, 9, 11]])
    assert made.run.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_means_over_several_runs_need_a_word(caplog):
    recording = recorded("abcd" * 2, np.repeat([1, 2], 4))
    with pytest.raises(InputError, match=r"sub-01.h5: 4 stimuli were shown in more than one run \(a, b, c, d\)"):
        patterns(recording)
    assert patterns(recording, runs="ignore").run is None
    assert not caplog.records


def test_a_recording_shown_once_in_order_is_not_copied():
    recording = recorded("abcdef", [1, 1, 2, 2, 3, 3])
    assert np.shares_memory(patterns(recording).responses, recording.responses)
    repeated = recorded("abcdea", [1, 1, 2, 2, 3, 1])
    before = repeated.responses.copy()
    patterns(repeated)
    np.testing.assert_array_equal(repeated.responses, before)


def test_bad_responses_are_named_by_place(caplog):
    recording = recorded("abcdef", [1, 1, 2, 2, 3, 3])
    recording.responses[:, 4] = 3.0
    with caplog.at_level(logging.WARNING):
        patterns(recording)
    assert "1 voxels answer all stimuli alike (the first is voxel 4)" in caplog.text
    recording.responses[3, 2] = np.nan
    with pytest.raises(InputError, match=r"trial 3 \(run 2\): 1 voxels are NaN or infinite \(the first is voxel 2\)"):
        patterns(recording)
    with pytest.raises(InputError, match="3 patterns make no geometry"):
        patterns(recording, list("abc"))
    assert len(patterns(recording, list("abcef")).ids) == 5  # the trial is not among those wanted
    with pytest.raises(InputError, match=r"shows none of the stimuli \('a' here, 'x' there\)"):
        patterns(recording, ["x"])
    with pytest.raises(InputError, match="all patterns come from run 1"):
        patterns(recorded("abcd", [1] * 4))
    with pytest.raises(InputError, match="runs='drop'"):
        patterns(recording, runs="drop")
