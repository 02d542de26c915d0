"""What a searchlight of one person leaves: tables and maps, under one list of names, and what the summary says."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from affectome.errors import InputError
from affectome.study._brain_maps import SIGNIFICANT, MapFolder

if TYPE_CHECKING:
    from affectome.neural.searchlight import Searchlight

logger = logging.getLogger(__name__)

__all__ = ["difference_table", "facts_of", "on_voxels", "regression_table", "write_difference_maps", "write_space_maps"]

_EQUAL = "Both spaces are equally related to the patterns there."


class _Kept(NamedTuple):
    """A field of a searchlight, as its tables and maps call it."""

    field: str
    column: str
    told: str = ""  # of the map; "" where there is none
    tested: bool = False


_OF_SPACE = (
    _Kept("r", "r", "{statistic} correlation of similarities of patterns around the voxel and in the space."),
    _Kept("p", "p", "One-sided p of r.", tested=True),
    _Kept("q", "q", "Benjamini-Hochberg q of p over all centres.", tested=True),
    _Kept("low", "low"),
    _Kept("high", "high"),
    _Kept("p_family", "pfamily", "p of r against the largest r over centres (family-wise).", tested=True),
    _Kept("partial_r", "partial_r", "The same correlation with {controls} held constant."),
    _Kept("partial_p", "partial_p", "One-sided p of it, by the jackknife over stimuli.", tested=True),
    _Kept("partial_q", "partial_q", "Benjamini-Hochberg q of that p over all centres.", tested=True),
    _Kept("partial_low", "partial_low"),
    _Kept("partial_high", "partial_high"),
)
_OF_PAIR = (
    _Kept("difference", "difference", "r of the first minus r of the second space."),
    _Kept("difference_q", "q", "Benjamini-Hochberg q over centres, two-sided, by the jackknife.", tested=True),
    _Kept("partial_difference", "partial_difference", "The same difference with {controls} held constant."),
    _Kept("partial_difference_q", "partial_q", "Benjamini-Hochberg q of that over centres.", tested=True),
)


def on_voxels(found: Searchlight, space: str, n_voxels: int) -> pd.DataFrame:
    """What is known of a space, a row per voxel of the recording."""
    return _laid(found, _OF_SPACE, found.of_space(space), n_voxels)


def _laid(found: Searchlight, kept: tuple[_Kept, ...], column: int, n_voxels: int) -> pd.DataFrame:
    known = {one.column: getattr(found, one.field) for one in kept}
    laid = {
        name: found.on_voxels(values[:, column], n_voxels)
        for name, values in known.items()
        if values is not None and not (name.startswith("partial_") and np.isnan(values[:, column]).all())
    }
    return pd.DataFrame(laid, index=pd.RangeIndex(n_voxels, name="voxel"))


def write_space_maps(maps: MapFolder, found: Searchlight, space: str, n_voxels: int) -> None:
    """Maps of r, p and q of a space, and of the same beyond controls (of which a control has none)."""
    beyond = f"Nothing relates the space to the patterns beyond {', '.join(found.controls)}."
    _write(maps, found, _OF_SPACE, on_voxels(found, space, n_voxels), space, {"": found.null, "partial_": beyond})


def write_difference_maps(maps: MapFolder, found: Searchlight, pair: int, n_voxels: int) -> None:
    """Reference minus another space, and its q; beyond controls, too."""
    name = " minus ".join(found.pairs[pair])
    _write(maps, found, _OF_PAIR, _laid(found, _OF_PAIR, pair, n_voxels), name, {"": _EQUAL, "partial_": _EQUAL})


def _write(
    maps: MapFolder, found: Searchlight, kept: tuple[_Kept, ...], values: pd.DataFrame, name: str, nulls: dict[str, str]
) -> None:
    words = {"statistic": found.statistic.capitalize(), "controls": ", ".join(found.controls)}
    for one in kept:
        if one.told and one.column in values:
            null = nulls["partial_" if one.column.startswith("partial_") else ""]
            maps.write(
                one.column.replace("_", ""), values[one.column], one.told.format(**words), space=name,
                facts={"Null": null} if one.tested else {},
            )  # fmt: skip


def difference_table(found: Searchlight) -> pd.DataFrame:
    """The reference minus each other space: a row per centre (or region) and space."""
    table = found.difference_table().rename(columns={"centre": "voxel", "parcel": "region", "second": "space"})
    return table.rename(columns={"first": "reference"})


def regression_table(found: Searchlight) -> pd.DataFrame | None:
    """Weights of all spaces and controls side by side, a row per centre (or region) and space; None where alone."""
    if len(found.spaces) < 2:
        return None
    try:
        table = found.regression().table
    except InputError as error:
        logger.warning("There is no regression on all spaces together: %s", error)
        return None
    label, places = ("region", found.neighbourhoods.names) if found.neighbourhoods.names else (
        "voxel", found.neighbourhoods.centres)  # fmt: skip
    table[label] = np.repeat(np.asarray(places), len(found.spaces))
    return table[[label, *table.columns[1:-1]]].rename(columns={"model": "space"})


def facts_of(found: Searchlight) -> dict[str, Any]:
    """What the summary says of every space, and of every pair."""
    return {
        "n_centres": len(found.r),
        "n_stimuli": found.n_stimuli,
        "n_pairs": found.n_pairs,
        "median_voxels": float(np.median(found.neighbourhoods.sizes)),
        "statistic": found.statistic,
        "null": found.null,
        "controls": list(found.controls),
        "spaces": {name: _of_space(found, k) for k, name in enumerate(found.spaces)},
        "against": {other: _of_pair(found, k) for k, (_, other) in enumerate(found.pairs)},
    }


def _of_space(found: Searchlight, k: int) -> dict[str, Any]:
    assert found.q is not None  # asked for
    known = found.r[np.isfinite(found.r[:, k]), k]
    told: dict[str, Any] = {
        "n_significant": int((found.q[:, k] < SIGNIFICANT).sum()),
        "median_r": float(np.median(known)) if len(known) else np.nan,
        "largest_r": float(known.max()) if len(known) else np.nan,
    }
    if found.partial_r is not None and found.spaces[k] not in found.controls:
        beyond = found.partial_r[np.isfinite(found.partial_r[:, k]), k]
        told["median_partial_r"] = float(np.median(beyond)) if len(beyond) else np.nan
        told["largest_partial_r"] = float(beyond.max()) if len(beyond) else np.nan
        if found.partial_q is not None:
            told["n_beyond"] = int((found.partial_q[:, k] < SIGNIFICANT).sum())
    return told


def _of_pair(found: Searchlight, k: int) -> dict[str, Any]:
    told = {}
    for kind, suffix in (("", ""), ("partial_", "_beyond")):
        difference, q = getattr(found, f"{kind}difference"), getattr(found, f"{kind}difference_q")
        if difference is not None:
            sure = q[:, k] < SIGNIFICANT
            told[f"n_above{suffix}"] = int((sure & (difference[:, k] > 0)).sum())
            told[f"n_below{suffix}"] = int((sure & (difference[:, k] < 0)).sum())
    return told
