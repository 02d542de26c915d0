"""Several recordings as one, and each run on its own scale."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._check import refuse_missing
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid

logger = logging.getLogger(__name__)

__all__ = ["check_same_voxels", "distinct_runs", "join_recordings", "join_trials", "refuse_copies", "standardise_runs"]

_BLOCK_VALUES = 2**21  # of a run × voxel block while it is float64: 16 MB


def join_recordings(recordings: Sequence[Recording]) -> Recording:
    """The sessions of one person as one recording.

    Parameters
    ----------
    recordings : sequence of Recording
        In the order in which they follow each other; all of one subject and with the same voxels in the same order.

    Returns
    -------
    Recording
        Trials one recording after the other. Where a session number appears in two recordings, sessions are
        numbered anew from 1 in order of appearance; likewise runs, whose number as given stays in the column
        ``run_in_session``. Holds a copy of all responses, so memory is twice their size while it is made;
        :func:`read_bdpy` with several files joins without.

    Raises
    ------
    InputError
        Where subjects, voxels or regions differ, or where two of the recordings hold the same measurements.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a", "b"], "run": [1, 2], "session": [1, 1]})
    >>> one, two = (Recording("sub-01", np.full((2, 3), k, np.float32), trials) for k in range(2))
    >>> join_recordings([one, two]).trials
      stimulus  run  session  run_in_session
    0        a    1        1               1
    1        b    2        1               2
    2        a    3        2               1
    3        b    4        2               2
    """
    if not recordings:
        raise InputError("no recording is given", remedy="give at least one")
    first = recordings[0]
    for position, other in enumerate(recordings[1:], start=2):
        if other.subject != first.subject:
            raise InputError(
                f"recording {position} is of {other.subject}, the first of {first.subject}",
                source=other.source or None,
                remedy="join recordings of one person only",
            )
        check_same_voxels(first, other)
    refuse_copies([each.responses for each in recordings], [each.source for each in recordings])
    return replace(
        first,
        responses=np.concatenate([each.responses for each in recordings]),
        trials=join_trials([each.trials for each in recordings]),
        source=", ".join(dict.fromkeys(each.source for each in recordings if each.source)),
    )


def join_trials(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Trial tables one below the other, sessions and runs distinct (see :func:`join_recordings`)."""
    joined = pd.concat(tables, ignore_index=True)
    part = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    joined["session"] = _distinct(pd.DataFrame({"part": part, "number": joined["session"]}))
    return distinct_runs(joined)


def distinct_runs(trials: pd.DataFrame) -> pd.DataFrame:
    """Runs numbered so that no two sessions share a number; the number as given is kept in ``run_in_session``."""
    numbered = trials.copy()
    if "run_in_session" not in numbered.columns:
        numbered["run_in_session"] = numbered["run"]
    numbered["run"] = _distinct(pd.DataFrame({"part": numbered["session"], "number": numbered["run"]}))
    return numbered


def _distinct(numbers: pd.DataFrame) -> NDArray[np.int64]:
    """Column ``number`` as it is where no two parts share one, else numbers from 1 in order of appearance."""
    if (numbers.groupby("number")["part"].nunique() > 1).any():
        return numbers.groupby(["part", "number"], sort=False).ngroup().to_numpy().astype(np.int64) + 1
    return numbers["number"].to_numpy().astype(np.int64)


def check_same_voxels(first: Recording, other: Recording) -> None:
    """Refuse a recording whose voxels or regions are not those of the first."""

    def fault(problem: str, remedy: str) -> InputError:
        return InputError(problem, source=other.source or other.subject, remedy=remedy)

    name = first.source or "the first recording"
    if other.n_voxels != first.n_voxels:
        raise fault(
            f"has {other.n_voxels} voxels and {name} has {first.n_voxels}{_shared(first.geometry, other.geometry)}",
            "select the same voxels in both",
        )
    if not _same_places(first.geometry, other.geometry):
        raise fault(
            f"its voxels lie elsewhere than those of {name}{_shared(first.geometry, other.geometry)}",
            "bring both onto one grid, voxels in the same order",
        )
    lacking = [roi for roi in (*first.rois, *other.rois) if roi not in other.rois or roi not in first.rois]
    if lacking:
        raise fault(
            f"only one of it and {name} has the regions {cut_short(lacking)}", "read the same regions from both"
        )
    differing = [roi for roi, mask in first.rois.items() if not np.array_equal(mask, other.rois[roi])]
    if differing:
        raise fault(f"the regions {cut_short(differing)} differ from {name}", "use one definition of the regions")


def _same_places(first: VolumeGrid | SurfaceMesh | None, other: VolumeGrid | SurfaceMesh | None) -> bool:
    if isinstance(first, VolumeGrid) and isinstance(other, VolumeGrid):
        # Where a grid was derived from millimetres, indices may start elsewhere; the places count.
        return first.space == other.space and np.allclose(first.coordinates(), other.coordinates(), rtol=0, atol=0.1)
    if isinstance(first, SurfaceMesh) and isinstance(other, SurfaceMesh):
        return (
            (first.space, first.mesh_sizes) == (other.space, other.mesh_sizes)
            and np.array_equal(first.vertices, other.vertices)
            and np.array_equal(first.right, other.right)
        )
    return first is None and other is None


def _shared(first: VolumeGrid | SurfaceMesh | None, other: VolumeGrid | SurfaceMesh | None) -> str:
    if not (isinstance(first, VolumeGrid) and isinstance(other, VolumeGrid)):
        return ""
    here, there = ({tuple(place) for place in np.round(grid.coordinates(), 1).tolist()} for grid in (first, other))
    return f" ({len(here & there)} places are in both)"


def refuse_copies(parts: Sequence[NDArray[np.float32]], sources: Sequence[str]) -> None:
    """Refuse sessions with the same first and last responses: one was given twice, perhaps under another name."""
    for later, other in enumerate(parts):
        for earlier, first in enumerate(parts[:later]):
            if len(first) == len(other) and np.array_equal(first[[0, -1]], other[[0, -1]]):
                raise InputError(
                    f"recordings {earlier + 1} and {later + 1} hold the same measurements",
                    source=sources[later] or None,
                    remedy="give each session once",
                )


def standardise_runs(recording: Recording, *, method: Literal["zscore", "center", "none"] = "zscore") -> Recording:
    """Each voxel on its own scale in each run.

    Parameters
    ----------
    recording : Recording
        Is not changed; the responses are copied once.
    method
        ``"zscore"``: mean 0 and s.d. 1 (divisor n) over the trials of the run; ``"center"``: mean 0; ``"none"``: as
        it is.

    Returns
    -------
    Recording

    Raises
    ------
    InputError
        Where a response is missing, or a run has a single trial, of which nothing would be left.

    Notes
    -----
    A voxel that is constant in a run becomes zero there; how many is logged. Means and deviations are taken in
    float64. Nothing crosses runs, so this leaks nothing into a fold made of whole runs; with folds that split a run
    it would, and in a run that holds few stimuli it takes away part of the differences between them and others.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": list("abcd"), "run": [1, 1, 2, 2], "session": 1})
    >>> there = Recording("sub-01", np.array([[1, 5], [3, 5], [10, 2], [30, 6]], np.float32), trials)
    >>> standardise_runs(there).responses.tolist()
    [[-1.0, 0.0], [1.0, 0.0], [-1.0, -1.0], [1.0, 1.0]]
    """
    if method not in ("zscore", "center", "none"):
        raise InputError(f"method is '{method}'", remedy="choose zscore, center or none")
    if method == "none":
        return recording
    refuse_missing(recording)
    runs = recording.trials["run"].to_numpy()
    numbers, sizes = np.unique(runs, return_counts=True)
    if sizes.min() < 2:
        raise InputError(
            f"run {numbers[sizes.argmin()]} has a single trial, of which standardising would leave nothing",
            source=recording.source or recording.subject,
            remedy="leave that run out or do not standardise",
        )
    scaled = recording.responses.copy()
    constant = 0
    for rows, columns in _run_blocks(runs, recording.n_voxels):
        block = scaled[rows, columns].astype(np.float64)
        still = block.max(axis=0) == block.min(axis=0)
        block -= block.mean(axis=0)
        if method == "zscore":
            block /= np.where(still, 1.0, np.sqrt((block**2).mean(axis=0)))
        block[:, still] = 0.0
        constant += int(still.sum())
        scaled[rows, columns] = block
    if constant:
        logger.warning(
            "%s: %d of %d voxels × runs are constant and become zero there.",
            recording.source or recording.subject,
            constant,
            len(numbers) * recording.n_voxels,
        )
    return replace(recording, responses=scaled)


def _run_blocks(runs: NDArray[np.int64], n_voxels: int) -> Iterator[tuple[NDArray[np.intp], slice]]:
    """Rows of each run, and voxels a few at a time."""
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        width = max(1, _BLOCK_VALUES // len(rows))
        for start in range(0, n_voxels, width):
            yield rows, slice(start, min(start + width, n_voxels))
