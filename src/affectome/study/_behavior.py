"""How well each space predicts choices and similarities, how much of either could be predicted, and who agrees."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectome._files import write_json
from affectome._progress import Progress
from affectome._tables import write_csv
from affectome.study._behavior_tables import (
    ceiling_facts,
    consistency_facts,
    explained_facts,
    needed_facts,
    rsm_facts,
    rsm_figure,
    rsm_pairs,
    rsm_reliabilities,
)
from affectome.study._engine import Stage
from affectome.study._plan import STIMULI, Plan
from affectome.study._questions import people_answers
from affectome.study._study_tables import FeatureJudgeTable, SentenceJudgeTable
from affectome.study._written import Written, written_stage
from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = ["accuracy", "agreement", "ceiling", "needed", "people", "people_together", "rsm"]


def accuracy(plan: Plan, name: str) -> Stage:
    """Share of the held-out choices that a space predicts."""
    from affectome.behavior import held_out_accuracy

    settings = _scoring(plan, "accuracy", name)
    path = f"behavior/{name}/accuracy.json"

    def run(progress: Progress) -> Mapping[str, Any]:
        score = held_out_accuracy(plan.space(name), plan.trials(f"{name}_test"), **settings, n_jobs=plan.n_jobs)
        summary = {**vars(score), "chance": 1 / 3}
        write_json(plan.results / path, summary)
        return summary

    return Stage(f"accuracy/{name}", run, (path,), settings, reads=_read(plan, name, "test"))


def ceiling(plan: Plan, name: str) -> Stage:
    """How well anything could predict the choices, and which share of that the space does."""
    settings = _scoring(plan, "ceiling", name)

    def run(progress: Progress) -> Written:
        from affectome.behavior import explained_accuracy

        repeats = plan.trials(f"{name}_repeats")
        result = explained_accuracy(
            plan.space(name), plan.trials(f"{name}_test"), repeats, **settings, n_jobs=plan.n_jobs
        )
        bracket = vars(result.ceiling.bracket())
        ends = {
            end: {"value": bracket[end], "ci_low": bracket[f"{end}_ci_low"], "ci_high": bracket[f"{end}_ci_high"]}
            for end in ("lower", "upper")
        }
        facts = explained_facts(result)
        summary = {**ends["upper"], **ends, **ceiling_facts(result.ceiling), **facts}
        del summary["ceiling"]  # is all of the above
        if bracket["lower"] == 1 and _is_computed(plan, name):
            summary["warnings"] = [
                f"{plan.study.label(name)} computes its choices and never errs, so its ceiling is 1 and its repeats "
                "say nothing of noise."
            ]
        for sentence in summary["warnings"]:
            logger.warning("%s: %s", name, sentence)
        return Written({"ceiling": result.ceiling.table, "explained": result.table}, {}, summary)

    return _stage(plan, "ceiling", name, run, ("test", "repeats"), settings, tables=["ceiling", "explained"])


def rsm(plan: Plan, name: str) -> Stage:
    """Which stimuli are kept together, measured and predicted, and how many components that takes."""
    scoring, ordering = plan.study.behavior, plan.study.interpretation.categories
    settings = _scoring(plan, "rsm", name)
    ties = plan.seed("ties")

    def run(progress: Progress) -> Written:
        from affectome.behavior import measured_rsm, predicted_rsm, rsm_agreement, rsm_by_components
        from affectome.plotting import plot_rsm_by_components

        trials, space = plan.trials(f"{name}_validation"), plan.space(name)
        measured = measured_rsm(trials)
        predicted = predicted_rsm(space, measured.similarity.index.tolist(), n_jobs=plan.n_jobs)
        found = rsm_agreement(
            measured.similarity, predicted, **settings, n_permutations=scoring.permutations, progress=progress
        )
        curve = rsm_by_components(space, measured.similarity, **settings, n_jobs=plan.n_jobs, progress=progress)
        ratings = None if ordering is None else plan.space(ordering)
        facts = rsm_facts(measured, found, rsm_reliabilities(trials, measured, settings["seed"]))
        headline = {"value": found.pearson.r, "ci_low": found.pearson.ci_low, "ci_high": found.pearson.ci_high}
        return Written(
            {"rsm": rsm_pairs(measured, predicted).set_index("first"), "rsm_by_components": curve.curve},
            {
                "rsm": rsm_figure(measured, predicted, found, categories=ratings, seed=ties),
                "rsm_by_components": plot_rsm_by_components(curve),
            },
            {**headline, "p": found.pearson.p, **facts, "by_components": curve.curve.reset_index().to_dict("records")},
        )

    parameters = {**settings, "permutations": scoring.permutations, "ties": ties if ordering else None}
    return _stage(
        plan,
        "rsm",
        name,
        run,
        ("validation",),
        parameters,
        tables=["rsm", "rsm_by_components"],
        figures=["rsm", "rsm_by_components"],
        reads=() if ordering is None else (f"spaces/{ordering}.parquet",),
    )


def needed(plan: Plan, name: str) -> Stage:
    """How many of its largest weights a stimulus needs for 95 to 99% of the accuracy."""
    settings = _scoring(plan, "needed", name)

    def run(progress: Progress) -> Written:
        from affectome.behavior import components_needed
        from affectome.plotting import plot_components_needed

        trials = plan.trials(f"{name}_test")
        result = components_needed(plan.space(name), trials, **settings, n_jobs=plan.n_jobs, progress=progress)
        facts = needed_facts(result, None)
        del facts["rsm"]  # a stage of its own
        first = facts["needed"][0]  # the smallest share of the accuracy itself
        headline = {"value": first["k"], **{key: first[key] for key in ("ci_low", "ci_high", "share", "baseline")}}
        return Written(
            {"accuracy_by_weights": result.curve, "components_needed": result.needed.set_index("share")},
            {"components_needed": plot_components_needed(result)},
            {**headline, **facts},
        )

    tables = ["accuracy_by_weights", "components_needed"]
    return _stage(plan, "needed", name, run, ("test",), settings, tables=tables, figures=["components_needed"])


def _is_computed(plan: Plan, name: str) -> bool:
    """Whether a judge always makes the same choice, since it draws no noise."""
    judge = plan.study.systems[name].judge
    return isinstance(judge, (FeatureJudgeTable, SentenceJudgeTable)) and judge.temperature is None


def _scoring(plan: Plan, *purpose: str) -> dict[str, Any]:
    """Of a bootstrap for one purpose."""
    table = plan.study.behavior
    return {"n_boot": table.bootstrap, "level": table.level, "seed": plan.seed(*purpose)}


def _read(plan: Plan, name: str, *parts: str) -> tuple[str, ...]:
    return (f"spaces/{name}.parquet", *plan.answer_files(name, parts))


def _stage(
    plan: Plan,
    kind: str,
    name: str,
    run: Any,
    parts: Sequence[str],
    parameters: Mapping[str, Any],
    *,
    tables: Sequence[str],
    figures: Sequence[str] = (),
    reads: Sequence[str] = (),
) -> Stage:
    """A stage of one system that reads its space and some of its answers."""
    return written_stage(
        f"{kind}/{name}",
        plan.results,
        f"behavior/{name}",
        run,
        tables=tables,
        figures=figures,
        parameters={**parameters, "label": plan.study.label(name)},
        reads=(*_read(plan, name, *parts), *reads),
    )


# Systems beside each other, and beside people


def agreement(plan: Plan, systems: Sequence[str]) -> Stage:
    """How often systems that were asked the same questions chose alike."""
    from affectome.behavior import choice_agreement

    settings = _scoring(plan, "agreement")
    path = "behavior/agreement.csv"

    def run(progress: Progress) -> Mapping[str, Any]:
        result = choice_agreement({name: plan.trials(f"{name}_test") for name in systems}, **settings)
        write_csv(plan.results / path, result.table, index=False)
        return {"pairs": result.table.to_dict("records"), "level": settings["level"], "chance": 1 / 3}

    reads = tuple(file for name in systems for file in plan.answer_files(name, ["test"]))
    return Stage("agreement", run, (path,), settings, reads=reads)


def people(plan: Plan, name: str) -> Stage:
    """Does a system choose as people do?"""

    def headline(facts: dict[str, Any]) -> dict[str, Any]:
        own = facts["table"][0]
        return {"value": own["agreement"], **{key: value for key, value in own.items() if key not in ("name", "kind")}}

    return _beside_people(plan, f"people/{name}", [name], f"behavior/people/{name}", headline)


def people_together(plan: Plan, systems: Sequence[str]) -> Stage:
    """All systems beside people, on the triplets that all of them answered."""
    return _beside_people(plan, "people", systems, "behavior/people", lambda facts: {})


def _beside_people(plan: Plan, stage: str, systems: Sequence[str], folder: str, headline: Any) -> Stage:
    table = plan.study.people
    assert table is not None
    settings = _scoring(plan, "people")
    labels = {name: plan.study.label(name) for name in systems}
    files = tuple(file for name in systems for file in _answers_for_people(plan, name))

    def run(progress: Progress) -> Written:
        from affectome.behavior import choice_consistency
        from affectome.plotting import plot_consistency

        reference = people_answers(plan, plan.stimuli().ids)
        answers = {name: _own_answers(plan, name) for name in systems}
        result = choice_consistency(reference, answers, **settings)
        facts = consistency_facts(result)
        for sentence in result.warnings:
            logger.warning("%s: %s", stage, sentence)
        tables = {"consistency": result.table, "coverage": result.coverage, "slots": result.slots}
        if len(systems) > 1:
            tables["differences"] = result.differences
        return Written(
            {key: found.set_index(found.columns[0]) for key, found in tables.items()},
            {"consistency": plot_consistency(result, labels, people=table.label)},
            {**headline(facts), "label": table.label, **facts},
        )

    return written_stage(
        stage,
        plan.results,
        folder,
        run,
        tables=["consistency", "coverage", "slots", *(["differences"] if len(systems) > 1 else [])],
        figures=["consistency"],
        parameters={**settings, "labels": labels, "people": table.label},
        files=[Path(table.path)],
        reads=(STIMULI, *files),
    )


def _answers_for_people(plan: Plan, name: str) -> tuple[str, ...]:
    """The answers that may be to triplets of people: those asked for it, or all that a file holds."""
    return plan.answer_files(name, ["people"]) if "people" in plan.parts(name) else plan.answer_files(name)


def _own_answers(plan: Plan, name: str) -> TripletSet:
    """The answers of a system that may be to triplets of people, as one set."""
    parts = ["people"] if "people" in plan.parts(name) else plan.parts(name)
    sets = [plan.trials(f"{name}_{part}") for part in parts]
    first = sets[0]
    return TripletSet(
        np.concatenate([part.triplets for part in sets]),
        first.ids,
        np.concatenate([part.choice for part in sets]),
        metadata=first.metadata,
    )
