"""``affectome neural searchlight``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from affectome.cli._common import (
    Cluster,
    Json,
    LogFile,
    Quiet,
    command,
    left_out_ids,
    one_of,
    stage_progress,
    start_logging,
)
from affectome.cli._neural import (
    AverageRepeats,
    Backend,
    Exclude,
    Labels,
    Level,
    Memory,
    Recordings,
    Reference,
    Regions,
    Seed,
    Spaces,
    Standardise,
    recordings_named,
    spaces_named,
)
from affectome.cli._neural_told import tell
from affectome.errors import InputError

Radius = Annotated[float, typer.Option("--radius", help="Of spheres; in mm of discs on a surface.")]
Unit = Annotated[str, typer.Option("--unit", help="Of the radius of spheres: voxel or mm.")]

#: Of patterns; of stimuli in a space there is ``dot``, too.
DISTANCES = ("correlation", "cosine", "euclidean", "sqeuclidean")


@command
def searchlight(
    space: Spaces,
    fmri: Recordings,
    regions: Regions = None,
    radius: Radius = 3.0,
    unit: Unit = "voxel",
    statistic: Annotated[str, typer.Option("--statistic", help="pearson or spearman.")] = "pearson",
    control: Annotated[
        list[str] | None,
        typer.Option("--control", help="What is merely seen or meant, as a table: r of spaces beyond it, too."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Of stimuli in a space: correlation (default), cosine, dot, euclidean, sqeuclidean; of one space or "
            "control as NAME=METRIC.",
        ),
    ] = None,
    brain_metric: Annotated[
        str, typer.Option("--brain-metric", help="Of patterns: correlation, cosine, euclidean, sqeuclidean.")
    ] = "correlation",
    within_run: Annotated[
        str, typer.Option("--within-run", help="Pairs of stimuli of one run: exclude or include.")
    ] = "exclude",
    units: Annotated[
        str, typer.Option("--units", help="What intervals and differences take as independent: stimulus or run.")
    ] = "stimulus",
    test: Annotated[
        str,
        typer.Option(
            "--test",
            help="Permutations of stimuli: closed (all, by their moments) or drawn within runs, for sorted stimuli.",
        ),
    ] = "closed",
    across_runs: Annotated[
        bool, typer.Option("--across-runs", help="Of --test drawn: over the whole recording, not within runs alone.")
    ] = False,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals/--no-intervals",
            help="Intervals of every centre, and differences from the reference; half the time or less without.",
        ),
    ] = True,
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("neural/rsa"),
    labels: Labels = None,
    exclude: Exclude = None,
    standardise: Standardise = "zscore",
    average_repeats: AverageRepeats = False,
    reference: Reference = None,
    permutations: Annotated[
        int | None,
        typer.Option("--permutations", min=1, max=1_000_000, help="Of --test drawn; 1000 by default."),
    ] = None,
    backend: Backend = "numpy",
    memory: Memory = 4.0,
    level: Level = 0.95,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("--jobs", help="Processes over centres; -1 for all cores.")] = 1,
    cluster: Cluster = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Compare the geometry of every space with that of the patterns around every voxel (RSA), in one pass.

    Example: affectome neural searchlight --space spaces/ --fmri recordings/ --radius 3 --out neural/rsa

    Per person: maps of r, p and q of every space, of the reference minus each other, and beyond the controls; the same
    in every region. With several people: the group. Centres that are done are kept when it stops.
    """
    start_logging(quiet, log_file)
    from affectome._cluster import on_cluster
    from affectome.study import Brain, Searching, search_brain

    permuted = one_of("--test", test, ("closed", "drawn"))
    _check_drawn(permuted, {"--permutations": permutations is not None, "--across-runs": across_runs})
    asked = Brain(
        spaces=spaces_named(space), recordings=recordings_named(fmri), out=out, controls=spaces_named(control or []),
        regions=regions, labels=labels, excluded=left_out_ids(exclude),
        standardise=one_of("--standardise", standardise, ("zscore", "center", "none")), average_repeats=average_repeats,
        reference=reference, memory_gb=memory, n_permutations=permutations or 1000, level=level, seed=seed,
        within=None if across_runs else "run",
    )  # fmt: skip
    how = Searching(
        radius=radius,
        unit=one_of("--unit", unit, ("voxel", "mm")),
        statistic=one_of("--statistic", statistic, ("pearson", "spearman")),
        metric=_metrics(metric or [], [*asked.spaces, *asked.controls]),
        brain_metric=one_of("--brain-metric", brain_metric, DISTANCES),
        within_run=one_of("--within-run", within_run, ("exclude", "include")),
        units=one_of("--units", units, ("stimulus", "run")),
        test=permuted,
        intervals=intervals,
        backend=one_of("--backend", backend, ("numpy", "torch", "torch_cuda")),
    )
    with on_cluster(cluster), stage_progress(quiet) as progress:
        result = search_brain(asked, how, n_jobs=jobs, progress=progress)
    tell(result, json)


def _check_drawn(test: str, given: dict[str, bool]) -> None:
    """Options of drawn permutations are of no use to the closed form, which takes all, across runs too."""
    unused = [option for option, there in given.items() if there]
    if test == "closed" and unused:
        raise InputError(
            f"{unused[0]} says how permutations are drawn, and --test closed draws none, for it takes all there are",
            remedy="add --test drawn, or leave it out",
        )


def _metrics(given: list[str], names: list[str]) -> dict[str, Any]:
    """Of every space and control: its own (NAME=METRIC), or the one that is given without a name."""
    by_name = dict.fromkeys(names, "correlation")
    own: dict[str, str] = {}
    said = set()
    for text in given:
        name, _, metric = text.rpartition("=")
        metric = one_of("--metric", metric, (*DISTANCES, "dot"))
        if name in said:
            what = f"of '{name}'" if name else "of all spaces"
            raise InputError(f"--metric {what} is given twice", remedy="give it once, or name a space (NAME=METRIC)")
        said.add(name)
        if not name:
            by_name = dict.fromkeys(names, metric)
        elif name in names:
            own[name] = metric
        else:
            raise InputError(
                f"--metric names '{name}', which is no space and no control", remedy=f"choose among {', '.join(names)}"
            )
    return by_name | own
