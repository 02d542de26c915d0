"""A long walk over centres in chunks of one size: in processes, kept on disk, resumed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from affectome._files import make_folder
from affectome._processes import Workers, in_parallel, workers_for
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
        Processes; 1 or fewer chunks than two: this one. An open cluster does it instead.
    memory : float
        Bytes beyond the responses and the result; fewer processes where more would not fit. On a cluster, of a worker.
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
    workers = _workers(scorer, responses, neighbourhoods, walk, len(left))
    walk.progress(len(done), len(chunks), detail="chunks of centres")
    tasks = ((number, *_cut_out(responses, neighbourhoods, chunks[number])) for number in left)
    with closing(in_parallel(_scored, scorer, tasks, workers)) as results:
        for number, found in results:
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


def _workers(
    scorer: ChunkScorer, responses: NDArray[np.float32], neighbourhoods: Neighbourhoods, walk: Walk, n_left: int
) -> Workers:
    """As many processes as were asked for, or as the memory allows; told where that is fewer."""
    asked = workers_for(walk.n_jobs, n_left)
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
    if asked.elsewhere is not None or fitting >= asked.n:
        return asked
    logger.warning("%d processes run instead of %d, since no more fit into the memory allowed.", fitting, asked.n)
    return asked._replace(n=fitting)


def _scored(scorer: ChunkScorer, task: tuple[int, NDArray[np.float32], Neighbourhoods]) -> tuple[int, Arrays]:
    number, responses, chunk = task
    return number, _one_thread(scorer, responses, chunk)


def _one_thread(scorer: ChunkScorer, responses: NDArray[np.float32], chunk: Neighbourhoods) -> Arrays:
    """Products of BLAS may round differently on other numbers of threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        return scorer.score(responses, chunk)
