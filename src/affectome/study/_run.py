"""Run a study and write down what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affectome._cluster import on_cluster
from affectome._files import make_folder
from affectome._progress import Progress, silent
from affectome.errors import AffectomeError, InputError
from affectome.study._brain_checks import said_once, warn_of_grid_edges
from affectome.study._engine import (
    Stage,
    StageOutputs,
    StageRecord,
    StageState,
    Unmade,
    locked,
    run_stages,
    stage_states,
)
from affectome.study._io import write_provenance, write_summary
from affectome.study._meaning import check_meaning
from affectome.study._phases import run_phases, states_of_phases
from affectome.study._plan import Plan
from affectome.study._schema import Study, read_study

__all__ = ["StudyResult", "run_study", "study_status"]


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
    failed : dict from stage to AffectomeError
        Stages that their data did not allow, or that stopped before their end; the others went on without them.
    """

    results: Path
    summary: Mapping[str, Any]
    records: tuple[StageRecord, ...]
    failed: Mapping[str, AffectomeError]

    @property
    def causes(self) -> dict[str, AffectomeError]:
        """What failed by itself; the rest of `failed` only needs what that would have made."""
        return {name: error for name, error in self.failed.items() if not isinstance(error, Unmade)}

    @property
    def report(self) -> Path:
        """The page to read."""
        return self.results / "report.html"


def run_study(
    path: str | os.PathLike[str],
    results: str | os.PathLike[str] | None = None,
    *,
    n_jobs: int | None = None,
    cluster: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
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
        Threads of the kernels, or processes; None uses all cores. The numbers do not depend on it.
    cluster
        A file with a table ``[cluster]``, whose workers do the work; by default that table of the study file, or this
        machine where it has none.
    overrides
        Values by dotted key in place of the file's; see :func:`read_study`. ``provenance.json`` tells them.
    progress
        Called with a stage's name and ``"running"`` or ``"reused"``; returns what the stage reports to.

    Returns
    -------
    StudyResult

    Raises
    ------
    InputError
        For a fault in the study file, or where no system can be learned from.
    EnvironmentFailure
        When the results folder cannot be written or another run holds it.
    """
    source = Path(path)
    study = read_study(source, overrides=overrides)
    folder = make_folder(_results_folder(source, results))
    show = progress or (lambda name, state: silent)
    plan = Plan(study, folder, n_jobs)
    check_meaning(plan)
    with locked(folder), said_once():
        with on_cluster(study.cluster if cluster is None else cluster):
            records = run_phases(plan, show)
        warn_of_grid_edges(records)
        summary = _summary(plan, records)
        write_summary(folder / "summary.json", summary)
        write_provenance(folder / "provenance.json", study, source, records, overrides)
        records += run_stages([_report(folder, study, summary, records)], folder, progress=show)
    return StudyResult(folder, summary, tuple(records), plan.failed)


def study_status(
    path: str | os.PathLike[str],
    results: str | os.PathLike[str] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
) -> list[StageState]:
    """Say of every stage whether it is done, stale, open or waiting; nothing is run or written.

    Parameters
    ----------
    path
        A ``study.toml``.
    results
        Results folder; by default ``results`` beside the study file.
    overrides
        Values by dotted key in place of the file's; see :func:`read_study`.
    """
    source = Path(path)
    study, folder = read_study(source, overrides=overrides), _results_folder(source, results)
    plan, known = Plan(study, folder), StageOutputs()
    states = states_of_phases(plan, known)
    if any(state.state != "done" for state in states):
        return [*states, StageState("report", "waiting", None)]
    return states + stage_states([_report(folder, study, _summary(plan, known.records), known.records)], folder)


def _results_folder(source: Path, results: str | os.PathLike[str] | None) -> Path:
    folder = source.parent / "results" if results is None else Path(results)
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a results folder", source=folder, remedy="choose another --out")
    return folder


def _report(folder: Path, study: Study, summary: Mapping[str, Any], records: Sequence[StageRecord]) -> Stage:
    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.report import write_report

        write_report(folder)
        return {}

    parameters = {
        "summary": summary,
        "study": _without_places(study.model_dump(mode="json", exclude={"cluster"})),
        "outputs": {record.name: dict(record.outputs) for record in records},
    }
    return Stage("report", run, ("report.html",), parameters, version=2)


def _without_places(settings: Any) -> Any:
    """Settings without where files lie, so that a moved study stays done."""
    if isinstance(settings, dict):
        return {key: _without_places(value) for key, value in settings.items() if key != "path"}
    return settings


#: Stages of one system, and what the summary calls them.
_OF_SYSTEM = {
    "answers": "answers",
    "embedding": "embedding",
    "accuracy": "held_out_accuracy",
    "ceiling": "ceiling",
    "rsm": "rsm",
    "needed": "components_needed",
    "reproducibility": "reproducibility",
    "people": "people",
    "captions": "captions",
}


def _summary(plan: Plan, records: Sequence[StageRecord]) -> dict[str, Any]:
    """What was found, in the order in which a reader asks for it."""
    study, by_name = plan.study, {record.name: record for record in records}
    systems = {name: _of_system(plan, name, by_name) for name in plan.systems if f"embedding/{name}" in by_name}
    summary: dict[str, Any] = {
        "study": study.study.model_dump(),
        "stimuli": by_name["stimuli"].summary,
        "triplets": by_name["questions"].summary,
        "systems": systems,
    }
    for together in ("agreement", "people"):
        if together in by_name:
            summary[together] = by_name[together].summary
    for key, place in (("together", "interpretation/together"), ("gap", "gap")):
        found = _below(by_name, place)
        if found:
            summary[key] = found
    if study.brain is not None:
        summary["brain"] = _brain_summary(study, records)
    return {
        **summary,
        "left_out": {name: str(error) for name, error in plan.failed.items()},
        "warnings": {record.name: list(record.warnings) for record in records if record.warnings},
        "seconds": round(sum(record.seconds for record in records), 3),
    }


def _of_system(plan: Plan, name: str, by_name: Mapping[str, StageRecord]) -> dict[str, Any]:
    known = {kind: by_name[f"{kind}/{name}"] for kind in _OF_SYSTEM if f"{kind}/{name}" in by_name}
    meaning = [record for stage, record in by_name.items() if stage.startswith(f"interpretation/{name}/")]
    found = {_OF_SYSTEM[kind]: record.summary for kind, record in known.items()}
    return {
        "label": plan.study.label(name),
        **found.pop("answers"),
        "n_components": known["embedding"].summary["n_components"],
        **found,
        "interpretation": _below(by_name, f"interpretation/{name}"),
        "seconds": round(sum(record.seconds for record in (*known.values(), *meaning)), 3),
    }


def _below(by_name: Mapping[str, StageRecord], place: str) -> dict[str, Any]:
    """What the stages below a name found."""
    prefix = f"{place}/"
    return {name.removeprefix(prefix): r.summary for name, r in by_name.items() if name.startswith(prefix)}


#: Where the summary puts what was found of brains: stages of encodings, and of what has a first word of its own.
_ENCODING = ("encode", "between", "ceiling", "average", "consistency", "weights", "view")
_BRAIN = ("comparison", "rsa", "reliability")


def _brain_summary(study: Study, records: Sequence[StageRecord]) -> dict[str, Any]:
    """What was found of each person and space, of spaces against each other, and of all people."""
    assert study.brain is not None
    found: dict[str, Any] = {kind: {} for kind in _ENCODING}
    for record in records:
        kind, *where = record.name.split("/")
        if kind in ("group", "across"):
            found[kind] = record.summary
        elif kind in _BRAIN or (kind in _ENCODING and not (kind == "ceiling" and where[0] in study.systems)):
            found.setdefault(kind, {})["/".join(where)] = record.summary
    return {"settings": study.brain.model_dump(exclude={"path"}), **found}
