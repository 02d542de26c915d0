"""Real volumes through the readers: the slice of Haxby et al. (2001)."""

import nibabel
import numpy as np
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm
from numpy.testing import assert_allclose, assert_array_equal

from affectome.errors import InputError
from affectome.neural import read_nifti

from .haxby import LABELS_LATE, TR, haxby_events, haxby_recording, haxby_runs, haxby_volumes


@pytest.fixture(scope="module")
def series(data):
    """All volumes of the 530 voxels, (1452, 530), without the readers."""
    bold = np.asarray(nibabel.load(data / "haxby_slice" / "bold.nii.gz").dataobj)
    inside = np.asarray(nibabel.load(data / "haxby_slice" / "mask.nii.gz").dataobj) > 0
    return bold[inside].T.astype(np.float64)


def left_out_run_accuracy(recording):
    """Share of blocks nearest, by correlation, to the mean of their own category over the other runs."""
    run = recording.trials["run"].to_numpy()
    values = recording.responses.astype(np.float64)
    for number in np.unique(run):
        values[run == number] -= values[run == number].mean(axis=0)
    stimulus = recording.trials["stimulus"].to_numpy(str)
    kinds, right = np.unique(stimulus), []
    for number in np.unique(run):
        centroids = [values[(run != number) & (stimulus == kind)].mean(axis=0) for kind in kinds]
        r = np.corrcoef(np.vstack([values[run == number], centroids]))[: -len(kinds), -len(kinds) :]
        right += list(kinds[r.argmax(axis=1)] == stimulus[run == number])
    return np.mean(right)


def test_a_window_is_the_mean_of_the_nine_labelled_volumes_of_each_block(data, series):
    recording = haxby_recording(data)
    volumes = haxby_volumes(data)
    expected = [series[volumes["block"] == block].mean(axis=0) for block in range(96)]
    assert_allclose(recording.responses, expected, rtol=1e-6)
    assert recording.trials["stimulus"].value_counts().unique().tolist() == [12]
    assert recording.trials.groupby("run").size().tolist() == [8] * 12
    assert recording.trials["block"].tolist() == list(range(96))


def test_volumes_are_the_labelled_rows_of_the_series(data, series):
    recording = haxby_recording(data, "volumes")
    shown = haxby_volumes(data)["block"] >= 0
    assert_array_equal(recording.responses, series[shown])
    assert recording.trials["block"].nunique() == 96


def test_voxels_lie_where_the_header_says(data):
    grid = haxby_recording(data).geometry
    assert grid.shape == (40, 20, 1)
    assert len(grid) == 530
    first = grid.ijk[0]
    assert_allclose(grid.coordinates()[0], [60.45 - 3.1 * first[0], 3.75 * first[1] - 35.625, 0], atol=1e-3)


@pytest.mark.parametrize("estimate", ["lsa", "lss"])
def test_coefficients_of_a_real_run_are_nilearns(data, series, estimate):
    events = haxby_events(data)[4]
    expected = []
    for block in range(8):
        names = [f"t{k}" if estimate == "lsa" or k == block else "rest" for k in range(8)]
        frame = events.assign(trial_type=names)[["onset", "duration", "trial_type"]]
        design = make_first_level_design_matrix((np.arange(121) + 0.5) * TR, frame)
        _, results = run_glm(series[4 * 121 : 5 * 121], design.to_numpy(), noise_model="ols")
        expected.append(results[0.0].theta[list(design.columns).index(f"t{block}")])
    recording = haxby_recording(data, estimate)
    of_run = (recording.trials["run"] == 5).to_numpy()
    assert_allclose(recording.responses[of_run], expected, rtol=1e-4, atol=1e-4)


def test_categories_are_told_apart_in_runs_left_out_better_without_a_linear_trend(data):
    plain = left_out_run_accuracy(haxby_recording(data))
    assert plain > 0.35  # chance is .125, and 96 blocks have a standard error of .05
    assert left_out_run_accuracy(haxby_recording(data, drift_model="polynomial")) > plain + 0.1
    for estimate in ("lsa", "lss"):
        assert left_out_run_accuracy(haxby_recording(data, estimate)) > plain + 0.05


def test_a_mask_mirrored_in_its_data_or_its_header_is_refused(data):
    mask = nibabel.load(data / "haxby_slice" / "mask.nii.gz")
    keywords = {"subject": "haxby", "label_column": "stimulus", "delay": LABELS_LATE}
    mirrored = nibabel.Nifti1Image(np.flip(np.asarray(mask.dataobj), axis=1), mask.affine)
    with pytest.raises(InputError, match=r"voxels without signal, and 0 where its axes .* are mirrored"):
        read_nifti(haxby_runs(data), haxby_events(data), mask=mirrored, **keywords)
    turned = nibabel.as_closest_canonical(mask)
    with pytest.raises(InputError, match=r"another orientation: .*orientation RAS.* orientation LAS"):
        read_nifti(haxby_runs(data), haxby_events(data), mask=turned, **keywords)
