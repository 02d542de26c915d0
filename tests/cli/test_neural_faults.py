"""What users get wrong with recordings: one sentence, the right exit code, and everybody else's results."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from affectome import write_space
from affectome.simulation import simulate_subjects, write_simulated_recordings

IDS = [f"clip{k:02d}" for k in range(48)]

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Three people, two spaces, a table of other stimuli, and small files that are wrong."""
    folder = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(0)
    spaces = {name: pd.DataFrame(rng.normal(size=(48, 2)), IDS, ["a", "b"]) for name in ("one", "two")}
    for name, space in spaces.items():
        write_space(folder / f"spaces/{name}.parquet", space)
    write_space(folder / "other.csv", spaces["one"].rename(index=lambda name: f"film {name}"))
    people = simulate_subjects(spaces, {"MST": {"one": 0.6}, "V1": {}}, n_subjects=3, n_runs=6, radius=4.0, seed=0)
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "ids.txt").write_text("clip00\nclip99\n")
    (folder / "columns.csv").write_text("film,id\nclip00,clip00\n")
    (folder / "twice.csv").write_text("label,id\nclip00,clip00\nclip00,clip01\n")
    (folder / "broken.toml").write_text("[groups\n")
    return folder


def encode(run, lab, *more, out="out", space="spaces/one.parquet", fmri="fmri/sub-01.h5"):
    files = ("--space", lab / space, "--fmri", lab / fmri)
    return run("neural", "encode", *files, "--permutations", "19", "--quiet", "--out", out, *more)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--alphas=-1:3:4",), "--alphas cannot be '-1:3:4'; write LOWEST:HIGHEST:NUMBER"),
        (("--alphas", "1:10:0"), "--alphas cannot be '1:10:0'"),
        (("--alphas", "1,nan"), "the alphas are not all finite and above 0"),
        (("--alphas", "many"), "write LOWEST:HIGHEST:NUMBER"),
        (("--backend", "abacus"), "the backend 'abacus' is not known; choose numpy, torch"),
        (("--blocks", "run", "--block-length", "2"), "give one of them"),
        (("--regions", "nowhere"), "nowhere: there is no such file of regions; check the path, or use hcp"),
        (("--regions", "LAB/broken.toml"), "broken.toml: is not valid TOML"),
        (("--exclude", "LAB/ids.txt"), "1 of the ids to leave out are not in all spaces (clip99)"),
        (("--labels", "LAB/columns.csv"), "columns.csv: has no column 'label'"),
        (("--labels", "LAB/twice.csv"), "twice.csv, line 3: 'clip00' is 'clip00' and 'clip01'"),
        (("--space", "LAB/other.csv"), "the spaces share no stimulus ids ('clip00' in"),
    ],
)
def test_what_no_recording_can_mend_is_refused_before_one_is_read(run, lab, tmp_path, monkeypatch, options, said):
    monkeypatch.setattr("affectome.study._recordings.RecordingSource.read", lambda source: pytest.fail("was read"))
    code, _, err = encode(run, lab, *(text.replace("LAB", str(lab)) for text in options), out=tmp_path / "out")
    assert code == 2
    assert said in err
    assert "in a way that it should not" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--folds", "20"), "sub-01.h5: 6 runs cannot fill 20 folds"),
        (("--block-length", "500"), "the blocks can be arranged in 1 ways only"),
        (("--blocks", "colour"), "the trials have no column 'colour'"),
    ],
)
def test_where_nothing_can_be_done_the_reason_is_an_input_error(run, lab, tmp_path, options, said):
    code, _, err = encode(run, lab, *options, out=tmp_path)
    assert code == 2
    assert said in err
    assert not (tmp_path / "sub-01/one/encoding.npz").exists()  # no time was spent on what cannot be tested


def test_a_file_that_was_cut_short_leaves_the_others_their_results(run, lab, tmp_path):
    fmri = tmp_path / "fmri"
    shutil.copytree(lab / "fmri", fmri)
    (fmri / "sub-02.h5").write_bytes((lab / "fmri/sub-02.h5").read_bytes()[:9000])
    code, out, err = run("neural", "check", fmri, "--json", "--quiet")
    assert code == 4
    assert "1 of 3 recordings cannot be read (sub-02)" in err
    told = json.loads(out.splitlines()[-1])
    assert list(told) == ["sub-01", "sub-02", "sub-03"]
    assert "was cut short" in told["sub-02"]["fault"]
    assert told["sub-03"]["facts"]["trials"] == "48"
    code, out, err = encode(run, lab, "--json", fmri=fmri, out=tmp_path / "out")
    assert code == 4
    assert "sub-02.h5: was cut short; copy or download it again" in err
    told = json.loads(out.splitlines()[-1])
    assert set(told["left_out"]) == {"encode/sub-02/one", "ceiling/sub-02"}
    assert told["found"]["encode/sub-03/one"]["n_trials"] == 48
    assert told["found"]["group"]["n_people"] == 2


def test_a_broken_file_alone_is_refused(run, lab, tmp_path):
    (tmp_path / "sub-02.h5").write_bytes(b"no recording")
    code, _, err = run("neural", "check", tmp_path / "sub-02.h5", "--quiet")
    assert code == 2
    assert err.startswith(f"Error: {tmp_path / 'sub-02.h5'}: ")


def test_several_people_need_no_second_space(run, lab, tmp_path):
    code, out, _ = encode(run, lab, "--json", fmri="fmri", out=tmp_path)
    assert code == 0
    found = json.loads(out.splitlines()[-1])["found"]["group"]
    assert found["comparisons"] == []
    assert {row["region"] for row in found["regions"]} == set(pd.read_csv(tmp_path / "sub-01/one/regions.csv").region)


def test_warnings_are_said_once_for_all_people_and_spaces(run, lab, tmp_path):
    (tmp_path / "regions.toml").write_text('[groups]\nmotion = ["MST", "FST"]\nearly = ["V1"]\n')
    options = ("--regions", tmp_path / "regions.toml", "--alphas", "10:100:3")
    code, _, err = encode(run, lab, *options, space="spaces", fmri="fmri", out=tmp_path / "out")
    assert code == 0
    for who in ("sub-01", "sub-02", "sub-03"):
        partly = f"{who}.h5: groups are there in part: motion has 50% of its members (not FST)."
        assert err.count(partly) == 1
    assert err.count("lowest of the grid") == 1
    found = json.loads((tmp_path / "out/encoding.json").read_text())["found"]
    lowest = max((one["at_lowest_alpha"], name) for name, one in found.items() if name.startswith("encode/"))
    who, space = lowest[1].split("/")[1:]
    expected = f"the lowest of the grid (10) in up to {100 * lowest[0]:.1f}% of voxels and folds ({who}, {space})"
    assert expected in err
