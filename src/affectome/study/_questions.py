"""The questions of a study: to learn from, held out, of all triplets of some stimuli, repeated, and those of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.study._engine import Stage
from affectome.study._plan import STIMULI, Plan
from affectome.triplets import TripletSet, read_triplets, sample_triplets, write_triplets

__all__ = ["people_answers", "questions", "read_about"]


def questions(plan: Plan) -> Stage:
    """Draw every set of questions that the study asks for; no triplet is in two of them but those of people."""
    design, people = plan.study.triplets, plan.study.people
    outputs = tuple(f"triplets/{part}.parquet" for part in plan.question_parts)
    seeds = {part: plan.seed(purpose) for part, purpose in _PURPOSES.items()}

    def run(progress: Progress) -> Mapping[str, Any]:
        ids = plan.stimuli().ids
        drawn = _drawn(plan, ids, seeds)
        if people is not None:
            drawn["people"] = _questions_of_people(plan, ids, seeds["people"])
        for part, path in zip(plan.question_parts, outputs, strict=True):
            write_triplets(plan.results / path, drawn[part])
        counts = {f"n_{part}": len(drawn[part]) for part in plan.question_parts[2:]}
        return {**design.model_dump(), **counts}

    parameters = {**design.model_dump(), "seed": seeds["train"], "seeds": seeds, "people": people is not None}
    files = () if people is None else (Path(people.path),)
    return Stage("questions", run, outputs, parameters, files, reads=(STIMULI,))


#: What each set is drawn for; seeds go by it.
_PURPOSES = {
    "train": "questions",
    "test": "held out",
    "validation": "validation",
    "repeats": "repeats",
    "people": "people's questions",
}


def _drawn(plan: Plan, ids: tuple[str, ...], seeds: Mapping[str, int]) -> dict[str, TripletSet]:
    """The study's own questions. Train and test are those of the seed alone where nothing has to be kept apart."""
    design = plan.study.triplets
    drawn: dict[str, TripletSet] = {}
    if design.validation:
        with _asked_by("validation"):
            drawn["validation"] = sample_triplets(
                ids, design="exhaustive", subset=design.validation, seed=seeds["validation"]
            )
    held = drawn.get("validation")
    with _asked_by("train"):
        if design.design == "balanced":
            drawn["train"] = _balanced_beside(ids, design.train, seeds["train"], held)
        else:
            drawn["train"] = sample_triplets(ids, design.train, seed=seeds["train"], exclude=held)
    with _asked_by("test"):
        drawn["test"] = sample_triplets(ids, design.test, seed=seeds["test"], exclude=_together(drawn))
    if design.repeated:
        with _asked_by("repeated"):
            drawn["repeats"] = sample_triplets(
                ids,
                design.repeated,
                design="repeated",
                repeats=design.repeats,
                seed=seeds["repeats"],
                exclude=_together(drawn),
            )
    return drawn


@contextmanager
def _asked_by(key: str) -> Iterator[None]:
    """Name the key of the study file in a fault."""
    try:
        yield
    except InputError as error:
        error.where = f"[triplets] {key}"
        raise


def _balanced_beside(ids: tuple[str, ...], n: int, seed: int, held: TripletSet | None) -> TripletSet:
    """A balanced design; the few triplets of it that are kept apart give way to random ones."""
    drawn = sample_triplets(ids, n, design="balanced", seed=seed)
    if held is None:
        return drawn
    kept = drawn[~np.isin(drawn.keys(), held.keys())]
    if len(kept) == n:
        return drawn
    others = sample_triplets(ids, n - len(kept), seed=seed, exclude=_together({"held": held, "drawn": drawn}))
    return TripletSet(np.concatenate([kept.triplets, others.triplets]), ids, metadata=drawn.metadata)


def _together(sets: Mapping[str, TripletSet]) -> TripletSet:
    """The triplets of several sets over the same stimuli."""
    first = next(iter(sets.values()))
    return TripletSet(np.concatenate([part.triplets for part in sets.values()]), first.ids)


def _questions_of_people(plan: Plan, ids: tuple[str, ...], seed: int) -> TripletSet:
    """Every triplet that people answered, once, in an order that is drawn anew: theirs must not tell their answer."""
    answered = people_answers(plan, ids)
    _, first = np.unique(answered.keys(), return_index=True)
    rows = np.random.default_rng(seed).permuted(answered.triplets[np.sort(first)], axis=1)
    return TripletSet(rows, ids, metadata={"design": "people", "seed": seed, "n_different": len(rows)})


def people_answers(plan: Plan, ids: tuple[str, ...]) -> TripletSet:
    """What people answered, by the study's stimuli."""
    assert plan.study.people is not None
    return read_about(ids, plan.study.people.path)[0]


def read_about(ids: tuple[str, ...], path: str) -> tuple[TripletSet, int]:
    """The answered trials of a file, their indices counting these ids, and how many it holds without an answer.

    Stimuli that are not among the ids are refused.
    """
    own = Path(path).suffix.lower() == ".parquet"  # it names its stimuli; the other formats count them
    trials = read_triplets(path, stimuli=None if own else ids)
    if not trials.answered.any():
        raise InputError("holds no answered trial", source=path, remedy="collect some answers first")
    answered = _about(ids, trials[trials.answered], path)
    return answered, len(trials) - len(answered)


def _about(ids: tuple[str, ...], trials: TripletSet, source: str) -> TripletSet:
    place = {name: k for k, name in enumerate(ids)}
    unknown = [name for name in trials.used_ids() if name not in place]
    if unknown:
        stimuli = "a stimulus" if len(unknown) == 1 else f"{len(unknown)} stimuli"
        raise InputError(
            f"is about {stimuli} that the study does not have ({cut_short(unknown)})",
            source=source,
            remedy="give the study these stimuli, or make the ids match (affectome triplets import --stimuli)",
        )
    moved = np.array([place.get(name, -1) for name in trials.ids])
    return TripletSet(
        moved[trials.triplets], ids, trials.choice, trials.probabilities, trials.block, metadata=trials.metadata
    )
