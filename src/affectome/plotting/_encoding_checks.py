"""Looks at an encoding before it is believed: which penalties were chosen, and whether p values behave."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from affectome.errors import InputError
from affectome.neural.encoding import Encoding
from affectome.plotting._lettering import drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, figure_of, house_style, new_axes

__all__ = ["plot_alphas", "plot_p_values"]


def plot_alphas(encoding: Encoding, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw how often every alpha of the grid was chosen, over voxels and outer folds; the ends of the grid stand out.

    Many choices at the lowest or the highest alpha say that the grid is too short. Voxels without signal choose the
    highest, whatever the grid.

    Parameters
    ----------
    encoding : Encoding
    title
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    alphas = np.sort(encoding.alphas)
    chosen = encoding.alpha[np.isfinite(encoding.alpha)].astype(np.float64)
    edges = np.concatenate([[0], np.sqrt(alphas[1:] * alphas[:-1]), [np.inf]])  # float32 choices near the float64 grid
    shares = np.histogram(chosen, edges)[0] / max(len(chosen), 1)
    colours = ["0.45"] * len(alphas)
    colours[0] = colours[-1] = OKABE_ITO[1]
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.1))
        ax.bar(range(len(alphas)), shares, width=0.8, color=colours)
        steps = max(1, -(-len(alphas) // 6))
        ax.set_xticks(range(0, len(alphas), steps), labels=[f"{float(f'{alpha:.2g}'):,g}" for alpha in alphas[::steps]])
        ax.set_xlabel("Alpha")
        ax.set_ylabel("Share of choices\n(voxels × outer folds)")
        low, high = encoding.edges
        ax.set_title("\n".join(([drawable_lines(title)] if title else [])
                               + [f"{low:.0%} at the lowest, {high:.0%} at the highest alpha"]),
                     loc="left", fontsize=7)  # fmt: skip
    return figure_of(ax)


def plot_p_values(
    p: ArrayLike, *, null: bool = False, n_bins: int = 20, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw the histogram of p values; the dashed line is where all would lie were there nothing.

    Parameters
    ----------
    p : float array
        One per voxel; NaN are left out.
    null
        Whether they come from data without an effect: then the share at .05 and .01 is what is read.
    n_bins
    title
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    known = np.asarray(p, np.float64).ravel()
    known = known[~np.isnan(known)]
    if (known < 0).any() or (known > 1).any():
        raise InputError("some p values lie outside 0 to 1", remedy="give p, not -log p or a statistic")
    if n_bins < 1:
        raise InputError(f"n_bins={n_bins} leaves nothing to draw", remedy="use at least 1")
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.1))
        if len(known):
            ax.hist(known, n_bins, range=(0, 1), density=True, color="0.6", edgecolor="white", linewidth=0.4)
            said = ", ".join(f"p ≤ {level:g}: {np.mean(known <= level):.1%}" for level in (0.05, 0.01))
        else:
            said = "no voxel has a p value"
        ax.axhline(1, color="0.2", linestyle="--", linewidth=0.8)
        ax.set_xlim(0, 1)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("p" + (" without an effect" if null else ""))
        ax.set_ylabel("Density (1 if uniform)")
        ax.set_title("\n".join(([drawable_lines(title)] if title else []) + [f"{len(known):,} voxels; {said}"]),
                     loc="left", fontsize=7)  # fmt: skip
    return figure_of(ax)
