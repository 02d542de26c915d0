"""How well people agree on the geometry of every region: the bracket in which the best model scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, house_style

__all__ = ["plot_geometry_ceilings"]

_ROW = 0.15  # inches of a region


def plot_geometry_ceilings(table: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw the lower and the upper noise ceiling of every region, highest first.

    Parameters
    ----------
    table : DataFrame
        ``region``, ``lower`` and its interval ``lower_low`` and ``lower_high``, ``upper``, as
        :meth:`affectome.neural.GeometryCeiling.table` gives with the names of regions.
    title

    Returns
    -------
    matplotlib Figure
        A grey bar from the lower to the upper ceiling, the lower one as a dot with its interval.

    Examples
    --------
    >>> table = pd.DataFrame({"region": ["MST", "V1"], "lower": [0.3, 0.1], "lower_low": [0.2, -0.1],
    ...                       "lower_high": [0.4, 0.3], "upper": [0.6, 0.5]})
    >>> [label.get_text() for label in plot_geometry_ceilings(table).axes[0].get_yticklabels()]
    ['MST', 'V1']
    """
    if not len(table):
        raise InputError("there is no region to draw", remedy="give a row per region")
    rows = table.sort_values("lower", ascending=False, na_position="last", kind="stable")
    places = np.arange(len(rows))
    with house_style():
        figure = Figure(figsize=(COLUMN_WIDTH, 0.9 + _ROW * max(len(rows), 3)), layout="constrained")
        ax = figure.subplots()
        ax.barh(
            places, rows["upper"] - rows["lower"], left=rows["lower"], height=0.7, color="0.85", label="to the upper"
        )
        ax.hlines(places, rows["lower_low"], rows["lower_high"], color="black", linewidth=0.9, label="its interval")
        ax.plot(rows["lower"], places, "o", color=OKABE_ITO[0], markersize=3, label="lower ceiling")
        ax.axvline(0, color="black", linewidth=0.6)
        ax.set_yticks(places, [drawable(str(name)) for name in rows["region"]])
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlabel("Pearson r of similarities")
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        if title:
            ax.set_title(drawable_lines(title), loc="left")
    return figure
