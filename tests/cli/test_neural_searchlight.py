"""Searchlights as a user types them."""

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
    rng, ids = np.random.default_rng(0), [f"clip{k:02d}" for k in range(60)]
    spaces = {name: pd.DataFrame(rng.normal(size=(60, 4)), ids, list("abcd")) for name in ("mllm", "llm")}
    for name, space in spaces.items():
        write_space(folder / f"spaces/{name}.parquet", space)
    people = simulate_subjects(
        spaces, {"MST": {"mllm": 0.7}, "PGi": {"llm": 0.7}, "V1": {}}, n_subjects=2, n_runs=6, radius=8.0, seed=0
    )
    write_simulated_recordings(people.recordings, folder / "fmri")
    (folder / "areas.toml").write_text('[groups]\nMST = ["MST"]\nPGi = ["PGi"]\nV1 = ["V1"]\n')
    return folder


def searched(folder, out, *options):
    return (
        "neural", "searchlight", "--space", folder / "spaces", "--fmri", folder / "fmri", "--regions",
        folder / "areas.toml", "--radius", 2, "--out", out, *options,
    )  # fmt: skip


def test_one_sentence_per_finding_and_the_same_as_json(run, folder, tmp_path):
    code, out, err = run(*searched(folder, tmp_path, "--quiet", "--json"))
    assert code == 0 and "Traceback" not in err
    *lines, last = out.splitlines()
    found = json.loads(last)
    assert found["left_out"] == {} and found["results"] == str(tmp_path)
    told = found["found"]["rsa/searchlight/sub-01"]
    assert lines[0] == (
        f"sub-01: {told['n_centres']} centres of {told['median_voxels']:.0f} voxels, 60 stimuli, 1,500 pairs."
    )
    first, second = (told["spaces"][name] for name in ("llm", "mllm"))
    assert lines[1].startswith(f"  llm: {first['n_significant']} centres (FDR .05); median r ")
    against = told["against"]["mllm"]
    assert lines[2].startswith(f"  mllm: {second['n_significant']} centres (FDR .05); median r ")
    assert lines[2].endswith(
        f"; the reference above it in {against['n_above']}, below in {against['n_below']}."
    ) and min(against["n_above"], against["n_below"]) > 20  # fmt: skip
    assert lines[3].startswith("sub-01, llm in regions: PGi ") and "MST" in lines[3] and "V1" in lines[3]
    assert any(line.startswith("2 people, llm: PGi ") for line in lines)
    assert any(line.startswith("  PGi: llm above mllm in 2 of 2 people, below in 0") for line in lines)
    assert any(line.startswith("  MST: llm above mllm in 0 of 2 people, below in 2") for line in lines)
    assert any(line.startswith("llm, mean over 2 people: largest r ") for line in lines)
    assert lines[-1] == f"Results: {tmp_path}"
    again = run(*searched(folder, tmp_path, "--quiet"))
    assert again[0] == 0 and again[1].splitlines() == lines


def test_options_reach_the_result(run, folder, tmp_path):
    code, out, _ = run(
        "neural", "searchlight", "--space", folder / "spaces/mllm.parquet", "--fmri", folder / "fmri/sub-01.h5",
        "--radius", 9, "--unit", "mm", "--statistic", "spearman", "--metric", "sqeuclidean", "--brain-metric", "cosine",
        "--within-run", "include", "--test", "drawn", "--permutations", 19, "--units", "run", "--level", 0.9,
        "--out", tmp_path, "--quiet",
    )  # fmt: skip
    assert code == 0 and "1,770 pairs" in out  # all of 60 * 59 / 2
    settings = json.loads((tmp_path / "searchlight.json").read_text(encoding="utf-8"))["settings"]
    assert settings["n_permutations"] == 19 and settings["level"] == 0.9
    table = pd.read_csv(tmp_path / "sub-01/mllm/voxels.csv")
    assert table["p"].min() == 1 / 20
    given = {"radius": 9, "unit": "mm", "statistic": "spearman", "metric": {"mllm": "sqeuclidean"},
             "brain_metric": "cosine", "within_run": "include", "test": "drawn", "units": "run"}  # fmt: skip
    assert {name: settings[name] for name in given} == given


def test_controls_are_told_beyond_and_metrics_are_of_every_space(run, folder, tmp_path):
    code, out, err = run(
        "neural", "searchlight", "--space", folder / "spaces/mllm.parquet", "--control", folder / "spaces/llm.parquet",
        "--fmri", folder / "fmri/sub-01.h5", "--radius", 2, "--metric", "cosine", "--metric", "llm=sqeuclidean",
        "--out", tmp_path, "--quiet", "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])["found"]["rsa/searchlight/sub-01"]
    beyond = told["spaces"]["mllm"]
    (line,) = (line for line in out.splitlines() if line.startswith("  mllm beyond llm: "))
    assert line.startswith(f"  mllm beyond llm: {beyond['n_beyond']:,} centres (FDR .05); median partial r ")
    assert beyond["n_beyond"] > 20
    settings = json.loads((tmp_path / "searchlight.json").read_text(encoding="utf-8"))["settings"]
    assert settings["metric"] == {"mllm": "cosine", "llm": "sqeuclidean"}


def test_a_space_that_is_its_control_under_another_name_is_told(run, folder, tmp_path):
    (tmp_path / "same.parquet").write_bytes((folder / "spaces/mllm.parquet").read_bytes())
    code, out, _ = run(
        "neural", "searchlight", "--space", folder / "spaces/mllm.parquet", "--control", tmp_path / "same.parquet",
        "--fmri", folder / "fmri/sub-01.h5", "--radius", 2, "--out", tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert code == 0
    assert "  mllm beyond same: nothing is left, for the controls determine its similarities." in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--radius", "0"], "a radius of 0 holds no voxel"),
        (["--radius", "-2"], "a radius of -2 holds no voxel"),
        (["--unit", "cm"], "--unit cannot be 'cm'; choose voxel, mm"),
        (["--statistic", "kendall"], "--statistic cannot be 'kendall'; choose pearson, spearman"),
        (["--metric", "mahalanobis"], "--metric cannot be 'mahalanobis'; choose correlation, cosine"),
        (["--metric", "vlm=cosine"], "--metric names 'vlm', which is no space and no control"),
        (["--metric", "dot", "--metric", "cosine"], "--metric of all spaces is given twice; give it once"),
        (["--metric", "llm=dot", "--metric", "llm=cosine"], "--metric of 'llm' is given twice"),
        (["--metric", "llm=nearest"], "--metric cannot be 'nearest'; choose correlation"),
        (["--backend", "jax"], "--backend cannot be 'jax'; choose numpy, torch, torch_cuda"),
        (["--brain-metric", "dot"], "--brain-metric cannot be 'dot'; choose correlation, cosine"),
        (["--within-run", "keep"], "--within-run cannot be 'keep'; choose exclude, include"),
        (["--units", "session"], "--units cannot be 'session'; choose stimulus, run"),
        (["--test", "none"], "--test cannot be 'none'; choose closed, drawn"),
        (["--reference", "vlm"], "'vlm' is not among the spaces (llm, mllm)"),
        (["--permutations", "0"], "--permutations"),
        (["--permutations", "99"], "--permutations says how permutations are drawn, and --test closed draws none"),
        (["--across-runs"], "--across-runs says how permutations are drawn"),
        (
            ["--statistic", "spearman", "--test", "drawn", "--across-runs"],
            "ranks are known of the pairs that count only, and permutations across runs bring others there",
        ),
        (["--fmri", "nowhere.h5"], "nowhere.h5"),
    ],
)
def test_what_cannot_be_is_one_sentence_before_anything_is_computed(run, folder, tmp_path, arguments, message):
    code, out, err = run(*searched(folder, tmp_path / "out", *arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err and not list((tmp_path / "out").glob("sub-*"))


def test_a_radius_that_holds_one_voxel_is_told_of_everybody_and_regions_are_done(run, folder, tmp_path):
    code, _, err = run(*searched(folder, tmp_path, "--radius", "0.5", "--quiet"))
    assert code == 4 and "a radius of 0.5 voxel holds one voxel" in err
    assert "rsa/searchlight/sub-01" in err and "Traceback" not in err
    assert (tmp_path / "sub-01/llm/regions.csv").exists()


def test_processes_are_counted_from_one(run, folder, tmp_path):
    code, _, err = run(*searched(folder, tmp_path, "--jobs", 0, "--quiet"))
    assert code != 0 and "n_jobs=0 is no number of" in err and "Traceback" not in err


def test_without_intervals_maps_have_scores_alone_and_regions_keep_theirs(run, folder, tmp_path):
    code, out, err = run(*searched(folder, tmp_path, "--quiet", "--no-intervals"))
    assert code == 0, err
    assert "the reference above it" not in out and "MST: llm above mllm in 0 of 2 people" in out
    assert "low" not in pd.read_csv(tmp_path / "sub-01/llm/voxels.csv").columns
    assert pd.read_csv(tmp_path / "sub-01/llm/regions.csv")["low"].notna().all()
    assert not list((tmp_path / "sub-01/maps").glob("*difference*"))
