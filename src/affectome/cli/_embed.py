"""``affectome embed``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectome.cli._common import Jobs, Json, LogFile, Quiet, about, command, print_json, start_logging, work_progress
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.triplets import TripletSet

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
    slot_prior: Annotated[
        str | None, typer.Option("--slot-prior", help="How much the judge likes each slot, as 0.5,0.3,0.2.")
    ] = None,
    no_slot_prior: Annotated[
        bool, typer.Option("--no-slot-prior", help="Leave out the slot prior that the file carries.")
    ] = False,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Fit a sparse non-negative embedding (SPoSE) to odd-one-out choices.

    Example: affectome embed fit answers.parquet --components 30 --out space.parquet

    A slot prior that the file carries enters the likelihood, unless it was already divided out of the answers.
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.embedding import SPoSE
    from affectome.spaces import SPACE_FORMATS, write_space
    from affectome.triplets import read_triplets

    check_output(out, SPACE_FORMATS)
    trials = read_triplets(triplets, stimuli=n_stimuli)
    prior, origin = _slot_prior(trials, slot_prior, no_slot_prior)
    if prior is not None and not quiet:
        print(f"The slot prior {' / '.join(f'{p:.3f}' for p in prior)} {origin} enters the likelihood.")
    offsets = None if prior is None else tuple(math.log(p) for p in prior)
    model = SPoSE(components, l1, random_state=seed, n_jobs=jobs, slot_offsets=offsets)  # type: ignore[arg-type]
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
    settings = {"method": "spose", "components": components, "l1": l1, "seed": seed, "slot_prior": prior}
    write_space(out, model.to_space(trials.ids), {"settings": settings, **facts})
    print(f"{model.n_components_} components from {model.n_trials_:,} trials, objective {model.objective_:.4f}: {out}")
    if json:
        print_json({"out": str(out), "slot_prior": prior, **facts})


def _slot_prior(trials: TripletSet, given: str | None, refused: bool) -> tuple[list[float] | None, str]:
    """The slot prior that a fit uses, or None, and where it is from: the option first, then the file."""
    from affectome.collection import check_slot_prior, undivided_slot_prior

    if given is not None:
        if refused:
            raise InputError("--slot-prior and --no-slot-prior exclude each other", remedy="give one of them")
        try:
            numbers = [float(part) for part in given.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 3:
            raise InputError(f"--slot-prior {given} is not three numbers", remedy="give them as 0.5,0.3,0.2")
        return check_slot_prior(numbers).tolist(), "of --slot-prior"
    known = None if refused else undivided_slot_prior(trials)
    return (None, "") if known is None else (known.tolist(), "of the file")
