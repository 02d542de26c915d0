"""The part of a study that says what spaces mean: what its [interpretation] table asks of `affectome interpret`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from affectome.stimuli import HORIKAWA_DUPLICATES, N_VIDEOS, read_stimuli, video_id
from affectome.study._engine import Stage
from affectome.study._interpret_space import SPACE_ANALYSES, space_stages
from affectome.study._interpret_together import TOGETHER_ANALYSES, together_stages
from affectome.study._interpretation import Interpretation, Reading
from affectome.study._plan import STIMULI, Plan

__all__ = ["FOLDER", "check_meaning", "meaning_stages"]

#: Folder of the results.
FOLDER = "interpretation"


def meaning_stages(plan: Plan) -> list[Stage]:
    """Every analysis of each system by itself, then the systems held against each other, where there are several."""
    if not plan.systems:
        return []
    asked, table = replace(_asked(plan), excluded=_excluded(plan), videos=_clips(plan)), plan.study.interpretation
    stages: list[Stage] = []
    for name, path in asked.spaces.items():
        alone = replace(asked, spaces={name: path}, reference=None, only=table.analyses)
        stages += space_stages(Reading(alone), name)
    if len(asked.spaces) > 1:
        stages += together_stages(Reading(replace(asked, only=table.comparisons)))
    return stages


def check_meaning(plan: Plan) -> None:
    """Tell what could only go wrong once spaces are there: analyses without their ratings, a faulty judge file."""
    asked, table = _asked(plan), plan.study.interpretation
    replace(asked, only=table.analyses).wanted(SPACE_ANALYSES)
    replace(asked, only=table.comparisons).wanted(TOGETHER_ANALYSES)
    if asked.judge is not None:
        asked.naming_judge(None)


def _asked(plan: Plan) -> Interpretation:
    table = plan.study.interpretation
    families = dict.fromkeys([*table.ratings, *filter(None, (table.categories, table.dimensions))])
    return Interpretation(
        spaces={name: _space(plan, name) for name in plan.systems},
        ratings={name: _space(plan, name) for name in families},
        out=plan.results,
        categories=table.categories,
        dimensions=table.dimensions,
        terms=None if table.terms is None else _space(plan, table.terms),
        stimuli=plan.results / STIMULI,
        judge=None if table.judge is None else Path(table.judge),
        circular={name: found for name in plan.systems if (found := _looked_at(plan, name, families))},
        reference=table.reference if table.reference in plan.systems else None,
        n_permutations=table.permutations,
        level=table.level,
        seed=plan.seed("interpretation"),
        alpha=table.alpha,
        tau=table.tau,
        ties=table.ties,
        top=table.top,
        most_common=table.most_common,
        perplexity=table.perplexity,
        n_shown=table.captions,
        labels={name: plan.study.label(name) for name in plan.systems},
        prefix=FOLDER,
    )


def _space(plan: Plan, name: str) -> Path:
    return plan.results / f"spaces/{name}.parquet"


def _looked_at(plan: Plan, system: str, families: Mapping[str, None]) -> tuple[str, ...]:
    """Families of ratings that the judge of a system looked at, also as a part of a larger space."""
    judged = plan.judged_space(system)
    table = plan.study.spaces.get(judged or "")
    seen = {judged, *(table.concatenate if table is not None else ())}
    return tuple(name for name in families if name in seen)


def _excluded(plan: Plan) -> tuple[str, ...]:
    """Clips that the scanner study found to be duplicates; known for the one dataset that has them."""
    if not plan.study.interpretation.drop_duplicates or plan.study.stimuli.dataset != "cowen-keltner-2017":
        return ()
    known = set(plan.stimuli().ids)
    repeated = [video_id(number) for number in HORIKAWA_DUPLICATES if number <= N_VIDEOS]
    return tuple(name for name in repeated if name in known)


def _clips(plan: Plan) -> Mapping[str, Path]:
    """Clips of the stimuli, which the table in the results does not name; no public dataset brings them."""
    table = plan.study.stimuli
    return {} if table.dataset is not None else read_stimuli(table.path, id_column=table.id_column).videos
