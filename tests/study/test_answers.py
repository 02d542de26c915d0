"""Systems that bring answers from a file: indexed into the study, split, fitted with their slot prior, reported."""

import re

import numpy as np
import pytest

from affectome.collection import check_slot_prior, estimate_slot_prior
from affectome.errors import InputError
from affectome.study import read_study, run_study
from affectome.study._engine import run_stages
from affectome.study._plan import Plan
from affectome.study._stages import behavior_stages
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
def with_answers(study_file, first, edit, answers):
    """The small study, which is finished but for a system that brings answers."""
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
    assert (system["n_trials"], system["n_answered"], system["n_unanswered"]) == (len(answers), len(answers) - 7, 7)
    assert system["judge"]["described"]["model"] == "a <b>model</b>"
    train, test = (read_triplets(result.results / f"triplets/mllm_{part}.parquet") for part in ("train", "test"))
    assert train.ids == tuple(world.stimuli.ids) and len(train) + len(test) == len(answers) - 7
    assert not np.intersect1d(train.keys(), test.keys()).size
    assert len(np.unique(test.keys())) == pytest.approx(0.2 * 4000, abs=2)
    named = {tuple(answers.ids[k] for k in row) for row in answers.triplets.tolist()}
    assert {tuple(train.ids[k] for k in row) for row in train.triplets.tolist()} <= named
    # The bias is told, and its prior stands in the likelihood.
    bias = system["slot_bias"]
    counted = np.bincount(answers.choice[answers.choice >= 0], minlength=3)
    assert bias["counts"] == counted.tolist() and bias["p_value"] < 1e-20 and bias["rates"][0] > 0.45
    assert bias["chi2"] == pytest.approx(((counted - counted.mean()) ** 2 / counted.mean()).sum())
    known = answers.metadata["slot_prior"]
    told = {**known, "prior": check_slot_prior(known["prior"]).tolist()}
    assert system["slot_prior"] == {key: told[key] for key in ("prior", "ci_low", "ci_high", "divided_out")}
    np.testing.assert_allclose(system["embedding"]["slot_prior"], PRIOR, atol=0.05)
    assert system["held_out_accuracy"]["value"] > 0.4 and system["n_components"] == 3
    # Its questions are others, so it takes no part in the agreement on shared ones.
    assert [(p["first"], p["second"]) for p in result.summary["agreement"]["pairs"]] == [
        ("human_category", "human_dimension")
    ]
    page = (result.results / "report.html").read_text(encoding="utf-8")
    assert "Do they prefer a slot?" in page and f"{bias['chi2']:.1f}" in page
    first = f"{known['prior'][0]:.3f}<br>({known['ci_low'][0]:.3f} – {known['ci_high'][0]:.3f})"
    assert first in page and "in the likelihood of the embedding" in page and "a &lt;b&gt;model&lt;/b&gt;" in page


def test_other_answers_rerun_what_depends_on_them_and_nothing_else(with_answers, answers):
    run_study(with_answers)
    assert all(record.reused for record in run_study(with_answers).records)
    write_triplets(with_answers.parent / "mllm.parquet", answers[:3500])
    again = [record.name for record in run_study(with_answers).records if not record.reused]
    assert {"answers/mllm", "embedding/mllm", "accuracy/mllm"} <= set(again)
    assert not {name for name in again if "human" in name} and "questions" not in again and "agreement" not in again


@pytest.mark.parametrize("suffix", [".txt", ".npy"])
def test_odd_last_files_index_the_studys_stimuli_and_tell_no_slots(with_answers, edit, answers, world, suffix):
    place = {name: k for k, name in enumerate(world.stimuli.ids)}
    shown = np.array([[place[answers.ids[k]] for k in row] for row in answers.triplets])
    here = TripletSet(shown, world.stimuli.ids, answers.choice)
    write_triplets(with_answers.parent / f"mllm{suffix}", here)
    edit("mllm.parquet", f"mllm{suffix}")
    result = run_study(with_answers)
    system = result.summary["systems"]["mllm"]
    assert system["slot_bias"] is None and system["embedding"]["slot_prior"] is None
    page = (result.results / "report.html").read_text(encoding="utf-8")
    assert "Do they prefer a slot?" not in page and "nothing is known of its slot bias" in page
    trials = read_triplets(result.results / "triplets/mllm_train.parquet")
    assert np.isin(trials.keys(), here.keys()).all() and trials.ids == world.stimuli.ids


def test_answers_that_do_not_fit_are_named(with_answers, answers):
    path = with_answers.parent / "mllm.parquet"

    def reason():
        """Why the system is left out; what is before its answers, and they, run alone."""
        plan = Plan(read_study(with_answers), with_answers.parent / "results", n_jobs=1)
        stages = [stage for stage in behavior_stages(plan) if stage.name in ("stimuli", "questions", "answers/mllm")]
        run_stages(stages, plan.results, progress=lambda name, state: lambda *parts, **named: None, failed=plan.failed)
        return str(plan.failed["answers/mllm"])

    write_triplets(path, TripletSet(answers.triplets, ["nobody", *answers.ids[1:]], answers.choice))
    assert re.search(r"mllm\.parquet: is about a stimulus .*\(nobody\); give .* ids match", reason())
    write_triplets(path, TripletSet(answers.triplets, answers.ids))
    assert "mllm.parquet: holds no answered trial" in reason()
    write_triplets(path, answers[np.flatnonzero(answers.keys() == answers.keys()[20])])
    assert "mllm.parquet: holds answers to a single triplet" in reason()
    write_triplets(path, answers.with_answers(answers.choice, metadata={"slot_prior": {"prior": [1.0, 0.0, 0.0]}}))
    assert re.search(r"mllm\.parquet: the slot prior .* is not three numbers above 0", reason())
    path.unlink()
    with pytest.raises(InputError, match=r"\[systems\.mllm\.judge\] path"):
        read_study(with_answers)


def test_a_study_without_answer_files_has_no_slot_table(study_file):
    page = run_study(study_file).results / "report.html"
    assert "Do they prefer a slot?" not in page.read_text(encoding="utf-8")


def test_answers_about_some_of_the_stimuli_are_indexed_by_id(with_answers, answers, world):
    few = answers.ids[5:25]
    kept = answers[np.isin(answers.triplets, range(5, 25)).all(axis=1)]
    write_triplets(with_answers.parent / "mllm.parquet", TripletSet(kept.triplets - 5, few, kept.choice))
    result = run_study(with_answers)
    parts = [read_triplets(result.results / f"triplets/mllm_{part}.parquet") for part in ("train", "test")]
    found = sorted(
        (*(part.ids[k] for k in row), int(c))
        for part in parts
        for row, c in zip(part.triplets, part.choice, strict=True)
    )
    assert parts[0].ids == world.stimuli.ids
    assert found == sorted(
        (*(kept.ids[k] for k in row), int(c)) for row, c in zip(kept.triplets, kept.choice, strict=True) if c >= 0
    )


def test_a_prior_that_was_divided_out_stays_out_of_the_likelihood(with_answers, answers):
    known = {"prior": [0.6, 0.25, 0.15], "divided_out": True}  # given by hand: no interval
    write_triplets(
        with_answers.parent / "mllm.parquet", answers.with_answers(answers.choice, metadata={"slot_prior": known})
    )
    result = run_study(with_answers)
    system = result.summary["systems"]["mllm"]
    assert system["embedding"]["slot_prior"] is None
    assert system["slot_prior"] == {**known, "ci_low": None, "ci_high": None}
    page = (result.results / "report.html").read_text(encoding="utf-8")
    assert '<td class="n">0.600</td>' in page and "divided out of the probabilities" in page


ASKED = {
    "human_category": '[systems.human_category]\nlabel = "Human (category)"\n'
    'judge = { kind = "features", space = "category" }\n',
    "human_dimension": "[systems.human_dimension]\n"
    'judge = { kind = "features", space = "dimension", standardise = "zscore" }\n',
}


@pytest.mark.parametrize("removed", [["human_dimension"], ["human_category", "human_dimension"]])
def test_without_two_systems_on_shared_questions_there_is_no_agreement(with_answers, edit, removed, caplog):
    for name in removed:
        edit(ASKED[name], "")
    with caplog.at_level("INFO", logger="affectome"):
        result = run_study(with_answers)
    assert "the agreement on shared questions is computed without it" in caplog.text
    assert "agreement" not in result.summary and "agreement" not in [record.name for record in result.records]
    page = (result.results / "report.html").read_text(encoding="utf-8")
    assert "Do systems choose alike?" not in page and "Do they prefer a slot?" in page
    # The study's own questions are told of only where a system answered them.
    assert ("3,000 triplets to learn from" in page) == ("human_category" not in removed)


def test_answers_stand_beside_category_scores(with_answers, edit):
    edit('"correlations"]', '"correlations", "categories"]\ntop = 1\nmost_common = 2')
    systems = run_study(with_answers).summary["systems"]
    circular = {name: system["interpretation"]["categories"]["circular"] for name, system in systems.items()}
    assert circular == {"human_category": True, "human_dimension": False, "mllm": False}
    assert systems["mllm"]["interpretation"]["correlations"]["circular"] == []
