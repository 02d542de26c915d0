import logging

import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiMetaData
from numpy.testing import assert_array_equal

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, estimate_trials, read_events, read_gifti

EVENTS = pd.DataFrame({"onset": [2.0, 11.0], "duration": [4.0, 6.0], "trial_type": ["a", "b"]})


def save_side(path, series, *, tr=2.0, one_array=False):
    """A hemisphere's series (n_scans, n_vertices) as GIFTI."""
    arrays = [series.T] if one_array else list(series)
    intent = "NIFTI_INTENT_TIME_SERIES"
    image = GiftiImage(darrays=[GiftiDataArray(np.float32(array), intent=intent) for array in arrays])
    if tr is not None:
        image.meta = GiftiMetaData({"TimeStep": f"{1000 * tr:.6f}"})
    nibabel.save(image, path)
    return path


def draw(seed, n_vertices, n_scans=15):
    series = np.random.default_rng(seed).normal(100, 1, (n_scans, n_vertices)).astype(np.float32)
    series[:, 2] = 0  # the medial wall
    return series


@pytest.fixture
def pair(tmp_path):
    return save_side(tmp_path / "L.func.gii", draw(0, 8)), save_side(tmp_path / "R.func.gii", draw(1, 10))


def refused(match, left, right, events=EVENTS, **keywords):
    with pytest.raises(InputError, match=match):
        read_gifti(left, right, events, **{"subject": "s", **keywords})


def test_two_hemispheres_become_vertices_without_the_medial_wall(pair, caplog):
    with caplog.at_level(logging.WARNING):
        read = read_gifti(*pair, EVENTS, subject="s", space="fsaverage5")
    assert "2 of 18 vertices are constant or not finite" in caplog.text
    both = np.concatenate([np.delete(draw(0, 8), 2, axis=1), np.delete(draw(1, 10), 2, axis=1)], axis=1)
    assert_array_equal(read.responses, estimate_trials(both, read_events(EVENTS), tr=2.0))
    assert isinstance(read.geometry, SurfaceMesh)
    assert read.geometry.mesh_sizes == (8, 10)
    assert read.geometry.space == "fsaverage5"
    left, right = read.geometry.hemispheres(read.responses[0])
    assert np.isnan([left[2], right[2]]).all()
    assert np.isnan(left).sum() + np.isnan(right).sum() == 2
    assert_array_equal(np.delete(left, 2), read.responses[0, :7])


def test_one_array_of_vertices_by_volumes_reads_as_an_array_per_volume(pair, tmp_path):
    left = save_side(tmp_path / "one.func.gii", draw(0, 8), one_array=True)
    assert_array_equal(
        read_gifti(left, pair[1], EVENTS, subject="s").responses, read_gifti(*pair, EVENTS, subject="s").responses
    )


def test_several_runs_are_numbered_and_meshes_must_agree(pair, tmp_path):
    read = read_gifti([pair[0]] * 2, [pair[1]] * 2, [EVENTS] * 2, subject="s", session=[1, 2], estimate="lss")
    assert read.trials["run"].tolist() == [1, 1, 2, 2]
    assert read.trials["session"].tolist() == [1, 1, 2, 2]
    assert_array_equal(read.responses[:2], read.responses[2:])
    other = save_side(tmp_path / "other.func.gii", draw(2, 9))
    refused("other.func.gii: has 9 vertices, and the first run 8", [pair[0], other], [pair[1]] * 2, [EVENTS] * 2)
    refused("1 files of the right hemisphere are given for 2 runs", [pair[0]] * 2, pair[1], [EVENTS] * 2)


def test_hemispheres_of_two_runs_are_refused(pair, tmp_path):
    short = save_side(tmp_path / "short.func.gii", draw(1, 10, n_scans=14))
    refused("short.func.gii: has 14 volumes, and the left hemisphere 15", pair[0], short)


def test_seconds_between_volumes_are_asked_for_where_the_file_is_silent(pair, tmp_path):
    silent = [save_side(tmp_path / f"silent{k}.func.gii", draw(k, 8 + 2 * k), tr=None) for k in (0, 1)]
    refused("silent0.func.gii: says 0 s from volume to volume", *silent)
    assert_array_equal(
        read_gifti(*silent, EVENTS, subject="s", tr=2.0).responses, read_gifti(*pair, EVENTS, subject="s").responses
    )
    refused("says 2 s from volume to volume, and tr is 3", *pair, tr=3.0)


def test_files_that_are_no_surface_series_are_named(pair, tmp_path):
    whole = pair[0].read_bytes()
    pair[0].write_bytes(whole[: len(whole) // 2])
    refused("L.func.gii: cannot be read to its end", *pair)
    pair[0].write_text("no xml")
    refused("L.func.gii: cannot be read to its end", *pair)
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2)), np.eye(4)), tmp_path / "volume.nii")
    refused("volume.nii: is no GIFTI file", tmp_path / "volume.nii", pair[1])
    refused("gone.func.gii: there is no such file", tmp_path / "gone.func.gii", pair[1])
    mixed = GiftiImage(darrays=[GiftiDataArray(np.zeros(size, np.float32)) for size in (3, 4)])
    nibabel.save(mixed, tmp_path / "mixed.func.gii")
    refused(r"holds 2 data arrays of the shapes \(3,\), \(4,\)", tmp_path / "mixed.func.gii", pair[1])
    refused("estimate is 'none'", *pair, estimate="none")
