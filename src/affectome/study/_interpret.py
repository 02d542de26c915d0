"""Interpret spaces, and hold them against each other; what is done and unchanged is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affectome._files import make_folder, write_json
from affectome._progress import Progress
from affectome.errors import AffectomeError, InputError
from affectome.stimuli import read_stimuli
from affectome.study._engine import StageRecord, locked
from affectome.study._interpret_space import space_stages
from affectome.study._interpret_together import together_analyses, together_stages
from affectome.study._interpretation import FOLDER, Interpretation, Reading
from affectome.study._io import settings_of
from affectome.study._parts import Done, finish, in_processes, unseen

__all__ = ["InterpretationResult", "compare_spaces", "interpret_spaces"]


@dataclass(frozen=True, eq=False)
class InterpretationResult:
    """What was found.

    Attributes
    ----------
    results : Path
        The folder with everything in it.
    summary : dict
        The headline numbers, by space (or ``"together"``) and analysis; ``interpretation.json`` or
        ``comparison.json`` in the folder holds them too.
    records : tuple of StageRecord
        One per analysis that ran or was up to date.
    failed : dict from analysis to AffectomeError
        Analyses that the data did not allow.
    """

    results: Path
    summary: Mapping[str, Any]
    records: tuple[StageRecord, ...]
    failed: Mapping[str, AffectomeError]


def interpret_spaces(
    asked: Interpretation,
    *,
    n_jobs: int | None = None,
    progress: Callable[[str, str], Progress] | None = None,
) -> InterpretationResult:
    """Do every analysis of each space by itself; no result depends on which other spaces there are.

    Parameters
    ----------
    asked : Interpretation
    n_jobs
        Cores to use, one process for each space; None: all.
    progress
        Called with an analysis (or, with several processes, with all there is to do) and ``"running"`` or
        ``"reused"``; returns what it reports to.

    Returns
    -------
    InterpretationResult

    Raises
    ------
    InputError
        For a fault in the files; an analysis that sound files do not allow (too few stimuli of every category, say)
        is left out and reported in `failed`.
    EnvironmentFailure
        When the folder cannot be written or another run holds it.
    """
    if not asked.ratings:
        raise InputError("there are no ratings to interpret the spaces by", remedy="give at least one --ratings")
    if asked.judge is not None:  # a fault in its file is told before anything is computed
        asked.naming_judge(None if asked.stimuli is None else read_stimuli(asked.stimuli))
    parts = {name: replace(asked, spaces={name: path}, reference=None) for name, path in asked.spaces.items()}
    with locked(make_folder(asked.out)):
        done = in_processes(_interpret_one, parts, asked.out, n_jobs, progress or unseen)
        return _summarised(asked, "interpretation", done)


def compare_spaces(
    asked: Interpretation,
    *,
    n_jobs: int | None = None,
    progress: Callable[[str, str], Progress] | None = None,
) -> InterpretationResult:
    """Hold the spaces against each other; without ratings, geometry and choices alone.

    Parameters and result are those of :func:`interpret_spaces`; here each process does an analysis.
    """
    parts = {name: replace(asked, only=(name,)) for name in together_analyses(asked)}
    with locked(make_folder(asked.out)):
        done = in_processes(_compare_one, parts, asked.out, n_jobs, progress or unseen)
        records = [record for part in done.values() for record in part.records]
        failed = {name: error for part in done.values() for name, error in part.failed.items()}
        return _summarised(asked, "comparison", {FOLDER: Done(records, failed)})


def _interpret_one(asked: Interpretation, progress: Callable[[str, str], Progress]) -> Done:
    reading = Reading(asked)
    return finish(space_stages(reading, next(iter(asked.spaces))), asked.out, progress)


def _compare_one(asked: Interpretation, progress: Callable[[str, str], Progress]) -> Done:
    return finish(together_stages(Reading(asked)), asked.out, progress)


def _summarised(asked: Interpretation, kind: str, done: Mapping[str, Done]) -> InterpretationResult:
    """Put together, and write down, what was found by space and analysis."""
    summary = {
        name: {record.name.removeprefix(f"{asked.place(name)}/"): record.summary for record in part.records}
        for name, part in done.items()
    }
    failed = {name: error for part in done.values() for name, error in part.failed.items()}
    left_out = {name: str(error) for name, error in failed.items()}
    write_json(asked.out / f"{kind}.json", {"settings": settings_of(asked), "found": summary, "left_out": left_out})
    records = tuple(record for part in done.values() for record in part.records)
    return InterpretationResult(asked.out, summary, records, failed)
