"""One thread that writes: whatever is waiting goes to disk in one group, then all of it is acknowledged."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from affectome.collection._journal import Journal
from affectome.judges import Reply

__all__ = ["Writer"]

_MOST = 4096  # deliveries in one commit
_Delivery = tuple[Sequence[tuple[int, Reply]], asyncio.Future[None]]


class Writer:
    """Puts replies into a journal from an event loop without holding the loop up.

    A group is as large as what arrived while the last one was written, so that its size follows the disk: few and
    prompt where answers are rare, hundreds where they are many. Use it as an asynchronous context manager.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: queue.SimpleQueue[_Delivery | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="affectome-journal", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Writer:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what still waits, even while being cancelled."""
        self._waiting.put(None)
        await asyncio.shield(asyncio.to_thread(self._thread.join))

    async def put(self, replies: Sequence[tuple[int, Reply]]) -> None:
        """Return when the replies, each with its question, are on disk; raise what kept them from getting there."""
        if self._failure is not None:
            raise self._failure
        assert self._loop is not None
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((replies, done))
        await done

    def _write(self) -> None:
        ended = False
        while not ended:
            group = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(group) < _MOST:
                    group.append(self._waiting.get_nowait())
            ended = None in group
            deliveries = [item for item in group if item is not None]
            if not deliveries:
                continue
            if self._failure is None:
                try:
                    self._journal.record([row for rows, _ in deliveries for row in rows])
                except BaseException as error:  # the loop has to hear of everything
                    self._failure = error
            assert self._loop is not None
            with suppress(RuntimeError):  # nobody listens on a loop that was closed
                self._loop.call_soon_threadsafe(_settle, [done for _, done in deliveries], self._failure)


def _settle(futures: list[asyncio.Future[None]], failure: BaseException | None) -> None:
    for future in futures:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
