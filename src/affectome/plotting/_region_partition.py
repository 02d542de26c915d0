"""What of the explained variance is unique to a space, and what spaces share: per region, and part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines, ink
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes, system_colours

if TYPE_CHECKING:
    from affectome.neural.encoding import VariancePartition

__all__ = ["plot_partition_parts", "plot_region_partition"]

_SHARED = {2: "0.82", 3: "0.62", 4: "0.42", 5: "0.22"}  # by how many spaces; no system is grey
_COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
_EDGE: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}


def plot_region_partition(
    result: VariancePartition,
    labels: Mapping[str, str] | None = None,
    *,
    regions: Sequence[str] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the parts of the explained variance of every region, one on the other; they add up to the joint R2.

    What is unique to a space has its colour; what is shared is grey, the darker the more spaces share it, one segment
    per set of spaces. Parts below 0 (noise, or suppression) hang below the line and are not hidden: the joint R2, the
    black dot with its interval, is the sum of both sides.

    Parameters
    ----------
    result : VariancePartition
        Of :func:`affectome.neural.partition_variance`.
    labels
        What spaces are called; by default their names.
    regions
        Which, in the order drawn; by default all of the result.
    title
    ax
        Axes to draw into; by default a figure as wide as the regions need.

    Returns
    -------
    matplotlib Figure
    """
    table = result.regions
    chosen = list(regions or dict.fromkeys(table.index.get_level_values("region")))
    unknown = sorted(set(chosen) - set(table.index.get_level_values("region")))
    if unknown:
        raise InputError(f"the partition has no region {cut_short(unknown)}", remedy="leave them out")
    colours, x = system_colours(list(result.spaces)), np.arange(len(chosen))
    names = [drawable(region) for region in chosen]
    longest = max(ink(name, 7)[0] for name in names) / 72
    with house_style():
        width = min(PAGE_WIDTH, max(COLUMN_WIDTH, 0.9 + 0.3 * len(chosen)))
        turned = longest > 0.95 * (width - 0.75) / len(chosen)
        ax = new_axes(ax, (width, 2.7 + (longest if turned else 0)))
        ends = np.zeros((2, len(chosen)))  # below and above the line
        drawn = dict[str, Any]()
        for part in _parts(result):
            height = _rows(table, chosen, part)["r2"].to_numpy(np.float64)
            side = (height > 0).astype(int)
            members = result.members[part]
            look = colours[members[0]] if len(members) == 1 else _SHARED[len(members)]
            bars = ax.bar(x, np.nan_to_num(height), bottom=ends[side, x], width=0.78, color=look, **_EDGE)
            ends[side, x] += np.nan_to_num(height)
            said = (f"only {(labels or {}).get(members[0], members[0])}" if len(members) == 1 else
                    f"shared by {_COUNTS[len(members)]}")  # fmt: skip
            drawn.setdefault(drawable(said), bars)
        joint = _rows(table, chosen, str(result.models.columns[-1]))
        ax.vlines(x, joint["low"], joint["high"], color="black", linewidth=1, zorder=3)
        drawn[f"all spaces, {100 * result.level:g}% interval"] = ax.plot(
            x, joint["r2"], linestyle="none", marker="o", markersize=2.8, color="black", zorder=4)[0]  # fmt: skip
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set_xticks(x, labels=names)
        ax.tick_params(axis="x", length=0, labelrotation=90 if turned else 0)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlim(-0.6, max(len(chosen), 2) - 0.4)
        ax.set_ylabel("Held-out R², mean over voxels")
        ax.set_title(drawable_lines(title or result.subject), loc="left")
        figure_of(ax).legend(list(drawn.values()), list(drawn), loc="outside lower center", frameon=False,
                             ncols=4 if width > 5 else 2)  # fmt: skip
    return figure_of(ax)


def _parts(result: VariancePartition) -> list[str]:
    """Columns of the parts, those of fewer spaces first."""
    return sorted(map(str, result.parts.columns), key=lambda part: len(result.members[part]))


def _rows(table: pd.DataFrame, regions: list[str], part: str) -> pd.DataFrame:
    return table.reindex(pd.MultiIndex.from_product([regions, [part]]))


def plot_partition_parts(
    result: VariancePartition,
    labels: Mapping[str, str] | None = None,
    *,
    region: str = "all",
    title: str | None = None,
) -> Figure:
    """Draw every part of the explained variance of a region with its interval; dots say which spaces it belongs to.

    Parameters
    ----------
    result : VariancePartition
    labels
        What spaces are called; by default their names.
    region
        A region of the result, or ``"all"`` voxels.
    title
        By default the person and the region.

    Returns
    -------
    matplotlib Figure
        Its axes: the bars of the parts, the dots.
    """
    if region not in result.regions.index.get_level_values("region"):
        raise InputError(f"the partition has no region '{region}'", remedy="use one of its table `regions`")
    parts, spaces, colours = _parts(result), result.spaces, system_colours(list(result.spaces))
    rows = result.regions.reindex(pd.MultiIndex.from_product([[region], parts]))
    names = [drawable((labels or {}).get(space, space)) for space in spaces]
    with house_style():
        width = min(
            PAGE_WIDTH, max(COLUMN_WIDTH, 1.0 + max(ink(name, 7)[0] for name in names) / 72 + 0.22 * len(parts))
        )
        figure = Figure(figsize=(width, 1.7 + 0.24 * len(spaces)), layout="constrained")
        bars, dots = figure.subplots(2, 1, height_ratios=(1.4, 0.24 * len(spaces)), sharex=True)
        x = np.arange(len(parts))
        looks = [colours[result.members[part][0]] if len(result.members[part]) == 1 else
                 _SHARED[len(result.members[part])] for part in parts]  # fmt: skip
        bars.bar(x, rows["r2"], width=0.7, color=looks)
        bars.vlines(x, rows["low"], rows["high"], color="black", linewidth=1)
        bars.axhline(0, color="black", linewidth=0.6)
        bars.spines["bottom"].set_visible(False)
        bars.tick_params(axis="x", length=0, labelbottom=False)
        bars.set_ylabel("Held-out R²\nof exactly these")
        bars.set_title(drawable_lines(title or f"{result.subject}, {region}"), loc="left")
        _draw_dots(dots, [result.members[part] for part in parts], spaces, list(colours.values()))
        dots.set_yticks(range(len(spaces)), labels=names)
        n = int(rows["n_voxels"].iloc[0])
        dots.set_xlabel(f"{n:,} voxels; {100 * result.level:g}% intervals over {result.n_runs} runs", color="0.35")
    return figure


def _draw_dots(ax: Axes, members: list[tuple[str, ...]], spaces: Sequence[str], colours: list[str]) -> None:
    for row in range(0, len(spaces), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.95", zorder=0, linewidth=0)
    for column, inside in enumerate(members):
        rows = [row for row, space in enumerate(spaces) if space in inside]
        ax.scatter([column] * len(spaces), range(len(spaces)), s=20, color="0.84", zorder=1, linewidths=0)
        ax.plot([column] * 2, [rows[0], rows[-1]], color="0.25", linewidth=1.3, zorder=2)
        ax.scatter([column] * len(rows), rows, s=24, color=[colours[row] for row in rows], edgecolors="black",
                   linewidths=0.5, zorder=3, gid="inside")  # fmt: skip
    ax.set_xlim(-0.6, len(members) - 0.4)
    ax.set_ylim(len(spaces) - 0.5, -0.5)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
