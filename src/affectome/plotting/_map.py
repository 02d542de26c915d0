"""Maps of a space, coloured by category."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from affectome.errors import InputError
from affectome.interpretation import Projection
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_map", "plot_maps"]

_MARKERS = ("o", "^", "s")  # with the colours: 21 categories that differ in colour or in shape
_SHOWN = 17
_RADII = (5, 9, 14, 20, 27, 35, 44, 54, 66, 80)  # points from a prototype to the nearest edge of its name
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 338, 202, 67, 113, 293, 247])


def plot_map(
    projection: Projection,
    labels: pd.Series[str],
    *,
    prototypes: pd.DataFrame | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw a map of stimuli, the commonest categories in colour and shape, the rest as grey dots.

    Parameters
    ----------
    projection : Projection
    labels : Series, index stimulus ids
        Category of each stimulus.
    prototypes : DataFrame, index categories
        As :func:`affectome.interpretation.category_prototypes` gives it: the stimulus in its column ``id`` is ringed
        and named. By default none.
    title
        By default none.
    ax
        Axes to draw into; by default a figure of page width with the legend beside it.
    """
    points = projection.coordinates.join(labels.rename("category"))
    looks = _looks(points["category"])
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 4.6))
        _draw_points(ax, points, looks, size=9)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, markerscale=1.6, handletextpad=0.3)
        ax.set_title(drawable_lines(title or ""))
        ax.text(0.0, -0.01, f"{projection.caption}; axes have no unit", transform=ax.transAxes, va="top", fontsize=7,
                color="0.35")  # fmt: skip
        if prototypes is not None:
            _mark(ax, projection, prototypes)
    return figure_of(ax)


def plot_maps(
    projections: Sequence[Projection],
    labels: pd.Series[str],
    *,
    prototypes: pd.DataFrame | None = None,
    titles: Sequence[str] | None = None,
    title: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw several maps side by side with one legend, for example of one space at several perplexities.

    Parameters
    ----------
    projections : sequence of Projection
    labels, prototypes
        As in :func:`plot_map`; prototypes are ringed, and not named where there is no room.
    titles
        One for each map; by default its method and setting.
    title
        Of the figure; by default none.
    axes
        One for each map; by default those of a figure of page width, three in a row.
    """
    if not projections:
        raise InputError("there is no map to draw", remedy="give at least one")
    shown = titles or [one.caption.split(", trustworthiness")[0] for one in projections]
    if len(shown) != len(projections) or (axes is not None and len(axes) != len(projections)):
        raise InputError("there are not as many titles or axes as maps", remedy="give one for each map")
    looks = _looks(projections[0].coordinates.join(labels.rename("category"))["category"])
    with house_style():
        given = axes is not None
        places = list(axes) if axes is not None else _grid(len(projections))
        for ax, one, name in zip(places, projections, shown, strict=True):
            _draw_points(ax, one.coordinates.join(labels.rename("category")), looks, size=3.5)
            _make_square(ax, one.coordinates)
            faithful = f"trustworthiness {one.trustworthiness:.3f}"
            torn = "" if np.isnan(one.continuity) else f"\ncontinuity {one.continuity:.3f}"
            ax.set_title(drawable_lines(name), fontsize=8)
            ax.text(
                0.5, -0.01, faithful + torn, transform=ax.transAxes, ha="center", va="top", fontsize=7, color="0.35"
            )
            if prototypes is not None:
                xy = one.coordinates.loc[prototypes["id"].astype(str).tolist()].to_numpy()
                ax.scatter(xy[:, 0], xy[:, 1], s=14, facecolor="none", edgecolor="black", linewidth=0.7, zorder=4)
        figure = figure_of(places[0])
        if not given:
            figure.suptitle(drawable_lines(title or ""), fontsize=9)
            handles, names = places[0].get_legend_handles_labels()
            if prototypes is not None:
                ring = Line2D(
                    [], [], linestyle="none", marker="o", markersize=3.7, markerfacecolor="none", color="black"
                )
                ring.set_markeredgewidth(0.7)
                handles, names = [*handles, ring], [*names, "nearest to its centroid"]
            figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, markerscale=2.2,
                          handletextpad=0.2, columnspacing=1.0)  # fmt: skip
    return figure


def _grid(n: int) -> list[Axes]:
    columns = min(n, 3)
    rows = math.ceil(n / columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.25 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in grid[n:]:
        ax.remove()
    return list(grid[:n])


def _make_square(ax: Axes, coordinates: pd.DataFrame) -> None:
    """Limits of equal length about the middle of the map; the layout might stretch one map of a row."""
    xy = coordinates.to_numpy(np.float64)
    middle, reach = (xy.min(axis=0) + xy.max(axis=0)) / 2, 0.53 * np.ptp(xy, axis=0).max()
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(middle[0] - reach, middle[0] + reach)
    ax.set_ylim(middle[1] - reach, middle[1] + reach)


def _looks(categories: pd.Series[str]) -> dict[str, tuple[str, str]]:
    """Marker and colour of the commonest categories, by falling number of stimuli."""
    common = categories.value_counts().index[:_SHOWN]
    return dict(zip(common, product(_MARKERS, OKABE_ITO[:7]), strict=False))


def _draw_points(ax: Axes, points: pd.DataFrame, looks: dict[str, tuple[str, str]], *, size: float) -> None:
    rest = points[~points["category"].isin(list(looks))]
    ax.scatter(rest["x"], rest["y"], s=size / 2, color="0.75", linewidths=0, label="other" if len(rest) else None)
    for name, (marker, colour) in looks.items():
        here = points[points["category"] == name]
        ax.scatter(
            here["x"],
            here["y"],
            s=size,
            marker=marker,
            color=colour,
            linewidths=0,
            label=f"{drawable(str(name))} ({len(here)})",
        )
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _mark(ax: Axes, projection: Projection, prototypes: pd.DataFrame) -> None:
    """Ring the prototypes and write their categories beside them, none over another."""
    ids = prototypes["id"].astype(str).tolist()
    missing = [i for i in ids if i not in projection.coordinates.index]
    if missing:
        raise InputError(
            f"the prototype '{missing[0]}' is not on the map", remedy="take prototypes of the same stimuli"
        )
    xy = projection.coordinates.loc[ids].to_numpy(np.float64)
    ax.scatter(xy[:, 0], xy[:, 1], s=26, facecolor="none", edgecolor="black", linewidth=0.9, zorder=4)
    halo = [withStroke(linewidth=2.2, foreground="white")]
    look: dict[str, Any] = {
        "ha": "center",
        "va": "center",
        "fontsize": 7,
        "zorder": 6,
        "path_effects": halo,
        "annotation_clip": False,
    }
    names = [
        ax.annotate(drawable(str(name)), (place[0], place[1]), (0, 0), textcoords="offset points", **look)
        for name, place in zip(prototypes.index, xy, strict=True)
    ]
    figure_of(ax).draw_without_rendering()  # the layout decides where the points are
    renderer = figure_of(ax)._get_renderer()  # type: ignore[attr-defined]
    scale = figure_of(ax).dpi / 72
    centres = ax.transData.transform(xy)
    sizes = np.array([(box.width, box.height) for box in (text.get_window_extent(renderer) for text in names)])
    offsets = _free_places(centres, sizes, ax.get_window_extent(renderer), scale)
    for text, place, offset, size in zip(names, xy, offsets, sizes, strict=True):
        text.set_position(tuple(offset / scale))
        edge = offset * (1 - np.min(size / 2 / np.maximum(np.abs(offset), 1e-9)))  # where the leader meets the name
        line = {"arrowstyle": "-", "linewidth": 0.6, "color": "0.15", "shrinkA": 0, "shrinkB": 2.5}
        ax.annotate(
            "", (place[0], place[1]), tuple(edge / scale), textcoords="offset points", arrowprops=line, zorder=5
        )


def _free_places(centres: np.ndarray, sizes: np.ndarray, frame: Bbox, scale: float) -> np.ndarray:
    """Offsets in pixels at which names lie over no other name, ring or leader: the nearest free place in turn.

    Names in the crowd choose first. Where none is free, the one that overlaps least is taken.
    """
    n = len(centres)
    rings = np.column_stack([centres - 3.2 * scale, centres + 3.2 * scale])
    crowd = (np.linalg.norm(centres[:, None] - centres[None], axis=-1) < 40 * scale).sum(axis=1)
    taken: list[np.ndarray] = []
    leaders: list[tuple[np.ndarray, np.ndarray]] = []
    offsets = np.zeros((n, 2))
    for k in np.argsort(-crowd, kind="stable"):
        half = sizes[k] / 2
        best, least = np.zeros(2), np.inf
        for radius, angle in product(_RADII, _ANGLES):
            way = np.array([np.cos(angle), np.sin(angle)])
            offset = way * (half + radius * scale) if abs(way[0]) < 0.99 else way * (half[0] + radius * scale)
            middle = centres[k] + offset
            box = np.r_[middle - half - scale, middle + half + scale]
            inside = box[0] >= frame.x0 and box[2] <= frame.x1 and box[1] >= frame.y0 and box[3] <= frame.y1
            cost = sum(_shared(box, other) for other in taken)
            cost += sum(_shared(box, ring) for j, ring in enumerate(rings) if j != k)
            cost += sum(20 * scale for a, b in leaders if _crosses(box, a, b))
            cost += sum(20 * scale for other in taken if _crosses(other, centres[k], middle))
            cost += 0 if inside else 1e6
            if cost < least:
                best, least = offset, cost
            if least == 0:
                break
        offsets[k] = best
        middle = centres[k] + best
        taken.append(np.r_[middle - half - scale, middle + half + scale])
        leaders.append((centres[k], middle))
    return offsets


def _shared(one: np.ndarray, other: np.ndarray) -> float:
    """Area that two boxes (x0, y0, x1, y1) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return float(max(width, 0) * max(height, 0))


def _crosses(box: np.ndarray, start: np.ndarray, end: np.ndarray) -> bool:
    """Whether a line passes through a box, looked up along it."""
    along = start + np.linspace(0, 1, 25)[:, None] * (end - start)
    return bool(((along > box[:2]) & (along < box[2:])).all(axis=1).any())
