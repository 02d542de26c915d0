"""affectome embed select, as a user types it: tables, figure, sentences, a stop in the middle, wrong options."""

import json
import shlex

import pandas as pd
import pytest

from affectome import SPoSE, read_space, select_embedding, simulate_emotions, write_triplets

TRIALS = simulate_emotions(30, 3, seed=0).sample_answers(3000, seed=1)
OPTIONS = ("--components", "1,3,6", "--l1", "0.003,0.03", "--folds", 3, "--jobs", 1)


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "answers.parquet"
    write_triplets(path, TRIALS)
    return path


def test_from_answers_to_tables_figure_and_the_fit(run, answers, tmp_path):
    out = tmp_path / "selection"
    code, said, err = run("embed", "select", answers, *OPTIONS, "--out", out, "--json")
    assert code == 0 and "Traceback" not in err
    want = select_embedding(TRIALS, components=(1, 3, 6), l1=(0.003, 0.03), n_folds=3, seed=0, n_jobs=1)
    pd.testing.assert_frame_equal(pd.read_csv(out / "summary.csv"), want.summary)
    pd.testing.assert_frame_equal(pd.read_csv(out / "selection.csv"), want.scores)
    assert (out / "selection.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(said.splitlines()[-1])
    assert found["chosen"] == {"n_components": 3, "l1": want.chosen.l1} == vars(want.chosen)
    assert found["best"]["log_loss"] == want.at(want.best)["log_loss"] and found["n_unconverged"] == 0
    row = want.at(want.best)
    assert said.startswith(
        f"Best by held-out log loss: {want.best.n_components} components, l1 {want.best.l1:g} "
        f"({row['n_kept']:.1f} kept): log loss {row['log_loss']:.4f} (SE {row['log_loss_se']:.4f}), "
    )
    assert "Means over 3 folds of triplets, 3,000 answered trials; chance is log loss 1.0986" in said
    assert "The best of 6 settings looks better than it is" in said
    # The command that is named fits what was chosen.
    words = shlex.split(found["fit"])
    assert f"To fit the one-se choice: {found['fit']}" in said
    assert words[:3] == ["affectome", "embed", "fit"] and run(*words[1:])[0] == 0
    model = SPoSE(3, want.chosen.l1, random_state=0).fit(TRIALS)
    assert read_space(out / "space.parquet").shape == (30, model.n_components_)


def test_a_stopped_selection_goes_on_where_it_was(run, answers, tmp_path, monkeypatch):
    from affectome.embedding import _selection

    whole, out = tmp_path / "whole", tmp_path / "stopped"
    run("embed", "select", answers, *OPTIONS, "--out", whole)
    path, started = _selection._Work.path, []

    def stop_at_the_fifth(work, fold, *rest):
        started.append(fold)
        if len(started) == 5:
            raise KeyboardInterrupt
        return path(work, fold, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(_selection._Work, "path", stop_at_the_fifth)
        code, said, err = run("embed", "select", answers, *OPTIONS, "--out", out)
    assert code == 130 and said == "" and "the same command goes on from there" in err
    assert len(list((out / "folds").iterdir())) == 4
    # An answer that is different makes all of it different; the same answers take what was finished.
    code, said, err = run("embed", "select", answers, *OPTIONS, "--out", out)
    assert code == 0 and "4 fitted parts of an earlier run with these settings are reused." in err
    assert (out / "selection.csv").read_bytes() == (whole / "selection.csv").read_bytes()
    code, said, err = run("embed", "select", answers, *OPTIONS, "--seed", 1, "--out", out)
    assert code == 0 and "reused" not in err
    assert (out / "selection.csv").read_bytes() != (whole / "selection.csv").read_bytes()


def test_other_ways_to_hold_out_and_to_choose(run, answers, tmp_path):
    code, said, _ = run(
        "embed", "select", answers, *OPTIONS, "--over", "stimuli", "--criterion", "accuracy", "--rule", "best",
        "--slot-prior", "0.5,0.3,0.2", "--out", tmp_path / "o",
    )  # fmt: skip
    assert code == 0 and "Best by held-out accuracy: " in said and "folds of stimuli" in said
    assert "The slot prior 0.500 / 0.300 / 0.200 of --slot-prior enters the likelihood." in said
    assert "To fit the best choice: affectome embed fit" in said and "--slot-prior 0.5,0.3,0.2 --out" in said


def test_probabilities_are_learned_and_predicted_where_asked(run, answers, tmp_path):
    code, said, _ = run("embed", "select", answers, *OPTIONS, "--soft", "--out", tmp_path / "o")
    assert code == 0 and " --soft --out " in said
    grid = {"components": (1, 3, 6), "l1": (0.003, 0.03), "n_folds": 3, "seed": 0, "n_jobs": 1}
    want = select_embedding(TRIALS, **grid, soft=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "o" / "summary.csv"), want.summary)
    assert want.at(want.best)["log_loss"] != select_embedding(TRIALS, **grid).at(want.best)["log_loss"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--components", "5;10"], "--components 5;10 is no list of numbers"),
        (["--l1", "0.1,a"], "--l1 0.1,a is no list of numbers"),
        (["--components", "0"], "answers.parquet: components=[0] is no grid"),
        (["--over", "people"], "choose triplets or stimuli"),
        (["--rule", "worst"], "choose one-se or best"),
        (["--criterion", "auc"], "choose log_loss or accuracy"),
        (["--folds", "9999"], "cannot be dealt into 9999 folds"),
    ],
)
def test_wrong_options_end_with_a_sentence(run, answers, tmp_path, options, expected):
    code, out, err = run("embed", "select", answers, *OPTIONS, *options, "--out", tmp_path / "o")
    assert code == 2 and out == "" and expected in err


def test_a_missing_file_and_a_busy_folder_are_named(run, answers, tmp_path):
    code, _, err = run("embed", "select", tmp_path / "none.parquet", *OPTIONS, "--out", tmp_path / "o")
    assert code == 2 and "none.parquet: there is no such file" in err
    from affectome._files import held_lock

    (tmp_path / "o").mkdir(exist_ok=True)
    with held_lock(tmp_path / "o" / ".lock", source=tmp_path, busy="", remedy=""):
        code, _, err = run("embed", "select", answers, *OPTIONS, "--out", tmp_path / "o")
    assert code == 3 and "is in use by another selection" in err
