"""What systems answer: judges that look at a space, files that hold answers, and what is known of their slots."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.spaces import write_space
from affectome.study._engine import Stage
from affectome.study._plan import STIMULI, Plan
from affectome.study._questions import read_about
from affectome.study._study_tables import AnswersTable, SentenceJudgeTable
from affectome.triplets import TripletSet, split_triplets, write_triplets

logger = logging.getLogger(__name__)

__all__ = ["caption_space", "computed_answers", "given_answers", "slot_bias_facts", "slot_prior_facts"]


def caption_space(plan: Plan, name: str, table: SentenceJudgeTable) -> Stage:
    """The captions through a sentence encoder, as a space that the system's judge looks at."""
    from affectome.judges import encode_captions, model_identity

    path = f"spaces/{plan.judged_space(name)}.parquet"

    def run(progress: Progress) -> Mapping[str, Any]:
        captions = plan.stimuli().captions
        settings = {"batch_size": table.batch_size, "device": table.device}
        space = encode_captions(captions, table.model, **settings, progress=progress)  # type: ignore[arg-type]
        write_space(plan.results / path, space, {"origin": "captions", "model": table.model, "centred": True})
        return {"model": table.model, "n_dimensions": space.shape[1]}

    return Stage(f"captions/{name}", run, (path,), {"model": model_identity(table.model)}, reads=(STIMULI,))


def computed_answers(plan: Plan, name: str) -> Stage:
    """Every question of the study answered from a space."""
    from affectome.judges import FeatureJudge, ask

    table, parts, outputs = plan.study.systems[name].judge, plan.parts(name), plan.answer_files(name)
    settings = table.model_dump(include={"metric", "standardise", "temperature"})

    def run(progress: Progress) -> Mapping[str, Any]:
        space = plan.space(plan.judged_space(name))
        for part, path in zip(parts, outputs, strict=True):
            judge = FeatureJudge(space, **settings, seed=plan.seed("answers", name, part))
            write_triplets(plan.results / path, ask(judge, plan.trials(part), progress=progress))
        return {"judge": table.model_dump(exclude_none=True)}

    parameters = {**table.model_dump(exclude={"batch_size", "device"}), "seed": plan.seed("answers", name)}
    reads = (*(f"triplets/{part}.parquet" for part in parts), f"spaces/{plan.judged_space(name)}.parquet")
    return Stage(f"answers/{name}", run, outputs, parameters, reads=reads)


def given_answers(plan: Plan, name: str, table: AnswersTable) -> Stage:
    """Answers of a file, some of them held out; none to a triplet of its validation or repeats is learned from."""
    outputs, seed = plan.answer_files(name), plan.seed("held out", name)
    apart = {part: getattr(table, part) for part in plan.parts(name)[2:]}

    def run(progress: Progress) -> Mapping[str, Any]:
        ids = plan.stimuli().ids
        answered, n_unanswered = read_about(ids, table.path)
        further = {part: read_about(ids, path)[0] for part, path in apart.items()}
        known = _beside(answered, further, table.path)
        logger.info(
            "System %s: %d answers, %d trials without one left out; its questions are its own, so the agreement on "
            "shared questions is computed without it.",
            name,
            len(answered),
            n_unanswered,
        )
        for part, path in zip((*_held_apart(known, table, seed), *further.values()), outputs, strict=True):
            write_triplets(plan.results / path, part)
        return {
            "judge": {"kind": "answers", "described": answered.metadata.get("judge"), "held_out": table.held_out},
            "n_trials": len(answered) + n_unanswered,
            "n_answered": len(answered),
            "n_unanswered": n_unanswered,
            **({"n_kept_apart": len(answered) - len(known)} if further else {}),
            "slot_bias": slot_bias_facts(answered),
            "slot_prior": slot_prior_facts(answered, table.path),
        }

    parameters = {"held_out": table.held_out, "seed": seed, **({"parts": sorted(apart)} if apart else {})}
    files = tuple(Path(path) for path in (table.path, *apart.values()))
    return Stage(f"answers/{name}", run, outputs, parameters, files, (STIMULI,))


def _beside(answered: TripletSet, further: Mapping[str, TripletSet], source: str) -> TripletSet:
    """The answers to triplets that none of the further sets holds."""
    if not further:
        return answered
    taken = np.concatenate([part.keys() for part in further.values()])
    kept = answered[~np.isin(answered.keys(), taken)]
    if len(kept) < len(answered):
        logger.info("%d answers are to triplets of the validation or the repeats.", len(answered) - len(kept))
    if len(kept) == 0:
        raise InputError(
            "holds only triplets of the validation or the repeats, and none to learn from",
            source=source,
            remedy="name a file with answers to others",
        )
    return kept


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


def slot_bias_facts(answered: TripletSet) -> dict[str, Any] | None:
    """The test of the slots as JSON values; None where the slots shown are not known."""
    from affectome.collection import slot_bias

    if answered.metadata.get("order_shown") == "unknown":
        return None
    return {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in vars(slot_bias(answered)).items()
    }


def slot_prior_facts(answered: TripletSet, source: str) -> dict[str, Any] | None:
    """The slot prior that comes with the answers, checked, with its interval where it is known."""
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
