"""Slot bias from the command line: questions in several orders, and a prior that enters the fit."""

import json

import numpy as np
import pytest

from affectome.collection import debias
from affectome.embedding import SPoSE
from affectome.simulation import simulate_emotions
from affectome.spaces import read_space
from affectome.triplets import read_triplets, write_triplets


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


PRIOR = (0.6, 0.3, 0.1)


@pytest.fixture(scope="module")
def answers():
    """Answers of 30 stimuli with probabilities, as if a judge with a slot prior had given them."""
    return simulate_emotions(30, 3, seed=0).sample_answers(3000, seed=1)


@pytest.fixture
def carrying(answers, tmp_path):
    """Hard choices whose file carries a slot prior."""
    hard = debias(answers.with_answers(answers.choice), PRIOR)
    write_triplets(tmp_path / "hard.parquet", hard)
    return tmp_path / "hard.parquet"


def fit(run, source, *options):
    """Fit as a user does; the exit code, what was printed, the JSON line and the space."""
    out = source.with_name("space.parquet")
    out.unlink(missing_ok=True)
    code, shown, err = run("embed", "fit", source, "--components", 3, "--out", out, "--json", *options)
    return code, shown, err, read_space(out) if out.exists() else None


def reference(answers, prior):
    offsets = None if prior is None else tuple(np.log(prior))
    return SPoSE(3, random_state=0, slot_offsets=offsets).fit(answers).embedding_


def test_a_prior_in_the_file_of_hard_choices_enters_the_fit(run, carrying, answers):
    code, shown, _, space = fit(run, carrying)
    assert code == 0
    assert shown.splitlines()[0] == "The slot prior 0.600 / 0.300 / 0.100 of the file enters the likelihood."
    assert json.loads(shown.splitlines()[-1])["slot_prior"] == pytest.approx(PRIOR)
    np.testing.assert_array_equal(space.to_numpy(), reference(answers, PRIOR))
    assert not np.array_equal(space.to_numpy(), reference(answers, None))


def test_the_prior_of_the_file_can_be_left_out_or_replaced(run, carrying, answers):
    code, shown, _, space = fit(run, carrying, "--no-slot-prior")
    assert code == 0 and "slot prior" not in shown and json.loads(shown.splitlines()[-1])["slot_prior"] is None
    np.testing.assert_array_equal(space.to_numpy(), reference(answers, None))
    code, shown, _, space = fit(run, carrying, "--slot-prior", "5,3,2")
    assert code == 0 and "The slot prior 0.500 / 0.300 / 0.200 of --slot-prior enters" in shown
    np.testing.assert_array_equal(space.to_numpy(), reference(answers, [0.5, 0.3, 0.2]))


def test_a_prior_that_was_divided_out_does_not_enter_again(run, answers, tmp_path):
    clean = debias(answers, PRIOR)
    write_triplets(tmp_path / "soft.parquet", clean)
    code, shown, _, space = fit(run, tmp_path / "soft.parquet")
    assert code == 0 and "slot prior" not in shown
    np.testing.assert_array_equal(space.to_numpy(), reference(clean, None))


def test_a_prior_for_triplets_whose_order_is_lost_is_refused(run, answers, tmp_path):
    write_triplets(tmp_path / "t.txt", answers)
    code, _, err, _ = fit(run, tmp_path / "t.txt", "--slot-prior", "0.5,0.3,0.2")
    assert code == 2 and "need the order in which each triplet was shown" in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--slot-prior", "0.5,0.3"), "--slot-prior 0.5,0.3 is not three numbers; give them as 0.5,0.3,0.2."),
        (("--slot-prior", "a,b,c"), "--slot-prior a,b,c is not three numbers"),
        (("--slot-prior", "1,0,0"), "is not three numbers above 0"),
        (("--slot-prior", "1,1,1", "--no-slot-prior"), "--slot-prior and --no-slot-prior exclude each other"),
    ],
)
def test_a_slot_prior_that_cannot_be_is_refused(run, carrying, options, message):
    code, _, err, _ = fit(run, carrying, *options)
    assert code == 2 and message in " ".join(err.split())
