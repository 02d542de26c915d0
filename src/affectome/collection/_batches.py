"""Provider batch files in OpenAI's format: written, submitted, fetched, and taken into the journal."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affectome._files import atomic_path, make_folder, unreadable
from affectome._progress import Progress, silent
from affectome.collection._batch_records import Batch, BatchRecords
from affectome.collection._dispatch import dispatch_order
from affectome.collection._journal import ANSWERED, OPEN, Journal
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import Abilities, ChatJudge, Reply, RequestFailed, Transport

logger = logging.getLogger(__name__)

__all__ = ["Ingested", "ingest_batches", "poll_batches", "submit_batches", "write_batches"]

#: Limits of a provider's file: lines, and bytes with a margin below the 200 MB that are allowed.
MOST_LINES, MOST_BYTES = 50_000, 190_000_000
_OVER = ("completed", "failed", "expired", "cancelled")
_AGAIN = (408, 409, 425, 429, *range(500, 600))
_GROUP = 2_000  # results in one commit


@dataclass(frozen=True)
class Ingested:
    """What came of batch results.

    Attributes
    ----------
    n_answered, n_failed : int
        Answers, and questions the model gave no usable answer to.
    n_repeated : int
        Results of questions that had been answered before; they are ignored.
    n_foreign : int
        Lines that belong to no question of this journal.
    n_reopened : int
        Questions without result (expired, refused for the moment, cut off), which are open again.
    """

    n_answered: int
    n_failed: int
    n_repeated: int
    n_foreign: int
    n_reopened: int


async def write_batches(
    journal: Journal,
    judge: ChatJudge,
    abilities: Abilities,
    folder: str | os.PathLike[str],
    *,
    most: int | None = None,
    accept_changes: bool = False,
    most_lines: int = MOST_LINES,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> list[Batch]:
    """Write the open questions of a journal into batch files; from then on nobody else asks them.

    Parameters
    ----------
    abilities
        What the provider is known to do, as it cannot be tried from here.
    most
        Write only so many questions.

    Raises
    ------
    InputError
        When the prompt has several turns, which needs a conversation.
    """
    if len(judge.loaded_prompt.turns) > 1:
        raise InputError(
            f"the prompt '{judge.loaded_prompt.name}' has several turns, and a batch file holds single requests",
            remedy="use a prompt of one turn, or 'collect run'",
        )
    session = judge.offline(abilities)
    journal.agree_on_server(session.describe(), accept_changes)
    questions = journal.questions()
    order = dispatch_order(questions.triplets, "prefix")
    plan = order[journal.states()[order] == OPEN][:most]
    if len(plan) == 0:
        raise InputError("has no open question", source=journal.path, remedy="there is nothing to write")
    journal.begin_run(session.describe(), judge.prices)
    target, tell = make_folder(folder), progress or silent
    tag, done = _tag(journal), 0
    written: list[Batch] = []
    start = len(BatchRecords(journal).listed())
    while done < len(plan):
        path = target / f"batch-{start + len(written) + 1:04d}.jsonl"
        size = 0
        inside: list[int] = []
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            for question in plan[done:].tolist():
                a, b, c = (questions.ids[k] for k in questions.triplets[question])
                line = _line(f"{tag}-{question}", await session.request((a, b, c)))
                if inside and (len(inside) == most_lines or size + len(line) > most_bytes):
                    break
                handle.write(line)
                size += len(line)
                inside.append(question)
        number = BatchRecords(journal).add(str(path.resolve()), inside)
        written.append(Batch(number, str(path.resolve()), None, None, "written"))
        done += len(inside)
        tell(done, len(plan), detail=path.name)
    return written


def _tag(journal: Journal) -> str:
    """What the ids of a journal's requests begin with, so that results of another study are noticed."""
    return f"affectome-{journal.facts['questions'][:12]}"


def _line(name: str, body: bytes) -> bytes:
    head = json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions"})
    return head[:-1].encode() + b', "body": ' + body + b"}\n"


async def submit_batches(journal: Journal, judge: ChatJudge) -> list[Batch]:
    """Hand the written batch files to the provider; what was handed over before a stop is not handed over again."""
    waiting = [batch for batch in BatchRecords(journal).listed() if batch.state in ("written", "uploaded")]
    submitted = []
    async with judge.transport() as transport:
        base = transport.servers[0]
        for batch in waiting:
            with _in_words(base):
                submitted.append(await _submit(journal, transport, base, batch))
    return submitted


async def _submit(journal: Journal, transport: Transport, base: str, batch: Batch) -> Batch:
    if batch.provider_file is None:
        path = Path(batch.file)
        if not path.is_file():
            raise unreadable(path, FileNotFoundError())
        made = await transport.upload(f"{base}/files", path, purpose="batch")
        batch = replace(batch, provider_file=str(made["id"]), state="uploaded")
        BatchRecords(journal).update(batch)
    # A stop between the provider's yes and our note of it must not pay for the same batch twice.
    known = await _find(transport, base, str(batch.provider_file))
    if known is None:
        body = {
            "input_file_id": batch.provider_file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        known = str((await transport.fetch("POST", f"{base}/batches", body))["id"])
    batch = replace(batch, provider_batch=known, state="submitted")
    BatchRecords(journal).update(batch)
    return batch


async def _find(transport: Transport, base: str, provider_file: str) -> str | None:
    """A batch that the provider already has for this file."""
    after = ""
    while True:
        page = await transport.fetch("GET", f"{base}/batches?limit=100{after}")
        listed = page.get("data") or []
        for batch in listed:
            if batch.get("input_file_id") == provider_file:
                return str(batch["id"])
        if not page.get("has_more") or not listed:
            return None
        after = f"&after={listed[-1]['id']}"


async def poll_batches(journal: Journal, judge: ChatJudge) -> list[tuple[Batch, str]]:
    """Ask how the submitted batches are doing, and fetch the results of those that are over.

    Results lie beside the batch file, as ``.output.jsonl`` and ``.errors.jsonl``.

    Returns
    -------
    Each batch with the provider's word for its state, and how far it is.
    """
    states = []
    async with judge.transport() as transport:
        base = transport.servers[0]
        for batch in BatchRecords(journal).listed():
            if batch.state != "submitted":
                continue
            with _in_words(base):
                found = await transport.fetch("GET", f"{base}/batches/{batch.provider_batch}")
                state = str(found.get("status", "unknown"))
                counts = found.get("request_counts") or {}
                word = f"{state}, {counts.get('completed', 0)} of {counts.get('total', '?')} done"
                if state in _OVER:
                    for key, suffix in (("output_file_id", "output"), ("error_file_id", "errors")):
                        if found.get(key):
                            content = await transport.download(f"{base}/files/{found[key]}/content")
                            with atomic_path(Path(batch.file).with_suffix(f".{suffix}.jsonl")) as temporary:
                                temporary.write_bytes(content)
                    batch = replace(batch, state="fetched")
                    BatchRecords(journal).update(batch)
            states.append((batch, word))
    return states


def ingest_batches(
    journal: Journal,
    judge: ChatJudge,
    files: Sequence[str | os.PathLike[str]] = (),
    *,
    partial: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Take batch results into the journal, in whatever order they stand.

    Parameters
    ----------
    files
        Result files; by default those that :func:`poll_batches` fetched.
    partial
        More results of the same batches will come; by default questions without result are open again.

    Raises
    ------
    InputError
        When a file holds no result of this journal.
    """
    # The answers are read as the requests were written, which the journal knows.
    session = judge.offline(Abilities.of(journal.server() or {}))
    tag, tell = _tag(journal), progress or silent
    fetched = [batch for batch in BatchRecords(journal).listed() if batch.state == "fetched"]
    paths = [Path(file) for file in files] or [path for batch in fetched for path in _result_files(batch)]
    if not paths and not fetched:
        raise InputError("has no fetched batch", source=journal.path, remedy="poll first, or name result files")
    journal.begin_run(session.describe(), judge.prices)
    states = journal.states()
    before = journal.totals()
    ended = set() if files else {batch.number for batch in fetched}
    repeated = foreign = 0
    closed: set[int] = set()
    for number, path in enumerate(paths, start=1):
        rows: list[tuple[int, Reply]] = []
        mine = 0
        for result in _results(path):
            question = _question(result, tag, len(states))
            if question is None:
                foreign += 1
                continue
            mine += 1
            if states[question] == ANSWERED or question in closed:
                repeated += 1
                continue
            reply = _reply(session, result)
            if reply is None:
                continue
            closed.add(question)
            rows.append((question, reply))
            if len(rows) >= _GROUP:
                journal.record(rows)
                rows = []
        journal.record(rows)
        if mine == 0 and files:
            raise InputError("holds no result of this journal", source=path, remedy="name the results of its batches")
        tell(number, len(paths), detail=path.name)
    if files:
        ended |= BatchRecords(journal).holding(closed)
    reopened = 0 if partial else sum(BatchRecords(journal).end(batch) for batch in sorted(ended))
    after = journal.totals()
    return Ingested(after.n_answered - before.n_answered, after.n_failed - before.n_failed, repeated, foreign, reopened)


def _result_files(batch: Batch) -> list[Path]:
    names = (Path(batch.file).with_suffix(f".{suffix}.jsonl") for suffix in ("output", "errors"))
    return [path for path in names if path.is_file()]


def _results(path: Path) -> Iterator[dict[str, Any]]:
    """Lines that are whole; others are counted and said."""
    torn = 0
    try:
        with open(path, "rb") as handle:
            for line in handle:
                try:
                    result = json.loads(line)
                except ValueError:
                    torn += bool(line.strip())
                    continue
                if isinstance(result, dict):
                    yield result
    except OSError as error:
        raise unreadable(path, error) from error
    if torn:
        logger.warning("%s: %d lines are cut off or no JSON; their questions count as without result.", path, torn)


def _question(result: dict[str, Any], tag: str, n: int) -> int | None:
    start, _, number = str(result.get("custom_id", "")).rpartition("-")
    return int(number) if start == tag and number.isdigit() and int(number) < n else None


def _reply(session: Any, result: dict[str, Any]) -> Reply | None:
    """The answer or final failure in a result; None where the question should be asked again."""
    response = result.get("response")
    if not isinstance(response, dict):
        return None
    status = response.get("status_code")
    if status == 200 and isinstance(response.get("body"), dict):
        reply: Reply = session.read(response["body"], "batch")
        return reply
    if status is None or status in _AGAIN:  # expired, cancelled, or refused for the moment
        return None
    words = json.dumps(response.get("body") or result.get("error"))[:300]
    return Reply(-1, text=words, server="batch", failure=f"HTTP {status}")


class _in_words:
    """Turn what a provider refuses into one sentence."""

    def __init__(self, base: str) -> None:
        self._base = base

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RequestFailed):
            if error.status in (401, 403):
                raise InputError("refuses access", source=self._base, remedy="check the key in api_key_env") from error
            raise EnvironmentFailure(
                f"did not take the batch ({error})", source=self._base, remedy="give the same command again later"
            ) from error
        if isinstance(error, KeyError):
            raise EnvironmentFailure("answered without an id", source=self._base, remedy="check the address") from error
