"""Roses: what single stimuli are made of, and where two systems see them differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Arc, Circle, Patch, Wedge
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.interpretation import ProfileDifference, StimulusProfiles
from affectome.plotting._lettering import drawable, wrapped
from affectome.plotting._style import (
    COLUMN_WIDTH,
    OKABE_ITO,
    PAGE_WIDTH,
    figure_of,
    house_style,
    new_axes,
    system_colours,
)

__all__ = ["plot_rose", "plot_rose_difference"]

Floats = NDArray[np.float64]

_SIZE = 7.0  # points, of labels
_WIDTH, _HEIGHT = 4.9, 2.8  # of one rose with its labels, in radii of the rose
_PANEL = COLUMN_WIDTH  # inches
_ROW = 0.36  # between two labels of one side, in radii
_CORE, _PALE = "0.80", 0.35
_SEEN = 0.05  # radius of the smallest petal that can be told from none


def plot_rose(
    result: StimulusProfiles,
    *,
    captions: Mapping[str, str] | None = None,
    colour: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the components of each stimulus as petals, all stimuli on one scale.

    Every component has its place around the circle, clockwise from the top, in all roses. The *area* of a petal is
    proportional to the weight (its radius to the square root), since it is areas that are seen. Petals that matter are
    in full colour and named.

    Parameters
    ----------
    result : StimulusProfiles
    captions : mapping from id to text
        Written under the id.
    colour
        Of the petals, for example a system's from :func:`system_colours`.
    title
    ax
        Axes to draw into, for one stimulus; by default a figure of one or two roses per row.
    """
    ids = result.weights.index.tolist()
    radii = np.sqrt(result.weights.to_numpy() / result.scale)
    marked = result.marked.to_numpy()
    names = [result.names[str(name)] for name in result.weights.columns]
    with house_style():
        axes = _panels(ids, ax)
        for k, panel in enumerate(axes):
            _ground(panel, ids[k], captions)
            for place, (radius, full) in enumerate(zip(radii[k], marked[k], strict=True)):
                petal = _petal(place, len(names), 0, radius)
                petal.set(
                    facecolor=colour or OKABE_ITO[0], alpha=1 if full else _PALE, edgecolor="white", linewidth=0.4
                )
                panel.add_patch(petal)
            _name_petals(panel, names, marked[k], radii[k])
        _explain(axes, _rings("weight", result.scale), title, ax)
    return figure_of(axes[0])


def plot_rose_difference(
    result: ProfileDifference,
    *,
    labels: Mapping[str, str] | None = None,
    captions: Mapping[str, str] | None = None,
    unit: str = "rating",
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw what two systems predict of the ratings of each stimulus, and where they differ.

    Petals are ratings. The grey core is what both predict; the coloured part beyond it is what the system of that
    colour predicts more of. Areas are proportional to the values (radii to their square roots), so that a coloured area
    is the difference itself. Black arcs are what people said. The largest differences that keep their sign over the
    repeats are in full colour and named. Predictions below 0 are drawn as 0; where both are, there is no petal to name.

    Parameters
    ----------
    result : ProfileDifference
    labels
        What systems are called; by default their names.
    captions : mapping from id to text
        Written under the id.
    unit
        What a rating is, for example ``"share of raters"``.
    title
    ax
        Axes to draw into, for one stimulus.
    """
    ids, names = result.first.index.tolist(), [str(name) for name in result.first.columns]
    colours = system_colours(list(result.systems))
    one, two, rated = (
        np.sqrt(np.clip(table.to_numpy(), 0, None) / result.scale)
        for table in (result.first, result.second, result.rated)
    )
    marked = result.marked.to_numpy()
    with house_style():
        axes = _panels(ids, ax)
        for k, panel in enumerate(axes):
            _ground(panel, ids[k], captions)
            for place, name in enumerate(names):
                inner, outer = sorted((float(one[k, place]), float(two[k, place])))
                more = result.systems[int(two[k, place] > one[k, place])]
                core, edge = _petal(place, len(names), 0, inner), _petal(place, len(names), inner, outer)
                core.set(facecolor=_CORE, edgecolor="white", linewidth=0.4)
                edge.set(facecolor=colours[more], alpha=1 if marked[k, place] else _PALE, edgecolor="white")
                edge.set(linewidth=0.4, label=f"{name}: {more}")
                panel.add_patch(core)
                panel.add_patch(edge)
                panel.add_patch(_arc(place, len(names), float(rated[k, place])))
            tips = np.maximum(one[k], two[k])
            _name_petals(panel, names, marked[k] & (tips >= _SEEN), tips)
        called = [(labels or {}).get(name, name) for name in result.systems]
        shown: list[Patch | Line2D] = [Patch(color=_CORE, label="predicted by both")]
        shown += [Patch(color=colours[s], label=f"more by {c}") for s, c in zip(result.systems, called, strict=True)]
        shown.append(Line2D([], [], color="black", linewidth=0.9, label="rated"))
        key: dict[str, Any] = {
            "handles": shown,
            "ncols": 2,
            "frameon": False,
            "title": _rings(unit, result.scale),
            "title_fontsize": _SIZE,
        }
        if ax is not None:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), **key)
        else:
            figure_of(axes[0]).legend(loc="outside lower center", **key)
        _explain(axes, "", title, ax)
    return figure_of(axes[0])


def _panels(ids: Sequence[str], ax: Axes | None) -> list[Axes]:
    """Axes for each stimulus: the one that is given, or those of a figure of one or two columns."""
    if ax is not None:
        if len(ids) > 1:
            raise InputError(f"one axes cannot hold the roses of {len(ids)} stimuli", remedy="leave ax out")
        return [ax]
    if len(ids) == 1:
        return [new_axes(None, (_PANEL, _PANEL * _HEIGHT / _WIDTH + 0.55))]
    rows = -(-len(ids) // 2)
    figure = Figure(figsize=(PAGE_WIDTH, rows * (_PANEL * _HEIGHT / _WIDTH + 0.25) + 0.55), layout="constrained")
    grid = figure.subplots(rows, 2, squeeze=False).ravel()
    for empty in grid[len(ids) :]:
        empty.set_visible(False)
    return list(grid[: len(ids)])


def _ground(ax: Axes, stimulus: str, captions: Mapping[str, str] | None) -> None:
    """An empty rose: two rings, a title, and room for the labels at both sides."""
    ax.set(xlim=(-_WIDTH / 2, _WIDTH / 2), ylim=(-_HEIGHT / 2, _HEIGHT / 2), aspect="equal", xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    for radius in (0.5, 1.0):
        ax.add_patch(Circle((0, 0), radius, facecolor="none", edgecolor="0.75", linewidth=0.5, zorder=0.5))
    text = drawable((captions or {}).get(stimulus, ""))
    lines = wrapped(text, _PANEL * 72 * 0.92, _SIZE, 2) if text else []
    ax.set_title("\n".join([stimulus, *lines]), fontsize=_SIZE)


def _petal(place: int, n: int, inner: float, outer: float) -> Wedge:
    """The petal at a place around the circle, clockwise from the top, between two radii."""
    start = 90 - 360 * (place + 1) / n
    return Wedge((0, 0), outer, start, start + 360 / n, width=outer - inner if inner > 0 else None)


def _arc(place: int, n: int, radius: float) -> Arc:
    start = 90 - 360 * (place + 1) / n
    return Arc((0, 0), 2 * radius, 2 * radius, theta1=start, theta2=start + 360 / n, color="black", linewidth=0.9)


def _name_petals(ax: Axes, names: Sequence[str], marked: NDArray[np.bool_], radii: Floats) -> None:
    """Names at both sides, as high as their petals but never on one another, each joined to its petal."""
    angle = np.pi / 2 - 2 * np.pi * (np.arange(len(names)) + 0.5) / len(names)
    for side in (-1, 1):
        here = np.flatnonzero(marked & ((np.cos(angle) >= 0) == (side > 0)))
        here = here[np.argsort(np.sin(angle[here]), kind="stable")]
        heights = _apart(1.2 * np.sin(angle[here]))
        for place, height in zip(here, heights, strict=True):
            tip = radii[place] * np.array([np.cos(angle[place]), np.sin(angle[place])])
            ax.plot([tip[0], side * 1.12, side * 1.2], [tip[1], height, height], color="0.45", linewidth=0.5, zorder=3)
            room = (_WIDTH / 2 - 1.22) * _PANEL * 72 / _WIDTH
            ax.text(
                side * 1.23,
                height,
                "\n".join(wrapped(drawable(names[int(place)]), room, _SIZE, 2)),
                fontsize=_SIZE,
                linespacing=0.95,
                ha="left" if side > 0 else "right",
                va="center",
            )


def _apart(heights: Floats) -> Floats:
    """Rising heights moved as little as keeps neighbours a row apart, within the panel."""
    moved = heights.copy()
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + _ROW)
    top = _HEIGHT / 2 - _ROW / 2
    for k in range(len(moved) - 1, -1, -1):
        moved[k] = min(moved[k], top - _ROW * (len(moved) - 1 - k))
    return moved


def _rings(what: str, scale: float) -> str:
    return f"Petal area ∝ {what}; outer ring {scale:.2g}, inner ring {scale / 4:.2g}"


def _explain(axes: Sequence[Axes], text: str, title: str | None, ax: Axes | None) -> None:
    """The title of the figure, and what areas mean, once: below the figure, or below axes that were given."""
    if ax is not None:
        ax.set_xlabel(text, color="0.35", fontsize=_SIZE)
        ax.set_title("\n".join(part for part in (title, ax.get_title()) if part), fontsize=_SIZE)
        return
    if text:
        figure_of(axes[0]).supxlabel(text, color="0.35", fontsize=_SIZE)
    if title:
        figure_of(axes[0]).suptitle(title, fontsize=9)
