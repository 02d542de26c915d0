"""``affectome neural``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import (
    Cluster,
    Json,
    LogFile,
    Quiet,
    command,
    expanded,
    files_by_name,
    left_out_ids,
    one_of,
    print_json,
    stage_progress,
    start_logging,
)
from affectome.cli._neural_told import tell
from affectome.errors import InputError, Interrupted

if TYPE_CHECKING:
    from affectome.neural import RecordingCheck
    from affectome.study import RecordingSource

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
    sources = recordings_named(recordings)
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
    cluster: Cluster = None,
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
    from affectome._cluster import on_cluster
    from affectome.study import Brain, encode_brain

    asked = Brain(
        spaces=spaces_named(space), recordings=recordings_named(fmri), out=out, regions=regions, labels=labels,
        excluded=left_out_ids(exclude), standardise=one_of("--standardise", standardise, ("zscore", "center", "none")),
        average_repeats=average_repeats, n_folds=folds, alphas=_grid(alphas),
        shared_stimuli=one_of("--shared-stimuli", shared_stimuli, ("drop", "allow", "raise")), blocks=blocks,
        block_length=block_length, within=None if across_runs else "run",
        penalties=one_of("--penalties", penalties, ("kept", "chosen")), reference=reference, backend=backend,
        memory_gb=memory, n_permutations=permutations, level=level, seed=seed,
    )  # fmt: skip
    with on_cluster(cluster), stage_progress(quiet) as progress:
        result = encode_brain(asked, n_jobs=jobs, progress=progress)
    tell(result, json)


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
    cluster: Cluster = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Cut what spaces explain of every voxel into what is unique and what is shared, and beyond controls.

    Example: affectome neural compare --space spaces/ --control semantic.csv --fmri recordings/ --regions hcp
    """
    start_logging(quiet, log_file)
    from affectome._cluster import on_cluster
    from affectome.study import Brain, compare_brain

    asked = Brain(
        spaces=spaces_named(space), recordings=recordings_named(fmri), out=out,
        controls=spaces_named(control or []), regions=regions, labels=labels, excluded=left_out_ids(exclude),
        standardise=one_of("--standardise", standardise, ("zscore", "center", "none")),
        average_repeats=average_repeats, n_folds=folds, alphas=_grid(alphas),
        shared_stimuli=one_of("--shared-stimuli", shared_stimuli, ("drop", "allow", "raise")), backend=backend,
        memory_gb=memory, level=level, seed=seed,
    )  # fmt: skip
    with on_cluster(cluster), stage_progress(quiet) as progress:
        result = compare_brain(asked, n_jobs=jobs, progress=progress)
    tell(result, json)


def _as_json(found: RecordingCheck) -> dict[str, Any]:
    return {"facts": found.facts()["value"].to_dict(), "warnings": list(found.warnings)}


def spaces_named(names: list[str]) -> dict[str, Path]:
    paths = expanded(names, ".parquet") if names else []
    return files_by_name("spaces", [path.stem for path in paths], paths, remedy="rename one of the files")


def recordings_named(names: list[str]) -> dict[str, RecordingSource]:
    from affectome.study import found_recordings, recording_sources

    paths: list[Path] = []
    for name in names:
        paths += found_recordings(Path(name)) if Path(name).is_dir() else expanded([name], ".h5")
    return recording_sources(list(dict.fromkeys(paths)))


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
