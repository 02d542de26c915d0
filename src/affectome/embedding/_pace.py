"""One thread or all: whichever is faster at the moment; the bits are the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from affectome._numba import kernel_threads

__all__ = ["Pace"]

# Legs after which the slower one is tried once more: the machine may have become free, or busy.
_SOON, _LOOK_AGAIN = 3, 24


class Pace:
    """Times legs of work with all threads and with one, and prefers the faster.

    The threads of a kernel wait for one another after every step. Where other processes use the cores, that can make
    two threads ten times slower than one (benchmarks/embedding.py).

    Parameters
    ----------
    n_jobs : int or None
        Most threads to use.
    """

    def __init__(self, n_jobs: int | None) -> None:
        self._n_jobs = n_jobs
        self._seconds: dict[bool, float] = {}  # per unit of work, by whether one thread did it
        self._legs = 0

    @contextmanager
    def threads(self, most: int, work: int) -> Iterator[int]:
        """Hold the kernel pool for one leg of `work` units, of which at most so many threads could do something."""
        alone = most > 1 and self._alone()
        with kernel_threads(1 if alone else self._n_jobs, most=most) as threads:
            begin = time.perf_counter()
            yield threads
            seconds = (time.perf_counter() - begin) / max(work, 1)
        if most > 1:
            self._legs += 1
            self._seconds[alone] = seconds
            if not alone and threads == 1:  # there is but one
                self._seconds[True] = float("inf")

    def _alone(self) -> bool:
        if len(self._seconds) < 2:
            return False in self._seconds
        faster = self._seconds[True] < self._seconds[False]
        # Soon once, since the first leg may have had to compile.
        again = self._legs == _SOON or self._legs % _LOOK_AGAIN == 0
        return faster != (again and self._seconds[True] < float("inf"))
