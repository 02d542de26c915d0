"""``affectome behavior``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Jobs, Json, LogFile, Quiet, about, command, print_json, start_logging

group = typer.Typer(help="Does a space predict choices?", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Does a space predict choices?"""


@group.command("score")
@command
def score(
    space: Annotated[Path, typer.Argument(help="A learned space.")],
    triplets: Annotated[Path, typer.Argument(help="Answered triplets the space was not learned from.")],
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

    Example: affectome behavior score space.parquet held_out.parquet
    """
    start_logging(quiet, log_file)
    from affectome.behavior import held_out_accuracy
    from affectome.spaces import read_space
    from affectome.triplets import read_triplets

    known = read_space(space)
    trials = read_triplets(triplets, stimuli=None if triplets.suffix == ".parquet" else known.index.tolist())
    with about(space):
        result = held_out_accuracy(known, trials, n_boot=bootstrap, level=level, seed=seed, n_jobs=jobs)
    print(
        f"Accuracy {result.value:.4f}, {100 * level:g}% interval [{result.ci_low:.4f}, {result.ci_high:.4f}] "
        f"over {result.n_triplets:,} triplets; chance is 0.3333."
    )
    if json:
        print_json(vars(result))
