"""Asking puts the answers of any judge and its description beside the questions."""

import numpy as np
import pytest

from affectome.errors import InputError
from affectome.judges import Answers, Judge, ask


class FirstSlot:
    """Calls slot 0 odd, with probabilities if told so; leaves the last question unanswered."""

    def __init__(self, probabilities=None):
        self.probabilities = probabilities

    def describe(self):
        return {"kind": "first slot"}

    def answer(self, questions, *, progress=None):
        choice = np.zeros(len(questions), np.int8)
        choice[-1] = -1
        if progress is not None:
            progress(len(questions), len(questions))
        return Answers(choice, self.probabilities)


def test_anything_with_the_two_methods_is_a_judge_and_nothing_else():
    assert isinstance(FirstSlot(), Judge)
    assert not isinstance(object(), Judge)
    assert not isinstance(Answers(np.zeros(1, np.int8)), Judge)


def test_ask_keeps_the_questions_and_adds_answers_and_judge(questions):
    calls = []
    asked = ask(FirstSlot(), questions, progress=lambda done, total, detail="": calls.append((done, total)))
    np.testing.assert_array_equal(asked.triplets, questions.triplets)
    np.testing.assert_array_equal(asked.block, questions.block)
    assert asked.choice[:-1].tolist() == [0] * (len(questions) - 1) and asked.choice[-1] == -1
    assert asked.metadata == {**questions.metadata, "judge": {"kind": "first slot"}}
    assert calls == [(2000, 2000)]
    assert not questions.answered.any() and "judge" not in questions.metadata


def test_ask_refuses_answers_that_are_no_probabilities(questions):
    wrong = np.full((len(questions), 3), 0.5)
    with pytest.raises(InputError, match=r"row 1: the probabilities .* do not sum to 1"):
        ask(FirstSlot(wrong), questions)
