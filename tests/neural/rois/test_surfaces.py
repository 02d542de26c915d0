import logging

import nibabel
import numpy as np
import pytest
from nibabel.freesurfer.io import write_annot

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, read_regions, regions_from_surface

SIZES = (12, 10)


@pytest.fixture
def mesh():
    vertices = np.array([0, 3, 5, 11, 0, 4, 9], np.int32)
    return SurfaceMesh(vertices, np.array([0, 0, 0, 0, 1, 1, 1], bool), SIZES, "fsaverage5")


def label_gifti(path, values, names):
    table = nibabel.gifti.GiftiLabelTable()
    for key, name in names.items():
        label = nibabel.gifti.GiftiLabel(key)
        label.label = name
        table.labels.append(label)
    array = nibabel.gifti.GiftiDataArray(np.asarray(values, np.int32), intent="NIFTI_INTENT_LABEL")
    nibabel.save(nibabel.GiftiImage(labeltable=table, darrays=[array]), path)
    return path


LEFT, RIGHT = np.repeat([0, 1, 2], 4), np.repeat([1, 2], 5)


@pytest.fixture
def pair(tmp_path):
    left = label_gifti(tmp_path / "lh.atlas.label.gii", LEFT, {0: "???", 1: "L_V1_ROI", 2: "L_MST_ROI"})
    return left, label_gifti(tmp_path / "rh.atlas.label.gii", RIGHT, {0: "???", 1: "R_V1_ROI", 2: "R_MST_ROI"})


def test_every_vertex_gets_the_label_of_its_hemisphere(record, mesh, pair):
    found = regions_from_surface(record(mesh), *pair).rois
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "L_V1_ROI": [2],
        "L_MST_ROI": [3],
        "R_V1_ROI": [4, 5],
        "R_MST_ROI": [6],
    }


def test_freesurfer_annotations_give_the_same_and_names_get_their_side(record, mesh, tmp_path):
    colours = np.array([[10, 20, 30, 0, 0], [40, 50, 60, 0, 0], [70, 80, 90, 0, 0]])
    for side, labels in (("lh", LEFT), ("rh", RIGHT)):
        names = [b"unknown", b"V1", b"MST"]
        write_annot(tmp_path / f"{side}.HCP.annot", labels, colours, names, fill_ctab=True)
    found = read_regions(tmp_path / "lh.HCP.annot", record(mesh)).rois
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "lh.V1": [2],
        "lh.MST": [3],
        "rh.V1": [4, 5],
        "rh.MST": [6],
    }


def test_regions_without_a_vertex_are_named(record, mesh, pair, caplog):
    few = mesh.select(np.array([0, 3, 4]))
    with caplog.at_level(logging.WARNING):
        found = regions_from_surface(record(few), *pair)
    assert list(found.rois) == ["L_MST_ROI", "R_V1_ROI"]
    assert "2 labels have no voxel in the recording: L_V1_ROI, R_MST_ROI" in caplog.text


def test_another_mesh_is_refused(record, mesh, pair):
    with pytest.raises(InputError, match=r"lh\.atlas.*has 12 vertices and the right mesh of the recording 10"):
        regions_from_surface(record(mesh), pair[0], pair[0])


def test_a_volume_is_refused(record, pair):
    with pytest.raises(InputError, match="needs a recording of surface vertices"):
        regions_from_surface(record(), *pair)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: "???", 1: "V1"}, "the labels 2 have no name"),
        ({0: "???", 1: "V1", 2: "V1"}, "two labels have the name 'V1'"),
    ],
)
def test_faulty_label_tables_are_refused(record, mesh, pair, tmp_path, names, message):
    left = label_gifti(tmp_path / "bad.label.gii", LEFT, names)
    with pytest.raises(InputError, match=message):
        regions_from_surface(record(mesh), left, pair[1])


def test_files_that_are_no_atlas_are_named(record, mesh, pair, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        regions_from_surface(record(mesh), tmp_path / "none.label.gii", pair[1])
    for name in ("lh.label.gii", "lh.annot"):
        (tmp_path / name).write_bytes(pair[0].read_bytes()[:200])
        with pytest.raises(InputError, match="is no whole surface atlas"):
            regions_from_surface(record(mesh), tmp_path / name, pair[1])
    array = nibabel.gifti.GiftiDataArray(np.full(12, 0.5, np.float32))
    nibabel.save(nibabel.GiftiImage(darrays=[array]), tmp_path / "map.gii")
    with pytest.raises(InputError, match="holds values that are no labels"):
        regions_from_surface(record(mesh), tmp_path / "map.gii", pair[1])
