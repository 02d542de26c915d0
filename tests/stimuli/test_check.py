"""The check counts what is there and finds what usually is a mistake."""

import pandas as pd
import pytest

from affectome.stimuli import StimulusSet, check_stimuli


def test_the_report_counts_what_the_set_holds(stimuli):
    report = check_stimuli(stimuli)
    values = stimuli.spaces["category"].to_numpy()
    assert (report.n_stimuli, report.n_captions, report.n_videos) == (4, 3, 1)
    assert report.spaces == {"category": (3, pytest.approx(values.min()), pytest.approx(values.max()))}


def test_a_sound_set_has_no_warnings(make_ratings):
    assert check_stimuli(StimulusSet("abc", spaces={"r": make_ratings("abc")})).warnings == ()
    assert check_stimuli(StimulusSet("ab", captions={"a": ["x"], "b": ["y"]})).warnings == ()


def test_the_check_names_gaps_empty_clips_twins_and_constant_columns(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(b"" if name == "a" else b"clip")
    monkeypatch.setattr("affectome.stimuli._check.probe_clip", lambda path: None)  # test_frames holds what it says
    ratings = pd.DataFrame({"Joy": [0.1, 0.1, 0.7], "Awe": [0.5, 0.5, 0.5]}, index=list("abc"))
    stimuli = StimulusSet(
        "abc",
        captions={"c": ["A fall."]},
        videos={name: tmp_path / f"{name}.mp4" for name in "ab"},
        spaces={"category": ratings},
    )
    assert check_stimuli(stimuli).warnings == (
        "2 stimuli have no caption, others do (a, b).",
        "1 stimuli have no video, others do (c).",
        "1 videos are empty files (a).",
        "2 stimuli of 'category' share their values with another (a, b).",
        "1 columns of 'category' are constant (Awe).",
    )
