"""Run a study and write down what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectome._files import make_folder
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.study._brain_checks import said_once, warn_of_grid_edges
from affectome.study._brain_of_study import brain_stages
from affectome.study._engine import Stage, StageRecord, StageState, locked, run_stages, stage_states
from affectome.study._figures import comparison_figures
from affectome.study._io import write_provenance, write_summary
from affectome.study._meaning import meaning_stages
from affectome.study._schema import Study, read_study
from affectome.study._stages import Plan, behavior_stages

__all__ = ["StudyResult", "run_study", "study_status"]

#: Kinds of stages of people and spaces.
_BRAIN = ("encode", "between", "ceiling", "average", "consistency", "weights", "view")


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

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.results / "report.html"


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
    folder = make_folder(_results_folder(source, results))
    show = progress or (lambda name, state: silent)
    with locked(folder), said_once():
        records = run_stages(_stages(Plan(study, folder, n_jobs)), folder, progress=show)
        warn_of_grid_edges(records)
        summary = _summary(study, records)
        write_summary(folder / "summary.json", summary)
        write_provenance(folder / "provenance.json", study, source, records)
        records += run_stages([_report(folder, study, summary, records)], folder, progress=show)
    return StudyResult(folder, summary, tuple(records))


def study_status(path: str | os.PathLike[str], results: str | os.PathLike[str] | None = None) -> list[StageState]:
    """Say of every stage whether it is done, stale, open or waiting; nothing is run or written.

    Parameters
    ----------
    path
        A ``study.toml``.
    results
        Results folder; by default ``results`` beside the study file.
    """
    source = Path(path)
    study = read_study(source)
    return stage_states(_stages(Plan(study, _results_folder(source, results))), _results_folder(source, results))


def _results_folder(source: Path, results: str | os.PathLike[str] | None) -> Path:
    folder = source.parent / "results" if results is None else Path(results)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a results folder", source=folder, remedy="choose another --out")
    return folder


def _stages(plan: Plan) -> list[Stage]:
    return [*behavior_stages(plan), *meaning_stages(plan), comparison_figures(plan), *brain_stages(plan)]


def _report(folder: Path, study: Study, summary: Mapping[str, Any], records: Sequence[StageRecord]) -> Stage:
    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.report import write_report

        write_report(folder)
        return {}

    parameters = {
        "summary": summary,
        "study": _without_places(study.model_dump(mode="json")),
        "outputs": {record.name: dict(record.outputs) for record in records},
    }
    return Stage("report", run, ("report.html",), parameters)


def _without_places(settings: Any) -> Any:
    """Settings without where files lie, so that a moved study stays done."""
    if isinstance(settings, dict):
        return {key: _without_places(value) for key, value in settings.items() if key != "path"}
    return settings


def _summary(study: Study, records: Sequence[StageRecord]) -> dict[str, Any]:
    by_name = {record.name: record for record in records}
    top = f"top{study.interpretation.top}_nearest_centroid"
    systems: dict[str, Any] = {}
    for name in study.systems:
        of_system = [r for r in records if r.name.endswith(f"/{name}") and r.name.split("/")[0] not in _BRAIN]
        embedding = by_name[f"embedding/{name}"].summary
        entry: dict[str, Any] = {
            "label": study.label(name),
            **by_name[f"answers/{name}"].summary,
            "held_out_accuracy": by_name[f"behavior/{name}"].summary,
            "n_components": embedding["n_components"],
            "seconds": round(sum(record.seconds for record in of_system), 3),
            "embedding": embedding,
            "components": by_name[f"components/{name}"].summary,
        }
        for key, stage in (
            ("captions", "captions"),
            ("interpretation", "interpretation"),
            (top, "categories"),
            ("map", "map"),
        ):
            if f"{stage}/{name}" in by_name:
                entry[key] = by_name[f"{stage}/{name}"].summary
        systems[name] = entry
    summary: dict[str, Any] = {
        "study": study.study.model_dump(),
        "stimuli": by_name["stimuli"].summary,
        "triplets": by_name["questions"].summary,
        "systems": systems,
    }
    for key in ("agreement", "rating_spaces"):
        if key in by_name:
            summary[key] = by_name[key].summary
    if study.brain is not None:
        summary["brain"] = _brain_summary(study, records)
    return {**summary, "seconds": round(sum(record.seconds for record in records), 3)}


def _brain_summary(study: Study, records: Sequence[StageRecord]) -> dict[str, Any]:
    """What was found of each person and space, of spaces against each other, and of all people."""
    found: dict[str, Any] = {kind: {} for kind in _BRAIN}
    for record in records:
        kind, *where = record.name.split("/")
        if kind in found:
            found[kind]["/".join(where)] = record.summary
        elif record.name in ("group", "across"):
            found[record.name] = record.summary
    assert study.brain is not None
    return {"settings": study.brain.model_dump(exclude={"path"}), **found}
