"""A value of every voxel, where nothing says where the voxels lie."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from affectome.plotting._brain_paint import checked_values
from affectome.plotting._lettering import drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, figure_of, house_style, new_axes

__all__ = ["plot_voxel_values"]


def plot_voxel_values(
    values: ArrayLike,
    label: str,
    *,
    significant: ArrayLike | None = None,
    n_bins: int = 50,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how the values of all voxels are distributed, those of significant voxels in colour.

    Parameters
    ----------
    values : array of shape (n_voxels,)
        NaN where a voxel has none.
    label
        What the values are.
    significant : bool array of shape (n_voxels,)
    n_bins
    title
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    numbers, marks = checked_values(values, np.size(values), significant)
    known = ~np.isnan(numbers)
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.1))
        said = f"{known.sum():,} voxels"
        if known.any():
            edges = np.histogram_bin_edges(numbers[known], n_bins)
            ax.hist(numbers[known], edges.tolist(), color="0.75")
            if marks is not None:
                ax.hist(numbers[known & marks], edges.tolist(), color=OKABE_ITO[0])
                said += f", {(known & marks).sum():,} significant (blue)"
        ax.set_xlabel(label)
        ax.set_ylabel("Voxels")
        ax.set_title("\n".join([*([drawable_lines(title)] if title else []), said]), loc="left", fontsize=7)
    return figure_of(ax)
