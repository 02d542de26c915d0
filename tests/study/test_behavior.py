"""What a study asks, and what it finds of choices: questions kept apart, ceilings, similarities, seeds, people."""

import itertools

import numpy as np
import pandas as pd
import pytest

from affectome.behavior import (
    choice_consistency,
    components_needed,
    explained_accuracy,
    measured_rsm,
    noise_ceiling,
    predicted_rsm,
)
from affectome.embedding import VICE, SPoSE
from affectome.errors import InputError
from affectome.judges import ask
from affectome.simulation import simulate_emotions, write_simulated_tables
from affectome.spaces import read_space
from affectome.study._engine import run_stages
from affectome.study._plan import Plan
from affectome.study._schema import read_study
from affectome.study._stages import behavior_stages, side_by_side_stages
from affectome.triplets import TripletSet, read_triplets, sample_triplets, write_triplets

STUDY = """
[study]
name = "Small"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.category]
path = "category.csv"
[spaces.dimension]
path = "dimension.csv"
[triplets]
train = 2000
test = 300
{triplets}
[systems.noisy]
judge = {{ kind = "features", space = "category", temperature = 0.2 }}
[systems.sure]
label = "Sure"
judge = {{ kind = "features", space = "dimension", standardise = "zscore" }}
[embedding]
components = 3
n_epochs = 16
{embedding}
[behavior]
bootstrap = 50
permutations = 39
{rest}
"""


def run(path):
    """The stages about choices, without the rest of a study: what was found, what ran, and the plan."""
    plan, ran = Plan(read_study(path), path.parent / "results", n_jobs=1), []

    def progress(name, state):
        ran.extend([name] if state == "running" else [])
        return lambda *parts, **named: None

    records = run_stages(behavior_stages(plan), plan.results, progress=progress, failed=plan.failed)
    together = side_by_side_stages(plan)
    records += run_stages(together, plan.results, progress=progress, failed=plan.failed, earlier=records)
    return {record.name: record.summary for record in records}, ran, plan


def write_study(folder, *, triplets="", embedding="", rest=""):
    write_simulated_tables(simulate_emotions(40, 3, seed=0), folder)
    path = folder / "study.toml"
    path.write_text(STUDY.format(triplets=triplets, embedding=embedding, rest=rest))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study with everything that is asked of choices, run once."""
    folder = tmp_path_factory.mktemp("whole")
    world = simulate_emotions(40, 3, seed=0)
    asked = sample_triplets(world.stimuli.ids, 150, design="repeated", repeats=3, seed=3)
    write_triplets(folder / "people.parquet", ask(world.judge(temperature=0.5), asked))
    path = write_study(
        folder,
        triplets="validation = 8\nrepeated = 30\nrepeats = 6",
        embedding="seeds = 3",
        rest='[people]\npath = "people.parquet"\nlabel = "Volunteers"',
    )
    return path, *run(path)


def test_every_triplet_of_some_stimuli_is_asked_and_no_triplet_of_two_sets(whole):
    *_, plan = whole
    sets = {part: plan.trials(part) for part in plan.question_parts}
    validation = sets["validation"]
    chosen = {validation.ids.index(name) for name in validation.used_ids()}
    assert len(chosen) == 8
    assert {frozenset(row) for row in validation.triplets.tolist()} == set(
        map(frozenset, itertools.combinations(chosen, 3))
    )
    assert len(validation) == 56
    shown = np.diff(validation.triplets, axis=1) > 0
    assert 0 < shown.all(axis=1).mean() < 0.6  # in drawn orders, not by index
    keys = {part: set(trials.keys().tolist()) for part, trials in sets.items() if part != "people"}
    assert all(not a & b for a, b in itertools.combinations(keys.values(), 2))
    repeats = sets["repeats"]
    assert len(keys["repeats"]) == 30 and (np.unique(repeats.keys(), return_counts=True)[1] == 6).all()
    orders = [len(np.unique(repeats.triplets[repeats.keys() == key], axis=0)) for key in keys["repeats"]]
    assert np.mean(orders) > 2.5  # of six orders drawn six times, four are met on average
    for name in ("noisy", "sure"):
        assert all((plan.trials(f"{name}_{part}").triplets == sets[part].triplets).all() for part in sets)


def test_a_study_without_further_questions_draws_those_it_always_drew(tmp_path):
    _, _, plan = run(write_study(tmp_path))
    ids = plan.stimuli().ids
    train = sample_triplets(ids, 2000, seed=plan.seed("questions"))
    assert (plan.trials("train").triplets == train.triplets).all()
    test = sample_triplets(ids, 300, seed=plan.seed("held out"), exclude=train)
    assert (plan.trials("test").triplets == test.triplets).all()


def test_a_balanced_design_makes_room_for_the_validation(tmp_path):
    _, _, plan = run(write_study(tmp_path, triplets='design = "balanced"\nvalidation = 12'))
    train, held = plan.trials("train"), plan.trials("validation")
    assert len(np.unique(train.keys())) == len(train) == 2000
    assert not set(train.keys()) & set(held.keys()) and not set(plan.trials("test").keys()) & set(held.keys())
    counts = np.bincount(train.triplets.ravel(), minlength=40)
    drawn = np.bincount(sample_triplets(40, 2000, seed=0).triplets.ravel(), minlength=40)
    assert counts.std() < drawn.std()


def test_ceilings_are_those_of_the_repeats_and_accuracy_is_held_against_them(whole):
    _, found, _, plan = whole
    system = found["ceiling/noisy"]
    repeats, seed = plan.trials("noisy_repeats"), plan.seed("ceiling", "noisy")
    bracket = noise_ceiling(repeats, n_boot=50, seed=seed).bracket()
    assert (system["lower"]["value"], system["value"]) == (bracket.lower, bracket.upper)
    assert (system["ci_low"], system["ci_high"]) == (bracket.upper_ci_low, bracket.upper_ci_high)
    explained = {row["ceiling"]: row["value"] for row in system["explained"]}
    accuracy = found["accuracy/noisy"]["value"]
    for end, ceiling in (("modal", bracket.upper), ("leave_one_out", bracket.lower)):
        assert explained[end] == pytest.approx((accuracy - 1 / 3) / (ceiling - 1 / 3))
    expected = explained_accuracy(plan.space("noisy"), plan.trials("noisy_test"), repeats, n_boot=50, seed=seed)
    table = pd.read_csv(plan.results / "behavior/noisy/explained.csv", index_col=0)
    pd.testing.assert_frame_equal(table, expected.table, check_dtype=False)
    # This judge drops the likeliest stimulus now and then; the other never errs, which is said.
    assert system["lower"]["value"] < 0.95 and not any("never errs" in text for text in system["warnings"])
    sure = found["ceiling/sure"]
    assert sure["lower"]["value"] == sure["upper"]["value"] == 1
    assert [text[:42] for text in sure["warnings"]] == ["Sure computes its choices and never errs, "]


def test_similarities_are_held_against_those_of_the_validation(whole):
    _, found, _, plan = whole
    measured = measured_rsm(plan.trials("noisy_validation"))
    predicted = predicted_rsm(plan.space("noisy"), measured.similarity.index.tolist())
    above = np.triu_indices(8, 1)
    r = np.corrcoef(measured.similarity.to_numpy()[above], predicted.to_numpy()[above])[0, 1]
    system = found["rsm/noisy"]
    assert system["value"] == pytest.approx(r) and system["ci_low"] < r < system["ci_high"]
    assert (system["n_stimuli"], system["n_pairs"], system["n_missing"]) == (8, 28, 0)
    assert system["by_components"][-1]["r"] == pytest.approx(r)
    assert system["p"] >= 1 / 40 and system["reliability"]["triplets"]["highest_r"] > 0
    pairs = pd.read_csv(plan.results / "behavior/noisy/rsm.csv")
    assert pairs["measured"].tolist() == pytest.approx(measured.similarity.to_numpy()[above].tolist())
    assert (pairs["n_trials"] == 6).all()
    for name in ("rsm", "rsm_by_components", "components_needed", "reproducibility"):
        png = plan.results / f"behavior/noisy/figures/{name}.png"
        assert png.read_bytes().startswith(b"\x89PNG")


def test_weights_needed_and_the_choice_not_to_ask(whole, tmp_path):
    _, found, _, plan = whole
    expected = components_needed(
        plan.space("sure"), plan.trials("sure_test"), n_boot=50, seed=plan.seed("needed", "sure")
    )
    system = found["needed/sure"]
    assert system["value"] == expected.needed["k"][0] and (system["share"], system["baseline"]) == (0.95, "zero")
    assert [row["accuracy"] for row in system["curve"]] == expected.curve["accuracy"].tolist()
    without, _, _ = run(write_study(tmp_path, rest="components_needed = false"))
    assert "needed/sure" not in without and "rsm/sure" not in without and "ceiling/sure" not in without


def test_fits_from_other_seeds_are_kept_and_the_space_is_that_of_the_first(whole):
    path, found, _, plan = whole
    second = plan.results / "behavior/noisy/runs/seed_02.parquet"
    trials = plan.trials("noisy_train")
    alone = SPoSE(3, n_epochs=16, random_state=plan.seed("embedding", "noisy", "seed 2")).fit(trials)
    assert np.array_equal(read_space(second), alone.to_space())
    own = SPoSE(3, n_epochs=16, random_state=plan.seed("embedding", "noisy")).fit(trials)
    assert np.array_equal(plan.space("noisy"), own.to_space())
    system = found["reproducibility/noisy"]
    table = pd.read_csv(plan.results / "behavior/noisy/reproducibility.csv")
    assert system["runs"] == ["seed 1", "seed 2", "seed 3"] and set(table["run"]) == set(system["runs"])
    assert system["value"] == pytest.approx(table.loc[table["run"] == "seed 1", "split_half"].median())
    # A stage that was stopped goes on with the fits it had, and fits again what is of other answers.
    (plan.results / ".affectome/stages/reproducibility.noisy.json").unlink()
    third = second.with_name("seed_03.parquet")
    kept = second.stat().st_mtime_ns
    third.unlink()
    _, ran, _ = run(path)
    assert ran == ["reproducibility/noisy"] and second.stat().st_mtime_ns == kept and third.is_file()


def test_systems_are_held_against_people_alone_and_side_by_side(whole):
    _, found, _, plan = whole
    people = read_triplets(plan.study.people.path)
    answers = {name: plan.trials(f"{name}_people") for name in ("noisy", "sure")}
    assert len(answers["sure"]) == 150 == len(np.unique(people.keys()))
    expected = choice_consistency(people, answers, n_boot=50, seed=plan.seed("people"))
    together = found["people"]
    assert [row["agreement"] for row in together["table"]] == pytest.approx(expected.table["agreement"].tolist())
    assert together["ceiling"]["lower"] == expected.ceiling.lower and together["label"] == "Volunteers"
    alone = found["people/sure"]
    row = expected.table.set_index("name").loc["sure"]
    assert (alone["value"], alone["of_lower_ceiling"]) == pytest.approx((row["agreement"], row["of_lower_ceiling"]))
    # The order in which a model is asked says nothing of what people answered.
    assert all(slot["p"] > 1e-3 for slot in together["slots"])
    assert (plan.results / "behavior/people/figures/consistency.png").is_file()
    assert (plan.results / "behavior/people/sure/figures/consistency.png").is_file()


def test_a_second_run_does_nothing(whole):
    assert run(whole[0])[1] == []


def test_answers_of_a_file_bring_validation_and_repeats_that_are_not_learned_from(tmp_path):
    path = write_study(
        tmp_path,
        rest="components_needed = false\n"
        '[systems.brought]\njudge = { kind = "answers", path = "own.parquet", validation = "all.parquet", '
        'repeats = "again.parquet" }\n[people]\npath = "people.parquet"',
    )
    world = simulate_emotions(40, 3, seed=0)
    ids, judge = list(reversed(world.stimuli.ids)), world.judge(temperature=0.3)
    own = sample_triplets(ids, 3000, seed=1)
    validation = sample_triplets(ids, design="exhaustive", subset=10, seed=2)
    repeats = sample_triplets(ids, 40, design="repeated", repeats=5, seed=3)
    for name, asked in (("own", own), ("all", validation), ("again", repeats), ("people", own[:500])):
        write_triplets(tmp_path / f"{name}.parquet", ask(judge, asked))
    found, _, plan = run(path)
    parts = {part: plan.trials(f"brought_{part}") for part in plan.parts("brought")}
    apart = {*parts["validation"].keys(), *parts["repeats"].keys()}
    learned = {*parts["train"].keys(), *parts["test"].keys()}
    assert not apart & learned
    overlap = np.isin(own.keys(), [*validation.keys(), *repeats.keys()]).sum()
    assert found["answers/brought"]["n_kept_apart"] == overlap > 0 and len(learned) == 3000 - overlap
    assert found["rsm/brought"]["n_stimuli"] == 10 and found["ceiling/brought"]["n_triplets"] == 40
    assert "rsm/sure" not in found  # the study asked nobody all triplets
    # Its own answers are those held against people, of whatever part.
    assert found["people/brought"]["n_triplets"] == 500


def test_what_one_system_lacks_does_not_stop_the_others(tmp_path):
    path = write_study(
        tmp_path,
        rest='[systems.brought]\njudge = { kind = "answers", path = "own.parquet" }\n[people]\npath = "people.parquet"',
    )
    world = simulate_emotions(40, 3, seed=0)
    asked = sample_triplets(world.stimuli.ids, 800, seed=1)
    write_triplets(tmp_path / "own.parquet", ask(world.judge(), asked[:500]))
    write_triplets(tmp_path / "people.parquet", ask(world.judge(), asked[500:]))
    found, _, plan = run(path)
    assert "no answered triplet in common" in str(plan.failed["people/brought"]) and list(plan.failed) == [
        "people/brought"
    ]
    assert [row["name"] for row in found["people"]["table"]] == ["noisy", "sure"]
    assert found["people"]["ceiling"] is None  # nobody was asked twice


def test_vice_says_how_sure_it_is(tmp_path):
    path = write_study(tmp_path, embedding='method = "vice"')
    path.write_text(path.read_text().replace("n_epochs = 16\n", "n_epochs = 8\n"))
    found, _, plan = run(path)
    model = VICE(3, n_epochs=8, random_state=plan.seed("embedding", "sure")).fit(plan.trials("sure_train"))
    assert np.array_equal(plan.space("sure"), model.to_space())
    assert np.array_equal(read_space(plan.results / "spaces/sure.scale.parquet"), model.to_scale_space())
    assert found["embedding/sure"]["method"] == "vice"
    path.write_text(path.read_text().replace('method = "vice"', 'method = "vice"\nl1 = 0.1'))
    with pytest.raises(InputError, match=r"\[embedding\] l1: l1 is for spose; .* leave it out"):
        run(path)


@pytest.mark.parametrize(
    ("triplets", "said"),
    [
        ("validation = 41", "[triplets] validation: a subset of 41 out of 40 stimuli"),
        ("repeated = 9_880\nrepeats = 2", "[triplets] repeated: only "),
        ('design = "balanced"\nvalidation = 39', "[triplets] train: only "),
    ],
)
def test_more_questions_than_the_stimuli_make_are_told_with_their_key(tmp_path, triplets, said):
    found, _, plan = run(write_study(tmp_path, triplets=triplets))
    assert str(plan.failed["questions"]).startswith(said)
    assert list(found) == ["stimuli"]


def test_people_about_other_stimuli_are_refused(tmp_path):
    path = write_study(tmp_path, rest='[people]\npath = "people.parquet"')
    write_triplets(tmp_path / "people.parquet", TripletSet([[0, 1, 2]], ["x", "y", "z"], [0]))
    _, _, plan = run(path)
    assert "people.parquet: is about 3 stimuli that the study does not have (x, y, z)" in str(plan.failed["questions"])
