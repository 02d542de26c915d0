"""The figure of the components needed: accuracy, and the fit to an RSM, against how many are kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from affectome.behavior import ComponentsNeeded, RSMByComponents
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_components_needed", "plot_rsm_by_components"]

_CHANCE = 1 / 3
_LOOKS = {
    "zero": ("o", OKABE_ITO[0], "of the accuracy"),
    "chance": ("D", OKABE_ITO[1], "of the accuracy above chance"),
}


def plot_components_needed(result: ComponentsNeeded, rsm: RSMByComponents | None = None) -> Figure:
    """Held-out accuracy against the largest weights kept per stimulus, and the number that each share of it needs.

    Above, the curve with its band over chance (dashed); below, for each share, the smallest number that reaches it with
    its interval, once as a share of the accuracy and once of what lies above chance. Beside them, with `rsm`, the
    correlation with a measured RSM against the whole components kept.

    Parameters
    ----------
    result
        As :func:`affectome.behavior.components_needed` gives it.
    rsm
        As :func:`affectome.behavior.rsm_by_components` gives it.
    """
    with house_style():
        figure = Figure(figsize=(COLUMN_WIDTH if rsm is None else PAGE_WIDTH, 3.6), layout="constrained")
        grid = figure.add_gridspec(2, 1 if rsm is None else 2, height_ratios=[2, 1.25])
        above = figure.add_subplot(grid[0, 0])
        below = figure.add_subplot(grid[1, 0], sharex=above)
        _draw_curve(above, result.curve["accuracy"], result.curve, OKABE_ITO[0])
        above.axhline(_CHANCE, color="0.3", linestyle="--", linewidth=0.8)
        above.text(len(result.curve), _CHANCE, "chance", ha="right", va="bottom", fontsize=7, color="0.3")
        above.set_ylim(min(0.3, result.curve["ci_low"].min()), None)
        above.set_ylabel("Held-out accuracy")
        above.tick_params(labelbottom=False)
        _draw_needed(below, result.needed)
        below.set_xlabel("Largest weights kept per stimulus")
        if rsm is not None:
            _draw_rsm(figure.add_subplot(grid[:, 1]), rsm)
    return figure


def plot_rsm_by_components(rsm: RSMByComponents, *, ax: Axes | None = None) -> Figure:
    """Correlation with a measured RSM against the whole components kept, the largest first, with its band.

    Parameters
    ----------
    rsm
        As :func:`affectome.behavior.rsm_by_components` gives it.
    ax
        Axes to draw into; by default a figure of column width.
    """
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.4))
        _draw_rsm(ax, rsm)
    return figure_of(ax)


def _draw_rsm(ax: Axes, rsm: RSMByComponents) -> None:
    _draw_curve(ax, rsm.curve["r"], rsm.curve, OKABE_ITO[2])
    ax.set_ylabel("r with the measured RSM")
    ax.set_xlabel("Components kept, largest first")
    ax.set_title(f"{rsm.n_stimuli:,} stimuli, {rsm.n_pairs:,} pairs", fontsize=7)


def _draw_curve(ax: Axes, values: pd.Series[float], curve: pd.DataFrame, colour: str) -> None:
    ax.fill_between(curve.index, curve["ci_low"], curve["ci_high"], color=colour, alpha=0.25, linewidth=0)
    ax.plot(curve.index, values, color=colour, linewidth=1.2, marker="o", markersize=2.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_needed(ax: Axes, needed: pd.DataFrame) -> None:
    shares = sorted(needed["share"].unique())
    place = {share: number for number, share in enumerate(shares)}
    for shift, (baseline, (marker, colour, label)) in zip((-0.17, 0.17), _LOOKS.items(), strict=True):
        rows = needed[(needed["baseline"] == baseline) & needed["k"].notna()]
        y = np.array([place[share] for share in rows["share"]]) + shift
        ax.hlines(y, rows["ci_low"], rows["ci_high"], color=colour, linewidth=1.2)
        ax.plot(rows["k"], y, linestyle="none", marker=marker, markersize=3.5, color=colour, label=label)
    ax.set_yticks(range(len(shares)), labels=[f"{100 * share:g}%" for share in shares])
    ax.set_ylim(-0.6, len(shares) - 0.4)
    ax.set_ylabel("Share reached")
    ax.legend(loc="lower right", frameon=False, handletextpad=0.2, borderpad=0, labelspacing=0.2)
