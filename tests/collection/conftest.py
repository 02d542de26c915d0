"""What the tests of collections share: replies, and a small world of numbered captions whose answers are known."""

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from affectome.judges import Reply
from affectome.triplets import sample_triplets, write_triplets

# Where the tests themselves run in the background, Ctrl-C is ignored by inheritance.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from affectome.cli import main
raise SystemExit(main())
"""


@pytest.fixture(scope="session")
def questions():
    """Two hundred different triplets of fifteen stimuli."""
    return sample_triplets([f"s{k:02d}" for k in range(15)], 200, seed=0)


@pytest.fixture(scope="session")
def judge_facts():
    return {"kind": "chat", "model": "m", "prompt": {"name": "choice", "sha256": "0"}}


@pytest.fixture(scope="session")
def make_reply():
    """A reply to a question, different for every question and the same every time."""

    def make(question, *, soft=True, text=None, failure=None):
        rng = np.random.default_rng(question)
        p = rng.dirichlet([1, 1, 1])
        return Reply(
            -1 if failure else int(p.argmax()),
            tuple(p) if soft and not failure else None,
            mass=0.9 if soft and not failure else None,
            text="ABC"[p.argmax()] if text is None else text,
            prompt_tokens=100,
            completion_tokens=2,
            cached_tokens=60,
            latency=0.25,
            model="m-1",
            server="http://a/v1",
            failure=failure,
        )

    return make


# -- servers in other processes ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def servers():
    """The module with the local servers and what is true about their captions."""
    place = Path(__file__).with_name("servers.py")
    spec = importlib.util.spec_from_file_location("affectome_test_servers", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def world(servers):
    """Captions of 120 clips, and different questions about them."""
    ids = [f"v{k:03d}" for k in range(120)]
    return SimpleNamespace(
        ids=ids,
        captions={name: [servers.caption(k)] for k, name in enumerate(ids)},
        questions=lambda n: sample_triplets(ids, n, seed=0),
    )


class Study:
    """A folder with questions, stimuli and a judge file, and the commands that a user gives there."""

    def __init__(self, folder, world, n_questions):
        self.folder = folder
        self.questions = world.questions(n_questions)
        self.journal = folder / "journal.sqlite"
        self.log = folder / "requests.jsonl"
        write_triplets(folder / "questions.parquet", self.questions)
        stimuli = pd.DataFrame({"id": world.ids, "caption": [world.captions[name][0] for name in world.ids]})
        stimuli.to_csv(folder / "stimuli.csv", index=False)

    def judge(self, url, **keys):
        """Write the judge file."""
        settings = {"kind": "chat", "model": "m", "servers": [url], "stimuli": "stimuli.csv", "mode": "choice", **keys}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        (self.folder / "judge.toml").write_text("\n".join(lines) + "\n")

    def start(self, *options, environment=None, journal=None):
        """Begin 'collect run' in a process of its own."""
        command = ["collect", "run", "questions.parquet", "--judge", "judge.toml"]
        return self.begin(*command, "--journal", journal or self.journal.name, *options, environment=environment)

    def begin(self, *arguments, environment=None):
        """Begin any command in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, *(str(part) for part in arguments)],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options, **named):
        """'collect run' to its end: exit code, stdout and stderr."""
        return ended(self.start(*options, **named))

    def answered(self):
        """Questions that are answered on disk."""
        return {row[0] for row in read_rows(self.journal, "SELECT question FROM answers")}


def ended(process, timeout=120):
    """Exit code, stdout and stderr of a process, which is killed where it takes too long."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out, err


@pytest.fixture(name="ended", scope="session")
def _ended():
    """Wait for a process: exit code, stdout and stderr."""
    return ended


@pytest.fixture
def study(tmp_path, world):
    """Make a folder with so many questions."""
    return lambda n_questions: Study(tmp_path, world, n_questions)


def read_rows(journal, statement):
    connection = sqlite3.connect(f"{Path(journal).resolve().as_uri()}?mode=rw", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def rows():
    """Rows of a journal by an SQL statement, read beside affectome."""
    return read_rows


@pytest.fixture(scope="session")
def check_answers(servers):
    """Hold every answer of a journal against its own question; give the questions answered and those given up."""

    def check(journal, questions):
        answers = read_rows(journal, "SELECT question, choice, p_a, p_b, p_c FROM answers")
        triplets = questions.triplets.tolist()
        for question, choice, *p in answers:
            assert choice == servers.true_slot(triplets[question])
            assert np.abs(np.subtract(p, servers.true_probabilities(triplets[question]))).max() < 1e-6
        failed = [row[0] for row in read_rows(journal, "SELECT question FROM failures")]
        assert len(failed) == len(set(failed))
        return {row[0] for row in answers}, set(failed)

    return check
