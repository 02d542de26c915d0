"""``affectome interpret``."""

from __future__ import annotations

import functools
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
    listed_ids,
    number,
    print_json,
    stage_progress,
    start_logging,
)
from affectome.errors import InputError, Interrupted

if TYPE_CHECKING:
    from affectome.study import InterpretationResult

group = typer.Typer(help="What do the components of a space mean, and do spaces agree?", no_args_is_help=True)

Spaces = Annotated[list[str], typer.Argument(help="Spaces, their folder, or a quoted pattern.", metavar="SPACES...")]
Families = Annotated[
    list[str],
    typer.Option(
        "--ratings",
        help="Table of ratings, called by its file name unless written NAME=FILE; give the option once for each table.",
        metavar="[NAME=]FILE",
    ),
]
Categories = Annotated[
    str | None,
    typer.Option("--categories", help="The ratings whose highest is a stimulus's category; the first by default."),
]
Dimensions = Annotated[
    str | None, typer.Option("--dimensions", help="The ratings that are broad dimensions; the second by default.")
]
Exclude = Annotated[
    Path | None, typer.Option("--exclude", help="Ids to leave out, one a line, for example duplicated clips.")
]
Circular = Annotated[
    list[str] | None,
    typer.Option(
        "--circular",
        help="Ratings that the choices behind a space were made from, which results then say.",
        metavar="[SPACE=]RATINGS",
    ),
]
Folder = Annotated[Path, typer.Option("--out", help="Results folder.")]
Permutations = Annotated[int, typer.Option("--permutations", min=1, max=1_000_000, help="Permutations of the nulls.")]
Level = Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
Processes = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Spaces or analyses done at once; all cores by default."),
]


@group.callback()
def _group() -> None:
    """What do the components of a space mean, and do spaces agree?"""


@group.command("run")
@command
def run(
    spaces: Spaces,
    ratings: Families,
    terms: Annotated[
        Path | None, typer.Option("--terms", help="Counts of free-response terms, a further source of names.")
    ] = None,
    stimuli: Annotated[
        Path | None, typer.Option("--stimuli", help="Captions and clips of the stimuli: a table or a folder.")
    ] = None,
    out: Folder = Path("interpretation"),
    categories: Categories = None,
    dimensions: Dimensions = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Only these analyses, as names,types; --help lists them.")
    ] = None,
    exclude: Exclude = None,
    circular: Circular = None,
    judge: Annotated[
        Path | None,
        typer.Option("--judge", help="A chat model, as judge.toml, that is asked for names from the same evidence."),
    ] = None,
    blur: Annotated[
        str, typer.Option("--blur", help="Thumbnails shown blurred: all, none, or a file of ids, one a line.")
    ] = "all",
    permutations: Permutations = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    jobs: Processes = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Say what the components of a space mean: tables, figures, and a gallery to leaf through.

    Example: affectome interpret run spaces/mllm.parquet --ratings category.csv --ratings dimension.csv
    --stimuli stimuli.csv --out interpretation/

    Analyses: components, names, correlations, types, prediction, categories, maps, graph, gradients, stimuli. What is
    done and unchanged is not done again.
    """
    start_logging(quiet, log_file)
    from affectome.study import Interpretation, interpret_spaces

    named = _named(spaces)
    asked = Interpretation(
        spaces=named,
        ratings=_families(ratings),
        out=out,
        categories=categories,
        dimensions=dimensions,
        terms=terms,
        stimuli=stimuli,
        excluded=left_out_ids(exclude),
        circular=_circular(circular, named),
        judge=judge,
        blur=_blurred(blur),
        only=_listed(only),
        n_permutations=permutations,
        level=level,
        seed=seed,
    )
    with stage_progress(quiet) as progress:
        result = interpret_spaces(asked, n_jobs=jobs, progress=progress)
    _tell(result, json)


@group.command("compare")
@command
def compare(
    spaces: Spaces,
    ratings: Annotated[
        list[str] | None,
        typer.Option("--ratings", help="As in `interpret run`; without them only geometry and choices are compared."),
    ] = None,
    out: Folder = Path("interpretation"),
    categories: Categories = None,
    dimensions: Dimensions = None,
    reference: Annotated[
        str | None, typer.Option("--reference", help="The space that others are held against; the first by default.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", help="Similarity within a space: cosine, correlation, dot or euclidean; NAME=METRIC for one."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Only these analyses, as rsa,choices; --help lists them.")
    ] = None,
    exclude: Exclude = None,
    circular: Circular = None,
    permutations: Permutations = 1000,
    level: Level = 0.95,
    seed: Seed = 0,
    jobs: Processes = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Hold spaces against each other: geometry, choices, and with ratings types, clusters and what each lacks.

    Example: affectome interpret compare spaces/ --ratings category.csv --ratings dimension.csv --out interpretation/

    Analyses: rsa, geometry, choices, components; with ratings also shares, types, categories, ratings, clusters,
    prediction, profiles.
    """
    start_logging(quiet, log_file)
    from affectome.study import Interpretation, compare_spaces

    named = _named(spaces)
    asked = Interpretation(
        spaces=named,
        ratings=_families(ratings or []),
        out=out,
        categories=categories,
        dimensions=dimensions,
        excluded=left_out_ids(exclude),
        circular=_circular(circular, named),
        only=_listed(only),
        metrics=_metrics(metric or [], named),
        reference=reference,
        n_permutations=permutations,
        level=level,
        seed=seed,
    )
    with stage_progress(quiet) as progress:
        result = compare_spaces(asked, n_jobs=jobs, progress=progress)
    _tell(result, json)


def _named(spaces: list[str]) -> dict[str, Path]:
    """Spaces by the names of their files."""
    paths = expanded(spaces, ".parquet")
    return files_by_name("spaces", [path.stem for path in paths], paths, remedy="rename one of the files")


def _families(ratings: list[str]) -> dict[str, Path]:
    """Rating tables by name: NAME=FILE, or the name of the file."""
    split = [_pair(text) if not Path(text).exists() else (None, text) for text in ratings]
    names, paths = [name or Path(file).stem for name, file in split], [Path(file) for _, file in split]
    return files_by_name("tables of ratings", names, paths, remedy="write NAME=FILE for one of them")


def _pair(text: str) -> tuple[str | None, str]:
    """The two sides of NAME=VALUE; no name where there is no sign."""
    name, sign, value = text.partition("=")
    return (name.strip(), value.strip()) if sign else (None, text.strip())


def _of_spaces(option: str, texts: list[str], spaces: Mapping[str, Path]) -> dict[str, list[str]]:
    """Values of an option by space; one without a name is for all."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, value = _pair(text)
        if name is not None and name not in spaces:
            raise InputError(
                f"{option} names '{name}', which is none of the spaces", remedy=f"choose among {', '.join(spaces)}"
            )
        for space in spaces if name is None else [name]:
            found.setdefault(space, []).append(value)
    return found


def _circular(texts: list[str] | None, spaces: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    return {space: tuple(values) for space, values in _of_spaces("--circular", texts or [], spaces).items()}


def _metrics(texts: list[str], spaces: Mapping[str, Path]) -> dict[str, Any]:
    from affectome.spaces import METRICS

    found = {space: values[-1] for space, values in _of_spaces("--metric", texts, spaces).items()}
    for metric in found.values():
        if metric not in METRICS:
            raise InputError(f"'{metric}' is no similarity", remedy=f"choose among {', '.join(METRICS)}")
    return found


def _listed(only: str | None) -> tuple[str, ...] | None:
    return tuple(part.strip() for part in (only or "").split(",") if part.strip()) or None


def _blurred(text: str) -> Any:
    return text if text in ("all", "none") else tuple(listed_ids(Path(text)))


def _tell(result: InterpretationResult, json: bool) -> None:
    """One sentence per finding; an analysis that could not be done ends the command with exit code 4."""
    from affectome._tables import cut_short

    for name, found in result.summary.items():
        for line in _lines(name, found):
            print(line)
    print(f"Results: {result.results}")
    if json:
        left_out = {name: str(error) for name, error in result.failed.items()}
        print_json({"results": str(result.results), "found": result.summary, "left_out": left_out})
    if result.failed:
        raise Interrupted(
            f"{len(result.failed)} of the analyses could not be done ({cut_short(list(result.failed))})",
            remedy="the reasons stand above; everything else is written",
        )


def _lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """What was found of one space, or of all together."""
    lines = []
    sizes, correlated = found.get("components", {}), found.get("correlations", {})
    if "sizes" in sizes:
        lines.append(f"{name}: {len(sizes['sizes'])} components of {sizes['n_stimuli']:,} stimuli.")
    elif "n_components" in correlated:
        lines.append(f"{name}: {correlated['n_components']} components of {correlated['n_stimuli']:,} stimuli.")
    if "names" in found:
        lines.append(f"  Names: {', '.join(found['names']['names'].values())}.")
    for key, tell in _SENTENCES.items():
        if key in found:
            lines.append(f"  {tell(found[key])}")
    if "stimuli" in found:
        lines.append(f"  To leaf through: {found['stimuli']['gallery']}")
    return lines


def _types(part: Mapping[str, Any]) -> str:
    if "shares" not in part:  # of several spaces
        return "Types: " + "; ".join(f"{space}: {_shares(found['shares'])}" for space, found in part.items()) + "."
    return f"Types: {_shares(part['shares'])}."


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{100 * share:.0f}% {kind}" for kind, share in shares.items())


def _categories(part: Mapping[str, Any]) -> str:
    if "centroid" in part:
        return _classified("", part)
    return "\n  ".join(_classified(f"{space}: ", found) for space, found in part.items())


def _classified(space: str, part: Mapping[str, Any]) -> str:
    told = [
        f"{_interval(score)} of {categories} categories, balanced {number(score['balanced'])}, p = {score['p']:.3g}"
        for categories, score in part["centroid"].items()
    ]
    circular = " (circular: the choices were made from these categories)" if part["circular"] else ""
    return f"{space}Own category among the {part['top']} nearest centroids: {'; '.join(told)}{circular}."


def _gradients(part: Mapping[str, Any]) -> str:
    verdicts = part["verdicts"]
    return (
        f"Between categories: {verdicts['gradient']} pairs bridged by a gradient, {verdicts['gap']} with a gap, "
        f"{verdicts['mixed']} mixed, {verdicts['undecided']} undecided "
        f"(r within categories {number(part['r'])}, p = {number(part['p'])})."
    )


def _graph(part: Mapping[str, Any]) -> str:
    if not part["n_edges"]:
        return "Affective graph: no two components are linked."
    return (
        f"Affective graph: {part['n_edges']} links, {part['n_clusters']} clusters, "
        f"modularity {number(part['modularity'])}."
    )


def _interval(part: Mapping[str, Any]) -> str:
    return interval(part["value"], part["ci_low"], part["ci_high"])


def _clusters(part: Mapping[str, Any]) -> str:
    return (
        f"Clusters: {part['n_clusters']} in all, {part['in_all_spaces']} shared by all spaces, "
        f"{part['in_one_space']} found no match."
    )


def _lacking(part: Mapping[str, Any]) -> str:
    from affectome._tables import cut_short

    if "lacking" not in part:
        return f"Ratings predicted from the space: median held-out r {number(part['median_r_of_ratings'])}."
    said = [
        f"{space} {len(names)}" + (f" ({cut_short(names, 3)})" if names else "")
        for space, names in part["lacking"].items()
    ]
    return f"Ratings lacked beside {part['reference']}: {'; '.join(said)}."


def _pairs(what: str, statistic: str, part: Mapping[str, Any]) -> str:
    told = [f"{row['first']} ~ {row['second']} {_interval(row)}" for row in part[statistic]]
    return f"{what}: {'; '.join(told)}."


_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "types": _types,
    "prediction": _lacking,
    "categories": _categories,
    "graph": _graph,
    "gradients": _gradients,
    "rsa": functools.partial(_pairs, "Geometry (RSA, Pearson)", "pearson"),
    "choices": functools.partial(_pairs, "Same odd one chosen (chance .333)", "agreement"),
    "clusters": _clusters,
}
