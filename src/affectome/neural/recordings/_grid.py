"""From the millimetres of voxels to a grid."""

from __future__ import annotations

import logging
import os

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.recordings._recording import VolumeGrid

logger = logging.getLogger(__name__)

__all__ = ["TOLERANCE_MM", "grid_from_coordinates"]

Floats = NDArray[np.float64]
Source = str | os.PathLike[str]

#: How far a voxel may lie from its place on the grid.
TOLERANCE_MM = 0.1
_SMALLEST_STEP_MM = 2 * TOLERANCE_MM  # below it any set of points would fit a grid


def grid_from_coordinates(
    millimetres: Floats, indices: Floats | None = None, *, source: Source, space: str | None = None
) -> VolumeGrid | None:
    """The grid on which voxels lie.

    Parameters
    ----------
    millimetres : float array of shape (n_voxels, 3)
        Centres of the voxels.
    indices : float array of shape (n_voxels, 3), optional
        Their places in the volume. Without them the steps of the millimetres along each axis give them, which needs
        a grid along the axes of the millimetres.
    source
        File, for messages.
    space
        Name of the space.

    Returns
    -------
    VolumeGrid or None
        None, with a logged warning, where the voxels lie on a line or a point, which fixes no volume. The affine is
        the least-squares fit from indices to millimetres. In a single slice the third axis is at right angles to the
        other two with the mean of their steps. The volume is just large enough for the voxels.

    Raises
    ------
    InputError
        Where a voxel has no coordinates, two have the same, or one lies further than 0.1 mm from the grid.
    """
    _check_present(millimetres, "coordinates", source)
    if indices is None:
        indices = _indices_by_steps(millimetres, source)
    else:
        _check_present(indices, "indices", source)
        if np.any(indices != np.round(indices)):
            raise InputError(
                "voxel indices are no whole numbers", source=source, remedy="give i, j, k as whole numbers"
            )
    indices = indices - np.minimum(indices.min(axis=0), 0)
    ijk = indices.astype(np.int32)
    _check_apart(ijk, source)
    affine = _fitted_affine(indices, millimetres)
    if affine is None:
        logger.warning("%s: the voxels lie on a line, so their volume is unknown and no map can be drawn.", source)
        return None
    away = np.linalg.norm(indices @ affine[:3, :3].T + affine[:3, 3] - millimetres, axis=1)
    worst = int(away.argmax())
    if away[worst] > TOLERANCE_MM:
        raise InputError(
            f"voxel {worst + 1} lies {away[worst]:.2g} mm from its place on a regular grid",
            source=source,
            remedy="give indices and millimetres of one volume, not of several or warped ones",
        )
    i, j, k = (int(most) + 1 for most in ijk.max(axis=0))
    return VolumeGrid(ijk, affine, (i, j, k), space)


def _check_present(places: Floats, what: str, source: Source) -> None:
    absent = np.flatnonzero(~np.isfinite(places).all(axis=1))
    if len(absent):
        raise InputError(
            f"{len(absent)} of {len(places)} voxels have no {what} (the first is voxel {absent[0] + 1})",
            source=source,
            remedy="leave these voxels out or give their places",
        )


def _check_apart(ijk: NDArray[np.int32], source: Source) -> None:
    _, first, count = np.unique(ijk, axis=0, return_index=True, return_counts=True)
    if count.max() > 1:
        one = int(first[count.argmax()])
        raise InputError(
            f"{count.max()} voxels lie at the same place (one is voxel {one + 1})",
            source=source,
            remedy="give each voxel once",
        )


def _indices_by_steps(millimetres: Floats, source: Source) -> Floats:
    """Count the steps from each place to the next, axis by axis; a step is the mean of the gaps near the smallest."""
    indices = np.zeros_like(millimetres)
    for axis in range(3):
        places, which = np.unique(np.round(millimetres[:, axis], 3), return_inverse=True)
        gaps = np.diff(places)
        wide = gaps[gaps > TOLERANCE_MM]
        if not len(wide):
            continue
        step = float(wide[wide < 1.5 * wide.min()].mean())
        counts = np.round(gaps / step)
        # One voxel out of place would make a finer grid that fits within the tolerance, with most of its steps empty.
        sparse = np.median(counts[counts > 0]) > 1
        if sparse or step < _SMALLEST_STEP_MM or np.abs(gaps - counts * step).max() > 2 * TOLERANCE_MM:
            raise InputError(
                f"the {'xyz'[axis]} coordinates of the voxels follow no regular steps (gaps of {wide.min():.2g} to "
                f"{wide.max():.2g} mm)",
                source=source,
                remedy="give the indices i, j, k of the voxels too",
            )
        indices[:, axis] = np.concatenate([[0.0], np.cumsum(counts)])[which]
    return indices


def _fitted_affine(indices: Floats, millimetres: Floats) -> Floats | None:
    """Least squares around the means; None where the indices span less than a plane."""
    centre, middle = indices.mean(axis=0), millimetres.mean(axis=0)
    spread = indices - centre
    _, sizes, directions = np.linalg.svd(spread, full_matrices=len(spread) < 3)
    rank = int((sizes > 1e-6 * max(sizes.max(), 1.0)).sum())
    if rank < 2:
        return None
    steps = np.linalg.lstsq(spread, millimetres - middle, rcond=1e-6)[0].T
    if rank == 2:
        steps += _across_the_plane(steps, directions[2])
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = middle - steps @ centre
    return affine


def _across_the_plane(steps: Floats, normal: Floats) -> Floats:
    """What voxels in one slice leave open: a step along its `normal` (in indices), at right angles in millimetres."""
    left, sizes, _ = np.linalg.svd(steps)
    direction = left[:, 2] * np.sign(left[np.abs(left[:, 2]).argmax(), 2])
    forward = normal * np.sign(normal[np.abs(normal).argmax()])
    crossing: Floats = sizes[:2].mean() * np.outer(direction, forward)
    return crossing
