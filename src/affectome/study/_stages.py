"""The stages of a study, from its stimuli to the agreement of its systems."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affectome._files import write_json
from affectome._progress import Progress
from affectome._seeds import named_seed
from affectome._tables import cut_short, write_csv
from affectome.errors import InputError
from affectome.spaces import concatenate, read_space, write_space
from affectome.stimuli import (
    DATASETS,
    StimulusSet,
    read_stimuli,
    write_stimuli,
)
from affectome.study._engine import Stage
from affectome.study._schema import Study
from affectome.study._study_tables import AnswersTable, FeatureJudgeTable, SentenceJudgeTable
from affectome.triplets import TripletSet, read_triplets, sample_triplets, split_triplets, write_triplets

logger = logging.getLogger(__name__)

__all__ = ["STIMULI", "Plan", "behavior_stages"]


@dataclass(frozen=True, eq=False)
class Plan:
    """A study and where its results go; every path a stage writes lies below `results`."""

    study: Study
    results: Path
    n_jobs: int | None = None

    def seed(self, *names: str) -> int:
        """A seed for one purpose."""
        return named_seed(self.study.study.seed, *names)

    def space(self, name: str | None) -> Any:
        """A space that an earlier stage wrote."""
        return read_space(self.results / f"spaces/{name}.parquet")

    def trials(self, name: str) -> TripletSet:
        """Triplets that an earlier stage wrote."""
        return read_triplets(self.results / f"triplets/{name}.parquet")

    def stimuli(self) -> StimulusSet:
        """Ids and captions as the first stage wrote them."""
        return read_stimuli(self.results / STIMULI)

    @property
    def asked_systems(self) -> list[str]:
        """Systems that answer the study's own questions; the others bring theirs."""
        return [name for name, system in self.study.systems.items() if not isinstance(system.judge, AnswersTable)]

    def judged_space(self, system: str) -> str | None:
        """Name of the space that a system's judge looks at; None where its answers come from a file."""
        judge = self.study.systems[system].judge
        if isinstance(judge, SentenceJudgeTable):
            return f"{system}_captions"
        return judge.space if isinstance(judge, FeatureJudgeTable) else None


#: Where the first stage writes ids and captions.
STIMULI = "stimuli/stimuli.parquet"


def behavior_stages(plan: Plan) -> list[Stage]:
    """Stimuli, questions, and for each system its answers, its embedding and how well that predicts."""
    stages = [_stimuli(plan), _questions(plan)]
    for name, system in plan.study.systems.items():
        if isinstance(system.judge, SentenceJudgeTable):
            stages.append(_encoding(plan, name, system.judge))
        judge = system.judge
        answers = _given_answers(plan, name, judge) if isinstance(judge, AnswersTable) else _answers(plan, name)
        stages += [answers, _embedding(plan, name), _accuracy(plan, name)]
    if len(plan.asked_systems) > 1:
        stages.append(_agreement(plan))
    return stages


def _stimuli(plan: Plan) -> Stage:
    study, wanted = plan.study, plan.study.spaces_used()
    outputs = (STIMULI, *(f"spaces/{name}.parquet" for name in wanted))

    def run(progress: Progress) -> Mapping[str, Any]:
        stimuli = _load_stimuli(study)
        write_stimuli(plan.results / STIMULI, stimuli)
        for name in wanted:
            write_space(plan.results / f"spaces/{name}.parquet", stimuli.spaces[name], {"origin": "stimuli"})
        return {
            "n": len(stimuli),
            "n_captions": sum(len(texts) for texts in stimuli.captions.values()),
            "spaces": {name: stimuli.spaces[name].shape[1] for name in wanted},
        }

    paths = [study.stimuli.path, *([study.captions.path] if study.captions else [])]
    paths += [table.path for table in study.spaces.values() if table.path is not None]
    parameters = {
        "stimuli": study.stimuli.model_dump(exclude={"path"}),
        "captions": study.captions and study.captions.model_dump(exclude={"path"}),
        "spaces": {name: table.model_dump(exclude={"path"}) for name, table in study.spaces.items()},
    }
    return Stage("stimuli", run, outputs, parameters, tuple(Path(path) for path in paths))


def _load_stimuli(study: Study) -> StimulusSet:
    table = study.stimuli
    if table.dataset is None:
        stimuli = read_stimuli(table.path, id_column=table.id_column)
    else:
        stimuli = DATASETS[table.dataset](table.path)
    if study.captions is not None:
        stimuli = stimuli.with_captions(study.captions.read())
    for name, space in study.spaces.items():
        if space.path is not None:
            table_of = read_space(space.path, id_column=space.id_column)
            stimuli = stimuli.with_space(name, table_of, how=space.how, source=space.path)
    for name, space in study.spaces.items():
        if space.concatenate:
            stimuli = stimuli.with_space(name, concatenate({part: stimuli.spaces[part] for part in space.concatenate}))
    missing = [name for name in study.spaces_used() if name not in stimuli.spaces]
    if missing:
        raise InputError(f"has no space {cut_short(missing)}", source=table.path, remedy="download the whole file")
    return stimuli


def _questions(plan: Plan) -> Stage:
    design, seed = plan.study.triplets, plan.seed("questions")
    outputs = ("triplets/train.parquet", "triplets/test.parquet")

    def run(progress: Progress) -> Mapping[str, Any]:
        ids = plan.stimuli().ids
        train = sample_triplets(ids, design.train, design=design.design, seed=seed)
        test = sample_triplets(ids, design.test, seed=plan.seed("held out"), exclude=train)
        for path, part in zip(outputs, (train, test), strict=True):
            write_triplets(plan.results / path, part)
        return design.model_dump()

    return Stage("questions", run, outputs, {**design.model_dump(), "seed": seed}, reads=(STIMULI,))


def _encoding(plan: Plan, name: str, table: SentenceJudgeTable) -> Stage:
    from affectome.judges import encode_captions, model_identity

    path = f"spaces/{plan.judged_space(name)}.parquet"

    def run(progress: Progress) -> Mapping[str, Any]:
        captions = plan.stimuli().captions
        settings = {"batch_size": table.batch_size, "device": table.device}
        space = encode_captions(captions, table.model, **settings, progress=progress)  # type: ignore[arg-type]
        write_space(plan.results / path, space, {"origin": "captions", "model": table.model, "centred": True})
        return {"model": table.model, "n_dimensions": space.shape[1]}

    return Stage(f"captions/{name}", run, (path,), {"model": model_identity(table.model)}, reads=(STIMULI,))


def _answers(plan: Plan, name: str) -> Stage:
    from affectome.judges import FeatureJudge, ask

    table = plan.study.systems[name].judge
    outputs = (f"triplets/{name}_train.parquet", f"triplets/{name}_test.parquet")
    settings = table.model_dump(include={"metric", "standardise", "temperature"})

    def run(progress: Progress) -> Mapping[str, Any]:
        space = plan.space(plan.judged_space(name))
        for part, path in zip(("train", "test"), outputs, strict=True):
            judge = FeatureJudge(space, **settings, seed=plan.seed("answers", name, part))
            write_triplets(plan.results / path, ask(judge, plan.trials(part), progress=progress))
        return {"judge": table.model_dump(exclude_none=True)}

    parameters = {**table.model_dump(exclude={"batch_size", "device"}), "seed": plan.seed("answers", name)}
    reads = ("triplets/train.parquet", "triplets/test.parquet", f"spaces/{plan.judged_space(name)}.parquet")
    return Stage(f"answers/{name}", run, outputs, parameters, reads=reads)


def _given_answers(plan: Plan, name: str, table: AnswersTable) -> Stage:
    outputs = (f"triplets/{name}_train.parquet", f"triplets/{name}_test.parquet")
    seed = plan.seed("held out", name)

    def run(progress: Progress) -> Mapping[str, Any]:
        ids = plan.stimuli().ids
        own = Path(table.path).suffix.lower() == ".parquet"  # it names its stimuli; the other formats count them
        trials = read_triplets(table.path, stimuli=None if own else ids)
        if not trials.answered.any():
            raise InputError("holds no answered trial", source=table.path, remedy="collect some answers first")
        answered = _about(ids, trials[trials.answered], table.path)
        n_unanswered = len(trials) - len(answered)
        logger.info(
            "System %s: %d answers, %d trials without one left out; its questions are its own, so the agreement on "
            "shared questions is computed without it.",
            name,
            len(answered),
            n_unanswered,
        )
        for part, path in zip(_held_apart(answered, table, seed), outputs, strict=True):
            write_triplets(plan.results / path, part)
        return {
            "judge": {"kind": "answers", "described": trials.metadata.get("judge"), "held_out": table.held_out},
            "n_trials": len(trials),
            "n_answered": len(answered),
            "n_unanswered": n_unanswered,
            "slot_bias": _slot_bias_facts(answered),
            "slot_prior": _slot_prior_facts(answered, table.path),
        }

    parameters = {"held_out": table.held_out, "seed": seed}
    return Stage(f"answers/{name}", run, outputs, parameters, (Path(table.path),), (STIMULI,))


def _held_apart(answered: TripletSet, table: AnswersTable, seed: int) -> tuple[TripletSet, ...]:
    """The answers to learn from and those to hold out; every answer is in one of them, no triplet in both."""
    n_different = len(np.unique(answered.keys()))
    if n_different < 2:
        raise InputError(
            "holds answers to a single triplet, which cannot be both learned from and held out",
            source=table.path,
            remedy="collect answers to more triplets",
        )
    held = min(max(1, round(table.held_out * n_different)), n_different - 1)
    return split_triplets(answered, [n_different - held, held], seed=seed)


def _slot_bias_facts(answered: TripletSet) -> dict[str, Any] | None:
    """The test of the slots as JSON values; None where the slots shown are not known."""
    from affectome.collection import slot_bias

    if answered.metadata.get("order_shown") == "unknown":
        return None
    return {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in vars(slot_bias(answered)).items()
    }


def _slot_prior_facts(answered: TripletSet, source: str) -> dict[str, Any] | None:
    """The slot prior that the file carries, checked, with its interval where it is known."""
    from affectome.collection import check_slot_prior

    known = answered.metadata.get("slot_prior")
    if not isinstance(known, dict):
        return None
    try:
        prior = check_slot_prior(known.get("prior", ()))
    except InputError as error:
        error.source = source
        raise
    interval = {end: known.get(end) for end in ("ci_low", "ci_high")}
    if not all(_three_numbers(values) for values in interval.values()):
        interval = dict.fromkeys(interval)  # a prior given by hand has none
    return {"prior": prior.tolist(), **interval, "divided_out": bool(known.get("divided_out"))}


def _three_numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(isinstance(v, int | float) and 0 <= v <= 1 for v in values)
    )


def _about(ids: tuple[str, ...], trials: TripletSet, source: str) -> TripletSet:
    """Trials whose indices count these ids; stimuli that the study does not have are refused."""
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


def _embedding(plan: Plan, name: str) -> Stage:
    from affectome.collection import undivided_slot_prior
    from affectome.embedding import SPoSE

    table, seed = plan.study.embedding, plan.seed("embedding", name)
    path = f"spaces/{name}.parquet"
    settings = {**table.model_dump(exclude={"components", "method", "seeds"}), "n_components": table.components}

    def run(progress: Progress) -> Mapping[str, Any]:
        trials = plan.trials(f"{name}_train")
        prior = undivided_slot_prior(trials)
        offsets = None if prior is None else tuple(np.log(prior).tolist())
        model = SPoSE(**settings, random_state=seed, n_jobs=plan.n_jobs, slot_offsets=offsets)
        model.fit(trials, progress=progress)
        if model.n_components_ == 0:
            raise InputError(
                f"every component of '{name}' vanished", source="study.toml", where="[embedding] l1", remedy="lower it"
            )
        summary = {
            "method": "spose",
            "n_components": model.n_components_,
            "objective": model.objective_,
            "epochs": model.n_epochs_,
            "converged": model.converged_,
            "n_trials": model.n_trials_,
            "slot_prior": None if prior is None else prior.tolist(),
        }
        history = {"settings": {**settings, "seed": seed}, **summary}
        write_space(plan.results / path, model.to_space(trials.ids), history)
        return summary

    return Stage(
        f"embedding/{name}", run, (path,), {**settings, "seed": seed}, reads=(f"triplets/{name}_train.parquet",)
    )


def _accuracy(plan: Plan, name: str) -> Stage:
    from affectome.behavior import held_out_accuracy

    table, seed = plan.study.behavior, plan.seed("accuracy", name)
    path = f"behavior/{name}_accuracy.json"

    def run(progress: Progress) -> Mapping[str, Any]:
        trials = plan.trials(f"{name}_test")
        score = held_out_accuracy(
            plan.space(name), trials, n_boot=table.bootstrap, level=table.level, seed=seed, n_jobs=plan.n_jobs
        )
        summary = {**vars(score), "chance": 1 / 3}
        write_json(plan.results / path, summary)
        return summary

    reads = (f"spaces/{name}.parquet", f"triplets/{name}_test.parquet")
    return Stage(f"behavior/{name}", run, (path,), {**table.model_dump(), "seed": seed}, reads=reads)


def _agreement(plan: Plan) -> Stage:
    from affectome.behavior import choice_agreement

    table, seed = plan.study.behavior, plan.seed("agreement")
    path = "behavior/agreement.csv"

    def run(progress: Progress) -> Mapping[str, Any]:
        answers = {name: plan.trials(f"{name}_test") for name in plan.asked_systems}
        result = choice_agreement(answers, n_boot=table.bootstrap, level=table.level, seed=seed)
        write_csv(plan.results / path, result.table, index=False)
        return {"pairs": result.table.to_dict("records"), "level": table.level, "chance": 1 / 3}

    reads = tuple(f"triplets/{name}_test.parquet" for name in plan.asked_systems)
    return Stage("agreement", run, (path,), {**table.model_dump(), "seed": seed}, reads=reads)
