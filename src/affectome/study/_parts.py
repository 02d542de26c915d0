"""Independent parts of a run, each the stages of one space, one comparison or one person, in processes."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from affectome._processes import closed_at_once, heard, leave_interrupts_to, say_again
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.study._engine import Stage, StageRecord, run_stages

__all__ = ["Done", "finish", "in_processes", "unseen"]

Asked = TypeVar("Asked")


class Done(NamedTuple):
    """The records of some stages, and what their data did not allow."""

    records: list[StageRecord]
    failed: dict[str, InputError]


def unseen(name: str, state: str) -> Progress:
    """Show the progress of no stage."""
    return silent


def finish(
    stages: Sequence[Stage],
    folder: Path,
    progress: Callable[[str, str], Progress],
    earlier: Sequence[StageRecord] = (),
) -> Done:
    """Run stages; what their data do not allow is reported, and the others go on."""
    failed: dict[str, InputError] = {}
    return Done(run_stages(stages, folder, progress=progress, failed=failed, earlier=earlier), failed)


def in_processes(
    work: Callable[[Asked, Callable[[str, str], Progress]], Done],
    parts: Mapping[str, Asked],
    n_jobs: int | None,
    progress: Callable[[str, str], Progress],
) -> dict[str, Done]:
    """The parts, as many at once as there are cores; in this process, and seen in detail, where that is one."""
    from joblib import Parallel, cpu_count, delayed

    workers = min(cpu_count() if n_jobs is None else n_jobs, len(parts))
    if workers <= 1:
        return {name: work(part, progress) for name, part in parts.items()}
    listener, done = progress(f"{len(parts)} parts", "running"), {}
    jobs = (delayed(_apart)(work, part, os.getpid()) for part in parts.values())
    with (
        warnings.catch_warnings(),
        closed_at_once(Parallel(workers, batch_size=1, return_as="generator")(jobs)) as results,
    ):
        warnings.filterwarnings("ignore", message="A worker stopped")  # a grown worker gives way to a fresh one
        for name, (found, said) in zip(parts, results, strict=True):
            say_again(said)
            done[name] = found
            listener(len(done), len(parts), detail=name)
    return done


def _apart(
    work: Callable[[Asked, Callable[[str, str], Progress]], Done], asked: Asked, caller: int
) -> tuple[Done, list[logging.LogRecord]]:
    """One part in a process of its own, on one thread, for the other processors have work already."""
    from threadpoolctl import threadpool_limits

    leave_interrupts_to(caller)
    with threadpool_limits(1), heard(caller) as said:
        return work(asked, unseen), said
