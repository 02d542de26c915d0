from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affectome.neural import SurfaceMesh, check_recording


def test_a_sound_recording_gives_facts_and_no_warning(recording):
    check = check_recording(recording, [str(k) for k in range(1, 10)])
    assert (check.n_trials, check.n_stimuli, check.n_voxels) == (12, 8, 30)
    assert check.runs.to_dict("list") == {
        "session": [1] * 3,
        "n_trials": [4] * 3,
        "n_stimuli": [4] * 3,
        "missing_voxels": [0] * 3,
        "constant_voxels": [0] * 3,
    }
    assert check.regions["n_voxels"].to_dict() == {"V1": 10, "V2": 14}
    assert check.repeats["n_stimuli"].to_dict() == {1: 4, 2: 4}
    assert check.n_across_runs == 4 and check.labels.rule == "id" and check.labels.unshown == ("9",)
    assert check.warnings == ()
    said = str(check)
    for part in (
        "repeats:   4 stimuli once, 4 twice",
        "runs:      3 of 4 trials",
        "a volume of 4 × 5 × 6 voxels of 2 × 2 × 2.5 mm, space MNI152NLin2009cAsym",
        "regions:   2 of 10 to 14 voxels",
        "12 of 12 trials match 8 stimuli by id; 1 is not shown",
    ):
        assert part in said
    assert check.facts().index.tolist() == [line.split(":")[0].strip() for line in said.splitlines()[1:]]


@pytest.mark.parametrize("block", [2**22, 1])
def test_gaps_and_constant_voxels_are_counted_by_run_and_over_all(recording, monkeypatch, block):
    monkeypatch.setattr("affectome.neural.recordings._check._BLOCK_VALUES", block)
    responses = recording.responses.copy()
    responses[:, 0] = 3  # constant throughout
    responses[:4, 1] = 5  # in run 1 only
    responses[4:8, 2], responses[5, 3], responses[6, 3] = np.nan, np.inf, np.nan
    check = check_recording(replace(recording, responses=responses))
    assert check.runs["missing_voxels"].to_dict() == {1: 0, 2: 2, 3: 0}
    assert check.runs["constant_voxels"].to_dict() == {1: 2, 2: 1, 3: 1}
    assert (check.missing_voxels, check.constant_voxels) == (2, 1)
    assert check.warnings == (
        "Responses are missing (NaN or infinite) in runs 2 (2 voxels); drop these voxels or runs.",
        "1 of 30 voxels are constant; their correlations are undefined.",
        "More voxels are constant within runs 1 (2).",
    )


def test_each_oddity_has_its_sentence(recording):
    trials = recording.trials
    cases = (
        (replace(recording, trials=trials.assign(run=1)), "There is a single run, so folds by run are impossible."),
        (replace(recording, trials=trials.assign(run=[1] * 11 + [2])), "Runs 2 have a single trial"),
        (replace(recording, trials=trials.assign(run=[1] * 5 + [2] * 5 + [3] * 2)), "Runs 3 have less than half"),
        (replace(recording, geometry=None), "The places of the voxels are not given"),
        (replace(recording, rois={"V1": np.zeros(30, bool)}), "1 region has no voxel: V1."),
    )
    for case, sentence in cases:
        warnings = check_recording(case).warnings
        assert len(warnings) == 1 and warnings[0].startswith(sentence)


def test_labels_are_reported_also_where_none_fits(recording, caplog):
    some = check_recording(recording, ["0001", "0002"])
    assert some.labels.rule == "number" and some.labels.n_matched == 4
    assert some.warnings == ("8 trials show no known stimulus and drop out (labels 3, 4, 5, 6, 7 and 1 more).",)
    assert not caplog.records  # nothing is dropped here, so nothing is logged
    none = check_recording(recording, ["joy"])
    assert none.labels is None
    assert none.warnings == ("None of its 8 labels (1, 2, 3 and 5 more) is one of the 1 stimulus ids (joy).",)


def test_the_report_fits_a_screen_however_bad_the_recording(draw):
    recording = draw(n_trials=200, n_runs=60)
    responses = recording.responses.copy()
    responses[:, :9] = 1
    responses[::3, 12] = np.nan
    many = {f"region {k}": np.zeros(30, bool) for k in range(380)}
    trials = recording.trials.assign(stimulus=[f"clip {k % 60 if k % 7 else 0}" for k in range(200)])
    trials.loc[199, "run"] = 61
    bad = replace(recording, responses=responses, rois=many, geometry=None, trials=trials)
    said = str(check_recording(bad, ["x"]))
    assert len(said.splitlines()) <= 25 and max(map(len, said.splitlines())) < 200
    assert "380 regions have no voxel: region 0, region 1, region 2, region 3, region 4 and 375 more." in said


def test_a_surface_says_how_much_of_each_side_is_there(recording):
    mesh = SurfaceMesh(np.arange(30, dtype=np.int32), np.arange(30) > 19, (10242, 10242), "fsaverage5")
    said = check_recording(replace(recording, geometry=mesh)).geometry
    assert said == "a surface, 20 of 10242 vertices left, 10 of 10242 right, space fsaverage5"


def test_the_tables_are_ready_for_csv(recording):
    check = check_recording(recording)
    for table in (check.runs, check.regions, check.repeats, check.facts()):
        again = pd.read_csv(pd.io.common.StringIO(table.to_csv()), index_col=0)
        assert again.shape == table.shape and table.index.name == again.index.name
