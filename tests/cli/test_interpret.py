"""Interpretation as a user types it."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import simulate_emotions, write_space
from affectome.stimuli import write_stimuli

pytestmark = pytest.mark.usefixtures("quick_figures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interpret")
    clips = simulate_emotions(100, 4, seed=0)
    (folder / "spaces").mkdir()
    noise = np.random.default_rng(1).normal(0, 0.4, clips.planted.shape)
    write_space(folder / "spaces" / "mllm.parquet", clips.planted)
    write_space(folder / "spaces" / "llm.parquet", np.maximum(clips.planted + noise, 0))
    for name in ("category", "dimension"):
        write_space(folder / f"{name}.csv", clips.stimuli.spaces[name])
    write_stimuli(folder / "stimuli.csv", clips.stimuli)
    return folder


def rated(folder, permutations=19):
    tables = ("--ratings", folder / "category.csv", "--ratings", folder / "dimension.csv")
    return (*tables, "--permutations", permutations)


def test_run_tells_one_sentence_per_finding_and_the_same_as_json(run, folder, tmp_path):
    code, out, err = run(
        "interpret", "run", folder / "spaces" / "mllm.parquet", *rated(folder, 999),
        "--stimuli", folder / "stimuli.csv", "--out", tmp_path, "--circular", "category",
        "--only", "names, types,correlations,graph", "--quiet", "--json",
    )  # fmt: skip
    *lines, last = out.splitlines()
    assert (code, err) == (0, "")
    found = json.loads(last)["found"]["mllm"]
    assert set(found) == {"names", "correlations", "types", "graph"} and found["correlations"]["circular"] == [
        "category"
    ]
    assert lines[0] == "mllm: 4 components of 100 stimuli."
    assert lines[1] == f"  Names: {', '.join(found['names']['names'].values())}."
    assert any(line.startswith("  Types: ") and "% categorical" in line for line in lines)
    assert lines[-1] == f"Results: {tmp_path}"
    assert (tmp_path / "mllm" / "names.csv").exists()


def test_compare_takes_a_folder_of_spaces(run, folder, tmp_path):
    code, out, _ = run(
        "interpret", "compare", folder / "spaces", *rated(folder), "--out", tmp_path, "--only", "rsa,choices",
        "--metric", "dot", "--metric", "llm=cosine", "--quiet", "--json",
    )  # fmt: skip
    content = json.loads(out.splitlines()[-1])["found"]["together"]
    assert code == 0 and set(content) == {"rsa", "choices"}
    settings = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))["settings"]
    assert settings["metrics"] == {"llm": "cosine", "mllm": "dot"}
    assert "Same odd one chosen (chance .333): llm ~ mllm " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--circular", "moods"], "--circular names 'moods', which is not among the ratings"),
        (["--circular", "vlm=category"], "--circular names 'vlm', which is none of the spaces; choose among mllm"),
        (["--categories", "moods"], "'moods' is not among the ratings (category, dimension)"),
        (["--only", "names,tpyes"], "there is no analysis 'tpyes' here; choose among components, names, correlations"),
        (["--level", "1.5"], "level=1.5 makes no interval"),
        (["--ratings", "moods=nowhere.csv"], "nowhere.csv: there is no such file"),
        (["--blur", "nowhere.txt"], "nowhere.txt: there is no such file"),
        (["--stimuli", "nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, folder, tmp_path, arguments, message):
    code, out, err = run(
        "interpret", "run", folder / "spaces" / "mllm.parquet", *rated(folder), "--out", tmp_path, *arguments
    )
    assert code == 2 and out == ""
    assert message in err and err.count("\n") == 1


def test_compare_refuses_what_it_cannot_compare(run, folder, tmp_path):
    code, _, err = run("interpret", "compare", folder / "spaces" / "mllm.parquet", "--out", tmp_path)
    assert code == 2 and "there is one space; name at least two to compare" in err
    code, _, err = run("interpret", "compare", folder / "spaces", "--metric", "cos", "--out", tmp_path)
    assert code == 2 and "'cos' is no similarity; choose among cosine" in err


def test_an_analysis_that_cannot_be_done_ends_with_exit_code_4_and_the_rest_is_written(run, folder, tmp_path):
    ids = pd.read_csv(folder / "category.csv", dtype={"id": str})["id"]
    write_space(tmp_path / "category.csv", pd.DataFrame({"Joy": 1.0, "Fear": 0.1}, index=ids))
    code, out, err = run(
        "interpret", "run", folder / "spaces" / "mllm.parquet", "--ratings", tmp_path / "category.csv",
        "--permutations", 19, "--only", "categories,graph", "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 4 and "Affective graph: " in out
    assert "1 of the analyses could not be done (mllm/categories)" in err
    assert (tmp_path / "out" / "mllm" / "clusters.csv").exists()
