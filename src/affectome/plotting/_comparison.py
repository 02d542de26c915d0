"""How alike spaces are: a matrix of all pairs, and the pairs one below the other with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.comparison import SpaceComparison
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_agreements", "plot_comparison_matrix"]

_NAMES = {
    "pearson": "Pearson r over pairs of stimuli",
    "spearman": "Spearman ρ over pairs of stimuli",
    "cka": "Linear CKA, debiased",
    "procrustes": "Procrustes r, cross-validated",
    "canonical": "Mean canonical correlation, cross-validated",
    "agreement": "Same odd one out (share of triplets)",
}
_SHORT = {"pearson": "Pearson r", "spearman": "Spearman ρ", "cka": "CKA", "procrustes": "Procrustes r",
          "canonical": "Canonical r", "agreement": "Same odd one out"}  # fmt: skip
_START = {"agreement": 1 / 3}  # where unrelated spaces are; else at 0
_CELL = 0.72  # inches that the value and its interval take


def plot_comparison_matrix(
    result: SpaceComparison,
    which: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one statistic of all pairs of spaces: value and interval in each cell below the diagonal.

    Spaces are in the order of the first, so that alike ones are neighbours. A cell whose q is not below `alpha` (or
    not known) has its value in italics, with "n.s." (or nothing) below the interval.

    Parameters
    ----------
    result : SpaceComparison
        Of :func:`~affectome.comparison.compare_rsa`, ``compare_geometry`` or ``compare_choices``.
    which
        A statistic of the result; by default its first.
    labels
        What spaces are called; by default their names.
    alpha
        Of the marks.
    title
        By default what the statistic is.
    ax
        Axes to draw into; by default a figure as wide as the spaces need.

    Returns
    -------
    matplotlib Figure
    """
    statistic = which or result.statistics[0]
    rows = result.rows(statistic)
    order = _neighbours(result.matrix(statistic))
    n, start = len(order), _START.get(statistic, 0.0)
    square = {column: result.matrix(statistic, column).loc[order, order].to_numpy() for column in rows.columns[:5]}
    shown = np.where(np.tri(n, k=-1, dtype=bool), square["value"], np.nan)[1:, :-1]
    lowest = min(start, float(np.nanmin(shown)))
    called = [(labels or {}).get(name, name) for name in order]
    with house_style():
        width = min(PAGE_WIDTH, max(COLUMN_WIDTH, 1.8 + _CELL * (n - 1)))
        ax = new_axes(ax, (width, 1.2 + 0.5 * (n - 1)))
        image = ax.imshow(shown, cmap="cividis", vmin=lowest, vmax=1, aspect="auto")
        for row, column in zip(*np.nonzero(~np.isnan(shown)), strict=True):
            cell = {name: values[row + 1, column] for name, values in square.items()}
            _write_cell(ax, row, column, cell, alpha, dark=cell["value"] < (lowest + 1) / 2 + 0.05)
        ax.set_xticks(range(n - 1), labels=[_wrapped(name) for name in called[:-1]])
        ax.set_yticks(range(n - 1), labels=[_wrapped(name) for name in called[1:]])
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_title(title or _NAMES.get(statistic, statistic), loc="left")
        ax.set_xlabel(
            f"{result.n_stimuli:,} stimuli; brackets: {100 * result.level:g}% interval", loc="left", color="0.35"
        )
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.02)
        bar.set_label(_SHORT.get(statistic, statistic) + (" (chance 1/3)" if start else ""))
        bar.outline.set_visible(False)
    return figure_of(ax)


def _write_cell(ax: Axes, row: int, column: int, cell: Mapping[str, float], alpha: float, *, dark: bool) -> None:
    weak = not np.isnan(cell["q"]) and cell["q"] >= alpha
    colour = "white" if dark else "black"
    value, interval = _signed(cell["value"]), f"[{_signed(cell['ci_low'])}, {_signed(cell['ci_high'])}]"
    ax.text(column, row - 0.17, value + (" n.s." if weak else ""), ha="center", va="center", color=colour, fontsize=8,
            fontstyle="italic" if weak else "normal")  # fmt: skip
    ax.text(column, row + 0.19, interval, ha="center", va="center", color=colour, fontsize=7)


def _signed(value: float) -> str:
    """Two digits, without the zero before the point."""
    text = f"{abs(value):.2f}"
    return ("−" if value < 0 and float(text) > 0 else "") + (text[1:] if text.startswith("0") else text)


def plot_agreements(
    result: SpaceComparison,
    which: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one statistic of every pair of spaces as a dot with its interval, largest first.

    The dashed line is where unrelated spaces are on average; the grey bar reaches up to the 95th percentile of the
    permuted statistic, and an open diamond shows what the same stimuli give without cross-validation, where the result
    has both. A triangle marks the ceiling where reliabilities were given.

    Parameters
    ----------
    result : SpaceComparison
    which
        A statistic of the result; by default its first.
    labels
        What spaces are called; by default their names.
    title
        By default none.
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    statistic = which or result.statistics[0]
    rows = result.rows(statistic).sort_values("value", ascending=False, kind="stable")
    start, y = _START.get(statistic, 0.0), np.arange(len(rows))
    names = [" – ".join((labels or {}).get(str(name), str(name)) for name in pair) for pair in rows.index]
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH if max(map(len, names)) < 34 else 1.4 * COLUMN_WIDTH, 1.1 + 0.22 * len(rows)))
        ax.axvline(start, color="0.35", linestyle="--", linewidth=0.8, zorder=0)
        if rows["null_high"].notna().any():
            ax.barh(y, rows["null_high"] - start, left=start, height=0.7, color="0.85", zorder=1,
                    label="permuted stimuli, 95%")  # fmt: skip
        ax.hlines(y, rows["ci_low"], rows["ci_high"], color="black", linewidth=1.2, zorder=3)
        ax.plot(rows["value"], y, linestyle="none", marker="o", markersize=3, color="#0072B2", zorder=4,
                label=f"value, {100 * result.level:g}% interval")  # fmt: skip
        _mark(ax, rows, "in_sample", y, "D", "on the stimuli fitted to" if statistic != "cka" else "biased")
        _mark(ax, rows, "ceiling", y, "^", "ceiling")
        ax.set_yticks(y, labels=names)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.set_xlim(min(0.0 if not start else 0.3, float(rows["ci_low"].min()) - 0.02), 1.02)
        ax.set_xlabel(_NAMES.get(statistic, statistic) + (", chance 1/3" if start else ""))
        if title:
            ax.set_title(title, loc="left")
        figure_of(ax).legend(loc="outside lower center", ncols=2, frameon=False)
    return figure_of(ax)


def _mark(ax: Axes, rows: pd.DataFrame, column: str, y: np.ndarray, marker: str, label: str) -> None:
    if column in rows and rows[column].notna().any():
        ax.plot(rows[column], y, linestyle="none", marker=marker, markersize=4, markerfacecolor="white",
                markeredgecolor="#D55E00", markeredgewidth=0.9, zorder=2, label=label)  # fmt: skip


def _neighbours(matrix: pd.DataFrame) -> list[str]:
    """Spaces in an order in which alike ones follow one another: from the first, always to the closest one left."""
    alike = matrix.fillna(-np.inf).to_numpy(np.float64)
    order, left = [0], list(range(1, len(alike)))
    while left:
        order.append(max(left, key=lambda k: float(alike[order[-1], k])))
        left.remove(order[-1])
    return [str(matrix.index[k]) for k in order]


def _wrapped(name: str) -> str:
    """A name on two lines, broken at the blank or underscore nearest its middle."""
    places = [k for k, letter in enumerate(name) if letter in " _" and 0 < k < len(name) - 1]
    if len(name) < 10 or not places:
        return name
    at = min(places, key=lambda k: abs(k - len(name) / 2))
    return name[: at + (name[at] == "_")] + "\n" + name[at + 1 :]
