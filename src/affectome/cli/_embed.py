"""``affectome embed``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from affectome.cli._common import Jobs, Json, LogFile, Quiet, about, command, print_json, start_logging, work_progress
from affectome.errors import InputError

group = typer.Typer(help="Learn the space behind the answers.", no_args_is_help=True)


@group.callback()
def _group() -> None:
    """Learn the space behind the answers."""


@group.command("fit")
@command
def fit(
    triplets: Annotated[Path, typer.Argument(help="Answered triplets: Parquet, or odd-last .txt/.npy.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet, CSV or TSV file for the space.")],
    components: Annotated[int, typer.Option("--components", min=1, help="Components at the start.")] = 30,
    l1: Annotated[float, typer.Option("--l1", min=0, help="Weight of the sparsity term.")] = 0.003,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Start and order of the triplets.")] = 0,
    n_stimuli: Annotated[int | None, typer.Option("--n-stimuli", min=3, help="Where the file does not say.")] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Fit a sparse non-negative embedding (SPoSE) to odd-one-out choices.

    Example: affectome embed fit answers.parquet --components 30 --out space.parquet
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.embedding import SPoSE
    from affectome.spaces import SPACE_FORMATS, write_space
    from affectome.triplets import read_triplets

    check_output(out, SPACE_FORMATS)
    trials = read_triplets(triplets, stimuli=n_stimuli)
    model = SPoSE(components, l1, random_state=seed, n_jobs=jobs)
    with about(triplets), work_progress("fitting", quiet) as progress:
        model.fit(trials, progress=progress)
        if model.n_components_ == 0:
            raise InputError("every component vanished", remedy="give more triplets or a lower --l1")
    facts = {
        "n_components": model.n_components_,
        "objective": model.objective_,
        "epochs": model.n_epochs_,
        "converged": model.converged_,
        "n_trials": model.n_trials_,
        "n_dropped": model.n_dropped_,
        "training_accuracy": model.score(trials),
    }
    settings = {"method": "spose", "components": components, "l1": l1, "seed": seed}
    write_space(out, model.to_space(trials.ids), {"settings": settings, **facts})
    print(f"{model.n_components_} components from {model.n_trials_:,} trials, objective {model.objective_:.4f}: {out}")
    if json:
        print_json({"out": str(out), **facts})
