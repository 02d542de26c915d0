"""The part of a study that asks brains: its spaces are the ones that earlier stages made."""

from __future__ import annotations

from pathlib import Path

from affectome.study._brain import Brain, BrainReading
from affectome.study._brain_stages import encoding_stages, group_stages
from affectome.study._engine import Stage
from affectome.study._recordings import found_recordings, recording_sources
from affectome.study._stages import Plan

__all__ = ["brain_stages"]

#: Folder of the results.
FOLDER = "neural"


def brain_stages(plan: Plan) -> list[Stage]:
    """Every space against every recording, where the study names recordings."""
    table = plan.study.brain
    if table is None:
        return []
    spaces = table.spaces or list(plan.study.systems)
    asked = Brain(
        spaces={name: plan.results / f"spaces/{name}.parquet" for name in spaces},
        recordings=recording_sources(found_recordings(Path(table.path))),
        out=plan.results,
        regions=table.regions,
        standardise=table.standardise,
        n_folds=table.folds,
        shared_stimuli=table.shared_stimuli,
        block_length=table.block_length,
        reference=table.reference,
        n_permutations=table.permutations,
        level=table.level,
        seed=plan.seed("brain"),
        prefix=FOLDER,
        made_here=frozenset(spaces),
    )
    reading = BrainReading(asked)
    return [*(stage for who in asked.recordings for stage in encoding_stages(reading, who)), *group_stages(reading)]
