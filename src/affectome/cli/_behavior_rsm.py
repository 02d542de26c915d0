"""``affectome behavior rsm`` and ``affectome behavior components``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import (
    Jobs,
    Json,
    LogFile,
    Quiet,
    about,
    command,
    listed_ids,
    print_json,
    start_logging,
    work_progress,
)
from affectome.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from affectome.behavior import ComponentsNeeded, MeasuredRSM, RSMAgreement, RSMByComponents, RSMReliability
    from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

_FIGURES = (".png", ".svg", ".pdf")
_MANY = 0.1  # a larger share of all triplets is no sample of them

Bootstrap = Annotated[int, typer.Option("--bootstrap", min=1, max=100_000, help="Resamples behind the intervals.")]
Level = Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")]
ThirdOption = Annotated[
    str, typer.Option("--third", help="Third stimuli: subset (those compared) or all (those of the space).")
]


@command
def rsm(
    space: Annotated[Path, typer.Argument(help="A learned space.")],
    answers: Annotated[Path, typer.Argument(help="Answered triplets, best all those of some stimuli.")],
    stimuli: Annotated[
        Path | None, typer.Option("--stimuli", help="Ids to compare, one a line; by default those answered about.")
    ] = None,
    third: ThirdOption = "subset",
    soft: Annotated[bool, typer.Option("--soft", help="Average the judge's probabilities, not its choices.")] = False,
    categories: Annotated[
        Path | None,
        typer.Option("--categories", help="Ratings whose top category orders the figure; by default clustering."),
    ] = None,
    permutations: Annotated[
        int, typer.Option("--permutations", min=0, max=1_000_000, help="Permutations behind p; 0 for none.")
    ] = 1000,
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of bootstrap, permutations and split halves.")] = 0,
    figure: Annotated[Path | None, typer.Option("--figure", help="Three panels: .png, .svg or .pdf.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The pairs, as CSV.")] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """How well does a space predict which stimuli are kept together? Measured and predicted RSM, and their correlation.

    Example: affectome behavior rsm space.parquet answers.parquet --stimuli ids.txt --figure rsm.png

    Intervals are over stimuli. Time grows with the pairs: some seconds for 66 stimuli; for 1,000 take --bootstrap 100.
    """
    start_logging(quiet, log_file)
    from affectome._tables import write_csv
    from affectome.behavior import measured_rsm, predicted_rsm, rsm_agreement
    from affectome.spaces import read_space
    from affectome.study._behavior_tables import rsm_facts, rsm_pairs, rsm_reliabilities

    _check_options(third, figure, out)
    known = read_space(space)
    trials = _read_answers(answers, known)
    if soft and trials.probabilities is None:
        raise InputError("holds no probabilities", source=answers, remedy="leave out --soft")
    ids = None if stimuli is None else listed_ids(stimuli)
    with about(stimuli or answers):
        measured = measured_rsm(trials, ids, third=third, soft=soft)  # type: ignore[arg-type]
    if measured.n_missing:
        logger.warning(
            "%s of the pairs were never asked, and are left out.", f"{measured.n_missing:,} of {_pairs(measured):,}"
        )
    with about(space):
        predicted = predicted_rsm(known, measured.similarity.index.tolist(), third=third, n_jobs=jobs)  # type: ignore[arg-type]
    with about(answers), work_progress("resampling", quiet) as progress:
        agreement = rsm_agreement(
            measured.similarity,
            predicted,
            n_boot=bootstrap,
            level=level,
            n_permutations=permutations,
            seed=seed,
            progress=progress,
        )
    reliability = rsm_reliabilities(trials, measured, seed)
    print("\n".join(_rsm_lines(measured, agreement, reliability)))
    if out is not None:
        write_csv(out, rsm_pairs(measured, predicted), index=False)
    if figure is not None:
        _draw_rsm(figure, measured, predicted, agreement, categories, seed)
    if json:
        print_json(rsm_facts(measured, agreement, reliability))


def _check_options(third: str, figure: Path | None, out: Path | None) -> None:
    """What would be found out only after the files are read, or only at the end."""
    from affectome._files import check_output

    if third not in ("subset", "all"):
        raise InputError(f"--third {third} is unknown", remedy="choose subset or all")
    if figure is not None:
        check_output(figure, _FIGURES)
    if out is not None:
        check_output(out, (".csv",))


def _read_answers(path: Path, space: pd.DataFrame) -> TripletSet:
    """A file of bare indices counts the stimuli of the space; a triplet file knows its own."""
    from affectome.triplets import read_triplets

    return read_triplets(path, stimuli=None if path.suffix.lower() == ".parquet" else space.index.tolist())


def _pairs(measured: MeasuredRSM) -> int:
    n = len(measured.similarity)
    return n * (n - 1) // 2


def _rsm_lines(measured: MeasuredRSM, agreement: RSMAgreement, reliability: dict[str, RSMReliability]) -> Iterator[str]:
    """One sentence per finding."""
    share = f"{100 * agreement.level:g}%"
    for name, found in (("Pearson", agreement.pearson), ("Spearman", agreement.spearman)):
        p = "" if found.p != found.p else f"; p = {found.p:.2g} by {agreement.n_permutations:,} permutations of stimuli"
        yield (
            f"{name} r = {found.r:.4f}, {share} interval over stimuli [{found.ci_low:.4f}, {found.ci_high:.4f}] "
            f"(over pairs, as if independent: [{found.pairs_ci_low:.4f}, {found.pairs_ci_high:.4f}]){p}."
        )
    for split, of in (("triplets", "halves of the triplets"), ("repeats", "halves of the answers to each triplet")):
        if split in reliability:
            yield _reliability_line(reliability[split], of)
    counts = measured.counts.to_numpy()
    asked = counts[counts > 0]
    times = f"{asked.min():,}" if asked.min() == asked.max() else f"{asked.min():,} to {asked.max():,}"
    what = "probabilities" if measured.soft else "choices"
    yield (
        f"{agreement.n_stimuli:,} stimuli, {agreement.n_pairs:,} of {_pairs(measured):,} pairs, each asked "
        f"{times} times in {measured.n_trials:,} trials ({what}); third stimuli: "
        f"{measured.third}. Left out: {measured.n_outside:,} trials about others, {measured.n_unanswered:,} unanswered."
    )


def _reliability_line(found: RSMReliability, of: str) -> str:
    bound = ""
    if found.split == "triplets" and found.share_asked > _MANY:
        bound = f"; a lower bound, for {100 * found.share_asked:.0f}% of all triplets were asked, which is no sample"
    return (
        f"The RSMs of {of} correlate {found.half:.4f}: reliability {found.value:.4f} (Spearman-Brown), under which a "
        f"right prediction is expected to reach r = {found.highest_r:.4f}{bound}."
    )


def _draw_rsm(
    figure: Path,
    measured: MeasuredRSM,
    predicted: pd.DataFrame,
    agreement: RSMAgreement,
    categories: Path | None,
    seed: int,
) -> None:
    from affectome.plotting import save_figure
    from affectome.spaces import read_space
    from affectome.study._behavior_tables import rsm_figure

    with nullcontext() if categories is None else about(categories):
        rated = None if categories is None else read_space(categories)
        drawn = rsm_figure(measured, predicted, agreement, categories=rated, seed=seed)
    save_figure(drawn, figure.parent, figure.stem, (figure.suffix[1:].lower(),))


@command
def components(
    space: Annotated[Path, typer.Argument(help="A learned space.")],
    triplets: Annotated[Path, typer.Argument(help="Answered triplets the space was not learned from.")],
    share: Annotated[
        list[float] | None, typer.Option("--share", help="Share of the accuracy to reach; 0.95 to 0.99 by default.")
    ] = None,
    rsm_answers: Annotated[
        Path | None,
        typer.Option("--rsm-answers", help="Answers about some stimuli: also the fit to their RSM by components."),
    ] = None,
    third: ThirdOption = "subset",
    bootstrap: Bootstrap = 1000,
    level: Level = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    figure: Annotated[Path | None, typer.Option("--figure", help="The curves: .png, .svg or .pdf.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The accuracy curve, as CSV.")] = None,
    jobs: Jobs = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """How many components does a stimulus need? Accuracy when each keeps its k largest weights, for every k.

    Example: affectome behavior components space.parquet held_out.parquet --figure components.png
    """
    start_logging(quiet, log_file)
    from affectome._tables import write_csv
    from affectome.behavior import components_needed, measured_rsm, rsm_by_components
    from affectome.spaces import read_space

    _check_options(third, figure, out)
    known = read_space(space)
    trials = _read_answers(triplets, known)
    shares = tuple(share) if share else (0.95, 0.96, 0.97, 0.98, 0.99)
    settings: Any = {"n_boot": bootstrap, "level": level, "seed": seed, "n_jobs": jobs}
    with about(space), work_progress("dropping weights", quiet) as progress:
        result = components_needed(known, trials, shares=shares, progress=progress, **settings)
    by_rsm = None
    if rsm_answers is not None:
        with about(rsm_answers):
            measured = measured_rsm(_read_answers(rsm_answers, known), third=third)  # type: ignore[arg-type]
            with work_progress("dropping components", quiet) as progress:
                by_rsm = rsm_by_components(
                    known,
                    measured.similarity,
                    third=third,  # type: ignore[arg-type]
                    progress=progress,
                    **settings,
                )
    print("\n".join(_components_lines(result, by_rsm)))
    if out is not None:
        write_csv(out, result.curve)
    if figure is not None:
        from affectome.plotting import plot_components_needed, save_figure

        save_figure(plot_components_needed(result, by_rsm), figure.parent, figure.stem, (figure.suffix[1:].lower(),))
    if json:
        from affectome.study._behavior_tables import needed_facts

        print_json(needed_facts(result, by_rsm))


def _components_lines(result: ComponentsNeeded, by_rsm: RSMByComponents | None) -> Iterator[str]:
    """One sentence per finding."""
    whole = result.curve.iloc[-1]
    yield (
        f"With all {len(result.curve)} components: accuracy {whole['accuracy']:.4f} [{whole['ci_low']:.4f}, "
        f"{whole['ci_high']:.4f}] over {result.n_triplets:,} triplets; chance is 0.3333. {100 * result.level:g}% "
        "intervals over triplets."
    )
    rows = result.needed.to_dict("records")
    for zero, chance in zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True):
        yield (
            f"{100 * zero['share']:g}% of it needs the {_number(zero)} largest weights of each stimulus; of what lies "
            f"above chance, {_number(chance)}."
        )
    if by_rsm is not None:
        ends = sorted({1, (len(by_rsm.curve) + 1) // 2, len(by_rsm.curve)})
        parts = [
            f"{row['r']:.4f} [{row['ci_low']:.4f}, {row['ci_high']:.4f}] with {k}"
            for k, row in by_rsm.curve.loc[ends].to_dict("index").items()
        ]
        yield (
            f"r with the RSM of {by_rsm.n_stimuli:,} stimuli, keeping the largest components (intervals over stimuli): "
            f"{'; '.join(parts)}."
        )


def _number(row: dict[Any, Any]) -> str:
    if row["k"] != row["k"]:
        return "unknown number of"
    interval = "" if row["ci_low"] != row["ci_low"] else f" [{row['ci_low']:.0f}, {row['ci_high']:.0f}]"
    return f"{row['k']:.0f}{interval}"
