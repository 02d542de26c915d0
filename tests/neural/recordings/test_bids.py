import json
import logging

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage
from numpy.testing import assert_array_equal

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, estimate_trials, read_bids, read_events

SPACE = "MNI152NLin2009cAsym"
AFFINE = np.diag([-2.0, 2, 2, 1])
EVENTS = pd.DataFrame({"onset": [2.0, 12.0], "duration": [4.0, 4.0], "trial_type": ["joy", "awe"], "rt": [0.5, 0.7]})
N_SCANS = 16


def series_of(seed, shape=(3, 3, 2)):
    return np.random.default_rng(seed).normal(500, 10, (*shape, N_SCANS)).astype(np.float32)


def write_run(raw, prefix, seed, *, sub="01", ses=None, space=SPACE, res=None, outside=0, start=None, tr=2.0):
    """One run as fMRIPrep writes it: series, mask, confounds, sidecar; and its events in the raw dataset."""
    parts = [f"sub-{sub}", *([f"ses-{ses}"] if ses else [])]
    func = raw.joinpath("derivatives", "fmriprep", *parts, "func")
    func.mkdir(parents=True, exist_ok=True)
    name = "_".join([*parts, prefix])
    placed = f"{name}_space-{space}" + (f"_res-{res}" if res else "")
    image = nibabel.Nifti1Image(series_of(seed), AFFINE)
    image.header.set_zooms((2, 2, 2, tr))
    nibabel.save(image, func / f"{placed}_desc-preproc_bold.nii.gz")
    mask = np.ones((3, 3, 2), np.uint8)
    mask.flat[:outside] = 0
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), func / f"{placed}_desc-brain_mask.nii.gz")
    facts = {"RepetitionTime": tr} | ({} if start is None else {"StartTime": start})
    (func / f"{placed}_desc-preproc_bold.json").write_text(json.dumps(facts))
    rng = np.random.default_rng(seed)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    confounds = pd.DataFrame(rng.normal(size=(N_SCANS, 6)), columns=names)
    confounds["trans_x_derivative1"] = confounds["trans_x"].diff()
    confounds["cosine00"] = np.cos(np.arange(N_SCANS))
    confounds.to_csv(func / f"{name}_desc-confounds_timeseries.tsv", sep="\t", index=False, na_rep="n/a")
    source = raw.joinpath(*parts, "func")
    source.mkdir(parents=True, exist_ok=True)
    EVENTS.to_csv(source / f"{name}_events.tsv", sep="\t", index=False)
    (raw / "dataset_description.json").write_text("{}")
    return confounds


@pytest.fixture
def raw(tmp_path):
    """Two sessions of two runs."""
    for seed, (ses, run) in enumerate([("01", 1), ("01", 2), ("02", 1), ("02", 10)]):
        write_run(tmp_path, f"task-video_run-{run}", seed, ses=ses)
    return tmp_path


@pytest.fixture
def folder(raw):
    return raw / "derivatives" / "fmriprep"


def refused(match, folder, **keywords):
    with pytest.raises(InputError, match=match):
        read_bids(folder, **{"subject": "01", **keywords})


def expected(seeds, **keywords):
    flat = [series_of(seed).reshape(-1, N_SCANS).T for seed in seeds]
    return np.concatenate([estimate_trials(series, read_events(EVENTS), tr=2.0, **keywords) for series in flat])


def test_runs_of_all_sessions_are_read_in_order_and_numbered_over_them(folder):
    read = read_bids(folder, subject="sub-01")
    assert_array_equal(read.responses, expected([0, 1, 2, 3]))
    assert read.subject == "sub-01"
    assert read.geometry.space == SPACE
    assert read.trials["run"].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert read.trials["session"].tolist() == [1] * 4 + [2] * 4
    assert read.trials["run_in_session"].tolist() == [1, 1, 2, 2, 1, 1, 10, 10]
    assert set(read.trials["task"]) == {"video"}
    assert read.trials["stimulus"].tolist() == ["joy", "awe"] * 4
    assert read.trials["rt"].tolist() == [0.5, 0.7] * 4


def test_one_session_can_be_asked_for_and_keeps_its_number(folder):
    for session in ("02", ["ses-02"]):
        read = read_bids(folder, subject="01", session=session)
        assert_array_equal(read.responses, expected([2, 3]))
        assert set(read.trials["session"]) == {2}
        assert read.trials["run"].tolist() == [1, 1, 2, 2]


def test_sessions_without_numbers_are_counted(tmp_path):
    for seed, ses in enumerate(["after", "before"]):
        write_run(tmp_path, "task-video", seed, ses=ses)
    read = read_bids(tmp_path / "derivatives" / "fmriprep", subject="01")
    assert read.trials["session"].tolist() == [1, 1, 2, 2]
    assert read.trials["run_in_session"].tolist() == [1, 1, 1, 1]


def test_a_dataset_without_sessions_and_runs_is_read(tmp_path):
    write_run(tmp_path, "task-video", 5)
    read = read_bids(tmp_path / "derivatives" / "fmriprep", subject="01")
    assert_array_equal(read.responses, expected([5]))
    assert read.trials[["run", "session"]].to_numpy().tolist() == [[1, 1], [1, 1]]


def test_voxels_that_one_mask_lacks_are_left_out_and_counted(raw, folder, caplog):
    write_run(raw, "task-video_run-2", 1, ses="01", outside=4)
    with caplog.at_level(logging.WARNING):
        read = read_bids(folder, subject="01")
    assert "4 of 18 voxels lie outside the mask of some run" in caplog.text
    assert_array_equal(read.responses, expected([0, 1, 2, 3])[:, 4:])


def test_confounds_are_taken_by_set_and_name_their_empty_beginnings_as_zero(tmp_path):
    table = write_run(tmp_path, "task-video", 5)
    folder = tmp_path / "derivatives" / "fmriprep"
    read = read_bids(
        folder, subject="01", confounds=["motion", "trans_x_derivative1", "cosine"], estimate="lsa", drift_model="none"
    )
    used = table.fillna(0.0)
    assert used.shape[1] == 8
    written = pd.read_csv(next((folder / "sub-01" / "func").glob("*confounds*.tsv")), sep="\t", na_values="n/a").fillna(
        0.0
    )
    assert_array_equal(read.responses, expected([5], method="lsa", confounds=written, drift_model="none"))
    refused("has no column 'csf'.*choose columns that are there .trans_x", folder, confounds="csf_wm")
    # No outlier is no fault: then there is no such column.
    assert_array_equal(read_bids(folder, subject="01", confounds="scrubbing").responses, expected([5]))


def test_a_gap_inside_a_confound_is_not_filled(tmp_path):
    table = write_run(tmp_path, "task-video", 5)
    table.loc[7, "rot_x"] = np.nan
    folder = tmp_path / "derivatives" / "fmriprep"
    path = next((folder / "sub-01" / "func").glob("*confounds*.tsv"))
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    refused("row 8: the confound 'rot_x' is 'nan'", folder, confounds="motion")


def test_the_moment_of_a_volume_is_what_the_sidecar_says(tmp_path):
    write_run(tmp_path, "task-video", 5, start=0.0)
    folder = tmp_path / "derivatives" / "fmriprep"
    assert_array_equal(read_bids(folder, subject="01", estimate="lss").responses,
                       expected([5], method="lss", slice_time_ref=0.0))  # fmt: skip
    given = read_bids(folder, subject="01", estimate="lss", slice_time_ref=0.5)
    assert_array_equal(given.responses, expected([5], method="lss", slice_time_ref=0.5))


def test_tr_comes_from_the_sidecar_of_either_dataset_and_must_agree(tmp_path):
    write_run(tmp_path, "task-video", 5, tr=1.0)  # a header that says 1 s is not believed, a sidecar is
    folder = tmp_path / "derivatives" / "fmriprep"
    sidecar = next((folder / "sub-01" / "func").glob("*preproc_bold.json"))
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0}))
    assert_array_equal(read_bids(folder, subject="01").responses, expected([5]))
    refused("says a RepetitionTime of 2 s, and tr is 3", folder, tr=3.0)
    sidecar.unlink()
    refused("says 1 s from volume to volume.*give tr", folder)
    assert_array_equal(read_bids(folder, subject="01", tr=2.0).responses, expected([5]))
    (tmp_path / "task-video_bold.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    assert_array_equal(read_bids(folder, subject="01").responses, expected([5]))


def test_events_for_all_runs_may_stand_at_the_top(raw, folder):
    for path in raw.glob("sub-01/ses-*/func/*_events.tsv"):
        path.unlink()
    refused("has no events .sub-01_ses-01_task-video_run-1_events.tsv is neither in", folder)
    EVENTS.to_csv(raw / "task-video_events.tsv", sep="\t", index=False)
    assert_array_equal(read_bids(folder, subject="01").responses, expected([0, 1, 2, 3]))


def test_the_raw_dataset_may_stand_elsewhere(raw, folder, tmp_path_factory):
    (raw / "dataset_description.json").unlink()
    refused("stands in no BIDS dataset", folder)
    assert_array_equal(read_bids(folder, subject="01", raw=raw).responses, expected([0, 1, 2, 3]))


def test_a_run_without_one_of_its_files_is_named(folder):
    func = folder / "sub-01" / "ses-02" / "func"
    (func / "sub-01_ses-02_task-video_run-10_desc-confounds_timeseries.tsv").unlink()
    assert len(read_bids(folder, subject="01").trials) == 8
    refused("run-10_space.*has no confounds", folder, confounds="motion")
    (func / f"sub-01_ses-02_task-video_run-1_space-{SPACE}_desc-brain_mask.nii.gz").unlink()
    refused("run-1_space.*has no brain mask", folder)


def test_what_is_there_is_listed_where_nothing_fits(raw, folder):
    refused("there is no sub-07; it holds sub-01", folder, subject="07")
    refused("it holds no folder sub-", raw / "derivatives", subject="01")
    refused(
        f"no run has space T1w; there are the spaces {SPACE}, the tasks video, the sessions 01, 02", folder, space="T1w"
    )
    refused("no run has .*task rest", folder, task="rest")
    refused("no run has .*session 03", folder, session="03")
    refused("there are no surface series", folder, space="fsaverage5")
    write_run(raw, "task-rest_run-1", 9, ses="01")
    refused("there are 2 tasks, rest, video; name one", folder)
    assert len(read_bids(folder, subject="01", task="rest").trials) == 2


def test_a_run_in_two_resolutions_needs_one_of_them(tmp_path):
    for res in ("1", "2"):
        write_run(tmp_path, "task-video", int(res), res=res)
    folder = tmp_path / "derivatives" / "fmriprep"
    refused("there in several forms, res 1, 2", folder)
    assert_array_equal(read_bids(folder, subject="01", resolution="2").responses, expected([2]))


def test_files_with_other_names_are_passed_over(folder):
    func = folder / "sub-01" / "ses-01" / "func"
    for name in ("notes_bold.nii.gz", f"sub-01_task-video_space-{SPACE}_boldref.nii.gz", "sub-01 copy_bold.nii.gz"):
        (func / name).write_text("")
    assert len(read_bids(folder, subject="01").trials) == 8


@pytest.mark.parametrize("order", ["hemi-{side}_space-fsaverage5", "space-fsaverage5_hemi-{side}"])
def test_pairs_of_hemispheres_are_read(tmp_path, order):
    confounds = write_run(tmp_path, "task-video_run-1", 5)
    folder = tmp_path / "derivatives" / "fmriprep"
    func = folder / "sub-01" / "func"
    sides = {"L": np.float32(np.random.default_rng(0).normal(size=(N_SCANS, 6))), "R": None}
    sides["R"] = sides["L"][:, :4] + 1
    for side, series in sides.items():
        image = GiftiImage(darrays=[GiftiDataArray(scan, intent="NIFTI_INTENT_TIME_SERIES") for scan in series])
        nibabel.save(image, func / f"sub-01_task-video_run-1_{order.format(side=side)}_bold.func.gii")
    refused("says 0 s from volume to volume", folder, space="fsaverage5")
    read = read_bids(folder, subject="01", space="fsaverage5", tr=2.0, confounds="motion")
    assert isinstance(read.geometry, SurfaceMesh)
    assert read.geometry.mesh_sizes == (6, 4)
    used = pd.read_csv(next(func.glob("*confounds*.tsv")), sep="\t", na_values="n/a")[confounds.columns[:6]]
    both = np.concatenate([sides["L"], sides["R"]], axis=1)
    assert_array_equal(read.responses, estimate_trials(both, read_events(EVENTS), tr=2.0, confounds=used))
    (func / f"sub-01_task-video_run-1_{order.format(side='R')}_bold.func.gii").unlink()
    refused("has no right hemisphere", folder, space="fsaverage5", tr=2.0)
