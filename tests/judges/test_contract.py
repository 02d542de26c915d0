"""What every judge promises; a new judge joins the list and passes."""

import json
import pickle
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.judges import FeatureJudge, Judge, LocalJudge, ask
from affectome.triplets import TripletSet, read_triplets, write_triplets

#: Name -> a judge of the stimuli of a space, with a seed.
JUDGES = {
    "features": lambda space, seed: FeatureJudge(space, seed=seed),
    "features, correlation of z-scores": lambda space, seed: FeatureJudge(
        space, metric="correlation", standardise="zscore", seed=seed
    ),
    "features, noisy": lambda space, seed: FeatureJudge(space, temperature=0.5, seed=seed),
    "features, noisy distances": lambda space, seed: FeatureJudge(
        space, metric="euclidean", standardise="minmax", temperature=1.0, seed=seed
    ),
}


#: A model of random weights that reads captions made of a stimulus's features.
LOCAL = "local, drawn"


@pytest.fixture(params=[*JUDGES, LOCAL])
def make_judge(request):
    return JUDGES[request.param] if request.param in JUDGES else request.getfixturevalue("make_local_judge")


@pytest.fixture
def make_local_judge(tiny_llama, tmp_path):
    prompt = tmp_path / "short.j2"
    shown = " ".join(f"{{{{ labels[{slot}] }}}} : {{{{ stimuli[{slot}] }}}} ." for slot in range(3))
    prompt.write_text(f"{{% block turn1 %}}{shown}{{% endblock %}}{{% block clarify %}}Again.{{% endblock %}}")

    def make(space, seed):
        captions = {i: [" ".join(f"w{abs(int(10 * value)) % 40}" for value in row)] for i, row in space.T.items()}
        return LocalJudge(tiny_llama, captions, prompt=str(prompt), decision="sample", seed=seed, batch_size=256)

    return make


@pytest.fixture
def judge(make_judge, space):
    return make_judge(space, 7)


def assert_same_answers(one, other):
    np.testing.assert_array_equal(one.choice, other.choice)
    assert (one.probabilities is None) == (other.probabilities is None)
    if one.probabilities is not None:
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_a_judge_follows_the_protocol(judge):
    assert isinstance(judge, Judge)
    described = dict(judge.describe())
    assert isinstance(described["kind"], str)
    assert json.loads(json.dumps(described, allow_nan=False)) == described


def test_every_question_gets_one_answer(judge, questions):
    answers = judge.answer(questions)
    assert answers.choice.dtype == np.int8 and answers.choice.shape == (len(questions),)
    assert np.isin(answers.choice, (-1, 0, 1, 2)).all()
    if answers.probabilities is not None:
        assert answers.probabilities.dtype == np.float32 and answers.probabilities.shape == (len(questions), 3)
        assert (answers.probabilities >= 0).all()
        np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1, atol=1e-5)


def test_no_questions_get_no_answers(judge, questions):
    assert len(ask(judge, questions[:0])) == 0


def test_the_same_seed_gives_the_same_answers_even_in_another_process(make_judge, space, questions):
    once = make_judge(space, 7).answer(questions)
    assert_same_answers(make_judge(space, 7).answer(questions), once)
    assert_same_answers(pickle.loads(pickle.dumps(make_judge(space, 7))).answer(questions), once)


def test_stimuli_are_looked_up_by_id_not_by_place(make_judge, space, questions):
    order = np.random.default_rng(0).permutation(questions.n_stimuli)
    renumbered = TripletSet(np.argsort(order)[questions.triplets], [questions.ids[k] for k in order])
    once, other = (make_judge(space, 7).answer(asked) for asked in (questions, renumbered))
    assert_same_answers(make_judge(space.iloc[order[::-1]], 7).answer(questions), once)
    if once.probabilities is None:
        assert_same_answers(other, once)
        return
    # Noise belongs to the batch as it was numbered: the distribution is the same, the draws are other ones.
    np.testing.assert_array_equal(other.probabilities, once.probabilities)
    by_chance = (once.probabilities.astype(np.float64) ** 2).sum(axis=1).mean()
    assert (other.choice == once.choice).mean() == pytest.approx(by_chance, abs=4 * 0.5 / np.sqrt(len(questions)))


def test_the_slot_does_not_matter(judge, space):
    if isinstance(judge, LocalJudge):
        pytest.skip("a language model, untrained or not, prefers some slots: that is measured, not promised")
    orders = list(permutations([3, 8, 21]))
    asked = TripletSet(np.repeat(orders, 3000, axis=0), space.index)
    answers = judge.answer(asked)
    odd = np.take_along_axis(asked.triplets, answers.choice[:, None].astype(int), axis=1).reshape(len(orders), -1)
    shares = np.array([[(row == stimulus).mean() for stimulus in (3, 8, 21)] for row in odd])
    assert np.ptp(shares, axis=0).max() < 5 * np.sqrt(2 * 0.25 / 3000)  # no order differs beyond its sampling error


def test_choices_scatter_as_the_probabilities_say(judge, questions):
    answers = judge.answer(questions)
    if answers.probabilities is None:
        pytest.skip("this judge gives no probabilities")
    chosen = answers.probabilities[np.arange(len(questions)), answers.choice].astype(np.float64)
    expected = (answers.probabilities.astype(np.float64) ** 2).sum(axis=1)
    # The mean probability of what was chosen has this expectation; a judge that always takes the likeliest exceeds it.
    assert chosen.mean() == pytest.approx(expected.mean(), abs=4 * 0.5 / np.sqrt(len(questions)))
    assert answers.probabilities.max(axis=1).mean() > expected.mean() + 0.05


def test_progress_is_told_and_ends_at_all(judge, questions):
    told = []
    judge.answer(questions, progress=lambda done, total, detail="": told.append((done, total)))
    assert told[-1] == (len(questions), len(questions)) and told == sorted(told)


def test_unknown_stimuli_are_named(judge):
    asked = TripletSet([[0, 1, 2]], ids=["s00", "s01", "nobody"])
    with pytest.raises(InputError, match=r"1 of 3 stimuli are not in it \(nobody\); make the ids match"):
        judge.answer(asked)


def test_what_was_answered_can_be_written_and_read_with_the_judge(judge, questions, tmp_path):
    answered = ask(judge, questions)
    write_triplets(tmp_path / "t.parquet", answered)
    read = read_triplets(tmp_path / "t.parquet")
    assert read.metadata["judge"] == dict(judge.describe())
    assert_same_answers(read, answered)


def test_a_judge_does_not_change_what_it_was_given(make_judge, space, questions):
    before = space.copy()
    triplets = questions.triplets.copy()
    make_judge(space, 7).answer(questions)
    pd.testing.assert_frame_equal(space, before)
    np.testing.assert_array_equal(questions.triplets, triplets)
