"""A map, summarised by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError

__all__ = ["REGION_STATISTICS", "summarise_regions"]

Floats = NDArray[np.float64]


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


#: What can be said of the values of a region; each gets the defined ones alone.
REGION_STATISTICS: Mapping[str, Callable[[Floats], float]] = MappingProxyType(
    {
        "mean": lambda values: float(values.mean()),
        "sd": _sd,
        "min": lambda values: float(values.min()),
        "median": lambda values: float(np.median(values)),
        "max": lambda values: float(values.max()),
    }
)


def summarise_regions(
    values: ArrayLike | pd.DataFrame,
    rois: Mapping[str, NDArray[np.bool_]],
    *,
    statistics: Sequence[str] = ("mean", "sd", "max"),
) -> pd.DataFrame:
    """Describe a map, or several, region by region.

    Voxels without a value (NaN: constant in the recording, say) are left out and counted. This describes the voxels
    of a region; it says nothing about other people or other runs, and the s.d. over voxels, whose values depend on
    each other, gives no standard error.

    Parameters
    ----------
    values : array of shape (n_voxels,), or DataFrame of n_voxels rows and one column per map
    rois : mapping from name to bool array of shape (n_voxels,)
    statistics
        Any of ``mean``, ``sd`` (n - 1 below the sum; NaN for a single voxel), ``min``, ``median``, ``max``.

    Returns
    -------
    DataFrame, index the regions (for several maps: map, region), with columns

        ``n_voxels``, ``n_defined``, ``undefined`` (share of the voxels without a value, 0..1), and the statistics,
        NaN where no voxel has a value

    Examples
    --------
    >>> summarise_regions([0.1, 0.3, np.nan, 0.4], {"MST": np.array([True, True, True, False])})
            n_voxels  n_defined  undefined  mean        sd  max
    region
    MST            3          2   0.333333   0.2  0.141421  0.3
    """
    unknown = [name for name in statistics if name not in REGION_STATISTICS]
    if unknown or not len(statistics):
        raise InputError(
            f"there is no statistic '{unknown[0]}'" if unknown else "no statistic is asked for",
            source="statistics",
            remedy=f"use {', '.join(REGION_STATISTICS)}",
        )
    if not rois:
        raise InputError("there is no region to summarise by", source="rois", remedy="give the recording regions")
    if not isinstance(values, pd.DataFrame):
        return _one_map(np.asarray(values, np.float64), rois, statistics, "the map")
    if values.shape[1] == 0:
        raise InputError("the table holds no map", source="values", remedy="give one column per map")
    maps = {
        name: _one_map(values.iloc[:, k].to_numpy(np.float64), rois, statistics, f"the map '{name}'")
        for k, name in enumerate(values.columns)
    }
    if len(maps) < values.shape[1]:
        raise InputError("two maps have the same name", source="values", remedy="rename one of them")
    return pd.concat(maps, names=["map"])


def _one_map(
    values: Floats, rois: Mapping[str, NDArray[np.bool_]], statistics: Sequence[str], what: str
) -> pd.DataFrame:
    if values.ndim != 1:
        raise InputError(
            f"the values have the shape {values.shape}", source="values", remedy="give one per voxel, or a DataFrame"
        )
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise InputError(f"{what} is infinite in {infinite} voxels", source="values", remedy="make them NaN")
    rows = []
    for name, mask in rois.items():
        if mask.shape != values.shape or mask.dtype != np.bool_:
            raise InputError(
                f"the region '{name}' is no mask over the {len(values)} voxels of {what}",
                source="rois",
                remedy="use the regions of the same recording",
            )
        inside = values[mask]
        defined = inside[~np.isnan(inside)]
        share = 1 - len(defined) / len(inside) if len(inside) else np.nan
        found = [REGION_STATISTICS[key](defined) if len(defined) else np.nan for key in statistics]
        rows.append([len(inside), len(defined), share, *found])
    index = pd.Index(list(rois), name="region")
    return pd.DataFrame(rows, index=index, columns=["n_voxels", "n_defined", "undefined", *statistics])
