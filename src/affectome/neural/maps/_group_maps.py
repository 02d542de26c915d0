"""Maps of several people in one common space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._tables import check_unique
from affectome.errors import InputError
from affectome.neural.maps._write import place_of
from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.recordings._lattice import lattice_shift

__all__ = ["GroupMap", "average_maps", "common_geometry"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroupMap:
    """What a group's maps have in common, voxel by voxel.

    It describes these people; it tests nothing.

    Attributes
    ----------
    geometry : VolumeGrid or SurfaceMesh
        The voxels that all have.
    subjects : tuple of str
    mean : float32 array of shape (n_voxels,)
        Over the people in whom the voxel has a value; NaN where nobody has one.
    sd : float32 array of shape (n_voxels,)
        The same with n - 1 below the sum; NaN where fewer than two have a value.
    n_defined : int array of shape (n_voxels,)
        How many have one.
    n_significant : int array of shape (n_voxels,) or None
        In how many the voxel is significant, where that was given.
    """

    geometry: VolumeGrid | SurfaceMesh
    subjects: tuple[str, ...]
    mean: Floats
    sd: Floats
    n_defined: NDArray[np.intp]
    n_significant: NDArray[np.intp] | None = None


def common_geometry(
    recordings: Sequence[Recording],
) -> tuple[VolumeGrid | SurfaceMesh, list[NDArray[np.intp]]]:
    """The voxels that all recordings have, and which columns of each they are.

    Returns
    -------
    geometry : VolumeGrid or SurfaceMesh
        In the order, and on the grid, of the first recording.
    columns : list of intp arrays of shape (n_common,)
        For each recording: ``recording.responses[:, columns]`` are the common voxels.

    Raises
    ------
    InputError
        When a recording is in the person's own space, spaces or grids differ, or no voxel is common to all.

    Examples
    --------
    >>> import pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    >>> def recording(subject, x):
    ...     ijk = np.array([[i, 0, 0] for i in x], np.int32)
    ...     grid = VolumeGrid(ijk, np.eye(4), (9, 1, 1), "MNI152NLin6Asym")
    ...     return Recording(subject, np.zeros((1, len(x)), np.float32), trials, grid)
    >>> geometry, columns = common_geometry([recording("sub-01", [2, 3, 5]), recording("sub-02", [5, 2, 7])])
    >>> geometry.ijk[:, 0], columns
    (array([2, 5], dtype=int32), [array([0, 2]), array([1, 0])])
    """
    if not recordings:
        raise InputError("no recording is given", source="recordings", remedy="give at least one")
    check_unique([recording.subject for recording in recordings], source="recordings")
    for recording in recordings:
        if recording.geometry is None or recording.geometry.space is None:
            raise InputError(
                f"the recording of {recording.subject} is in the person's own space",
                source=recording.source or recording.subject,
                remedy="compare people by region, or bring their recordings into one space first",
            )
    keys = [_keys(recordings[0], recording) for recording in recordings]
    shared = keys[0]
    for other in keys[1:]:
        shared = shared[np.isin(shared, other)]
    if not len(shared):
        raise InputError(
            f"no voxel is common to all {len(recordings)} recordings",
            source="recordings",
            remedy="check that they show the same part of the brain",
        )
    columns = []
    for key in keys:
        order = np.argsort(key, kind="stable")
        columns.append(order[np.searchsorted(key, shared, sorter=order)])
    first = recordings[0].geometry
    assert first is not None  # refused above
    return first.select(columns[0]), columns


def average_maps(
    maps: Mapping[str, ArrayLike],
    recordings: Sequence[Recording],
    *,
    significant: Mapping[str, ArrayLike] | None = None,
) -> GroupMap:
    """Average the maps of several people in one common space.

    Parameters
    ----------
    maps : mapping from subject to array of shape (n_voxels of the recording,)
    recordings
        Of the same subjects, all in one space (:func:`common_geometry`).
    significant : mapping from subject to bool array of shape (n_voxels of the recording,), optional
        Which voxels are significant in each, by a test and correction of the caller's.

    Raises
    ------
    InputError
        When subjects differ, a map does not fit its recording, or there is no common space.
    """
    geometry, columns = common_geometry(recordings)
    subjects = tuple(recording.subject for recording in recordings)
    values = _stacked(maps, recordings, columns, "maps").astype(np.float64)
    defined = ~np.isnan(values)
    n_defined = defined.sum(axis=0)
    filled = np.where(defined, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / n_defined
        squares = (np.where(defined, values - mean, 0.0) ** 2).sum(axis=0)
        sd = np.where(n_defined > 1, np.sqrt(squares / (n_defined - 1)), np.nan)
    counts = None
    if significant is not None:
        given = _stacked(significant, recordings, columns, "significant")
        if given.dtype != np.bool_:
            raise InputError("what is significant is no mask", source="significant", remedy="give one bool per voxel")
        counts = np.count_nonzero(given, axis=0)
    return GroupMap(geometry, subjects, mean.astype(np.float32), sd.astype(np.float32), n_defined, counts)


def _keys(first: Recording, recording: Recording) -> NDArray[np.int64]:
    """One number per voxel, the same for the same place in all recordings."""
    reference, geometry = first.geometry, place_of(recording)[1]
    if isinstance(geometry, VolumeGrid) and isinstance(reference, VolumeGrid) and geometry.space == reference.space:
        shift = lattice_shift(geometry, reference.affine)
        if shift is not None:
            # Volumes can be cut out differently, so indices may lie outside the first one.
            i, j, k = (geometry.ijk.astype(np.int64) + shift).T
            keys: NDArray[np.int64] = (i << 42) + (j << 21) + k
            return keys
    if (
        isinstance(geometry, SurfaceMesh)
        and isinstance(reference, SurfaceMesh)
        and (geometry.space, geometry.mesh_sizes) == (reference.space, reference.mesh_sizes)
    ):
        return geometry.vertices.astype(np.int64) + np.where(geometry.right, geometry.mesh_sizes[0], 0)
    raise InputError(
        f"the recordings of {first.subject} and {recording.subject} have different spaces or grids",
        source=recording.source or recording.subject,
        remedy="bring them onto one grid of one space",
    )


def _stacked(
    maps: Mapping[str, ArrayLike], recordings: Sequence[Recording], columns: Sequence[NDArray[np.intp]], what: str
) -> NDArray[np.generic]:
    subjects = {recording.subject for recording in recordings}
    if set(maps) != subjects:
        lone = sorted(set(maps) ^ subjects)[0]
        raise InputError(
            f"{lone} has {'a map and no recording' if lone in maps else 'a recording and no map'}",
            source=what,
            remedy="give both for every subject",
        )
    rows = []
    for recording, chosen in zip(recordings, columns, strict=True):
        values = np.asarray(maps[recording.subject])
        if values.shape != (recording.n_voxels,):
            raise InputError(
                f"the map of {recording.subject} has the shape {values.shape} for {recording.n_voxels} voxels",
                source=what,
                remedy="give one value per voxel",
            )
        rows.append(values[chosen])
    return np.stack(rows)
