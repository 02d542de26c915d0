import errno
import itertools
import json
from pathlib import Path

import nibabel
import nilearn.image
import nilearn.surface
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affectome.errors import EnvironmentFailure, InputError
from affectome.neural import SurfaceMesh, VolumeGrid, map_facts, read_map, write_map

AFFINE = np.array([[-2.0, 0, 0, 30], [0, 2, 0, -20], [0, 0, 2.5, -12], [0, 0, 0, 1]])
SHAPE = (7, 6, 5)
SAID = {"statistic": "r", "description": "Held-out correlation.", "space": "mllm"}


def grid(affine=AFFINE, space="MNI152NLin2009cAsym", n=40, seed=0):
    places = np.random.default_rng(seed).choice(np.prod(SHAPE), n, replace=False)
    ijk = np.stack(np.unravel_index(places, SHAPE), axis=1).astype(np.int32)
    return VolumeGrid(ijk, affine, SHAPE, space)


MESH = SurfaceMesh(np.array([0, 3, 9, 1, 2, 7], np.int32), np.array([0, 0, 0, 1, 1, 1], bool), (10, 8), "fsaverage5")


@settings(max_examples=40)
@given(values=arrays(np.float32, 40, elements=st.floats(width=32, allow_infinity=False, allow_nan=True)))
def test_a_volume_comes_back_bit_for_bit(tmp_path_factory, values):
    path = write_map(tmp_path_factory.mktemp("maps"), grid(), values, **SAID)
    back = read_map(path, grid())
    assert back.dtype == np.float32
    assert np.array_equal(back, values, equal_nan=True)
    assert nibabel.load(path).get_data_dtype() == np.float32


@given(values=arrays(np.float32, (2, 5), elements=st.floats(width=32, allow_infinity=False, allow_nan=True)))
@settings(max_examples=40)
def test_a_table_comes_back_bit_for_bit(tmp_path_factory, values):
    import pandas as pd

    from affectome.neural import Recording

    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    recording = Recording("sub-01", np.zeros((1, 5), np.float32), trials)
    path = write_map(tmp_path_factory.mktemp("maps"), recording, values, names=["joy", "value"], **SAID)
    assert path.name == "sub-01_stat-r_desc-mllm_statmap.tsv"
    assert np.array_equal(read_map(path, recording), values, equal_nan=True)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (3, 6)])
def test_a_surface_comes_back_bit_for_bit(tmp_path, record, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values[..., 2] = np.nan
    names = None if len(shape) == 1 else [f"c{k}" for k in range(shape[0])]
    path = write_map(tmp_path, record(MESH), values, names=names, **SAID)
    assert path.name == "sub-01_hemi-L_space-fsaverage5_stat-r_desc-mllm_statmap.func.gii"
    right = path.with_name(path.name.replace("hemi-L", "hemi-R"))
    for side in (path, right):
        assert np.array_equal(read_map(side, MESH), values, equal_nan=True)
    image = nibabel.load(right)
    assert image.meta["AnatomicalStructurePrimary"] == "CortexRight"
    assert [array.meta["Name"] for array in image.darrays] == (names or ["r"])
    assert image.darrays[0].data.shape == (8,)
    np.testing.assert_array_equal(image.darrays[-1].data[[1, 2, 7]], values[..., 3:].reshape(-1, 3)[-1])
    assert np.isnan(image.darrays[0].data[0])
    theirs = nilearn.surface.load_surf_data(path)
    np.testing.assert_array_equal(theirs[[0, 3, 9]].T, values[0, :3] if shape == (1, 6) else values[..., :3])


def test_components_are_the_volumes_of_one_file_with_their_names(tmp_path, record):
    values = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    names = ["joy", "ärger (v2)", "c3"]
    path = write_map(tmp_path, record(grid()), values, names=names, **SAID)
    image = nibabel.load(path)
    assert image.shape == (*SHAPE, 3)
    assert map_facts(path)["Maps"] == names
    for k, values_k in enumerate(values):
        volume = nilearn.image.index_img(image, k).get_fdata()
        np.testing.assert_array_equal(volume[tuple(grid().ijk.T)], values_k)
    assert np.array_equal(read_map(path, record(grid())), values)
    one = write_map(tmp_path / "one", record(grid()), values[:1], names=["joy"], **SAID)
    assert read_map(one, grid()).shape == (1, 40)


def test_the_file_is_named_and_described(tmp_path, record):
    null = "Responses and predictions are unrelated; blocks of held-out trials are permuted."
    path = write_map(tmp_path, record(grid()), np.ones(40), facts={"Null": null, "Level": np.float64(0.05)}, **SAID)
    assert path.name == "sub-01_space-MNI152NLin2009cAsym_stat-r_desc-mllm_statmap.nii.gz"
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar == map_facts(path)
    assert sidecar["Description"] == "Held-out correlation."
    assert (sidecar["Subject"], sidecar["FeatureSpace"], sidecar["Statistic"]) == ("sub-01", "mllm", "r")
    assert (sidecar["Space"], sidecar["Null"], sidecar["Level"]) == ("MNI152NLin2009cAsym", null, 0.05)
    assert sidecar["GeneratedBy"][0]["Name"] == "affectome"
    assert sidecar["Maps"] is None
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".gz", ".json"]


def test_a_group_has_no_subject_and_a_native_space_no_space(tmp_path, record):
    assert write_map(tmp_path, grid(), np.ones(40), **SAID).name.startswith("space-MNI152")
    native = write_map(tmp_path, record(grid(space=None)), np.ones(40), **SAID)
    assert native.name == "sub-01_stat-r_desc-mllm_statmap.nii.gz"
    assert map_facts(native)["Space"] == "native"


def test_the_same_map_is_the_same_file_whenever_it_is_written(tmp_path, monkeypatch):
    written = []
    for name, now in (("a", 1e9), ("b", 1.5e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        written.append(write_map(tmp_path / name, grid(), np.arange(40), **SAID).read_bytes())
    assert written[0] == written[1]


def test_a_disk_that_fills_between_the_hemispheres_keeps_the_old_pair(tmp_path, monkeypatch):
    path = write_map(tmp_path, MESH, np.ones(6), **SAID)
    whole, calls = Path.write_bytes, []

    def filling(self, content):
        calls.append(self)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, content)

    monkeypatch.setattr(Path, "write_bytes", filling)
    with pytest.raises(EnvironmentFailure, match="No space left"):
        write_map(tmp_path, MESH, np.zeros(6), **SAID)
    assert np.array_equal(read_map(path, MESH), np.ones(6))
    assert len(list(tmp_path.iterdir())) == 3


def orientations():
    """Axes in every order and direction, turned and sheared a little."""
    numbers = st.floats(-0.3, 0.3)
    return st.tuples(
        st.sampled_from(list(itertools.permutations(range(3)))),
        st.tuples(*[st.sampled_from([1, -1])] * 3),
        st.tuples(*[st.floats(1, 4)] * 3),
        arrays(np.float64, (3, 3), elements=numbers),
        arrays(np.float64, 3, elements=st.floats(-90, 90)),
    )


@settings(max_examples=60)
@given(orientation=orientations(), voxel=st.integers(0, 39))
def test_nilearn_finds_the_value_at_the_planted_millimetres(tmp_path_factory, orientation, voxel):
    order, flip, sizes, turn, origin = orientation
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3)[:, order] * flip + turn) @ np.diag(sizes)
    affine[:3, 3] = origin
    geometry = grid(affine)
    values = np.zeros(40)
    values[voxel] = 7
    path = write_map(tmp_path_factory.mktemp("maps"), geometry, values, **SAID)
    image = nilearn.image.load_img(path)
    x, y, z = geometry.coordinates()[voxel]
    ijk = nilearn.image.coord_transform(x, y, z, np.linalg.inv(image.affine))
    assert image.get_fdata()[tuple(np.rint(ijk).astype(int))] == 7
    assert np.nansum(image.get_fdata()) == 7
    header = image.header
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-4)
    if header["qform_code"]:  # a q-form cannot say a shear; then it must not say anything
        np.testing.assert_allclose(header.get_qform(), affine, atol=2e-3)


@pytest.mark.parametrize(
    ("space", "code"), [("MNI152NLin2009cAsym", 4), ("MNI152NLin6Asym", 4), ("T1w", 2), (None, 2), ("MNIPediatric", 2)]
)
def test_the_header_says_the_space_in_both_forms(tmp_path, space, code):
    header = nibabel.load(write_map(tmp_path, grid(space=space), np.ones(40), **SAID)).header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (code, code)
    assert header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(header.get_qform(), AFFINE, atol=1e-4)


def test_a_sheared_grid_has_no_q_form(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.5
    header = nibabel.load(write_map(tmp_path, grid(sheared), np.ones(40), **SAID)).header
    assert int(header["qform_code"]) == 0
    np.testing.assert_allclose(header.get_best_affine(), sheared, atol=1e-5)


def test_two_spaces_never_share_a_file(tmp_path, record, monkeypatch):
    paths = {
        write_map(tmp_path, record(grid()), np.ones(40), **{**SAID, "space": name}) for name in ("a b", "a_b", "aB")
    }
    assert len(paths) == 3
    # as on a file system without case
    path = write_map(tmp_path, record(grid()), np.ones(40), **SAID)
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    sidecar.write_text(sidecar.read_text().replace('"FeatureSpace": "mllm"', '"FeatureSpace": "MLLM"'))
    with pytest.raises(InputError, match=r"holds another map \(FeatureSpace 'MLLM', not 'mllm'\)"):
        write_map(tmp_path, record(grid()), np.zeros(40), **SAID)
    assert np.array_equal(read_map(path, grid()), np.ones(40))


def test_writing_again_replaces_the_map(tmp_path, record):
    for value in (1, 2):
        path = write_map(tmp_path, record(grid()), np.full(40, value), **SAID)
    assert np.array_equal(read_map(path, grid()), np.full(40, 2))


@pytest.mark.parametrize("geometry", [grid(), MESH, None], ids=["volume", "surface", "table"])
def test_a_full_disk_leaves_no_half_file_and_keeps_the_old_map(tmp_path, record, monkeypatch, geometry):
    recording = record(geometry)
    path = write_map(tmp_path, recording, np.ones(recording.n_voxels), **SAID)
    before = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EnvironmentFailure, match=r"cannot be written .*No space left"):
        write_map(tmp_path, recording, np.zeros(recording.n_voxels), **SAID)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == before
    assert np.array_equal(read_map(path, recording), np.ones(recording.n_voxels))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones(39), {}, r"the values have the shape \(39,\) for 40 voxels"),
        (np.ones((40, 2)), {"names": ["a"] * 40}, r"shape \(40, 2\)"),
        (np.full(40, np.inf), {}, "40 values are infinite as float32"),
        (np.full(40, 1e39), {}, "40 values are infinite as float32"),
        (np.ones((2, 40)), {}, "the 2 maps have no names"),
        (np.ones((2, 40)), {"names": ["a"]}, "1 names are given for 2"),
        (np.ones((2, 40)), {"names": ["a", "a"]}, "the id 'a' was already used"),
        (np.ones(40), {"names": ["a"]}, "1 names are given for a single map"),
        (np.ones(40), {"description": " "}, "the map has no description"),
        (np.ones(40), {"statistic": ""}, "the name for 'stat' is empty"),
        (np.ones(40), {"facts": {"Units": "z"}}, "the facts name Units"),
        (np.ones(40), {"facts": {"Level": np.nan}}, "the facts cannot be written as JSON"),
        (np.ones(40), {"facts": {"Level": object()}}, "the facts cannot be written as JSON"),
    ],
)
def test_bad_input_is_named_and_writes_nothing(tmp_path, record, values, options, message):
    with pytest.raises(InputError, match=message):
        write_map(tmp_path / "maps", record(grid()), values, **{**SAID, **options})
    assert not list(tmp_path.glob("maps/*"))


def test_places_that_no_map_can_hold_are_refused(tmp_path, record):
    twice = grid().select(np.array([0, 1, 1]))
    with pytest.raises(InputError, match="sub-01: 1 voxels lie where another does"):
        write_map(tmp_path, record(twice), np.ones(3), **SAID)
    outside = VolumeGrid(np.array([[7, 0, 0]], np.int32), AFFINE, SHAPE)
    with pytest.raises(InputError, match="a voxel lies outside its volume"):
        write_map(tmp_path, outside, [1.0], **SAID)
    beyond = SurfaceMesh(np.array([9], np.int32), np.array([True]), (10, 8))
    with pytest.raises(InputError, match="a vertex lies outside its mesh"):
        write_map(tmp_path, beyond, [1.0], **SAID)


def test_a_map_of_other_voxels_is_refused(tmp_path, record):
    path = write_map(tmp_path, grid(), np.ones(40), **SAID)
    other = AFFINE.copy()
    other[0] *= -1
    moved = AFFINE.copy()
    moved[:3, 3] += AFFINE[:3, 0]  # the same voxels, counted from another corner
    for geometry in (grid(other), grid(moved), VolumeGrid(grid().ijk, AFFINE, (8, 6, 5))):
        with pytest.raises(InputError, match="has another grid than the recording"):
            read_map(path, geometry)
    surface = write_map(tmp_path, MESH, np.ones(6), **SAID)
    with pytest.raises(InputError, match="is no map of 11 vertices"):
        read_map(surface, SurfaceMesh(MESH.vertices, MESH.right, (11, 8)))
    with pytest.raises(InputError, match="is no map of voxels of a volume"):
        read_map(surface, grid())
    with pytest.raises(InputError, match="is no map of vertices of a surface"):
        read_map(path, MESH)
    table = write_map(tmp_path, record(), np.ones(5), **SAID)
    with pytest.raises(InputError, match="is no map of 6 voxels"):
        read_map(table, record(n_voxels=6))


def test_missing_and_damaged_maps_are_named(tmp_path, record):
    with pytest.raises(InputError, match="there is no such file"):
        read_map(tmp_path / "none.nii.gz", grid())
    path = write_map(tmp_path, grid(), np.random.default_rng(0).normal(size=40), **SAID)
    whole = path.read_bytes()
    for size in (20, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="is no whole image; it was cut short"):
            read_map(path, grid())
    surface = write_map(tmp_path, MESH, np.ones(6), **SAID)
    right = Path(str(surface).replace("hemi-L", "hemi-R"))
    content = right.read_bytes()
    right.write_bytes(content[:-60])
    with pytest.raises(InputError, match=r"hemi-R.*is no whole image"):
        read_map(surface, MESH)
    right.unlink()
    with pytest.raises(InputError, match=r"hemi-R.*one hemisphere of the map is not there"):
        read_map(surface, MESH)
    table = write_map(tmp_path, record(), np.ones(5), **SAID)
    table.write_text(table.read_text().replace("1.0", "one", 1))
    with pytest.raises(InputError, match="holds a value that is no number"):
        read_map(table, record())


def test_maps_of_other_programs_are_read(tmp_path):
    volume = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    nibabel.save(nibabel.Nifti1Image(volume, AFFINE), tmp_path / "theirs.nii")
    assert np.array_equal(read_map(tmp_path / "theirs.nii", grid()), volume[tuple(grid().ijk.T)])
