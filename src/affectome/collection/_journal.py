"""The journal of a collection: one SQLite file that knows the questions, every answer and every failure."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import SCHEMA, check_schema, held_lock, make_folder, unreadable
from affectome._tables import cut_short
from affectome.collection._sqlite import connect, explain, is_blank, known_mode, refuse_network
from affectome.collection._totals import Totals, count_totals
from affectome.errors import EnvironmentFailure, InputError
from affectome.judges import Prices, Reply
from affectome.triplets import TripletSet

__all__ = ["ANSWERED", "FAILED", "OPEN", "OUT", "Journal", "judge_differences", "question_digest"]

#: States of a question: not asked yet, answered, given up, handed to a provider in a batch file.
OPEN, ANSWERED, FAILED, OUT = 0, 1, 2, 3

_APPLICATION = 0x41464A4C  # "AFJL": says whose SQLite file this is
_CHUNK = 65_536  # questions per stored block
_SHORT = 64  # texts up to this length stay in the compact table, which has to be read whole at every start
_MIB = 2**20
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE questions (chunk INTEGER PRIMARY KEY, rows BLOB NOT NULL, block BLOB);
CREATE TABLE runs (run INTEGER PRIMARY KEY, began REAL NOT NULL, seen REAL NOT NULL, answered INTEGER NOT NULL,
    version TEXT NOT NULL, judge TEXT NOT NULL, server TEXT NOT NULL);
CREATE TABLE origins (origin INTEGER PRIMARY KEY, model TEXT NOT NULL, server TEXT NOT NULL, UNIQUE (model, server));
CREATE TABLE answers (question INTEGER PRIMARY KEY, choice INTEGER NOT NULL, p_a REAL, p_b REAL, p_c REAL, mass REAL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    latency REAL NOT NULL, attempts INTEGER NOT NULL, origin INTEGER NOT NULL, run INTEGER NOT NULL,
    at REAL NOT NULL, text TEXT);
CREATE TABLE texts (question INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE failures (failure INTEGER PRIMARY KEY, question INTEGER NOT NULL, reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    latency REAL NOT NULL, attempts INTEGER NOT NULL, origin INTEGER NOT NULL, run INTEGER NOT NULL,
    at REAL NOT NULL, text TEXT NOT NULL);
CREATE TABLE batches (batch INTEGER PRIMARY KEY, file TEXT NOT NULL, provider_file TEXT, provider_batch TEXT,
    state TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE batch_questions (question INTEGER PRIMARY KEY, batch INTEGER NOT NULL);
"""
#: Statements that bring a journal of an older schema (the key) to the next one.
_MIGRATIONS: Mapping[int, str] = {}

_INSERT_ANSWER = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_FAILURE = "INSERT INTO failures VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def question_digest(questions: TripletSet) -> str:
    """SHA-256 of the ids, the triplets in the order shown, and the blocks."""
    digest = hashlib.sha256(json.dumps(list(questions.ids)).encode())
    digest.update(np.ascontiguousarray(questions.triplets, "<i4").tobytes())
    if questions.block is not None:
        digest.update(np.ascontiguousarray(questions.block, "<i4").tobytes())
    return digest.hexdigest()


def judge_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys in which two judges' descriptions of themselves differ, as JSON."""
    texts = [{key: json.dumps(value, sort_keys=True) for key, value in judge.items()} for judge in (one, other)]
    return sorted(key for key in {*one, *other} if texts[0].get(key) != texts[1].get(key))


class Journal:
    """The durable record of one collection.

    Use it as a context manager, from :meth:`create`, :meth:`open` or :meth:`resume`. A journal that is open for writing
    is locked against other writers; readers may look at any time. :meth:`record` returns when its rows are on disk.

    Attributes
    ----------
    path : Path
    facts : dict
        ``ids``, ``n_questions``, ``questions`` (their digest), their ``metadata``, ``judge`` (its description).
    connection : sqlite3.Connection
        For the modules beside this one, within :meth:`saying` and :meth:`transaction`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection = connection
        self._origins: dict[tuple[str, str], int] = {}
        self._run: int | None = None
        self._opened = ExitStack()
        self.facts: dict[str, Any] = {}

    # -- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool = False, max_mb: float | None = None) -> Journal:
        """Open a journal that exists.

        Raises
        ------
        InputError
            When there is no such file, it is no journal, or a newer affectome wrote it.
        EnvironmentFailure
            When another process writes to it, or it cannot be read.
        """
        target = Path(path)
        if not target.is_file():
            raise unreadable(target, FileNotFoundError())
        return cls._connected(target, write=write, max_mb=max_mb, journal_mode=None)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        questions: TripletSet,
        judge: Mapping[str, Any],
        *,
        journal_mode: str = "wal",
        max_mb: float | None = None,
    ) -> Journal:
        """Start a journal with these questions for this judge, open for writing."""
        target = Path(path)
        make_folder(target.parent)
        if journal_mode.lower() == "wal":
            refuse_network(target)
        made = cls._connected(target, write=True, max_mb=max_mb, journal_mode=journal_mode, new=True)
        facts = {
            "affectome_schema": SCHEMA,
            "created": time.time(),
            "ids": list(questions.ids),
            "metadata": dict(questions.metadata),
            "n_questions": len(questions),
            "questions": question_digest(questions),
            "judge": dict(judge),
        }
        try:
            with made.saying("cannot be written"), made.transaction():
                made.connection.execute(f"PRAGMA application_id={_APPLICATION}")
                for statement in _TABLES.split(";"):
                    made.connection.execute(statement)
                made._store_questions(questions, 0)
                made._store_facts(facts)
        except BaseException:
            made.close()
            raise
        made.facts = facts
        return made

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        questions: TripletSet,
        judge: Mapping[str, Any],
        *,
        accept_changes: bool = False,
        journal_mode: str = "wal",
        max_mb: float | None = None,
    ) -> Journal:
        """Go on with a journal, or start it where there is none.

        Parameters
        ----------
        accept_changes
            Take another judge or prompt than the journal's (each answer keeps the one it came from), and a question set
            that begins with the journal's own and goes on.

        Raises
        ------
        InputError
            When questions or judge are not those of the journal.
        """
        target = Path(path)
        if not target.is_file() or is_blank(target):
            return cls.create(target, questions, judge, journal_mode=journal_mode, max_mb=max_mb)
        journal = cls.open(target, write=True, max_mb=max_mb)
        try:
            journal._agree_on_questions(questions, accept_changes)
            journal._agree_on_judge(judge, accept_changes)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def _connected(
        cls, path: Path, *, write: bool, max_mb: float | None, journal_mode: str | None, new: bool = False
    ) -> Journal:
        with ExitStack() as opened:
            if write:
                opened.enter_context(
                    held_lock(
                        path.with_name(path.name + ".lock"),
                        source=path,
                        busy="is being written by another process",
                        remedy="wait for it or stop it",
                    )
                )
            journal = cls(path, opened.enter_context(closing(connect(path, write=write))))
            with journal.saying("cannot be opened"):
                journal._prepare(write, max_mb, journal_mode, new)
            journal._opened = opened.pop_all()
        return journal

    def _prepare(self, write: bool, max_mb: float | None, journal_mode: str | None, new: bool) -> None:
        run = self.connection.execute
        if not new and run("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise InputError("is no affectome journal", source=self.path, remedy="name the journal of a collection")
        if write:
            if journal_mode is not None:
                run(f"PRAGMA journal_mode={known_mode(journal_mode)}")
            run("PRAGMA synchronous=FULL")
            if max_mb is not None:
                page = run("PRAGMA page_size").fetchone()[0]
                run(f"PRAGMA max_page_count={max(1, int(max_mb * _MIB / page))}")
        if new:
            return
        rows = run("SELECT name, value FROM facts").fetchall()
        self.facts = {name: json.loads(value) for name, value in rows}
        check_schema(self.facts, self.path)
        if write:
            self._migrate()

    def _migrate(self) -> None:
        while (version := self.facts["affectome_schema"]) < SCHEMA:
            with self.transaction():
                for statement in _MIGRATIONS[version].split(";"):
                    self.connection.execute(statement)
                self._store_facts({"affectome_schema": version + 1})
            self.facts["affectome_schema"] = version + 1

    def fold_log(self) -> None:
        """Bring the write-ahead log into the file, so that the file alone can be moved."""
        with self.saying("cannot be written"):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file and let others write."""
        self._opened.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- whose journal it is ------------------------------------------------------------------------------------------

    def _agree_on_questions(self, questions: TripletSet, accept_changes: bool) -> None:
        if self.facts["questions"] == question_digest(questions):
            return
        known = int(self.facts["n_questions"])
        same_start = (
            len(questions) > known
            and list(questions.ids) == self.facts["ids"]
            and question_digest(questions[:known]) == self.facts["questions"]
        )
        if not same_start:
            raise InputError(
                f"belongs to another set of {known:,} questions",
                source=self.path,
                remedy="give the questions it was made with, or start another journal",
            )
        if not accept_changes:
            raise InputError(
                f"holds the first {known:,} of these {len(questions):,} questions",
                source=self.path,
                remedy="say --accept-changes to add the others, or start another journal",
            )
        changed = {"questions": question_digest(questions), "n_questions": len(questions)}
        with self.saying("cannot be written"), self.transaction():
            self._store_questions(questions, known // _CHUNK)
            self._store_facts(changed)
        self.facts.update(changed)

    def _agree_on_judge(self, judge: Mapping[str, Any], accept_changes: bool) -> None:
        before = self.facts["judge"]
        differing = judge_differences(before, judge)
        if not differing:
            return
        if not accept_changes:
            raise InputError(
                f"was begun with another judge (its {cut_short(differing)} differ)",
                source=self.path,
                remedy="restore the judge, start another journal, or say --accept-changes to mix their answers",
            )
        with self.saying("cannot be written"), self.transaction():
            self._store_facts({"judge": dict(judge)})
        self.facts["judge"] = dict(judge)

    def agree_on_server(self, abilities: Mapping[str, Any], accept_changes: bool) -> None:
        """Refuse answers from a server that is held to them in another way than before."""
        before = self.server()
        if before is None or before == abilities or accept_changes:
            return
        raise InputError(
            f"was collected while the server could do {before}, and now it can do {dict(abilities)}",
            source=self.path,
            remedy="restore the server, or say --accept-changes to mix the answers",
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    def questions(self) -> TripletSet:
        """All questions, in their order."""
        parts = list(self.question_chunks())
        blocks = [block for _, block in parts if block is not None]
        return TripletSet(
            np.concatenate([rows for rows, _ in parts]),
            ids=self.facts["ids"],
            block=np.concatenate(blocks) if blocks else None,
            metadata=self.facts["metadata"],
        )

    def question_chunks(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32] | None]]:
        """Triplets and blocks, some ten thousand at a time."""
        with self.saying("cannot be read"):
            for rows, block in self.connection.execute("SELECT rows, block FROM questions ORDER BY chunk"):
                triplets = np.frombuffer(zlib.decompress(rows), "<i4").reshape(-1, 3)
                yield triplets, None if block is None else np.frombuffer(zlib.decompress(block), "<i4")

    def states(self) -> NDArray[np.int8]:
        """OPEN, ANSWERED, FAILED or OUT for every question."""
        states = np.zeros(self.facts["n_questions"], np.int8)
        with self.saying("cannot be read"):
            for state, table in ((FAILED, "failures"), (OUT, "batch_questions"), (ANSWERED, "answers")):
                rows = self.connection.execute(f"SELECT question FROM {table}")
                states[np.fromiter((row[0] for row in rows), np.int64)] = state
        return states

    def answers(self, first: int, stop: int, columns: str) -> list[tuple[Any, ...]]:
        """These columns of the answers to the questions `first` .. `stop` - 1, by question.

        `columns` may name those of the tables answers, texts and origins (``a``, ``t`` and ``o``).
        """
        tables = "answers a"
        tables += " JOIN origins o USING (origin)" if "o." in columns else ""
        tables += " LEFT JOIN texts t USING (question)" if "t." in columns else ""
        where = "WHERE a.question >= ? AND a.question < ? ORDER BY a.question"
        with self.saying("cannot be read"):
            rows = self.connection.execute(f"SELECT {columns} FROM {tables} {where}", (first, stop))
            found: list[tuple[Any, ...]] = rows.fetchall()
        return found

    def totals(self) -> Totals:
        """Count what is there."""
        with self.saying("cannot be read"):
            return count_totals(self.connection, self.facts["n_questions"])

    def last_run(self) -> tuple[float, float, int] | None:
        """Begin, last sign of life (seconds since 1970) and answers of the latest run."""
        with self.saying("cannot be read"):
            row = self.connection.execute(
                "SELECT began, seen, answered FROM runs WHERE answered > 0 ORDER BY run DESC"
            ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    def cost(self, totals: Totals) -> float | None:
        """What was spent, at the prices of the latest run; None without prices."""
        prices = self.facts.get("prices")
        spent = (totals.prompt_tokens, totals.completion_tokens, totals.cached_tokens)
        return None if prices is None else Prices(**prices).cost(*spent)

    def failures(self, most: int) -> list[tuple[int, str, str]]:
        """The latest questions that were given up and have no answer: question, reason, raw text."""
        with self.saying("cannot be read"):
            rows = self.connection.execute(
                "SELECT question, reason, text FROM failures WHERE question NOT IN (SELECT question FROM answers) "
                "ORDER BY failure DESC LIMIT ?",
                (most,),
            ).fetchall()
        return [(int(question), reason, text) for question, reason, text in rows]

    def is_being_written(self) -> bool:
        """Whether another process is collecting into it at this moment."""
        lock = held_lock(self.path.with_name(self.path.name + ".lock"), source=self.path, busy="", remedy="")
        try:
            with lock:
                return False
        except EnvironmentFailure:
            return True

    # -- writing ------------------------------------------------------------------------------------------------------

    def begin_run(self, server: Mapping[str, Any], prices: Prices | None = None) -> None:
        """Note that a run begins, what its judge found the server able to do, and what asking costs."""
        from affectome import __version__

        now = time.time()
        row = (now, now, 0, __version__, json.dumps(self.facts["judge"]), json.dumps(server))
        self.facts["prices"] = None if prices is None else vars(prices)
        with self.saying("cannot be written"), self.transaction():
            self._store_facts({"prices": self.facts["prices"]})
            made = self.connection.execute("INSERT INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?)", row)
        self._run = made.lastrowid

    def server(self) -> dict[str, Any] | None:
        """What the judge of the latest run found the server able to do."""
        with self.saying("cannot be read"):
            row = self.connection.execute("SELECT server FROM runs ORDER BY run DESC").fetchone()
        return None if row is None else json.loads(row[0])

    def record(self, replies: Sequence[tuple[int, Reply]]) -> None:
        """Write what came of some questions; when it returns, all of it is on disk, and when it raises, none.

        A question that is answered already keeps its answer.

        Raises
        ------
        EnvironmentFailure
            When the disk is full or the file cannot be written; the journal stays sound.
        """
        if self._run is None:
            raise RuntimeError("begin_run comes before record")
        now = time.time()
        answers, texts, failures = [], [], []
        with self.saying("cannot be written"), self.transaction():
            for question, reply in replies:
                cost = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens)
                rest = (reply.latency, reply.attempts, self.origin(reply.model, reply.server), self._run, now)
                if reply.failure is not None or reply.choice < 0:
                    reason = reply.failure or "unanswered"
                    failures.append((question, reason, *cost, *rest, reply.text))
                    continue
                short = len(reply.text) <= _SHORT
                soft = reply.probabilities or (None, None, None)
                text = reply.text if short else None
                answers.append((question, reply.choice, *soft, reply.mass, *cost, *rest, text))
                if not short:
                    texts.append((question, reply.text))
            run = self.connection.executemany
            run(_INSERT_ANSWER, answers)
            run("INSERT OR IGNORE INTO texts VALUES (?, ?)", texts)
            run(_INSERT_FAILURE, failures)
            self.connection.execute(
                "UPDATE runs SET seen = ?, answered = answered + ? WHERE run = ?", (now, len(answers), self._run)
            )

    def origin(self, model: str, server: str) -> int:
        """Number of a model on a server; a new one gets the next."""
        known = self._origins.get((model, server))
        if known is None:
            run = self.connection.execute
            run("INSERT OR IGNORE INTO origins VALUES (NULL, ?, ?)", (model, server))
            row = run("SELECT origin FROM origins WHERE model = ? AND server = ?", (model, server)).fetchone()
            known = self._origins[model, server] = int(row[0])
        return known

    def _store_questions(self, questions: TripletSet, first_chunk: int) -> None:
        for chunk in range(first_chunk, -(-len(questions) // _CHUNK)):
            rows = slice(chunk * _CHUNK, (chunk + 1) * _CHUNK)
            triplets = zlib.compress(np.ascontiguousarray(questions.triplets[rows], "<i4").tobytes(), 1)
            block = None
            if questions.block is not None:
                block = zlib.compress(np.ascontiguousarray(questions.block[rows], "<i4").tobytes(), 1)
            self.connection.execute("INSERT OR REPLACE INTO questions VALUES (?, ?, ?)", (chunk, triplets, block))

    def _store_facts(self, facts: Mapping[str, Any]) -> None:
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        self.connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on disk at the end, or none of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # a full disk has rolled it back already
                self.connection.execute("ROLLBACK")
            self._origins.clear()  # some of them may have been rolled back
            raise

    @contextmanager
    def saying(self, what: str) -> Iterator[None]:
        """Turn SQLite's faults into one sentence."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise explain(error, self.path, what) from error
