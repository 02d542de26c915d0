"""What the components of a space weigh in the brain: maps, profiles over regions, consistency over people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._brain_contrasts import On, brain_canvas
from affectome.plotting._brain_maps import draw_panels, sayings
from affectome.plotting._brain_paint import BarLegend, checked_values, paint, value_scale
from affectome.plotting._lettering import drawable, drawable_lines, ink
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_component_maps", "plot_component_profiles"]


def plot_component_maps(
    maps: Mapping[str, ArrayLike],
    geometry: VolumeGrid | SurfaceMesh,
    label: str = "Weight, scaled to ±1",
    *,
    on: On = "slices",
    significant: ArrayLike | None = None,
    limit: float = 1.0,
    columns: int = 1,
    title: str | None = None,
    width: float = PAGE_WIDTH,
    **drawn: Any,
) -> Figure:
    """Draw the weights of several components, each on the same slices or surfaces and in the same colours.

    Parameters
    ----------
    maps : mapping from the name of a component to a float array of shape (n_voxels,)
        In the order drawn.
    geometry : VolumeGrid or SurfaceMesh
        Of all of them.
    label
        What the values are, for the colour bar.
    on : "slices" or "surface"
    significant : bool array of shape (n_voxels,)
        Voxels that the space predicts; others are faded.
    limit
        Colours run from -limit to limit.
    columns
        Components side by side.
    title
    width
        Inches.
    **drawn
        ``axis``, ``n_slices``, ``cuts``, ``background``, or ``surface``, ``views``, as in :func:`plot_slices` and
        :func:`plot_surface`.

    Returns
    -------
    matplotlib Figure
    """
    if not maps:
        raise InputError("there is no component to draw", remedy="give the map of at least one")
    if columns < 1:
        raise InputError(f"columns={columns} leaves nothing to draw", remedy="use at least 1")
    checked = [checked_values(values, len(geometry), significant) for values in maps.values()]
    stacked, marks = np.array([values for values, _ in checked]), checked[0][1]
    canvas = brain_canvas(geometry, on, drawn)
    cmap, norm = value_scale(stacked, (-limit, limit), diverging=True)
    placed = canvas.places(stacked if marks is None else np.vstack([stacked, marks.astype(float)]))
    kept = None if marks is None else np.nan_to_num(placed[-1]) >= 0.5
    panels = [(name, paint(values, cmap, norm, significant=kept)) for name, values in zip(maps, placed, strict=False)]
    note = sayings(stacked[0], marks, None)
    return draw_panels(canvas, panels, BarLegend(cmap, norm, label), title=title, note=note, width=width,
                       columns=min(columns, len(panels)))  # fmt: skip


def plot_component_profiles(
    profiles: pd.DataFrame,
    label: str = "Mean weight",
    *,
    limit: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the mean weight of every component in every region as a heat map.

    Parameters
    ----------
    profiles : DataFrame, components x regions
        In the order drawn; NaN (a region without a voxel) stays white and has a dot.
    label
        What the values are, for the colour bar.
    limit
        Colours run from -limit to limit; by default to the largest absolute value.
    title
    ax
        Axes to draw into; by default a figure as large as the names need.

    Returns
    -------
    matplotlib Figure
    """
    if profiles.empty:
        raise InputError("the profiles are empty", remedy="give at least one component and one region")
    values = profiles.to_numpy(np.float64)
    cmap, norm = value_scale(values, None if limit is None else (-limit, limit), diverging=True)
    regions, names = ([drawable(str(name)) for name in axis] for axis in (profiles.columns, profiles.index))
    below, beside = (max(ink(name, 7)[0] for name in axis) / 72 for axis in (regions, names))
    with house_style():
        width = min(PAGE_WIDTH, max(COLUMN_WIDTH, beside + 1.1 + 0.2 * len(regions)))
        ax = new_axes(ax, (width, 0.5 + below + 0.16 * max(len(names), 6)))
        image = ax.imshow(np.ma.masked_invalid(values), cmap=cmap, norm=norm, aspect="auto", interpolation="nearest")
        rows, columns = np.nonzero(np.isnan(values))
        ax.plot(columns, rows, ".", color="0.6", markersize=2)
        ax.set_xticks(range(len(regions)), labels=regions, rotation=90)
        ax.set_yticks(range(len(names)), labels=names)
        ax.set_xlim(-0.5, len(regions) - 0.5)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.02)
        bar.set_label(drawable_lines(label))
        bar.outline.set_visible(False)
        if title:
            ax.set_title(drawable_lines(title), loc="left")
    return figure_of(ax)
