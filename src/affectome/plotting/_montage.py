"""The strongest stimuli of components: their pictures, or their captions alone."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation import TopStimuli
from affectome.plotting._lettering import drawable, ink, shortened, wrapped
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, figure_of, house_style
from affectome.plotting._word_cloud import point_axes

__all__ = ["plot_top_stimuli"]

# All in points.
_TEXT, _NAME, _TITLE = 7.0, 8.0, 9.0
_LINE = 8.8
_HEAD, _GAP, _PAD = 15.0, 5.0, 2.0
_CAPTION_LINES = 4
_BETWEEN = 14.0  # components beside each other
_ACROSS = 8  # tiles beside each other where several components are shown
_ACROSS_ALONE = 4
_BAR = 0.1  # the longest bar of a weight, as a share of the width


class Picture(Protocol):
    """What a thumbnail must have: a JPEG file, or the reason why there is none."""

    @property
    def jpeg(self) -> bytes: ...
    @property
    def blurred(self) -> bool: ...
    @property
    def problem(self) -> str: ...


def plot_top_stimuli(
    result: TopStimuli,
    thumbnails: Mapping[str, Picture] | None = None,
    *,
    components: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int | None = None,
    colour: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the strongest stimuli of components, the strongest at the upper left.

    With thumbnails, every stimulus is a picture over its id, weight and the beginning of its caption. Without, it is a
    line: a bar as long as its weight (within the component), id, weight and as much of the caption as fits.

    Parameters
    ----------
    result : TopStimuli
    thumbnails : mapping from id to Thumbnail, optional
        As :func:`affectome.stimuli.thumbnails` makes them. A stimulus without one, or whose clip could not be read, is
        a grey tile that says so.
    components
        Which to show, in this order; by default all, on a figure as high as that takes. About five with pictures, or
        seven with captions alone, fill a page; so do the three strongest captions of 30 in two columns.
    names
        What components are called; by default as in the space.
    title
    columns
        Pictures beside each other, by default 8, and 4 for a single component; with captions alone, components
        beside each other, by default 1.
    colour
        Of the bars and of the line below each name, for example a system's from :func:`system_colours`; by default
        light blue and grey.
    ax
        Axes to draw into; by default a figure of page width.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
        For an unknown component, none at all, or axes that are too low for what they should hold.
    """
    thumbnails = thumbnails or None
    shown = list(result.components if components is None else components)
    if not shown:
        raise InputError("no component is named", remedy=f"choose from {cut_short(result.components)}")
    across = columns or (_default_columns(len(shown)) if thumbnails is not None else 1)
    if across < 1:
        raise InputError(f"columns={columns} leave no room", remedy="use columns >= 1")
    blocks = {name: result.of(name) for name in shown}
    with house_style():
        width = 72 * PAGE_WIDTH if ax is None else point_axes(ax, (1, 1))[1]
        tile = None if thumbnails is None else (width - 2 * _PAD) / across
        beside = across if thumbnails is None else 1  # components
        heights = [_block_height(len(rows), tile, across) for rows in blocks.values()]
        rows_of_blocks = [max(heights[k : k + beside]) for k in range(0, len(heights), beside)]
        needed = sum(rows_of_blocks) + _LINE + 4 + (_HEAD if title else 0)
        ax, width, height = point_axes(ax, (PAGE_WIDTH, needed / 72))
        if height < needed - 0.5:
            raise InputError(
                f"the axes are {height / 72:.1f} inches high, and {len(shown)} components need {needed / 72:.1f}",
                remedy="make the figure higher or show fewer components",
            )
        top = height
        if title:
            ax.text(_PAD, top - 3, shortened(drawable(title), width, _TITLE), fontsize=_TITLE, va="top", gid="title")
            top -= _HEAD
        room = (width - 2 * _PAD - (beside - 1) * _BETWEEN) / beside
        for k, (name, rows) in enumerate(blocks.items()):
            left = _PAD + k % beside * (room + _BETWEEN)
            _header(ax, (names or {}).get(name, name), rows, (left, top), room, colour or "0.8")
            if thumbnails is None or tile is None:
                _lines(ax, rows, (left, top - _HEAD), room, colour or OKABE_ITO[5])
            else:
                _tiles(ax, rows, thumbnails, top - _HEAD, tile, across)
            if k % beside == beside - 1:
                top -= rows_of_blocks[k // beside]
        ax.text(_PAD, 3, _note(blocks, thumbnails), fontsize=_TEXT, color="0.35", gid="note")
        ax.set(xlim=(0, width), ylim=(0, height))  # pictures move them
    return figure_of(ax)


def _default_columns(n_components: int) -> int:
    return _ACROSS if n_components > 1 else _ACROSS_ALONE


def _block_height(n: int, tile: float | None, across: int) -> float:
    if tile is None or n == 0:
        return _HEAD + max(n, 1) * (_LINE + 1) + _GAP
    return _HEAD + -(-n // across) * _tile_height(tile) + _GAP


def _tile_height(tile: float) -> float:
    return 0.75 * (tile - _GAP) + (1 + _CAPTION_LINES) * _LINE + _GAP


def _header(ax: Axes, name: str, rows: pd.DataFrame, corner: tuple[float, float], width: float, colour: str) -> None:
    left, top = corner
    fact = f"these {len(rows)}: {100 * rows['cumulative'].iloc[-1]:.1f}% of its weight" if len(rows) else ""
    room = width - 6 - ink(fact, _TEXT)[0] if fact else width
    ax.text(left, top - 3, shortened(drawable(name), room, _NAME), fontsize=_NAME, va="top", gid="name")
    ax.text(left + width, top - 3.5, fact, fontsize=_TEXT, va="top", ha="right", color="0.35", gid="share")
    ax.plot([left, left + width], [top - 13] * 2, color=colour, linewidth=0.5, gid="rule")
    if not len(rows):
        ax.text(left, top - _HEAD - 1, "no stimulus has a weight", fontsize=_TEXT, va="top", color="0.35", gid="none")


def _lines(ax: Axes, rows: pd.DataFrame, corner: tuple[float, float], width: float, colour: str) -> None:
    """One line per stimulus: bar, weight and id, caption."""
    if rows.empty:
        return
    left, top = corner
    bar = _BAR * width
    labels = [shortened(drawable(str(name)), width / 5, _TEXT) for name in rows["id"]]
    weights = [f"{weight:.2f}" for weight in rows["weight"]]
    ends = left + bar + 4 + max(ink(weight, _TEXT)[0] for weight in weights)  # right-aligned weights, then ids
    begins = ends + 12 + max(ink(label, _TEXT)[0] for label in labels)
    lengths = bar * rows["weight"].to_numpy() / rows["weight"].iloc[0]
    for k, (label, weight, length, caption) in enumerate(zip(labels, weights, lengths, rows["caption"], strict=True)):
        middle = top - (k + 0.5) * (_LINE + 1)
        ax.add_patch(Rectangle((left, middle - 2.5), length, 5, color=colour, linewidth=0, gid="bar"))
        excerpt = shortened(drawable(str(caption)), left + width - begins, _TEXT)
        for x, text, side, part in (
            (ends, weight, "right", "weight"),
            (ends + 6, label, "left", "id"),
            (begins, excerpt, "left", "caption"),
        ):
            shade = "0.35" if part == "weight" else "black"
            ax.text(x, middle, text, fontsize=_TEXT, va="center_baseline", ha=side, color=shade, gid=part)


def _tiles(
    ax: Axes, rows: pd.DataFrame, thumbnails: Mapping[str, Picture], top: float, tile: float, across: int
) -> None:
    inner = tile - _GAP
    box = 0.75 * inner
    for k, row in enumerate(rows.itertuples()):
        left, upper = _PAD + k % across * tile, top - k // across * _tile_height(tile)
        picture = thumbnails.get(str(row.id))
        problem = "no picture" if picture is None else picture.problem
        if picture is None or problem:
            ax.add_patch(Rectangle((left, upper - box), inner, box, facecolor="0.85", linewidth=0, gid="missing"))
            ax.text(left + inner / 2, upper - box / 2, problem.replace(" ", "\n"), fontsize=_TEXT, ha="center",
                    va="center", color="0.25", linespacing=1.1, gid="problem")  # fmt: skip
        else:
            pixels = _pixels(picture.jpeg)
            scale = min(inner / pixels.shape[1], box / pixels.shape[0])
            w, h = scale * pixels.shape[1], scale * pixels.shape[0]
            x, y = left + (inner - w) / 2, upper - (box + h) / 2
            ax.imshow(pixels, extent=(x, x + w, y, y + h), aspect="auto", gid=f"picture {row.id}")
        weight = f" · {row.weight:.2f}"
        label = shortened(drawable(str(row.id)), inner - ink(weight, _TEXT)[0], _TEXT)
        ax.text(left, upper - box - 1.5, label + weight, fontsize=_TEXT, va="top", color="0.35", gid="id")
        for j, line in enumerate(wrapped(drawable(str(row.caption)), inner, _TEXT, _CAPTION_LINES)):
            place = upper - box - 1.5 - (j + 1) * _LINE
            ax.text(left, place, line, fontsize=_TEXT, va="top", gid="caption")


def _pixels(jpeg: bytes) -> Any:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def _note(blocks: Mapping[str, pd.DataFrame], thumbnails: Mapping[str, Picture] | None) -> str:
    notes = ["id · weight" if thumbnails is not None else "bar and number: weight"]
    if any((rows["caption"] != "").any() for rows in blocks.values()):
        notes.append("the most typical caption of each")
    if thumbnails is not None:
        shown = {str(name) for rows in blocks.values() for name in rows["id"]}
        blurred = sum(thumbnails[name].blurred for name in shown if name in thumbnails)
        notes += [f"{blurred:,} of {len(shown):,} stimuli blurred on purpose"] if blurred else []
    return "; ".join(notes)
