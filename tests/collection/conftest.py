"""A small world for collections: numbered captions, questions about them, and servers that know the right answers."""

import importlib.util
import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from affectome.triplets import sample_triplets


def _load_servers():
    place = Path(__file__).with_name("servers.py")
    spec = importlib.util.spec_from_file_location("affectome_test_servers", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def servers():
    """The module with the local servers and what is true about its captions."""
    return _load_servers()


@pytest.fixture(scope="session")
def world(servers):
    """Captions of 120 clips, and different questions about them."""
    ids = [f"v{k:03d}" for k in range(120)]
    captions = {name: [servers.caption(k)] for k, name in enumerate(ids)}
    return SimpleNamespace(
        ids=ids,
        captions=captions,
        questions=lambda n, seed=0: sample_triplets(ids, n, seed=seed),
    )


def read_rows(journal, statement):
    """Rows of a journal, read beside affectome."""
    connection = sqlite3.connect(f"{Path(journal).resolve().as_uri()}?mode=rw", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.fixture(scope="session")
def rows():
    """Rows of a journal by an SQL statement."""
    return read_rows


@pytest.fixture(scope="session")
def check_answers(servers):
    """Hold every answer of a journal against its own question; give questions answered and given up."""

    def check(journal, questions):
        answers = read_rows(journal, "SELECT question, choice, p_a, p_b, p_c FROM answers")
        triplets = questions.triplets.tolist()
        for question, choice, *p in answers:
            assert choice == servers.true_slot(triplets[question])
            assert p == pytest.approx(servers.true_probabilities(triplets[question]), abs=1e-6)
        failed = [row[0] for row in read_rows(journal, "SELECT question FROM failures")]
        assert len(failed) == len(set(failed))
        return {row[0] for row in answers}, set(failed)

    return check
