"""``affectome collect``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affectome.cli import _batch
from affectome.cli._common import Json, LogFile, Quiet, command, print_json, start_logging, work_progress
from affectome.cli._watch import duration, spending, watched
from affectome.errors import EnvironmentFailure, Interrupted

if TYPE_CHECKING:
    from affectome.collection import Collected, Journal, Totals

group = typer.Typer(help="Ask models, millions of times; nothing is lost.", no_args_is_help=True)

group.add_typer(_batch.group, name="batch")

JournalFile = Annotated[Path, typer.Argument(help="The journal of a collection.", metavar="JOURNAL")]


@group.command("run")
@command
def run(
    questions: Annotated[Path, typer.Argument(help="A triplet file, from 'affectome triplets sample'.")],
    judge: Annotated[Path, typer.Option("--judge", help="TOML file that says who is asked and how.")],
    journal: Annotated[Path, typer.Option("--journal", help="SQLite file; where it exists, the collection goes on.")],
    stimuli: Annotated[
        Path | None, typer.Option("--stimuli", help="Stimulus table or folder, in place of the judge file's.")
    ] = None,
    dry_run: Annotated[
        int | None, typer.Option("--dry-run", min=1, help="Ask this many, at random, and extrapolate cost and time.")
    ] = None,
    max_trials: Annotated[int | None, typer.Option("--max-trials", min=1, help="Stop at this many answers.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Stop at this many tokens.")] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", help="Stop when this much is spent.")] = None,
    max_hours: Annotated[float | None, typer.Option("--max-hours", help="Stop this run after so many hours.")] = None,
    dispatch: Annotated[
        str, typer.Option("--dispatch", help="prefix (for the server's cache), random or given.")
    ] = "prefix",
    shard: Annotated[str, typer.Option("--shard", help="k/n: ask only the k-th of n parts.")] = "1/1",
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask again what was given up.")] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although judge or questions have changed.")
    ] = False,
    journal_mode: Annotated[
        str, typer.Option("--journal-mode", help="wal, or delete where the disk is a network one.")
    ] = "wal",
    max_journal_mb: Annotated[
        float | None, typer.Option("--max-journal-mb", min=0.01, help="Stop when the journal has this size.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Ask a judge and keep every answer. Give the same command again after a stop of any kind, and it goes on.

    Example: affectome collect run questions.parquet --judge qwen2-vl.toml --journal mllm.sqlite

    Trials, tokens and cost count what the journal holds in all; hours count from now.
    """
    start_logging(quiet, log_file)
    from affectome.collection import Budget, Collector, read_shard, run_until_stopped
    from affectome.judges import read_judge
    from affectome.triplets import read_triplets

    asked = read_triplets(questions)
    with watched(quiet) as watch:
        collector = Collector(
            asked,
            read_judge(judge, stimuli=stimuli),
            journal,
            budget=Budget(max_trials, max_tokens, max_cost, max_hours),
            dispatch=dispatch,  # type: ignore[arg-type]
            shard=read_shard(shard),
            sample=dry_run,
            retry_failed=retry_failed,
            accept_changes=accept_changes,
            journal_mode=journal_mode,
            max_mb=max_journal_mb,
            watch=watch,
        )
        collected = run_until_stopped(collector, lambda sentence: print(sentence, file=sys.stderr))
    facts = {**vars(collected), "rate": collected.rate, "journal": str(journal)}
    print(
        f"{collected.n_answered:,} of {collected.n_questions:,} questions answered, {collected.n_failed:,} given up, "
        f"{collected.n_open:,} open; {collected.rate:,.1f} a second: {journal}"
    )
    if dry_run is not None:
        facts["extrapolated"] = _extrapolate(collected)
    if json:
        print_json(facts)
    _say_how_it_ended(collected, journal)


def _say_how_it_ended(collected: Collected, journal: Path) -> None:
    if collected.lacks_room:
        raise EnvironmentFailure(
            "the disk is nearly full; what was answered is kept",
            source=journal,
            remedy="make room and give the same command again to go on",
        )
    if collected.ended not in ("all asked", "running"):
        raise Interrupted(
            f"{collected.ended[0].upper()}{collected.ended[1:]}; what was answered is kept",
            remedy="raise the limit and give the same command again to go on",
        )
    if collected.failures:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(collected.failures.items()))
        raise Interrupted(
            f"{sum(collected.failures.values()):,} questions got no answer ({kinds})",
            remedy="see 'collect status --failures 10'; --retry-failed asks them again",
        )


def _extrapolate(collected: Collected) -> dict[str, Any]:
    """What all open questions would take, from what these took."""
    share = collected.n_open / max(1, collected.n_answered + collected.n_failed)
    seconds = collected.n_open / collected.rate if collected.rate else None
    tokens = round((collected.prompt_tokens + collected.completion_tokens) * share)
    cost = None if collected.cost is None else collected.cost * share
    money = "" if cost is None else f", cost {cost:,.2f}"
    print(
        f"The {collected.n_open:,} open questions would take about {duration(seconds)}, {tokens:,} tokens{money}. "
        "Concurrency was still growing, and random questions miss the prefix cache: the real run may be faster."
    )
    return {"hours": None if seconds is None else seconds / 3600, "tokens": tokens, "cost": cost}


@group.command("status")
@command
def status(
    journal: JournalFile,
    failures: Annotated[int, typer.Option("--failures", min=0, help="Show this many of the latest failures.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Say where a collection stands: answers, rate, tokens, cost, slot bias. It may be running meanwhile.

    Example: affectome collect status mllm.sqlite
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal

    with Journal.open(journal) as opened:
        totals = opened.totals()
        running = opened.is_being_written()
        facts: dict[str, Any] = {**vars(totals), "n_open": totals.n_open, "running": running}
        facts["cost"] = opened.cost(totals)
        _print_progress(opened, totals, running, facts)
        if totals.n_answered:
            facts["slot_bias"] = _print_slots(totals)
        if totals.failures:
            print("Given up: " + ", ".join(f"{kind} {n:,}" for kind, n in sorted(totals.failures.items())))
        for question, reason, text in opened.failures(failures) if failures else ():
            print(f"  question {question:,}: {reason} -- {' '.join(text.split())[:200]!r}")
    if json:
        print_json(facts)


def _print_progress(journal: Journal, totals: Totals, running: bool, facts: dict[str, Any]) -> None:
    state = "being collected now" if running else "not being collected"
    out = f", {totals.n_out:,} with a provider" if totals.n_out else ""
    print(
        f"{journal.path}: {totals.n_answered:,} of {totals.n_questions:,} answered "
        f"({totals.n_answered / max(1, totals.n_questions):.1%}), {totals.n_failed:,} given up, "
        f"{totals.n_open:,} open{out}; {state}."
    )
    last = journal.last_run()
    facts["rate"] = facts["eta_s"] = None
    if last is not None and last[1] > last[0]:
        began, seen, answered = last
        facts["rate"] = rate = answered / (seen - began)
        facts["eta_s"] = eta = totals.n_open / rate if rate else None
        print(
            f"Last run: {answered:,} answers at {rate:,.1f} a second, the last one {duration(time.time() - seen)} ago; "
            f"{totals.latency:.3g} s per answer."
            + (f" At that rate the rest takes {duration(eta)}." if totals.n_open else "")
        )
    spent = spending(totals.prompt_tokens, totals.completion_tokens, totals.cached_tokens, facts["cost"])
    print(spent[0].upper() + spent[1:] + ".")
    mass = "" if totals.mass is None else f"; {totals.mass:.1%} of the probability lies on the three labels"
    print(f"{totals.n_soft:,} answers carry probabilities{mass}.")


def _print_slots(totals: Totals) -> dict[str, Any]:
    from affectome.collection import slot_bias_from_counts

    bias = slot_bias_from_counts(totals.slots)
    rates = ", ".join(
        f"{rate:.3f} [{low:.3f}, {high:.3f}]"
        for rate, low, high in zip(bias.rates, bias.ci_low, bias.ci_high, strict=True)
    )
    print(f"Slots called odd: {rates}; chi-square(2) = {bias.chi2:.1f}, p = {bias.p_value:.2g} against a third each.")
    return {
        "rates": bias.rates.tolist(),
        "chi2": bias.chi2,
        "p_value": bias.p_value,
        "effect": bias.effect,
        "cohens_w": bias.cohens_w,
    }


@group.command("export")
@command
def export(
    journal: JournalFile,
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the answered triplets.")],
    debias: Annotated[
        bool, typer.Option("--debias", help="Divide the judge's preference for slots out; raw answers stay beside.")
    ] = False,
    include_open: Annotated[bool, typer.Option("--all", help="Also questions that were not asked yet.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Also tokens, latency, model and the raw text of every answer.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write the answers as a triplet file. The collection may go on meanwhile.

    Example: affectome collect export mllm.sqlite --out mllm.parquet
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal, export_journal

    with Journal.open(journal) as opened, work_progress("exporting", quiet) as progress:
        exported = export_journal(
            opened, out, debiased=debias, include_open=include_open, details=details, progress=progress
        )
    more = f", {exported.n_failed:,} given up and unanswered" if exported.n_failed else ""
    print(f"{exported.n_answered:,} answers{more}: {out}")
    facts: dict[str, Any] = {"out": str(out), "n_answered": exported.n_answered, "n_failed": exported.n_failed}
    if exported.prior is not None:
        prior = exported.prior
        shown = ", ".join(
            f"{p:.3f} [{a:.3f}, {b:.3f}]" for p, a, b in zip(prior.prior, prior.ci_low, prior.ci_high, strict=True)
        )
        print(
            f"Slot prior from the {prior.method} of {prior.n_sets:,} triplets asked in several orders: {shown}; "
            f"{exported.n_choices_changed:,} choices changed."
        )
        if exported.n_uncorrected:
            print(f"{exported.n_uncorrected:,} answers carry no probabilities and still hold the preference.")
        facts |= {"slot_prior": prior.describe(), "n_choices_changed": exported.n_choices_changed}
    if json:
        print_json(facts)


@group.command("merge")
@command
def merge(
    journals: Annotated[list[str], typer.Argument(help="Journals, folders of them, or quoted patterns.")],
    out: Annotated[Path, typer.Option("--out", help="The new journal.")],
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Bring the journals of several machines into one; those of other questions or judges are refused.

    Example: affectome collect merge 'shards/*.sqlite' --out mllm.sqlite
    """
    start_logging(quiet, log_file)
    from affectome.cli._common import expanded
    from affectome.collection import merge_journals

    with work_progress("merging", quiet) as progress:
        merged = merge_journals(expanded(journals, ".sqlite"), out, progress=progress)
    shared = f", {merged.n_shared:,} of them answered twice ({merged.n_differing:,} differently)"
    print(
        f"{merged.n_answered:,} of {merged.n_questions:,} questions answered{shared if merged.n_shared else ''}: {out}"
    )
    if json:
        print_json({"out": str(out), **vars(merged)})
