"""Judges that are asked while the study runs, all questions through one journal that a stopped study goes on with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from affectome._files import make_folder
from affectome._progress import Progress
from affectome._toml import read_toml
from affectome.errors import EnvironmentFailure, InputError, Interrupted
from affectome.stimuli import StimulusSet, read_stimuli
from affectome.study._answers import slot_bias_facts, slot_prior_facts
from affectome.study._engine import Stage
from affectome.study._plan import STIMULI, Plan
from affectome.study._study_tables import JudgeFileTable
from affectome.triplets import TripletSet, read_triplets, write_triplets

if TYPE_CHECKING:
    from affectome.collection import Collected
    from affectome.judges import Judge

logger = logging.getLogger(__name__)

__all__ = ["collected_answers"]


def collected_answers(plan: Plan, name: str, table: JudgeFileTable) -> Stage:
    """Ask a judge all questions of the study.

    The journal is no output: it outlives a study that is stopped, and answers in it were paid for. Repeats are
    questions of their own in it, and so are asked again.
    """
    parts, outputs = plan.parts(name), plan.answer_files(name)
    journal = plan.results / f"collection/{name}.sqlite"

    def run(progress: Progress) -> Mapping[str, Any]:
        sets = {part: plan.trials(part) for part in parts}
        collected = _collect(_one_after_another(sets), _judge(plan, table), journal, table, progress)
        answers = _exported(journal)
        ends = np.cumsum([len(part) for part in sets.values()])
        for questions, end, path in zip(sets.values(), ends.tolist(), outputs, strict=True):
            rows = answers[end - len(questions) : end]
            write_triplets(
                plan.results / path, questions.with_answers(rows.choice, rows.probabilities, answers.metadata)
            )
        once = answers[: ends[1]]  # to learn from and to test: no triplet twice, as the test of the slots wants it
        return {
            "judge": {"kind": "file", "described": answers.metadata.get("judge"), "soft": table.soft},
            "n_trials": len(answers),
            "n_answered": collected.n_answered,
            "n_unanswered": collected.n_failed,
            "collection": _spent(collected),
            "slot_bias": slot_bias_facts(once[once.answered]),
            "slot_prior": slot_prior_facts(answers, str(journal)),
        }

    reads = (STIMULI, *(f"triplets/{part}.parquet" for part in parts))
    return Stage(f"answers/{name}", run, outputs, {"parts": parts}, _files(plan, table), reads)


def _one_after_another(sets: Mapping[str, TripletSet]) -> TripletSet:
    """All questions; the block of each is the number of its set."""
    first, block = next(iter(sets.values())), np.repeat(range(len(sets)), [len(part) for part in sets.values()])
    shown = np.concatenate([part.triplets for part in sets.values()])
    return TripletSet(shown, first.ids, block=block, metadata={"parts": {n: len(part) for n, part in sets.items()}})


def _collect(
    questions: TripletSet, judge: Judge, journal: Path, table: JudgeFileTable, progress: Progress
) -> Collected:
    """Ask what is not answered yet; say why where that is not all."""
    from affectome.collection import Budget, Collector, run_until_stopped

    def watch(state: Collected) -> None:
        progress(state.n_answered + state.n_failed, state.n_questions, detail=f"{state.rate:,.1f} a second")

    try:
        collector = Collector(questions, judge, journal, budget=Budget(cost=table.budget), watch=watch)
        collected = run_until_stopped(collector, logger.warning)
    except InputError as error:
        if error.source == str(journal):
            error.remedy = (
                "restore what the study or the judge file said, or move the journal away; "
                "then everything is asked, and paid for, again"
            )
        raise
    except EnvironmentFailure as error:
        if error.source == str(journal):
            raise
        raise Interrupted(
            error.problem,
            source=error.source or table.path,
            remedy="run the study again when it can be asked; every answer before is kept",
        ) from error
    if collected.lacks_room:
        raise EnvironmentFailure(
            "the disk is nearly full; what was answered is kept",
            source=journal,
            remedy="make room and run the study again to go on",
        )
    if collected.ended != "all asked":
        raise Interrupted(
            f"{collected.ended}, with {collected.n_answered:,} of {collected.n_questions:,} questions answered",
            source=table.path,
            remedy="raise it and run the study again to go on; every answer is kept",
        )
    if collected.n_open:
        raise Interrupted(
            f"{collected.n_open:,} questions are with a provider in batch files",
            source=journal,
            remedy="take the answers in ('affectome collect batch ingest') and run the study again",
        )
    return collected


def _exported(journal: Path) -> TripletSet:
    """The answers in the order of the questions, without the preference for slots where repeats tell it.

    Probabilities are divided by it; beside single choices it stays in the metadata, for the likelihood of the fit.
    """
    from affectome.collection import Journal, export_journal

    with Journal.open(journal) as opened, TemporaryDirectory(dir=make_folder(journal.parent)) as folder:
        out = Path(folder) / "answers.parquet"
        try:
            export_journal(opened, out, debiased=True)
        except InputError as error:
            logger.info("The slot prior of %s is not known: %s.", journal.stem, error.problem)
            export_journal(opened, out)
        return read_triplets(out)


def _spent(collected: Collected) -> dict[str, Any]:
    return {
        "prompt_tokens": collected.prompt_tokens,
        "completion_tokens": collected.completion_tokens,
        "cached_tokens": collected.cached_tokens,
        "cost": collected.cost,
    }


def _names_stimuli(content: Mapping[str, Any]) -> bool:
    """Whether a judge file says itself what the judge is shown."""
    return any(key in content for key in ("stimuli", "captions", "space"))


def _judge(plan: Plan, table: JudgeFileTable) -> Judge:
    """The judge, shown the stimuli of its file, or else those of the study."""
    from affectome.judges import read_judge

    return read_judge(table.path, stimuli=None if _names_stimuli(read_toml(table.path)) else _shown(plan))


def _shown(plan: Plan) -> StimulusSet:
    """Captions as the study has them, and the clips of its stimulus table or folder."""
    given = plan.study.stimuli
    if given.dataset is not None:
        return plan.stimuli()
    return replace(plan.stimuli(), videos=read_stimuli(given.path, id_column=given.id_column).videos)


def _files(plan: Plan, table: JudgeFileTable) -> tuple[Path, ...]:
    """What decides the answers: the judge file (keys are never in one), and what it names beside itself."""
    source = Path(table.path)
    content = read_toml(source)
    captions = content.get("captions")
    named = [content.get(key) for key in ("stimuli", "space", "prompt")]
    named.append(captions.get("path") if isinstance(captions, dict) else None)
    places = [source.parent / Path(name).expanduser() for name in named if isinstance(name, str)]
    found = [source, *(place for place in places if place.exists())]
    return tuple(found) if _names_stimuli(content) else (*found, Path(plan.study.stimuli.path))
