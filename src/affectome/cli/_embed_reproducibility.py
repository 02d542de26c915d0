"""``affectome embed reproducibility``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import affectome
from affectome.cli._common import (
    Cluster,
    Jobs,
    Json,
    LogFile,
    Quiet,
    command,
    expanded,
    print_json,
    start_logging,
    work_progress,
)
from affectome.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from affectome.embedding import VICE, Consensus, Reproducibility, SPoSE

logger = logging.getLogger(__name__)

#: Options that say how a space is fitted, and so have no meaning for spaces that are.
_OF_FITS = {
    "cluster": "--cluster",
    "seeds": "--seeds",
    "first_seed": "--first-seed",
    "components": "--components",
    "l1": "--l1",
    "n_stimuli": "--n-stimuli",
    "slot_prior": "--slot-prior",
    "no_slot_prior": "--no-slot-prior",
}
_FORM_NAMES = {"best_match": "Best match", "split_half": "Split half", "one_to_one": "One to one"}


@command
def reproducibility(
    context: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(help="Answered triplets; with --runs fitted spaces, their folder or a quoted pattern."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the runs and the results.")],
    runs: Annotated[
        bool, typer.Option("--runs", help="The files are spaces, already fitted from several seeds.")
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=2, max=1000, help="Number of fits.")] = 10,
    first_seed: Annotated[
        int, typer.Option("--first-seed", min=0, max=2**31, help="Seed of the first fit; the others count on from it.")
    ] = 0,
    components: Annotated[int, typer.Option("--components", min=1, help="Components at the start.")] = 30,
    l1: Annotated[
        float | None, typer.Option("--l1", min=0, help="Weight of the sparsity term; by the number of trials.")
    ] = None,
    n_stimuli: Annotated[int | None, typer.Option("--n-stimuli", min=3, help="Where the file does not say.")] = None,
    slot_prior: Annotated[
        str | None, typer.Option("--slot-prior", help="How much the judge likes each slot, as 0.5,0.3,0.2.")
    ] = None,
    no_slot_prior: Annotated[
        bool, typer.Option("--no-slot-prior", help="Leave out the slot prior that the file carries.")
    ] = False,
    reference: Annotated[
        str | None, typer.Option("--reference", help="Run that the figure shows, as 'seed 3'; the first by default.")
    ] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=-1, max=1, help="Split-half r that the consensus asks of a component.")
    ] = 0.5,
    permutations: Annotated[
        int, typer.Option("--permutations", min=1, max=1_000_000, help="Draws of the null.")
    ] = 1000,
    halves: Annotated[int, typer.Option("--halves", min=1, max=10_000, help="Random halves of the stimuli.")] = 50,
    level: Annotated[float, typer.Option("--level", help="Coverage that the intervals aim at.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the permutations and halves.")] = 0,
    label: Annotated[str, typer.Option("--label", help="Title of the figure, such as the system's name.")] = "",
    jobs: Jobs = None,
    cluster: Cluster = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Fit from several seeds: which components come back, and what do the fits agree on?

    Example: affectome embed reproducibility answers.parquet --seeds 10 --components 30 --out reproducibility/

    Of spaces that are fitted: affectome embed reproducibility --runs "spaces/seed_*.parquet" --out reproducibility/

    A run that is in the folder is not fitted again; an interrupted command goes on from there.
    """
    start_logging(quiet, log_file)
    from affectome._cluster import on_cluster
    from affectome._files import held_lock, make_folder
    from affectome.embedding import component_reproducibility, consensus_embedding
    from affectome.study._kept_fits import reproducibility_facts

    if runs:
        given = [option for name, option in _OF_FITS.items() if _typed(context, name)]
        if given:
            raise InputError(
                f"{given[0]} is about fits, and --runs takes spaces that are fitted", remedy="leave one out"
            )
    make_folder(out)
    with held_lock(
        out / ".lock",
        source=out,
        busy="another affectome command is using this folder",
        remedy="wait for it, or choose another --out",
    ):
        if runs:
            spaces = _read_runs(files)
        else:
            prior = (slot_prior, no_slot_prior)
            wanted = range(first_seed, first_seed + seeds)
            with on_cluster(cluster):
                spaces = _fitted(files, out / "runs", wanted, components, l1, n_stimuli, prior, jobs, quiet)
        with work_progress("permuting", quiet) as progress:
            result = component_reproducibility(
                spaces,
                level=level,
                n_null=permutations,
                n_halves=halves,
                seed=seed,
                reference=0 if reference is None else reference,
                progress=progress,
            )
        consensus = consensus_embedding(spaces, threshold=threshold, n_halves=halves, seed=seed)
        for a, b in result.identical:
            logger.warning("'%s' and '%s' are the same, to the last digit; they say nothing about seeds.", a, b)
        _write(out, result, consensus, label)
    print("\n".join(_lines(result, consensus, out)))
    if json:
        print_json({"out": str(out), **reproducibility_facts(result, consensus)})


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _read_runs(files: list[str]) -> dict[str, pd.DataFrame]:
    """Spaces by the names of their files, or their paths where two have one name."""
    from affectome.spaces import read_space

    paths = expanded(files, ".parquet")
    if len(paths) < 2:
        raise InputError("is the only run", source=paths[0], remedy="name at least two, or a folder that holds them")
    stems = [path.stem for path in paths]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
    return {name: read_space(path) for name, path in zip(names, paths, strict=True)}


def _fitted(
    files: list[str],
    folder: Path,
    seeds: range,
    components: int,
    l1: float | None,
    n_stimuli: int | None,
    slot_prior: tuple[str | None, bool],
    jobs: int | None,
    quiet: bool,
) -> dict[str, pd.DataFrame]:
    """The space of every seed, from the folder where it is there, and fitted into it where it is not."""
    from affectome._files import file_digest
    from affectome.cli._embed import chosen_slot_prior, log_offsets
    from affectome.embedding import SPoSE
    from affectome.study._kept_fits import kept_fits
    from affectome.triplets import read_triplets

    if len(files) != 1:
        raise InputError(f"{len(files)} triplet files are named", remedy="name one, or say --runs for fitted spaces")
    source = Path(files[0])
    trials = read_triplets(source, stimuli=n_stimuli)
    prior = chosen_slot_prior(trials, *slot_prior, quiet=quiet)
    settings = {"method": "spose", "components": components, "l1": l1, "slot_prior": prior, "n_stimuli": n_stimuli}
    settings |= {"triplets": file_digest(source), "affectome": affectome.__version__}
    path = {seed: folder / f"seed_{seed:02d}.parquet" for seed in seeds}
    _check_runs(folder, settings)

    def check(seed: int, model: SPoSE | VICE) -> None:
        if model.n_components_ == 0:
            raise InputError(
                f"every component of seed {seed} vanished", source=source, remedy="give more triplets or a lower --l1"
            )

    with work_progress("fitting", quiet) as progress:
        spaces = kept_fits(
            SPoSE(components, l1, slot_offsets=log_offsets(prior)),
            trials,
            path,
            settings,
            check=check,
            n_jobs=jobs,
            progress=progress,
        )
    return {f"seed {seed}": space for seed, space in spaces.items()}


def _check_runs(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds runs of other triplets or settings, or files that are no runs."""
    from affectome.study._kept_fits import fit_settings

    for path in sorted(folder.glob("[!.]*.parquet")):
        known = {name: value for name, value in fit_settings(path).items() if name != "seed"}
        for name, value in settings.items():
            if name not in known:
                raise InputError("is no run of this command", source=path, remedy="choose another --out")
            if known[name] != value:
                said = "other triplets" if name == "triplets" else f"{name} {known[name]}, not {value}"
                raise InputError(f"is a run of {said}", source=path, remedy="choose another --out, or delete its runs")


def _write(out: Path, result: Reproducibility, consensus: Consensus, label: str) -> None:
    from affectome._tables import write_csv
    from affectome.plotting import plot_reproducibility, save_figure
    from affectome.study._kept_fits import write_consensus

    for name, table in (("table", result.table), ("pairs", result.pairs), ("consensus", consensus.table)):
        write_csv(out / f"{name}.csv", table, index=False)
    write_consensus(out, consensus)
    save_figure(plot_reproducibility(result, label), out, "reproducibility")


def _lines(result: Reproducibility, consensus: Consensus, out: Path) -> list[str]:
    """One sentence per finding."""
    n = result.table.groupby("run").size()
    counts = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    lines = [f"{len(result.runs)} runs of {counts} components about {result.n_stimuli:,} stimuli."]
    overall = result.summary[result.summary["run"] == "all"]
    for row in overall.to_dict("records"):
        line = (
            f"{_FORM_NAMES[row['form']]}: median r {row['median']:.3f}, {100 * row['share_above_half']:.0f}% above .5"
        )
        if row["form"] == "best_match":
            alpha = 1 - result.level
            line += (
                f"; {100 * row['share_significant']:.0f}% above what selection gives by chance "
                f"(p <= {alpha:.2g}, family-wise over the components of a run)"
            )
        lines.append(line + ".")
    constant = int(result.table["constant"].sum())
    if constant:
        lines.append(f"{constant} components have no spread; they count as r = 0.")
    if result.n_clipped:
        lines.append(f"{result.n_clipped} pairs of components correlate above .9999 and count as .9999.")
    kept, all_ = consensus.space.shape[1], len(consensus.table)
    line = (
        f"Consensus: {kept} of the {all_} components of '{consensus.reference}' are reproduced "
        f"(split-half r of at least {consensus.threshold:g})"
    )
    lines.append(f"{line}: {out / 'consensus.parquet'}" if kept else f"{line}, so there is none.")
    if not consensus.converged:
        lines.append(f"Partners still changed after {consensus.n_iterations} rounds of matching.")
    return lines
