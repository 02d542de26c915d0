"""Which ratings the systems predict, and which of them a system lacks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.interpretation import PredictionComparison
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_predictions"]

_MARKERS = "osD^vPX*"


def plot_predictions(
    result: PredictionComparison,
    labels: Mapping[str, str] | None = None,
    *,
    family: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Held-out r of every rating, one dot with interval per system, best predicted by the reference on top.

    A filled dot is a rating that the system has; an open one is lacking beside the reference, as the result says. One
    system alone lacks nothing, and its figure has no legend.
    Ratings that are undefined stand last, without dots.

    Parameters
    ----------
    result : PredictionComparison
    labels
        What systems are called; by default their names.
    family
        Draw only the ratings of this family.
    title
    ax
        Axes to draw into; by default a figure of column width.
    """
    table = result.table if family is None else result.table[result.table["family"] == family]
    systems = list(result.predictions)
    colours = system_colours(systems)
    wide = table["r"].unstack("system")
    order = wide[result.reference].sort_values(ascending=False, kind="stable", na_position="last").index.tolist()
    places = np.arange(len(order))
    offsets = np.linspace(-0.22, 0.22, len(systems)) if len(systems) > 1 else np.zeros(1)
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.3 + 0.165 * len(order)))
        ax.axvline(0, color="0.6", linewidth=0.6, zorder=0)
        for k, system in enumerate(systems):
            rows = table.xs(system, level="system").reindex(order)
            lacking = rows["lacking"].to_numpy(bool)
            y = places + offsets[k]
            ax.hlines(y, rows["r_low"], rows["r_high"], color=colours[system], linewidth=0.8, zorder=1)
            name = drawable((labels or {}).get(system, system))
            ax.scatter(rows["r"], y, s=11, marker=_MARKERS[k % len(_MARKERS)], linewidths=0.8, zorder=2, label=name,
                       edgecolors=colours[system],
                       facecolors=["white" if lacks else colours[system] for lacks in lacking])  # fmt: skip
        ax.set_yticks(places, labels=[drawable(str(name)) for name in order])
        ax.set_ylim(len(order) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"Held-out r, {result.level:.0%} interval ({result.n_stimuli:,} stimuli)")
        ax.set_title(drawable_lines(title or "Ratings predicted from each space"))
        if len(systems) > 1:
            reference = drawable((labels or {}).get(result.reference, result.reference))
            legend = figure_of(ax).legend(
                loc="outside lower center", ncols=2, frameon=False,
                title=f"open: lacking beside {reference} (by more than {result.margin:g})",
                title_fontsize=7,
            )  # fmt: skip
            for handle, system in zip(legend.legend_handles, systems, strict=True):
                handle.set_facecolor(colours[system])  # type: ignore[union-attr]
    return figure_of(ax)
