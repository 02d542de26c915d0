"""A study in phases: the stages of one are made when those before it have run, and their parts may run side by side."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from affectome._processes import workers_for
from affectome._progress import Progress
from affectome.study._brain_checks import said_once
from affectome.study._brain_of_study import group_brain_stages, person_brain_stages, recorded_people
from affectome.study._engine import Stage, StageOutputs, StageRecord, StageState, run_stages, stage_states
from affectome.study._figures import comparison_figures
from affectome.study._gap import gap_person_stages, gap_stages
from affectome.study._interpretation import FOLDER as TOGETHER
from affectome.study._meaning import FOLDER as INTERPRETATION
from affectome.study._meaning import meaning_stages
from affectome.study._parts import Done, finish, in_processes
from affectome.study._plan import Plan
from affectome.study._stages import behavior_stages, side_by_side_stages

__all__ = ["run_phases", "states_of_phases"]

Show = Callable[[str, str], Progress]


@dataclass(frozen=True)
class Phase:
    """Stages that can be made once the phases before them have run.

    Attributes
    ----------
    stages
        Makes them.
    narrow : bool
        Whether one part keeps one core busy at most, so that parts belong in processes also on one machine; the other
        phases use all cores for one part after the other, and are spread over a cluster alone.
    """

    stages: Callable[[Plan], list[Stage]]
    narrow: bool = False


PHASES: dict[str, Phase] = {
    "behavior": Phase(behavior_stages),
    "side by side": Phase(side_by_side_stages),
    "interpretation": Phase(meaning_stages, narrow=True),
    "brain": Phase(person_brain_stages),
    "people": Phase(group_brain_stages),
    "gap of people": Phase(gap_person_stages),
    "gap": Phase(gap_stages),
    "figures": Phase(lambda plan: [comparison_figures(plan)]),
}


def run_phases(plan: Plan, progress: Show) -> list[StageRecord]:
    """Run everything that is missing or stale; what is left out is in `plan.failed`, and the last system is not."""
    records: list[StageRecord] = []
    about = _subjects(plan)
    for name, phase in PHASES.items():
        cores = plan.n_jobs if phase.narrow else 1
        for stages in _together(phase.stages(plan), about):
            parts = dict.fromkeys(_part(stage, about) for stage in stages)
            # The loops within a single part spread, where the part does not.
            if None in parts or len(parts) == 1 or workers_for(cores, len(parts)).here:
                failed = plan.failed if records else None  # the first are those that all others need
                records += run_stages(stages, plan.results, progress=progress, failed=failed, earlier=records)
                continue
            unfinished = _unfinished(stages, records, plan, about)
            asked = {
                part: (plan, name, [stage.name for stage in stages if _part(stage, about) == part], records)
                for part in unfinished
            }
            found: list[StageRecord] = []
            for done in in_processes(_part_alone, asked, plan.results, cores, progress).values():
                found += done.records
                plan.failed.update(done.failed)
            finished = [stage for stage in stages if _part(stage, about) not in unfinished]
            found += run_stages(finished, plan.results, progress=progress, failed=plan.failed, earlier=records)
            place = {stage.name: number for number, stage in enumerate(stages)}
            records += sorted(found, key=lambda record: place[record.name])
        if not plan.systems:
            raise next(iter(plan.failed.values()))
    return records


def states_of_phases(plan: Plan, known: StageOutputs) -> list[StageState]:
    """Say of every stage whether it is done, running, stale, open or waiting; `known` gathers what was learnt.

    Stages of a phase that cannot be made yet, since they depend on what earlier ones find, are told as one.
    """
    states = []
    for name, phase in PHASES.items():
        try:
            stages = phase.stages(plan)
        except (OSError, ValueError):  # InputError and EnvironmentFailure among them: nothing to read yet
            states.append(StageState(name, "waiting", None))
            continue
        states += stage_states(stages, plan.results, known=known)
    return states


def _subjects(plan: Plan) -> set[str]:
    """Systems and people, each of which has stages of its own."""
    return {*plan.study.systems, *recorded_people(plan)}


def _part(stage: Stage, about: Collection[str]) -> str | None:
    """The system or person that a stage is about alone, or the comparison that it is."""
    if stage.name.startswith(f"{INTERPRETATION}/{TOGETHER}/"):
        return stage.name
    return next((word for word in stage.name.split("/")[1:] if word in about), None)


def _unfinished(
    stages: Sequence[Stage], records: Sequence[StageRecord], plan: Plan, about: Collection[str]
) -> list[str]:
    """Parts in which something is to be done."""
    known = StageOutputs({path: digest for record in records for path, digest in record.outputs.items()})
    states = stage_states(stages, plan.results, known=known)
    parts = [str(_part(stage, about)) for stage, at in zip(stages, states, strict=True) if at.state != "done"]
    return list(dict.fromkeys(parts))


def _together(stages: Sequence[Stage], about: Collection[str]) -> Iterator[list[Stage]]:
    """Runs of stages that each are about one system or person, and runs of stages that are not."""
    for _, run in groupby(stages, key=lambda stage: _part(stage, about) is None):
        yield list(run)


def _part_alone(asked: tuple[Plan, str, list[str], list[StageRecord]], progress: Show) -> Done:
    """The stages of one part, made again in the process that runs them."""
    plan, phase, names, records = asked
    stages = [stage for stage in PHASES[phase].stages(plan) if stage.name in names]
    with said_once():
        return finish(stages, plan.results, progress, records)
