"""Systems that bring answers from a file: indexed into the study, split, fitted with their slot prior, reported."""

import numpy as np
import pytest

from affectome.collection import estimate_slot_prior
from affectome.errors import InputError
from affectome.study import run_study
from affectome.triplets import TripletSet, read_triplets, sample_triplets, write_triplets

PRIOR = np.array([0.6, 0.25, 0.15])


@pytest.fixture
def world():
    from affectome.simulation import simulate_emotions

    return simulate_emotions(40, 3, seed=0)


@pytest.fixture
def answers(world):
    """Hard choices of a judge with a slot prior, over the same stimuli in another order."""
    ids = list(reversed(world.stimuli.ids))
    asked = sample_triplets(ids, 4000, orders=6, orders_share=0.2, seed=5)
    p = world.judge(temperature=1.0).answer(asked).probabilities * PRIOR
    p /= p.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    choice = (rng.random((len(p), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    choice[:7] = -1
    made = asked.with_answers(choice, metadata={"judge": {"kind": "chat", "model": "a <b>model</b>"}})
    prior = estimate_slot_prior(made, seed=0)
    return made.with_answers(choice, metadata={"slot_prior": {**prior.describe(), "divided_out": False}})


@pytest.fixture
def with_answers(study_file, edit, answers):
    write_triplets(study_file.parent / "mllm.parquet", answers)
    edit(
        "[embedding]",
        '[systems.mllm]\nlabel = "MLLM"\n'
        'judge = { kind = "answers", path = "mllm.parquet", held_out = 0.2 }\n[embedding]',
    )
    return study_file


def test_a_system_may_bring_its_answers(with_answers, answers, world):
    result = run_study(with_answers)
    system = result.summary["systems"]["mllm"]
    assert system["n_answered"] == len(answers) - 7 and system["n_unanswered"] == 7
    assert system["judge"]["described"]["model"] == "a <b>model</b>"
    train, test = (read_triplets(result.results / f"triplets/mllm_{part}.parquet") for part in ("train", "test"))
    assert train.ids == tuple(world.stimuli.ids) and len(train) + len(test) == len(answers) - 7
    assert not np.intersect1d(train.keys(), test.keys()).size
    assert len(np.unique(test.keys())) == pytest.approx(0.2 * 4000, abs=2)
    named = {tuple(answers.ids[k] for k in row) for row in answers.triplets.tolist()}
    assert {tuple(train.ids[k] for k in row) for row in train.triplets.tolist()} <= named
    # The bias is told, and its prior stands in the likelihood.
    bias = system["slot_bias"]
    assert sum(bias["counts"]) == len(answers) - 7 and bias["p_value"] < 1e-20 and bias["rates"][0] > 0.45
    np.testing.assert_allclose(system["embedding"]["slot_prior"], PRIOR, atol=0.05)
    assert system["held_out_accuracy"]["value"] > 0.4 and system["n_components"] == 3
    # Its questions are others, so it takes no part in the agreement on shared ones.
    assert [(p["first"], p["second"]) for p in result.summary["agreement"]["pairs"]] == [
        ("human_category", "human_dimension")
    ]
    page = (result.results / "report.html").read_text(encoding="utf-8")
    assert "Do they prefer a slot?" in page and f"{bias['chi2']:.1f}" in page
    assert "in the likelihood of the embedding" in page and "a &lt;b&gt;model&lt;/b&gt;" in page


def test_other_answers_rerun_what_depends_on_them_and_nothing_else(with_answers, answers):
    run_study(with_answers)
    assert all(record.reused for record in run_study(with_answers).records)
    write_triplets(with_answers.parent / "mllm.parquet", answers[:3500])
    again = [record.name for record in run_study(with_answers).records if not record.reused]
    assert {"answers/mllm", "embedding/mllm", "behavior/mllm"} <= set(again)
    assert not {name for name in again if "human" in name} and "questions" not in again and "agreement" not in again


def test_odd_last_files_index_the_studys_stimuli_and_tell_no_slots(with_answers, edit, answers, world):
    place = {name: k for k, name in enumerate(world.stimuli.ids)}
    shown = np.array([[place[answers.ids[k]] for k in row] for row in answers.triplets])
    here = TripletSet(shown, world.stimuli.ids, answers.choice)
    write_triplets(with_answers.parent / "mllm.txt", here)
    edit("mllm.parquet", "mllm.txt")
    result = run_study(with_answers)
    system = result.summary["systems"]["mllm"]
    assert system["slot_bias"] is None and system["embedding"]["slot_prior"] is None
    assert "Do they prefer a slot?" not in (result.results / "report.html").read_text(encoding="utf-8")
    trials = read_triplets(result.results / "triplets/mllm_train.parquet")
    assert np.isin(trials.keys(), here.keys()).all() and trials.ids == world.stimuli.ids


def test_answers_that_do_not_fit_are_named(with_answers, answers):
    path = with_answers.parent / "mllm.parquet"
    write_triplets(path, TripletSet(answers.triplets, ["nobody", *answers.ids[1:]], answers.choice))
    with pytest.raises(InputError, match=r"mllm\.parquet: is about 1 stimuli .*\(nobody\); make the ids match"):
        run_study(with_answers)
    write_triplets(path, TripletSet(answers.triplets, answers.ids))
    with pytest.raises(InputError, match=r"mllm\.parquet: holds no answered trial"):
        run_study(with_answers)
    path.unlink()
    with pytest.raises(InputError, match=r"\[systems\.mllm\.judge\] path"):
        run_study(with_answers)


def test_a_study_without_answer_files_has_no_slot_table(study_file):
    page = run_study(study_file).results / "report.html"
    assert "Do they prefer a slot?" not in page.read_text(encoding="utf-8")
