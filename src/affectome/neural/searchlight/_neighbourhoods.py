"""Which voxels belong together: spheres in a volume, and regions."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings import VolumeGrid
from affectome.neural.searchlight._inputs import Neighbourhoods
from affectome.neural.searchlight._io import cached, content_key

__all__ = ["chosen_centres", "parcel_neighbourhoods", "smallest_size", "sphere_neighbourhoods", "told_of_small"]

logger = logging.getLogger(__name__)

Ints = NDArray[np.int32]

_FEWEST = 3  # the correlation of two patterns of two voxels is 1 or -1
_USUAL = 10
_BLOCK = 2**22  # places of a volume looked up at once


def sphere_neighbourhoods(
    grid: VolumeGrid,
    radius: float = 3.0,
    *,
    unit: Literal["voxel", "mm"] = "voxel",
    centres: ArrayLike | None = None,
    min_voxels: int | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Neighbourhoods:
    """Spheres around the voxels of a recording, of those voxels that it has.

    A voxel belongs to a centre where its centre is at most `radius` away. In voxels, the distance is that of the
    indices, whatever the size of a voxel; in millimetres it is that of the affine, so that voxels that are not cubes
    give spheres of other counts along other axes.

    Parameters
    ----------
    grid : VolumeGrid
        Of the recording; its voxels are the mask.
    radius : float
        3 voxels make 123 where none is outside the mask.
    unit
    centres : bool array of shape (n_voxels,), or columns; optional
        Where spheres are wanted; by default at every voxel.
    min_voxels : int, optional
        Centres with fewer are left out, and the log says how many. By default 10, or half of a whole sphere where that
        is less, and never below 3.
    cache : folder, optional
        Keeps what was made, under a name made of the content of all that decides it.

    Returns
    -------
    Neighbourhoods
        Centres in the order of the columns.

    Raises
    ------
    InputError
        Where the radius holds no neighbour, two voxels lie in one place, or no centre has enough voxels.

    Notes
    -----
    Offsets on the lattice looked up in a volume of columns: 100,000 spheres of 123 voxels take less than a second and
    4 bytes per voxel of each sphere (49 MB); beyond that, 4 bytes per place of the volume and 50 MB.

    Examples
    --------
    >>> places = np.argwhere(np.ones((9, 9, 9), bool)).astype(np.int32)
    >>> spheres = sphere_neighbourhoods(VolumeGrid(places, np.eye(4), (9, 9, 9)), 3)
    >>> len(spheres), int(spheres.sizes.max()), int(spheres.sizes.min())
    (729, 123, 29)
    """
    if unit not in ("voxel", "mm"):
        raise InputError(f"unit='{unit}' is no unit of a radius", remedy="choose voxel or mm")
    offsets = _offsets(np.eye(3) if unit == "voxel" else grid.affine[:3, :3], radius, unit)
    columns = chosen_centres(centres, len(grid))
    fewest = smallest_size(min_voxels, len(offsets))

    def make() -> Neighbourhoods:
        sizes, voxels = _looked_up(grid, columns, offsets)
        kept = sizes >= fewest
        starts = np.concatenate([[0], np.cumsum(sizes[kept])]).astype(np.int64)
        inside = voxels if kept.all() else voxels[np.repeat(kept, sizes)]
        left_out = int((~kept).sum())
        return Neighbourhoods(starts, inside, columns[kept], radius=float(radius), unit=unit, n_left_out=left_out)

    key = content_key("sphere", grid.ijk, grid.affine, np.array(grid.shape), columns, f"{radius} {unit} {fewest}")
    return told_of_small(cached(cache, key, make), fewest)


def parcel_neighbourhoods(rois: Mapping[str, NDArray[np.bool_]], *, min_voxels: int = _FEWEST) -> Neighbourhoods:
    """Regions in the place of spheres, which makes a searchlight an analysis of regions.

    Parameters
    ----------
    rois : mapping from name to bool array of shape (n_voxels,)
        Such as the regions of a recording; they may overlap.
    min_voxels : int
        Regions with fewer are left out, and the log names them.

    Returns
    -------
    Neighbourhoods
        One per region, in their order; `names` says which.

    Raises
    ------
    InputError
        Without regions, or where masks are not of one length or hold too few voxels.

    Examples
    --------
    >>> left = np.arange(10) < 4
    >>> parcels = parcel_neighbourhoods({"left": left, "right": ~left})
    >>> parcels.names, parcels[1].tolist()
    (('left', 'right'), [4, 5, 6, 7, 8, 9])
    """
    if not rois:
        raise InputError("there are no regions", remedy="read an atlas first (read_regions)")
    lengths = {name: np.shape(roi) for name, roi in rois.items()}
    odd = [name for name, shape in lengths.items() if shape != next(iter(lengths.values())) or len(shape) != 1]
    if odd:
        raise InputError(
            f"the regions {cut_short(odd)} are no masks over the same voxels", remedy="give one bool per voxel"
        )
    columns = {name: np.flatnonzero(roi).astype(np.int32) for name, roi in rois.items()}
    fewest = smallest_size(min_voxels, min_voxels)
    small = [name for name, inside in columns.items() if len(inside) < fewest]
    kept = {name: inside for name, inside in columns.items() if name not in set(small)}
    if not kept:
        raise InputError(f"no region has {fewest} voxels", remedy="take larger regions, or a smaller min_voxels")
    if small:
        logger.warning(
            "%d regions have fewer than %d voxels and were left out: %s.", len(small), fewest, cut_short(small)
        )
    starts = np.concatenate([[0], np.cumsum([len(inside) for inside in kept.values()])]).astype(np.int64)
    return Neighbourhoods(starts, np.concatenate(list(kept.values())), names=tuple(kept), n_left_out=len(small))


def chosen_centres(centres: ArrayLike | None, n_voxels: int) -> Ints:
    """Columns at which neighbourhoods are wanted, ascending."""
    if centres is None:
        return np.arange(n_voxels, dtype=np.int32)
    asked = np.asarray(centres)
    if asked.dtype == np.bool_ and asked.shape == (n_voxels,):
        asked = np.flatnonzero(asked)
    whole = asked.ndim == 1 and np.issubdtype(asked.dtype, np.integer)
    if not whole or not asked.size or asked.min() < 0 or asked.max() >= n_voxels:
        raise InputError(
            f"the centres are no places among the {n_voxels} voxels",
            remedy=f"give a mask of {n_voxels} bool with at least one True, or columns from 0 to {n_voxels - 1}",
        )
    return np.unique(asked).astype(np.int32)


def smallest_size(min_voxels: int | None, whole: int) -> int:
    """Voxels that a centre needs: 10, or half of a `whole` neighbourhood where that is less, unless told."""
    if min_voxels is None:
        return max(_FEWEST, min(_USUAL, whole // 2))
    if min_voxels < 2:
        raise InputError(f"min_voxels={min_voxels} makes no pattern", remedy="use 2 or more")
    return min_voxels


def told_of_small(made: Neighbourhoods, fewest: int) -> Neighbourhoods:
    """Say how many centres were left out; refuse where none is left."""
    if not len(made):
        raise InputError(
            f"none of {made.n_left_out} centres has {fewest} voxels around it",
            remedy="use a larger radius or a smaller min_voxels",
        )
    if made.n_left_out:
        logger.warning("%d centres have fewer than %d voxels around them and were left out.", made.n_left_out, fewest)
    return made


def _offsets(steps: NDArray[np.float64], radius: float, unit: str) -> Ints:
    """Steps on the lattice that are no longer than the radius; `steps` turns indices into the unit of the radius."""
    if not np.isfinite(radius) or radius <= 0:
        raise InputError(f"radius={radius} {unit} holds nothing", remedy="use a radius above 0")
    # |index| <= radius * |row of the inverse|: how far a sphere reaches along each axis of a sheared lattice
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(steps), axis=1) + 1e-6).astype(int)
    box = np.stack(np.meshgrid(*[np.arange(-far, far + 1) for far in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.linalg.norm(box @ steps.T, axis=1) <= radius * (1 + 1e-6)  # affines are rounded when they are stored
    if inside.sum() < 2:
        raise InputError(f"a radius of {radius} {unit} holds one voxel", remedy="use a larger one")
    offsets: Ints = box[inside].astype(np.int32)
    return offsets


def _looked_up(grid: VolumeGrid, columns: Ints, offsets: Ints) -> tuple[NDArray[np.int64], Ints]:
    """Size of each sphere, and the columns in all of them."""
    edge = np.abs(offsets).max(axis=0)
    low = grid.ijk.min(axis=0) - edge
    shape = grid.ijk.max(axis=0) + edge - low + 1
    nowhere = np.iinfo(np.int32).max  # sorts last
    table = np.full(int(np.prod(shape, dtype=np.int64)), nowhere, np.int32)
    strides = np.array([shape[1] * shape[2], shape[2], 1], np.int64)
    place = (grid.ijk - low) @ strides
    table[place] = np.arange(len(grid), dtype=np.int32)
    if int((table != nowhere).sum()) < len(grid):
        raise InputError("two voxels lie at the same place", remedy="give each voxel once")
    steps = offsets @ strides
    sizes, parts = [], []
    block = max(1, _BLOCK // len(steps))
    for start in range(0, len(columns), block):
        found = table[place[columns[start : start + block], None] + steps]
        found.sort(axis=1)
        inside = found != nowhere
        sizes.append(inside.sum(axis=1))
        parts.append(found[inside])
    return np.concatenate(sizes), np.concatenate(parts)
