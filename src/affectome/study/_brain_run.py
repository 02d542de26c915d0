"""Hold spaces against recordings; what is done and unchanged is not done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from affectome._files import make_folder, write_json
from affectome._processes import workers_for
from affectome._progress import Progress
from affectome.errors import AffectomeError, InputError
from affectome.study._brain import Brain, BrainReading
from affectome.study._brain_checks import check_asked, check_searched, said_once, warn_of_grid_edges
from affectome.study._brain_reliability import with_factors
from affectome.study._brain_searchlight import Searching
from affectome.study._brain_stages import (
    encoding_stages,
    group_stages,
    partition_stages,
    reliability_stages,
    reliable_group_stages,
    searched_group_stages,
    searching_stages,
)
from affectome.study._engine import Stage, StageRecord, locked
from affectome.study._io import settings_of
from affectome.study._parts import Done, finish, in_processes, unseen

__all__ = ["BrainResult", "compare_brain", "encode_brain", "reliability_brain", "search_brain"]


@dataclass(frozen=True, eq=False)
class BrainResult:
    """What was found.

    Attributes
    ----------
    results : Path
        The folder with everything in it.
    summary : dict
        What each stage found, by its name; a JSON file in the folder, such as ``encoding.json``, holds it too.
    records : tuple of StageRecord
        One per stage that ran or was up to date.
    failed : dict from stage to AffectomeError
        Stages that the data did not allow.
    """

    results: Path
    summary: Mapping[str, Any]
    records: tuple[StageRecord, ...]
    failed: Mapping[str, AffectomeError]


def encode_brain(
    asked: Brain, *, n_jobs: int = 1, progress: Callable[[str, str], Progress] | None = None
) -> BrainResult:
    """Predict every voxel of every person from every space, test it, and put the people together.

    Parameters
    ----------
    asked : Brain
    n_jobs
        People at once, each in a process with the memory of a recording; by default one, which uses all cores. An
        open cluster (:func:`affectome.on_cluster`) does as many as it has workers.
    progress
        Called with a stage's name and ``"running"`` or ``"reused"``; returns what it reports to.

    Returns
    -------
    BrainResult

    Raises
    ------
    InputError
        For a fault in the files; a person whose data do not allow an analysis is left out and reported in `failed`.
    EnvironmentFailure
        When the folder cannot be written or another run holds it.
    """
    return _run(asked, "encoding", encoding_stages, group_stages, n_jobs, progress or unseen)


def compare_brain(
    asked: Brain, *, n_jobs: int = 1, progress: Callable[[str, str], Progress] | None = None
) -> BrainResult:
    """Cut what spaces explain of every person into what is unique and what is shared, and beyond controls.

    Parameters, result and faults are those of :func:`encode_brain`.
    """
    if len(asked.spaces) < 2 and not asked.controls:
        raise InputError("there is nothing to compare", remedy="name two spaces, or one and a control")
    return _run(asked, "comparison", partition_stages, lambda reading: [], n_jobs, progress or unseen)


def search_brain(
    asked: Brain,
    how: Searching | None = None,
    *,
    n_jobs: int = 1,
    progress: Callable[[str, str], Progress] | None = None,
) -> BrainResult:
    """Compare the geometry of every space with that of the patterns around every voxel, and in every region.

    Parameters
    ----------
    asked : Brain
    how : Searching
        Radius, statistic, metrics.
    n_jobs
        Processes over chunks of centres, or an open cluster; people one after the other.
    progress
        See :func:`encode_brain`, whose result and faults are these.
    """
    how = replace(how or Searching(), n_jobs=n_jobs)
    check_searched(asked, how)
    of_person, of_all = partial(searching_stages, how=how), partial(searched_group_stages, how=how)
    return _run(asked, "searchlight", of_person, of_all, None, progress or unseen, how.parameters())


def reliability_brain(
    asked: Brain,
    how: Searching | None = None,
    *,
    centres: bool = True,
    progress: Callable[[str, str], Progress] | None = None,
) -> BrainResult:
    """How reliable the geometry of every place is: in the halves of a person's runs, and over people.

    Parameters
    ----------
    asked : Brain
        Spaces, where there are any, only say which stimuli are looked at.
    how : Searching
        Of it the radius and unit, ``brain_metric`` and ``within_run`` (of agreement over people).
    centres
        Whether neighbourhoods of all voxels are looked at beside regions.
    progress
        See :func:`encode_brain`, whose result and faults are these.
    """
    how = how or Searching()
    with_factors(how)  # refuses what has no ceiling before anything is read
    of_person = partial(reliability_stages, how=how, centres=centres)
    of_all = partial(reliable_group_stages, how=how, centres=centres)
    return _run(asked, "reliability", of_person, of_all, 1, progress or unseen, how.of_patterns())


def _run(
    asked: Brain,
    kind: str,
    of_person: Callable[[BrainReading, str], list[Stage]],
    of_all: Callable[[BrainReading], list[Stage]],
    n_jobs: int | None,
    progress: Callable[[str, str], Progress],
    further: Mapping[str, Any] = MappingProxyType({}),
) -> BrainResult:
    check_asked(asked, of_spaces=kind != "reliability")
    with locked(make_folder(asked.out)), said_once():
        if n_jobs is not None:
            _side_by_side(asked, of_person, min(n_jobs, os.cpu_count() or 1), progress)
        reading = BrainReading(asked)
        stages = {who: of_person(reading, who) for who in asked.recordings}
        done = finish([stage for each in stages.values() for stage in each], asked.out, progress)
        records, failed = list(done.records), dict(done.failed)
        whole = {
            who: source
            for who, source in asked.recordings.items()
            if not any(stage.name in failed for stage in stages[who])
        }
        if whole:  # the others are a group without those whose data do not allow it
            together = of_all(BrainReading(replace(asked, recordings=whole)))
            done = finish(together, asked.out, progress, records)
            records, failed = [*records, *done.records], {**failed, **done.failed}
        warn_of_grid_edges(records, asked.alphas)
        summary = {record.name: record.summary for record in records}
        left_out = {name: str(error) for name, error in failed.items()}
        settings = {**_settings(asked), **further}
        write_json(asked.out / f"{kind}.json", {"settings": settings, "found": summary, "left_out": left_out})
    return BrainResult(asked.out, summary, tuple(records), failed)


def _side_by_side(
    asked: Brain,
    of_person: Callable[[BrainReading, str], list[Stage]],
    n_jobs: int,
    progress: Callable[[str, str], Progress],
) -> None:
    """People in processes, where there are several; the run that follows finds their stages done."""
    if workers_for(n_jobs, len(asked.recordings)).here:
        return
    parts = {who: (replace(asked, recordings={who: source}), of_person) for who, source in asked.recordings.items()}
    in_processes(_person_alone, parts, asked.out, n_jobs, progress)


def _person_alone(
    part: tuple[Brain, Callable[[BrainReading, str], list[Stage]]], progress: Callable[[str, str], Progress]
) -> Done:
    asked, of_person = part
    with said_once():
        return finish(of_person(BrainReading(asked), next(iter(asked.recordings))), asked.out, progress)


def _settings(asked: Brain) -> dict[str, Any]:
    """What was asked for; recordings by their files."""
    people = {who: [str(path) for path in source.files()] for who, source in asked.recordings.items()}
    return {**settings_of(asked, without=("recordings", "made_here")), "recordings": people}
