"""A long walk over centres in chunks of one size: in processes, kept on disk, resumed."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from affectome._files import make_folder
from affectome._processes import closed_at_once, heard, leave_interrupts_to, say_again
from affectome._progress import Progress
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import Neighbourhoods
from affectome.neural.searchlight._io import read_arrays_file, write_arrays_file

__all__ = ["CHUNK", "ChunkScorer", "Walk", "walk_centres"]

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]

#: Centres that are scored together. It belongs to the result: the same for any number of workers and any memory.
CHUNK = 128


class ChunkScorer(Protocol):
    """Scores some neighbourhoods; what is ready for all centres is in it already, and it can travel to a process."""

    def shared_bytes(self) -> int:
        """What it holds itself, once per process at most."""
        ...

    def working_bytes(self, largest: int) -> int:
        """What it needs beyond that while it scores a chunk whose largest neighbourhood has so many voxels."""
        ...

    def score(self, responses: NDArray[np.float32], neighbourhoods: Neighbourhoods) -> Arrays:
        """Arrays whose first axis is that of the centres, or has length 1 for what belongs to the chunk."""
        ...


@dataclass(frozen=True)
class Walk:
    """How the centres are walked over; nothing here moves a result.

    Attributes
    ----------
    n_jobs : int
        Processes; 1 or fewer chunks than two: this one.
    memory : float
        Bytes beyond the responses and the result; fewer processes where more would not fit.
    folder : Path or None
        Keeps finished chunks, and gives them back to a later walk.
    progress : Progress
    """

    n_jobs: int
    memory: float
    folder: Path | None
    progress: Progress


def walk_centres(
    scorer: ChunkScorer, responses: NDArray[np.float32], neighbourhoods: Neighbourhoods, walk: Walk
) -> dict[str, NDArray[Any]]:
    """Score all centres; the arrays of the chunks one after another.

    A chunk is a task of its own: it takes with it the columns it needs and one thread, so that neither the number of
    processes nor the order in which they finish touches its bits.
    """
    chunks = [range(start, min(start + CHUNK, len(neighbourhoods))) for start in range(0, len(neighbourhoods), CHUNK)]
    done = _kept(walk.folder, len(chunks))
    if done:
        logger.info("%d of %d chunks of centres were there already.", len(done), len(chunks))
    left = [number for number in range(len(chunks)) if number not in done]
    workers = min(_workers(scorer, responses, neighbourhoods, walk), max(1, len(left)))
    walk.progress(len(done), len(chunks), detail="chunks of centres")
    tasks = ((number, *_cut_out(responses, neighbourhoods, chunks[number])) for number in left)
    for number, found in _scored(scorer, tasks, workers):
        if walk.folder is not None:
            write_arrays_file(_place(walk.folder, number), found, {"chunk": number})
        done[number] = found
        walk.progress(len(done), len(chunks), detail="chunks of centres")
    parts = [done[number] for number in range(len(chunks))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _place(folder: Path, number: int) -> Path:
    return folder / f"chunk-{number:06d}.npz"


def _kept(folder: Path | None, n_chunks: int) -> dict[int, Arrays]:
    """Chunks that an earlier walk finished."""
    if folder is None:
        return {}
    make_folder(folder)
    kept: dict[int, Arrays] = {}
    for number in range(n_chunks):
        path = _place(folder, number)
        if path.is_file():
            try:
                kept[number] = read_arrays_file(path)[0]
            except InputError as error:
                logger.warning("A chunk of centres is scored anew: %s", error)
    return kept


def _cut_out(
    responses: NDArray[np.float32], neighbourhoods: Neighbourhoods, chunk: range
) -> tuple[NDArray[np.float32], Neighbourhoods]:
    """The voxels of some centres, and the neighbourhoods among them."""
    begin, end = neighbourhoods.starts[[chunk.start, chunk.stop]]
    columns, places = np.unique(neighbourhoods.voxels[begin:end], return_inverse=True)
    starts = neighbourhoods.starts[chunk.start : chunk.stop + 1] - begin
    own = replace(neighbourhoods, starts=starts, voxels=places.astype(np.int32), centres=None, names=())
    return np.ascontiguousarray(responses[:, columns]), own


def _workers(scorer: ChunkScorer, responses: NDArray[np.float32], neighbourhoods: Neighbourhoods, walk: Walk) -> int:
    """As many processes as were asked for, or as the memory allows; told where that is fewer."""
    from joblib import cpu_count

    asked = cpu_count() if walk.n_jobs == -1 else walk.n_jobs
    if asked < 1:
        raise InputError(f"n_jobs={walk.n_jobs} is no number of processes", remedy="use 1 or more, or -1 for all cores")
    largest = int(neighbourhoods.sizes.max())
    # Centres that follow one another share most of their voxels; a chunk of parcels shares none.
    columns = min(responses.shape[1], CHUNK * largest)
    each = scorer.working_bytes(largest) + 4 * len(responses) * columns
    fitting = int((walk.memory - scorer.shared_bytes()) // each)
    if fitting < 1:
        need = (scorer.shared_bytes() + each) / 1e9
        raise InputError(
            f"a chunk of {CHUNK} centres needs {need:.2g} GB, and {walk.memory / 1e9:.2g} GB are allowed",
            remedy="allow more (memory_gb)",
        )
    if fitting < asked and neighbourhoods.starts.size - 1 > CHUNK:
        logger.warning("%d processes run instead of %d, since no more fit into the memory allowed.", fitting, asked)
    return min(asked, fitting)


def _scored(
    scorer: ChunkScorer, tasks: Iterator[tuple[int, NDArray[np.float32], Neighbourhoods]], workers: int
) -> Iterator[tuple[int, Arrays]]:
    from joblib import Parallel, delayed, parallel_config

    if workers <= 1:
        for number, responses, chunk in tasks:
            yield number, _one_thread(scorer, responses, chunk)
        return
    with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A worker stopped")  # a grown worker gives way to a fresh one
        jobs = (delayed(_apart)(scorer, number, part, chunk, os.getpid()) for number, part, chunk in tasks)
        with closed_at_once(Parallel(return_as="generator_unordered", batch_size=1)(jobs)) as results:
            for number, found, said in results:
                say_again(said)
                yield number, found


def _apart(
    scorer: ChunkScorer, number: int, responses: NDArray[np.float32], chunk: Neighbourhoods, caller: int
) -> tuple[int, Arrays, list[logging.LogRecord]]:
    """One chunk in a process of its own."""
    leave_interrupts_to(caller)
    with heard(caller) as said:
        return number, _one_thread(scorer, responses, chunk), said


def _one_thread(scorer: ChunkScorer, responses: NDArray[np.float32], chunk: Neighbourhoods) -> Arrays:
    """Products of BLAS may round differently on other numbers of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return scorer.score(responses, chunk)
