"""One claim under every combination of reasonable choices: differences above, the choices below."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, house_style

__all__ = ["plot_specification_curve"]

#: What a choice is called, and its values.
_CHOICES = {
    "metric": ("Space", {"correlation": "correlation", "cosine": "cosine", "euclidean": "Euclidean"}),
    "statistic": ("Statistic", {"pearson": "Pearson", "spearman": "Spearman"}),
    "within_run": ("Pairs within runs", {"exclude": "left out", "include": "counted"}),
    "brain_metric": ("Patterns", {"correlation": "centred", "cosine": "as they are"}),
    "size": ("Size", {"full": "as it is", "matched": "cut to equal"}),
}
_ABOVE, _BELOW, _UNSURE = OKABE_ITO[0], OKABE_ITO[1], "0.55"
_LINE = 0.155  # inches of a row of choices


def plot_specification_curve(
    table: pd.DataFrame,
    labels: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
    level: float = 0.95,
    title: str | None = None,
) -> Figure:
    """Draw the difference of two spaces under every specification, sorted, and what each specification was.

    Parameters
    ----------
    table : DataFrame
        Rows of one pair and place of a :class:`~affectome.gap.SpecificationCurve`: the choices, ``difference``,
        ``ci_low``, ``ci_high``, ``p``.
    labels
        What spaces are called; by default their names.
    alpha
        Where p is at most this, a dot has the colour of its sign.
    level
        Coverage of the intervals, which is told.
    title

    Returns
    -------
    matplotlib Figure
        Two Axes: differences, and choices.
    """
    if table.empty:
        raise InputError("there is no specification to draw", remedy="give the rows of one pair and place")
    pairs = table[["first", "second", "where"]].drop_duplicates()
    if len(pairs) > 1:
        raise InputError(f"the specifications are of {len(pairs)} pairs or places", remedy="draw one after the other")
    first, second, where = pairs.iloc[0]
    first, second = (str((labels or {}).get(name, name)) for name in (first, second))
    ordered = table.sort_values("difference", kind="stable", ignore_index=True)
    lines = _lines(ordered)
    with house_style():
        below = _LINE * len(lines) + 0.1
        figure = Figure(figsize=(PAGE_WIDTH * 0.72, 2.3 + below), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.75, below])
        colours = _colours(ordered, alpha)
        _draw_differences(top, ordered, colours)
        top.set_ylabel(drawable_lines(f"Difference in RSA r\n{first} − {second}"))
        told = [] if title is None else [drawable_lines(title)]
        kind = "All voxels" if where == "all" else drawable(str(where))
        top.set_title("\n".join([*told, f"{kind}: {len(ordered)} specifications, {level:.0%} intervals"]),
                      loc="left", fontsize=8)  # fmt: skip
        _draw_choices(bottom, ordered, lines, colours)
        _draw_legend(figure, first, second, alpha)
    return figure


def _lines(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Choices that were varied, each value a line, from the top."""
    return [
        (name, value)
        for name, (_, values) in _CHOICES.items()
        if table[name].nunique() > 1
        for value in values
        if (table[name] == value).any()
    ]


def _colours(table: pd.DataFrame, alpha: float) -> list[str]:
    found = table["p"] <= alpha
    return [_UNSURE if not sure else _ABOVE if d > 0 else _BELOW
            for sure, d in zip(found, table["difference"], strict=True)]  # fmt: skip


def _draw_differences(ax: Axes, table: pd.DataFrame, colours: list[str]) -> None:
    x = np.arange(len(table))
    ax.axhline(0, color="black", linewidth=0.6)
    median = float(table["difference"].median())
    ax.axhline(median, color="0.35", linewidth=0.6, linestyle="--", gid="median")
    ax.vlines(x, table["ci_low"], table["ci_high"], colors=colours, linewidth=0.9)
    ax.scatter(x, table["difference"], s=9, color=colours, zorder=3, gid="differences")
    ax.margins(x=0.02)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.spines["bottom"].set_visible(False)


def _draw_choices(ax: Axes, table: pd.DataFrame, lines: list[tuple[str, str]], colours: list[str]) -> None:
    x, shades = np.arange(len(table)), np.array(colours)
    for row, (name, value) in enumerate(lines):
        chosen = (table[name] == value).to_numpy()
        ax.scatter(x[chosen], np.full(chosen.sum(), row), s=5, color=shades[chosen], gid=f"{name}={value}")
    labels = [f"{_CHOICES[name][0]}: {_CHOICES[name][1][value]}" for name, value in lines]
    ax.set_yticks(range(len(lines)), labels=labels)
    ax.set_ylim(len(lines) - 0.4, -0.6)
    starts = [row for row in range(1, len(lines)) if lines[row][0] != lines[row - 1][0]]
    for row in starts:
        ax.axhline(row - 0.5, color="0.85", linewidth=0.5)
    ax.set_xlabel("Specifications, by their difference")
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)


def _draw_legend(figure: Figure, first: str, second: str, alpha: float) -> None:
    named = ((_ABOVE, f"{first} higher, p ≤ {alpha:g}"), (_BELOW, f"{second} higher, p ≤ {alpha:g}"),
             (_UNSURE, f"p > {alpha:g}"))  # fmt: skip
    handles = [Line2D([], [], linestyle="none", marker="o", markersize=3, color=colour) for colour, _ in named]
    handles.append(Line2D([], [], color="0.35", linewidth=0.6, linestyle="--"))
    figure.legend(handles, [*(drawable(text) for _, text in named), "median"], loc="outside lower center", ncols=4,
                  frameon=False, handletextpad=0.3, columnspacing=1.2)  # fmt: skip
