"""The study of the paper on the real ratings: the human systems, without models, people and brains."""

from pathlib import Path

import pytest

from affectome.spaces import read_space
from affectome.study import read_study, run_study

EXAMPLE = Path(__file__).parents[2] / "examples/emotion_videos_paper/study.toml"

#: What the public tables here cannot answer.
WITHOUT = (
    "systems.mllm", "systems.llm", "people", "brain", "gap", "spaces.visual", "spaces.motion",
    "interpretation.reference",
)  # fmt: skip
SMALL = {
    "triplets.train": 300_000,
    "triplets.test": 20_000,
    "triplets.repeated": 20,
    "triplets.validation": 30,
    "embedding.seeds": 1,
    "behavior.bootstrap": 200,
    "behavior.permutations": 99,
    "interpretation.permutations": 99,
    "interpretation.analyses": ["components", "correlations"],
    "interpretation.comparisons": ["ratings"],
}


@pytest.mark.slow
def test_the_human_systems_come_out_as_published(data, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(data))
    changes = {**SMALL, **dict.fromkeys(WITHOUT)}
    assert list(read_study(EXAMPLE, overrides=changes).systems) == ["human_category", "human_dimension", "human_both"]
    found = run_study(EXAMPLE, tmp_path / "results", overrides=changes)
    assert not found.failed
    summary = found.summary
    assert summary["stimuli"]["n"] == 2185  # the semantic features of the release are by the same clips
    assert summary["triplets"]["n_validation"] == 4060
    accuracy = {name: system["held_out_accuracy"]["value"] for name, system in summary["systems"].items()}
    # Published, of more triplets: about .97 and .92. Both families together are harder to hold in 30 components.
    assert accuracy["human_category"] > 0.9 and accuracy["human_dimension"] > 0.88
    assert 0.75 < accuracy["human_both"] < accuracy["human_category"]
    assert all(system["rsm"]["value"] > 0.85 for system in summary["systems"].values())
    agreement = {frozenset((row["first"], row["second"])): row["value"] for row in summary["agreement"]["pairs"]}
    apart = agreement[frozenset(("human_category", "human_dimension"))]
    assert apart == pytest.approx(0.51, abs=0.015)
    both = [agreement[frozenset(("human_both", name))] for name in ("human_category", "human_dimension")]
    assert min(both) > apart
    assert read_space(found.results / "spaces/human_both.parquet").shape[0] == 2185
