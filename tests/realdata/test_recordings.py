import numpy as np
import pytest

from affectome.neural import check_recording, read_bdpy, standardise_runs, write_bdpy

from .haxby import haxby_recording


@pytest.fixture(scope="module")
def haxby(data):
    return haxby_recording(data, "volumes")


def test_the_haxby_slice_goes_through_bdpy_unchanged(haxby, tmp_path):
    bdpy = pytest.importorskip("bdpy", reason="bdpy is not installed: it needs a Python below 3.12")
    again, there = read_bdpy(write_bdpy(tmp_path / "haxby.h5", haxby)), bdpy.BData(str(tmp_path / "haxby.h5"))
    for responses in (again.responses, there.select("VoxelData")):
        np.testing.assert_array_equal(responses, haxby.responses)
    assert again.trials["stimulus"].tolist() == there.get_labels("stimulus_name") == haxby.trials["stimulus"].tolist()
    np.testing.assert_array_equal(again.geometry.affine, haxby.geometry.affine)
    np.testing.assert_array_equal(again.geometry.volume(again.responses[0]), haxby.geometry.volume(haxby.responses[0]))


def test_the_haxby_slice_is_sound_and_scales_by_run(haxby):
    check = check_recording(haxby)
    assert (check.n_trials, check.n_stimuli, check.n_voxels, len(check.runs)) == (864, 8, 530, 12)
    assert check.constant_voxels == check.missing_voxels == 0
    assert check.geometry.startswith("a volume of 40 × 20 × 1 voxels of 3.1 × 3.75 × 3.75 mm")
    scaled = standardise_runs(haxby)
    for rows in haxby.trials.groupby("run").indices.values():
        assert np.abs(scaled.responses[rows].mean(axis=0)).max() < 1e-5
        np.testing.assert_allclose(scaled.responses[rows].std(axis=0), 1, atol=1e-5)
