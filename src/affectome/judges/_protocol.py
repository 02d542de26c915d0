"""What every judge does, and the one place that asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from affectome._progress import Progress
from affectome.triplets import TripletSet

__all__ = ["Answers", "Judge", "Reply", "ask", "as_answers"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one question put to a model, with all that is worth keeping of it.

    Attributes
    ----------
    choice : int
        Slot of the odd one, or -1 where the model named none.
    probabilities : three floats, or None
        Probability of each slot being odd; they sum to 1.
    mass : float or None
        Probability that the model gave to the three labels together, before `probabilities` were normalised;
        None where it is not known.
    text : str
        The raw reply; where the model was spoken to several times, its replies in order as a JSON list.
    prompt_tokens, completion_tokens, cached_tokens : int
        Summed over the turns; cached ones are among the prompt's.
    latency : float
        Seconds the model took, waiting for retries apart.
    attempts : int
        Times the model was asked for its choice, clarifying turns included.
    model, server : str
        The model as the server named it, and which server that was.
    failure : str or None
        Why there is no choice, beginning with its kind, as in ``"unparsed: names two slots"``; None where there is one.
    """

    choice: int
    probabilities: tuple[float, float, float] | None = None
    mass: float | None = None
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    latency: float = 0.0
    attempts: int = 1
    model: str = ""
    server: str = ""
    failure: str | None = None


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


def as_answers(replies: Sequence[Reply]) -> Answers:
    """The choices of some replies, and their probabilities where any reply has them (NaN rows for the others)."""
    choice = np.array([reply.choice for reply in replies], np.int8)
    if all(reply.probabilities is None for reply in replies):
        return Answers(choice)
    missing = (np.nan, np.nan, np.nan)
    rows = [missing if reply.probabilities is None else reply.probabilities for reply in replies]
    return Answers(choice, np.array(rows, np.float32))


def ask(judge: Judge, questions: TripletSet, *, progress: Progress | None = None) -> TripletSet:
    """Put questions to a judge.

    Returns
    -------
    TripletSet
        The questions with choices (and probabilities), and the judge in their metadata.
    """
    answers = judge.answer(questions, progress=progress)
    return questions.with_answers(answers.choice, answers.probabilities, {"judge": dict(judge.describe())})
