"""Masks and regions that users give, checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["checked_mask", "checked_regions"]


def checked_mask(mask: NDArray[np.bool_] | None, n_voxels: int, *, source: str | None = None) -> NDArray[np.bool_]:
    """A bool for every voxel; all of them where there is no mask."""
    chosen: NDArray[np.bool_] = np.ones(n_voxels, np.bool_) if mask is None else np.asarray(mask)
    if chosen.dtype != np.bool_ or chosen.shape != (n_voxels,):
        raise InputError(
            f"the mask has the type {chosen.dtype} and the shape {chosen.shape}",
            source=source,
            remedy=f"give one bool for each of the {n_voxels} voxels",
        )
    return chosen


def checked_regions(
    regions: Mapping[str, NDArray[np.bool_]], n_voxels: int, *, source: str | None = None
) -> Mapping[str, NDArray[np.bool_]]:
    """These regions, each a mask over the voxels."""
    wrong = [
        name
        for name, roi in regions.items()
        if np.shape(roi) != (n_voxels,) or getattr(roi, "dtype", None) != np.dtype(bool)
    ]
    if wrong:
        raise InputError(
            f"the regions {cut_short(wrong)} are no masks over {n_voxels} voxels",
            source=source,
            remedy="give one bool per voxel",
        )
    return regions
