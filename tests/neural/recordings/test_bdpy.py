import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from affectome import EnvironmentFailure, InputError
from affectome.neural import Recording, SurfaceMesh, read_bdpy, write_bdpy

N_TRIALS, N_VOXELS = 10, 24


@pytest.fixture(scope="module")
def bdpy():
    return pytest.importorskip("bdpy", reason="bdpy is not installed: it needs a Python below 3.12")


def write_with_bdpy(bdpy, path, *, seed=0, places=True, n_trials=N_TRIALS):
    """A recording as bdpy's own pipeline lays it out: trial columns beside the voxels, labels in a group of two."""
    rng = np.random.default_rng(seed)
    ijk = np.argwhere(np.ones((2, 3, 4)))
    xyz = ijk * [2.0, 2.0, 2.0] + [-30.0, -70.0, 10.0]
    data = bdpy.BData()
    data.add(rng.normal(size=(n_trials, N_VOXELS)), "VoxelData")
    data.add(np.ones(n_trials), "Session")
    data.add(np.arange(n_trials) // 5 + 1.0, "Run")
    data.add(np.arange(n_trials) + 1.0, "Block")
    data.add(np.column_stack([np.arange(n_trials) % 4 + 1.0, rng.normal(size=n_trials)]), "Label")
    data.add(rng.normal(size=(n_trials, 6)), "MotionParameter")
    for place, name in enumerate(["stimulus_name", "response_time"]):
        marks = np.full(2, np.nan)
        marks[place] = 1
        data.add_metadata(name, marks, f"Label {name}", where="Label")
    data.add_vmap("stimulus_name", {1.0: "17", 2.0: "0018", 3.0: "joy ☺", 4.0: "NA"})
    data.add_metadata("hcp180_r_lh.L_V1_ROI", rng.random(N_VOXELS) < 0.4, "1 = V1", where="VoxelData")
    data.add_metadata("hcp180_r_rh.R_V1_ROI", rng.random(N_VOXELS) < 0.4, "1 = V1", where="VoxelData")
    data.add_metadata("nowhere", np.zeros(N_VOXELS), "1 = nowhere", where="VoxelData")
    data.add_metadata("reliability", rng.random(N_VOXELS), "of the voxel", where="VoxelData")
    data.add_metadata("mot_x", [1, 0, 0, 0, 0, 0], "translation", where="MotionParameter")
    if places:
        for axis in range(3):
            data.add_metadata(f"voxel_{'xyz'[axis]}", xyz[:, axis], "", where="VoxelData")
            data.add_metadata(f"voxel_{'ijk'[axis]}", ijk[:, axis], "", where="VoxelData")
    data.save(str(path))
    return data


def as_old_layout(path):
    """The names that files had before 2016."""
    with h5py.File(path, "r+") as file:
        file.move("dataset", "dataSet")
        file.move("metadata", "metaData")


def as_matlab(path, target):
    """What MATLAB 7.3 makes of the same: tables transposed, texts as arrays of characters behind references."""
    with h5py.File(path) as old, h5py.File(target, "w", userblock_size=512) as new:
        new["dataSet"] = old["dataset"][()].T
        new["metaData/value"] = old["metadata/value"][()].T
        for field in ("key", "description"):
            cells = new.create_dataset(f"metaData/{field}", (len(old["metadata/key"]), 1), h5py.ref_dtype)
            for row, text in enumerate(old[f"metadata/{field}"][()]):
                new[f"#refs#/{field}{row}"] = np.array([[ord(c)] for c in text.decode()], np.uint16)
                cells[row, 0] = new[f"#refs#/{field}{row}"].ref


def test_reader_equals_bdpy_on_a_file_that_bdpy_wrote(bdpy, tmp_path):
    write_with_bdpy(bdpy, tmp_path / "Subject1.h5")
    there, ours = bdpy.BData(str(tmp_path / "Subject1.h5")), read_bdpy(tmp_path / "Subject1.h5")
    assert ours.responses.dtype == np.float32
    np.testing.assert_array_equal(ours.responses, there.select("VoxelData").astype(np.float32))
    assert ours.trials["stimulus"].tolist() == there.get_labels("stimulus_name")
    for ours_name, key in (
        ("run", "Run"),
        ("session", "Session"),
        ("block", "Block"),
        ("response_time", "response_time"),
    ):
        np.testing.assert_array_equal(ours.trials[ours_name], there.select(key).ravel())
    assert list(ours.rois) == ["hcp180_r_lh.L_V1_ROI", "hcp180_r_rh.R_V1_ROI", "nowhere"]
    for name, mask in ours.rois.items():
        np.testing.assert_array_equal(mask, there.get_metadata(name, where="VoxelData") == 1)
    for axis in range(3):
        key = f"voxel_{'xyz'[axis]}"
        np.testing.assert_allclose(ours.geometry.coordinates()[:, axis], there.get_metadata(key, where="VoxelData"))
        key = f"voxel_{'ijk'[axis]}"
        np.testing.assert_array_equal(ours.geometry.ijk[:, axis], there.get_metadata(key, where="VoxelData"))
    assert ours.subject == "Subject1"


def test_old_layout_and_matlab_read_as_the_new_one(bdpy, tmp_path):
    write_with_bdpy(bdpy, tmp_path / "new.h5")
    new = read_bdpy(tmp_path / "new.h5", label_column="Block", subject="x")
    write_with_bdpy(bdpy, tmp_path / "old.h5")
    as_old_layout(tmp_path / "old.h5")
    as_matlab(tmp_path / "new.h5", tmp_path / "matlab.mat")
    for name in ("old.h5", "matlab.mat"):
        other = read_bdpy(tmp_path / name, label_column="Block", subject="x")
        np.testing.assert_array_equal(other.responses, new.responses)
        np.testing.assert_array_equal(other.geometry.affine, new.geometry.affine)
        assert other.trials["stimulus"].tolist() == [str(k + 1) for k in range(N_TRIALS)]
        assert {key: mask.sum() for key, mask in other.rois.items()} == {k: m.sum() for k, m in new.rois.items()}


@pytest.mark.parametrize("layout", ["dataset", "dataSet"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_bdpy_reads_what_we_write(bdpy, tmp_path, recording, layout, dtype):
    trials = recording.trials.assign(onset=np.arange(12) / 2, mood=["calm", "sad", "n/a"] * 4)
    write_bdpy(tmp_path / "sub-01.h5", replace(recording, trials=trials), layout=layout, dtype=dtype)
    with h5py.File(tmp_path / "sub-01.h5") as file:
        assert file[layout].dtype == dtype and ("metaData" in file) == (layout == "dataSet")
    there = bdpy.BData(str(tmp_path / "sub-01.h5"))
    np.testing.assert_array_equal(there.select("VoxelData"), recording.responses)
    assert there.get_labels("stimulus_name") == recording.trials["stimulus"].tolist()
    assert there.get_labels("mood") == ["calm", "sad", "n/a"] * 4
    for key, name in (("Run", "run"), ("Session", "session"), ("Block", "block"), ("onset", "onset")):
        np.testing.assert_array_equal(there.select(key).ravel(), trials[name])
    for name, mask in recording.rois.items():
        np.testing.assert_array_equal(there.select(name), recording.responses[:, mask])
    millimetres = np.column_stack([there.get_metadata(f"voxel_{axis}", where="VoxelData") for axis in "xyz"])
    np.testing.assert_array_equal(millimetres, recording.geometry.coordinates())
    assert there.header["subject"] == "sub-01"


@pytest.mark.parametrize("layout", ["dataset", "dataSet"])
def test_what_we_write_reads_back_whole(tmp_path, recording, layout):
    shifted = replace(recording, trials=recording.trials.assign(label="x", onset=0.5, stimulus=["0017", "", "n/a"] * 4))
    assert write_bdpy(tmp_path / "any.h5", shifted, layout=layout) == tmp_path / "any.h5"
    again = read_bdpy(tmp_path / "any.h5")
    assert again.subject == "sub-01"
    np.testing.assert_array_equal(again.responses, shifted.responses)
    expected = shifted.trials.assign(run_in_session=shifted.trials["run"])
    pd.testing.assert_frame_equal(again.trials[expected.columns], expected, check_dtype=False)
    np.testing.assert_array_equal(again.geometry.affine, shifted.geometry.affine)
    assert (again.geometry.shape, again.geometry.space) == ((4, 5, 6), "MNI152NLin2009cAsym")
    assert {name: mask.tolist() for name, mask in again.rois.items()} == {
        name: mask.tolist() for name, mask in shifted.rois.items()
    }


def test_a_surface_reads_back_whole(bdpy, tmp_path, recording):
    mesh = SurfaceMesh(np.arange(30, dtype=np.int32) % 17, np.arange(30) >= 17, (40, 41), "fsaverage5")
    write_bdpy(tmp_path / "surface.h5", replace(recording, geometry=mesh))
    again = read_bdpy(tmp_path / "surface.h5")
    np.testing.assert_array_equal(again.geometry.vertices, mesh.vertices)
    np.testing.assert_array_equal(again.geometry.right, mesh.right)
    assert (again.geometry.mesh_sizes, again.geometry.space) == ((40, 41), "fsaverage5")
    assert set(again.rois) == {"V1", "V2"}
    there = bdpy.BData(str(tmp_path / "surface.h5"))
    np.testing.assert_array_equal(there.select("VertexRight"), recording.responses[:, 17:])


@pytest.mark.parametrize("chunks", [None, True, (3, 5), (12, 1), (1, 33)])
@pytest.mark.parametrize("block", [2**23, 700])
def test_every_chunking_and_block_size_reads_the_same(tmp_path, recording, monkeypatch, chunks, block):
    monkeypatch.setattr("affectome.neural.recordings._bdpy_file._BLOCK_BYTES", block)
    write_bdpy(tmp_path / "a.h5", recording)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        held = file["dataset"][()]
        del file["dataset"]
        file.create_dataset("dataset", data=held, chunks=chunks, compression=None if chunks is None else "gzip")
    np.testing.assert_array_equal(read_bdpy(tmp_path / "a.h5").responses, recording.responses)
    region = read_bdpy(tmp_path / "a.h5", voxels="V2")
    np.testing.assert_array_equal(region.responses, recording.responses[:, recording.rois["V2"]])
    np.testing.assert_array_equal(region.geometry.ijk, recording.geometry.ijk[recording.rois["V2"]])
    assert region.rois["V1"].sum() == (recording.rois["V1"] & recording.rois["V2"]).sum()


PEAK = """
import json, sys
import h5py
import affectome.neural
from affectome.neural import read_bdpy

def high_water():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

read_bdpy(sys.argv[1])
before = high_water()
there = read_bdpy(sys.argv[2])
last = float(there.responses[-1].sum())
print(json.dumps({"peak": high_water() - before, "array": there.responses.nbytes, "sum": last}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("chunks", [None, (64, 512)], ids=["contiguous", "chunked"])
def test_peak_memory_stays_below_1_3_times_the_float32_array(tmp_path, draw, chunks):
    write_bdpy(tmp_path / "small.h5", draw())
    n_trials, n_voxels, n_rois = 500, 50_000, 60  # 200 MB as float64
    with h5py.File(tmp_path / "large.h5", "w") as file:
        columns = n_voxels + 2
        table = file.create_dataset("dataset", (n_trials, columns), np.float64, chunks=chunks)
        for start in range(0, n_trials, 64):
            row = np.arange(start, min(start + 64, n_trials))[:, None]  # broadcasting in h5py takes minutes
            table[start : start + 64] = np.repeat(row % 7 + 0.5, columns, axis=1)
        table[:, n_voxels:] = np.column_stack([np.arange(n_trials), np.arange(n_trials) // 50 + 1])
        keys = ["VoxelData", "stimulus_name", "Run", *(f"roi{k}" for k in range(n_rois))]
        file["metadata/key"] = [key.encode() for key in keys]
        value = file.create_dataset("metadata/value", (len(keys), columns), np.float64, fillvalue=np.nan)
        value[0, :n_voxels], value[1, n_voxels], value[2, n_voxels + 1] = 1, 1, 1
        for k in range(n_rois):
            value[3 + k, :n_voxels] = np.arange(n_voxels) % (k + 2) == 0
    ran = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "small.h5"), str(tmp_path / "large.h5")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    found = json.loads(ran.stdout)
    assert found["array"] == n_trials * n_voxels * 4
    assert found["sum"] == n_voxels * (499 % 7 + 0.5)
    assert found["peak"] <= 1.3 * found["array"]


def test_sessions_join_with_distinct_runs(tmp_path, draw):
    parts = [draw(seed=k) for k in range(3)]
    for k, part in enumerate(parts):
        write_bdpy(tmp_path / f"sub-01_ses-{k}.h5", part)
    joined = read_bdpy([tmp_path / f"sub-01_ses-{k}.h5" for k in range(3)])
    np.testing.assert_array_equal(joined.responses, np.concatenate([part.responses for part in parts]))
    np.testing.assert_array_equal(joined.trials["run"], np.repeat(np.arange(9) + 1, 4))
    np.testing.assert_array_equal(joined.trials["session"], np.repeat([1, 2, 3], 12))
    np.testing.assert_array_equal(joined.trials["run_in_session"], np.tile(np.repeat([1, 2, 3], 4), 3))


def test_regions_are_read_as_asked(bdpy, tmp_path):
    write_with_bdpy(bdpy, tmp_path / "a.h5")
    assert read_bdpy(tmp_path / "a.h5", rois=False).rois == {}
    assert list(read_bdpy(tmp_path / "a.h5", rois="*_lh.*").rois) == ["hcp180_r_lh.L_V1_ROI"]
    assert list(read_bdpy(tmp_path / "a.h5", rois=["nowhere"]).rois) == ["nowhere"]
    for asked in ("amygdala*", ["amygdala"]):
        with pytest.raises(InputError, match="amygdala"):
            read_bdpy(tmp_path / "a.h5", rois=asked)


def test_grid_comes_from_the_steps_of_millimetres_where_indices_are_absent(tmp_path, recording):
    oblique = recording.geometry
    write_bdpy(tmp_path / "a.h5", recording)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        keys = [key.replace(b"voxel_i", b"gone_i").replace(b"voxel_j", b"gone_j") for key in file["metadata/key"][()]]
        del file["metadata/key"], file["header"]
        file["metadata/key"] = keys
    grid = read_bdpy(tmp_path / "a.h5").geometry
    np.testing.assert_allclose(grid.coordinates(), oblique.coordinates(), atol=1e-9)
    np.testing.assert_allclose(np.diag(grid.affine), [2, 2, 2.5, 1])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        row = keys.index(b"voxel_y")
        file["metadata/value"][row, 3] += 0.7
    with pytest.raises(InputError, match="the y coordinates of the voxels follow no regular steps"):
        read_bdpy(tmp_path / "a.h5")


def test_a_recording_without_places_says_so(bdpy, tmp_path, caplog):
    write_with_bdpy(bdpy, tmp_path / "a.h5", places=False)
    with caplog.at_level(logging.WARNING):
        assert read_bdpy(tmp_path / "a.h5").geometry is None
    assert "does not say where its voxels lie" in caplog.text


def test_label_numbers_without_vmap_become_their_text(tmp_path, recording):
    write_bdpy(tmp_path / "a.h5", recording)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["vmap"]
    assert read_bdpy(tmp_path / "a.h5").trials["stimulus"].tolist() == recording.trials["stimulus"].tolist()


def edited(tmp_path, recording, edit, name="sub-01.h5"):
    write_bdpy(tmp_path / name, recording)
    with h5py.File(tmp_path / name, "r+") as file:
        edit(file, [key.decode() for key in file["metadata/key"][()]])
    return tmp_path / name


def replaced(file, name, content):
    del file[name]
    if content is not None:
        file[name] = content


def set_value(key, column, content):
    def edit(file, keys):
        file["metadata/value"][keys.index(key), column] = content

    return edit


def set_response(row, column, content):
    def edit(file, keys):
        file["dataset"][row, column] = content

    return edit


LABELS = 30  # column of the labels in the files below, then run, session, block

FAULTS = {
    "no metadata": (lambda f, _: replaced(f, "metadata", None), "it has no 'metadata' or 'metaData'"),
    "no dataset": (lambda f, _: replaced(f, "dataset", None), "it has no 'dataset' or 'dataSet'"),
    "no key": (lambda f, _: replaced(f, "metadata/key", None), "it has no 'metadata/key'"),
    "no value": (lambda f, _: replaced(f, "metadata/value", None), "it has no 'metadata/value'"),
    "keys are numbers": (
        lambda f, k: replaced(f, "metadata/key", np.arange(len(k))),
        "'metadata/key' is of type int64",
    ),
    "dataset of one dimension": (lambda f, _: replaced(f, "dataset", np.zeros(5)), r"'dataset' is of shape \(5,\)"),
    "dataset is a group": (lambda f, _: (replaced(f, "dataset", None), f.create_group("dataset")), "is a group"),
    "empty dataset": (lambda f, _: replaced(f, "dataset", np.zeros((0, 34))), r"dataset is empty \(0 × 34\)"),
    "other width": (
        lambda f, _: replaced(f, "dataset", np.zeros((12, 33))),
        "dataset has 33 columns, its metadata describes 34",
    ),
    "a key too few": (lambda f, k: replaced(f, "metadata/key", [b"a"] * (len(k) - 1)), "12 keys and 13 rows of values"),
    "voxel without coordinates": (
        set_value("voxel_y", slice(7, 9), np.nan),
        r"2 of 30 voxels have no coordinates \(the first is voxel 8\)",
    ),
    "voxel index in halves": (set_value("voxel_i", 7, 0.5), "indices are no whole numbers"),
    "voxel beside the grid": (set_value("voxel_x", 7, 3.0), "from its place on a regular grid"),
    "no voxel": (set_value("VoxelData", slice(0, 30), 0), "'VoxelData' marks no column, so there is no voxel"),
    "no run column": (set_value("Run", slice(30, 34), 0), "it has no column 'Run', which says the run; choose among"),
    "run is no whole number": (set_response(4, LABELS + 1, np.nan), "trial 5: the column 'Run' holds nan"),
    "label not in vmap": (
        set_response(6, LABELS, 99),
        r"trial 7: the label 99 of 'stimulus_name' has no text in vmap \(8 labels from 1 to 8\)",
    ),
    "vmap is no number": (lambda f, _: f.create_dataset("vmap/stimulus_name/x", data=b"y"), "vmap of .* says 'x'"),
    "header is no JSON": (
        lambda f, _: replaced(f, "header/affectome_geometry", b"{"),
        "its header 'affectome_geometry' is no JSON",
    ),
    "missing responses": (
        set_response(5, slice(3, 6), np.nan),
        r"run 2: the responses of 3 of 30 voxels are NaN or infinite; .*nan=\"drop voxels\"",
    ),
    "missing in two runs": (
        set_response(slice(0, 12, 6), 3, np.inf),
        "run 1: the responses of 1 of 30 voxels are NaN or infinite, and 1 more runs? ha",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path, recording, fault):
    edit, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        read_bdpy(edited(tmp_path, recording, edit))
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "sub-01.h5")) and said.endswith(".") and caught.value.remedy
    assert "\n" not in said


def test_labels_without_vmap_must_be_whole(tmp_path, recording):
    def edit(file, keys):
        del file["vmap"]
        file["dataset"][2, LABELS] = 1.5

    with pytest.raises(InputError, match=r"trial 3: the label 1\.5 of 'stimulus_name' is no whole number"):
        read_bdpy(edited(tmp_path, recording, edit))


def test_voxels_with_missing_responses_can_be_left_out(tmp_path, recording):
    path = edited(tmp_path, recording, set_response(slice(2, 12, 5), slice(3, 6), np.nan))
    there = read_bdpy(path, nan="drop voxels")
    np.testing.assert_array_equal(there.responses, np.delete(recording.responses, [3, 4, 5], axis=1))
    np.testing.assert_array_equal(there.geometry.ijk, np.delete(recording.geometry.ijk, [3, 4, 5], axis=0))
    path = edited(tmp_path, recording, set_response(3, slice(0, 30), np.nan))
    with pytest.raises(InputError, match=r"all 30 voxels have missing responses \(in runs 1\)"):
        read_bdpy(path, nan="drop voxels")


def test_a_value_beyond_float32_is_named_as_missing(tmp_path, recording):
    with pytest.raises(InputError, match="run 1: the responses of 1 of 30 voxels are NaN or infinite"):
        read_bdpy(edited(tmp_path, recording, set_response(0, 0, 1e300)))


def test_files_that_are_no_hdf5_are_named(tmp_path, recording):
    (tmp_path / "text.h5").write_text("stimulus,run\n")
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(200))
    write_bdpy(tmp_path / "whole.h5", recording)
    (tmp_path / "short.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:-2000])
    for name, message in (
        ("text.h5", "is no HDF5 file; give a file that bdpy wrote"),
        ("old.mat", "is no HDF5 file; save it in MATLAB with the option -v7.3"),
        ("short.h5", "was cut short; copy or download it again"),
        ("none.h5", "there is no such file"),
        (".", "is a folder"),
    ):
        with pytest.raises(InputError, match=message):
            read_bdpy(tmp_path / name)


def test_a_damaged_chunk_names_its_trials(tmp_path, recording):
    def edit(file, keys):
        held = file["dataset"][()]
        del file["dataset"]
        file.create_dataset("dataset", data=held, chunks=(4, 10), compression="gzip")

    path = edited(tmp_path, recording, edit)
    with h5py.File(path) as file:
        chunk = file["dataset"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged in 'dataset', rows 1 to 12"):
        read_bdpy(path)


def test_a_file_without_permission_is_named(tmp_path, recording, monkeypatch):
    write_bdpy(tmp_path / "a.h5", recording)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)  # root may read everything, so the refusal is played
    with pytest.raises(InputError, match=r"a\.h5: cannot be read \(Permission denied\)"):
        read_bdpy(tmp_path / "a.h5")


def test_the_same_file_twice_is_refused(tmp_path, draw):
    write_bdpy(tmp_path / "a.h5", draw())
    (tmp_path / "b.h5").symlink_to(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"b\.h5: is given twice, as file 1 and 2"):
        read_bdpy([tmp_path / "a.h5", tmp_path / "b.h5"])
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes())
    with pytest.raises(InputError, match=r"c\.h5: recordings 1 and 2 hold the same measurements"):
        read_bdpy([tmp_path / "a.h5", tmp_path / "c.h5"])


def test_sessions_with_other_voxels_or_people_are_refused(tmp_path, draw):
    write_bdpy(tmp_path / "a.h5", draw())
    write_bdpy(tmp_path / "b.h5", draw(n_voxels=28))
    with pytest.raises(InputError, match=r"b.h5: has 28 voxels and .*a.h5 has 30 \(28 places are in both\)"):
        read_bdpy([tmp_path / "a.h5", tmp_path / "b.h5"])
    write_bdpy(tmp_path / "c.h5", draw(subject="sub-02"))
    with pytest.raises(InputError, match="different people \\(sub-01, sub-02\\)"):
        read_bdpy([tmp_path / "a.h5", tmp_path / "c.h5"])


def test_missing_columns_list_what_there_is(tmp_path, recording):
    write_bdpy(tmp_path / "a.h5", recording)
    for options, message in (
        ({"label_column": "Label"}, "no column 'Label', which says the stimulus; choose among stimulus_name, Run"),
        ({"session_column": "Day"}, "no column 'Day', which says the session"),
        ({"voxels": "VertexData"}, "no key 'VertexData', which marks the voxels"),
        ({"nan": "keep"}, "nan is 'keep'"),
    ):
        with pytest.raises(InputError, match=message):
            read_bdpy(tmp_path / "a.h5", **options)


def test_names_that_the_layout_needs_are_refused(tmp_path, recording):
    clash = replace(recording, rois={"Run": recording.rois["V1"]})
    with pytest.raises(InputError, match="the regions Run are named as columns"):
        write_bdpy(tmp_path / "a.h5", clash)
    with pytest.raises(InputError, match="column 'a/b' of the trials"):
        write_bdpy(tmp_path / "a.h5", replace(recording, trials=recording.trials.assign(**{"a/b": 1})))
    with pytest.raises(InputError, match="layout is 'old'"):
        write_bdpy(tmp_path / "a.h5", recording, layout="old")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, recording, monkeypatch):
    write_bdpy(tmp_path / "a.h5", recording)
    before = (tmp_path / "a.h5").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("affectome.neural.recordings._bdpy_write._write_metadata", full)
    with pytest.raises(EnvironmentFailure, match="No space left"):
        write_bdpy(tmp_path / "a.h5", recording)
    assert (tmp_path / "a.h5").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


FULL = """
import resource, signal, sys
import numpy as np, pandas as pd
from affectome import EnvironmentFailure
from affectome.neural import Recording, write_bdpy

trials = pd.DataFrame({"stimulus": [str(k) for k in range(100)], "run": 1, "session": 1})
there = Recording("sub-01", np.ones((100, 2000), np.float32), trials)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    write_bdpy(sys.argv[1], there)
except EnvironmentFailure as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit on the size of files")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path / "a.h5")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "a.h5: cannot be written" in ran.stdout and "File too large" in ran.stdout
    assert not list(tmp_path.iterdir()) and ran.stderr == ""


def test_a_single_slice_keeps_its_places(tmp_path, draw):
    whole = draw(n_voxels=100)
    slice_of = whole.select_voxels(whole.geometry.ijk[:, 2] == 3)
    write_bdpy(tmp_path / "a.h5", slice_of)
    np.testing.assert_array_equal(read_bdpy(tmp_path / "a.h5").geometry.affine, slice_of.geometry.affine)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["header"]
    again = read_bdpy(tmp_path / "a.h5")
    assert isinstance(again, Recording) and again.subject == "a"
    np.testing.assert_allclose(again.geometry.coordinates(), slice_of.geometry.coordinates(), atol=1e-9)
    assert np.linalg.norm(again.geometry.affine[:3, 2]) == pytest.approx(2)  # the mean of the other two steps
