"""The example study on the real rating table, in small."""

import time
from pathlib import Path

import pytest

from affectome.study import run_study, study_status

pytestmark = pytest.mark.usefixtures("quick_figures")

EXAMPLE = Path(__file__).parents[2] / "examples" / "emotion_videos" / "study.toml"


def test_the_example_predicts_held_out_choices_and_follows_the_ratings(data, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(data))
    text = EXAMPLE.read_text().replace("2_000_000", "1_000_000").replace("test = 100_000", "test = 20_000")
    # Without the encoder, which may not be at hand.
    text = text[: text.index("[systems.language]")] + text[text.index("[embedding]") :]
    text += 'analyses = ["components", "correlations"]\ncomparisons = ["ratings"]\npermutations = 200\n'
    study = tmp_path / "study.toml"
    study.write_text(text)
    summary = run_study(study).summary
    systems = summary["systems"]
    assert summary["agreement"]["pairs"][0]["value"] == pytest.approx(0.51, abs=0.015)
    ratings = summary["together"]["ratings"]
    assert 0.97 < ratings["category"]["centroid"]["all"]["value"] < 0.99
    assert 0.57 < ratings["dimension"]["centroid"]["17 commonest"]["value"] < 0.65
    shuffled = ratings["category"]["column_shuffled"]["plain"]["value"]
    assert shuffled > 0.9  # circular: no structure is needed to score
    assert systems["human_category"]["held_out_accuracy"]["value"] > 0.93
    assert systems["human_dimension"]["held_out_accuracy"]["value"] > 0.93
    of_components = systems["human_category"]["interpretation"]["correlations"]["top_ratings"]
    tops = [ratings[0] for ratings in of_components.values() if ratings]
    # The near-diagonal heat map: most components of the category space follow one category closely (with two
    # million triplets 28 of 30 do; the problem is not convex, and fewer triplets merge more of them).
    assert sum(top["r"] > 0.8 for top in tops) >= 15
    assert len({top["rating"] for top in tops if top["r"] > 0.8}) >= 15


SMALL = """
[study]
name = "Videos, in small"
seed = 1
[stimuli]
dataset = "cowen-keltner-2017"
path = "${AFFECTOME_DATA}/cowen_keltner_2017/CowenKeltnerEmotionalVideos.csv"
[triplets]
train = 20_000
test = 2_000
[systems.human_category]
judge = { kind = "features", space = "category" }
[systems.human_dimension]
judge = { kind = "features", space = "dimension", standardise = "zscore" }
[embedding]
components = 6
n_epochs = 10
[behavior]
components_needed = false
[interpretation]
ratings = ["category", "dimension"]
analyses = ["components", "types"]
comparisons = ["types"]
permutations = 20
"""


def test_a_second_run_does_nothing_and_a_changed_value_only_what_depends_on_it(data, tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECTOME_DATA", str(data))
    study = tmp_path / "study.toml"
    study.write_text(SMALL)
    assert not run_study(study, n_jobs=1).failed
    start = time.process_time()
    assert [record.name for record in run_study(study, n_jobs=1).records if not record.reused] == []
    assert time.process_time() - start < 5

    def undone(key, value):
        states = study_status(study, overrides={key: value})
        return {state.name for state in states if state.state != "done"}

    systems = ("human_category", "human_dimension")
    types = {f"interpretation/{name}/types" for name in (*systems, "together")}
    assert undone("interpretation.tau", 0.25) == {*types, "report"}
    scores = {f"accuracy/{name}" for name in systems}
    assert undone("behavior.bootstrap", 500) == {*scores, "agreement", "figures", "report"}
