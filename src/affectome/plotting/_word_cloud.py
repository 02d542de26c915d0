"""Word clouds whose words are text: sharp at any size, found by a search, never too small to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.errors import EnvironmentFailure, InputError
from affectome.plotting._lettering import REPLACEMENT, drawable, font_file, ink, shortened
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, PAGE_WIDTH, figure_of, house_style, legible_colour

__all__ = ["PlacedWord", "lay_out_words", "plot_word_cloud", "plot_word_clouds"]

SMALLEST = 7.0  # points: smaller text is not for reading
_LARGEST = 30.0
_FLOOR = 1.5 * SMALLEST  # rather leave words out than let the strongest become smaller than this
_STEP = 0.88  # from one trial of the largest size to the next
_DENSITY = 0.62  # share of the area that words can fill; denser trials always fail
_GRAIN = 2  # pixels per point of the grid on which words are placed
_MARGIN = 4.5  # points between words
_SLACK = 1.03  # letters on the grid may be a little wider than their outlines
_PAD = 2.0
#: By whether the weight is negative; vermilion as dark as small text needs.
_COLOURS = {False: OKABE_ITO[0], True: "#B34700"}
_OTHER = "0.35"  # of negative weights beside a colour that was given


@dataclass(frozen=True)
class PlacedWord:
    """A word of a cloud, in points from the lower left corner.

    Attributes
    ----------
    text : str
        As it is drawn; a negative weight puts a minus sign before it.
    weight : float
    size : float
        Of the font, in points.
    left, baseline : float
    width : float
        Of what is drawn.
    """

    text: str
    weight: float
    size: float
    left: float
    baseline: float
    width: float


def lay_out_words(
    weights: pd.Series[float], width: float, height: float, *, max_words: int = 40, seed: int = 0
) -> list[PlacedWord]:
    """Place words in a rectangle, all horizontal, none over another.

    Parameters
    ----------
    weights : Series from word to weight
        Zeros are left out.
    width, height
        Of the rectangle, in points.
    max_words
        The words of largest absolute weight.
    seed
        Moves the words about and changes nothing else.

    Returns
    -------
    list of PlacedWord
        The strongest first. Words for which there is no room at 7 points are left out, and so are those in letters that
        the font (DejaVu Sans) lacks.

    Raises
    ------
    InputError
        For a word that appears twice, a weight that is no finite number, no word with a weight, or a rectangle
        without room for text.
    EnvironmentFailure
        When the extra ``words`` is not installed.

    Notes
    -----
    The size is linear in the absolute weight, from 7 points at weight 0 to the largest at which all words fit (30
    points at most). Where that would be less than 10.5 points, the weakest words are left out instead.
    """
    words = _strongest(weights, max_words)
    if min(width, height) < 2 * SMALLEST:
        raise InputError(f"{width:.0f} x {height:.0f} points are no room for words", remedy="make the axes larger")
    strength = words.abs() / words.abs().iloc[0]
    texts = [("−" if weight < 0 else "") + drawable(str(word)) for word, weight in words.items()]
    cap = min(_LARGEST, height / 2.5)
    while True:
        cap = max(cap, SMALLEST)
        sizes = np.round(_GRAIN * (SMALLEST + (cap - SMALLEST) * strength.to_numpy())).astype(int)
        inks = [ink(text, size / _GRAIN) for text, size in zip(texts, sizes, strict=True)]
        fits = [_SLACK * extent[0] + _MARGIN < width for extent in inks]
        dense = sum((w + _MARGIN) * (h + _MARGIN) for w, h, _ in inks) > _DENSITY * width * height
        if cap == SMALLEST or (all(fits) and (not dense or cap <= _FLOOR)):
            wanted = {text: int(size) for text, size, fit in zip(texts, sizes, fits, strict=True) if fit}
            corners = _placed(wanted, width, height, seed)
            if len(corners) == len(wanted) or (cap <= _FLOOR and corners) or cap == SMALLEST:
                break
        cap = _FLOOR if _STEP * cap < _FLOOR < cap else _STEP * cap
    made = [
        PlacedWord(
            text, float(weight), float(size / _GRAIN), corners[text][0], height - corners[text][1] - (h - depth), w
        )
        for text, weight, size, (w, h, depth) in zip(texts, words, sizes, inks, strict=True)
        if text in corners
    ]
    return _centred(made, width, height)


def legible(weights: pd.Series[float]) -> pd.Series[bool]:
    """Which words the font can draw, the first of those that it draws alike."""
    drawn = pd.Series([drawable(str(word)) for word in weights.index], index=weights.index, dtype=object)
    legible: pd.Series[bool] = (drawn != "") & ~drawn.str.contains(REPLACEMENT) & ~drawn.duplicated()
    return legible


def _strongest(weights: pd.Series[float], max_words: int) -> pd.Series[float]:
    if max_words < 1:
        raise InputError(f"max_words={max_words} shows no words", remedy="use max_words >= 1")
    if weights.index.has_duplicates:
        twice = weights.index[weights.index.duplicated()][0]
        raise InputError(f"the word '{twice}' appears more than once", remedy="give every word one weight")
    values = pd.to_numeric(weights, errors="coerce").astype(np.float64)
    if not np.isfinite(values).all():
        word = values.index[~np.isfinite(values)][0]
        raise InputError(f"the weight of the word '{word}' is not a finite number", remedy="leave the word out")
    kept = values[(values != 0) & legible(values)]
    if kept.empty:
        raise InputError("there is no word with a weight", remedy="give at least one, in letters that the font has")
    order = np.lexsort((kept.index.astype(str), -kept.abs()))  # equal weights by letter, whatever their order was
    return kept.iloc[order[:max_words]]


def _placed(sizes: Mapping[str, int], width: float, height: float, seed: int) -> dict[str, tuple[float, float]]:
    """Left and top of every word, in points, for as many of the strongest as there is room for."""
    if not sizes:
        return {}
    largest, smallest = max(sizes.values()), min(sizes.values())
    cloud = _word_cloud()(
        width=int(_GRAIN * width),
        height=int(_GRAIN * height),
        margin=round(_GRAIN * _MARGIN),
        font_path=font_file(),
        prefer_horizontal=1,
        min_font_size=smallest,
        font_step=largest + 1,  # a word without room ends the layout, instead of a size that its weight does not have
        relative_scaling=1,  # sizes are as given
        max_words=len(sizes),
        color_func=lambda *args, **kwargs: "black",
        random_state=seed,
    ).generate_from_frequencies(dict(sizes), max_font_size=largest)
    return {
        word: (float(column / _GRAIN), float(row / _GRAIN))
        for (word, _), size, (row, column), _, _ in cloud.layout_
        if size == sizes[word]
    }


def _word_cloud() -> Any:
    try:
        from wordcloud import WordCloud
    except ImportError as error:
        raise EnvironmentFailure(
            "word clouds need the library wordcloud", remedy='install it with: pip install "affectome[words]"'
        ) from error
    return WordCloud


def _centred(words: list[PlacedWord], width: float, height: float) -> list[PlacedWord]:
    if not words:
        return words
    right = (width - min(w.left for w in words) - max(w.left + w.width for w in words)) / 2
    bottom = min(w.baseline - ink(w.text, w.size)[2] for w in words)
    top = max(w.baseline + ink(w.text, w.size)[1] - ink(w.text, w.size)[2] for w in words)
    up = (height - bottom - top) / 2
    return [replace(word, left=float(word.left + right), baseline=float(word.baseline + up)) for word in words]


def plot_word_cloud(
    weights: pd.Series[float],
    *,
    title: str | None = None,
    max_words: int = 40,
    seed: int = 0,
    colour: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw words in the size of their weights.

    The size is linear in the absolute weight, from 7 points; words for which there is no room at 7 points are left
    out, and a note says how many. Words of negative weight are vermilion with a minus sign, the others blue.

    Parameters
    ----------
    weights : Series from word to weight
    title
    max_words
        The words of largest absolute weight.
    seed
        Moves the words about. The same input gives the same picture.
    colour
        Of words of positive weight, for example a system's from :func:`system_colours`; darkened as far as small
        text needs. Negative ones are grey then.
    ax
        Axes to draw into; by default a figure of column width.

    Returns
    -------
    matplotlib Figure
    """
    shown = f"{title}" if title else "words"
    return _draw({shown: weights}, {shown: title or ""}, None, 1, max_words, seed, ax, (COLUMN_WIDTH, 2.4), colour)


def plot_word_clouds(
    clouds: Mapping[str, pd.Series[float]],
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int = 5,
    max_words: int = 15,
    seed: int = 0,
    colour: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw one small word cloud per component, on one page.

    Sizes compare within a cloud and not between clouds. All else is as in :func:`plot_word_cloud`.

    Parameters
    ----------
    clouds : mapping from component to a Series from word to weight
        A Series without any weight, or in letters that the font lacks, leaves its place empty, and says so.
    names
        What components are called; by default their keys.
    title
    columns
        Clouds in a row.
    max_words
        Words of largest absolute weight in each cloud.
    seed
        Moves the words about.
    colour
        As in :func:`plot_word_cloud`.
    ax
        Axes to draw into; by default a figure of page width.

    Returns
    -------
    matplotlib Figure
    """
    if not clouds or columns < 1:
        raise InputError(f"{len(clouds)} clouds in {columns} columns are no figure", remedy="give at least one of each")
    titles = {name: (names or {}).get(name, name) for name in clouds}
    columns = min(columns, len(clouds))
    rows = -(-len(clouds) // columns)
    return _draw(clouds, titles, title, columns, max_words, seed, ax, (PAGE_WIDTH, 0.45 + 1.3 * rows), colour)


def _draw(
    clouds: Mapping[str, pd.Series[float]],
    titles: Mapping[str, str],
    title: str | None,
    columns: int,
    max_words: int,
    seed: int,
    ax: Axes | None,
    size: tuple[float, float],
    colour: str | None,
) -> Figure:
    """Clouds in rows, in axes whose unit is the point."""
    with house_style():
        ax, width, height = point_axes(ax, size)
        head = 14.0 if title else 0.0
        if title:
            ax.text(_PAD, height - 4, shortened(drawable(title), width, 9), fontsize=9, va="top", gid="title")
        foot, rows = 11.0, -(-len(clouds) // columns)
        tile = (width / columns, (height - head - foot) / rows)
        shown = possible = 0
        negative = False
        colours = _COLOURS if colour is None else {False: legible_colour(colour), True: _OTHER}
        for k, (name, weights) in enumerate(clouds.items()):
            left, top = k % columns * tile[0] + _PAD, height - head - k // columns * tile[1]
            room = (tile[0] - 2 * _PAD, tile[1])
            words = _draw_one(ax, weights, titles[name], (left, top), room, max_words, seed, colours)
            shown, possible = shown + len(words), possible + min(max_words, int((weights != 0).sum()))
            negative |= any(word.weight < 0 for word in words)
        notes = [f"{shown:,} of {possible:,} words shown"] if shown < possible else []
        notes += [f"− and {'vermilion' if colour is None else 'grey'}: negative"] if negative else []
        notes += ["sizes compare within a cloud"] if len(clouds) > 1 else []
        note = shortened("; ".join(notes), width - 2 * _PAD, SMALLEST)
        ax.text(_PAD, 3, note, fontsize=SMALLEST, color="0.35", gid="note")
    return figure_of(ax)


def _draw_one(
    ax: Axes,
    weights: pd.Series[float],
    title: str,
    corner: tuple[float, float],
    size: tuple[float, float],
    max_words: int,
    seed: int,
    colours: Mapping[bool, str],
) -> list[PlacedWord]:
    """One cloud below its title; `corner` is the upper left one."""
    (left, top), (width, height) = corner, size
    if title:
        large = 8.0
        ax.text(left, top - 3, shortened(drawable(title), width, large), fontsize=large, va="top", gid="name")
        ax.plot([left, left + width], [top - 14] * 2, color="0.8", linewidth=0.5)
        height, top = height - 16, top - 16
    if not (legible(weights) & (weights != 0)).any():
        ax.text(
            left + width / 2, top - height / 2, "no words", fontsize=SMALLEST, color="0.35", ha="center", gid="none"
        )
        return []
    words = lay_out_words(weights, width, height, max_words=max_words, seed=seed)
    for word in words:
        ax.text(left + word.left, top - height + word.baseline, word.text, fontsize=word.size,
                color=colours[word.weight < 0], ha="left", va="baseline", gid="word")  # fmt: skip
    return words


def point_axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Axes, float, float]:
    """Axes without frame whose coordinates are points from the lower left, and their width and height."""
    if ax is None:
        ax = Figure(figsize=size).add_axes((0, 0, 1, 1))
    place, inches = ax.get_position(), figure_of(ax).get_size_inches()
    width, height = 72 * inches[0] * place.width, 72 * inches[1] * place.height
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return ax, float(width), float(height)
