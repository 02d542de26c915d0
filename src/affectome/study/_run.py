"""Run a study and write down what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectome._files import make_folder
from affectome._progress import Progress
from affectome.study._engine import StageRecord, locked, run_stages
from affectome.study._io import write_provenance, write_summary
from affectome.study._schema import Study, read_study
from affectome.study._stages import study_stages

__all__ = ["StudyResult", "run_study"]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """A finished study.

    Attributes
    ----------
    results : Path
        The folder with everything in it.
    summary : dict
        The content of ``summary.json``.
    records : tuple of StageRecord
        One per stage, in the order they ran.
    """

    results: Path
    summary: Mapping[str, Any]
    records: tuple[StageRecord, ...]


def _silent(done: int, total: int, /, *, detail: str = "") -> None:
    """Hear progress and say nothing."""


def run_study(
    path: str | os.PathLike[str],
    results: str | os.PathLike[str] | None = None,
    *,
    n_jobs: int | None = None,
    progress: Callable[[str, str], Progress] | None = None,
) -> StudyResult:
    """Do everything a study file asks for; what is done and unchanged is not done again.

    Parameters
    ----------
    path
        A ``study.toml``.
    results
        Results folder; by default ``results`` beside the study file.
    n_jobs
        Threads of the kernels; None uses all. The numbers do not depend on it.
    progress
        Called with a stage's name and ``"running"`` or ``"reused"``; returns what the stage reports to.

    Returns
    -------
    StudyResult

    Raises
    ------
    InputError
        For a fault in the study file or its data, before or while it runs.
    EnvironmentFailure
        When the results folder cannot be written or another run holds it.
    """
    source = Path(path)
    study = read_study(source)
    folder = make_folder(source.parent / "results" if results is None else Path(results))
    with locked(folder):
        stages = study_stages(study, folder, n_jobs=n_jobs)
        records = run_stages(stages, folder, progress=progress or (lambda name, state: _silent))
        summary = _summary(study, records)
        write_summary(folder / "summary.json", summary)
        write_provenance(folder / "provenance.json", study, source, records)
    return StudyResult(folder, summary, tuple(records))


def _summary(study: Study, records: Sequence[StageRecord]) -> dict[str, Any]:
    by_name = {record.name: record for record in records}
    systems: dict[str, Any] = {}
    for name in study.systems:
        of_system = [record for record in records if record.name.endswith(f"/{name}")]
        embedding = by_name[f"embedding/{name}"].summary
        entry: dict[str, Any] = {
            "label": study.label(name),
            **by_name[f"answers/{name}"].summary,
            "held_out_accuracy": by_name[f"behavior/{name}"].summary,
            "n_components": embedding["n_components"],
            "seconds": round(sum(record.seconds for record in of_system), 3),
            "embedding": embedding,
        }
        if f"interpretation/{name}" in by_name:
            entry["interpretation"] = by_name[f"interpretation/{name}"].summary
        systems[name] = entry
    return {
        "study": study.study.model_dump(),
        "stimuli": by_name["stimuli"].summary,
        "triplets": by_name["questions"].summary,
        "systems": systems,
        "seconds": round(sum(record.seconds for record in records), 3),
    }
