"""Slot bias from the command line: questions in several orders, and a prior that enters the fit."""

import json

import numpy as np
import pytest

from affectome.simulation import simulate_emotions, write_simulated_tables
from affectome.triplets import read_triplets


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_simulated_tables(simulate_emotions(30, 3, seed=0), folder)
    return folder


def test_sample_says_how_many_questions_the_orders_make(run, world, tmp_path):
    out = tmp_path / "q.parquet"
    code, shown, _ = run(
        "triplets", "sample", world / "stimuli.csv", "--n", 1000, "--orders", 6, "--orders-share", 0.1, "--out", out,
        "--json",
    )  # fmt: skip
    assert code == 0
    first, last = shown.splitlines()[0], shown.splitlines()[-1]
    assert first == (f"1,500 questions (1,000 different triplets, 100 of them in 6 orders) about 30 stimuli: {out}")
    assert json.loads(last)["n_trials"] == 1500 and json.loads(last)["n_different"] == 1000
    counts = np.unique(read_triplets(out).keys(), return_counts=True)[1]
    assert (counts == 6).sum() == 100 and (counts == 1).sum() == 900
