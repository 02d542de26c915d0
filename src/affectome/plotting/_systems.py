"""Figures that put systems side by side: accuracy, agreement, component sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.plotting._style import COLUMN_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_accuracy", "plot_agreement", "plot_component_sizes"]


def plot_accuracy(
    scores: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    *,
    ceilings: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Held-out accuracy of every system with its interval, and its noise ceiling; the dashed line is chance.

    Parameters
    ----------
    scores : mapping from system to an :class:`~affectome.behavior.Accuracy`, or a mapping with its fields
    labels
        What systems are called; by default their names.
    ceilings : mapping from system to a :class:`~affectome.behavior.NoiseCeiling`, or a mapping with its fields
        Of systems whose triplets were repeated: a bracket below the bar from the lower to the upper end.
    ax
        Axes to draw into; by default a figure of column width.
    """
    known = {name: score if isinstance(score, Mapping) else vars(score) for name, score in scores.items()}
    names, colours = list(known), system_colours(list(known))
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 0.9 + 0.32 * len(names)))
        for row, name in enumerate(names):
            score = known[name]
            ax.barh(row, score["value"], height=0.6, color=colours[name])
            ax.plot(
                [score["ci_low"], score["ci_high"]], [row, row], color="black", linewidth=1.2, solid_capstyle="butt"
            )
            ax.text(min(score["ci_high"] + 0.015, 1.02), row, f"{score['value']:.3f}", va="center", fontsize=7)
        _draw_ceilings(ax, names, ceilings or {})
        ax.axvline(1 / 3, color="0.35", linestyle="--", linewidth=0.8)
        ax.text(1 / 3 + 0.01, -0.45, "chance", va="bottom", fontsize=7, color="0.35")
        ax.set_yticks(range(len(names)), labels=[(labels or {}).get(name, name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.75)
        ax.set_xlim(0, 1.14)
        ax.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        ax.set_xlabel("Held-out choices predicted" + (" (bracket: noise ceiling)" if ceilings else ""))
    return figure_of(ax)


def _draw_ceilings(ax: Axes, names: list[str], ceilings: Mapping[str, Any]) -> None:
    """A bracket in the gap below the bar of every system that has a ceiling."""
    for row, name in enumerate(names):
        if name in ceilings:
            one = ceilings[name] if isinstance(ceilings[name], Mapping) else vars(ceilings[name])
            low, high = one["lower"], one["upper"]
            ax.plot([low, low, high, high], [row + y for y in (0.32, 0.4, 0.4, 0.32)], color="0.2", linewidth=0.9)


def plot_agreement(matrix: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Share of triplets on which two systems made the same choice.

    Parameters
    ----------
    matrix : DataFrame, systems x systems
        As :meth:`affectome.behavior.Agreement.matrix` gives it, with readable names.
    ax
        Axes to draw into; by default a figure of column width.
    """
    n = len(matrix)
    values = matrix.to_numpy(np.float64)
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 0.8 + 0.5 * n))
        shown = np.where(np.tri(n, k=-1, dtype=bool), values, np.nan)[1:, :-1]
        image = ax.imshow(shown, cmap="cividis", vmin=1 / 3, vmax=1, aspect="auto")
        for row, column in zip(*np.nonzero(~np.isnan(shown)), strict=True):
            value = shown[row, column]
            ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.65 else "white")
        ax.set_xticks(range(n - 1), labels=[_wrapped(name) for name in matrix.columns[:-1]])
        ax.set_yticks(range(n - 1), labels=[_wrapped(name) for name in matrix.index[1:]])
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.05, pad=0.02)
        bar.set_label("Same choice (chance 1/3)")
    return figure_of(ax)


def plot_component_sizes(
    sizes: Mapping[str, pd.DataFrame], labels: Mapping[str, str] | None = None, *, ax: Axes | None = None
) -> Figure:
    """Share of all weights that each component holds, strongest first, one line per system.

    Parameters
    ----------
    sizes : mapping from system to the table of :func:`affectome.interpretation.describe_components`
    labels
        What systems are called; by default their names.
    ax
        Axes to draw into; by default a figure of column width.
    """
    colours = system_colours(list(sizes))
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.4))
        for name, table in sizes.items():
            share = np.sort(table["share"].to_numpy(np.float64))[::-1]
            ax.plot(np.arange(1, len(share) + 1), share, marker="o", markersize=2.5, linewidth=1, color=colours[name],
                    label=(labels or {}).get(name, name))  # fmt: skip
        ax.set_xlabel("Component, strongest first")
        ax.set_ylabel("Share of all weights")
        ax.set_ylim(bottom=0)
        ax.set_xlim(left=0.5)
        ax.legend(frameon=False)
    return figure_of(ax)


def _wrapped(name: object) -> str:
    return str(name).replace(" (", "\n(")
