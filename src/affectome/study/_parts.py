"""Independent parts of a run, each the stages of one space, one comparison or one person, in processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from affectome._processes import in_parallel, workers_for
from affectome._progress import Progress, silent
from affectome.errors import AffectomeError
from affectome.study._engine import Stage, StageRecord, run_stages

__all__ = ["Done", "finish", "in_processes", "unseen"]

Asked = TypeVar("Asked")


class Done(NamedTuple):
    """The records of some stages, and what their data did not allow."""

    records: list[StageRecord]
    failed: dict[str, AffectomeError]


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
    failed: dict[str, AffectomeError] = {}
    return Done(run_stages(stages, folder, progress=progress, failed=failed, earlier=earlier), failed)


def in_processes(
    work: Callable[[Asked, Callable[[str, str], Progress]], Done],
    parts: Mapping[str, Asked],
    folder: Path,
    n_jobs: int | None,
    progress: Callable[[str, str], Progress],
) -> dict[str, Done]:
    """The parts, as many at once as there are cores; in this process, and seen in detail, where that is one.

    Each process holds to one thread, for the other processors have work already; on a cluster, to those of a worker.
    `folder` is where the stages write.
    """
    workers = workers_for(n_jobs, len(parts))
    if workers.here:
        return {name: work(part, progress) for name, part in parts.items()}
    listener, done = progress(f"{len(parts)} parts", "running"), {}
    threads = 1 if workers.elsewhere is None else workers.threads
    each = in_parallel(_unseen, work, parts.values(), workers, threads=threads, ordered=True, folder=folder)
    with closing(each) as results:
        for name, found in zip(parts, results, strict=True):
            done[name] = found
            listener(len(done), len(parts), detail=name)
    return done


def _unseen(work: Callable[[Asked, Callable[[str, str], Progress]], Done], asked: Asked) -> Done:
    return work(asked, unseen)
