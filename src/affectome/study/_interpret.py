"""Interpret spaces, and hold them against each other; what is done and unchanged is not done again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectome._files import make_folder, write_json
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.study._engine import Stage, StageRecord, locked, run_stages
from affectome.study._interpret_space import space_stages
from affectome.study._interpret_together import FOLDER, together_stages
from affectome.study._interpretation import Interpretation, Reading

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
    asked: Interpretation, *, progress: Callable[[str, str], Progress] | None = None
) -> InterpretationResult:
    """Do every analysis of each space by itself.

    Parameters
    ----------
    asked : Interpretation
    progress
        Called with an analysis and ``"running"`` or ``"reused"``; returns what it reports to.

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
    reading = Reading(asked)
    return _run(asked, {name: space_stages(reading, name) for name in reading.spaces}, progress)


def compare_spaces(
    asked: Interpretation, *, progress: Callable[[str, str], Progress] | None = None
) -> InterpretationResult:
    """Hold the spaces against each other; see :func:`interpret_spaces`. Without ratings, geometry and choices alone."""
    return _run(asked, {FOLDER: together_stages(Reading(asked))}, progress)


def _run(
    asked: Interpretation,
    stages: Mapping[str, list[Stage]],
    progress: Callable[[str, str], Progress] | None,
) -> InterpretationResult:
    failed: dict[str, InputError] = {}
    folder = make_folder(asked.out)
    with locked(folder):
        records = run_stages(
            [stage for group in stages.values() for stage in group],
            folder,
            progress=progress or (lambda name, state: silent),
            failed=failed,
        )
        done = {record.name: record for record in records}
        summary = {
            name: {
                stage.name.removesuffix(f"/{name}"): done[stage.name].summary for stage in group if stage.name in done
            }
            for name, group in stages.items()
        }
        kind = "comparison" if FOLDER in stages else "interpretation"
        content = {"settings": _settings(asked), "found": summary, "left_out": {k: str(v) for k, v in failed.items()}}
        write_json(folder / f"{kind}.json", content)
    return InterpretationResult(folder, summary, tuple(records), failed)


def _settings(asked: Interpretation) -> dict[str, Any]:
    """Everything that was asked for, as JSON values."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    from affectome import __version__

    software = {"affectome": __version__, "python": sys.version.split()[0]}
    return {**{name: plain(value) for name, value in vars(asked).items()}, "software": software}
