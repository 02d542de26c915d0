"""The map of a space, coloured by category."""

from __future__ import annotations

from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.interpretation import Projection
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_map"]

_MARKERS = ("o", "^", "s")  # with the colours: 21 categories that differ in colour or in shape
_SHOWN = 17


def plot_map(
    projection: Projection, labels: pd.Series[str], *, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Draw a map of stimuli, the commonest categories in colour and shape, the rest as grey dots.

    Parameters
    ----------
    projection : Projection
    labels : Series, index stimulus ids
        Category of each stimulus.
    title
        By default none.
    ax
        Axes to draw into; by default a figure of page width with the legend beside it.
    """
    points = projection.coordinates.join(labels.rename("category"))
    common = points["category"].value_counts().index[:_SHOWN]
    looks = dict(zip(common, product(_MARKERS, OKABE_ITO[:7]), strict=False))
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 4.6))
        rest = points[~points["category"].isin(common)]
        ax.scatter(rest["x"], rest["y"], s=4, color="0.75", linewidths=0, label="other" if len(rest) else None)
        for name, (marker, colour) in looks.items():
            here = points[points["category"] == name]
            ax.scatter(
                here["x"], here["y"], s=9, marker=marker, color=colour, linewidths=0, label=f"{name} ({len(here)})"
            )
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=1.6, handletextpad=0.3)
        ax.set_title(title or "")
        ax.text(
            0.0, -0.01,
            f"t-SNE, perplexity {projection.perplexity:g}, "
            f"trustworthiness {projection.trustworthiness:.3f}; axes have no unit",
            transform=ax.transAxes, va="top", fontsize=7, color="0.35",
        )  # fmt: skip
    return figure_of(ax)
