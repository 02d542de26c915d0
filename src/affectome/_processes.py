"""Work in several processes: who stops it, and what the workers say."""

from __future__ import annotations

import logging
import os
import signal
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["closed_at_once", "heard", "leave_interrupts_to", "say_again"]


@contextmanager
def closed_at_once(results: Generator[Any, None, None]) -> Iterator[Generator[Any, None, None]]:
    """Where the caller stops, no worker goes on with what nobody waits for; joblib's advice about it is not heard."""
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*\btasks? which")
            results.close()


def leave_interrupts_to(caller: int) -> None:
    """In a worker: Ctrl-C reaches every process of a terminal; who called stops the workers, and says so alone."""
    if os.getpid() != caller:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def heard(caller: int) -> Iterator[list[logging.LogRecord]]:
    """What is logged meanwhile, in a worker, whose log nobody reads; nothing in the caller's own process."""
    records: list[logging.LogRecord] = []
    if os.getpid() == caller:
        yield records
        return

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.msg, record.args = record.getMessage(), None  # what it names may not travel between processes
            records.append(record)

    ours = logging.getLogger("affectome")
    handler, level = Keep(), ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)


def say_again(records: list[logging.LogRecord]) -> None:
    """Log here what a worker logged."""
    for record in records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
