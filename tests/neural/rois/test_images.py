import itertools
import logging

import nibabel
import nilearn.image
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.neural import Recording, VolumeGrid, regions_from_image

AFFINE = np.array([[2.0, 0, 0, -8], [0, 2, 0, -6], [0, 0, 3, -9], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)


def grid(affine=AFFINE, shape=SHAPE, space="MNI152NLin2009cAsym", every=1):
    ijk = np.array(list(np.ndindex(shape)), np.int32)[::every]
    return VolumeGrid(ijk, affine, shape, space)


@pytest.fixture(scope="module")
def labels():
    """A label image with a planted value per voxel, and its array."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 4, SHAPE).astype(np.int16)
    return array, nibabel.Nifti1Image(array, AFFINE)


def test_every_voxel_gets_the_label_of_its_place(record, labels):
    array, image = labels
    geometry = grid(every=3)
    found = regions_from_image(record(geometry), image, {1: "V1", 2: "MST", 3: "TF"})
    here = array[tuple(geometry.ijk.T)]
    assert list(found.rois) == ["V1", "MST", "TF"]
    for label, name in enumerate(found.rois, start=1):
        assert np.array_equal(found.rois[name], here == label)


def test_labels_without_names_are_numbered(record, labels):
    assert list(regions_from_image(record(grid()), labels[1]).rois) == ["label 1", "label 2", "label 3"]


@pytest.mark.parametrize("columns", [("index", "name"), ("value", "label")])
def test_names_come_from_a_table_or_its_file(record, labels, tmp_path, columns):
    table = pd.DataFrame({columns[0]: [3, 1, 2], columns[1]: ["TF", "001", "NA"], "color": ["#f00"] * 3})
    table.to_csv(tmp_path / "names.tsv", sep="\t", index=False)
    nibabel.save(labels[1], tmp_path / "labels.nii.gz")
    by_file = regions_from_image(record(grid()), tmp_path / "labels.nii.gz", tmp_path / "names.tsv")
    by_table = regions_from_image(record(grid()), labels[1], table)
    assert list(by_file.rois) == list(by_table.rois) == ["TF", "001", "NA"]
    assert np.array_equal(by_file.rois["TF"], labels[0].ravel() == 3)


def test_volumes_of_masks_may_overlap(record):
    masks = np.zeros((*SHAPE, 2), np.float32)
    masks[0, ..., 0] = masks[:, 0, :, 1] = 1
    found = regions_from_image(record(grid()), nibabel.Nifti1Image(masks, AFFINE), {1: "slab", 2: "wall"})
    assert (found.rois["slab"].sum(), found.rois["wall"].sum()) == (20, 24)
    assert (found.rois["slab"] & found.rois["wall"]).sum() == 4


def test_probabilities_need_a_threshold(record):
    chance = np.linspace(0, 1, np.prod(SHAPE), dtype=np.float32).reshape(*SHAPE, 1)
    image = nibabel.Nifti1Image(chance, AFFINE)
    with pytest.raises(InputError, match="values other than 0 and 1; give a threshold"):
        regions_from_image(record(grid()), image, {1: "V1"})
    found = regions_from_image(record(grid()), image, {1: "V1"}, threshold=0.25)
    assert np.array_equal(found.rois["V1"], chance.ravel() > 0.25)


FLIPS = list(itertools.product(*[[1, -1]] * 3))
ORDERS = list(itertools.permutations(range(3)))


@settings(max_examples=40)
@given(flip=st.sampled_from(FLIPS), order=st.sampled_from(ORDERS), seed=st.integers(0, 99))
def test_an_image_in_another_orientation_is_refused_and_resampled_to_the_same_labels(flip, order, seed):
    array = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.int16)
    array[0, 0, 0], array[0, 0, 1] = 1, 2
    image = nibabel.Nifti1Image(array, AFFINE)
    turned = image.as_reoriented(np.array([[axis, sign] for axis, sign in zip(order, flip, strict=True)]))
    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    recording = Recording("sub-01", np.zeros((1, 120), np.float32), trials, grid())
    wanted = regions_from_image(recording, image).rois
    if flip == (1, 1, 1) and order == (0, 1, 2):
        assert nibabel.aff2axcodes(turned.affine) == ("R", "A", "S")
    else:
        codes = "".join(nibabel.aff2axcodes(turned.affine))
        with pytest.raises(InputError, match=f"the image is oriented {codes} and the recording RAS"):
            regions_from_image(recording, turned)
    found = regions_from_image(recording, turned, resample=True).rois
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_oblique_and_coarser_images_are_resampled_as_nilearn_does(seed):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(rng.uniform(1.1, 4, 3))
    affine[:3, 3] = grid().coordinates().mean(axis=0) - affine[:3, :3] @ [4, 4, 4] + rng.normal(size=3)
    array = rng.integers(1, 4, (9, 9, 9)).astype(np.int16)
    image = nibabel.Nifti1Image(array, affine)
    twin = nilearn.image.resample_img(
        image, AFFINE, SHAPE, interpolation="nearest", force_resample=True, copy_header=True
    )
    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    recording = Recording("sub-01", np.zeros((1, 120), np.float32), trials, grid())
    found = regions_from_image(recording, image, {1: "a", 2: "b", 3: "c"}, resample=True).rois
    expected = twin.get_fdata().ravel()
    # nilearn ends an image at the centres of its outermost voxels, we half a voxel further out.
    places = np.rint(nibabel.affines.apply_affine(np.linalg.inv(affine), grid().coordinates())).astype(int)
    rim = (expected == 0) & np.all((places >= 0) & (places < 9), axis=1)
    expected[rim] = array[tuple(places[rim].T)]
    for label, name in enumerate("abc", start=1):
        assert np.array_equal(found.get(name, np.zeros(120, bool)), expected == label)


def test_the_same_lattice_cut_out_differently_needs_no_resampling(record, labels, caplog):
    array, _ = labels
    shifted = AFFINE.copy()
    shifted[:3, 3] = AFFINE[:3, :3] @ [1, 2, 0] + AFFINE[:3, 3]
    cut = nibabel.Nifti1Image(array[1:5, 2:], shifted)
    found = regions_from_image(record(grid()), cut, {1: "V1", 2: "MST", 3: "TF"})
    expected = np.zeros(SHAPE)
    expected[1:5, 2:] = array[1:5, 2:]
    assert np.array_equal(found.rois["MST"], expected.ravel() == 2)


def test_a_shifted_grid_is_refused_with_both_voxel_sizes(record, labels):
    array, _ = labels
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.7
    message = r"voxels of the image \(2 × 2 × 3 mm\) lie elsewhere than the recording's \(2 × 2 × 3 mm\)"
    with pytest.raises(InputError, match=message):
        regions_from_image(record(grid()), nibabel.Nifti1Image(array, shifted))


def test_an_atlas_in_mni_space_is_not_resampled_into_a_persons_own(record, labels):
    array, _ = labels
    affine = AFFINE.copy()
    affine[:3, :3] *= 0.9
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, 4)
    with pytest.raises(InputError, match="the image is in MNI space and the recording in the person's own"):
        regions_from_image(record(grid(space=None)), image, resample=True)


def test_labels_outside_the_recording_are_named_and_left_out(record, labels, caplog):
    array, image = labels
    geometry = grid()
    geometry = geometry.select(array.ravel() != 2)
    with caplog.at_level(logging.INFO):
        found = regions_from_image(record(geometry), image, {1: "V1", 2: "MST", 3: "TF", 9: "absent"})
    assert list(found.rois) == ["V1", "TF"]
    assert "2 labels have no voxel in the recording: MST, absent" in caplog.text
    covered = int(np.isin(array, (1, 3)).sum())
    assert f"2 regions hold {covered} of the {len(geometry)} voxels" in caplog.text


def test_no_voxel_in_common_is_an_error(record, labels):
    array, image = labels
    with pytest.raises(InputError, match=r"none of the \d+ voxels of sub-01 lies in any of its regions"):
        regions_from_image(record(grid().select(array.ravel() == 0)), image)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({1: "V1", 2: "MST"}, "the labels 3 have no name"),
        ({1: "V1", 2: "V1", 3: "TF"}, "the name 'V1' is given 2 times"),
        ({1: "V1", 2: " ", 3: "TF"}, "the label 2 has no name"),
        (pd.DataFrame({"index": [1, 1], "name": ["a", "b"]}), "the label '1' is given 2 times"),
        (pd.DataFrame({"index": [1, 2.5], "name": ["a", "b"]}), "row 2: the label '2.5' is no whole number"),
        (pd.DataFrame({"id": [1], "region": ["a"]}), "has the columns id, region; name them 'index' and 'name'"),
    ],
)
def test_faulty_names_are_refused(record, labels, names, message):
    with pytest.raises(InputError, match=message):
        regions_from_image(record(grid()), labels[1], names)


def test_a_region_already_there_is_not_overwritten(record, labels):
    recording = record(grid(), rois={"V1": np.ones(120, bool)})
    with pytest.raises(InputError, match="already has regions named V1"):
        regions_from_image(recording, labels[1], {1: "V1", 2: "b", 3: "c"})


def test_images_that_are_no_labels_are_refused(record, labels, tmp_path):
    halves = nibabel.Nifti1Image(np.full(SHAPE, 0.5, np.float32), AFFINE)
    with pytest.raises(InputError, match="values that are no whole numbers"):
        regions_from_image(record(grid()), halves)
    with pytest.raises(InputError, match="the image has 2 dimensions"):
        regions_from_image(record(grid()), nibabel.Nifti1Image(np.zeros((3, 3), np.int16), AFFINE))
    with pytest.raises(InputError, match="a threshold is for one volume per region"):
        regions_from_image(record(grid()), labels[1], threshold=0.5)
    with pytest.raises(InputError, match="the volume 2 of 2 has no name"):
        regions_from_image(record(grid()), nibabel.Nifti1Image(np.ones((*SHAPE, 2), np.int16), AFFINE), {1: "V1"})
    with pytest.raises(InputError, match="a list is no image"):
        regions_from_image(record(grid()), [1, 2])
    with pytest.raises(InputError, match="voxels have places in a volume"):
        regions_from_image(record(), labels[1])


def test_missing_damaged_and_truncated_files_are_named(record, labels, tmp_path):
    with pytest.raises(InputError, match=r"none\.nii: there is no such file"):
        regions_from_image(record(grid()), tmp_path / "none.nii")
    (tmp_path / "text.nii").write_text("no image")
    with pytest.raises(InputError, match=r"text\.nii: is no image that nibabel reads"):
        regions_from_image(record(grid()), tmp_path / "text.nii")
    for name in ("labels.nii", "labels.nii.gz"):
        nibabel.save(labels[1], tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: -len(whole) // 4])
        with pytest.raises(InputError, match="cut short"):
            regions_from_image(record(grid()), tmp_path / name)
