"""``affectome behavior``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._behavior_ceiling import ceiling, explained_lines
from affectome.cli._behavior_rsm import components, rsm
from affectome.cli._common import (
    Jobs,
    Json,
    LogFile,
    Quiet,
    about,
    command,
    print_json,
    start_logging,
)
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.behavior import Consistency

logger = logging.getLogger(__name__)

group = typer.Typer(help="Does a space predict choices, and do models choose as people do?", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Does a space predict choices, and do models choose as people do?"""


@group.command("score")
@command
def score(
    space: Annotated[Path, typer.Argument(help="A learned space.")],
    triplets: Annotated[Path, typer.Argument(help="Answered triplets the space was not learned from.")],
    repeats: Annotated[
        Path | None,
        typer.Option("--repeats", help="Triplets the same judge answered several times: the noise ceiling."),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=1, max=100_000, help="Resamples behind the interval.")
    ] = 1000,
    level: Annotated[float, typer.Option("--level", help="Coverage the interval aims at.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Share of held-out choices that a space predicts, with a bootstrap interval over triplets.

    With --repeats also as a share of what the judge's noise leaves to be predicted, against both ends of its ceiling.

    Example: affectome behavior score space.parquet held_out.parquet --repeats repeats.parquet
    """
    start_logging(quiet, log_file)
    from affectome.behavior import explained_accuracy, held_out_accuracy
    from affectome.spaces import read_space
    from affectome.triplets import read_triplets

    known = read_space(space)
    trials = read_triplets(triplets, stimuli=None if triplets.suffix == ".parquet" else known.index.tolist())
    settings: Any = {"n_boot": bootstrap, "level": level, "seed": seed, "n_jobs": jobs}
    with about(space):
        result = held_out_accuracy(known, trials, **settings)
    explained = None
    if repeats is not None:
        again = read_triplets(repeats, stimuli=_ids_for(repeats, tuple(known.index)))
        with about(repeats):
            explained = explained_accuracy(known, trials, again, **settings)
        for sentence in explained.ceiling.warnings:
            logger.warning("%s", sentence)
    print(
        f"Accuracy {result.value:.4f}, {100 * level:g}% interval [{result.ci_low:.4f}, {result.ci_high:.4f}] "
        f"over {result.n_triplets:,} triplets; chance is 0.3333."
    )
    if explained is not None:
        print("\n".join(explained_lines(explained)))
    if json:
        from affectome.study._behavior_tables import explained_facts

        print_json({**vars(result), **({} if explained is None else explained_facts(explained))})


group.command("ceiling")(ceiling)
group.command("rsm")(rsm)
group.command("components")(components)


@group.command("consistency")
@command
def consistency(
    human: Annotated[Path, typer.Argument(help="Answers of people (from 'affectome triplets import').")],
    models: Annotated[list[Path], typer.Argument(help="Answers of one or more models to the same triplets.")],
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Name of a model, one per file; by default the file's name.")
    ] = None,
    resample: Annotated[
        str, typer.Option("--resample", help="What the intervals draw: triplets or participants.")
    ] = "triplets",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=1, max=100_000, help="Resamples behind the intervals.")
    ] = 1000,
    level: Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    figure: Annotated[Path | None, typer.Option("--figure", help="Bar chart: .png, .svg or .pdf.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The table, as CSV.")] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Do models name the odd one that people name? Raw agreement, human ceiling and chance-corrected score.

    Example: affectome behavior consistency human.parquet mllm.parquet llm.parquet --figure consistency.png
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome._tables import write_csv
    from affectome.behavior import choice_consistency
    from affectome.triplets import read_triplets

    if figure is not None:
        check_output(figure, (".png", ".svg", ".pdf"))
    if out is not None:
        check_output(out, (".csv",))
    names = _model_names(models, label or [])
    people = read_triplets(human)
    answers = {name: read_triplets(path, stimuli=_ids_for(path, people.ids)) for name, path in names.items()}
    with about(human):
        result = choice_consistency(
            people,
            answers,
            n_boot=bootstrap,
            level=level,
            seed=seed,
            resample=resample,  # type: ignore[arg-type]
        )
    for sentence in result.warnings:
        logger.warning("%s", sentence)
    print("\n".join(_consistency_lines(result)))
    if out is not None:
        write_csv(out, result.table, index=False)
    if figure is not None:
        from affectome.plotting import plot_consistency, save_figure

        save_figure(plot_consistency(result), figure.parent, figure.stem, (figure.suffix[1:].lower(),))
    if json:
        from affectome.study._behavior_tables import consistency_facts

        print_json(consistency_facts(result))


def _model_names(paths: list[Path], labels: list[str]) -> dict[str, Path]:
    if labels and len(labels) != len(paths):
        raise InputError(
            f"{len(labels)} labels were given for {len(paths)} models", remedy="give --label once per file"
        )
    names = labels or [path.stem for path in paths]
    if len(set(names)) != len(names):
        raise InputError(
            f"two models bear the name '{max(names, key=names.count)}'", remedy="tell them apart by --label"
        )
    return dict(zip(names, paths, strict=True))


def _ids_for(path: Path, ids: tuple[str, ...]) -> tuple[str, ...] | None:
    """A file of bare indices counts the stimuli of the people; a triplet file knows its own."""
    return None if path.suffix.lower() == ".parquet" else ids


def _consistency_lines(result: Consistency) -> list[str]:
    """What a reader sees: one line per system, then the ceiling, the differences and what was left out."""
    width = max(len(name) for name in result.table["name"])
    lines = [f"{'':{width}}  agreement{'':16}chance-corrected share of the ceiling (lower end, upper end)"]
    for row in result.table.to_dict("records"):
        raw = f"{row['agreement']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        shares = [f"{row[f'of_{end}_ceiling']:.3f}" for end in ("lower", "upper")]
        name = row["name"] if row["kind"] == "model" else "people"
        lines.append(f"{name:{width}}  {raw:25}{', '.join('-' if share == 'nan' else share for share in shares)}")
    if (ceiling := result.ceiling) is not None:
        lines.append(
            f"Human ceiling {ceiling.lower:.3f} [{ceiling.lower_ci_low:.3f}, {ceiling.lower_ci_high:.3f}] to "
            f"{ceiling.upper:.3f} [{ceiling.upper_ci_low:.3f}, {ceiling.upper_ci_high:.3f}] "
            f"from {ceiling.n_answers:,} answers to {ceiling.n_triplets:,} triplets; chance is 0.333."
        )
    lines += [
        f"{row['first']} minus {row['second']}: {row['value']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
        for row in result.differences.to_dict("records")
    ]
    dropped = ", ".join(f"{row['name']} {row['n_dropped']:,}" for row in result.coverage.to_dict("records"))
    lines.append(
        f"{result.n_triplets:,} triplets and {result.n_answers:,} human answers compared, {100 * result.level:g}% "
        f"intervals over {result.resample}; triplets not in common: {dropped}."
    )
    return lines
