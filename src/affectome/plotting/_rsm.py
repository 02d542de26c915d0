"""The three-panel figure of RSMs: measured, predicted, and pair against pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectome.behavior import RSMAgreement
from affectome.plotting._lettering import drawable
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, house_style

__all__ = ["plot_rsm"]

_SCATTERED = 10_000  # pairs up to which each is a dot


def plot_rsm(
    measured: pd.DataFrame,
    predicted: pd.DataFrame,
    agreement: RSMAgreement,
    *,
    order: Sequence[str] | None = None,
    groups: pd.Series[str] | None = None,
    ordered_by: str = "",
) -> Figure:
    """A measured and a predicted RSM in one order and on one colour scale, and all pairs of both.

    White cells were never asked (and the diagonal is no pair). The dashed line is where both are equal.

    Parameters
    ----------
    measured, predicted : DataFrame of shape (n, n)
        Over the same stimuli.
    agreement
        Of the two, as :func:`affectome.behavior.rsm_agreement` gives it.
    order
        Ids in the order drawn, such as :func:`affectome.behavior.rsm_order` gives; by default that of `measured`.
    groups : Series, index stimulus ids
        What lies together in that order; groups are set apart by lines, and those that take enough room are named.
        Stimuli without one have no name.
    ordered_by
        What the order follows, for the label of the axes.
    """
    ids = [str(i) for i in measured.index] if order is None else list(order)
    named = (rsm.rename(index=str, columns=str) for rsm in (measured, predicted))
    grids = [rsm.loc[ids, ids].to_numpy(dtype=np.float64) for rsm in named]
    off = ~np.eye(len(ids), dtype=bool)
    low = min(np.nanmin(grid[off]) for grid in grids)
    high = max(np.nanmax(grid[off]) for grid in grids)
    label = f"{len(ids):,} stimuli" + (f", by {ordered_by}" if ordered_by else "")
    with house_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.8), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for ax, grid, title in ((left, grids[0], "Measured"), (middle, grids[1], "Predicted")):
            shown = np.where(off, grid, np.nan)
            image = ax.imshow(shown, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
            ax.set_title(title)
            ax.set_xticks([])
            ax.set_yticks([])
            ax.set_xlabel(label, fontsize=7)
            ax.spines[:].set_visible(False)
        if groups is not None:
            _draw_groups(left, middle, groups.reindex(ids).fillna("").astype(str).tolist())
        bar = figure.colorbar(image, cax=middle.inset_axes((1.04, 0, 0.05, 1)))
        bar.set_label("Share kept together")
        bar.outline.set_visible(False)
        above = np.triu_indices(len(ids), 1)
        _draw_pairs(right, grids[0][above], grids[1][above], agreement)
    return figure


def _draw_groups(left: Axes, middle: Axes, groups: list[str]) -> None:
    n = len(groups)
    edges = [k for k in range(n + 1) if k in (0, n) or groups[k] != groups[k - 1]]
    for ax in (left, middle):
        for edge in edges[1:-1]:
            ax.axhline(edge - 0.5, color="white", linewidth=0.4)
            ax.axvline(edge - 0.5, color="white", linewidth=0.4)
    room = [(start, stop) for start, stop in pairwise(edges) if stop - start >= 0.055 * n]
    left.set_yticks(
        [(start + stop - 1) / 2 for start, stop in room], labels=[drawable(groups[start]) for start, _ in room]
    )
    left.tick_params(length=0)


def _draw_pairs(
    ax: Axes, measured: NDArray[np.float64], predicted: NDArray[np.float64], agreement: RSMAgreement
) -> None:
    both = ~(np.isnan(measured) | np.isnan(predicted))
    x, y = measured[both], predicted[both]
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    margin = 0.04 * (high - low)
    limits = (low - margin, high + margin)
    if len(x) <= _SCATTERED:
        ax.scatter(x, y, s=3, color=OKABE_ITO[0], alpha=0.35, linewidths=0)
    else:
        drawn = ax.hexbin(
            x, y, gridsize=60, bins="log", cmap="Blues", mincnt=1, linewidths=0, extent=(*limits, *limits)
        )
        drawn.set_rasterized(True)
    ax.plot(limits, limits, color="0.3", linestyle="--", linewidth=0.8)
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    ax.set_box_aspect(1)
    ax.set_xlabel("Measured")
    ax.set_ylabel("Predicted")
    found = agreement.pearson
    digits = 3 if abs(found.r) < 0.99 else 4
    ax.set_title(
        f"r = {found.r:.{digits}f} [{found.ci_low:.{digits}f}, {found.ci_high:.{digits}f}]\n"
        f"{len(x):,} pairs, {100 * agreement.level:g}% over stimuli",
        fontsize=7,
    )
