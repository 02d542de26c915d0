"""One journal from those of several machines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.collection._journal import Journal, judge_differences
from affectome.errors import InputError

__all__ = ["Merged", "merge_journals"]


@dataclass(frozen=True)
class Merged:
    """What a merge brought together.

    Attributes
    ----------
    n_questions, n_answered : int
    n_shared : int
        Questions that more than one journal had answered; the answer of the first one named was kept.
    n_differing : int
        Those of them on which the choices differ.
    """

    n_questions: int
    n_answered: int
    n_shared: int
    n_differing: int


def merge_journals(
    journals: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> Merged:
    """Bring the answers of several journals into a new one.

    Parameters
    ----------
    journals
        Collected with the same questions, judge and prompt, typically the shards of one collection. They are only read.
    out
        A file that does not exist yet; it appears whole or not at all.

    Raises
    ------
    InputError
        When questions, judge or the abilities of the servers differ, or questions are out with a provider.
    """
    paths = [Path(path) for path in journals]
    if not paths:
        raise InputError("there is no journal to merge", remedy="name at least one")
    target = Path(out)
    if target.exists():
        raise InputError("exists already", source=target, remedy="name a new file")
    tell = progress or silent
    with Journal.open(paths[0]) as first:
        facts, server, questions = first.facts, first.server(), first.questions()
    for path in paths:
        _check(path, facts, server, paths[0])
    building = target.with_name(f".{target.name}.merging")
    _remove(building)
    shared = differing = 0
    try:
        with Journal.create(building, questions, facts["judge"]) as merged:
            for number, path in enumerate(paths, start=1):
                with Journal.open(path) as other:
                    _, both, differ = _absorb(merged, other)
                shared, differing = shared + both, differing + differ
                tell(number, len(paths), detail=path.name)
            totals = merged.totals()
            merged.fold_log()
        building.replace(target)
    finally:
        _remove(building)
    return Merged(totals.n_questions, totals.n_answered, shared, differing)


def _check(path: Path, facts: Mapping[str, Any], server: object, reference: Path) -> None:
    with Journal.open(path) as journal:
        if journal.facts["questions"] != facts["questions"]:
            raise InputError(f"holds other questions than {reference}", source=path, remedy="merge shards of one set")
        differ = judge_differences(journal.facts["judge"], facts["judge"])
        if differ:
            raise InputError(
                f"was collected with another judge than {reference} (its {cut_short(differ)} differ)",
                source=path,
                remedy="merge journals of one judge",
            )
        if journal.server() not in (server, None):
            raise InputError(
                f"was collected from a server that can do other things than that of {reference}",
                source=path,
                remedy="export the two separately",
            )
        if journal.totals().n_out:
            raise InputError("has questions out in batch files", source=path, remedy="ingest their results first")


def _absorb(into: Journal, other: Journal) -> tuple[int, int, int]:
    """Take over the answers and failures of another journal of the same questions; where both answered, keep ours.

    Returns
    -------
    Answers taken over, questions both had answered, and those of them on which the choices differ.
    """
    run = into.connection.execute
    with into.saying("cannot be written"):
        run("ATTACH ? AS other", (str(other.path.resolve()),))
        try:
            with into.transaction():
                run("CREATE TEMP TABLE run_map (old INTEGER PRIMARY KEY, new INTEGER)")
                run("CREATE TEMP TABLE origin_map (old INTEGER PRIMARY KEY, new INTEGER)")
                for old, *row in run("SELECT * FROM other.runs").fetchall():
                    made = run("INSERT INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
                    run("INSERT INTO run_map VALUES (?, ?)", (old, made.lastrowid))
                for old, model, server in run("SELECT * FROM other.origins").fetchall():
                    run("INSERT INTO origin_map VALUES (?, ?)", (old, into.origin(model, server)))
                both = "FROM other.answers o JOIN main.answers a USING (question)"
                shared, differ = run(f"SELECT count(*), total(o.choice <> a.choice) {both}").fetchone()
                run(
                    "INSERT INTO main.texts SELECT * FROM other.texts "
                    "WHERE question NOT IN (SELECT question FROM main.answers)"
                )
                maps = "JOIN run_map r ON r.old = o.run JOIN origin_map m ON m.old = o.origin"
                costs = "o.prompt_tokens, o.completion_tokens, o.cached_tokens, o.latency, o.attempts, m.new, r.new"
                taken = run(
                    "INSERT OR IGNORE INTO main.answers SELECT o.question, o.choice, o.p_a, o.p_b, o.p_c, o.mass, "
                    f"{costs}, o.at, o.text FROM other.answers o {maps}"
                ).rowcount
                run(
                    f"INSERT INTO main.failures SELECT NULL, o.question, o.reason, {costs}, o.at, o.text "
                    f"FROM other.failures o {maps}"
                )
                run("DROP TABLE run_map")
                run("DROP TABLE origin_map")
        finally:
            run("DETACH other")
    return int(taken), int(shared), int(differ)


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}.lock"):
        with suppress(FileNotFoundError):
            path.with_name(name).unlink()
