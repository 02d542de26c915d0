"""What kind of thing components are: shares of types, and the variance behind each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from affectome.interpretation import TYPES, ComponentTypes
from affectome.plotting._lettering import drawable, drawable_lines, ink
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["PUBLISHED_TYPES", "TYPE_COLOURS", "plot_component_types", "plot_variance_partition"]

#: Published shares (categorical, dimensional, hybrid), read off the plot of arXiv 2509.24298; its rule is not stated.
PUBLISHED_TYPES: dict[str, tuple[float, float, float]] = {"LLM": (0.37, 0.13, 0.50), "MLLM": (0.57, 0.0, 0.43)}

#: Greys, which no system has: dark, light, between the two for what is both, and none.
TYPE_COLOURS = {"categorical": "0.3", "dimensional": "0.8", "hybrid": "0.55", "unassigned": "1"}
_INK = {"categorical": "1", "dimensional": "0", "hybrid": "0", "unassigned": "0"}  # of text and hatches on them
_EDGE: dict[str, Any] = {"edgecolor": "0.2", "linewidth": 0.5}
_SHARED: dict[str, Any] = {"facecolor": "1", "hatch": "//////", **_EDGE}  # no type
_NARROW = 0.06  # a share below this has no room for its number


def plot_component_types(
    results: Mapping[str, ComponentTypes],
    labels: Mapping[str, str] | None = None,
    *,
    published: Mapping[str, tuple[float, float, float]] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Stacked bar of the shares of component types, one bar per system.

    Parameters
    ----------
    results : mapping from system to ComponentTypes
    labels
        What systems are called; by default their names.
    published : mapping from name to (categorical, dimensional, hybrid)
        Shares to show below, hatched, for reference; :data:`PUBLISHED_TYPES` holds those of the paper. Their rule is
        not known, so that they are not comparable.
    title
    ax
        Axes to draw into; by default a figure of column width.

    Notes
    -----
    The black line below a bar is the range of its first segment over subsamples of 80% of the stimuli; there is none
    where that share was the same in nearly all of them.
    """
    rows = [((labels or {}).get(name, name), result.shares["share"].reindex(TYPES).to_numpy(), result)
            for name, result in results.items()]  # fmt: skip
    given = [(name, np.array([*shares, max(0.0, 1 - sum(shares))])) for name, shares in (published or {}).items()]
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.25 + 0.34 * (len(rows) + len(given))))
        for place, (_, shares, result) in enumerate(rows):
            _stack(ax, place, shares, hatch=None)
            first = TYPES[int(np.flatnonzero(shares)[0])]
            low, high = (float(result.shares[f"stability_{end}"][first]) for end in ("low", "high"))
            if high > low:
                ax.plot([low, high], [place + 0.34] * 2, color="black", linewidth=1.4, solid_capstyle="butt")
        for place, (_, shares) in enumerate(given, start=len(rows)):
            _stack(ax, place, shares, hatch="////")
        names = [name for name, *_ in rows] + [f"{name} (published)" for name, _ in given]
        ax.set_yticks(range(len(names)), labels=[drawable(name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.set_xlabel("Share of components\n(line: its first edge in subsamples of 80%)")
        ax.set_title(drawable_lines(title or "Types of components"))
        handles = [Patch(facecolor=TYPE_COLOURS[kind], **_EDGE) for kind in TYPES]
        figure_of(ax).legend(handles, list(TYPES), loc="outside lower center", ncols=4, frameon=False,
                             columnspacing=0.9, handlelength=1.0, handletextpad=0.4)  # fmt: skip
    return figure_of(ax)


def _stack(ax: Axes, place: int, shares: np.ndarray, hatch: str | None) -> None:
    left = 0.0
    for kind, share in zip(TYPES, shares, strict=True):
        if share > 0:
            bars = ax.barh(place, share, left=left, height=0.58, facecolor=TYPE_COLOURS[kind], hatch=hatch, **_EDGE)
            if hatch:
                bars[0].set_edgecolor(_INK[kind])  # and the hatch
        if share >= _NARROW:
            box = {"facecolor": TYPE_COLOURS[kind], "edgecolor": "none", "pad": 0.8} if hatch else None
            ax.text(left + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=7, bbox=box,
                    color=_INK[kind])  # fmt: skip
        left += float(share)


def plot_variance_partition(
    result: ComponentTypes, *, names: Mapping[str, str] | None = None, title: str | None = None, ax: Axes | None = None
) -> Figure:
    """Held-out variance of every component: unique to categories, shared, unique to dimensions.

    Components stand in their order. Parts below 0 (a family that only adds noise) are drawn as 0. A black line is the
    interval of the R2 of both families; a name is shaded in the grey of the component's type.

    Parameters
    ----------
    result : ComponentTypes
    names
        What components are called; by default their own names.
    title
    ax
        Axes to draw into; by default a figure of page width.
    """
    table = result.components
    parts = {
        "unique_categories": "unique to categories",
        "shared": "shared",
        "unique_dimensions": "unique to dimensions",
    }
    looks: list[dict[str, Any]] = [
        {"facecolor": TYPE_COLOURS["categorical"], **_EDGE},
        _SHARED,
        {"facecolor": TYPE_COLOURS["dimensional"], **_EDGE},
    ]
    with house_style():
        called = [drawable((names or {}).get(str(name), str(name))) for name in table.index]
        longest = max(ink(name, 7)[0] for name in called) / 72  # inches, below the bars
        ax = new_axes(ax, (PAGE_WIDTH, 2.7 + longest))
        x, bottom = np.arange(len(table)), np.zeros(len(table))
        for (column, label), look in zip(parts.items(), looks, strict=True):
            height = np.nan_to_num(np.maximum(table[column].to_numpy(np.float64), 0))
            ax.bar(x, height, bottom=bottom, width=0.78, label=label, **look)
            bottom += height
        low, high = (table[f"r2_both_{end}"].to_numpy(np.float64) for end in ("low", "high"))
        ax.vlines(
            x,
            low,
            high,
            color="black",
            linewidth=0.9,
            path_effects=[withStroke(linewidth=2.2, foreground="white")],
            label=f"R² of both, {result.level:.0%} interval",
        )
        ax.set_xticks(x, labels=called, rotation=90)
        for tick, kind in zip(ax.get_xticklabels(), table["type"], strict=True):
            tick.set_color(_INK[str(kind)])
            tick.set_bbox({"facecolor": TYPE_COLOURS[str(kind)], "edgecolor": "none", "pad": 0.7})
        ax.set_xlim(-0.7, len(table) - 0.3)
        ax.set_ylim(0, 1)
        ax.tick_params(axis="x", length=0, pad=3)
        ax.set_ylabel("Held-out R² over stimuli")
        ax.set_xlabel(
            f"shaded by type (q < {result.alpha:g}, unique R² ≥ {result.minimum:g})", loc="left", color="0.35"
        )
        ax.set_title(drawable_lines(title or "What of each component is in the ratings"), loc="left")
        handles, labels = ax.get_legend_handles_labels()
        for kind in TYPES:
            if (table["type"] == kind).any():
                handles.append(Patch(facecolor=TYPE_COLOURS[kind], **_EDGE))
                labels.append(kind)
        figure_of(ax).legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure_of(ax)
