"""Two spaces voxel by voxel: how many lie above the diagonal, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, figure_of, house_style, new_axes

if TYPE_CHECKING:
    from affectome.neural.encoding import EncodingDifference
    from affectome.neural.searchlight import CentrePair

__all__ = ["plot_voxel_scatter"]

_SCATTERED = 2_000  # voxels up to which each is a dot


def plot_voxel_scatter(
    result: EncodingDifference | CentrePair,
    labels: Mapping[str, str] | None = None,
    *,
    voxels: np.ndarray | None = None,
    region: str = "all",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the score of every voxel under two spaces against each other: held-out r, or r of a searchlight.

    The dashed line is where both are equal, the solid one has the slope of the result through the means. The title
    gives the share of voxels above the diagonal and the slope, with the intervals of the result; centres of a
    searchlight share voxels, and have none.

    Parameters
    ----------
    result : EncodingDifference, or CentrePair
    labels
        What spaces are called; by default their names.
    voxels : bool array of shape (n_voxels,)
        Voxels to draw: those of `region`; by default all with a correlation. The numbers are those of the result.
    region
        The row of ``result.regions`` whose numbers are given.
    title
        Goes above them.
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    from affectome.neural.searchlight import CentrePair

    if region not in result.regions.index:
        raise InputError(f"the comparison has no region '{region}'", remedy="use one of its table `regions`")
    found = result.regions.loc[[region]].iloc[0].to_dict()
    table = result.voxels if voxels is None else result.voxels[np.asarray(voxels)]
    both = table[["r_second", "r_first"]].dropna().to_numpy(np.float64)
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, COLUMN_WIDTH * 0.98))
        low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 1.0)
        margin = 0.04 * ((high - low) or 1)
        limits = (low - margin, high + margin)
        if len(both) <= _SCATTERED:
            ax.scatter(both[:, 0], both[:, 1], s=4, color=OKABE_ITO[0], alpha=0.35, linewidths=0, gid="voxels")
        else:
            drawn = ax.hexbin(both[:, 0], both[:, 1], gridsize=55, bins="log", cmap="cividis_r", mincnt=1, linewidths=0,
                              extent=(*limits, *limits), gid="voxels")  # fmt: skip
            drawn.set_rasterized(True)
            bar = figure_of(ax).colorbar(drawn, ax=ax, fraction=0.046, pad=0.03)
            bar.set_label("Voxels in a cell")
            powers = [10**k for k in range(7) if 10**k <= np.asarray(drawn.get_array()).max()]
            bar.set_ticks(powers, labels=[f"{power:,}" for power in powers], minor=False)
            bar.ax.tick_params(which="minor", length=0)
            bar.outline.set_visible(False)
        ax.plot(limits, limits, color="0.3", linestyle="--", linewidth=0.8, gid="equal")
        if np.isfinite(found["slope"]):
            ax.axline((found["r_second"], found["r_first"]), slope=found["slope"], color=OKABE_ITO[1], linewidth=1,
                      gid="slope")  # fmt: skip
        ax.set_xlim(limits)
        ax.set_ylim(limits)
        ax.set_box_aspect(1)
        names = [drawable((labels or {}).get(name, name)) for name in (result.second, result.first)]
        if isinstance(result, CentrePair):
            score, said = f"{result.statistic.capitalize()} RSA r", _described(found, names[1])
        else:
            score, said = "Held-out r", _said(found, names[1], result.level)
        ax.set_xlabel(f"{score}, {names[0]}")
        ax.set_ylabel(f"{score}, {names[1]}")
        ax.set_title("\n".join(([drawable_lines(title)] if title else []) + said), fontsize=7, loc="left")
        if not len(both):
            ax.text(0.5, 0.5, "no voxel has both correlations", transform=ax.transAxes, ha="center", fontsize=7)
    return figure_of(ax)


def _described(found: Mapping[Any, float], first: str) -> list[str]:
    given = "" if np.isnan(found["slope"]) else f"; slope {found['slope']:.2f}"
    higher = "" if np.isnan(found["share_above"]) else f"; {first} higher in {found['share_above']:.0%}"
    return [f"{int(found['n_voxels']):,} centres{higher}{given}"]


def _said(found: Mapping[Any, float], first: str, level: float) -> list[str]:
    low, high = found["share_low"], found["share_high"]
    share = f"{first} higher in {found['share_above']:.0%} [{low:.0%}, {high:.0%}]"
    slope = f"slope {found['slope']:.2f} [{found['slope_low']:.2f}, {found['slope_high']:.2f}]"
    given = "" if np.isnan(found["slope"]) else f"; {slope}"
    return [f"{int(found['n_voxels']):,} voxels; {share}", f"{100 * level:g}% intervals over runs{given}"]
