"""The stages of a study, from its stimuli to how well the space of each system predicts its choices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import concatenate, read_space, write_space
from affectome.stimuli import DATASETS, StimulusSet, load_horikawa_features, read_stimuli, write_stimuli
from affectome.study._answers import caption_space, computed_answers, given_answers
from affectome.study._behavior import accuracy, agreement, ceiling, needed, people, people_together, rsm
from affectome.study._collected import collected_answers
from affectome.study._engine import Stage
from affectome.study._fitted import embedding, reproducibility
from affectome.study._plan import STIMULI, Plan
from affectome.study._questions import questions
from affectome.study._schema import Study
from affectome.study._study_tables import AnswersTable, JudgeFileTable, SentenceJudgeTable, SpaceTable

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["behavior_stages", "side_by_side_stages"]


def behavior_stages(plan: Plan) -> list[Stage]:
    """Stimuli, questions, and for each system its answers, its embedding and how well that predicts."""
    stages = [_stimuli(plan), questions(plan)]
    for name in plan.study.systems:
        stages += [*_answers(plan, name), embedding(plan, name), *_scores(plan, name)]
    return stages


def side_by_side_stages(plan: Plan) -> list[Stage]:
    """Systems beside each other and beside people; without those that are left out."""
    asked = plan.asked_systems
    stages = [agreement(plan, asked)] if len(asked) > 1 else []
    if plan.study.people is not None:
        compared = [name for name in plan.systems if f"people/{name}" not in plan.failed]
        stages += [people_together(plan, compared)] if compared else []
    return stages


def _answers(plan: Plan, name: str) -> list[Stage]:
    judge = plan.study.systems[name].judge
    if isinstance(judge, AnswersTable):
        return [given_answers(plan, name, judge)]
    if isinstance(judge, JudgeFileTable):
        return [collected_answers(plan, name, judge)]
    encoding = [caption_space(plan, name, judge)] if isinstance(judge, SentenceJudgeTable) else []
    return [*encoding, computed_answers(plan, name)]


def _scores(plan: Plan, name: str) -> list[Stage]:
    """What is asked of the space and the answers of one system, and of nobody else's."""
    parts, study = plan.parts(name), plan.study
    wanted = {
        accuracy: True,
        ceiling: "repeats" in parts,
        rsm: "validation" in parts,
        needed: study.behavior.components_needed,
        reproducibility: study.embedding.seeds > 1,
        people: study.people is not None,
    }
    return [stage(plan, name) for stage, there in wanted.items() if there]


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
            stimuli = stimuli.with_space(name, _read_table(space), how=space.how, source=space.path)
    for name, space in study.spaces.items():
        if space.concatenate:
            stimuli = stimuli.with_space(name, concatenate({part: stimuli.spaces[part] for part in space.concatenate}))
    missing = [name for name in study.spaces_used() if name not in stimuli.spaces]
    if missing:
        raise InputError(f"has no space {cut_short(missing)}", source=table.path, remedy="download the whole file")
    return stimuli


def _read_table(space: SpaceTable) -> DataFrame:
    """A table of numbers as its file has it, or a feature file of a release by the ids of the clips."""
    assert space.path is not None
    if space.dataset is not None:
        return load_horikawa_features(space.path)
    return read_space(space.path, id_column=space.id_column)
