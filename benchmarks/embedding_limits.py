"""What this machine could do at best with the arithmetic of a triplet: memory, cache and multiply-add limits.

One triplet with p components takes 9 p multiply-adds (3 p for three similarities, 6 p for three rows of gradient),
reads three rows of the embedding, reads and writes three rows of the gradient (36 p bytes), and 12 bytes of indices.
The memory limit with everything streamed is what a program pays that writes gathered rows out; ours keeps rows and
gradients in cache, and only the indices come from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from threadpoolctl import threadpool_limits

MEMORY, CACHE = 2**25, 2**16  # float32 numbers of an array: 128 MB, and 256 KB (three of them fit a second-level cache)


@numba.njit(parallel=True)
def _copy(into: Any, one: Any, other: Any, goes: int) -> None:
    size, parts = into.shape[1], into.shape[0]
    for part in numba.prange(parts):
        for _ in range(goes):
            for t in range(size):
                into[part, t] = one[part, t]


@numba.njit(parallel=True)
def _triad(into: Any, one: Any, other: Any, goes: int) -> None:
    size, parts = into.shape[1], into.shape[0]
    for part in numba.prange(parts):
        for go in range(goes):
            scale = np.float32(go)
            for t in range(size):
                into[part, t] = one[part, t] + scale * other[part, t]


def _best(work: Callable[[], None], goes: int = 5) -> float:
    """Shortest of several timings: other work on the machine only ever adds."""
    work()
    seconds = []
    for _ in range(goes):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def bandwidth(threads: int, numbers: int, *, copy: bool = False) -> float:
    """Bytes per second of a = b + s c (or a = b), each thread on its own; reads and writes count."""
    before = numba.get_num_threads()
    numba.set_num_threads(threads)
    into, one, other = (np.ones((threads, numbers), np.float32) for _ in range(3))
    goes = max(1, 2**27 // numbers) if numbers < MEMORY else 1
    loop, moved = (_copy, 2) if copy else (_triad, 3)
    seconds = _best(lambda: loop(into, one, other, goes))
    numba.set_num_threads(before)
    return moved * 4 * threads * numbers * goes / seconds


def multiply_adds(threads: int, size: int = 2048) -> float:
    """Float32 multiply-adds per second of a matrix product in BLAS, the most that code reaches in practice."""
    rng = np.random.default_rng(0)
    a, b = rng.random((2, size, size), np.float32)
    out = np.empty_like(a)
    with threadpool_limits(threads, user_api="blas"):
        return float(size**3 / _best(lambda: np.matmul(a, b, out=out)))


def machine_rates(threads: int) -> dict[str, float]:
    """What the machine does per second with so many threads."""
    return {
        "memory_copy": bandwidth(threads, MEMORY, copy=True),
        "memory_triad": bandwidth(threads, MEMORY),
        "cache_triad": bandwidth(threads, CACHE),
        "multiply_adds": multiply_adds(threads),
    }


def triplet_limits(rates: dict[str, float], components: int) -> dict[str, float]:
    """Triplets per second that each limit alone would allow."""
    rows = 36 * components
    return {
        "memory, everything streamed": rates["memory_triad"] / (rows + 12),
        "memory, indices alone": rates["memory_triad"] / 12,
        "cache": rates["cache_triad"] / rows,
        "multiply-adds": rates["multiply_adds"] / (9 * components),
    }
