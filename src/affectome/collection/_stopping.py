"""A collection that ends well when somebody presses Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from affectome._asynchronous import run_to_end
from affectome.collection._collector import Collected, Collector

__all__ = ["run_until_stopped"]


def run_until_stopped(collector: Collector, say: Callable[[str], None]) -> Collected:
    """Run a collector; the first Ctrl-C or SIGTERM lets what is in flight come in, the second one does not.

    Parameters
    ----------
    collector : Collector
    say
        Told that it is stopping.

    Raises
    ------
    KeyboardInterrupt
        When it was stopped, after every answer that came in is on disk.
    """

    async def run() -> Collected:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop() -> None:
            if collector.stopping and task is not None:
                task.cancel()
                return
            say("Stopping; answers in flight are still taken in. Press Ctrl-C again to drop them.")
            collector.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
                loop.add_signal_handler(number, stop)
        return await collector.run()

    try:
        collected = run_to_end(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if collected.ended == "interrupted":
        raise KeyboardInterrupt
    return collected
