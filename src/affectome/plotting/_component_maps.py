"""What the components of a space weigh in the brain: maps, profiles over regions, consistency over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.plotting._brain_contrasts import On, brain_canvas
from affectome.plotting._brain_maps import draw_panels
from affectome.plotting._brain_paint import BarLegend, paint, value_scale
from affectome.plotting._lettering import drawable, drawable_lines, ink
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

if TYPE_CHECKING:
    from affectome.neural.encoding import ComponentMaps, Consistency

__all__ = ["plot_component_consistency", "plot_component_maps", "plot_component_profiles"]


def plot_component_maps(
    result: ComponentMaps,
    components: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    on: On = "slices",
    limit: float = 1.0,
    columns: int = 1,
    label: str = "Weight, largest = ±1",
    title: str | None = None,
    width: float = PAGE_WIDTH,
    **drawn: Any,
) -> Figure:
    """Draw the weights of several components, each on the same slices or surfaces and in the same colours.

    Parameters
    ----------
    result : ComponentMaps
        Of :func:`affectome.neural.component_maps`; voxels that it left out stay grey.
    components
        Which, in the order drawn; by default all.
    labels
        What components are called; by default their names.
    on : "slices" or "surface"
    limit
        Colours run from -limit to limit; weights are scaled to -1 .. 1 per component.
    columns
        Components side by side.
    label
        What the values are, for the colour bar.
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
    chosen = list(result.features if components is None else components)
    unknown = sorted(set(chosen) - set(result.features))
    if unknown or not chosen:
        raise InputError(f"the maps hold no component {cut_short(unknown)}" if unknown else "no component is chosen",
                         remedy=f"choose among {cut_short(result.features)}")  # fmt: skip
    if columns < 1:
        raise InputError(f"columns={columns} leaves nothing to draw", remedy="use at least 1")
    if result.geometry is None:
        raise InputError(f"the recording of {result.subject} does not say where its voxels lie",
                         remedy="draw profiles over regions instead")  # fmt: skip
    stacked = result.weights[[result.features.index(name) for name in chosen]].astype(np.float64)
    canvas = brain_canvas(result.geometry, on, drawn)
    cmap, norm = value_scale(stacked, (-limit, limit), diverging=True)
    panels = [((labels or {}).get(name, name), paint(values, cmap, norm)) for name, values in
              zip(chosen, canvas.places(stacked), strict=True)]  # fmt: skip
    note = f"{result.kept.sum():,} of {len(result.kept):,} voxels"
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


def plot_component_consistency(
    result: Consistency,
    labels: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how alike the maps of every component are over people, as a dot with its interval.

    Filled dots have q < `alpha`. At the right stands the share of people whose map of the component is identified
    among their maps of all components.

    Parameters
    ----------
    result : Consistency
        Of :func:`affectome.neural.component_consistency`.
    labels
        What components are called; by default their names.
    alpha
        Of the marks.
    title
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    table, y = result.table, np.arange(len(result.table))
    names = [drawable((labels or {}).get(str(name), str(name))) for name in table.index]
    found = table["q"].to_numpy(np.float64) < alpha
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH * (1.0 if max(ink(name, 7)[0] for name in names) < 100 else 1.4),
                           1.25 + 0.17 * len(table)))  # fmt: skip
        ax.axvline(0, color="0.35", linestyle="--", linewidth=0.8, zorder=0)
        ax.hlines(y, table["low"], table["high"], color="black", linewidth=1, zorder=2)
        r = table["r"].to_numpy(np.float64)
        for marked, face, said in ((found, OKABE_ITO[0], f"q < {alpha:g}"), (~found, "white", "not significant")):
            ax.plot(r[marked], y[marked], linestyle="none", marker="o", markersize=3.5, markerfacecolor=face,
                    markeredgecolor=OKABE_ITO[0], markeredgewidth=0.8, zorder=3, label=said)  # fmt: skip
        for place, share in enumerate(table["identified"]):
            ax.text(1.02, place, "–" if np.isnan(share) else f"{share:.0%}", transform=ax.get_yaxis_transform(),
                    fontsize=7, va="center")  # fmt: skip
        ax.text(1.02, -1.1, "identified", transform=ax.get_yaxis_transform(), fontsize=7, va="center", color="0.35")
        ax.set_yticks(y, labels=names)
        ax.set_ylim(len(table) - 0.4, -0.6)
        what = "regions" if result.by == "region" else "voxels"
        ax.set_xlabel(f"r of maps over {result.places:,} {what},\nmean over pairs of {len(result.subjects)} people\n"
                      f"({100 * result.level:g}% intervals; identified by chance: {result.chance:.0%})")  # fmt: skip
        if title:
            ax.set_title(drawable_lines(title), loc="left", pad=14)
        figure_of(ax).legend(loc="outside lower center", ncols=2, frameon=False)
    return figure_of(ax)
