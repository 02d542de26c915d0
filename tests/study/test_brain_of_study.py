"""What a study asks of brains beside encodings, which test_brain tells of: how reliable geometries are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import affectome.plotting
from affectome import InputError, write_space
from affectome._progress import silent
from affectome.neural import read_recording
from affectome.simulation import write_simulated_recordings
from affectome.spaces import read_space
from affectome.study import read_study, study_status
from affectome.study._brain_of_study import group_brain_stages, person_brain_stages
from affectome.study._engine import StageRecord, run_stages
from affectome.study._plan import Plan


def seen_twice(path):
    """Every run again, in a run whose number is odd where the first was even."""
    one, rng = read_recording(path), np.random.default_rng(1)
    again = one.trials.assign(run=one.trials["run"] + one.trials["run"].nunique())
    noisy = one.responses + rng.normal(size=one.responses.shape).astype(np.float32)
    trials = pd.concat([one.trials, again], ignore_index=True)
    return replace(one, responses=np.concatenate([one.responses, noisy]), trials=trials)


def asked(study_file):
    """The study with reliability, and spaces as its systems would have made them."""
    folder = study_file.parent
    write_simulated_recordings([seen_twice(path) for path in sorted((folder / "fmri").glob("*.h5"))], folder / "fmri")
    text = study_file.read_text(encoding="utf-8")
    study_file.write_text(
        text.replace("partition = false", "reliability = true") + 'within_run = "include"\n', encoding="utf-8"
    )
    plan = Plan(read_study(study_file), folder / "results")
    for name in plan.brain_spaces:
        (plan.results / "spaces").mkdir(parents=True, exist_ok=True)
        write_space(plan.results / f"spaces/{name}.parquet", read_space(folder / "category.csv"))
    return plan


def test_reliability_is_of_every_person_and_of_all_people_in_a_folder_of_its_own(whole_study):
    assert not any(state.name.startswith("reliability") for state in study_status(whole_study))
    plan = asked(whole_study)
    stages = [one for one in (*person_brain_stages(plan), *group_brain_stages(plan)) if "reliability" in one.name]
    spaces = {f"spaces/{name}.parquet": "as made" for name in plan.brain_spaces}
    earlier = [StageRecord("embedding", "", spaces, {}, 0.0, "", "")]
    records = run_stages(stages, plan.results, progress=lambda name, state: silent, earlier=earlier)
    told = {one.name: one.summary for one in records}
    people = ("sub-01", "sub-02", "sub-03")
    assert list(told) == [f"reliability/{name}" for name in (*(f"halves/{who}" for who in people),
                                                              "people/regions", "people/centres")]  # fmt: skip
    assert told["reliability/halves/sub-01"]["n_stimuli"] == 40
    assert told["reliability/people/regions"]["best_regions"][0]["region"] == "MST"
    table = pd.read_csv(plan.results / "neural/reliability/sub-02/regions.csv", index_col="region")
    assert table.loc["MST", "low"] > 0
    both = pd.read_csv(plan.results / "neural/reliability/group/ceiling/regions.csv", index_col="region")
    assert both.loc["MST", "lower"] > both.loc["V1", "lower"]
    assert not plan.failed


def bars_of_the_group(plan, people=("sub-01", "sub-02", "sub-03")):
    """The stage of regions over people, with scores that no recording was read for."""
    for k, who in enumerate(people):
        folder = plan.results / f"neural/{who}/human_category"
        folder.mkdir(parents=True, exist_ok=True)
        row = {"subject": who, "space": "human_category", "region": "MST", "n_voxels": 9, "r": 0.3 + 0.1 * k}
        pd.DataFrame([{**row, "low": 0.1, "high": 0.6, "p": 0.01, "q": 0.01}]).to_csv(
            folder / "regions.csv", index=False
        )
    return next(stage for stage in group_brain_stages(plan) if stage.name == "group")


def test_figures_over_people_call_a_system_by_its_label_and_are_drawn_again_when_it_changes(whole_study, monkeypatch):
    text = whole_study.read_text(encoding="utf-8").replace('spaces = ["human_category", "third"]',
                                                           'spaces = ["human_category"]')  # fmt: skip
    whole_study.write_text(text, encoding="utf-8")
    drawn, draw = [], affectome.plotting.plot_region_bars
    monkeypatch.setattr(affectome.plotting, "plot_region_bars", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[0])
    stage = bars_of_the_group(Plan(read_study(whole_study), whole_study.parent / "results"))
    stage.run(silent)
    assert "Human (category)" in [text.get_text() for text in drawn[0].legends[0].get_texts()]
    plain = text.replace('label = "Human (category)"\n', "")
    whole_study.write_text(plain, encoding="utf-8")
    unnamed = bars_of_the_group(Plan(read_study(whole_study), whole_study.parent / "results"))
    assert stage.parameters == {**unnamed.parameters, "called": {"human_category": "Human (category)"}}


def test_distances_without_a_ceiling_are_refused_with_their_key(whole_study):
    text = whole_study.read_text(encoding="utf-8")
    changed = text.replace("partition = false", "reliability = true") + 'brain_metric = "euclidean"\n'
    whole_study.write_text(changed, encoding="utf-8")
    with pytest.raises(InputError, match="Euclidean distances of patterns have no ceiling") as fault:
        read_study(whole_study)
    assert "[brain] reliability" in str(fault.value)
