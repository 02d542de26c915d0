"""What a journal knows of its batch files."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from affectome.collection._journal import Journal

__all__ = ["Batch", "BatchRecords"]


@dataclass(frozen=True)
class Batch:
    """A batch file and where it is.

    Attributes
    ----------
    number : int
    file : str
    provider_file, provider_batch : str or None
        Ids the provider gave; kept from the moment it gave them.
    state : str
        ``"written"``, ``"uploaded"``, ``"submitted"``, ``"fetched"`` or ``"ended"``.
    """

    number: int
    file: str
    provider_file: str | None
    provider_batch: str | None
    state: str


class BatchRecords:
    """The batch files of a journal, and which questions are in them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, file: str, questions: Sequence[int]) -> int:
        """Note that these questions are in a batch file; returns the batch's number."""
        with self._journal.saying("cannot be written"), self._journal.transaction():
            run = self._journal.connection.execute
            row = (file, "written", time.time())
            batch = run("INSERT INTO batches VALUES (NULL, ?, NULL, NULL, ?, ?)", row).lastrowid
            pairs = [(int(question), batch) for question in questions]
            self._journal.connection.executemany("INSERT OR REPLACE INTO batch_questions VALUES (?, ?)", pairs)
        return int(batch or 0)

    def listed(self) -> list[Batch]:
        """All batch files, in the order they were written."""
        columns = "batch, file, provider_file, provider_batch, state"
        with self._journal.saying("cannot be read"):
            rows = self._journal.connection.execute(f"SELECT {columns} FROM batches ORDER BY batch").fetchall()
        return [Batch(*row) for row in rows]

    def update(self, batch: Batch) -> None:
        """Keep what became of a batch."""
        row = (batch.provider_file, batch.provider_batch, batch.state, time.time(), batch.number)
        with self._journal.saying("cannot be written"), self._journal.transaction():
            self._journal.connection.execute(
                "UPDATE batches SET provider_file = ?, provider_batch = ?, state = ?, at = ? WHERE batch = ?", row
            )

    def holding(self, questions: Iterable[int]) -> set[int]:
        """Numbers of the batches that these questions are in."""
        with self._journal.saying("cannot be read"):
            known = dict(self._journal.connection.execute("SELECT question, batch FROM batch_questions").fetchall())
        return {known[question] for question in questions if question in known}

    def end(self, batch: int) -> int:
        """Take the questions of a batch back; returns how many of them are open again."""
        with self._journal.saying("cannot be written"), self._journal.transaction():
            run = self._journal.connection.execute
            left = run(
                "SELECT count(*) FROM batch_questions WHERE batch = ? AND question NOT IN "
                "(SELECT question FROM answers) AND question NOT IN (SELECT question FROM failures)",
                (batch,),
            ).fetchone()[0]
            run("DELETE FROM batch_questions WHERE batch = ?", (batch,))
            run("UPDATE batches SET state = 'ended' WHERE batch = ?", (batch,))
        return int(left)
