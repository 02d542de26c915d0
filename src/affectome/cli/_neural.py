"""``affectome neural``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import (
    Json,
    LogFile,
    Quiet,
    command,
    expanded,
    files_by_name,
    interval,
    left_out_ids,
    number,
    p_value,
    print_json,
    stage_progress,
    start_logging,
)
from affectome.errors import InputError, Interrupted

if TYPE_CHECKING:
    from affectome.neural import RecordingCheck
    from affectome.study import BrainResult, RecordingSource

group = typer.Typer(help="Does a space predict people's brains, where, and better than another?", no_args_is_help=True)

Spaces = Annotated[
    list[str], typer.Option("--space", help="Spaces, their folder, or a quoted pattern.", metavar="SPACE")
]
Recordings = Annotated[
    list[str],
    typer.Option("--fmri", help="Recordings (.h5, .npy), their folder, a quoted pattern, or a recordings.toml."),
]
Regions = Annotated[
    str | None,
    typer.Option(
        "--regions",
        help="hcp, subcortical, paper (both), or a file of regions: .toml, .nii.gz, .label.gii, .annot; "
        "by default the regions of the recordings.",
    ),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="Table with columns label and id: what the recordings call a stimulus.")
]
Exclude = Annotated[
    Path | None, typer.Option("--exclude", help="Ids to leave out, one a line, for example duplicated clips.")
]
Standardise = Annotated[str, typer.Option("--standardise", help="Responses within each run: zscore, center or none.")]
AverageRepeats = Annotated[
    bool, typer.Option("--average-repeats", help="Average trials of the same stimulus within a run.")
]
Folds = Annotated[
    int, typer.Option("--folds", min=3, help="Outer folds, of whole runs; the inner ones are the others.")
]
Alphas = Annotated[
    str | None,
    typer.Option("--alphas", help="Penalties as LOWEST:HIGHEST:NUMBER, log-spaced; 10:10000:20 by default."),
]
SharedStimuli = Annotated[
    str,
    typer.Option(
        "--shared-stimuli",
        help="Trials whose stimulus is in the held-out fold too: drop from training, allow (every run shows the same "
        "conditions), or raise.",
    ),
]
Blocks = Annotated[
    str | None, typer.Option("--blocks", help="Column of the trials: what belongs together under the null.")
]
BlockLength = Annotated[
    int | None,
    typer.Option("--block-length", min=1, help="Instead: so many successive trials; single ones by default."),
]
AcrossRuns = Annotated[
    bool, typer.Option("--across-runs", help="Blocks change places over the whole recording, not within runs alone.")
]
Penalties = Annotated[
    str,
    typer.Option(
        "--penalties",
        help="In permutations: kept (fast, conservative without a signal) or chosen anew (exact, 10 times slower).",
    ),
]
Reference = Annotated[
    str | None, typer.Option("--reference", help="The space that others are held against; the first by default.")
]
Backend = Annotated[str, typer.Option("--backend", help="numpy, torch, or torch_cuda for a GPU.")]
Memory = Annotated[float, typer.Option("--memory", min=0.05, help="Working memory in GB, beside the recording.")]
Permutations = Annotated[int, typer.Option("--permutations", min=1, max=1_000_000, help="Permutations of the nulls.")]
Level = Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
People = Annotated[
    int, typer.Option("--jobs", min=1, help="People at once, each with the memory of a recording; one uses all cores.")
]


@group.callback()
def _group() -> None:
    """Does a space predict people's brains, where, and better than another?"""


@group.command("check")
@command
def check(
    recordings: Annotated[
        list[str], typer.Argument(help="Recordings, their folder, a pattern, or a recordings.toml.", metavar="FMRI...")
    ],
    space: Annotated[
        Path | None, typer.Option("--space", help="A space (or any table with an id column) that it should fit.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Say what is in a recording, what is odd about it, and whether its labels fit the stimuli.

    Example: affectome neural check recordings/sub-01.h5 --space spaces/mllm.parquet
    """
    start_logging(quiet, log_file)
    from affectome.neural import check_recording
    from affectome.spaces import read_space

    ids = None if space is None else list(read_space(space).index)
    sources = _sources(recordings)
    found: dict[str, RecordingCheck] = {}
    faults: dict[str, InputError] = {}
    for who, source in sources.items():
        try:
            found[who] = check_recording(source.read(), ids)
        except InputError as error:
            faults[who] = error
    if len(faults) == len(sources) == 1:
        raise faults[next(iter(faults))]
    told = {who: f"{who}\n  ! {faults[who]}" if who in faults else str(found[who]) for who in sources}
    print("\n\n".join(told.values()))
    if json:
        print_json({who: {"fault": str(faults[who])} if who in faults else _as_json(found[who]) for who in sources})
    if faults:
        fault = InputError if len(faults) == len(sources) else Interrupted
        raise fault(
            f"{len(faults)} of {len(sources)} recordings cannot be read ({', '.join(faults)})",
            remedy="the reasons stand above",
        )


@group.command("encode")
@command
def encode(
    space: Spaces,
    fmri: Recordings,
    regions: Regions = None,
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("neural/encoding"),
    labels: Labels = None,
    exclude: Exclude = None,
    standardise: Standardise = "zscore",
    average_repeats: AverageRepeats = False,
    folds: Folds = 6,
    alphas: Alphas = None,
    shared_stimuli: SharedStimuli = "drop",
    blocks: Blocks = None,
    block_length: BlockLength = None,
    across_runs: AcrossRuns = False,
    penalties: Penalties = "kept",
    reference: Reference = None,
    permutations: Permutations = 1000,
    backend: Backend = "numpy",
    memory: Memory = 4.0,
    level: Level = 0.95,
    seed: Seed = 0,
    jobs: People = 1,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Predict every voxel of every person from every space; test it; compare spaces; put people together.

    Example: affectome neural encode --space spaces/ --fmri recordings/ --regions hcp --out neural/encoding

    Per person and space: maps of held-out r and R2, of p and q, and of the weights of each component; tables of voxels
    and regions. Per person: spaces against the reference. With several people: the group, and whether components lie
    in the same places. What is done and unchanged is not done again.
    """
    start_logging(quiet, log_file)
    from affectome.study import Brain, encode_brain

    asked = Brain(
        spaces=_spaces(space), recordings=_sources(fmri), out=out, regions=regions, labels=labels,
        excluded=left_out_ids(exclude), standardise=_one_of("--standardise", standardise, ("zscore", "center", "none")),
        average_repeats=average_repeats, n_folds=folds, alphas=_grid(alphas),
        shared_stimuli=_one_of("--shared-stimuli", shared_stimuli, ("drop", "allow", "raise")), blocks=blocks,
        block_length=block_length, within=None if across_runs else "run",
        penalties=_one_of("--penalties", penalties, ("kept", "chosen")), reference=reference, backend=backend,
        memory_gb=memory, n_permutations=permutations, level=level, seed=seed,
    )  # fmt: skip
    with stage_progress(quiet) as progress:
        result = encode_brain(asked, n_jobs=jobs, progress=progress)
    _tell(result, json)


@group.command("compare")
@command
def compare(
    space: Spaces,
    fmri: Recordings,
    control: Annotated[
        list[str] | None,
        typer.Option("--control", help="What is merely seen or meant, as a table: beyond it a space must predict."),
    ] = None,
    regions: Regions = None,
    out: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("neural/comparison"),
    labels: Labels = None,
    exclude: Exclude = None,
    standardise: Standardise = "zscore",
    average_repeats: AverageRepeats = False,
    folds: Folds = 6,
    alphas: Alphas = None,
    shared_stimuli: SharedStimuli = "drop",
    backend: Backend = "numpy",
    memory: Memory = 4.0,
    level: Level = 0.95,
    seed: Seed = 0,
    jobs: People = 1,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Cut what spaces explain of every voxel into what is unique and what is shared, and beyond controls.

    Example: affectome neural compare --space spaces/ --control semantic.csv --fmri recordings/ --regions hcp
    """
    start_logging(quiet, log_file)
    from affectome.study import Brain, compare_brain

    asked = Brain(
        spaces=_spaces(space), recordings=_sources(fmri), out=out, controls=_spaces(control or []), regions=regions,
        labels=labels, excluded=left_out_ids(exclude),
        standardise=_one_of("--standardise", standardise, ("zscore", "center", "none")),
        average_repeats=average_repeats, n_folds=folds, alphas=_grid(alphas),
        shared_stimuli=_one_of("--shared-stimuli", shared_stimuli, ("drop", "allow", "raise")), backend=backend,
        memory_gb=memory, level=level, seed=seed,
    )  # fmt: skip
    with stage_progress(quiet) as progress:
        result = compare_brain(asked, n_jobs=jobs, progress=progress)
    _tell(result, json)


def _as_json(found: RecordingCheck) -> dict[str, Any]:
    return {"facts": found.facts()["value"].to_dict(), "warnings": list(found.warnings)}


def _spaces(names: list[str]) -> dict[str, Path]:
    paths = expanded(names, ".parquet") if names else []
    return files_by_name("spaces", [path.stem for path in paths], paths, remedy="rename one of the files")


def _sources(names: list[str]) -> dict[str, RecordingSource]:
    from affectome.study import found_recordings, recording_sources

    paths: list[Path] = []
    for name in names:
        paths += found_recordings(Path(name)) if Path(name).is_dir() else expanded([name], ".h5")
    return recording_sources(list(dict.fromkeys(paths)))


def _one_of(option: str, given: str, known: tuple[str, ...]) -> Any:
    if given not in known:
        raise InputError(f"{option} cannot be '{given}'", remedy=f"choose {', '.join(known)}")
    return given


def _grid(text: str | None) -> tuple[float, ...] | None:
    """LOWEST:HIGHEST:NUMBER, or single values with commas."""
    if text is None:
        return None
    import numpy as np

    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        low, high, steps = (kind(part) for kind, part in zip((float, float, int), text.split(":"), strict=True))
        if not (0 < low < np.inf and 0 < high < np.inf and steps >= 1):
            raise ValueError(text)
        grid = np.geomspace(low, high, steps)
    except ValueError as error:
        raise InputError(
            f"--alphas cannot be '{text}'", remedy="write LOWEST:HIGHEST:NUMBER, as 10:10000:20, or values with commas"
        ) from error
    return tuple(float(alpha) for alpha in grid)


def _tell(result: BrainResult, json: bool) -> None:
    """One sentence per finding; what could not be done ends the command with exit code 4."""
    from affectome._tables import cut_short

    for name, found in result.summary.items():
        for line in told(name, found):
            print(line)
    print(f"Results: {result.results}")
    if json:
        left_out = {name: str(error) for name, error in result.failed.items()}
        print_json({"results": str(result.results), "found": result.summary, "left_out": left_out})
    if result.failed and not result.records:
        raise InputError(
            f"none of the analyses could be done ({cut_short(list(result.failed))})", remedy="the reasons stand above"
        )
    if result.failed:
        raise Interrupted(
            f"{len(result.failed)} of the analyses could not be done ({cut_short(list(result.failed))})",
            remedy="the reasons stand above; everything else is written",
        )


def told(stage: str, found: Mapping[str, Any]) -> list[str]:
    """What a stage found, in lines."""
    kind, *where = stage.split("/")
    return _SENTENCES[kind](where, found)


def _encoded(where: list[str], found: Mapping[str, Any]) -> list[str]:
    subject, space = where
    lines = [
        f"{subject}, {space}: {found['n_significant']:,} of {found['n_voxels']:,} voxels predicted (FDR .05), "
        f"{found['n_family']:,} family-wise; median r {number(found['median_r'])}, "
        f"largest {number(found['largest_r'])} ({found['n_trials']:,} trials, {found['n_runs']} runs)."
    ]
    if found["best_regions"]:
        lines.append(f"  Regions: {'; '.join(map(_region, found['best_regions']))}.")
    return lines


def _region(row: Mapping[str, Any]) -> str:
    return f"{row['region']} {interval(row['r'], row['low'], row['high'])}"


def _between(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{where[0]}, all voxels: {found['reference']} minus {other} "
        f"{interval(row['difference'], row['low'], row['high'])}, {p_value(row['p'])}."
        for other, row in found["against"].items()
    ]


def _together(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["regions"]:
        return []
    regions = "; ".join(
        f"{row['region']} {number(row['mean'])} (s.d. {number(row['sd'])})" for row in found["best_regions"]
    )
    lines = [f"{found['n_people']} people, {found['reference']}: {regions}."]
    told = [row for row in found["comparisons"] if row.get("n_above") or row.get("n_below")]
    return lines + [
        f"  {row['region']}: {row['reference']} above {row['space']} in {row['n_above']:.0f} of "
        f"{row['n_tested']:.0f} people, below in {row['n_below']:.0f} "
        f"(mean difference {interval(row['difference'], row['low'], row['high'])})."
        for row in told
    ]


def _components(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"Components of {where[0]} over people, by {kind} ({one['places']}): mean r {number(one['r'])}, "
        f"{p_value(one['p'])}; {100 * one['accuracy']:.0f}% found again (chance {100 * one['chance']:.0f}%)."
        for kind in ("region", "voxel")
        if (one := found.get(f"by_{kind}"))
    ]


def _ceiling(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if "n_significant" not in found:
        return []
    return [
        f"{where[0]}: ceiling from {found['n_repeated']:,} repeated stimuli: {found['n_significant']:,} of "
        f"{found['n_voxels']:,} voxels respond alike (FDR .05), and in half of them no model exceeds "
        f"r {number(found['median_ceiling'])}."
    ]


def _across(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if "region" not in found:
        return []
    return [
        f"People predict each other in {found['n_significant']} of {found['n_regions']} regions (FDR .05), best in "
        f"{found['region']}: r {number(found['lower'])} to {number(found['upper'])}."
    ]


def _average(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["common"]:
        return []
    return [
        f"{where[0]}, mean over {found['n_people']} people: largest r {number(found['largest_mean'])}; "
        f"{found['n_everybody']:,} of {found['n_voxels']:,} voxels predicted in everybody, "
        f"{found['n_somebody']:,} in somebody."
    ]


def _directions(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if found["retained"] is None:
        return []
    return [
        f"Weights of {where[0]}: {found['retained']} principal components above chance; the first holds "
        f"{100 * found['share']:.0f}% (chance {100 * found['null_share']:.0f}%), {p_value(found['p'])}."
    ]


def _view(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return []


def _parts(where: list[str], found: Mapping[str, Any]) -> list[str]:
    told = [f"{part} {interval(row['r2'], row['low'], row['high'])}" for part, row in found["all_voxels"].items()]
    return [f"{where[0]}, R2 over all voxels: {'; '.join(told)}."]


def _beyond(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{where[0]}: {where[1]} beyond {', '.join(found['controls'])}: R2 "
        f"{interval(found['unique'], found['low'], found['high'])}, {p_value(found['p'])}."
    ]


_SENTENCES: dict[str, Callable[[list[str], Mapping[str, Any]], list[str]]] = {
    "encode": _encoded,
    "between": _between,
    "group": _together,
    "consistency": _components,
    "ceiling": _ceiling,
    "across": _across,
    "average": _average,
    "weights": _directions,
    "view": _view,
    "partition": _parts,
    "beyond_controls": _beyond,
}
