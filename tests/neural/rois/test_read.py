import nibabel
import numpy as np
import pytest

from affectome.errors import InputError
from affectome.neural import VolumeGrid, read_regions
from affectome.neural.rois._read import _other_hemisphere

GRID = VolumeGrid(np.array([[k, 0, 0] for k in range(4)], np.int32), np.eye(4), (4, 1, 1))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "atlas.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.array([1, 2, 2, 0], np.int16).reshape(4, 1, 1), np.eye(4)), path)
    return path


def test_a_table_beside_a_label_image_names_its_labels(record, image):
    assert list(read_regions(image, record(GRID)).rois) == ["label 1", "label 2"]
    image.with_name("atlas.tsv").write_text("index\tname\n1\tV1\n2\tMST\n")
    assert read_regions(image, record(GRID)).rois["MST"].tolist() == [False, True, True, False]
    assert list(read_regions(image, record(GRID), labels={1: "a", 2: "b"}).rois) == ["a", "b"]


def test_a_toml_file_groups_the_regions_that_are_there(record, image, tmp_path):
    (tmp_path / "groups.toml").write_text('[groups]\nboth = ["label*"]\n')
    found = read_regions(tmp_path / "groups.toml", read_regions(image, record(GRID)))
    assert found.rois["both"].tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("lh.HCP.annot", "rh.HCP.annot"),
        ("tpl-fsaverage_hemi-L_desc-MMP.label.gii", "tpl-fsaverage_hemi-R_desc-MMP.label.gii"),
        ("S1.L.aparc.label.gii", "S1.R.aparc.label.gii"),
    ],
)
def test_the_right_hemisphere_is_found_by_name(tmp_path, left, right):
    (tmp_path / right).touch()
    assert _other_hemisphere(tmp_path / left) == tmp_path / right


def test_what_cannot_be_read_is_named(record, image, tmp_path):
    with pytest.raises(InputError, match=r"has the extension '\.mat'; give regions as"):
        read_regions(tmp_path / "atlas.mat", record(GRID))
    with pytest.raises(InputError, match="does not say in its name that it is the left hemisphere"):
        read_regions(tmp_path / "atlas.label.gii", record(GRID))
    with pytest.raises(InputError, match=r"rh\.a\.annot: the right hemisphere is not there"):
        read_regions(tmp_path / "lh.a.annot", record(GRID))
    with pytest.raises(InputError, match="are for label images"):
        read_regions(tmp_path / "groups.toml", record(GRID), resample=True)
