"""Two spaces centre by centre, described: in how many centres one is above the other, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.neural.searchlight._result import Searchlight

__all__ = ["CentrePair", "centre_pair"]


@dataclass(frozen=True, eq=False)
class CentrePair:
    """The scores of two spaces in every centre, for :func:`affectome.plotting.plot_voxel_scatter`.

    Attributes
    ----------
    subject, first, second : str
        The person, and the names of the spaces.
    statistic : str
        Of the scores.
    voxels : DataFrame of n_centres rows, or one per voxel of the recording
        ``r_first``, ``r_second``, ``difference``; NaN where a score is undefined.
    regions : DataFrame, one row ``"all"``
        ``n_voxels`` (centres with both scores), means ``r_first`` and ``r_second``; ``share_above``, of centres whose
        `r_first` is the larger one (ties count half); ``slope`` of the major axis of r_first (up) over r_second, NaN
        where the two are not positively related.
    """

    subject: str
    first: str
    second: str
    statistic: str
    voxels: pd.DataFrame
    regions: pd.DataFrame


def centre_pair(found: Searchlight, first: str, second: str, *, n_voxels: int | None = None) -> CentrePair:
    """Hold the scores of two spaces against each other, centre by centre.

    It describes; nothing is tested. Spheres share voxels, so that centres are not independent, and neither the share
    nor the slope has an interval here. ``found.difference`` is tested in every centre.

    Parameters
    ----------
    found : Searchlight
    first, second : str
        Two of its spaces.
    n_voxels
        Of the recording: scores are laid out on its voxels, for :func:`affectome.plotting.plot_difference_map`, NaN
        where no centre is. By default a row per centre.

    Returns
    -------
    CentrePair

    Raises
    ------
    InputError
        For a space that it does not hold.
    """
    both = [found.r[:, found.of_space(name)] for name in (first, second)]
    if n_voxels is not None:
        both = [found.on_voxels(scores, n_voxels) for scores in both]
    voxels = pd.DataFrame({"r_first": both[0], "r_second": both[1], "difference": both[0] - both[1]})
    known = voxels.dropna().to_numpy(np.float64)
    row = {
        "n_voxels": len(known),
        "r_first": known[:, 0].mean() if len(known) else np.nan,
        "r_second": known[:, 1].mean() if len(known) else np.nan,
        "share_above": ((np.sign(known[:, 2]) + 1) / 2).mean() if len(known) else np.nan,
        "slope": _major_axis(known[:, 0], known[:, 1]) if len(known) > 2 else np.nan,
    }
    return CentrePair(found.subject, first, second, found.statistic, voxels, pd.DataFrame([row], index=["all"]))


def _major_axis(up: NDArray[np.float64], along: NDArray[np.float64]) -> float:
    """Slope of the line with the least perpendicular distances."""
    (a, shared), (_, b) = np.cov(up, along)
    if not shared > 0:
        return float("nan")
    return float((a - b + np.hypot(a - b, 2 * shared)) / (2 * shared))
