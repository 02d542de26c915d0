"""What the gap is read from: choices that spaces predict, and every space in every person, once each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import Metric, standardise
from affectome.study._brain import Brain, BrainReading
from affectome.study._brain_of_study import brain_of_study, recorded_people
from affectome.study._engine import Stage
from affectome.study._plan import STIMULI, Plan
from affectome.study._questions import people_answers
from affectome.study._study_tables import AnswersTable, FeatureJudgeTable, GapTable, SearchlightTable
from affectome.study._written import Written, written_stage
from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = [
    "FOLDER", "PEOPLE", "SIZES", "choice_scores", "dimensions_of", "gap_brain", "gap_level", "gap_people",
    "gap_reference", "gap_spaces", "gap_table", "grounding_pairs", "pairs_of", "person_files", "person_scores",
    "who_answered",
]  # fmt: skip

#: Folder of the results.
FOLDER = "gap"
#: How the choices of people are called, beside those of systems.
PEOPLE = "people"
#: Spaces as they are, and cut to the same number of principal components.
SIZES = ("full", "matched")


def gap_table(plan: Plan) -> GapTable:
    """What the study asks of the gap."""
    assert plan.study.gap is not None
    return plan.study.gap


def gap_level(plan: Plan) -> float:
    """Coverage of all intervals of the gap: that of the brain, where there is one."""
    return plan.study.behavior.level if plan.study.brain is None else plan.study.brain.level


def gap_spaces(plan: Plan) -> list[str]:
    """Systems and spaces that are compared, but for systems without an embedding."""
    chosen = gap_table(plan).spaces or plan.study.brain_spaces
    return [name for name in chosen if name in plan.systems or name not in plan.study.systems]


def gap_reference(plan: Plan) -> str:
    """The space that the others are held against."""
    spaces, brain = gap_spaces(plan), plan.study.brain
    wanted = gap_table(plan).reference or (brain and brain.reference)
    return wanted if wanted in spaces else spaces[0]


def pairs_of(plan: Plan) -> list[tuple[str, str]]:
    """The reference and every other space."""
    reference = gap_reference(plan)
    return [(reference, name) for name in gap_spaces(plan) if name != reference]


def dimensions_of(plan: Plan, spaces: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, int]]:
    """Principal components of every space, as it is and cut; by size and space."""
    from affectome.gap import space_rank

    full = {name: space_rank(space) for name, space in spaces.items()}
    cut = gap_table(plan).dimensions or min(full.values())
    small = [name for name, rank in full.items() if rank < cut]
    if small:
        logger.warning(
            "%s differ in fewer than %d dimensions, so that cutting the others leaves them larger.",
            cut_short(small), cut,
        )  # fmt: skip
    return {"full": full, "matched": {name: min(rank, cut) for name, rank in full.items()}}


# Choices


def who_answered(plan: Plan) -> list[str]:
    """Whose choices are predicted: those of people, else of every system."""
    return [PEOPLE] if plan.study.people is not None else plan.systems


def choice_scores(plan: Plan) -> Stage:
    """The share of choices that every space predicts, and differences from the reference."""
    study, names, answering = plan.study, gap_spaces(plan), who_answered(plan)
    level = gap_level(plan)
    seen = {name: _as_judged(plan, name) for name in names}
    relations = {(who, name): _relation(plan, who, name) for who in answering for name in names}

    def run(progress: Progress) -> Written:
        from affectome.gap import cut_space, score_choices

        spaces = {name: plan.space(name) for name in names}
        dimensions = dimensions_of(plan, spaces)
        scaled = {name: standardise(space, seen[name][1]) for name, space in spaces.items()}
        sized = {
            "full": scaled,
            "matched": {name: cut_space(space, dimensions["matched"][name]) for name, space in scaled.items()},
        }
        scores, differences = [], []
        for done, who in enumerate(answering):
            trials = _choices(plan, who)
            for size, given in sized.items():
                found = score_choices(
                    given, trials, pairs=pairs_of(plan), metric={name: seen[name][0] for name in names}, level=level
                )
                relation = [relations[who, str(name)] for name in found.scores.index]
                known: dict[str, Any] = {"n_dimensions": list(dimensions[size].values()), "relation": relation}
                rows = found.scores.reset_index().assign(**known, n_trials=found.n_trials)
                scores.append(rows.assign(choices_of=who, size=size))
                differences.append(found.differences.assign(choices_of=who, size=size))
            progress(done + 1, len(answering), detail=who)
        labels = ["choices_of", "size"]
        tables = {"choices": pd.concat(scores), "choice_differences": pd.concat(differences)}
        return Written({name: table.set_index(labels) for name, table in tables.items()}, {}, {"choices_of": answering})

    parameters = {
        "spaces": names, "reference": gap_reference(plan), "dimensions": gap_table(plan).dimensions, "level": level,
        "seen": {name: list(how) for name, how in seen.items()},
        "relations": [[who, name, told] for (who, name), told in relations.items()],
    }  # fmt: skip
    people = study.people
    answers = [] if people else [path for who in answering for path in plan.answer_files(who, ["test"])]
    return written_stage(
        "gap_scores/choices", plan.results, FOLDER, run, tables=("choices", "choice_differences"),
        parameters=parameters, files=[Path(people.path)] if people else [],
        reads=[STIMULI, *(f"spaces/{name}.parquet" for name in names), *answers],
    )  # fmt: skip


def _choices(plan: Plan, who: str) -> TripletSet:
    return people_answers(plan, plan.stimuli().ids) if who == PEOPLE else plan.trials(f"{who}_test")


def _as_judged(plan: Plan, name: str) -> tuple[Metric, Any]:
    """Similarity of stimuli in a space and its scaling: of a judge that looks at it, else cosine of what is there."""
    if name in plan.study.systems:
        return "dot", "none"
    judges = [system.judge for system in plan.study.systems.values()]
    own = [judge for judge in judges if isinstance(judge, FeatureJudgeTable) and judge.space == name]
    return (own[0].metric, own[0].standardise) if own else ("cosine", "none")


def _relation(plan: Plan, who: str, name: str) -> str:
    """What makes it no surprise that a space predicts choices; empty where nothing does."""
    study = plan.study
    if who == PEOPLE:
        judge = study.systems[name].judge if name in study.systems else None
        own = study.people is not None and isinstance(judge, AnswersTable) and judge.path == study.people.path
        return "learned from these answers" if own else ""
    if name == who:
        return "learned from other answers of it"
    if name not in study.systems:
        return "chosen from" if _parts(plan, plan.judged_space(who)) & _parts(plan, name) else ""
    judges = [study.systems[one].judge for one in (who, name)]
    if all(isinstance(judge, AnswersTable) for judge in judges) and judges[0].path == judges[1].path:  # type: ignore[union-attr]
        return "learned from these answers"
    shared = _parts(plan, plan.judged_space(who)) & _parts(plan, plan.judged_space(name))
    return "learned from choices from the same space" if shared else ""


def _parts(plan: Plan, name: str | None) -> set[str]:
    """A space, or what it is put together from; empty where a judge looks at none."""
    if name is None:
        return set()
    table = plan.study.spaces.get(name)
    return set(table.concatenate if table and table.concatenate else [name])


# Brains


def gap_people(plan: Plan) -> list[str]:
    """Who was recorded, but for those whose data do not allow it."""
    lost = {name.removeprefix("gap_scores/") for name in plan.failed if name.startswith("gap_scores/")}
    return [who for who in recorded_people(plan) if who not in lost]


def gap_brain(plan: Plan) -> Brain:
    """The study's recordings, with the spaces of the gap."""
    names = gap_spaces(plan)
    asked = brain_of_study(plan)
    spaces = {name: plan.results / f"spaces/{name}.parquet" for name in names}
    controls = {name: path for name, path in asked.controls.items() if name not in spaces}
    return replace(
        asked, spaces=spaces, controls=controls, reference=gap_reference(plan), prefix=FOLDER,
        made_here=frozenset([*spaces, *controls]),
    )  # fmt: skip


def person_scores(plan: Plan, reading: BrainReading, who: str) -> Stage:
    """Every space in every place of one person, at both sizes; and under every specification in the headline's."""
    table, asked, folder = gap_table(plan), reading.asked, f"{FOLDER}/{who}"
    pairs, grounded = pairs_of(plan), grounding_pairs(plan)
    settings = _geometry(plan)

    def run(progress: Progress) -> Written:
        from affectome.gap import compare_geometries, score_person

        person = reading.person(who)
        place = _headline(table, person.recording, who)
        cut = max(dimensions_of(plan, person.spaces)["matched"].values())
        found = score_person(
            person.recording, person.spaces, pairs=pairs, n_components=cut, controls=person.controls,
            controlled_pairs=grounded, encoding=_encoding(asked), geometry=settings, level=asked.level,
            progress=progress,
        )  # fmt: skip
        tables = {"scores": found.scores, "differences": found.differences}
        if table.specifications:
            tables["specifications"] = compare_geometries(
                person.recording, person.spaces, pairs=pairs, n_components=cut, where=place, units=settings["units"],
                level=asked.level, progress=progress,
            )  # fmt: skip
        return Written(
            {name: each.assign(subject=who).set_index("subject") for name, each in tables.items()},
            {},
            {"n_components": cut, "n_voxels": person.recording.n_voxels, "where": next(iter(place))},
        )

    parameters = {
        **asked.parameters(), "reference": asked.first, "spaces": list(asked.spaces), "controls": list(asked.controls),
        "dimensions": table.dimensions, "region": table.region, "specifications": table.specifications,
        "geometry": settings, "grounding": [list(pair) for pair in grounded],
    }  # fmt: skip
    return written_stage(
        f"gap_scores/{who}", plan.results, folder, run,
        tables=("scores", "differences", *(["specifications"] if table.specifications else [])),
        parameters=parameters, files=asked.files(who), reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def grounding_pairs(plan: Plan) -> list[tuple[str, str]]:
    """The same model with its eyes open and shut: video, captions, and both, each against the other."""
    asked, there = gap_table(plan).grounding, gap_spaces(plan)
    if asked is None:
        return []
    pairs = [(asked.video, asked.captions)]
    if asked.both is not None:
        pairs += [(asked.both, asked.captions), (asked.both, asked.video)]
    return [pair for pair in pairs if all(name in there for name in pair)]


def _headline(table: GapTable, recording: Any, who: str) -> dict[str, Any]:
    if table.region is None:
        return {"all": np.ones(recording.n_voxels, bool)}
    if table.region not in recording.rois:
        known = list(recording.rois)
        raise InputError(
            f"{who} has no region '{table.region}'",
            where="[gap] region",
            remedy=f"choose among {cut_short(known)}" if known else "leave it out, or give [brain] regions",
        )
    return {table.region: recording.rois[table.region]}


def _encoding(asked: Brain) -> dict[str, Any]:
    """What the brain stages encode with, as keywords."""
    from affectome.neural import ALPHAS

    return {
        "n_folds": asked.n_folds, "folds": asked.folds, "shared_stimuli": asked.shared_stimuli,
        "alphas": ALPHAS if asked.alphas is None else asked.alphas,
        "backend": asked.backend, "memory_gb": asked.memory_gb,
    }  # fmt: skip


def _geometry(plan: Plan) -> dict[str, Any]:
    """What the searchlight compares geometries with, as keywords; its defaults where there is none."""
    assert plan.study.brain is not None
    how = plan.study.brain.searchlight or SearchlightTable()
    return {name: getattr(how, name) for name in ("metric", "statistic", "brain_metric", "within_run", "units")}


def person_files(people: Sequence[str], table: str) -> list[str]:
    """Where a table of every person lies."""
    return [f"{FOLDER}/{who}/{table}.csv" for who in people]
