"""How well categories separate in each space, beside what guessing reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.plotting._style import COLUMN_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_category_scores"]


def plot_category_scores(
    scores: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Top-k nearest-centroid accuracy per system: plain (bar, with interval), balanced, prior and null.

    Parameters
    ----------
    scores : mapping from system to a NearestCentroid, or a mapping with its fields
    labels
        What systems are called; by default their names.
    title
        By default what was classified, and into how many categories.
    ax
        Axes to draw into; by default a figure of column width.
    """
    known = {name: score if isinstance(score, Mapping) else vars(score) for name, score in scores.items()}
    names, colours = list(known), system_colours(list(known))
    some = next(iter(known.values()))
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.35 + 0.36 * len(names)))
        for row, name in enumerate(names):
            score = known[name]
            first = row == 0
            ax.barh(row, score["value"], height=0.55, color=colours[name])
            ax.plot(
                [score["ci_low"], score["ci_high"]], [row, row], color="black", linewidth=1.2, solid_capstyle="butt"
            )
            ax.scatter(score["balanced"], row, marker="D", s=16, facecolor="white", edgecolor="black", linewidth=0.8,
                       zorder=3, label="balanced over categories" if first else None)  # fmt: skip
            ends = (row - 0.36, row + 0.36)
            prior = "always the commonest" if first else None
            ax.plot([score["prior"]] * 2, ends, color="0.2", linestyle="--", linewidth=1, label=prior)
            null = "labels permuted (95%)" if first else None
            ax.plot([score["null_high"]] * 2, ends, color="0.2", linestyle=":", linewidth=1.2, label=null)
            ax.text(1.02, row, f"{score['value']:.2f}", va="center", fontsize=7)
        ax.set_yticks(range(len(names)), labels=[(labels or {}).get(name, name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"Own category among the {some['top']} nearest")
        ax.set_title(title or f"{some['n_classes']} categories, {some['n_stimuli']:,} stimuli")
        figure_of(ax).legend(loc="outside lower center", ncols=2, frameon=False)
    return figure_of(ax)
