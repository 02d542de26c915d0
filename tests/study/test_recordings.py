from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectome import InputError
from affectome.neural import Recording, write_bdpy
from affectome.study import found_recordings, recording_sources


def _recording(subject="sub-01", session=1, n=6):
    trials = pd.DataFrame(
        {"stimulus": [f"clip{k}" for k in range(n)], "run": np.arange(n) // 3 + 1, "session": session}
    )
    return Recording(subject, np.random.default_rng(session).normal(size=(n, 4)).astype(np.float32), trials)


@pytest.fixture
def folder(tmp_path):
    for session in (1, 2):
        write_bdpy(tmp_path / f"one_ses-{session}.h5", _recording(session=session))
    return tmp_path


def test_files_are_people_by_their_names(folder):
    sources = recording_sources(found_recordings(folder))
    assert list(sources) == ["one_ses-1", "one_ses-2"]
    assert sources["one_ses-1"].read().subject == "one_ses-1"
    assert sources["one_ses-1"].files() == (folder / "one_ses-1.h5",)


def test_sessions_of_a_person_are_joined_as_the_file_says(folder):
    (folder / "recordings.toml").write_text(
        'kind = "bdpy"\n[options]\nrun_column = "Run"\n[subjects]\nanna = ["one_ses-1.h5", "one_ses-2.h5"]\n'
    )
    source = recording_sources([folder / "recordings.toml"])["anna"]
    found = source.read()
    assert found.subject == "anna"
    assert found.responses.shape == (12, 4)
    assert found.trials["run"].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert [Path(path).name for path in source.files()] == ["one_ses-1.h5", "one_ses-2.h5"]


def test_the_keys_of_a_person_are_the_readers_parameters(tmp_path):
    np.save(tmp_path / "y.npy", np.ones((2, 3), np.float32))
    (tmp_path / "shown.csv").write_text("stimulus,run\na,1\nb,2\n")
    (tmp_path / "r.toml").write_text(
        'kind = "arrays"\n[subjects]\nanna = { responses = "y.npy", trials = "shown.csv" }\n'
    )
    found = recording_sources([tmp_path / "r.toml"])["anna"].read()
    assert found.trials["stimulus"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "bdpy"\n[options]\nlabel_colum = "x"\n[subjects]\na = "x.h5"', "did you mean 'label_column'"),
        ('kind = "bdpy"\n[subjects]\na = { path = "x.h5", runs = 3 }', r"\[subjects.a\] runs: the key is unknown"),
        ('kind = "spm"\n[subjects]\na = "x"', "'spm' is not accepted"),
        ('kind = "bdpy"\n[subjects]', "subjects"),
        ('[subjects]\na = "x"', "kind"),
    ],
)
def test_faults_of_the_file_are_named(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        recording_sources([tmp_path / "r.toml"])


def test_a_person_who_comes_twice_and_a_folder_without_recordings_are_refused(folder, tmp_path):
    (folder / "more").mkdir()
    with pytest.raises(InputError, match=r"holds no \.h5, \.hdf5 or \.npy file"):
        found_recordings(folder / "more")
    (folder / "r.toml").write_text('kind = "bdpy"\n[subjects]\none_ses-1 = "one_ses-2.h5"\n')
    with pytest.raises(InputError, match="two recordings are called 'one_ses-1'"):
        recording_sources([folder / "one_ses-1.h5", folder / "r.toml"])
    with pytest.raises(InputError, match="no such file"):
        recording_sources([tmp_path / "none.h5"])
