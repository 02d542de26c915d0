"""The space behind the answers of each system, and which of its components come back from other seeds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from affectome._files import file_digest
from affectome._progress import Progress
from affectome.errors import InputError
from affectome.spaces import write_space
from affectome.study._engine import Stage
from affectome.study._kept_fits import fit_settings, kept_fits, reproducibility_facts, write_consensus
from affectome.study._plan import Plan
from affectome.study._study_tables import JudgeFileTable
from affectome.study._written import Written, written_stage
from affectome.triplets import TripletSet

if TYPE_CHECKING:
    import pandas as pd

    from affectome.embedding import VICE, SPoSE

logger = logging.getLogger(__name__)

__all__ = ["embedding", "reproducibility"]

#: Keys of [embedding] that VICE has no use for: its prior does their work.
_OF_SPOSE = ("l1", "max_iter", "tol")


def embedding(plan: Plan, name: str) -> Stage:
    """Fit one space to the answers a system gives to the training triplets."""
    from affectome.embedding import VICE

    settings, seed, soft = _settings(plan), plan.seed("embedding", name), _is_soft(plan, name)
    method = plan.study.embedding.method
    path, scale = f"spaces/{name}.parquet", f"spaces/{name}.scale.parquet"

    def run(progress: Progress) -> Mapping[str, Any]:
        trials = plan.trials(f"{name}_train")
        model, prior = _estimator(plan, trials, seed)
        model.fit(trials, _probabilities(trials, name) if soft else None, progress=progress)
        _refuse_nothing(model, name, method)
        summary = {
            "method": method,
            "n_components": model.n_components_,
            "objective": model.objective_,
            "epochs": model.n_epochs_,
            "converged": model.converged_,
            "n_trials": model.n_trials_,
            "slot_prior": prior,
        }
        history = {"settings": {**settings, "seed": seed}, **summary}
        write_space(plan.results / path, model.to_space(trials.ids), history)
        if isinstance(model, VICE):
            write_space(plan.results / scale, model.to_scale_space(trials.ids), {"settings": history["settings"]})
        return summary

    outputs = (path, scale) if method == "vice" else (path,)
    return Stage(f"embedding/{name}", run, outputs, _parameters(plan, name, seed), reads=plan.answer_files(name)[:1])


def _parameters(plan: Plan, name: str, seed: int) -> dict[str, Any]:
    """What decides a fit; what was added to studies later is in no key of a study without it."""
    further: dict[str, Any] = {"soft": True} if _is_soft(plan, name) else {}
    if plan.study.embedding.method != "spose":
        further["method"] = plan.study.embedding.method
    return {**_settings(plan), "seed": seed, **further}


def _settings(plan: Plan) -> dict[str, Any]:
    """Parameters of the estimator; of VICE only those that were given, for its defaults are others."""
    table = plan.study.embedding
    if table.method == "spose":
        return {**table.model_dump(exclude={"components", "method", "seeds"}), "n_components": table.components}
    given = table.model_fields_set
    useless = [key for key in _OF_SPOSE if key in given]
    if useless:
        raise InputError(
            f"{useless[0]} is for spose; the prior of vice does its work",
            source="study.toml",
            where=f"[embedding] {useless[0]}",
            remedy="leave it out",
        )
    names = {"components": "n_components", "learning_rate": "learning_rate", "n_epochs": "n_epochs"}
    return {name: getattr(table, key) for key, name in names.items() if key in given}


def _estimator(plan: Plan, trials: TripletSet, seed: int) -> tuple[SPoSE | VICE, list[float] | None]:
    """The estimator of the study, with the slot prior of the answers where it belongs into the likelihood."""
    from affectome.collection import undivided_slot_prior
    from affectome.embedding import VICE, SPoSE

    prior = undivided_slot_prior(trials)
    offsets = None if prior is None else tuple(np.log(prior).tolist())
    kind: Any = VICE if plan.study.embedding.method == "vice" else SPoSE
    model = kind(**_settings(plan), random_state=seed, n_jobs=plan.n_jobs, slot_offsets=offsets)
    return model, None if prior is None else prior.tolist()


def _is_soft(plan: Plan, name: str) -> bool:
    judge = plan.study.systems[name].judge
    return isinstance(judge, JudgeFileTable) and judge.soft


def _probabilities(trials: TripletSet, name: str) -> Any:
    if trials.probabilities is None:
        raise InputError(
            f"the judge of '{name}' gives no probabilities",
            source="study.toml",
            where=f"[systems.{name}.judge] soft",
            remedy="leave it out",
        )
    return trials.probabilities


def _refuse_nothing(model: SPoSE | VICE, name: str, method: str) -> None:
    if model.n_components_ == 0:
        where, remedy = ("[triplets] train", "raise it") if method == "vice" else ("[embedding] l1", "lower it")
        raise InputError(f"every component of '{name}' vanished", source="study.toml", where=where, remedy=remedy)


# From other seeds


def reproducibility(plan: Plan, name: str) -> Stage:
    """Fit from further seeds and say which components come back; the space stays that of the first seed."""
    table, scoring = plan.study.embedding, plan.study.behavior
    folder, seed = f"behavior/{name}", plan.seed("reproducibility", name)
    seeds = {number: plan.seed("embedding", name, f"seed {number}") for number in range(2, table.seeds + 1)}
    runs = {number: f"{folder}/runs/seed_{number:02d}.parquet" for number in seeds}
    reads = (f"spaces/{name}.parquet", plan.answer_files(name)[0])

    def run(progress: Progress) -> Written:
        from affectome.embedding import component_reproducibility, consensus_embedding
        from affectome.plotting import plot_reproducibility

        fitted = _further_fits(plan, name, {seeds[number]: path for number, path in runs.items()}, progress)
        spaces = {"seed 1": plan.space(name), **{f"seed {number}": fitted[seeds[number]] for number in seeds}}
        result = component_reproducibility(
            spaces, level=scoring.level, n_null=scoring.permutations, seed=seed, progress=progress
        )
        for a, b in result.identical:
            logger.warning("'%s' and '%s' of '%s' are the same, to the last digit, and say nothing.", a, b, name)
        consensus = consensus_embedding(spaces, seed=seed)
        own = result.table.loc[result.table["run"] == "seed 1", "split_half"]
        # Of components, not of a sample of them: there is no interval.
        headline = {"value": float(own.median()), "ci_low": None, "ci_high": None}
        files = [
            path.relative_to(plan.results).as_posix() for path in write_consensus(plan.results / folder, consensus)
        ]
        return Written(
            {"reproducibility": result.table, "pairs": result.pairs, "consensus": consensus.table},
            {"reproducibility": plot_reproducibility(result, plan.study.label(name))},
            {**headline, **reproducibility_facts(result, consensus)},
            files,
        )

    return written_stage(
        f"reproducibility/{name}",
        plan.results,
        folder,
        run,
        tables=["reproducibility", "pairs", "consensus"],
        figures=["reproducibility"],
        others=[path.removeprefix(f"{folder}/") for path in runs.values()],
        parameters={
            **_parameters(plan, name, seed),
            "seeds": list(seeds.values()),
            "permutations": scoring.permutations,
            "level": scoring.level,
            "label": plan.study.label(name),
        },
        reads=reads,
    )


def _further_fits(plan: Plan, name: str, runs: Mapping[int, str], progress: Progress) -> dict[int, pd.DataFrame]:
    """The spaces from other seeds; a stage that was stopped goes on with those it had."""
    trials = plan.trials(f"{name}_train")
    model, _ = _estimator(plan, trials, 0)
    settings = {
        "method": plan.study.embedding.method,
        **_settings(plan),
        "soft": _is_soft(plan, name),
        "triplets": file_digest(plan.results / plan.answer_files(name)[0]),
    }
    paths = {seed: plan.results / path for seed, path in runs.items()}
    for seed, path in paths.items():
        if path.exists() and fit_settings(path) != {**settings, "seed": seed}:
            path.unlink()  # of other answers or settings

    def check(seed: int, fitted: SPoSE | VICE) -> None:
        _refuse_nothing(fitted, name, plan.study.embedding.method)

    return kept_fits(
        model,
        trials,
        paths,
        settings,
        check=check,
        probabilities=_probabilities(trials, name) if _is_soft(plan, name) else None,
        n_jobs=plan.n_jobs,
        progress=progress,
    )
