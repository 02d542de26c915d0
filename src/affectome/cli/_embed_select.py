"""``affectome embed select``."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from affectome.cli._common import (
    Cluster,
    Jobs,
    Json,
    LogFile,
    Quiet,
    about,
    command,
    print_json,
    start_logging,
    work_progress,
)
from affectome.cli._embed import chosen_slot_prior, log_offsets
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.embedding import Selection, Setting
    from affectome.embedding._selection_io import FinishedPaths
    from affectome.triplets import TripletSet

__all__ = ["select"]

logger = logging.getLogger(__name__)

Number = TypeVar("Number", int, float)


@command
def select(
    triplets: Annotated[Path, typer.Argument(help="Answered triplets: Parquet, or odd-last .txt/.npy.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables, the figure and the finished folds.")],
    components: Annotated[
        str, typer.Option("--components", help="Numbers of components at the start, as 5,10,20.")
    ] = "5,10,20,30,50",
    l1: Annotated[str, typer.Option("--l1", help="Weights of the sparsity term.")] = "0.001,0.003,0.01,0.03,0.1",
    folds: Annotated[int, typer.Option("--folds", min=2, help="How many parts are held out in turn.")] = 5,
    over: Annotated[str, typer.Option("--over", help="What is held out: triplets or stimuli.")] = "triplets",
    criterion: Annotated[str, typer.Option("--criterion", help="What is compared: log-loss or accuracy.")] = "log-loss",
    rule: Annotated[
        str, typer.Option("--rule", help="What is chosen: one-se (the simplest within a standard error) or best.")
    ] = "one-se",
    soft: Annotated[
        bool, typer.Option("--soft", help="Learn from, and predict, the probabilities of the answers.")
    ] = False,
    warm_start: Annotated[
        bool, typer.Option("--warm-start", help="Start each fit from the one with the next larger l1.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of the folds and the fits.")] = 0,
    n_stimuli: Annotated[int | None, typer.Option("--n-stimuli", min=3, help="Where the file does not say.")] = None,
    slot_prior: Annotated[
        str | None, typer.Option("--slot-prior", help="How much the judge likes each slot, as 0.5,0.3,0.2.")
    ] = None,
    no_slot_prior: Annotated[
        bool, typer.Option("--no-slot-prior", help="Leave out the slot prior that the file carries.")
    ] = False,
    jobs: Jobs = None,
    cluster: Cluster = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Cross-validate the number of components and the sparsity of an embedding.

    Example: affectome embed select answers.parquet --components 10,20,30,50 --l1 0.003,0.01,0.03 --out selection

    Split a test set off first (affectome.split_triplets): the score of what is selected here is optimistic.
    Finished folds are kept in the folder, and the same command goes on from there.
    """
    start_logging(quiet, log_file)
    from affectome._cluster import on_cluster
    from affectome._files import held_lock, make_folder
    from affectome.embedding import SPoSE, select_embedding
    from affectome.triplets import read_triplets

    counts, weights = _numbers(components, int, "--components"), _numbers(l1, float, "--l1")
    trials = read_triplets(triplets, stimuli=n_stimuli)
    prior = chosen_slot_prior(trials, slot_prior, no_slot_prior, quiet=quiet)
    estimator = SPoSE(slot_offsets=log_offsets(prior))
    settings: dict[str, Any] = {"n_folds": folds, "over": over, "soft": soft, "warm_start": warm_start, "seed": seed}
    known = _finished(out, trials, {**settings, "l1": sorted(set(weights)), "slot_prior": prior})
    busy, remedy = "is in use by another selection", "wait for it, or choose another --out"
    with held_lock(make_folder(out) / ".lock", source=out, busy=busy, remedy=remedy):
        finished = known.read()
        if finished:
            logger.info("%d fitted parts of an earlier run with these settings are reused.", len(finished))
        with about(triplets), on_cluster(cluster), work_progress("selecting", quiet) as progress:
            result = select_embedding(
                trials,
                components=counts,
                l1=weights,
                **settings,
                criterion=criterion.replace("-", "_"),  # type: ignore[arg-type]
                rule=rule,  # type: ignore[arg-type]
                estimator=estimator,
                n_jobs=jobs,
                progress=progress,
                finished=finished,
                keep=known.write,
            )
        _write(out, result)
    for sentence in result.warnings:
        logger.warning("%s", sentence)
    options = {
        "--soft": soft or None,
        "--n-stimuli": n_stimuli,
        "--slot-prior": slot_prior,
        "--no-slot-prior": no_slot_prior or None,
    }
    fit = _fit_command(triplets, out, result.chosen, options)
    print("\n".join([*_lines(result), f"To fit the {result.rule} choice: {fit}"]))
    if json:
        print_json(_as_json(result, out, fit))


def _numbers(text: str, kind: Callable[[str], Number], option: str) -> list[Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text} is no list of numbers", remedy="give it as 5,10,20") from error


def _finished(out: Path, trials: TripletSet, settings: dict[str, Any]) -> FinishedPaths:
    """The store of this selection; the number of components is free, for a longer list may come later."""
    import affectome
    from affectome.embedding._selection_io import FinishedPaths, selection_key

    key = selection_key(trials, {**settings, "affectome": affectome.__version__})
    return FinishedPaths(out / "folds", key)


def _write(out: Path, result: Selection) -> None:
    from affectome._tables import write_csv
    from affectome.plotting import plot_selection, save_figure

    for name, table in (("selection", result.scores), ("summary", result.summary)):
        write_csv(out / f"{name}.csv", table, index=False)
    save_figure(plot_selection(result), out, "selection")


def _lines(result: Selection) -> list[str]:
    """What a reader sees: the best, the simplest that is as good, and what the numbers are means of."""

    def said(setting: Setting) -> str:
        row = result.at(setting)
        return (
            f"{setting.n_components} components, l1 {setting.l1:g} ({row['n_kept']:.1f} kept): "
            f"log loss {row['log_loss']:.4f} (SE {row['log_loss_se']:.4f}), "
            f"accuracy {row['accuracy']:.4f} (SE {row['accuracy_se']:.4f})."
        )

    same = result.one_se == result.best
    n_settings = len(result.summary)
    return [
        f"Best by held-out {result.criterion.replace('_', ' ')}: {said(result.best)}",
        "The one-standard-error choice is the same."
        if same
        else f"One-standard-error choice, the simplest within one SE of the best: {said(result.one_se)}",
        f"Means over {result.n_folds} folds of {result.over}, {result.n_trials:,} answered trials; "
        "chance is log loss 1.0986 and accuracy 0.3333.",
        f"The best of {n_settings} settings looks better than it is: report its accuracy on triplets that were split "
        "off before the selection.",
    ]


def _fit_command(triplets: Path, out: Path, setting: Setting, options: dict[str, Any]) -> str:
    words = ["affectome", "embed", "fit", str(triplets), "--components", str(setting.n_components)]
    words += ["--l1", f"{setting.l1:g}"]
    for name, value in options.items():
        if value is not None:
            words += [name] if value is True else [name, str(value)]
    return shlex.join([*words, "--out", str(out / "space.parquet")])


def _as_json(result: Selection, out: Path, fit: str) -> dict[str, Any]:
    def setting(which: Setting) -> dict[str, Any]:
        return {str(name): value for name, value in result.at(which).to_dict().items()} | vars(which)

    return {
        "out": str(out),
        "best": setting(result.best),
        "one_se": setting(result.one_se),
        "chosen": vars(result.chosen),
        "criterion": result.criterion,
        "rule": result.rule,
        "over": result.over,
        "n_folds": result.n_folds,
        "n_trials": result.n_trials,
        "n_unanswered": result.n_unanswered,
        "n_unconverged": int((~result.scores["converged"].astype(bool)).sum()),
        "warnings": list(result.warnings),
        "fit": fit,
    }
