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

#: Where a kernel does not promise the same bits everywhere, sums may be reordered, so that they vectorise; NaN and
#: infinity keep their meaning. The price: the process that compiles runs code that was optimised once, and one that
#: loads the cache runs code that was optimised twice, as part of what calls it; the two may round differently.
ARITHMETIC = frozenset({"reassoc", "nsz", "arcp"})

#: Held while a parallel kernel runs: numba's default thread pool must not be entered from two Python threads at once.
_POOL = threading.RLock()


def kernel(*, parallel: bool = False, exact: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function on first call and keep the machine code on disk.

    With `exact`, every operation rounds as it is written, in its order: the same bits from whatever compiled it.
    Division by zero gives infinity or NaN, as in NumPy.

    Where neither the package folder nor the user's cache folder can be written, the
    code goes to the system's temporary folder instead.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        fast: set[str] | bool = False if exact else set(ARITHMETIC)
        options: dict[str, Any] = {"parallel": parallel, "fastmath": fast, "cache": True, "error_model": "numpy"}
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
def kernel_threads(n_jobs: int | None, *, most: int | None = None) -> Iterator[int]:
    """Hold the kernel pool with `n_jobs` threads (None or -1: all that numba has), and `most` at most."""
    settings: Any = numba.config
    available = int(settings.NUMBA_NUM_THREADS)
    threads = available if n_jobs is None or n_jobs < 1 else min(n_jobs, available)
    threads = threads if most is None else min(threads, most)
    with _POOL:
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            yield threads
        finally:
            numba.set_num_threads(before)
