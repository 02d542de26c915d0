"""Whether two volumes have their voxels in the same places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affectome.neural.recordings._recording import VolumeGrid

__all__ = ["lattice_shift"]

_TOLERANCE_MM = 0.1


def lattice_shift(grid: VolumeGrid, affine: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """How many steps lie between the first voxels of two volumes on one lattice.

    Volumes of one lattice can be cut out differently: a file of voxels and coordinates says nothing of the empty rest.

    Returns
    -------
    intp array of shape (3,), or None
        What to add to the indices of `grid` to get those of a volume with this affine; None where the voxels of the
        two, turned, flipped, of another size or between each other, are more than 0.1 mm apart anywhere in the grid.
    """
    shift = np.rint(np.linalg.solve(affine[:3, :3], grid.affine[:3, 3] - affine[:3, 3]))
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in grid.shape])).reshape(3, -1).T
    there = (corners + shift) @ affine[:3, :3].T + affine[:3, 3]
    here = corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    apart = np.linalg.norm(there - here, axis=1).max()
    return shift.astype(np.intp) if apart <= _TOLERANCE_MM else None
