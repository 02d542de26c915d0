"""Interpret spaces, and hold them against each other; what is done and unchanged is not done again."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from affectome._files import make_folder, write_json
from affectome._processes import closed_at_once, heard, leave_interrupts_to, say_again
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.stimuli import read_stimuli
from affectome.study._engine import Stage, StageRecord, locked, run_stages
from affectome.study._interpret_space import space_stages
from affectome.study._interpret_together import together_analyses, together_stages
from affectome.study._interpretation import FOLDER, Interpretation, Reading
from affectome.study._io import json_value

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
    failed : dict from analysis to InputError
        Analyses that the data did not allow.
    """

    results: Path
    summary: Mapping[str, Any]
    records: tuple[StageRecord, ...]
    failed: Mapping[str, InputError]


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
        done = _in_processes(_interpret_one, parts, n_jobs, progress or _unseen)
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
        done = _in_processes(_compare_one, parts, n_jobs, progress or _unseen)
        records = [record for part in done.values() for record in part.records]
        failed = {name: error for part in done.values() for name, error in part.failed.items()}
        return _summarised(asked, "comparison", {FOLDER: _Done(records, failed)})


class _Done(NamedTuple):
    """The records of some stages, and what their data did not allow."""

    records: list[StageRecord]
    failed: dict[str, InputError]


def _unseen(name: str, state: str) -> Progress:
    return silent


def _done(stages: Sequence[Stage], folder: Path, progress: Callable[[str, str], Progress]) -> _Done:
    failed: dict[str, InputError] = {}
    return _Done(run_stages(stages, folder, progress=progress, failed=failed), failed)


def _interpret_one(asked: Interpretation, progress: Callable[[str, str], Progress]) -> _Done:
    reading = Reading(asked)
    return _done(space_stages(reading, next(iter(asked.spaces))), asked.out, progress)


def _compare_one(asked: Interpretation, progress: Callable[[str, str], Progress]) -> _Done:
    return _done(together_stages(Reading(asked)), asked.out, progress)


_Work = Callable[[Interpretation, Callable[[str, str], Progress]], _Done]


def _in_processes(
    work: _Work, parts: Mapping[str, Interpretation], n_jobs: int | None, progress: Callable[[str, str], Progress]
) -> dict[str, _Done]:
    """The parts, as many at once as there are cores; in this process, and seen in detail, where that is one."""
    from joblib import Parallel, cpu_count, delayed

    workers = min(cpu_count() if n_jobs is None else n_jobs, len(parts))
    if workers <= 1:
        return {name: work(part, progress) for name, part in parts.items()}
    listener, done = progress(f"{len(parts)} parts", "running"), {}
    jobs = (delayed(_apart)(work, part, os.getpid()) for part in parts.values())
    with (
        warnings.catch_warnings(),
        closed_at_once(Parallel(workers, batch_size=1, return_as="generator")(jobs)) as results,
    ):
        warnings.filterwarnings("ignore", message="A worker stopped")  # a grown worker gives way to a fresh one
        for name, (found, said) in zip(parts, results, strict=True):
            say_again(said)
            done[name] = found
            listener(len(done), len(parts), detail=name)
    return done


def _apart(work: _Work, asked: Interpretation, caller: int) -> tuple[_Done, list[logging.LogRecord]]:
    """One part in a process of its own, on one thread, for the other processors have work already."""
    from threadpoolctl import threadpool_limits

    leave_interrupts_to(caller)
    with threadpool_limits(1), heard(caller) as said:
        return work(asked, _unseen), said


def _summarised(asked: Interpretation, kind: str, done: Mapping[str, _Done]) -> InterpretationResult:
    """Put together, and write down, what was found by space and analysis."""
    summary = {
        name: {record.name.removesuffix(f"/{name}"): record.summary for record in part.records}
        for name, part in done.items()
    }
    failed = {name: error for part in done.values() for name, error in part.failed.items()}
    left_out = {name: str(error) for name, error in failed.items()}
    write_json(asked.out / f"{kind}.json", {"settings": _settings(asked), "found": summary, "left_out": left_out})
    records = tuple(record for part in done.values() for record in part.records)
    return InterpretationResult(asked.out, summary, records, failed)


def _settings(asked: Interpretation) -> dict[str, Any]:
    """Everything that was asked for, as JSON values."""
    from affectome import __version__

    software = {"affectome": __version__, "python": sys.version.split()[0]}
    return {**{name: json_value(value) for name, value in vars(asked).items()}, "software": software}
