"""Ceilings and the share of the explainable, as a user types them."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import ask, read_triplets, sample_triplets, simulate_emotions, write_space, write_triplets
from affectome.behavior import explained_accuracy, noise_ceiling


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A space, held-out answers of its judge, repeated ones, guesses, and repeats as odd-last text."""
    folder = tmp_path_factory.mktemp("ceilings")
    world = simulate_emotions(30, 4, seed=0)
    ids = world.planted.index.tolist()
    questions = sample_triplets(ids, 200, design="repeated", repeats=6, seed=1)
    repeats = ask(world.judge(seed=2), questions)
    write_space(folder / "space.parquet", world.planted, {})
    write_triplets(folder / "held_out.parquet", world.sample_answers(1000, seed=3))
    write_triplets(folder / "repeats.parquet", repeats)
    write_triplets(folder / "repeats.txt", repeats)
    uneven = np.where((questions.block > 0) & (questions.triplets.sum(axis=1) % 2 == 0), -1, repeats.choice)
    write_triplets(folder / "uneven.parquet", questions.with_answers(uneven))
    write_triplets(folder / "guess.parquet", questions.with_answers(np.random.default_rng(0).integers(0, 3, 1200)))
    return folder


def test_ceiling_prints_every_estimate_its_reference_and_what_it_comes_from(run, folder):
    file = folder / "repeats.parquet"
    code, out, err = run("behavior", "ceiling", file, "--bootstrap", 200, "--seed", 3, "--json")
    want = noise_ceiling(read_triplets(file), n_boot=200, seed=3)
    *lines, last = out.splitlines()
    assert (code, err) == (0, "")
    found = json.loads(last)
    for row, (estimate, expected) in zip(found["table"], want.table.iterrows(), strict=True):
        assert row == {"estimate": estimate, **expected.to_dict()}
    modal = want.table.loc["modal"]
    assert lines[1].split() == [
        "modal", "answer", f"{modal.value:.3f}", f"[{modal.ci_low:.3f},", f"{modal.ci_high:.3f}]",
        f"{modal.guessing:.3f}", "upward",
    ]  # fmt: skip
    bracket = want.bracket()
    assert f"odd one in {bracket.lower:.3f} (leave-one-out) to {bracket.upper:.3f} (modal) of its answers" in lines[6]
    assert lines[7].startswith("1,200 answers to 200 triplets, 6 each, every answer counting once; 95% intervals")
    assert lines[8] == "Left out: 0 triplets with one answer, 0 trials without an answer."


def test_ceiling_of_guesses_says_how_little_two_answers_agree(run, folder):
    code, out, _ = run("behavior", "ceiling", folder / "guess.parquet", "--json")
    table = {row["estimate"]: row for row in json.loads(out.splitlines()[-1])["table"]}
    assert code == 0
    assert table["modal"]["value"] == pytest.approx(table["modal"]["guessing"], abs=0.03)
    assert f"and by how often two answers agree in at most {table['agreement_bound']['value']:.3f}" in out


def test_unequal_repeats_are_told_and_the_table_is_written(run, folder, tmp_path):
    code, out, _ = run("behavior", "ceiling", folder / "uneven.parquet", "--out", tmp_path / "ceiling.csv")
    trials = read_triplets(folder / "uneven.parquet")
    single = np.unique(trials.keys()[trials.answered], return_counts=True)[1] == 1
    assert code == 0 and f"Left out: {single.sum()} triplets with one answer" in out and single.sum() > 50
    written = pd.read_csv(tmp_path / "ceiling.csv", index_col="estimate")
    np.testing.assert_allclose(written["value"], noise_ceiling(trials, n_boot=1, seed=0).table["value"])


def test_text_files_do(run, folder):
    answers = [run("behavior", "ceiling", folder / name)[1] for name in ("repeats.txt", "repeats.parquet")]
    assert answers[0] == answers[1]


def test_score_with_repeats_adds_the_share_of_the_explainable(run, folder):
    space, held_out, repeats = (folder / name for name in ("space.parquet", "held_out.parquet", "repeats.parquet"))
    code, plain, _ = run("behavior", "score", space, held_out, "--bootstrap", 100, "--json")
    assert code == 0 and "explain" not in plain
    code, out, _ = run("behavior", "score", space, held_out, "--repeats", repeats, "--bootstrap", 100, "--json")
    assert code == 0
    *lines, last = out.splitlines()
    assert lines[0] == plain.splitlines()[0]
    world = simulate_emotions(30, 4, seed=0)
    want = explained_accuracy(world.planted, read_triplets(held_out), read_triplets(repeats), n_boot=100, seed=0)
    found = json.loads(last)
    assert [row["value"] for row in found["explained"]] == pytest.approx(want.table["value"].tolist())
    assert found["value"] == json.loads(plain.splitlines()[-1])["value"] == want.accuracy.value
    assert len(lines) == 5 and all(line.startswith("Share of the explainable, ") for line in lines[1:4])
    row = want.table.loc["modal"]
    assert lines[2].endswith(f": {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}].")
    text = run("behavior", "score", space, held_out, "--repeats", folder / "repeats.txt", "--bootstrap", 100)[1]
    assert text.splitlines() == lines


def test_score_says_undefined_where_the_ceiling_is_at_chance(run, folder, tmp_path):
    questions = sample_triplets([f"clip{k:02d}" for k in range(1, 31)], 40, seed=0)
    thrice = questions[np.repeat(np.arange(40), 3)]
    write_triplets(tmp_path / "torn.parquet", thrice.with_answers(np.tile([0, 1, 2], 40)))
    space, held_out = folder / "space.parquet", folder / "held_out.parquet"
    code, out, err = run("behavior", "score", space, held_out, "--repeats", tmp_path / "torn.parquet", "--json")
    assert code == 0 and out.count("undefined: the ceiling is not above chance.") == 3
    assert [row["value"] for row in json.loads(out.splitlines()[-1])["explained"]] == [None] * 3
    assert "shown in one order of slots" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ceiling", "held_out.parquet"], "held_out.parquet: no triplet was answered twice; ask some triplets several"),
        (["ceiling", "missing.parquet"], "missing.parquet"),
        (["ceiling", "repeats.parquet", "--level", "1"], "make no interval"),
        (["ceiling", "repeats.parquet", "--out", "table.xlsx"], "use .csv"),
        (
            ["score", "space.parquet", "held_out.parquet", "--repeats", "held_out.parquet"],
            "held_out.parquet: no triplet was answered twice",
        ),
    ],
)
def test_wrong_input_ends_with_a_sentence(run, folder, arguments, expected):
    named = [folder / part if part.endswith(".parquet") else part for part in arguments]
    code, out, err = run("behavior", *named)
    assert code == 2 and out == "" and expected in err and err.count("\n") == 1
