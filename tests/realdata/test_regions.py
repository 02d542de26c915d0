"""Our tables of regions against the published definitions."""

import nibabel
import nilearn.image
import numpy as np
import pandas as pd
import pytest
import scipy.io

from affectome.errors import InputError
from affectome.neural import (
    HCP_GROUPS,
    SUBCORTICAL,
    Recording,
    VolumeGrid,
    group_members,
    read_map,
    regions_from_image,
    summarise_regions,
    write_map,
)
from affectome.neural.rois._names import area_name


@pytest.fixture(scope="module")
def published(data):
    return scipy.io.loadmat(data / "horikawa_2020" / "roiInf.mat", simplify_cells=True)["roiInf"]


def as_recording(names):
    masks = dict(zip(names, np.eye(len(names), dtype=bool), strict=True))
    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    return Recording("sub-01", np.zeros((1, len(names)), np.float32), trials, rois=masks)


def test_the_360_areas_are_read_as_180_in_each_hemisphere(published):
    names = [area_name(name) for name in published["hcp360"]["roiName"]]
    areas = {side: {name.area for name in names if name.side == side} for side in ("left", "right")}
    assert len(areas["left"]) == len(areas["right"]) == 180
    assert areas["left"] == areas["right"]
    assert {area for members in HCP_GROUPS.values() for area in members} <= areas["left"]


def test_the_thirteen_groups_are_the_published_ones_with_two_names_put_right(published):
    swapped = {"Insula": "ACC", "ACC": "Insula"}
    groups = published["individual"]
    assert set(groups["roiDescrip"]) == set(list(HCP_GROUPS)[:13])
    recording = as_recording(list(published["hcp360"]["roiName"]))
    for name, members in zip(groups["roiDescrip"], groups["roiName"], strict=True):
        ours = HCP_GROUPS[swapped.get(name, name)]
        assert {area_name(member).area for member in members} == set(ours)
        assert len(members) == 2 * len(ours)
    table = group_members(recording)
    assert (table["share"] == 1).all()
    assert table["n_voxels"].to_dict() == {name: 2 * len(members) for name, members in HCP_GROUPS.items()}
    assert table.at["VC", "n_voxels"] == 52


def test_the_ten_subcortical_regions_take_the_published_masks(published):
    groups = published["subcortex"]
    masks = [sorted(set(np.atleast_1d(members))) for members in groups["roiName"]]
    recording = as_recording([name for members in masks for name in members])
    table = group_members(recording, "subcortical")
    assert (table["share"] == 1).all()
    assert len(SUBCORTICAL) == len(masks) == 10
    assert table["n_voxels"].tolist() == [len(members) for members in masks]


@pytest.fixture(scope="module")
def haxby(data):
    """The means over time of the slice of Haxby et al. (2001), its mask, and the recording of both."""
    bold = nibabel.load(data / "haxby_slice" / "bold.nii.gz")
    mask = nibabel.load(data / "haxby_slice" / "mask.nii.gz")
    ijk = np.argwhere(mask.get_fdata() > 0).astype(np.int32)
    mean = np.asarray(bold.dataobj, np.float32).mean(axis=-1)[tuple(ijk.T)]
    trials = pd.DataFrame({"stimulus": ["mean"], "run": [1], "session": [1]})
    grid = VolumeGrid(ijk, bold.affine, bold.shape[:3])
    return mask, Recording("haxby", mean[None], trials, grid)


def test_a_real_mask_covers_its_recording_and_is_refused_when_flipped(haxby):
    mask, recording = haxby
    assert regions_from_image(recording, mask, {1: "brain"}).rois["brain"].all()
    canonical = nibabel.as_closest_canonical(mask)
    assert nibabel.aff2axcodes(mask.affine) != nibabel.aff2axcodes(canonical.affine)
    with pytest.raises(InputError, match="the image is oriented RAS and the recording LAS"):
        regions_from_image(recording, canonical, {1: "brain"})
    assert regions_from_image(recording, canonical, {1: "brain"}, resample=True).rois["brain"].all()


def test_a_real_map_lies_in_nilearn_where_its_voxels_lie(haxby, tmp_path):
    _, recording = haxby
    mean = recording.responses[0]
    path = write_map(tmp_path, recording, mean, statistic="mean", description="Mean over time.", units="a.u.")
    image = nilearn.image.load_img(path)
    assert np.array_equal(read_map(path, recording), mean)
    for voxel in (0, 200, int(mean.argmax())):
        x, y, z = recording.geometry.coordinates()[voxel]
        i, j, k = np.rint(nilearn.image.coord_transform(x, y, z, np.linalg.inv(image.affine))).astype(int)
        assert image.get_fdata()[i, j, k] == mean[voxel]
    table = summarise_regions(mean, {"brain": np.ones(len(mean), bool)}).loc["brain"]
    assert (table["n_voxels"], table["undefined"]) == (530, 0)
    np.testing.assert_allclose([table["mean"], table["max"]], [np.nanmean(image.get_fdata()), mean.max()], rtol=1e-6)
