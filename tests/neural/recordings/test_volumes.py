import logging

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from affectome.errors import InputError
from affectome.neural import VolumeGrid, estimate_trials, read_events, read_nifti

AFFINE = np.array([[-3.0, 0, 0, 60], [0, 3.5, 0, -35], [0, 0, 4.0, -20], [0, 0, 0, 1]])
EVENTS = pd.DataFrame({"onset": [20.0, 2.0, 11.0], "duration": [4.0, 4.0, 6.0], "trial_type": ["c", "a", "b"]})


def bold(seed=0, shape=(5, 4, 3), n_scans=20, tr=2.0, affine=AFFINE, dtype=np.int16):
    """Air in the first layer, signal elsewhere; no mirror image of itself."""
    series = np.random.default_rng(seed).normal(1000, 20, (*shape, n_scans))
    series[0] = 0
    image = nibabel.Nifti1Image(series.astype(dtype), affine)
    image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    image.header.set_xyzt_units("mm", "sec")
    return image


def mask(inside=None, affine=AFFINE):
    inside = np.arange(5)[:, None, None] * np.ones((5, 4, 3)) >= 1 if inside is None else inside
    return nibabel.Nifti1Image(inside.astype(np.uint8), affine)


@pytest.fixture
def files(tmp_path):
    """Two compressed runs, their events and a mask on disk."""
    paths = [tmp_path / f"run{k}.nii.gz" for k in (1, 2)]
    tables = [tmp_path / f"run{k}_events.tsv" for k in (1, 2)]
    for seed, (path, table) in enumerate(zip(paths, tables, strict=True)):
        nibabel.save(bold(seed), path)
        EVENTS.to_csv(table, sep="\t", index=False)
    nibabel.save(mask(), tmp_path / "mask.nii.gz")
    return paths, tables, tmp_path / "mask.nii.gz"


def refused(match, image, events=EVENTS, **keywords):
    with pytest.raises(InputError, match=match):
        read_nifti(image, events, **{"subject": "sub-01", **keywords})


def test_runs_of_files_become_trials_of_the_voxels_in_the_mask(files):
    paths, tables, mask_path = files
    read = read_nifti(paths, tables, subject="sub-01", mask=mask_path, session=[1, 2], space="T1w")
    ijk = np.argwhere(np.asarray(mask().dataobj) > 0)
    expected = []
    for seed in range(2):
        series = np.asarray(bold(seed).dataobj)[tuple(ijk.T)].T.astype(float)
        expected.append(estimate_trials(series, read_events(EVENTS), tr=2.0))
    assert read.responses.dtype == np.float32
    assert_array_equal(read.responses, np.concatenate(expected))
    assert read.trials["stimulus"].tolist() == ["a", "b", "c"] * 2
    assert read.trials["onset"].tolist() == [2.0, 11.0, 20.0] * 2
    assert read.trials["run"].tolist() == [1] * 3 + [2] * 3
    assert read.trials["session"].tolist() == [1] * 3 + [2] * 3
    assert isinstance(read.geometry, VolumeGrid)
    assert_array_equal(read.geometry.ijk, ijk)
    assert_allclose(read.geometry.affine, AFFINE)
    assert (read.geometry.shape, read.geometry.space) == ((5, 4, 3), "T1w")


def test_without_a_mask_voxels_that_vary_are_read_and_runs_without_them_say_how_many(caplog):
    second = bold(1)
    np.asarray(second.dataobj)[1, 0, :2] = 7
    with caplog.at_level(logging.WARNING):
        read = read_nifti([bold(0), second], [EVENTS] * 2, subject="sub-01")
    assert read.n_voxels == 4 * 4 * 3 - 2
    assert "2 of 48 voxels are constant or not finite in at least one run" in caplog.text
    assert not ((read.geometry.ijk == [1, 0, 0]).all(axis=1)).any()


def test_a_voxel_that_is_not_finite_is_left_out_and_a_volume_without_values_is_named(caplog):
    image = bold(dtype=np.float32)
    values = np.asarray(image.dataobj)
    values[2, 2, 2, 5] = np.nan
    with caplog.at_level(logging.WARNING):
        assert read_nifti(image, EVENTS, subject="sub-01", mask=mask()).n_voxels == 47
    assert "1 of 48 voxels" in caplog.text
    values[..., 7] = np.nan
    refused("volume 8: holds no finite value", image, mask=mask())


def test_scaled_integers_are_read_as_the_numbers_they_stand_for(tmp_path):
    values = np.random.default_rng(0).normal(3.0, 0.1, (5, 4, 3, 20))
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_data_dtype(np.int16)
    image.header.set_zooms((3, 3.5, 4, 2.0))
    nibabel.save(image, tmp_path / "scaled.nii")
    read = read_nifti(tmp_path / "scaled.nii", EVENTS, subject="sub-01")
    ijk = tuple(read.geometry.ijk.T)
    assert_allclose(read.responses, estimate_trials(values[ijk].T, read_events(EVENTS), tr=2.0), atol=1e-4)


def test_volumes_that_are_responses_already_take_their_table_row_by_row():
    table = pd.DataFrame({"stimulus": list("xyz"), "run": [4, 4, 5], "session": 2, "rating": [1.0, 2.0, 3.0]})
    image = bold(n_scans=3, tr=1.0)
    read = read_nifti(image, table, subject="sub-01", mask=mask(), estimate="none", label_column="stimulus")
    assert_array_equal(read.responses, np.asarray(image.dataobj)[tuple(read.geometry.ijk.T)].T)
    assert read.trials.to_dict("list") == table.to_dict("list")
    refused("has 3 volumes, and its table 2 rows", image, table[:2], estimate="none", label_column="stimulus")
    refused("tr has no meaning", image, table, estimate="none", label_column="stimulus", tr=2.0)
    refused("delay has no meaning", image, table, estimate="none", label_column="stimulus", delay=2.0)
    refused("no column 'trial_type'", image, table, estimate="none")
    broken = table.assign(run=[4, "x", 5])
    refused("row 2: the run is 'x', not a whole number", image, broken, estimate="none", label_column="stimulus")


def test_several_tables_without_run_numbers_get_them_by_their_place():
    tables = [pd.DataFrame({"trial_type": ["a", "b"]}), pd.DataFrame({"trial_type": ["a"]})]
    read = read_nifti([bold(0, n_scans=2), bold(1, n_scans=1)], tables, subject="s", mask=mask(), estimate="none")
    assert read.trials["run"].tolist() == [1, 1, 2]


def test_confounds_of_each_run_enter_its_own_model():
    rng = np.random.default_rng(3)
    confounds = [pd.DataFrame(rng.normal(size=(20, 2)), columns=["x", "y"]) for _ in range(2)]
    read = read_nifti(
        [bold(0), bold(1)], [EVENTS] * 2, subject="s", mask=mask(), estimate="lsa", confounds=confounds, high_pass=0.02
    )
    series = np.asarray(bold(1).dataobj)[tuple(read.geometry.ijk.T)].T.astype(np.float32)
    expected = estimate_trials(
        series, read_events(EVENTS), tr=2.0, method="lsa", confounds=confounds[1], high_pass=0.02
    )
    assert_array_equal(read.responses[3:], expected)


@pytest.mark.parametrize(
    ("name", "affine", "inside"),
    [
        (
            "another orientation",
            nibabel.affines.from_matvec(np.diag([3.0, 3.5, 4]), [48, -35, -20]),
            np.ones((5, 4, 3)),
        ),
        ("another orientation", None, np.ones((4, 5, 3))),
        ("another grid", AFFINE, np.ones((5, 4, 4))),
        ("another grid", AFFINE @ np.diag([1.1, 1, 1, 1]), np.ones((5, 4, 3))),
        ("another grid", nibabel.affines.from_matvec(AFFINE[:3, :3], AFFINE[:3, 3] + 1), np.ones((5, 4, 3))),
    ],
)
def test_a_mask_elsewhere_is_refused_with_both_places_and_the_remedy(name, affine, inside):
    if affine is None:  # the first two axes change places
        affine = AFFINE[:, [1, 0, 2, 3]]
    refused(
        f"{name}: shape .* against shape 5×4×3, orientation LAS.*resample_to_img", bold(), mask=mask(inside, affine)
    )


def test_the_remedy_for_a_turned_mask_works():
    from nilearn.image import resample_to_img

    inside = np.zeros((5, 4, 3))
    inside[1:3, 1:, :2] = 1
    turned = nibabel.as_closest_canonical(mask(inside))
    refused("another orientation", bold(), mask=turned)
    back = resample_to_img(turned, bold(), interpolation="nearest", force_resample=True, copy_header=True)
    assert_array_equal(read_nifti(bold(), EVENTS, subject="s", mask=back).geometry.ijk, np.argwhere(inside))


def test_a_mask_whose_data_are_mirrored_under_the_right_header_is_noticed():
    inside = np.flip(np.asarray(mask().dataobj), axis=0)
    refused("12 voxels without signal, and 0 where its axes i are mirrored", bold(), mask=mask(inside))


def test_masks_of_other_values_and_empty_masks_are_refused():
    refused("has the values 0, 1, 2", bold(), mask=mask(np.arange(60).reshape(5, 4, 3) % 3))
    refused("the mask is empty", bold(), mask=mask(np.zeros((5, 4, 3))))
    refused("has 4 dimensions", bold(), mask=bold())
    both = nibabel.Nifti1Image(np.ones((5, 4, 3, 1), np.uint8), AFFINE)
    assert read_nifti(bold(), EVENTS, subject="s", mask=both).n_voxels == 48


def test_a_mask_on_air_alone_leaves_nothing():
    inside = np.zeros((5, 4, 3))
    inside[0] = 1
    image = bold()
    np.asarray(image.dataobj)[1:] = 0
    refused("every voxel is constant or not finite", image, mask=mask(inside))
    refused("no voxel varies", image)


def test_runs_on_two_grids_are_refused():
    refused("another grid", [bold(0), bold(1, affine=np.diag([3, 3, 3, 1]))], [EVENTS] * 2)
    refused("another grid", [bold(0), bold(1, shape=(5, 4, 4))], [EVENTS] * 2)


def test_seconds_between_volumes_are_believed_checked_or_asked_for():
    for suspicious in (0.0, 1.0, 2000.0):
        refused("says .* as programs write that do not know it; give tr", bold(tr=suspicious))
        read = read_nifti(bold(tr=suspicious), EVENTS, subject="s", tr=2.0)
        assert_array_equal(read.responses, read_nifti(bold(), EVENTS, subject="s").responses)
    refused("says 2 s from volume to volume, and tr is 2.5", bold(), tr=2.5)
    milliseconds = bold(tr=2000.0)
    milliseconds.header.set_xyzt_units("mm", "msec")
    read = read_nifti(milliseconds, EVENTS, subject="s")
    assert_array_equal(read.responses, read_nifti(bold(), EVENTS, subject="s").responses)


def test_files_that_are_cut_off_are_named(files, tmp_path):
    paths, tables, mask_path = files
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) * 2 // 3])
    refused(r"run2.nii.gz: cannot be read to its end", paths, tables, mask=mask_path)
    paths[1].write_bytes(whole[:20])
    refused(r"run2.nii.gz: (cannot be read to its end|is no NIfTI image)", paths, tables, mask=mask_path)
    nibabel.save(bold(), tmp_path / "plain.nii")
    whole = (tmp_path / "plain.nii").read_bytes()
    (tmp_path / "plain.nii").write_bytes(whole[: len(whole) // 2])
    refused("plain.nii: cannot be read to its end", tmp_path / "plain.nii")
    (tmp_path / "text.nii").write_text("no image")
    refused("text.nii: (is no NIfTI image|cannot be read)", tmp_path / "text.nii")
    refused("missing.nii: there is no such file", tmp_path / "missing.nii")


def test_one_volume_is_no_run():
    refused(r"has 3 dimensions \(5, 4, 3\), not 4", mask())
    refused("holds 1 volumes, which are no series", bold(n_scans=1), mask=mask())


def test_trials_beyond_the_run_are_refused_or_dropped_by_name(caplog):
    late = pd.concat([EVENTS, pd.DataFrame({"onset": [39.0], "duration": [4.0], "trial_type": ["late"]})])
    refused("no volume was taken in the window of 'late' at 39 s", bold(), late)
    with caplog.at_level(logging.WARNING):
        read = read_nifti([bold(), bold(1)], [late, EVENTS], subject="s", cut_off="drop")
    assert "1 trials lie outside the run: late" in caplog.text
    assert read.trials["stimulus"].tolist() == ["a", "b", "c"] * 2
    assert_array_equal(read.responses[:3], read_nifti(bold(), EVENTS, subject="s").responses)
    refused("ends before its first trial", bold(), late[3:], cut_off="drop")


def test_a_compressed_file_is_read_with_little_more_memory_than_its_responses(tmp_path):
    import tracemalloc

    values = np.random.default_rng(0).normal(1000, 20, (40, 40, 20, 60)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), tmp_path / "betas.nii.gz")
    table = pd.DataFrame({"trial_type": [str(k) for k in range(60)]})
    keywords = {"subject": "s", "estimate": "none"}
    read_nifti(bold(), pd.DataFrame({"trial_type": list("a" * 20)}), **keywords)  # imports are not counted
    tracemalloc.start()
    read = read_nifti(tmp_path / "betas.nii.gz", table, **keywords)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(read.responses, values.reshape(-1, 60).T)
    assert peak < 1.3 * read.responses.nbytes


def test_counts_that_do_not_fit_the_runs_are_refused():
    refused("1 tables of events are given for 2 runs", [bold(), bold()])
    refused("3 sessions are given for 1 runs", bold(), session=[1, 2, 3])
    refused("2 tables of confounds are given for 1 runs", bold(), confounds=[pd.DataFrame(), pd.DataFrame()])
    refused("estimate is 'glm'", bold(), estimate="glm")
    refused("cut_off is 'keep'", bold(), cut_off="keep")
    refused("estimate_trials has no option dealy; choose among delay, window", bold(), dealy=5.0)
