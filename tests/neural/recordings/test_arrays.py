import logging

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import read_arrays
from affectome.neural.recordings import grid_from_coordinates


def save(folder, responses, trials=None, *, name="sub-01"):
    """The two files, and where they are."""
    np.save(folder / f"{name}.npy", responses)
    if trials is None:
        trials = pd.DataFrame({"stimulus": [f"{k:04d}" for k in range(len(responses))], "run": 1})
    trials.to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.npy", folder / f"{name}.csv"


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16, ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_become_float32(tmp_path, monkeypatch, dtype, order):
    monkeypatch.setattr("affectome.neural.recordings._arrays._BLOCK_VALUES", 20)
    values = np.asarray(np.random.default_rng(0).normal(size=(11, 7)) * 9, dtype=dtype, order=order)
    there = read_arrays(*save(tmp_path, values))
    assert there.responses.dtype == np.float32 and there.responses.dtype.isnative
    np.testing.assert_array_equal(there.responses, values.astype(np.float32))
    assert there.subject == "sub-01" and there.trials["stimulus"].tolist()[1] == "0001"
    assert (there.trials["session"] == 1).all() and there.geometry is None


def test_runs_of_two_sessions_become_distinct(tmp_path):
    trials = pd.DataFrame({"stimulus": list("abcd"), "run": [1, 2, 1, 2], "session": [1, 1, 2, 2], "rt": [0.5] * 4})
    there = read_arrays(*save(tmp_path, np.ones((4, 2)), trials))
    assert there.trials["run"].tolist() == [1, 2, 3, 4]
    assert there.trials["run_in_session"].tolist() == [1, 2, 1, 2]
    assert there.trials["rt"].tolist() == [0.5] * 4


def test_places_come_from_a_table(tmp_path):
    ijk = np.argwhere(np.ones((2, 3, 4)))
    places = pd.DataFrame(ijk * [3, 3, 3.5] + [-10, 5, 2.5], columns=list("xyz"))
    files = save(tmp_path, np.ones((2, 24)))
    from_steps = read_arrays(*files, coordinates=places, space="MNI152Lin").geometry
    np.testing.assert_array_equal(from_steps.ijk, ijk)
    np.testing.assert_allclose(
        from_steps.affine, [[3, 0, 0, -10], [0, 3, 0, 5], [0, 0, 3.5, 2.5], [0, 0, 0, 1]], atol=1e-9
    )
    assert from_steps.space == "MNI152Lin" and from_steps.shape == (2, 3, 4)
    with_indices = places.assign(i=ijk[:, 0] + 5, j=ijk[:, 1], k=ijk[:, 2])
    with_indices.to_csv(tmp_path / "places.csv", index=False)
    given = read_arrays(*files, coordinates=tmp_path / "places.csv").geometry
    assert given.shape == (7, 3, 4)
    np.testing.assert_allclose(given.coordinates(), places)


def test_a_turned_grid_is_found_from_its_indices_to_a_micrometre():
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    ijk = np.argwhere(np.ones((5, 6, 4)))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [2, 2.2, 3], [-90, 10, 33.3]
    millimetres = np.round(ijk @ affine[:3, :3].T + affine[:3, 3], 3)
    found = grid_from_coordinates(millimetres, ijk.astype(float), source="x")
    np.testing.assert_allclose(found.affine, affine, atol=2e-3)
    with pytest.raises(InputError, match="follow no regular steps"):
        grid_from_coordinates(millimetres, source="x")


@pytest.mark.parametrize("digits", [1, 2, 6])
def test_rounded_millimetres_still_give_the_steps(digits):
    ijk = np.argwhere(np.ones((40, 3, 3)))
    found = grid_from_coordinates(np.round(ijk * 2.43 - 47.1, digits), source="x")
    np.testing.assert_array_equal(found.ijk, ijk)
    np.testing.assert_allclose(np.diag(found.affine)[:3], 2.43, atol=0.03)


def test_a_single_slice_gets_a_thickness_and_a_line_none(caplog):
    ijk = np.argwhere(np.ones((4, 3, 1)))
    plane = grid_from_coordinates(ijk * [2.0, 4.0, 0] + [0, 0, 7], source="x")
    np.testing.assert_allclose(plane.affine, [[2, 0, 0, 0], [0, 4, 0, 0], [0, 0, 3, 7], [0, 0, 0, 1]], atol=1e-9)
    with caplog.at_level(logging.WARNING):
        assert grid_from_coordinates(np.arange(9.0)[:, None] * [0, 2.0, 0], source="there.h5") is None
    assert "there.h5: the voxels lie on a line" in caplog.text


def test_negative_indices_are_shifted_to_zero():
    ijk = np.argwhere(np.ones((3, 3, 3))) - 1.0
    found = grid_from_coordinates(ijk * 2, ijk, source="x")
    assert found.ijk.min() == 0 and found.shape == (3, 3, 3)
    np.testing.assert_allclose(found.coordinates(), ijk * 2, atol=1e-9)


def test_broken_files_are_refused_in_one_sentence(tmp_path):
    responses, trials = save(tmp_path, np.ones((3, 4)))

    def written(table):
        table.to_csv(tmp_path / "other.csv", index=False)
        return tmp_path / "other.csv"

    frame = pd.DataFrame({"stimulus": ["a", "b", "c"], "run": [1, 1, 2]})
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.savez(tmp_path / "many.npz", a=np.ones(3))
    (tmp_path / "short.npy").write_bytes(responses.read_bytes()[:-8])
    (tmp_path / "notes.npy").write_text("1 2 3")
    holed = np.ones((3, 4))
    holed[2, 1] = np.nan
    np.save(tmp_path / "holed.npy", holed)
    cube = pd.DataFrame(np.argwhere(np.ones((2, 2, 2)))[:4] * 2.0, columns=list("xyz"))
    cases = (
        ((tmp_path / "none.npy", trials), {}, "there is no such file"),
        ((tmp_path, trials), {}, "is a folder"),
        ((tmp_path / "cube.npy", trials), {}, r"holds an array of shape \(2, 2, 2\) and type float64"),
        ((tmp_path / "text.npy", trials), {}, "and type <U1"),
        ((tmp_path / "many.npz", trials), {}, "is an .npz archive"),
        ((tmp_path / "short.npy", trials), {}, "is no whole .npy file of numbers"),
        ((tmp_path / "notes.npy", trials), {}, "is no whole .npy file of numbers"),
        ((responses, written(frame[:2])), {}, r"has 2 rows for the 3 trials of sub-01\.npy"),
        ((responses, tmp_path / "none.csv"), {}, "there is no such file"),
        ((tmp_path / "holed.npy", trials), {}, r"holed\.npy, run 1: the responses of 1 of 4 voxels are NaN"),
        ((responses, trials), {"coordinates": cube.drop(columns="y")}, "has no column 'y'"),
        ((responses, trials), {"coordinates": cube[:3]}, "has 3 rows for 4 voxels"),
        ((responses, trials), {"coordinates": cube.replace(0, np.nan)}, "voxels have no coordinates"),
        ((responses, trials), {"coordinates": cube * [1, 1, 0]}, "2 voxels lie at the same place"),
    )
    for paths, options, message in cases:
        with pytest.raises(InputError, match=message):
            read_arrays(*paths, **options)
    for table, message in (
        (frame.drop(columns="run"), "has no column 'run'"),
        (frame.assign(run=[1, 1.5, 2]), r"row 2: the run is '1\.5', not a whole number"),
        (frame.assign(session=["one"] * 3), "row 1: the session is 'one'"),
        (frame.assign(stimulus=["a", " ", "c"]), "row 2: the stimulus is empty"),
    ):
        with pytest.raises(InputError, match=message):
            read_arrays(responses, written(table))
    assert read_arrays(tmp_path / "holed.npy", trials, nan="drop voxels").n_voxels == 3
