"""``affectome data``."""

from __future__ import annotations

import os
import shlex
import textwrap
from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Json, LogFile, Quiet, command, print_json, start_logging, work_progress

group = typer.Typer(help="Public datasets.", no_args_is_help=True)


@group.command("list")
@command
def list_datasets(quiet: Quiet = False, json: Json = False, log_file: LogFile = None) -> None:
    """Show the public datasets that can be downloaded, and their terms.

    Example: affectome data list
    """
    start_logging(quiet, log_file)
    from dataclasses import asdict

    from affectome.stimuli import OPENNEURO, PUBLIC_DATASETS

    for dataset in PUBLIC_DATASETS.values():
        print(dataset.name)
        _print_indented(dataset.description)
        _print_indented(f"Terms: {dataset.terms}.")
        for file in dataset.files:
            print(f"    {file.name}  {file.url}")
    print("At OpenNeuro, to be downloaded with its own tools")
    for accession, description in OPENNEURO.items():
        _print_indented(f"{accession}: {description}, https://openneuro.org/datasets/{accession}")
    if json:
        print_json({"datasets": [asdict(d) for d in PUBLIC_DATASETS.values()], "openneuro": dict(OPENNEURO)})


def _print_indented(text: str) -> None:
    print(
        textwrap.fill(
            text,
            100,
            initial_indent="  ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


@group.command("fetch")
@command
def fetch(
    name: Annotated[str, typer.Argument(help="A name that 'affectome data list' shows.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder; AFFECTOME_DATA by default, else 'data' in the current one.", metavar="DIR"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="One file of the dataset; repeatable.", metavar="FILE")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Download a public dataset, checked against its published checksums; the same command goes on after a stop.

    Example: affectome data fetch cowen-keltner-2017 --to data
    """
    start_logging(quiet, log_file)
    from affectome.stimuli import PUBLIC_DATASETS, data_folder, fetch_dataset

    folder = (data_folder() if to is None else to).expanduser().resolve()
    with work_progress(name, quiet) as progress:
        paths = fetch_dataset(name, folder, only=only or (), progress=progress)
    for path in paths:
        print(path)
    print(f"Terms: {PUBLIC_DATASETS[name].terms}.")
    if os.environ.get("AFFECTOME_DATA") and data_folder().resolve() == folder:
        print(f"The data folder is {folder}, as AFFECTOME_DATA says.")
    else:
        print(f"The data folder is {folder}; point studies at it: export AFFECTOME_DATA={shlex.quote(str(folder))}")
    if json:
        print_json({"name": name, "folder": str(folder), "files": [str(path) for path in paths]})


@group.command("stand-ins")
@command
def stand_ins(
    out: Annotated[Path, typer.Option("--out", help="Folder for the files.", metavar="FOLDER")],
    stimuli: Annotated[
        int, typer.Option("--stimuli", help="Clips, 80 to 2185; at least 151 for every analysis.")
    ] = 160,
    people: Annotated[int, typer.Option("--people", help="Recorded people.")] = 3,
    answers: Annotated[int, typer.Option("--answers", help="Different triplets that each model answered.")] = 30_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the simulation.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write simulated files in the layouts of the emotion-video data, to try a study before the data are there.

    Example: affectome data stand-ins --out stand-ins
    """
    start_logging(quiet, log_file)
    from affectome.simulation import write_stand_ins

    made = write_stand_ins(out.expanduser(), n_stimuli=stimuli, n_people=people, n_answers=answers, seed=seed)
    for path in made.files:
        print(path)
    folder = made.folder.resolve()
    print(f"These are simulated; what is true of them is in {folder / 'planted'}.")
    print(f"Point a study at them: export AFFECTOME_DATA={shlex.quote(str(folder))}")
    if json:
        print_json({"folder": str(folder), "files": [str(path) for path in made.files]})
