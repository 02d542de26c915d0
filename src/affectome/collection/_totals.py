"""What a journal holds, counted."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass

__all__ = ["Totals", "count_totals"]

_UNANSWERED = "question NOT IN (SELECT question FROM answers)"
_TOKENS = "total(prompt_tokens), total(completion_tokens), total(cached_tokens)"


@dataclass(frozen=True)
class Totals:
    """What a journal holds and what that took, failures included.

    Attributes
    ----------
    n_questions, n_answered, n_failed, n_out : int
        All questions; those answered, given up, and handed to a provider.
    slots : three int
        How often each slot was called odd.
    n_soft : int
        Answers with probabilities.
    mass : float or None
        Mean probability on the three labels, over the answers that know it.
    prompt_tokens, completion_tokens, cached_tokens : int
    latency : float
        Mean seconds per answer.
    failures : dict from kind to int
        Kinds of the failures of questions that have no answer.
    """

    n_questions: int
    n_answered: int
    n_failed: int
    n_out: int
    slots: tuple[int, int, int]
    n_soft: int
    mass: float | None
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    latency: float
    failures: dict[str, int]

    @property
    def n_open(self) -> int:
        """Questions that are neither answered, given up nor with a provider."""
        return self.n_questions - self.n_answered - self.n_failed - self.n_out


def count_totals(connection: sqlite3.Connection, n_questions: int) -> Totals:
    """Count answers, failures and what they took; the answers, which may be millions, are read once."""
    run = connection.execute
    by_slot = run(
        f"SELECT choice, count(*), count(p_a), count(mass), total(mass), total(latency), {_TOKENS} "
        "FROM answers GROUP BY choice"
    ).fetchall()
    slots = {choice: count for choice, count, *_ in by_slot}
    n_answered, n_soft, n_mass, mass, latency, *answered = (
        sum(column) for column in list(zip(*by_slot, strict=True))[1:] or [()] * 8
    )
    failed = run(f"SELECT {_TOKENS} FROM failures").fetchone()
    prompt, completion, cached = (int(a + b) for a, b in zip(answered, failed, strict=True))
    reasons = run(f"SELECT reason FROM failures WHERE {_UNANSWERED} GROUP BY question").fetchall()
    out = run(
        f"SELECT count(*) FROM batch_questions WHERE {_UNANSWERED} AND question NOT IN (SELECT question FROM failures)"
    ).fetchone()[0]
    return Totals(
        n_questions=n_questions,
        n_answered=n_answered,
        n_failed=len(reasons),
        n_out=out,
        slots=(slots.get(0, 0), slots.get(1, 0), slots.get(2, 0)),
        n_soft=n_soft,
        mass=mass / n_mass if n_mass else None,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        latency=latency / n_answered if n_answered else 0.0,
        failures=dict(Counter(str(reason).partition(":")[0] for (reason,) in reasons)),
    )
