"""Simulated recordings as a lab would have them, read back by the readers of real ones."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import read_bdpy, read_bids
from affectome.simulation import simulate_subjects, write_simulated_recordings


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    space = pd.DataFrame(rng.normal(size=(48, 3)), [f"clip{k:02d}" for k in range(48)], list("abc"))
    areas = {"MST": {"s": 0.5}, "V1": {}}
    return simulate_subjects({"s": space}, areas, n_subjects=2, n_runs=3, radius=4.0, seed=0).recordings


def test_bdpy_files_hold_the_very_numbers(people, tmp_path):
    paths = write_simulated_recordings(people, tmp_path)
    assert [path.name for path in paths] == ["sub-01.h5", "sub-02.h5"]
    for path, truth in zip(paths, people, strict=True):
        found = read_bdpy(path, subject=truth.subject, space=truth.geometry.space)
        assert found.responses.dtype == np.float32 and np.array_equal(found.responses, truth.responses)
        assert found.trials["stimulus"].tolist() == truth.trials["stimulus"].tolist()
        assert found.trials["run"].tolist() == truth.trials["run"].tolist()
        assert np.array_equal(found.geometry.coordinates(), truth.geometry.coordinates())
        assert set(found.rois) == set(truth.rois)
        assert all(np.array_equal(found.rois[name], truth.rois[name]) for name in truth.rois)


@pytest.fixture(scope="module")
def dataset(people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids")
    return folder, write_simulated_recordings(people, folder, layout="fmriprep", seed=1)


def test_a_dataset_has_the_names_of_bids_and_fmriprep(dataset):
    folder, places = dataset
    assert places == [folder / f"derivatives/fmriprep/sub-0{k}" for k in (1, 2)]
    stem = "sub-01_task-emotion_run-2"
    assert (folder / f"sub-01/func/{stem}_events.tsv").exists()
    inside = folder / "derivatives/fmriprep/sub-01/func"
    bold = f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold"
    assert {path.name for path in inside.glob(f"{stem}*")} == {
        f"{bold}.nii.gz", f"{bold}.json", f"{stem}_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz",
        f"{stem}_desc-confounds_timeseries.tsv",
    }  # fmt: skip
    image = nibabel.load(inside / f"{bold}.nii.gz")
    assert image.header.get_zooms()[3] == 2 == json.loads((inside / f"{bold}.json").read_text())["RepetitionTime"]
    confounds = pd.read_csv(inside / f"{stem}_desc-confounds_timeseries.tsv", sep="\t")
    assert list(confounds) == ["cosine00", "cosine01"] and len(confounds) == image.shape[3]
    for place in (folder, folder / "derivatives/fmriprep"):
        assert json.loads((place / "dataset_description.json").read_text())["BIDSVersion"]


def read(dataset, subject="sub-01", **options):
    folder, _ = dataset
    given = {"task": "emotion", "space": "MNI152NLin2009cAsym", "confounds": ["cosine00", "cosine01"],
             "label_column": "stimulus", **options}  # fmt: skip
    return read_bids(folder / "derivatives/fmriprep", subject=subject, **given)


def same_voxels(found, truth):
    """Responses in the order of the voxels of the truth."""
    place = {tuple(ijk): k for k, ijk in enumerate(found.geometry.ijk)}
    return found.responses[:, [place[tuple(ijk)] for ijk in truth.geometry.ijk]]


@pytest.mark.parametrize("estimate", ["lss", "lsa"])
def test_trial_estimates_of_the_time_series_follow_the_planted_responses(dataset, people, estimate):
    for truth in people:
        found = read(dataset, truth.subject, estimate=estimate, hrf_model="spm")
        assert found.trials["stimulus"].tolist() == truth.trials["stimulus"].tolist()
        assert found.n_voxels == truth.n_voxels
        estimates = same_voxels(found, truth)
        r = [np.corrcoef(a, b)[0, 1] for a, b in zip(estimates.T, truth.responses.T, strict=True)]
        # Noise has half the s.d. of responses. Least squares over sixteen overlapping trials of a run, a constant and
        # two cosines multiplies its variance by 1.06 on average, so that r is 1 / sqrt(1 + .25 * 1.06) = .89 at best;
        # the slow wave, which the cosines do not hold whole, takes some of it.
        assert 0.75 < np.median(r) < 0.9 and min(r) > 0.5


def test_a_seed_is_a_dataset(people, dataset, tmp_path):
    folder, _ = dataset
    run = "sub-02_task-emotion_run-1_space-MNI152NLin2009cAsym"
    name = f"derivatives/fmriprep/sub-02/func/{run}_desc-preproc_bold.nii.gz"
    written = {}
    for seed in (1, 2):
        write_simulated_recordings(people, tmp_path / str(seed), layout="fmriprep", seed=seed)
        written[seed] = (tmp_path / str(seed) / name).read_bytes()
    assert written[1] == (folder / name).read_bytes() != written[2]


def test_a_person_s_own_space_is_called_native(people, tmp_path):
    own = replace(people[0], geometry=replace(people[0].geometry, space=None))
    place = write_simulated_recordings([own], tmp_path, layout="fmriprep")[0]
    assert len(list(place.glob("func/*_space-native_desc-preproc_bold.nii.gz"))) == 3


def test_what_cannot_be_written_is_said(people, tmp_path):
    with pytest.raises(InputError, match="voxels have no place in a volume"):
        write_simulated_recordings([replace(people[0], geometry=None)], tmp_path, layout="fmriprep")
    with pytest.raises(InputError, match="there is no layout 'spm'; choose bdpy or fmriprep"):
        write_simulated_recordings(people, tmp_path, layout="spm")
    found = write_simulated_recordings([replace(people[0], geometry=None)], tmp_path)[0]
    assert read_bdpy(found).geometry is None
