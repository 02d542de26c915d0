"""``affectome embed``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import Jobs, Json, LogFile, Quiet, about, command, print_json, start_logging, work_progress
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.embedding import VICE, SPoSE
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
    method: Annotated[str, typer.Option("--method", help="spose, or vice: how sure every weight is.")] = "spose",
    components: Annotated[
        int | None, typer.Option("--components", min=1, help="Components at the start; 30, or 60 with vice.")
    ] = None,
    l1: Annotated[
        float | None, typer.Option("--l1", min=0, help="Weight of the sparsity term of spose; by the trials.")
    ] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Learn from the probabilities of the answers.")] = False,
    device: Annotated[str, typer.Option("--device", help="cpu; or cuda, cuda:1, with torch.")] = "cpu",
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
    """Fit a sparse non-negative embedding (SPoSE, or VICE) to odd-one-out answers.

    Example: affectome embed fit answers.parquet --components 30 --out space.parquet

    A slot prior that the file carries enters the likelihood, unless it was already divided out of the answers. With
    --method vice the standard deviations of the weights go into a second file, space.scale.parquet.
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome.embedding import VICE
    from affectome.spaces import SPACE_FORMATS, write_space
    from affectome.triplets import read_triplets

    _check_method(method, l1, device)
    deviations = out.with_name(f"{out.stem}.scale.parquet")
    for target in (out, deviations) if method == "vice" else (out,):
        if target.resolve() == triplets.resolve():
            raise InputError("would be overwritten by the result", source=triplets, remedy="choose another --out")
        check_output(target, SPACE_FORMATS)
    trials = read_triplets(triplets, stimuli=n_stimuli)
    if soft and trials.probabilities is None:
        raise InputError("holds no probabilities", source=triplets, remedy="leave out --soft, or export them")
    prior = chosen_slot_prior(trials, slot_prior, no_slot_prior, quiet=quiet)
    model = _estimator(method, components, l1, device, seed, jobs, prior)
    with about(triplets), work_progress("fitting", quiet) as progress:
        model.fit(trials, trials.probabilities if soft else None, progress=progress)
        if model.n_components_ == 0:
            remedy = "give more triplets" if method == "vice" else "give more triplets or a lower --l1"
            raise InputError("every component vanished", remedy=remedy)
    facts: dict[str, Any] = {
        "n_components": model.n_components_,
        "objective": model.objective_,
        "epochs": model.n_epochs_,
        "converged": model.converged_,
        "n_trials": model.n_trials_,
        "n_dropped": model.n_dropped_,
        "training_accuracy": model.score(trials, trials.probabilities if soft else None),
    }
    settings = {"method": method, "components": model.n_components, "soft": soft, "device": device, "seed": seed}
    settings |= {"slot_prior": prior}
    if isinstance(model, VICE):
        write_space(deviations, model.to_scale_space(trials.ids), {"settings": settings})
        facts["scale_file"] = deviations.name
    else:
        settings["l1"] = model.l1_
        facts["iterations"] = model.n_iter_
    write_space(out, model.to_space(trials.ids), {"settings": settings, **facts})
    print(f"{model.n_components_} components from {model.n_trials_:,} trials, objective {model.objective_:.4f}: {out}")
    if isinstance(model, VICE):
        print(f"The standard deviations of the weights: {deviations}")
    if json:
        print_json({"out": str(out), "l1": settings.get("l1"), "slot_prior": prior, **facts})


def _check_method(method: str, l1: float | None, device: str) -> None:
    from affectome.embedding import is_device

    if method not in ("spose", "vice"):
        raise InputError(f"--method {method} is unknown", remedy="choose spose or vice")
    if method == "vice" and l1 is not None:
        raise InputError("--l1 is for spose; the prior of vice does its work", remedy="leave it out")
    if method == "vice" and device != "cpu":
        raise InputError(f"vice does not run on {device}", remedy="leave out --device")
    if not is_device(device):
        raise InputError(f"--device {device} is unknown", remedy="choose cpu, cuda, cuda:1 or torch-cpu")
    if l1 is not None and not math.isfinite(l1):
        raise InputError(f"--l1 {l1} is no weight", remedy="give a finite number")


def _estimator(
    method: str,
    components: int | None,
    l1: float | None,
    device: str,
    seed: int,
    jobs: int | None,
    prior: list[float] | None,
) -> SPoSE | VICE:
    from affectome.embedding import VICE, SPoSE

    common: dict[str, Any] = {"random_state": seed, "n_jobs": jobs, "slot_offsets": log_offsets(prior)}
    if method == "vice":
        return VICE(components or 60, **common)
    return SPoSE(components or 30, l1, device=device, **common)


def chosen_slot_prior(trials: TripletSet, given: str | None, refused: bool, *, quiet: bool) -> list[float] | None:
    """The slot prior that a fit uses, or None: that of the option first, then that of the file; says which it is."""
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
        prior, origin = check_slot_prior(numbers).tolist(), "of --slot-prior"
    else:
        known = None if refused else undivided_slot_prior(trials)
        if known is None:
            return None
        prior, origin = known.tolist(), "of the file"
    if not quiet:
        print(f"The slot prior {' / '.join(f'{p:.3f}' for p in prior)} {origin} enters the likelihood.")
    return list(prior)


def log_offsets(prior: list[float] | None) -> tuple[float, float, float] | None:
    """A slot prior as the estimators take it."""
    if prior is None:
        return None
    first, second, third = (math.log(p) for p in prior)
    return first, second, third
