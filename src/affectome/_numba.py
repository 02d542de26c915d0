"""How every compiled kernel of affectome is declared: cached, explicit about its arithmetic."""

from __future__ import annotations

import atexit
import getpass
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numba

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
            settings.CACHE_DIR = str(_private_folder())
            return _compile(function, options)

    return declare


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit(**options)(function)
    return compiled


def _private_folder() -> Path:
    """A folder for machine code within the system's temporary one, where others write too: nobody else can write to it.

    What numba loads from its cache runs, so that a folder which somebody else has made under this name is passed over.
    """
    folder = Path(tempfile.gettempdir()) / f"affectome-numba-{_user()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and _is_ours(found):
            return folder
    made = Path(tempfile.mkdtemp(prefix="affectome-numba-"))  # of this process alone: it will be compiled again
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _is_ours(found: os.stat_result) -> bool:
    """Whether a folder is this user's, and only this user writes to it; Windows gives each user a temporary folder."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "anyone"


@contextmanager
def kernel_threads(n_jobs: int | None, *, most: int | None = None) -> Iterator[int]:
    """Hold the kernel pool with `n_jobs` threads (None or -1: all that numba has), and `most` at most."""
    # GNU OpenMP lets idle threads spin between kernels. On a machine with other work to do, that made a fit many times
    # slower (benchmarks/contention.py); sleeping threads cost nothing measurable. OpenMP reads this when numba loads
    # it, at the first question after threads below; whoever sets the variable keeps the last word.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
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
