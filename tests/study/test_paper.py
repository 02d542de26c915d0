"""The study of the paper on simulated files in the layouts of the real ones."""

import importlib
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from affectome.judges import read_judge
from affectome.simulation import match_components, write_stand_ins
from affectome.spaces import read_space
from affectome.study import read_study, run_study, study_status

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/emotion_videos_paper"
PANELS = (ROOT / "docs/paper.md").read_text("utf-8")

#: What a test can wait for; the file itself stays as it is.
SMALL = {
    "triplets.train": 10_000,
    "triplets.test": 2_000,
    "triplets.validation": 12,
    "triplets.repeated": 20,
    "embedding.components": 20,
    "embedding.n_epochs": 8,
    "embedding.seeds": 2,
    "behavior.bootstrap": 50,
    "behavior.permutations": 49,
    "interpretation.permutations": 49,
    "brain.permutations": 99,
    "brain.folds": 3,
    "brain.controls": ["visual", "motion"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_stand_ins(tmp_path_factory.mktemp("stand-ins"), n_people=2, n_answers=20_000, seed=0)


@pytest.fixture
def study_file(world, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(world.folder))
    return EXAMPLE / "study.toml"


def test_the_file_asks_what_the_paper_asks(study_file):
    study = read_study(study_file)
    assert [study.label(name) for name in study.systems] == [
        "MLLM", "LLM", "Human (category)", "Human (dimension)", "Human (category + dimension)",
    ]  # fmt: skip
    design = study.triplets
    assert (design.validation, design.repeated * design.repeats) == (66, 10_000)
    assert (study.embedding.components, study.embedding.seeds) == (30, 10)
    assert (study.interpretation.analyses, study.interpretation.comparisons) == (None, None)  # all of them
    assert (study.brain.regions, study.brain.folds, study.brain.searchlight.statistic) == ("paper", 6, "spearman")
    assert study.brain.reference == study.gap.reference == "mllm"


@pytest.mark.parametrize(("name", "prompt"), [("qwen2-vl-7b", "paper-video"), ("llama-3.1-70b", "paper-captions")])
def test_both_models_are_asked_with_the_published_task(study_file, tmp_path, monkeypatch, name, prompt):
    for clip in ("0001.mp4", "0002.mp4"):
        (tmp_path / clip).write_bytes(b"")
    monkeypatch.setenv("AFFECTOME_VIDEOS", str(tmp_path))
    judge = read_judge(EXAMPLE / f"{name}.toml")
    assert judge.describe()["prompt"]["name"] == prompt
    assert {"0001", "0002"} <= set(judge.captions if prompt == "paper-captions" else judge.videos)


def test_a_model_is_found_again_in_its_answers_and_people_side_with_it(study_file, world, tmp_path):
    without = ("systems.human_category", "systems.human_dimension", "systems.human_both", "brain", "gap")
    quick = {"interpretation.analyses": ["components"], "interpretation.comparisons": ["rsa"], "embedding.seeds": 1}
    found = run_study(study_file, tmp_path / "results", overrides={**SMALL, **quick, **dict.fromkeys(without)})
    systems = found.summary["systems"]
    assert not found.failed
    planted = match_components(read_space(found.results / "spaces/mllm.parquet"), world.spaces["mllm"])
    assert (planted.correlation > 0.9).sum() >= 16  # of twenty
    accuracy = {name: systems[name]["held_out_accuracy"]["value"] for name in systems}
    assert accuracy["mllm"] > accuracy["llm"] > 0.45
    assert systems["mllm"]["rsm"]["value"] > 0.8
    assert systems["mllm"]["people"]["value"] > systems["llm"]["people"]["value"] + 0.03


def panels():
    """Rows of the table: function names and figure."""
    rows = [line for line in PANELS.splitlines() if line.startswith("| ") and ".png`" in line]
    return [(re.findall(r"`(affectome\.[\w.]+)`", row), re.findall(r"`([\w/]+\.png)`", row)) for row in rows]


def test_every_function_of_the_table_is_there():
    assert len(panels()) > 30
    for functions, figures in panels():
        assert functions and len(figures) == 1
        for name in functions:
            module, _, function = name.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function))


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFECTOME_DATA", str(world.folder))
        yield run_study(EXAMPLE / "study.toml", tmp_path_factory.mktemp("results"), n_jobs=1, overrides=SMALL)


@pytest.mark.slow
def test_every_panel_of_the_table_has_its_figure(whole):
    assert not whole.failed
    lacking = [figure for _, [figure] in panels() if not (whole.results / figure).is_file()]
    assert lacking == []
    assert whole.report.stat().st_size > 0


@pytest.mark.slow
def test_the_brain_follows_what_was_planted(whole):
    regions = pd.concat([
        pd.read_csv(whole.results / f"neural/fmri_Subject{k}/{space}/regions.csv").assign(space=space)
        for k in (1, 2) for space in ("mllm", "human_category", "human_dimension")
    ])  # fmt: skip
    mean = regions.groupby(["space", "region"])["r"].mean()
    for region in ("MST", "MTC", "TPJ", "IPL"):
        others = max(mean["human_category", region], mean["human_dimension", region])
        assert mean["mllm", region] > max(0.2, others + 0.05)
    for region in ("DLPFC", "VLPFC", "ACC", "TF", "thalamus"):  # follow nothing
        assert mean["mllm", region] < 0.06
    assert mean["human_category", "STS"] > mean["mllm", "STS"]


@pytest.mark.slow
def test_the_same_again_does_nothing(whole, world, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(world.folder))
    states = study_status(EXAMPLE / "study.toml", whole.results, overrides=SMALL)
    assert {stage.state for stage in states} == {"done"}
    assert json.loads((whole.results / "provenance.json").read_text())["overrides"] == SMALL
