"""Judges that a study asks itself: through a journal that outlives kills, dead servers and spent budgets."""

import importlib.util
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affectome.collection import Journal
from affectome.embedding import SPoSE
from affectome.errors import InputError, Interrupted
from affectome.study._engine import run_stages
from affectome.study._plan import Plan
from affectome.study._schema import read_study
from affectome.study._stages import behavior_stages

N = 30
STUDY = """
[study]
name = "Asked"
seed = 1
[stimuli]
path = "stimuli.csv"
[spaces.numbers]
path = "numbers.csv"
[triplets]
train = 600
test = 100
validation = 6
repeated = 30
repeats = 12
[systems.model]
judge = { kind = "file", path = "judge.toml" }
[systems.sure]
judge = { kind = "features", space = "numbers", metric = "euclidean" }
[embedding]
components = 4
n_epochs = 8
[behavior]
bootstrap = 20
permutations = 19
components_needed = false
"""
N_QUESTIONS = 600 + 100 + 20 + 30 * 12
#: A study in a process of its own, which a test may kill.
COMMAND = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from affectome.study._engine import run_stages
from affectome.study._plan import Plan
from affectome.study._schema import read_study
from affectome.study._stages import behavior_stages
path = Path(sys.argv[1])
plan = Plan(read_study(path), path.parent / "results", n_jobs=1)
run_stages(behavior_stages(plan)[:3], plan.results, progress=lambda name, state: lambda *parts, **named: None)
"""


@pytest.fixture(scope="module")
def servers():
    """The module with the local servers and what is true about their captions."""
    place = Path(__file__).parents[1] / "collection/servers.py"
    spec = importlib.util.spec_from_file_location("affectome_study_servers", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path, servers):
    """A folder with a study; the judge file is written for a server."""
    ids = [f"v{k:02d}" for k in range(N)]
    captions = [servers.caption(k) for k in range(N)]
    pd.DataFrame({"id": ids, "caption": captions}).to_csv(tmp_path / "stimuli.csv", index=False)
    pd.DataFrame({"id": ids, "x": np.arange(N), "y": np.arange(N) % 5}).to_csv(tmp_path / "numbers.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def write_judge(project, url, **keys):
    settings = {"kind": "chat", "model": "m", "servers": [url], "mode": "choice", "backoff_s": 0.01, **keys}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    tables = [line for line in lines if line.startswith("prices")]
    lines = [line for line in lines if line not in tables]
    if "prices" in keys:
        lines += ["[prices]", *(f"{name} = {value}" for name, value in keys["prices"].items())]
    (project / "judge.toml").write_text("\n".join(lines) + "\n")


def run(project, *, until=None):
    """The stages about choices: what was found, what ran, and the plan."""
    path = project / "study.toml"
    plan, ran = Plan(read_study(path), project / "results", n_jobs=1), []

    def progress(name, state):
        ran.extend([name] if state == "running" else [])
        return lambda *parts, **named: None

    records = run_stages(behavior_stages(plan)[:until], plan.results, progress=progress, failed=plan.failed)
    return {record.name: record.summary for record in records}, ran, plan


def asked(servers, log):
    """How often the server was asked each question, start-up probes apart."""
    return Counter(entry["q"] for entry in servers.read_log(log.read_bytes()) if entry["q"])


def numbers(row):
    return [int(k) for k in row]


def test_every_question_is_asked_and_repeats_again(project, servers, tmp_path):
    log = tmp_path / "requests.jsonl"
    with servers.running("fault", log) as (url, _):
        write_judge(project, url)
        found, _, plan = run(project)
        counts = asked(servers, log)
        assert sum(counts.values()) == N_QUESTIONS
        # A comment in the judge file asks nobody anything, and changes no answer that others read.
        (project / "judge.toml").write_text("# noted\n" + (project / "judge.toml").read_text())
        _, ran, _ = run(project)
        assert ran == ["answers/model"] and asked(servers, log) == counts
    for part in ("train", "test", "validation", "repeats"):
        answers, questions = plan.trials(f"model_{part}"), plan.trials(part)
        assert (answers.triplets == questions.triplets).all()
        assert answers.choice.tolist() == [servers.true_slot(numbers(row)) for row in questions.triplets]
    shown = Counter("-".join(map(str, row)) for row in plan.trials("repeats").triplets.tolist())
    assert {question: counts[question] for question in shown} == dict(shown)
    assert plan.trials("model_repeats").block.tolist() == plan.trials("repeats").block.tolist()
    system = found["answers/model"]
    assert (system["n_trials"], system["n_answered"], system["n_unanswered"]) == (N_QUESTIONS, N_QUESTIONS, 0)
    assert system["judge"]["described"]["model"] == "m" and system["collection"]["prompt_tokens"] > 0
    bias = np.bincount(np.concatenate([plan.trials(f"model_{part}").choice for part in ("train", "test")]))
    assert system["slot_bias"]["counts"] == bias.tolist()
    # The order shown decides nothing for this judge, but for the probabilities of the two others.
    assert system["slot_prior"]["divided_out"] is True
    np.testing.assert_allclose(system["slot_prior"]["prior"], 1 / 3, atol=0.1)
    assert found["ceiling/model"]["lower"]["value"] == 1 and found["rsm/model"]["n_stimuli"] == 6


def test_a_killed_study_loses_nothing_and_asks_nothing_twice(project, servers, tmp_path):
    log, journal = tmp_path / "requests.jsonl", project / "results/collection/model.sqlite"

    def start():
        return subprocess.Popen([sys.executable, "-c", COMMAND, project / "study.toml"], stderr=subprocess.PIPE)

    def answered():
        try:
            with closing(sqlite3.connect(f"{journal.resolve().as_uri()}?mode=rw", uri=True)) as opened:
                return opened.execute("SELECT count(*) FROM answers").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    with servers.running("fault", log, latency_s=0.1) as (url, _):
        write_judge(project, url, concurrency=16)
        kept = 0
        for number, more in ((signal.SIGKILL, 100), (signal.SIGINT, 100)):
            process, limit = start(), time.monotonic() + 120
            while answered() < kept + more:
                assert process.poll() is None, process.communicate()[1].decode()
                assert time.monotonic() < limit
                time.sleep(0.02)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            assert process.returncode in (-signal.SIGKILL, -signal.SIGINT, 1, 130)
            assert number == signal.SIGKILL or b"KeyboardInterrupt" in err
            assert kept + more <= answered() < N_QUESTIONS
            kept = answered()
        found, _, plan = run(project, until=3)
        counts = asked(servers, log)
    assert found["answers/model"]["n_answered"] == N_QUESTIONS
    # Only what was in flight at the kill was asked again.
    assert N_QUESTIONS <= sum(counts.values()) <= N_QUESTIONS + 16
    train = plan.trials("model_train")
    assert train.choice.tolist() == [servers.true_slot(numbers(row)) for row in train.triplets]


def test_a_dead_server_leaves_its_system_out_and_the_others_go_on(project, servers, tmp_path):
    log = tmp_path / "requests.jsonl"
    with servers.running("fault", log) as (url, _):
        write_judge(project, url, patience_s=0.3, retries=1)
    found, _, plan = run(project)
    reason = plan.failed["answers/model"]
    assert isinstance(reason, Interrupted) and "run the study again" in str(reason)
    assert set(plan.failed) == {f"{kind}/model" for kind in ("answers", "embedding", "accuracy", "ceiling", "rsm")}
    assert found["accuracy/sure"]["value"] > 0.5
    with servers.running("fault", log) as (url, _):
        write_judge(project, url)  # who serves the model is no part of what it says
        found, ran, plan = run(project)
    assert not plan.failed and found["answers/model"]["n_answered"] == N_QUESTIONS
    assert not any("sure" in name for name in ran)


def test_a_spent_budget_is_told_and_a_larger_one_goes_on(project, servers, tmp_path):
    log, study = tmp_path / "requests.jsonl", project / "study.toml"
    study.write_text(STUDY.replace('"judge.toml" }', '"judge.toml", budget = 0.01 }'))
    with servers.running("fault", log) as (url, _):
        write_judge(project, url, prices={"input": 1.0, "output": 1.0}, concurrency=4)
        _, _, plan = run(project, until=3)
        reason = str(plan.failed["answers/model"])
        with Journal.open(project / "results/collection/model.sqlite") as journal:
            answered, cost = journal.totals().n_answered, journal.cost(journal.totals())
        assert 0.01 <= cost < 0.02 and 0 < answered < N_QUESTIONS
        assert f"the budget of 0.01 is spent, with {answered:,} of {N_QUESTIONS:,} questions answered" in reason
        study.write_text(STUDY)
        found, ran, _ = run(project, until=3)
        assert ran == ["answers/model"] and found["answers/model"]["n_answered"] == N_QUESTIONS
        assert sum(asked(servers, log).values()) == N_QUESTIONS
        # A budget is no part of what was answered.
        study.write_text(STUDY.replace('"judge.toml" }', '"judge.toml", budget = 3 }'))
        assert run(project, until=3)[1] == []


def test_soft_fits_learn_from_probabilities(project, servers, tmp_path):
    study = project / "study.toml"
    soft = STUDY.replace('"judge.toml" }', '"judge.toml", soft = true }')
    study.write_text(soft.replace("n_epochs = 8", "n_epochs = 8\nl1 = 0.0\nseeds = 2"))
    with servers.running("fault", tmp_path / "requests.jsonl") as (url, _):
        write_judge(project, url)
        found, _, plan = run(project)
    trials = plan.trials("model_train")
    alone = SPoSE(4, 0.0, n_epochs=8, random_state=plan.seed("embedding", "model"))
    assert np.array_equal(plan.space("model"), alone.fit(trials, trials.probabilities).to_space())
    assert not np.array_equal(plan.space("model"), alone.fit(trials).to_space())
    assert found["reproducibility/model"]["runs"] == ["seed 1", "seed 2"]


def test_another_judge_or_other_questions_never_spend_the_journal(project, servers, tmp_path):
    with servers.running("fault", tmp_path / "requests.jsonl") as (url, _):
        write_judge(project, url)
        run(project, until=3)
        write_judge(project, url, temperature=0.5)
        _, _, plan = run(project, until=3)
        reason = plan.failed["answers/model"]
        assert isinstance(reason, InputError) and "another judge (its temperature differ)" in str(reason)
        assert "move the journal away" in str(reason)
        write_judge(project, url)
        (project / "study.toml").write_text(STUDY.replace("train = 600", "train = 500"))
        _, _, plan = run(project, until=3)
        assert f"belongs to another set of {N_QUESTIONS:,} questions" in str(plan.failed["answers/model"])
