"""From a journal to a triplet file, some ten thousand questions at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import check_output, parquet_stream
from affectome._progress import Progress, silent
from affectome.collection._bias import debias
from affectome.collection._journal import FAILED, OPEN, OUT, Journal
from affectome.collection._slot_prior import SlotPrior, estimate_slot_prior
from affectome.errors import InputError
from affectome.triplets import UNANSWERED, TripletSet, triplet_table

__all__ = ["Exported", "export_journal"]

_DETAILS = {
    "mass": "a.mass",
    "prompt_tokens": "a.prompt_tokens",
    "completion_tokens": "a.completion_tokens",
    "cached_tokens": "a.cached_tokens",
    "latency": "a.latency",
    "attempts": "a.attempts",
    "run": "a.run",
    "at": "a.at",
    "model": "o.model",
    "server": "o.server",
    "text": "coalesce(a.text, t.text)",
}
_SEED = 0  # of the bootstrap behind the interval of a slot prior


@dataclass(frozen=True, eq=False)
class Exported:
    """What an export wrote.

    Attributes
    ----------
    n_answered, n_failed, n_open : int
        Rows with an answer, of questions that were given up, and (where asked for) not asked yet.
    prior : SlotPrior or None
        What was divided out.
    n_choices_changed : int
        Choices that are another slot without the prior.
    n_uncorrected : int
        Answers without probabilities beside others that have them: the prior was not divided out of these.
    """

    n_answered: int
    n_failed: int
    n_open: int
    prior: SlotPrior | None
    n_choices_changed: int
    n_uncorrected: int


def export_journal(
    journal: Journal,
    out: str | os.PathLike[str],
    *,
    debiased: bool = False,
    include_open: bool = False,
    details: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write what a journal holds as a triplet file, in the order of the questions.

    Memory does not grow with the number of answers (except to estimate a slot prior, which looks at all of them once).

    Parameters
    ----------
    out
        A ``.parquet`` file.
    debiased
        Estimate the judge's preference for slots from the triplets that were asked in several orders, and divide it
        out of the probabilities. The raw answers stay beside them (``raw_choice``, ``raw_p_a``...).
        Choices without probabilities stay as they are; the prior in the file's metadata then goes into the
        likelihood of the embedding. See :func:`debias`.
    include_open
        Also write questions that were not asked yet, as unanswered.
    details
        Also write tokens, latency, model, raw text and the like.

    Raises
    ------
    InputError
        When nothing is answered, or a slot prior is asked for and no triplet was asked in several orders.
    """
    check_output(out, (".parquet",))
    tell = progress or silent
    totals = journal.totals()
    if totals.n_answered == 0:
        raise InputError("holds no answer yet", source=journal.path, remedy="collect some first")
    prior = None
    if debiased:
        try:
            prior = estimate_slot_prior(_answered(journal, soft=totals.n_soft > 0), seed=_SEED)
        except InputError as error:
            error.source = error.source or str(journal.path)
            raise
    metadata = _metadata(journal, prior, soft=totals.n_soft > 0)
    states = journal.states()
    n = len(states)
    counts = {"failed": 0, "open": 0, "changed": 0, "uncorrected": 0}
    first = 0
    with parquet_stream(out, metadata) as write:
        for rows, block in journal.question_chunks():
            part = states[first : first + len(rows)]
            kept = np.full(len(rows), True) if include_open else (part != OPEN) & (part != OUT)
            raw, extra = _answers(journal, rows, block, first, soft=totals.n_soft > 0, details=details)
            counts["failed"] += int((part == FAILED).sum())
            counts["open"] += int((kept & ((part == OPEN) | (part == OUT))).sum())
            if prior is not None:
                corrected = debias(raw, prior)
                counts["changed"] += int((corrected.choice != raw.choice).sum())
                counts["uncorrected"] += int(corrected.metadata["slot_prior"].get("n_without_probabilities", 0))
                extra = {**_raw_columns(raw), **extra}
                raw = corrected
            write(_selected(triplet_table(raw), extra, kept))
            first += len(rows)
            tell(first, n)
    return Exported(
        totals.n_answered, counts["failed"], counts["open"], prior, counts["changed"], counts["uncorrected"]
    )


def _answered(journal: Journal, *, soft: bool) -> TripletSet:
    """All answered questions of a journal as one set."""
    first, shown, choices, probabilities = 0, [], [], []
    for rows, _ in journal.question_chunks():
        part, _ = _answers(journal, rows, None, first, soft=soft, details=False)
        answered = part.answered
        shown.append(part.triplets[answered])
        choices.append(part.choice[answered])
        if part.probabilities is not None:
            probabilities.append(part.probabilities[answered])
        first += len(rows)
    return TripletSet(
        np.concatenate(shown),
        journal.facts["ids"],
        np.concatenate(choices),
        np.concatenate(probabilities) if probabilities else None,
        metadata=journal.facts["metadata"],
    )


def _metadata(journal: Journal, prior: SlotPrior | None, *, soft: bool) -> dict[str, Any]:
    known = {
        **journal.facts["metadata"],
        "kind": "triplets",
        "ids": journal.facts["ids"],
        "judge": journal.facts["judge"],
        "server": journal.server(),
    }
    return known if prior is None else {**known, "slot_prior": {**prior.describe(), "divided_out": soft}}


def _answers(
    journal: Journal,
    rows: NDArray[np.int32],
    block: NDArray[np.int32] | None,
    first: int,
    *,
    soft: bool,
    details: bool,
) -> tuple[TripletSet, dict[str, list[Any]]]:
    """One chunk of questions with their answers, and the further columns asked for."""
    wanted = ["a.question", "a.choice", "a.p_a", "a.p_b", "a.p_c", *(_DETAILS.values() if details else ())]
    columns = list(zip(*journal.answers(first, first + len(rows), ", ".join(wanted)), strict=True))
    if not columns:
        columns = [()] * len(wanted)
    at = np.array(columns[0], np.int64) - first
    choice = np.full(len(rows), UNANSWERED, np.int8)
    choice[at] = columns[1]
    probabilities = None
    if soft:
        probabilities = np.full((len(rows), 3), np.nan, np.float32)
        for slot in range(3):
            probabilities[at, slot] = columns[2 + slot]  # None becomes NaN
    extra: dict[str, list[Any]] = {}
    for name, values in zip(_DETAILS if details else (), columns[5:], strict=True):
        column: list[Any] = [None] * len(rows)
        for row, value in zip(at.tolist(), values, strict=True):
            column[row] = value
        extra[name] = column
    metadata = journal.facts["metadata"]
    return TripletSet(rows, journal.facts["ids"], choice, probabilities, block, metadata), extra


def _raw_columns(raw: TripletSet) -> dict[str, Any]:
    columns: dict[str, Any] = {"raw_choice": raw.choice}
    if raw.probabilities is not None:
        columns |= {f"raw_p_{slot}": np.ascontiguousarray(raw.probabilities[:, k]) for k, slot in enumerate("abc")}
    return columns


def _selected(table: Any, extra: Mapping[str, Any], kept: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    types = {"mass": pa.float64(), "latency": pa.float64(), "at": pa.float64()}
    types |= {name: pa.string() for name in ("model", "server", "text")}
    for name, values in extra.items():
        kind = types.get(name, None if name.startswith("raw_") else pa.int64())
        table = table.append_column(name, pa.array(values, kind))
    return table.filter(pa.array(kept))
