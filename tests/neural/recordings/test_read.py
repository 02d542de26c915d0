import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import read_recording, write_bdpy


def test_the_name_of_a_file_chooses_its_reader(tmp_path, recording):
    for name in ("a.h5", "a.HDF5", "a.mat"):
        write_bdpy(tmp_path / name, recording)
        np.testing.assert_array_equal(read_recording(tmp_path / name).responses, recording.responses)
    assert read_recording(tmp_path / "a.h5", rois=False, subject="x").rois == {}
    np.save(tmp_path / "b.npy", recording.responses)
    recording.trials.to_csv(tmp_path / "b.tsv", sep="\t", index=False)
    there = read_recording(tmp_path / "b.npy")
    np.testing.assert_array_equal(there.responses, recording.responses)
    assert there.trials["stimulus"].tolist() == recording.trials["stimulus"].tolist()
    recording.trials.assign(stimulus="x").to_csv(tmp_path / "else.csv", index=False)
    assert set(read_recording(tmp_path / "b.npy", trials=tmp_path / "else.csv").trials["stimulus"]) == {"x"}


def test_several_bdpy_files_are_sessions(tmp_path, draw):
    for k in range(2):
        write_bdpy(tmp_path / f"{k}.h5", draw(seed=k))
    assert read_recording([tmp_path / "0.h5", tmp_path / "1.h5"]).trials["session"].nunique() == 2


def test_an_image_goes_to_the_reader_of_images(tmp_path):
    import nibabel

    volumes = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volumes, np.eye(4)), tmp_path / "betas.nii.gz")
    trials = pd.DataFrame({"trial_type": list("abab"), "onset": 0.0, "duration": 1.0, "run": [1, 1, 2, 2]})
    trials.to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    there = read_recording(tmp_path / "betas.nii.gz", events=tmp_path / "trials.tsv", subject="sub-01", estimate="none")
    assert there.responses.shape == (4, 18)
    with pytest.raises(InputError, match="read_nifti needs events and subject too; give events="):
        read_recording(tmp_path / "betas.nii.gz")


def test_what_cannot_be_read_is_named(tmp_path, recording):
    write_bdpy(tmp_path / "a.h5", recording)
    np.save(tmp_path / "b.npy", recording.responses)
    (tmp_path / "c.txt").write_text("")
    (tmp_path / "left.func.gii").write_text("")
    for path, options, message in (
        (tmp_path / "none.h5", {}, r"none\.h5: there is no such file"),
        (tmp_path / "c.txt", {}, r"c\.txt: is of no known kind of recording; give \.h5"),
        (tmp_path / "left.func.gii", {}, "is one hemisphere of a surface; read both with read_gifti"),
        (tmp_path / "b.npy", {}, r"b\.npy: there is no table of trials b\.csv beside it"),
        ([tmp_path / "a.h5", tmp_path / "b.npy"], {}, r"b\.npy: is of another kind than a\.h5"),
        ([tmp_path / "b.npy"] * 2, {}, "2 paths are given, of a kind that is read one at a time"),
        ([], {}, "no file is given"),
        (tmp_path / "a.h5", {"events": 1}, "read_bdpy has no option events; choose among subject, label_column"),
    ):
        with pytest.raises(InputError, match=message):
            read_recording(path, **options)


def test_the_room_loads_no_heavy_library():
    script = (
        "import sys, affectome.neural.recordings; "
        "print([n for n in ('h5py', 'nibabel', 'nilearn', 'himalaya', 'matplotlib', 'torch') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
