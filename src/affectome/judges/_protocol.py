"""What every judge does, and the one place that asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome.triplets import TripletSet

__all__ = ["Answers", "Judge", "ask"]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a judge says to a batch of questions.

    Attributes
    ----------
    choice : int8 array of shape (n_trials,)
        Slot of the odd one, -1 where the judge gave no answer.
    probabilities : float32 array of shape (n_trials, 3), or None
        The judge's probability that each slot is the odd one, where it can say.
    """

    choice: NDArray[np.int8]
    probabilities: NDArray[np.float32] | None = None


@runtime_checkable
class Judge(Protocol):
    """Anything that names the odd one out.

    A judge looks stimuli up by id (``questions.ids``), never by slot or by place in the batch: the same trial gets the
    same distribution of answers wherever it stands.
    """

    def describe(self) -> Mapping[str, Any]:
        """Its settings as JSON values, for the metadata of what it answered."""
        ...

    def answer(self, questions: TripletSet, *, progress: Progress | None = None) -> Answers:
        """One answer per question, in the order of the questions."""
        ...


def ask(judge: Judge, questions: TripletSet, *, progress: Progress | None = None) -> TripletSet:
    """Put questions to a judge.

    Returns
    -------
    TripletSet
        The questions with choices (and probabilities), and the judge in their metadata.
    """
    answers = judge.answer(questions, progress=progress)
    return questions.with_answers(answers.choice, answers.probabilities, {"judge": dict(judge.describe())})
