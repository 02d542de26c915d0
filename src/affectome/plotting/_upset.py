"""The UpSet plot: how many things every combination of sets holds."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from affectome.comparison import ClusterMatches, upset_counts
from affectome.errors import InputError
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_upset"]


def plot_upset(
    membership: ClusterMatches | pd.DataFrame,
    labels: Mapping[str, str] | None = None,
    *,
    counted: str | None = None,
    most: int = 30,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how many rows every combination of sets holds (Lex et al. 2014).

    A column is a combination: the dots say which sets, the bar above how many rows are in these sets and no others;
    largest first. The bars at the left are the sizes of the sets, in the colour of the system.

    Parameters
    ----------
    membership : ClusterMatches, or DataFrame of bool, rows x sets
        Two to eight sets.
    labels
        What sets are called; by default their names.
    counted
        What is counted, for the axes; by default "clusters", or "rows".
    most
        Combinations shown; the figure says how many smaller ones it leaves out.
    title
    ax
        Axes whose place the three panels take; by default a figure as wide as the combinations need.

    Returns
    -------
    matplotlib Figure
        Its axes: the bars of the combinations, the dots, the sizes of the sets.
    """
    table = membership.membership if isinstance(membership, ClusterMatches) else membership
    what = counted or ("clusters" if isinstance(membership, ClusterMatches) else "rows")
    if not 2 <= table.shape[1] <= 8:
        raise InputError(f"an UpSet plot is for two to eight sets, not {table.shape[1]}", remedy="choose some of them")
    if most < 1:
        raise InputError(f"most={most} leaves nothing to show", remedy="use at least 1")
    counts = upset_counts(table)
    shown, n_sets = counts.iloc[:most], table.shape[1]
    names = [str(name) for name in table.columns]
    with house_style():
        wide = min(PAGE_WIDTH, max(COLUMN_WIDTH, 2.0 + 0.26 * len(shown)))
        ax = new_axes(ax, (wide, 1.75 + 0.24 * n_sets))
        ax.axis("off")
        longest = max(len((labels or {}).get(name, name)) for name in names)
        start = min(0.62, (0.95 + 0.062 * longest) / wide)
        split = 0.24 * n_sets / (1.35 + 0.24 * n_sets)
        bars = ax.inset_axes((start, split + 0.04, 1 - start, 1 - split - 0.04))
        dots = ax.inset_axes((start, 0, 1 - start, split))
        sizes = ax.inset_axes((0, 0, 0.7 / wide, split))
        _draw_bars(bars, shown, what)
        _draw_dots(dots, shown, [(labels or {}).get(name, name) for name in names])
        _draw_sizes(sizes, table, what)
        if len(counts) > most:
            bars.set_title(
                f"{len(counts) - most} smaller combinations are not shown", loc="right", fontsize=7, color="0.35"
            )
        ax.set_title(title or "")
        for panel in (dots, sizes):
            panel.set_ylim(n_sets - 0.5, -0.5)
        for panel in (bars, dots):
            panel.set_xlim(-0.6, max(len(shown), 3) - 0.4)
    return figure_of(ax)


def _draw_bars(ax: Axes, shown: pd.Series[int], what: str) -> None:
    ax.bar(range(len(shown)), shown.to_numpy(), width=0.6, color="0.25")
    for column, count in enumerate(shown):
        ax.text(column, count, f"{count:,}", ha="center", va="bottom", fontsize=7)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(True)
    ax.set_ylim(0, 1.12 * float(shown.max()))
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    sets = "spaces" if what == "clusters" else "sets"
    ax.set_ylabel(f"{what.capitalize()} in exactly\nthese {sets}")


def _draw_dots(ax: Axes, shown: pd.Series[int], names: list[str]) -> None:
    colours = list(system_colours([str(name) for name in shown.index.names]).values())
    for row in range(0, len(names), 2):
        ax.axhspan(row - 0.5, row + 0.5, color="0.95", zorder=0, linewidth=0)
    for column, inside in enumerate(shown.index):
        rows = [row for row, there in enumerate(inside) if there]
        ax.scatter([column] * len(names), range(len(names)), s=22, color="0.84", zorder=1, linewidths=0)
        if rows:
            ax.plot([column] * 2, [rows[0], rows[-1]], color="0.25", linewidth=1.4, zorder=2)
            ax.scatter([column] * len(rows), rows, s=26, color=[colours[row] for row in rows], edgecolors="black",
                       linewidths=0.5, zorder=3, gid="inside")  # fmt: skip
    ax.set_yticks(range(len(names)), labels=names)
    ax.set_xticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _draw_sizes(ax: Axes, table: pd.DataFrame, what: str) -> None:
    sums = table.sum()
    colours = system_colours([str(name) for name in table.columns])
    ax.barh(range(len(sums)), sums.to_numpy(), height=0.6, color=list(colours.values()))
    for row, total in enumerate(sums):
        ax.text(float(total), row, f"{total:,} ", ha="right", va="center", fontsize=7)
    ax.set_xlim(1.6 * max(1.0, float(sums.max())), 0)
    ax.set_yticks([])
    ax.set_xticks([])
    ax.set_xlabel(what.capitalize())
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.spines["right"].set_visible(True)
