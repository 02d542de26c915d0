"""``affectome neural reliability``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Json, LogFile, Quiet, command, left_out_ids, one_of, stage_progress, start_logging
from affectome.cli._neural import (
    Exclude,
    Labels,
    Level,
    Memory,
    Recordings,
    Regions,
    Standardise,
    recordings_named,
    spaces_named,
)
from affectome.cli._neural_searchlight import Radius, Unit
from affectome.cli._neural_told import tell, told
from affectome.errors import InputError


@command
def reliability(
    fmri: Recordings,
    space: Annotated[
        list[str] | None,
        typer.Option("--space", help="Spaces whose stimuli alone are looked at; by default all that were shown."),
    ] = None,
    regions: Regions = None,
    radius: Radius = 3.0,
    unit: Unit = "voxel",
    brain_metric: Annotated[
        str, typer.Option("--brain-metric", help="Of patterns: correlation, cosine, sqeuclidean.")
    ] = "correlation",
    within_run: Annotated[
        str,
        typer.Option(
            "--within-run", help="Pairs of stimuli of one run of anybody, in agreement over people: exclude or include."
        ),
    ] = "exclude",
    centres: Annotated[
        bool,
        typer.Option(
            "--centres/--no-centres",
            help="Around every voxel, too; over five people and 2,180 stimuli 100,000 voxels take hours.",
        ),
    ] = True,
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("neural/reliability"),
    labels: Labels = None,
    exclude: Exclude = None,
    standardise: Standardise = "zscore",
    memory: Memory = 4.0,
    level: Level = 0.95,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """How reliable is the geometry of every place: in halves of the runs, and over people (noise ceilings of RSA)?

    Example: affectome neural reliability --fmri recordings/ --regions hcp --radius 3 --out neural/reliability

    Per person, where stimuli come in odd and in even runs: r of the two geometries around every voxel and in every
    region, Spearman-Brown's reliability of both. Over people, who saw the same stimuli: lower and upper noise ceiling
    (Nili et al. 2014) in every region, and around every voxel where all share a space of the brain.
    """
    start_logging(quiet, log_file)
    from affectome.study import Brain, Searching, reliability_brain

    asked = Brain(
        spaces=spaces_named(space or []), recordings=recordings_named(fmri), out=out, regions=regions, labels=labels,
        excluded=left_out_ids(exclude), standardise=one_of("--standardise", standardise, ("zscore", "center", "none")),
        memory_gb=memory, level=level,
    )  # fmt: skip
    how = Searching(
        radius=radius,
        unit=one_of("--unit", unit, ("voxel", "mm")),
        brain_metric=one_of("--brain-metric", brain_metric, ("correlation", "cosine", "sqeuclidean")),
        within_run=one_of("--within-run", within_run, ("exclude", "include")),
    )
    with stage_progress(quiet) as progress:
        result = reliability_brain(asked, how, centres=centres, progress=progress)
    if not result.failed and not any(told(name, found) for name, found in result.summary.items()):
        reasons = dict.fromkeys(str(found["why"]).rstrip(".") for found in result.summary.values() if "why" in found)
        raise InputError(
            f"nothing says how reliable geometries are: {'; '.join(reasons) or 'no region and no centre is left'}",
            remedy="give several people who saw the same stimuli, or stimuli that come back in other runs",
        )
    tell(result, json)
