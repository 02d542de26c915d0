"""Work in several processes, of this machine or of a cluster: who does it, who stops it, what the workers say."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from affectome.errors import EnvironmentFailure, InputError

__all__ = ["ONE_PART", "Apart", "Elsewhere", "Said", "Workers", "in_parallel", "sent_elsewhere", "workers_for"]

Shared = TypeVar("Shared")
Part = TypeVar("Part")
Result = TypeVar("Result")
#: What a worker logged.
Said = list[logging.LogRecord]


class Workers(NamedTuple):
    """Who does some parts.

    Attributes
    ----------
    n : int
        Parts that are done at once.
    threads : int
        What each may use.
    elsewhere : Elsewhere, optional
        Where they are, if they are not of this machine.
    """

    n: int
    threads: int
    elsewhere: Elsewhere | None = None

    @property
    def here(self) -> bool:
        """It is this process, which does one part after the other."""
        return self.n == 1 and self.elsewhere is None


class Elsewhere(Protocol):
    """Processes on other machines."""

    threads: int

    def width(self) -> int:
        """How many there are."""
        ...

    def each(
        self, task: Apart[Any, Any, Any], shared: Any, parts: Iterable[Any], *, ordered: bool, folder: Path | None
    ) -> Generator[tuple[Any, Said], None, None]:
        """Do the parts; what is shared travels once to each process, and `folder` is where they may write."""
        ...


_elsewhere: ContextVar[Elsewhere | None] = ContextVar("elsewhere", default=None)
#: Threads of the part that this process does for another; its own loops stay in it.
_inside: ContextVar[int | None] = ContextVar("inside", default=None)
#: Held by a part: threads of libraries, the log and the working folder belong to the whole process.
ONE_PART = threading.RLock()


@contextmanager
def sent_elsewhere(elsewhere: Elsewhere) -> Iterator[None]:
    """Meanwhile, parts are done there."""
    before = _elsewhere.set(elsewhere)
    try:
        yield
    finally:
        _elsewhere.reset(before)


def workers_for(n_jobs: int | None, n_parts: int) -> Workers:
    """Who does so many parts: the cluster where one is open, else processes on `n_jobs` cores (None or -1: all).

    Inside a part it is this process: what is outermost spreads, and nothing within it does.
    """
    inside, elsewhere = _inside.get(), _elsewhere.get()
    if inside is not None:
        return Workers(1, inside)
    if elsewhere is not None:
        return Workers(elsewhere.width(), elsewhere.threads, elsewhere)
    from joblib import cpu_count

    cores = cpu_count() if n_jobs is None or n_jobs == -1 else n_jobs
    if cores < 1:
        raise InputError(f"n_jobs={n_jobs} is no number of cores", remedy="use 1 or more, or None for all")
    n = max(1, min(cores, n_parts))
    return Workers(n, cores // n)


def in_parallel(
    function: Callable[[Shared, Part], Result],
    shared: Shared,
    parts: Iterable[Part],
    workers: Workers,
    *,
    threads: int = 1,
    ordered: bool = False,
    folder: Path | None = None,
) -> Generator[Result, None, None]:
    """Do the parts, and give what comes back as soon as it is there.

    Every parallel loop of affectome is this one. Close the generator (``contextlib.closing``), so that where the
    caller stops, no worker goes on with what nobody waits for.

    Parameters
    ----------
    function
        Of a module, so that it can travel: ``function(shared, part)``.
    shared
        What every part needs, placed once in every process.
    parts
        They are drawn as workers become free. A part carries only what no other needs.
    workers
        From `workers_for`.
    threads
        Of numerical libraries in each process, which may decide about bits; where `workers` is this process, they are
        its own.
    ordered
        Give results in the order of the parts; by default in whatever order they are finished.
    folder
        Where `function` writes: a worker elsewhere begins only if it sees the same folder.
    """
    if workers.here:
        for part in parts:
            yield function(shared, part)
        return
    if workers.elsewhere is not None:
        apart = Apart(function, threads, None)
        results = workers.elsewhere.each(apart, shared, parts, ordered=ordered, folder=folder)
    else:
        results = _side_by_side(Apart(function, threads, os.getpid()), shared, parts, workers.n, ordered)
    try:
        for result, said in results:
            _say_again(said)
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*\btasks? which")  # advice to those who stop early
            results.close()


@dataclass(frozen=True)
class Apart(Generic[Shared, Part, Result]):
    """A function that does a part in a process of its own, with so many threads, and hears what it logs.

    `caller` is the process that asked; None: on some other machine.
    """

    function: Callable[[Shared, Part], Result]
    threads: int
    caller: int | None

    def __call__(self, shared: Shared, part: Part) -> tuple[Result, Said]:
        from threadpoolctl import threadpool_limits

        if self.caller == os.getpid():  # joblib found no process to give it to
            return self.function(shared, part), []
        if self.caller is not None:  # Ctrl-C reaches every process of a terminal; the caller stops the workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        before = _inside.set(self.threads)
        try:
            with ONE_PART, threadpool_limits(self.threads), _heard() as said:
                return self.function(shared, part), said
        finally:
            _inside.reset(before)


def _side_by_side(
    apart: Apart[Any, Any, Any], shared: Any, parts: Iterable[Any], n: int, ordered: bool
) -> Generator[tuple[Any, Said], None, None]:
    """In processes of this machine: loky starts fresh ones, so no fork meets a live OpenMP."""
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = (delayed(apart)(shared, part) for part in parts)
    order = "generator" if ordered else "generator_unordered"
    with parallel_config(backend="loky", n_jobs=n, inner_max_num_threads=apart.threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped")  # a grown worker gives way to a fresh one
        results: Generator[tuple[Any, Said], None, None] = Parallel(return_as=order, batch_size=1)(jobs)
        try:
            yield from results
        except TerminatedWorkerError as error:
            raise EnvironmentFailure(
                "a process that did a part of the work was killed, mostly for want of memory",
                remedy="give the command fewer --jobs, or the machine more memory; what is finished is kept",
            ) from error
        finally:
            results.close()


@contextmanager
def _heard() -> Iterator[Said]:
    """What is logged meanwhile in a worker, whose log nobody reads."""
    records: Said = []

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


def _say_again(records: Said) -> None:
    """Log here what a worker logged."""
    for record in records:
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
