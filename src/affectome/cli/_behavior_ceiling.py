"""``affectome behavior ceiling``, and what ``affectome behavior score --repeats`` prints of ceilings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli._common import Json, LogFile, Quiet, about, command, print_json, start_logging

if TYPE_CHECKING:
    from affectome.behavior import CeilingEstimates, ExplainedAccuracy

logger = logging.getLogger(__name__)

_NAMES = {
    "modal": "modal answer",
    "leave_one_out": "leave-one-out",
    "split_half": "split-half",
    "agreement": "two answers agree",
    "agreement_bound": "bound from agreement",
}
_BIASES = {
    "upward": "upward",
    "downward": "downward",
    "lower bound": "at or below the ceiling",
    "upper bound": "at or above the ceiling",
}


@command
def ceiling(
    answers: Annotated[Path, typer.Argument(help="Answered triplets, at least some of them asked several times.")],
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=1, max=100_000, help="Resamples behind the intervals.")
    ] = 1000,
    level: Annotated[float, typer.Option("--level", help="Coverage the intervals aim at.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="The table, as CSV.")] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """How well could anything predict this judge? Noise ceilings from triplets that were answered several times.

    Example: affectome behavior ceiling repeats.parquet
    """
    start_logging(quiet, log_file)
    from affectome._files import check_output
    from affectome._tables import write_csv
    from affectome.behavior import noise_ceiling
    from affectome.triplets import read_triplets

    if out is not None:
        check_output(out, (".csv",))
    trials = read_triplets(answers)
    with about(answers):
        result = noise_ceiling(trials, n_boot=bootstrap, level=level, seed=seed)
    for sentence in result.warnings:
        logger.warning("%s", sentence)
    print("\n".join(ceiling_lines(result)))
    if out is not None:
        write_csv(out, result.table)
    if json:
        from affectome.study._behavior_tables import ceiling_facts

        print_json(ceiling_facts(result))


def ceiling_lines(result: CeilingEstimates) -> Iterator[str]:
    """What a reader sees: one line per estimate, then the bracket and what it comes from."""
    yield f"{'':20}  {'estimate':23}  {'guessing gives':14}  bias"
    for name, row in result.table.to_dict("index").items():
        value = _with_interval(row)
        yield f"{_NAMES[str(name)]:20}  {value:23}  {row['guessing']:<14.3f}  {_BIASES[row['bias']]}"
    bracket, bound = result.bracket(), result.table.to_dict("index")["agreement_bound"]["value"]
    tighter = f", and by how often two answers agree in at most {bound:.3f}" if bound < bracket.upper else ""
    yield (
        f"The best possible model would name the judge's odd one in {bracket.lower:.3f} (leave-one-out) to "
        f"{bracket.upper:.3f} (modal) of its answers{tighter}; with sampling error in {bracket.lower_ci_low:.3f} to "
        f"{bracket.upper_ci_high:.3f}; chance is 0.333."
    )
    each = f"{result.repeats_min:g}"
    if result.repeats_max > result.repeats_min:
        each += f" to {result.repeats_max:g} (median {result.repeats_median:g})"
    yield (
        f"{result.n_answers:,} answers to {result.n_triplets:,} triplets, {each} each, every answer counting once; "
        f"{100 * result.level:g}% intervals over triplets."
    )
    yield f"Left out: {result.n_single:,} triplets with one answer, {result.n_unanswered:,} trials without an answer."


def explained_lines(result: ExplainedAccuracy) -> Iterator[str]:
    """The share of the explainable against each end of the ceiling."""
    ceilings = result.ceiling.table.to_dict("index")
    for name, row in result.table.to_dict("index").items():
        against = _with_interval(ceilings[name])
        share = "undefined: the ceiling is not above chance"
        if row["value"] == row["value"]:
            share = _with_interval(row)
            if row["ci_low"] != row["ci_low"]:
                share = f"{row['value']:.3f}, no interval: the ceiling is too close to chance"
        yield f"Share of the explainable, {_NAMES[str(name)]} {against}: {share}."
    yield (
        f"The ceiling is that of {result.ceiling.n_answers:,} answers to {result.ceiling.n_triplets:,} triplets, "
        f"{result.n_shared:,} of them among those scored; against leave-one-out the share is too high, against the "
        "others too low."
    )


def _with_interval(row: dict[Any, Any]) -> str:
    return f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
