"""The part of a study that asks brains: its spaces are the ones that earlier stages made."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from affectome.errors import InputError
from affectome.study._brain import Brain, BrainReading
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
from affectome.study._engine import Stage
from affectome.study._plan import Plan
from affectome.study._recordings import found_recordings, recording_sources
from affectome.study._study_tables import BrainTable, SearchlightTable

__all__ = [
    "COMPARISON", "FOLDER", "RELIABILITY", "RSA", "brain_of_study", "group_brain_stages", "person_brain_stages",
    "recorded_people",
]  # fmt: skip

#: Folders of the results.
FOLDER, COMPARISON, RSA, RELIABILITY = "neural", "neural/comparison", "neural/rsa", "neural/reliability"


def recorded_people(plan: Plan) -> list[str]:
    """Who was recorded, in the order of the files."""
    table = plan.study.brain
    return [] if table is None else list(recording_sources(found_recordings(Path(table.path))))


def person_brain_stages(plan: Plan) -> list[Stage]:
    """Every space against the recording of every person, one after the other."""
    table = plan.study.brain
    if table is None:
        return []
    asked = brain_of_study(plan)
    reading = BrainReading(asked)
    stages = []
    for who in asked.recordings:
        stages += encoding_stages(reading, who)
        stages += partition_stages(reading.below(COMPARISON), who, shared=table.partition)
        if table.searchlight is not None:
            stages += searching_stages(reading.below(RSA), who, how=_searching(table))
        if table.reliability:
            stages += reliability_stages(reading.below(RELIABILITY), who, how=_searching(table), centres=True)
    return stages


def group_brain_stages(plan: Plan) -> list[Stage]:
    """All people together, but for those whose data do not allow it."""
    table = plan.study.brain
    if table is None:
        return []
    lost = {part for name in plan.failed for part in name.split("/")[1:]}
    if all(who in lost for who in recorded_people(plan)):
        return []
    reading = BrainReading(brain_of_study(plan, lost))
    stages = group_stages(reading)
    if table.searchlight is not None:
        stages += searched_group_stages(reading.below(RSA), how=_searching(table))
    if table.reliability:
        stages += reliable_group_stages(reading.below(RELIABILITY), how=_searching(table), centres=True)
    return stages


def _searching(table: BrainTable) -> Searching:
    """How geometries are compared; where that is not said, as a searchlight does by default."""
    return Searching(**(table.searchlight or SearchlightTable()).model_dump())


def brain_of_study(plan: Plan, without: Collection[str] = ()) -> Brain:
    """What is predicted from what: the recordings of the study, but for these people's, with its settings."""
    table = plan.study.brain
    assert table is not None
    people = recording_sources(found_recordings(Path(table.path)))
    twice = [who for who in people if who in plan.study.systems]
    if twice:
        raise InputError(
            f"a person and a system are both called '{twice[0]}'", source=table.path, remedy="rename one of them"
        )
    spaces = plan.brain_spaces
    paths = {name: plan.results / f"spaces/{name}.parquet" for name in (*spaces, *table.controls)}
    reference = table.reference if table.reference in spaces else None
    return Brain(
        spaces={name: paths[name] for name in spaces},
        controls={name: paths[name] for name in table.controls},
        recordings={who: source for who, source in people.items() if who not in without},
        out=plan.results,
        regions=table.regions,
        standardise=table.standardise,
        n_folds=table.folds,
        shared_stimuli=table.shared_stimuli,
        block_length=table.block_length,
        reference=reference,
        n_permutations=table.permutations,
        level=table.level,
        seed=plan.seed("brain"),
        prefix=FOLDER,
        made_here=frozenset(paths),
        called={name: plan.study.label(name) for name in spaces if name in plan.study.systems},
    )
