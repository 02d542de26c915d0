"""How well each component of a space is predicted from features of the stimuli."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, figure_of, house_style, new_axes
from affectome.prediction import PredictionAccuracy

__all__ = ["plot_predicted_components"]


def plot_predicted_components(
    result: PredictionAccuracy, *, alpha: float = 0.05, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Held-out r of every component with its interval, the best on top; filled where q < alpha.

    Components that do not vary stand last, without dots.

    Parameters
    ----------
    result : PredictionAccuracy
    alpha
        Bound on q.
    title
    ax
        Axes to draw into; by default a figure of column width.
    """
    table = result.components.sort_values("r", ascending=False, kind="stable", na_position="last")
    places = np.arange(len(table))
    shown = (table["q"] < alpha).to_numpy()
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.3 + 0.145 * len(table)))
        ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
        ax.hlines(places, table["r_low"], table["r_high"], color=OKABE_ITO[0], linewidth=0.8, zorder=1)
        ax.scatter(table["r"], places, s=11, linewidths=0.8, edgecolors=OKABE_ITO[0], zorder=2,
                   facecolors=[OKABE_ITO[0] if found else "white" for found in shown])  # fmt: skip
        ax.set_yticks(places, labels=[drawable(str(name)) for name in table.index])
        ax.set_ylim(len(table) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"Held-out r, {result.level:.0%} interval ({result.n_stimuli:,} stimuli)")
        ax.set_title(drawable_lines(title or "Predicted from features")
                     + f"\nfilled: q < {alpha:g} ({int(shown.sum())} of {len(table)})", fontsize=8)  # fmt: skip
    return figure_of(ax)
