"""The commands as a user types them: what they print, which code they end with, what they leave on disk."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectome.cli._common import command
from affectome.simulation import simulate_emotions, write_simulated_tables
from affectome.study import run_study
from affectome.triplets import TripletSet, read_triplets, write_triplets


def test_the_five_steps_lead_from_ratings_to_a_score(run, world, tmp_path):
    assert run("stimuli", "check", world / "stimuli.csv", "--ratings", world / "category.csv")[0] == 0
    questions, answers, space = tmp_path / "q.parquet", tmp_path / "a.parquet", tmp_path / "s.parquet"
    assert run("triplets", "sample", world / "stimuli.csv", "--n", 3000, "--seed", 1, "--out", questions)[0] == 0
    assert run("triplets", "judge", questions, "--space", world / "category.csv", "--out", answers)[0] == 0
    assert run("embed", "fit", answers, "--components", 3, "--out", space)[0] == 0
    code, out, _ = run("behavior", "score", space, answers, "--json")
    assert code == 0
    score = json.loads(out.splitlines()[-1])
    assert 0.9 < score["ci_low"] <= score["value"] <= score["ci_high"] <= 1
    assert score["n_triplets"] == 3000


def test_stimuli_check_counts_and_warns(run, world):
    code, out, _ = run("stimuli", "check", world / "stimuli.csv", "--ratings", world / "category.csv", "--json")
    report = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (report["n_stimuli"], report["n_captions"]) == (30, 90)
    assert report["spaces"]["category"][0] == 3


def test_exhaustive_questions_about_a_subset(run, world, tmp_path):
    out = tmp_path / "q.parquet"
    assert (
        run("triplets", "sample", world / "stimuli.csv", "--design", "exhaustive", "--subset", 6, "--out", out)[0] == 0
    )
    assert len(read_triplets(out)) == 20


def csv(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def odd_last(path, text="0 1 2\n2 1 0\n"):
    return csv(path, text)


BAD_INPUT = {
    "missing column": (
        lambda t: ("stimuli", "check", csv(t / "x.csv", "name,caption\na,b\n")),
        ["x.csv", "no column 'id'", "add it"],
    ),
    "duplicate id": (
        lambda t: ("stimuli", "check", csv(t / "x.csv", "id\na\nb\na\n")),
        ["x.csv", "row 3", "'a' was already used in row 1", "rename"],
    ),
    "missing rating": (
        lambda t: (
            "stimuli",
            "check",
            csv(t / "x.csv", "id\na\nb\n"),
            "--ratings",
            csv(t / "r.csv", "id,Joy\na,1\nb,\n"),
        ),
        ["r.csv", "row 2 (id b)", "column 'Joy' is missing", "fill it in"],
    ),
    "NaN rating": (
        lambda t: (
            "stimuli",
            "check",
            csv(t / "x.csv", "id\na\nb\n"),
            "--ratings",
            csv(t / "r.csv", "id,Joy\na,NaN\nb,2\n"),
        ),
        ["r.csv", "row 1 (id a)", "'Joy'"],
    ),
    "ids that do not match": (
        lambda t: (
            "stimuli",
            "check",
            csv(t / "x.csv", "id\na\nb\n"),
            "--ratings",
            csv(t / "r.csv", "id,Joy\na,1\nc,2\n"),
        ),
        ["x.csv", "r.csv", "(b)", "make the ids match"],
    ),
    "no such file": (
        lambda t: ("stimuli", "check", t / "nowhere.csv"),
        ["nowhere.csv", "no such file", "check the path"],
    ),
    "empty triplet file": (
        lambda t: ("embed", "fit", odd_last(t / "t.txt", ""), "--out", t / "s.parquet"),
        ["t.txt", "holds no triplets"],
    ),
    "index out of range": (
        lambda t: ("embed", "fit", odd_last(t / "t.txt", "0 1 2\n0 1 7\n"), "--n-stimuli", 5, "--out", t / "s.parquet"),
        ["t.txt", "row 2", "index 7 is out of range", "5 stimuli"],
    ),
    "torn last line": (
        lambda t: ("embed", "fit", odd_last(t / "t.txt", "0 1 2\n0 1 3\n0 2"), "--out", t / "s.parquet"),
        ["t.txt", "row 3", "'0 2' is not three stimulus indices", "torn", "complete or delete"],
    ),
    "truncated parquet": (
        lambda t: ("embed", "fit", csv(t / "t.parquet", "PAR1 and then nothing"), "--out", t / "s.parquet"),
        ["t.parquet", "cut short", "again"],
    ),
    "unknown design": (
        lambda t: (
            "triplets",
            "sample",
            csv(t / "x.csv", "id\na\nb\nc\n"),
            "--n",
            1,
            "--design",
            "odd",
            "--out",
            t / "q.parquet",
        ),
        ["'odd' is no triplet design", "random"],
    ),
    "unanswered triplets": (
        lambda t: ("embed", "fit", questions(t / "q.parquet"), "--out", t / "s.parquet"),
        ["no answered triplet", "choices"],
    ),
}


def questions(path):
    write_triplets(path, TripletSet([[0, 1, 2]], ids=["a", "b", "c"]))
    return path


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_ends_with_code_2_and_one_sentence(case, run, tmp_path):
    arguments, expected = BAD_INPUT[case]
    code, out, err = run(*arguments(tmp_path), "--quiet")
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("Error: ") and err.endswith(".\n")
    for part in expected:
        assert part in err


def test_unwritable_output_ends_with_code_3(run, world, tmp_path):
    blocked = csv(tmp_path / "file", "not a folder") / "q.parquet"
    code, out, err = run("triplets", "sample", world / "stimuli.csv", "--n", 10, "--out", blocked, "--quiet")
    assert (code, out) == (3, "")
    assert "cannot be written" in err and "choose another place" in err
    assert err.count("\n") == 1


def test_a_bug_ends_with_code_1_and_a_traceback_in_a_file(run, world, tmp_path, monkeypatch):
    monkeypatch.setattr("affectome.triplets.sample_triplets", lambda *a, **k: 1 / 0)
    code, _, err = run("triplets", "sample", world / "stimuli.csv", "--n", 10, "--out", tmp_path / "q.parquet")
    assert code == 1
    path = err.split("details are in ")[1].split(";")[0]
    with open(path) as log:
        assert "ZeroDivisionError" in log.read()
    Path(path).unlink()


def test_a_usage_error_ends_with_code_2(run):
    assert run("embed", "fit")[0] == 2
    assert run("embed", "nonsense")[0] == 2


def test_every_command_has_help_with_an_example(run):
    names = [
        "demo",
        "study run",
        "stimuli check",
        "triplets sample",
        "triplets judge",
        "embed fit",
        "behavior score",
    ]
    for name in names:
        code, out, _ = run(*name.split(), "--help")
        assert code == 0
        assert f"Example: affectome {name}" in " ".join(out.split())


@pytest.mark.usefixtures("quick_figures")
def test_demo_recovers_what_was_planted_and_its_log_file_keeps_what_quiet_hides(run, tmp_path, monkeypatch):
    # The demo with every analysis is a slow test, of its report.
    few = {"interpretation.analyses": ["components", "correlations"], "interpretation.comparisons": ["rsa"]}
    monkeypatch.setattr("affectome.study.run_study", partial(run_study, overrides=few))
    log = tmp_path / "logs" / "run.log"
    code, out, _ = run("demo", "--out", tmp_path / "demo", "--quiet", "--json", "--log-file", log)
    assert code == 0
    assert "Stage embedding/observer runs" in log.read_text()
    report = json.loads(out.splitlines()[-1])
    assert len(report["recovery"]) == 8
    assert min(report["recovery"].values()) >= 0.9
    assert "8 of 8 with r of at least .90" in out
    accuracy = report["summary"]["systems"]["observer"]["held_out_accuracy"]
    assert accuracy["ci_low"] > 0.65


# Where the tests themselves run in the background, Ctrl-C is ignored by inheritance.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from affectome.cli import main
raise SystemExit(main())
"""


STOPPED = """
[study]
name = "Stopped"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.category]
path = "category.csv"
[triplets]
train = 20_000
test = 2_000
[systems.first]
judge = { kind = "features", space = "category" }
[systems.second]
judge = { kind = "features", space = "category", metric = "dot" }
[embedding]
components = 3
[interpretation]
analyses = []
comparisons = []
"""


def test_ctrl_c_ends_with_code_130_and_the_next_run_goes_on(tmp_path):
    write_simulated_tables(simulate_emotions(60, 3, seed=0), tmp_path)
    (tmp_path / "study.toml").write_text(STOPPED, encoding="utf-8")
    command = [sys.executable, "-c", INTERRUPTIBLE, "study", "run", str(tmp_path / "study.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    record = tmp_path / "results" / ".affectome" / "stages" / "answers.first.json"
    deadline = time.monotonic() + 120
    while not record.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "Stage questions is up to date" in finished.stderr
    assert not list(tmp_path.rglob("*.tmp*"))


def test_odd_last_text_feeds_a_fit(run, tmp_path):
    trials = simulate_emotions(12, 2, seed=0).sample_answers(150, seed=0)
    write_triplets(tmp_path / "t.txt", trials)
    assert run("embed", "fit", tmp_path / "t.txt", "--components", 2, "--out", tmp_path / "s.csv", "--quiet")[0] == 0
    space = pd.read_csv(tmp_path / "s.csv", index_col="id")
    assert space.shape[0] == 12
    assert (space.to_numpy() >= 0).all()
    assert np.isfinite(space.to_numpy()).all()


def test_ctrl_c_in_compiled_code_is_no_mistake_of_ours(capsys):
    @command
    def fitted():
        raise SystemError("a function returned a result with an exception set") from KeyboardInterrupt()

    with pytest.raises(SystemExit) as end:
        fitted()
    assert end.value.code == 130 and "Interrupted; files that were finished" in capsys.readouterr().err
