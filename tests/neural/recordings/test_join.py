import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affectome import InputError
from affectome.neural import SurfaceMesh, join_recordings, standardise_runs


def test_joined_sessions_keep_every_trial_and_number_runs_apart(draw):
    parts = [draw(seed=k) for k in range(2)]
    joined = join_recordings(parts)
    np.testing.assert_array_equal(joined.responses, np.vstack([part.responses for part in parts]))
    assert joined.trials["stimulus"].tolist() == parts[0].trials["stimulus"].tolist() * 2
    assert joined.trials.groupby("run")["session"].nunique().max() == 1
    np.testing.assert_array_equal(joined.trials["run"], np.repeat(np.arange(1, 7), 4))
    np.testing.assert_array_equal(joined.trials["run_in_session"], np.tile(np.repeat([1, 2, 3], 4), 2))
    assert joined.trials.index.tolist() == list(range(24))
    assert joined.rois.keys() == parts[0].rois.keys()


def test_numbers_that_are_distinct_already_stay(draw):
    first, second = draw(seed=0), draw(seed=1)
    later = replace(second, trials=second.trials.assign(run=second.trials["run"] + 10, session=7))
    joined = join_recordings([first, later])
    assert joined.trials["run"].unique().tolist() == [1, 2, 3, 11, 12, 13]
    assert joined.trials["session"].unique().tolist() == [1, 7]


@given(numbers=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=6), min_size=2, max_size=4))
@settings(max_examples=40, deadline=None)
def test_runs_of_different_sessions_never_share_a_number(numbers):
    from affectome.neural.recordings._join import join_trials

    tables = [pd.DataFrame({"stimulus": "a", "run": runs, "session": 1}) for runs in numbers]
    joined = join_trials(tables)
    assert (joined.groupby("run")["session"].nunique() == 1).all()
    assert (joined.groupby("run")["run_in_session"].nunique() == 1).all()
    assert joined["run"].nunique() == sum(len(set(runs)) for runs in numbers)
    assert joined["run_in_session"].tolist() == [run for runs in numbers for run in runs]


def test_a_session_joined_later_gives_the_same_as_all_at_once(draw):
    parts = [draw(seed=k) for k in range(3)]
    stepwise = join_recordings([join_recordings(parts[:2]), parts[2]])
    at_once = join_recordings(parts)
    np.testing.assert_array_equal(stepwise.responses, at_once.responses)
    pd.testing.assert_frame_equal(
        stepwise.trials[["stimulus", "run", "session"]], at_once.trials[["stimulus", "run", "session"]]
    )


def test_voxels_regions_and_people_must_agree(draw):
    first, other = draw(seed=0), draw(seed=1)
    moved = replace(other.geometry, affine=other.geometry.affine + np.eye(4, k=3))
    mesh = SurfaceMesh(np.arange(30, dtype=np.int32), np.zeros(30, bool), (30, 1))
    cases = (
        (draw(seed=1, n_voxels=28), r"has 28 voxels and the first recording has 30 \(28 places are in both\)"),
        (replace(other, geometry=moved), "its voxels lie elsewhere"),
        (replace(other, geometry=replace(other.geometry, space="T1w")), "its voxels lie elsewhere"),
        (replace(other, geometry=mesh), "its voxels lie elsewhere"),
        (replace(other, geometry=None), "its voxels lie elsewhere"),
        (replace(other, rois={"V1": other.rois["V1"]}), "only one of it and the first recording has the regions V2"),
        (replace(other, rois=other.rois | {"V2": other.rois["V1"]}), "the regions V2 differ"),
        (replace(other, subject="sub-02"), "recording 2 is of sub-02, the first of sub-01"),
        (replace(other, responses=first.responses.copy()), "recordings 1 and 2 hold the same measurements"),
    )
    for case, message in cases:
        with pytest.raises(InputError, match=message):
            join_recordings([first, case])
    with pytest.raises(InputError, match="no recording is given"):
        join_recordings([])


@pytest.mark.parametrize("block", [2**21, 8])
def test_each_run_is_z_scored_as_scipy_does(draw, monkeypatch, block):
    monkeypatch.setattr("affectome.neural.recordings._join._BLOCK_VALUES", block)
    recording = draw(n_trials=20)
    shuffled = recording.select_trials(np.random.default_rng(0).permutation(20))  # runs need not be together
    before = shuffled.responses.copy()
    scaled, centred = standardise_runs(shuffled), standardise_runs(shuffled, method="center")
    for run in (1, 2, 3):
        rows = (shuffled.trials["run"] == run).to_numpy()
        np.testing.assert_allclose(
            scaled.responses[rows], stats.zscore(before[rows].astype(float), axis=0), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(centred.responses[rows], before[rows] - before[rows].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(shuffled.responses, before)
    assert standardise_runs(shuffled, method="none") is shuffled


def test_blocks_do_not_change_a_bit(draw, monkeypatch):
    recording = draw(n_trials=40, n_voxels=100)
    whole = standardise_runs(recording).responses
    monkeypatch.setattr("affectome.neural.recordings._join._BLOCK_VALUES", 64)
    np.testing.assert_array_equal(standardise_runs(recording).responses, whole)


@given(scale=st.floats(0.1, 50), shift=st.floats(-100, 100))
@settings(max_examples=20, deadline=None)
def test_z_scores_ignore_the_units_of_a_run(draw, scale, shift):
    recording = draw()
    responses = recording.responses.copy()
    second = (recording.trials["run"] == 2).to_numpy()
    responses[second] = responses[second] * np.float32(scale) + np.float32(shift)
    other = standardise_runs(replace(recording, responses=responses)).responses
    np.testing.assert_allclose(other, standardise_runs(recording).responses, atol=2e-3)


def test_a_voxel_constant_in_a_run_becomes_zero_there_and_is_counted(draw, caplog):
    recording = draw()
    responses = recording.responses.copy()
    responses[:4, 3] = np.float32(1000.1)  # run 1
    with caplog.at_level(logging.WARNING):
        scaled = standardise_runs(replace(recording, responses=responses)).responses
    assert (scaled[:4, 3] == 0).all() and np.abs(scaled[4:, 3]).min() > 0
    assert "1 of 90 voxels × runs are constant" in caplog.text


def test_what_cannot_be_standardised_is_named(draw):
    recording = draw()
    holed = recording.responses.copy()
    holed[5, :2] = np.nan
    alone = recording.trials.assign(run=[9] + [1] * 11)
    for case, method, message in (
        (replace(recording, responses=holed), "zscore", "run 2: the responses of 2 of 30 voxels are NaN"),
        (replace(recording, trials=alone), "zscore", "run 9 has a single trial"),
        (recording, "robust", "method is 'robust'; choose zscore, center or none"),
    ):
        with pytest.raises(InputError, match=message):
            standardise_runs(case, method=method)
