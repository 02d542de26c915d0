"""The brain as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import write_space
from affectome.simulation import simulate_subjects, write_simulated_recordings

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("neural")
    (folder / "spaces").mkdir()
    rng, ids = np.random.default_rng(0), [f"clip{k:02d}" for k in range(90)]
    spaces = {name: pd.DataFrame(rng.normal(size=(90, 3)), ids, list("abc")) for name in ("mllm", "llm")}
    for name, space in spaces.items():
        write_space(folder / f"spaces/{name}.parquet", space)
    people = simulate_subjects(
        spaces, {"MST": {"mllm": 0.7}, "PGi": {"llm": 0.7}, "V1": {}}, n_subjects=2, n_runs=6, radius=4.0, seed=0
    )
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "areas.toml").write_text('[groups]\nMST = ["MST"]\nPGi = ["PGi"]\nV1 = ["V1"]\n')
    return folder


def encoded(folder, out, *options):
    return (
        "neural", "encode", "--space", folder / "spaces", "--fmri", folder / "fmri", "--regions", folder / "areas.toml",
        "--permutations", 120, "--out", out, *options,
    )  # fmt: skip


def test_check_says_what_is_in_every_recording_and_whether_it_fits(run, folder):
    code, out, err = run("neural", "check", folder / "fmri", "--space", folder / "spaces/mllm.parquet", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out.splitlines()[-1])
    assert set(found) == {"sub-01", "sub-02"}
    assert "90" in str(found["sub-01"]["facts"]) and "24" in str(found["sub-01"]["facts"])
    assert out.count("sub-01") >= 1 and out.count("sub-02") >= 1


def test_check_warns_of_stimuli_that_do_not_fit(run, folder, tmp_path):
    write_space(tmp_path / "other.parquet", pd.DataFrame({"a": [1.0, 2.0]}, ["x1", "x2"]))
    _, out, err = run("neural", "check", folder / "fmri/sub-01.h5", "--space", tmp_path / "other.parquet")
    assert "90" in out + err and ("match" in (out + err) or "stimul" in (out + err))


def test_encode_tells_one_sentence_per_finding_and_the_same_as_json(run, folder, tmp_path):
    code, out, err = run(*encoded(folder, tmp_path, "--quiet", "--json"))
    assert code == 0 and err.startswith("WARNING: The chosen alpha ") and len(err.splitlines()) == 1
    *lines, last = out.splitlines()
    found = json.loads(last)
    assert found["left_out"] == {} and found["results"] == str(tmp_path)
    told = found["found"]["encode/sub-01/mllm"]
    first = next(k for k, line in enumerate(lines) if line.startswith("sub-01, mllm: "))
    assert lines[first].startswith(f"sub-01, mllm: {told['n_significant']} of 24 voxels predicted (FDR .05), ")
    assert "(90 trials, 6 runs)." in lines[first]
    assert lines[first + 1].startswith("  Regions: MST ")
    assert any(line.startswith("sub-02, all voxels: llm minus mllm ") for line in lines)
    assert any(line.startswith("2 people, llm: PGi ") for line in lines)
    assert any(line.startswith("llm, mean over 2 people: largest r ") for line in lines)
    assert any(line.startswith("Components of mllm over people, by voxel (24): mean r ") for line in lines)
    assert any(line.startswith("Weights of mllm: ") and "principal components above chance" in line for line in lines)
    assert not any("ceiling from" in line for line in lines)  # no stimulus is repeated
    assert lines[-1] == f"Results: {tmp_path}"
    best = told["best_regions"][0]
    assert best["region"] == "MST" and best["r"] > 0.5 and best["p"] < 0.05
    assert (tmp_path / "group/mllm/view.html").exists()
    again = run(*encoded(folder, tmp_path, "--quiet"))
    assert again[1].splitlines() == lines


def test_compare_cuts_what_is_explained(run, folder, tmp_path):
    code, out, err = run(
        "neural", "compare", "--space", folder / "spaces/mllm.parquet", "--control", folder / "spaces/llm.parquet",
        "--fmri", folder / "fmri/sub-01.h5", "--regions", folder / "areas.toml", "--out", tmp_path, "--quiet", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    *lines, last = out.splitlines()
    assert lines[0].startswith("sub-01: mllm beyond llm: R2 ")
    assert set(json.loads(last)["found"]) == {"comparison/beyond_controls/sub-01/mllm"}
    regions = pd.read_csv(tmp_path / "sub-01/beyond_controls_mllm/regions.csv", index_col="region")
    assert regions.loc["MST", "unique"] > 0.3 > abs(regions.loc["PGi", "unique"]) + 0.1


def test_a_broken_person_is_told_and_ends_with_code_4(run, folder, tmp_path):
    (tmp_path / "fmri").mkdir()
    content = (folder / "fmri/sub-01.h5").read_bytes()
    (tmp_path / "fmri/sub-01.h5").write_bytes(content)
    (tmp_path / "fmri/sub-02.h5").write_bytes(content[: len(content) // 2])
    code, out, err = run(
        "neural", "encode", "--space", folder / "spaces/mllm.parquet", "--fmri", tmp_path / "fmri",
        "--permutations", 120, "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 4
    assert "sub-02.h5" in err and "could not be done" in err
    found = json.loads(out.splitlines()[-1])
    assert set(found["left_out"]) == {"encode/sub-02/mllm", "ceiling/sub-02"}
    assert "encode/sub-01/mllm" in found["found"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--standardise", "robust"], "--standardise cannot be 'robust'; choose zscore, center, none"),
        (["--shared-stimuli", "keep"], "--shared-stimuli cannot be 'keep'; choose drop, allow, raise"),
        (["--alphas", "10:many"], "--alphas cannot be '10:many'"),
        (["--reference", "vlm"], "'vlm' is not among the spaces (llm, mllm)"),
        (["--level", "1.5"], "level=1.5 makes no interval"),
        (["--exclude", "nowhere.txt"], "nowhere.txt: there is no such file"),
        (["--labels", "nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--regions", "nowhere.toml"], "nowhere.toml: there is no such file"),
        (["--fmri", "nowhere.h5"], "nowhere.h5"),
        (["--space", "nowhere.parquet"], "nowhere.parquet"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_computed(run, folder, tmp_path, arguments, message):
    code, out, err = run(*encoded(folder, tmp_path / "out", *arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err and not list((tmp_path / "out").glob("sub-*"))


def test_a_lone_space_is_nothing_to_compare(run, folder, tmp_path):
    code, _, err = run(
        "neural", "compare", "--space", folder / "spaces/mllm.parquet", "--fmri", folder / "fmri", "--out", tmp_path
    )
    assert code == 2 and "there is nothing to compare" in err
