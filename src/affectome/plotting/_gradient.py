"""Gradients between categories: which pairs are bridged, and the stimuli along a few of the lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from affectome.errors import InputError
from affectome.interpretation import CategoryGradients, GradientLine
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_gradient_lines", "plot_gradients"]

_MARKS: dict[str, dict[str, Any]] = {
    "gradient": {"marker": "o", "facecolors": "none", "edgecolors": "black"},
    "mixed": {"marker": "s", "facecolors": "none", "edgecolors": "black"},
    "gap": {"marker": "x", "color": "black"},
}
_COLUMNS = 3  # panels beside each other on a page


def plot_gradients(
    result: CategoryGradients, *, title: str | None = None, alpha: float = 0.05, ax: Axes | None = None
) -> Figure:
    """Draw, for every ordered pair of categories, how far place follows the rating of the other.

    Rows are the category of the stimuli, columns the one they are placed towards, both in `result.order`. A dot marks
    q < `alpha`, a ring the verdict "gradient", a square "mixed", a cross "gap"; pairs that were not tested are grey.

    Parameters
    ----------
    result : CategoryGradients
    title
    alpha
        Threshold on q for the dots.
    ax
        Axes to draw into; by default a figure of page width.
    """
    names = list(result.order)
    r, q = (result.ordered[name].unstack("towards").reindex(index=names, columns=names) for name in ("r", "q"))
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 2.2 + 0.165 * len(names)))
        ax.set_facecolor("0.85")
        image = ax.imshow(r.to_numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        called = [drawable(name) for name in names]
        ax.set_xticks(range(len(names)), labels=called, rotation=90)
        ax.set_yticks(range(len(names)), labels=called)
        followed = np.argwhere(q.to_numpy() < alpha)
        ax.scatter(
            followed[:, 1],
            followed[:, 0],
            s=2.0,
            color="black",
            linewidths=0,
            label=f"follows the rating, q < {alpha:g}",
        )
        for verdict, style in _MARKS.items():
            cells = _cells(result.pairs, verdict, names)
            ax.scatter(cells[:, 1], cells[:, 0], s=28, linewidths=0.7, label=verdict, **style)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_ylabel("Stimuli of")
        ax.set_xlabel("placed towards (grey: raters saw it in too few of them)")
        ax.set_title(drawable_lines(title or _summary(result)))
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.025, pad=0.01)
        bar.set_label("r of place and rating, within the category")
        bar.outline.set_visible(False)
        figure_of(ax).legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure_of(ax)


def _cells(pairs: pd.DataFrame, verdict: str, names: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Both cells of every pair with this verdict; (n, 2)."""
    chosen = pairs.index[pairs["verdict"] == verdict]
    first = [names.index(name) for name in chosen.get_level_values("first")]
    second = [names.index(name) for name in chosen.get_level_values("second")]
    return np.array([first + second, second + first], dtype=np.intp).T.reshape(-1, 2)


def _summary(result: CategoryGradients) -> str:
    text = f"Mean r = {result.r:.2f} [{result.ci_low:.2f}, {result.ci_high:.2f}], p = {result.p:.2g}"
    if np.isfinite(result.discreteness):
        low, high = result.discreteness_ci_low, result.discreteness_ci_high
        text += f"; discreteness = {result.discreteness:.2f} [{low:.2f}, {high:.2f}]"
    return text


def plot_gradient_lines(
    result: CategoryGradients,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    ax: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw the stimuli of a few pairs of categories along their line, against what raters saw in them.

    Dots are stimuli in the colour of their category. The black line joins mean shares of bins of equal number, with
    their interval.

    Parameters
    ----------
    result : CategoryGradients
    pairs
        By default the (at most) six most bridged; where none is, those of the highest r, whose verdicts then say so.
    ax
        Axes to draw into, one for each pair; by default panels of page width.
    """
    if pairs is None:
        bridged = result.most_bridged(6)
        shown = bridged if len(bridged) else result.pairs.sort_values("r", ascending=False, kind="stable").head(6)
        pairs = [(str(first), str(second)) for first, second in shown.index.tolist()]
    chosen = list(pairs)
    if not chosen:
        raise InputError("there is no pair to draw", remedy="name the pairs")
    with house_style():
        axes = _panels(ax, len(chosen))
        for panel, (first, second) in zip(axes, chosen, strict=True):
            _draw_line(panel, result.line(first, second), result)
        if ax is None:
            handles = [Line2D([], [], linestyle="", marker="o", color=colour, markersize=3) for colour in OKABE_ITO[:2]]
            handles.append(Line2D([], [], color="black", marker="o", markersize=2.5))
            labels = ["of the first category", "of the second", f"mean share, {result.level:.0%} interval"]
            figure_of(axes[0]).legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure_of(axes[0])


def _panels(ax: Axes | Sequence[Axes] | None, n: int) -> list[Axes]:
    if ax is not None:
        given = [ax] if isinstance(ax, Axes) else list(ax)
        if len(given) != n:
            raise InputError(f"there are {n} pairs and {len(given)} axes", remedy="give one for each pair")
        return given
    columns = min(n, _COLUMNS)
    rows = -(-n // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 0.5 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in grid[n:]:
        spare.set_axis_off()
    return grid[:n]


def _draw_line(ax: Axes, line: GradientLine, result: CategoryGradients) -> None:
    for name, colour in zip((line.first, line.second), OKABE_ITO, strict=False):
        own = line.stimuli[line.stimuli["label"] == name]
        ax.scatter(own["position"], own["share"], s=5, color=colour, alpha=0.5, linewidths=0, label=drawable(name))
    trend = line.trend
    reach = [trend["share"] - trend["ci_low"], trend["ci_high"] - trend["share"]]
    ax.errorbar(trend["position"], trend["share"], yerr=reach, color="black", linewidth=1, marker="o", markersize=2.5)
    for end in (0, 1):
        ax.axvline(end, color="0.7", linewidth=0.6, zorder=0)
    ax.set_ylim(-0.05, 1.05)
    ax.set_xlabel(f"0 {_short(line.first)}  to  1 {_short(line.second)}")
    ax.set_ylabel(f"Share of {_short(line.second)}")
    of_pair = result.pairs.reset_index()
    both = of_pair[["first", "second"]].isin([line.first, line.second]).all(axis=1)
    for _, row in of_pair[both].iterrows():
        ax.set_title(f"r = {row['r']:.2f}, {row['verdict']}", fontsize=8)


def _short(name: str, most: int = 14) -> str:
    """A category's name as far as a panel has room for it."""
    shown = drawable(name)
    return shown if len(shown) <= most else shown[: most - 1] + "…"
