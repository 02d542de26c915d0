"""Ten seeds, as a user types it: runs are kept, reused, refused where they are others', and survive Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from affectome import SPoSE, read_space, write_space, write_triplets
from affectome.embedding import component_reproducibility, consensus_embedding
from affectome.simulation import simulate_emotions

FAST = ("--permutations", 50, "--halves", 4)


@pytest.fixture(scope="module")
def world():
    return simulate_emotions(30, 3, seed=0)


@pytest.fixture
def answers(world, tmp_path):
    path = tmp_path / "answers.parquet"
    write_triplets(path, world.sample_answers(1500, seed=1))
    return path


def fit(run, answers, out, *options):
    small = ("--seeds", 3, "--components", 4, "--l1", 0.01, "--jobs", 1, *FAST)
    return run("embed", "reproducibility", answers, "--out", out, *small, *options)


def test_from_answers_to_table_consensus_and_figure(run, answers, world, tmp_path):
    out = tmp_path / "new" / "reproducibility"
    code, shown, _ = fit(run, answers, out, "--json", "--label", "Simulated", "--seed", 7)
    assert code == 0
    runs = {f"seed {k}": read_space(out / f"runs/seed_0{k}.parquet") for k in range(3)}
    alone = SPoSE(4, 0.01, random_state=2).fit(world.sample_answers(1500, seed=1)).to_space()
    assert np.array_equal(runs["seed 2"], alone)
    result = component_reproducibility(runs, n_null=50, n_halves=4, seed=7)
    pd.testing.assert_frame_equal(pd.read_csv(out / "table.csv"), result.table, check_dtype=False)
    assert len(pd.read_csv(out / "pairs.csv")) == len(result.pairs)
    consensus = consensus_embedding(runs, n_halves=4, seed=7)
    assert np.array_equal(read_space(out / "consensus.parquet"), consensus.space)
    assert np.array_equal(read_space(out / "consensus_sd.parquet"), consensus.sd)
    assert pd.read_csv(out / "consensus.csv", keep_default_na=False)["component"].tolist()[:3] == [
        "component 01", "component 02", "component 03",
    ]  # fmt: skip
    assert (out / "reproducibility.png").read_bytes().startswith(b"\x89PNG")
    assert "Simulated" in (out / "reproducibility.svg").read_text()
    *lines, last = shown.splitlines()
    found = json.loads(last)
    assert found["consensus"]["n_components"] == consensus.space.shape[1]
    overall = result.summary[result.summary["run"] == "all"]["median"].tolist()
    assert [row["median"] for row in found["summary"][-3:]] == overall
    assert lines[0].startswith("3 runs of ") and lines[0].endswith(" components about 30 stimuli.")
    assert lines[1].startswith(f"Best match: median r {overall[0]:.3f}, ")
    assert "p <= 0.05, family-wise over the components of a run" in lines[1]
    assert lines[2].startswith(f"Split half: median r {overall[1]:.3f}, ")
    assert lines[-1].startswith(f"Consensus: {consensus.space.shape[1]} of the ")


def test_runs_are_reused_and_only_missing_ones_fitted(run, answers, tmp_path):
    out = tmp_path / "out"
    assert fit(run, answers, out, "--seeds", 2)[0] == 0
    runs = sorted((out / "runs").iterdir())
    before = [path.stat().st_mtime_ns for path in runs]
    runs[0].with_name(".seed_07.parquet.ab12.tmp.parquet").write_bytes(b"cut short by a kill")
    code, _, err = fit(run, answers, out)
    assert code == 0 and "2 of 3 runs are there already." in err
    assert [path.stat().st_mtime_ns for path in runs] == before
    assert [path.name for path in sorted((out / "runs").glob("seed*"))] == [f"seed_0{k}.parquet" for k in range(3)]
    first = (out / "table.csv").read_bytes()
    code, _, err = fit(run, answers, out, "--jobs", 2)
    assert code == 0 and "3 of 3 runs are there already." in err
    assert (out / "table.csv").read_bytes() == first


def test_the_number_of_jobs_changes_no_result(run, answers, tmp_path):
    for jobs in (1, 2):
        assert fit(run, answers, tmp_path / f"out{jobs}", "--jobs", jobs)[0] == 0
    for name in ("table.csv", "pairs.csv", "consensus.csv", "consensus.parquet", "reproducibility.png"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out2" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--l1", 0.02), "seed_00.parquet: is a run of l1 0.01, not 0.02; choose another --out, or delete its runs"),
        (("--components", 5), "is a run of components 4, not 5"),
        (("--slot-prior", "0.5,0.3,0.2"), "is a run of slot_prior None, not [0.5, 0.3, 0.2]"),
    ],
)
def test_runs_of_other_settings_are_refused(run, answers, tmp_path, options, expected):
    fit(run, answers, tmp_path / "out", "--seeds", 2)
    code, _, err = fit(run, answers, tmp_path / "out", *options)
    assert code == 2 and expected in err


def test_runs_of_other_triplets_and_files_of_others_are_refused(run, answers, world, tmp_path):
    out = tmp_path / "out"
    fit(run, answers, out, "--seeds", 2)
    write_triplets(answers, world.sample_answers(1500, seed=2))
    code, _, err = fit(run, answers, out)
    assert code == 2 and "seed_00.parquet: is a run of other triplets" in err
    other = tmp_path / "other"
    (other / "runs").mkdir(parents=True)
    write_space(other / "runs" / "mine.parquet", world.planted)
    code, _, err = fit(run, answers, other)
    assert code == 2 and "mine.parquet: is no run of this command; choose another --out" in err


def test_spaces_that_are_fitted_are_taken_by_name_pattern_or_folder(run, answers, tmp_path):
    fit(run, answers, tmp_path / "out")
    folder = tmp_path / "out" / "runs"
    tables = []
    for k, files in enumerate(([folder], [folder / "seed_*.parquet"], sorted(folder.glob("*.parquet")))):
        out = tmp_path / f"again{k}"
        code, shown, _ = run(
            "embed", "reproducibility", "--runs", *files, "--out", out, *FAST, "--reference", "seed_01"
        )
        assert code == 0 and shown.startswith("3 runs of ")
        assert not (out / "runs").exists()
        tables.append(pd.read_csv(out / "table.csv"))
        pd.testing.assert_frame_equal(tables[0], tables[-1])
    first = pd.read_csv(tmp_path / "out" / "table.csv")
    assert tables[0]["best_match"].tolist() == first["best_match"].tolist()
    assert tables[0]["run"].unique().tolist() == ["seed_00", "seed_01", "seed_02"]


def test_same_spaces_are_told_and_a_missing_consensus_leaves_no_old_one(run, world, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        noise = world.planted * 0 + rng.random(world.planted.shape)
        write_space(tmp_path / f"{name}.parquet", world.planted if name != "c" else noise)
    same = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    code, shown, err = run("embed", "reproducibility", "--runs", *same, "--out", tmp_path / "out", *FAST)
    assert code == 0 and "'a' and 'b' are the same, to the last digit" in err
    assert "3 pairs of components correlate above .9999 and count as .9999." in shown
    assert (tmp_path / "out" / "consensus.parquet").exists()
    apart = [tmp_path / "a.parquet", tmp_path / "c.parquet"]
    code, shown, _ = run("embed", "reproducibility", "--runs", *apart, "--out", tmp_path / "out", *FAST)
    assert code == 0 and "Consensus: 0 of the 3 components" in shown and "so there is none." in shown
    assert not list((tmp_path / "out").glob("consensus*.parquet"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["a.parquet", "b.parquet"], "2 triplet files are named; name one, or say --runs for fitted spaces"),
        (["gone.parquet"], "gone.parquet: there is no such file"),
        (["--runs", "a.parquet"], "a.parquet: is the only run; name at least two"),
        (["--runs", "nothing*.parquet"], "nothing*.parquet: names no .parquet file"),
        (["--runs", "a.parquet", "b.parquet", "--l1", "0.1"], "--l1 is about fits, and --runs takes spaces"),
        (["--runs", "a.parquet", "b.parquet", "--reference", "x"], "there is no run 'x'; name one of a, b"),
        (["--runs", "a.parquet", "b.parquet", "--level", "2"], "level=2.0 are not accepted"),
        (["--runs", "a.parquet", "other.parquet"], "other: 3 stimuli of 'a' are missing"),
        (
            ["answers.parquet", "--l1", "1000000"],
            "every component of seed 0 vanished; give more triplets or a lower --l1",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Seed 0. Every component vanished")
def test_wrong_input_ends_with_a_sentence(run, answers, world, tmp_path, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, keep in (("a", 30), ("b", 30), ("other", 27)):
        write_space(f"{name}.parquet", (world.planted + rng.random(world.planted.shape)).iloc[:keep])
    jobs = () if "--runs" in options else ("--jobs", 1)
    code, shown, err = run("embed", "reproducibility", *options, "--out", "out", *FAST, *jobs, "--quiet")
    assert code == 2 and shown == "" and expected in err


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interrupted_command_keeps_what_is_fitted_and_goes_on_from_there(run, world, tmp_path, jobs):
    answers, out = tmp_path / "answers.parquet", tmp_path / "out"
    write_triplets(answers, world.sample_answers(4060, seed=1))
    command = [
        "embed",
        "reproducibility",
        answers,
        "--out",
        out,
        "--seeds",
        40,
        "--components",
        4,
        "--jobs",
        jobs,
        *FAST,
    ]
    # A shell in the background hands down an ignored SIGINT.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from affectome.cli import main; sys.exit(main())"
    )
    arguments = [sys.executable, "-c", program, *(str(part) for part in command)]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while len(list(out.glob("runs/seed_*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, err = process.communicate(timeout=60)
    done = sorted(out.glob("runs/seed_*.parquet"))
    assert process.returncode == 130, err
    assert 2 <= len(done) < 40
    assert "Interrupted; files that were finished are kept" in err
    if jobs == 1:  # a worker that is only just starting may still speak up
        assert "Traceback" not in err
    assert not list(out.glob("runs/.*")) and not (out / "table.csv").exists()
    spaces = [read_space(path) for path in done]
    code, _, err = run(*command[:6], len(done) + 1, *command[7:])
    assert code == 0 and "runs are there already." in err
    assert all(read_space(path).equals(space) for path, space in zip(done, spaces, strict=True))
