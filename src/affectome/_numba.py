"""How every compiled kernel of affectome is declared: cached, explicit about its arithmetic."""

from __future__ import annotations

import getpass
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba

# GNU OpenMP lets idle threads spin between kernels. On a machine with other work to do, that made a fit many times
# slower (benchmarks/contention.py); sleeping threads cost nothing measurable. OpenMP reads this when it loads, which
# numba delays until the first parallel kernel; whoever sets the variable keeps the last word.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

#: Reordering of sums and fused multiply-add are allowed (a sum may be vectorised); NaN and infinity keep their meaning.
ARITHMETIC = frozenset({"reassoc", "contract", "nsz", "arcp"})

#: Held while a parallel kernel runs: numba's default thread pool must not be entered from two Python threads at once.
_POOL = threading.RLock()


def kernel(
    *, parallel: bool = False, arithmetic: frozenset[str] = ARITHMETIC
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function on first call and keep the machine code on disk.

    Where neither the package folder nor the user's cache folder can be written, the
    code goes to the system's temporary folder instead.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"parallel": parallel, "fastmath": set(arithmetic), "cache": True}
        try:
            return _compile(function, options)
        except RuntimeError:  # numba found no folder it may write to
            settings: Any = numba.config
            settings.CACHE_DIR = str(Path(tempfile.gettempdir()) / f"affectome-numba-{_user()}")
            return _compile(function, options)

    return declare


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(**options)(function)
    return compiled


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "anyone"


@contextmanager
def kernel_threads(n_jobs: int | None) -> Iterator[int]:
    """Hold the kernel pool with `n_jobs` threads (None or -1: all that numba has)."""
    settings: Any = numba.config
    available = int(settings.NUMBA_NUM_THREADS)
    threads = available if n_jobs is None or n_jobs < 1 else min(n_jobs, available)
    with _POOL:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            yield threads
        finally:
            numba.set_num_threads(before)
