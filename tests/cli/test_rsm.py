"""`affectome behavior rsm` and `components`, as a user types them."""

import json

import numpy as np
import pandas as pd
import pytest

from affectome import (
    TripletSet,
    ask,
    components_needed,
    measured_rsm,
    predicted_rsm,
    read_space,
    read_triplets,
    rsm_agreement,
    sample_triplets,
    simulate_emotions,
    write_space,
    write_triplets,
)
from affectome.behavior import rsm_by_components, rsm_reliability

WORLD = simulate_emotions(30, 3, seed=0)
SOME = WORLD.planted.index[:12].tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A space, all triplets of twelve stimuli answered, other answers, a list of ids, ratings."""
    folder = tmp_path_factory.mktemp("rsm")
    write_space(folder / "space.parquet", WORLD.planted, {})
    write_space(folder / "ratings.csv", WORLD.stimuli.spaces["category"], {})
    questions = sample_triplets(WORLD.planted.index.tolist(), design="exhaustive", subset=SOME, seed=0)
    write_triplets(folder / "answers.parquet", ask(WORLD.judge(seed=0), questions))
    write_triplets(folder / "others.parquet", WORLD.sample_answers(3000, seed=1))
    (folder / "ids.txt").write_text("\n".join([*SOME[:9], ""]), encoding="utf-8")
    return folder


def test_rsm_prints_what_the_functions_give_and_draws_it(run, folder):
    code, out, _ = run(
        "behavior", "rsm", folder / "space.parquet", folder / "answers.parquet", "--bootstrap", 100, "--seed", 3,
        "--permutations", 50, "--figure", folder / "made/rsm.png", "--out", folder / "made/pairs.csv", "--json",
    )  # fmt: skip
    assert code == 0
    trials = read_triplets(folder / "answers.parquet")
    measured, predicted = measured_rsm(trials), predicted_rsm(WORLD.planted, SOME)
    want = rsm_agreement(measured.similarity, predicted, n_boot=100, n_permutations=50, seed=3)
    found = json.loads(out.splitlines()[-1])
    assert found["pearson"] == pytest.approx(vars(want.pearson)) and found["spearman"] == pytest.approx(
        vars(want.spearman)
    )
    assert found["reliability"]["triplets"]["value"] == pytest.approx(rsm_reliability(trials, seed=3).value)
    assert (found["n_pairs"], found["n_trials"], found["third"]) == (66, 220, "subset")
    assert f"Pearson r = {want.pearson.r:.4f}, 95% interval over stimuli [{want.pearson.ci_low:.4f}, " in out
    assert "as if independent" in out and "a lower bound, for 100% of all triplets were asked" in out
    assert "12 stimuli, 66 of 66 pairs, each asked 10 times in 220 trials (choices)" in out
    pairs = pd.read_csv(folder / "made/pairs.csv", dtype={"first": str, "second": str})
    assert len(pairs) == 66 and (pairs["n_trials"] == 10).all()
    first = pairs.iloc[0]
    assert first["measured"] == measured.similarity.loc[first["first"], first["second"]]
    assert first["predicted"] == pytest.approx(predicted.loc[first["first"], first["second"]])
    assert (folder / "made/rsm.png").read_bytes().startswith(b"\x89PNG")


def test_options_choose_stimuli_thirds_probabilities_and_the_order(run, folder):
    code, out, err = run(
        "behavior", "rsm", folder / "space.parquet", folder / "others.parquet", "--stimuli", folder / "ids.txt",
        "--third", "all", "--soft", "--categories", folder / "ratings.csv", "--permutations", 0, "--bootstrap", 20,
        "--figure", folder / "made/all.svg", "--json",
    )  # fmt: skip
    assert code == 0 and "WARNING" not in err
    trials = read_triplets(folder / "others.parquet")
    measured = measured_rsm(trials, SOME[:9], third="all", soft=True)
    want = rsm_agreement(
        measured.similarity, predicted_rsm(WORLD.planted, SOME[:9], third="all"), n_boot=20, n_permutations=0, seed=0
    )
    found = json.loads(out.splitlines()[-1])
    assert found["pearson"]["r"] == pytest.approx(want.pearson.r) and found["pearson"]["p"] is None
    assert (found["n_trials"], found["n_outside"]) == (measured.n_trials, 3000 - measured.n_trials)
    assert "; p = " not in out and "(probabilities); third stimuli: all" in out
    drawn = (folder / "made/all.svg").read_text()
    assert "9 stimuli, by top category" in drawn and "Joy" in drawn


def test_pairs_never_asked_and_a_reliability_that_cannot_be_told_are_said(run, folder):
    few = read_triplets(folder / "answers.parquet")[:12]
    write_triplets(folder / "few.parquet", few)
    code, out, err = run("behavior", "rsm", folder / "space.parquet", folder / "few.parquet", "--bootstrap", 20)
    missing = measured_rsm(few).n_missing
    n = len(few.used_ids()) * (len(few.used_ids()) - 1) // 2
    assert code == 0 and missing > 0
    assert f"WARNING: {missing} of {n} of the pairs were never asked, and are left out." in err
    assert f"{n - missing} of {n} pairs" in out


def test_repeats_give_a_second_reliability(run, folder):
    questions = sample_triplets(SOME, 150, design="repeated", repeats=4, seed=0)
    write_triplets(folder / "repeats.parquet", ask(WORLD.judge(seed=0), questions))
    code, out, _ = run(
        "behavior", "rsm", folder / "space.parquet", folder / "repeats.parquet", "--bootstrap", 20, "--json"
    )
    found = json.loads(out.splitlines()[-1])["reliability"]
    assert code == 0 and found["repeats"]["value"] > found["triplets"]["value"] > 0.3
    assert "The RSMs of halves of the answers to each triplet correlate" in out


def test_components_prints_the_numbers_needed_and_the_fit_to_an_rsm(run, folder):
    code, out, _ = run(
        "behavior", "components", folder / "space.parquet", folder / "others.parquet", "--bootstrap", 100, "--seed", 2,
        "--share", 0.9, "--rsm-answers", folder / "answers.parquet", "--figure", folder / "made/needed.png",
        "--out", folder / "made/curve.csv", "--json",
    )  # fmt: skip
    assert code == 0
    space, trials = read_space(folder / "space.parquet"), read_triplets(folder / "others.parquet")
    want = components_needed(space, trials, shares=[0.9], n_boot=100, seed=2)
    found = json.loads(out.splitlines()[-1])
    assert [row["accuracy"] for row in found["curve"]] == want.curve["accuracy"].tolist()
    assert [row["k"] for row in found["needed"]] == want.needed["k"].tolist()
    by_rsm = rsm_by_components(
        space, measured_rsm(read_triplets(folder / "answers.parquet")).similarity, n_boot=100, seed=2
    )
    assert [row["r"] for row in found["rsm"]] == pytest.approx(by_rsm.curve["r"].tolist())
    zero, chance = want.needed.to_dict("records")
    numbers = [f"{row['k']:.0f} [{row['ci_low']:.0f}, {row['ci_high']:.0f}]" for row in (zero, chance)]
    assert f"90% of it needs the {numbers[0]} largest weights" in out and f"above chance, {numbers[1]}." in out
    assert f"With all 3 components: accuracy {want.curve['accuracy'].iloc[-1]:.4f} [" in out
    assert "r with the RSM of 12 stimuli" in out
    np.testing.assert_allclose(pd.read_csv(folder / "made/curve.csv", index_col=0), want.curve)
    assert (folder / "made/needed.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"options": ["--figure", "x.gif"]}, "use .png or .svg or .pdf"),
        ({"options": ["--out", "x.xlsx"]}, "use .csv"),
        ({"options": ["--third", "none"]}, "Error: --third none is unknown; choose subset or all."),
        ({"plain": True, "options": ["--soft"]}, "plain.parquet: holds no probabilities; leave out --soft."),
        ({"options": ["--level", 1]}, "make no interval"),
        ({"ids": None}, "ids.txt: there is no such file"),
        ({"ids": b""}, "ids.txt: holds no ids; give one id a line"),
        ({"ids": b"\xff\xfe"}, "ids.txt: is not UTF-8 text"),
        ({"ids": b"clip01\nclip02\nclip01\n"}, "ids.txt, row 3: the id 'clip01' was already used in row 1"),
        ({"ids": b"clip01\nclip02\nnobody\n"}, "ids.txt: 1 of 3 stimuli are not in the trials (nobody)"),
        ({"ids": b"clip20\nclip21\nclip22\n"}, "ids.txt: no answered trial is about these stimuli"),
        ({"space": WORLD.planted.iloc[3:]}, "stimuli are not in it (clip01, clip02, clip03)"),
        ({"space": WORLD.planted * 0}, "the second RSM has the same similarity for all of 66 pairs"),
    ],
)
def test_bad_input_ends_with_a_sentence(run, folder, tmp_path, change, expected):
    space = folder / "space.parquet"
    options = change.get("options", [])
    if "ids" in change:
        options = ["--stimuli", tmp_path / "ids.txt"]
        if change["ids"] is not None:
            (tmp_path / "ids.txt").write_bytes(change["ids"])
    if "space" in change:
        space = tmp_path / "other.parquet"
        write_space(space, change["space"], {})
    answers = folder / "answers.parquet"
    if "plain" in change:
        known, answers = read_triplets(answers), tmp_path / "plain.parquet"
        write_triplets(answers, TripletSet(known.triplets, known.ids, known.choice))
    code, out, err = run("behavior", "rsm", space, answers, *options)
    assert code == 2 and out == "" and expected in err and err.startswith("Error: ")


def test_bad_input_to_components_ends_with_a_sentence(run, folder):
    files = (folder / "space.parquet", folder / "others.parquet")
    code, out, err = run("behavior", "components", *files, "--share", 2)
    assert code == 2 and out == "" and "not above 0 and at most 1" in err
    code, out, err = run("behavior", "components", *files, "--rsm-answers", folder / "none.parquet")
    assert code == 2 and out == "" and "none.parquet: there is no such file" in err
