"""The affective graph: components as discs, communities inside smooth hulls."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Polygon
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from affectome.interpretation import AffectiveGraph
from affectome.plotting._lettering import drawable
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_affective_graph"]

Floats = NDArray[np.float64]
Place = tuple[float, float]

_TEXT = 7  # points
_LINE = 0.125  # inches from one line of text to the next
_RADIUS = (0.055, 0.16)  # inches, of the smallest and largest PageRank
_ROUNDING = 0.09  # inches from what a hull holds to its edge
_GAP = 0.12  # inches between hulls
_NUMBER = 0.14  # inches for the number above a hull
_FLAT = 1.9  # width of a ring over its height
_FILLS = (OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[3], OKABE_ITO[4], OKABE_ITO[5])
_HATCHES = ("", "////", "....", "xxxx")
_ALONE = "0.78"  # grey of a component without community


@dataclass(frozen=True)
class _Node:
    """A component with its label: the box holds both, (0, 0) is the centre of the disc; inches."""

    component: str
    label: str
    radius: float
    half_width: float
    below: float

    def corners(self, x: float, y: float) -> Floats:
        """Points that a hull must hold."""
        w, r = self.half_width, self.radius
        return np.array([[x - w, y - self.below], [x + w, y - self.below], [x - w, y - r], [x + w, y - r], [x, y + r]])


def plot_affective_graph(
    graph: AffectiveGraph,
    names: Mapping[str, str] | pd.Series[str] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the components of a space, the edges between them and their communities.

    A disc is a component, its area its PageRank; a line is an edge, its width the correlation (dashed between
    communities). Every community of two or more has a hull with its number; communities of one stand below, in grey.
    Places show who belongs together and nothing else.

    Parameters
    ----------
    graph : AffectiveGraph
    names : mapping or Series from cluster to name, optional
        What the legend calls the communities: the names of :func:`affectome.interpretation.cluster_profiles`.
    title
    ax
        Axes to draw into, best of page width; by default a figure as high as the graph needs.

    Returns
    -------
    matplotlib Figure
    """
    members = {name: list(group) for name, group in graph.members().items()}
    with house_style():
        nodes = _nodes(graph)
        many = {name: inside for name, inside in members.items() if len(inside) > 1}
        alone = [inside[0] for inside in members.values() if len(inside) == 1]
        width = PAGE_WIDTH - 0.3
        places, height = _layout(graph, nodes, many, alone, width)
        rows = -(-(len(many) + 5) // 2)
        ax = new_axes(ax, (PAGE_WIDTH, height + 0.3 + 0.17 * rows))
        ax.set(xlim=(0, width), ylim=(-height, 0), aspect="equal")
        ax.axis("off")
        colours = {name: (_FILLS[k % 6], _HATCHES[k // 6 % 4]) for k, name in enumerate(many)}
        for number, (name, inside) in enumerate(many.items(), start=1):
            _draw_hull(ax, [nodes[c].corners(*places[c]) for c in inside], str(number), *colours[name])
        _draw_edges(ax, graph, places)
        for component, node in nodes.items():
            x, y = places[component]
            cluster = str(graph.components.at[component, "cluster"])
            face = colours[cluster][0] if cluster in colours else _ALONE
            ax.add_patch(Circle((x, y), node.radius, facecolor=face, edgecolor="black", linewidth=0.6, zorder=3))
            # A box, not a stroke: a stroked text is no text in an SVG.
            ax.text(x, y - node.radius - 0.02, node.label, ha="center", va="top", fontsize=_TEXT, linespacing=1.05,
                    bbox={"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.3}, zorder=4)  # fmt: skip
        _legend(ax, graph, many, len(alone), colours, {} if names is None else dict(names))
        ax.set_title(title or "Affective graph")
    return figure_of(ax)


def _nodes(graph: AffectiveGraph) -> dict[str, _Node]:
    rank = graph.components["pagerank"].to_numpy(np.float64)
    radius = np.maximum(_RADIUS[1] * np.sqrt(rank / rank.max()), _RADIUS[0])
    found = {}
    for component, name, size in zip(graph.components.index, graph.components["name"], radius, strict=True):
        lines = _lines(drawable(str(name)))
        wide = max(TextPath((0, 0), line, size=_TEXT).get_extents().width for line in lines) / 72
        below = size + 0.04 + _LINE * len(lines)
        found[str(component)] = _Node(
            str(component), "\n".join(lines), float(size), max(1.08 * wide / 2 + 0.03, float(size)), below
        )
    return found


def _lines(name: str) -> list[str]:
    """A name in up to three short lines, broken at spaces, hyphens and slashes."""
    slashed = re.sub(r"/(?=\S)", "/\0 ", name)  # textwrap breaks at spaces; this one is taken out again
    lines = textwrap.wrap(slashed, 16, max_lines=3, placeholder="…")
    return [line.replace("\0 ", "").replace("\0", "") for line in lines] or [name]


def _layout(
    graph: AffectiveGraph,
    nodes: Mapping[str, _Node],
    many: Mapping[str, list[str]],
    alone: list[str],
    width: float,
) -> tuple[dict[str, Place], float]:
    """Places in inches, communities on shelves from the top left, those of one in rows below; and the height used."""
    places: dict[str, Place] = {}
    shelves: list[list[tuple[dict[str, Place], Floats]]] = []
    used = np.inf
    for inside in many.values():
        ring = _ring(graph, nodes, inside)
        corners = np.concatenate([nodes[c].corners(*place) for c, place in ring.items()])
        box = np.array([corners.min(axis=0) - _ROUNDING, corners.max(axis=0) + _ROUNDING + (0, _NUMBER)])
        used += np.ptp(box[:, 0]) + _GAP
        if used > width:
            shelves.append([])
            used = np.ptp(box[:, 0])
        shelves[-1].append((ring, box))
    top = 0.05
    for shelf in shelves:
        sizes = np.array([np.ptp(box, axis=0) for _, box in shelf])  # (n_blocks, 2)
        spare, left, tallest = (width - sizes[:, 0].sum()) / (len(shelf) + 1), 0.0, sizes[:, 1].max()
        for (ring, box), (wide, high) in zip(shelf, sizes, strict=True):
            left += spare
            sink = top + (tallest - high) / 2 + box[1, 1]
            places |= {c: (float(left + x - box[0, 0]), float(y - sink)) for c, (x, y) in ring.items()}
            left += wide
        top += tallest + _GAP
    if alone:
        widest = max(2 * nodes[c].half_width for c in alone) + 0.08
        lowest = max(nodes[c].radius + nodes[c].below for c in alone) + 0.08
        n_columns = max(1, min(len(alone), int(width / widest)))
        above = max(nodes[c].radius for c in alone)
        for number, component in enumerate(alone):
            row, column = divmod(number, n_columns)
            places[component] = ((column + 0.5) * width / n_columns, -(top + above + row * lowest))
        top += lowest * -(-len(alone) // n_columns)
    return places, top


def _ring(graph: AffectiveGraph, nodes: Mapping[str, _Node], inside: list[str]) -> dict[str, Place]:
    """Members on an ellipse, neighbours in the graph side by side, the most central in the middle of five or more."""
    rank = dict(zip(graph.components.index, graph.components["pagerank"].to_numpy(np.float64), strict=True))
    r = graph.correlations
    falling = sorted(inside, key=lambda c: (-rank[c], c))
    middle = falling[:1] if len(inside) >= 5 else []
    chain: list[str] = []
    left = [c for c in falling if c not in middle]
    while left:
        last = chain[-1] if chain else left[0]
        closest = left[int(np.argmax(r.loc[last, left].to_numpy(np.float64)))]  # itself, where it is the first
        chain.append(closest)
        left.remove(closest)
    start = 0.0 if len(chain) == 2 else np.pi / 2
    angle = start + 2 * np.pi * np.arange(len(chain)) / len(chain)
    scale = 0.3
    while True:
        places = {
            c: (_FLAT * scale * float(np.cos(a)), scale * float(np.sin(a))) for c, a in zip(chain, angle, strict=True)
        }
        places |= dict.fromkeys(middle, (0.0, 0.0))
        if not _collide([nodes[c].corners(*place) for c, place in places.items()]):
            return places
        scale *= 1.04


def _collide(boxes: list[Floats]) -> bool:
    """Whether any two boxes come closer than a little gap."""
    low = np.array([box.min(axis=0) for box in boxes]) - 0.03
    high = np.array([box.max(axis=0) for box in boxes]) + 0.03
    apart = ((low[:, None] >= high[None]) | (low[None] >= high[:, None])).any(axis=2)
    return not bool((apart | np.eye(len(boxes), dtype=bool)).all())


def _draw_hull(ax: Axes, corners: list[Floats], number: str, colour: str, hatch: str) -> None:
    from scipy.spatial import ConvexHull

    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    disc = _ROUNDING * np.column_stack([np.cos(turn), np.sin(turn)])
    points = (np.concatenate(corners)[:, None] + disc).reshape(-1, 2)  # a hull of discs has round corners
    outline = points[ConvexHull(points).vertices]
    ax.add_patch(Polygon(outline, closed=True, facecolor=(colour, 0.13), edgecolor=colour, linewidth=1.0, hatch=hatch,
                         hatch_linewidth=0.3, zorder=1, label=number))  # fmt: skip
    middle = (outline[:, 0].min() + outline[:, 0].max()) / 2
    ax.text(
        middle, outline[:, 1].max() + 0.01, number, ha="center", va="bottom", fontsize=8, fontweight="bold", zorder=4
    )


def _draw_edges(ax: Axes, graph: AffectiveGraph, places: Mapping[str, Place]) -> None:
    cluster = graph.components["cluster"]
    for source, target, r in graph.edges[["source", "target", "r"]].itertuples(index=False):
        (x0, y0), (x1, y1) = places[source], places[target]
        inside = cluster[source] == cluster[target]
        ax.plot([x0, x1], [y0, y1], color="0.3" if inside else "0.6", linewidth=_width(r), gid=f"{source}--{target}",
                linestyle="-" if inside else (0, (4, 2)), zorder=2)  # fmt: skip


def _width(r: float) -> float:
    return max(0.5, 4.0 * r)


def _legend(
    ax: Axes,
    graph: AffectiveGraph,
    many: Mapping[str, list[str]],
    n_alone: int,
    colours: Mapping[str, tuple[str, str]],
    names: Mapping[Any, str],
) -> None:
    handles: list[Any] = [
        Patch(
            facecolor=(colours[name][0], 0.35),
            edgecolor=colours[name][0],
            hatch=colours[name][1],
            label=f"{number}  {names.get(name, name)} ({len(inside)})",
        )
        for number, (name, inside) in enumerate(many.items(), start=1)
    ]
    if n_alone:
        handles.append(Line2D([], [], marker="o", linestyle="", markerfacecolor=_ALONE, markeredgecolor="black",
                              markersize=5, label=f"in a community of one ({n_alone})"))  # fmt: skip
    low, high = graph.threshold, 0.6
    handles += [Line2D([], [], color="0.3", linewidth=_width(r), label=f"r = {r:.1f}") for r in (low, high)]
    cluster = graph.components["cluster"]
    if any(cluster[a] != cluster[b] for a, b in zip(graph.edges["source"], graph.edges["target"], strict=True)):
        handles.append(Line2D([], [], color="0.6", linewidth=1, linestyle=(0, (4, 2)), label="between communities"))
    handles.append(Line2D([], [], linestyle="", label="area of a disc: PageRank"))
    columns = 2 if len(many) > 2 else 1
    figure_of(ax).legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=1.8)
