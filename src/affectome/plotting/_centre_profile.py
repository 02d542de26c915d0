"""One centre of a searchlight: its similarities beside those of the nearest space, all spaces, its stimuli."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, house_style, system_colours

if TYPE_CHECKING:
    from affectome.neural.searchlight import CentreProfile

__all__ = ["plot_centre_profile"]

_LONGEST = 24  # letters of the name of a stimulus


def plot_centre_profile(
    profile: CentreProfile,
    labels: Mapping[str, str] | None = None,
    *,
    stimuli: Mapping[str, str] | None = None,
    n_stimuli: int = 8,
    title: str | None = None,
) -> Figure:
    """Draw the similarities of one neighbourhood, those of the space nearest to it, all scores, and the stimuli.

    White cells do not count. Both matrices have one order, and each its own scale, from the 2nd to the 98th percentile.

    Parameters
    ----------
    profile : CentreProfile
    labels
        What spaces are called; by default their names.
    stimuli
        What stimuli are called; by default their ids.
    n_stimuli
        Of the bars at the bottom: those whose pairs carry most of r.
    title

    Returns
    -------
    matplotlib Figure
        Axes: patterns, nearest space, scores, stimuli.
    """
    called = {space: drawable((labels or {}).get(space, space)) for space in profile.scores.index}
    named = {one: _short(drawable((stimuli or {}).get(one, one))) for one in profile.carried.index[:n_stimuli]}
    rows = max(len(profile.scores), 3), max(len(named), 3)
    with house_style():
        figure = Figure(figsize=(PAGE_WIDTH, 3.1 + 0.17 * max(rows)), layout="constrained")
        above, below = figure.subfigures(2, 1, height_ratios=(2.6, 0.5 + 0.17 * max(rows)), squeeze=False)[:, 0]
        left, right = above.subplots(1, 2)
        label = f"{len(profile.rsm):,} stimuli, {drawable(profile.ordered_by)}"
        _draw_rsm(left, profile.rsm, f"Patterns of {profile.n_voxels:,} voxels", label)
        _draw_rsm(right, profile.space_rsm, f"Nearest space: {called[profile.nearest]}", label)
        scores, carried = below.subplots(1, 2)
        _draw_scores(scores, profile, called)
        _draw_carried(carried, profile.carried.iloc[:n_stimuli], named)
        if title:
            figure.suptitle(drawable_lines(title), fontsize=9, x=0.01, ha="left")
    return figure


def _draw_rsm(ax: Axes, rsm: pd.DataFrame, heading: str, label: str) -> None:
    grid = rsm.to_numpy(np.float64)
    known = grid[np.isfinite(grid)]
    low, high = np.percentile(known, [2, 98])
    image = ax.imshow(grid, cmap="cividis", vmin=low, vmax=high, interpolation="nearest", rasterized=True)
    ax.set_title(heading)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_xlabel(label, fontsize=7)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03)
    bar.set_label("Similarity")
    bar.outline.set_visible(False)


def _draw_scores(ax: Axes, profile: CentreProfile, called: Mapping[str, str]) -> None:
    """A bar per space from the nearest down, with its interval."""
    table = profile.scores.sort_values("r", ascending=False)
    colours = system_colours(list(profile.scores.index))
    places = np.arange(len(table))
    ax.barh(places, table["r"], height=0.7, color=[colours[space] for space in table.index])
    ax.hlines(places, table["low"], table["high"], color="black", linewidth=0.9, gid="intervals")
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(places, [called[space] for space in table.index])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlabel(f"Pearson r, {100 * profile.level:g}% interval over stimuli")


def _draw_carried(ax: Axes, carried: pd.Series[float], named: Mapping[str, str]) -> None:
    places = np.arange(len(carried))
    ax.barh(places, carried, height=0.7, color=OKABE_ITO[0])
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(places, [named[one] for one in carried.index])
    ax.set_ylim(len(carried) - 0.4, -0.6)
    ax.set_xlabel("Part of r carried by the pairs of a stimulus")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
