"""``affectome collect batch``."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affectome.cli._common import Json, LogFile, Quiet, command, print_json, start_logging, work_progress
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.judges import Abilities, ChatJudge

group = typer.Typer(
    help="Collect through a provider's batch files: half the price, within a day.", no_args_is_help=True
)

JudgeFile = Annotated[Path, typer.Option("--judge", help="TOML file that says who is asked and how.")]
JournalFile = Annotated[Path, typer.Option("--journal", help="The journal of the collection.")]
StimuliFile = Annotated[Path | None, typer.Option("--stimuli", help="Stimulus table, in place of the judge file's.")]
Constraint = Annotated[
    str, typer.Option("--constraint", help="How the provider holds answers to a label: none, or as vLLM or SGLang do.")
]
Logprobs = Annotated[int, typer.Option("--logprobs", min=0, max=20, help="Alternatives per token to ask for.")]
_POLL = 60.0  # seconds between two looks of --wait


def _chat_judge(judge: Path, stimuli: Path | None) -> ChatJudge:
    from affectome.judges import ChatJudge, read_judge

    made = read_judge(judge, stimuli=stimuli)
    if not isinstance(made, ChatJudge):
        raise InputError("is no judge behind a chat server", source=judge, remedy='batch files need kind = "chat"')
    return made


def _abilities(constraint: str, logprobs: int) -> Abilities:
    from affectome.judges import CONSTRAINTS, Abilities

    if constraint not in ("none", *CONSTRAINTS):
        raise InputError(f"the constraint '{constraint}' is unknown", remedy=f"choose none, {', '.join(CONSTRAINTS)}")
    return Abilities(None if constraint == "none" else constraint, None, logprobs, False)


@group.command("write")
@command
def write(
    questions: Annotated[Path, typer.Argument(help="A triplet file, from 'affectome triplets sample'.")],
    judge: JudgeFile,
    journal: JournalFile,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for the batch files.")],
    most: Annotated[int | None, typer.Option("--n", min=1, help="Write only so many questions.")] = None,
    stimuli: StimuliFile = None,
    constraint: Constraint = "none",
    logprobs: Logprobs = 0,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although judge or questions have changed.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Write the open questions into files of at most 50,000 requests. They belong to the files from then on.

    Example: affectome collect batch write questions.parquet --judge gpt.toml --journal gpt.sqlite --dir batches/

    The files also feed vLLM's own batch runner; name its results to 'batch ingest'.
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal, write_batches
    from affectome.triplets import read_triplets

    asked, chat = read_triplets(questions), _chat_judge(judge, stimuli)
    chat.require(asked.used_ids())
    with (
        Journal.resume(journal, asked, chat.describe(), accept_changes=accept_changes) as opened,
        work_progress("writing", quiet) as progress,
    ):
        batches = asyncio.run(
            write_batches(
                opened,
                chat,
                _abilities(constraint, logprobs),
                folder,
                most=most,
                accept_changes=accept_changes,
                progress=progress,
            )
        )
        totals = opened.totals()
    print(f"{totals.n_out:,} questions are in batch files, {len(batches)} of them new: {folder}")
    if json:
        print_json({"files": [batch.file for batch in batches], "n_out": totals.n_out})


@group.command("submit")
@command
def submit(
    judge: JudgeFile,
    journal: JournalFile,
    stimuli: StimuliFile = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Hand the written files to the provider. After a stop, what it already has is not paid for twice.

    Example: affectome collect batch submit --judge gpt.toml --journal gpt.sqlite
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal, submit_batches

    with Journal.open(journal, write=True) as opened:
        submitted = asyncio.run(submit_batches(opened, _chat_judge(judge, stimuli)))
    for batch in submitted:
        print(f"{batch.file}: {batch.provider_batch}")
    print(f"{len(submitted)} batches submitted.")
    if json:
        print_json({"submitted": [batch.provider_batch for batch in submitted]})


@group.command("poll")
@command
def poll(
    judge: JudgeFile,
    journal: JournalFile,
    wait: Annotated[bool, typer.Option("--wait", help="Look once a minute until all are over.")] = False,
    stimuli: StimuliFile = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Ask how the submitted batches are doing, and fetch the results of those that are over.

    Example: affectome collect batch poll --judge gpt.toml --journal gpt.sqlite --wait
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal, poll_batches

    chat = _chat_judge(judge, stimuli)
    while True:
        with Journal.open(journal, write=True) as opened:
            states = asyncio.run(poll_batches(opened, chat))
        for batch, word in states:
            print(f"{batch.file}: {word}{'; fetched' if batch.state == 'fetched' else ''}")
        waiting = sum(batch.state == "submitted" for batch, _ in states)
        if not wait or not waiting:
            break
        time.sleep(_POLL)
    print(
        f"{waiting} batches are not over yet." if waiting else "No batch is outstanding; 'batch ingest' takes them in."
    )
    if json:
        print_json({"waiting": waiting, "states": {batch.file: word for batch, word in states}})


@group.command("ingest")
@command
def ingest(
    judge: JudgeFile,
    journal: JournalFile,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Result files; by default those that were fetched.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="More results will come; do not ask the missing ones again yet.")
    ] = False,
    stimuli: StimuliFile = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Take results into the journal, in any order; questions without result are open again.

    Example: affectome collect batch ingest --judge gpt.toml --journal gpt.sqlite
    """
    start_logging(quiet, log_file)
    from affectome.collection import Journal, ingest_batches

    chat = _chat_judge(judge, stimuli)
    with Journal.open(journal, write=True) as opened, work_progress("ingesting", quiet) as progress:
        result = ingest_batches(opened, chat, files or (), partial=partial, progress=progress)
    print(
        f"{result.n_answered:,} answers, {result.n_failed:,} without choice, {result.n_repeated:,} repeated, "
        f"{result.n_foreign:,} of other collections; {result.n_reopened:,} questions are open again."
    )
    if json:
        print_json(vars(result))
