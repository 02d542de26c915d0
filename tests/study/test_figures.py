"""The figures that put systems side by side: what they are given."""

import json

import pandas as pd
import pytest

import affectome.plotting
from affectome import TripletSet
from affectome.behavior import noise_ceiling
from affectome.study import read_study
from affectome.study._figures import comparison_figures
from affectome.study._plan import Plan


@pytest.fixture
def scored(study_file, edit):
    """Both systems have an accuracy and a ceiling; questions were put several times."""
    edit("test = 500", "test = 500\nrepeated = 2\nrepeats = 3")
    plan = Plan(read_study(study_file), study_file.parent / "results")
    triplets = [[0, 1, 2]] * 3 + [[0, 1, 3]] * 3
    found = noise_ceiling(TripletSet(triplets, list("abcd"), [2, 2, 1, 0, 0, 0]), n_boot=10, seed=0)
    for name in plan.systems:
        folder = plan.results / f"behavior/{name}"
        folder.mkdir(parents=True)
        (folder / "accuracy.json").write_text(json.dumps({"value": 0.5, "ci_low": 0.4, "ci_high": 0.6}))
        found.table.to_csv(folder / "ceiling.csv")
    same = {"first": "human_category", "second": "human_dimension", "value": 0.5, "n_trials": 500}
    pd.DataFrame([{**same, "ci_low": 0.4, "ci_high": 0.6}]).to_csv(plan.results / "behavior/agreement.csv", index=False)
    return plan, found.bracket()


def test_accuracy_is_drawn_with_the_bracket_of_every_system_that_has_one(scored, monkeypatch):
    (plan, expected), given = scored, {}
    draw = affectome.plotting.plot_accuracy

    def drawn(scores, labels, *, ceilings):
        given.update(ceilings)
        return draw(scores, labels, ceilings=ceilings)

    monkeypatch.setattr(affectome.plotting, "plot_accuracy", drawn)
    plan.failed["ceiling/human_dimension"] = ValueError("no answer came twice")
    stage = comparison_figures(plan)
    assert [path for path in stage.reads if "ceiling" in path] == ["behavior/human_category/ceiling.csv"]
    stage.run(lambda *parts, **named: None)
    assert given == {"human_category": {"lower": pytest.approx(expected.lower), "upper": pytest.approx(expected.upper)}}
    assert (plan.results / "figures/accuracy.png").exists()
