"""``affectome triplets export``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from affectome.cli._common import Json, LogFile, Quiet, command, print_json, start_logging
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)


@command
def export(
    triplets: Annotated[Path, typer.Argument(help="Answered triplets.")],
    out: Annotated[Path, typer.Option("--out", help="File for the triplets, .txt or .npy, odd one last.")],
    test_out: Annotated[
        Path | None, typer.Option("--test-out", help="A second file, for held-out triplets that are in no other.")
    ] = None,
    test_share: Annotated[
        float, typer.Option("--test-share", help="Share of the triplets that goes there; none is on both sides.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws them.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write answers as other SPoSE programs read them: three indices a row from 0, odd one last.

    Example: affectome triplets export answers.parquet --out train_90.txt --test-out test_10.txt
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.triplets import read_triplets, split_triplets, write_triplets

    for target in (out, test_out):
        if target is not None:
            check_output(target, (".txt", ".npy"))
    trials = read_triplets(triplets)
    parts: list[tuple[Path, TripletSet]] = [(out, trials)]
    if test_out is not None:
        if not 0 < test_share < 1:
            raise InputError(f"--test-share {test_share:g} is no share", remedy="give a number between 0 and 1")
        answered = trials[trials.answered]
        different = len(np.unique(answered.keys()))
        n_test = round(test_share * different)
        train, test = split_triplets(answered, (different - n_test, n_test), seed=seed)
        parts = [(out, train), (test_out, test)]
        if len(answered) < len(trials):
            logger.warning("%d unanswered trials are in neither file.", len(trials) - len(answered))
    for target, part in parts:
        write_triplets(target, part)
        print(f"{int(part.answered.sum()):,} answers about {part.n_stimuli:,} stimuli, odd one last: {target}")
    if json:
        counts = [int(part.answered.sum()) for _, part in parts]
        print_json({"out": [str(target) for target, _ in parts], "n_answered": counts, "n_stimuli": trials.n_stimuli})
