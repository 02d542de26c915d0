"""``affectome stimuli``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Json, LogFile, Quiet, command, print_json, start_logging
from affectome.errors import InputError

group = typer.Typer(help="What is judged.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """What is judged."""


@group.command("check")
@command
def check(
    table: Annotated[Path, typer.Argument(help="A stimulus table, a folder of clips, or a dataset's file.")],
    ratings: Annotated[
        list[Path] | None, typer.Option("--ratings", help="A rating table over the same stimuli; repeatable.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="The table is the file of this public dataset.")
    ] = None,
    id_column: Annotated[str, typer.Option("--id-column", help="Name of the id column.")] = "id",
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Validate stimuli, their media and their rating spaces.

    Example: affectome stimuli check stimuli.csv --ratings category.csv
    """
    start_logging(quiet, log_file)
    from affectome.spaces import read_space
    from affectome.stimuli import DATASETS, check_stimuli, read_stimuli

    if dataset is None:
        stimuli = read_stimuli(table, id_column=id_column)
    elif dataset in DATASETS:
        stimuli = DATASETS[dataset](table)
    else:
        raise InputError(
            f"'{dataset}' is no known dataset", source="--dataset", remedy=f"choose one of {', '.join(DATASETS)}"
        )
    for path in ratings or []:
        stimuli = stimuli.with_space(path.stem, read_space(path, id_column=id_column), source=path)
    report = check_stimuli(stimuli)
    print(f"{report.n_stimuli:,} stimuli, {report.n_captions:,} captions, {report.n_videos:,} videos")
    for name, (features, low, high) in report.spaces.items():
        print(f"  {name}: {features} features, values {low:g} to {high:g}")
    for warning in report.warnings:
        print(f"Warning: {warning}")
    print("No fault found." if not report.warnings else f"No fault found, {len(report.warnings)} things to look at.")
    if json:
        print_json(vars(report))
