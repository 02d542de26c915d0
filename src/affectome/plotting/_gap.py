"""Which space follows choices, which the brain: one against the other, a point per space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import PAGE_WIDTH, house_style, system_colours

__all__ = ["plot_gap"]

_CHANCE = 1 / 3
_NAMES = {"encoding": "Encoding r", "rsa": "RSA r"}


def plot_gap(
    rows: Sequence[Mapping[str, Any]],
    *,
    choices_of: str,
    labels: Mapping[str, str] | None = None,
    where: str = "all voxels",
    title: str | None = None,
) -> Figure:
    """Draw how well every space predicts brains over how well it predicts choices.

    Parameters
    ----------
    rows
        Of the table of the gap, one per space and size: ``space``, ``size``, ``choices`` (by who answered:
        ``accuracy``, ``low``, ``high``, ``relation``), ``encoding`` and ``rsa`` (``r``, ``low``, ``high``).
    choices_of
        Whose choices.
    labels
        What spaces, and who answered, are called.
    where
        The place in the brain, for the titles.
    title

    Returns
    -------
    matplotlib Figure
        An Axes for encoding and one for RSA. Full dots are spaces as they are, rings spaces cut to equal size; a cross
        through a dot marks a space that the choices were made from, or learned from.
    """
    if not rows:
        raise InputError("there is no space to draw", remedy="give the rows of the table of the gap")
    named, spaces = labels or {}, list(dict.fromkeys(row["space"] for row in rows))
    colours = system_colours(spaces)
    with house_style():
        figure = Figure(figsize=(PAGE_WIDTH, 3.3), layout="constrained")
        for ax, measure in zip(figure.subplots(1, 2), _NAMES, strict=True):
            for row in rows:
                _draw_space(ax, row["choices"][choices_of], row[measure], colours[row["space"]], row["size"])
            ax.axhline(0, color="0.8", linewidth=0.6, zorder=0)
            ax.axvline(_CHANCE, color="0.8", linewidth=0.6, zorder=0)
            ax.set_xlabel(drawable_lines(f"Choices of {named.get(choices_of, choices_of)}, accuracy"))
            ax.set_ylabel(_NAMES[measure])
            ax.set_title(drawable(where), loc="left", fontsize=8)
        if title:
            figure.suptitle(drawable_lines(title), fontsize=9, x=0.01, ha="left")
        related = any(row["choices"][choices_of]["relation"] for row in rows)
        _draw_legend(figure, {named.get(space, space): colour for space, colour in colours.items()}, related)
    return figure


def _draw_space(ax: Axes, choices: Mapping[str, Any], brain: Mapping[str, Any], colour: str, size: str) -> None:
    x, y, full = choices["accuracy"], brain["r"], size == "full"
    if x is None or y is None or not np.isfinite([x, y]).all():
        return
    line: dict[str, Any] = {"color": colour, "linewidth": 0.8, "alpha": 1.0 if full else 0.6, "zorder": 2}
    ax.plot([choices["low"], choices["high"]], [y, y], **line)
    ax.plot([x, x], [brain["low"], brain["high"]], **line)
    ax.plot([x], [y], linestyle="none", marker="o", markersize=5, markeredgecolor=colour, zorder=3,
            markerfacecolor=colour if full else "white", gid="space")  # fmt: skip
    if choices["relation"]:
        ax.plot([x], [y], linestyle="none", marker="x", markersize=4, color="black", zorder=4, gid="related")


def _draw_legend(figure: Figure, colours: Mapping[str, str], related: bool) -> None:
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}
    handles = [Line2D([], [], color=colour, **dot) for colour in colours.values()]
    names = [drawable(name) for name in colours]
    handles += [Line2D([], [], color="0.3", **dot), Line2D([], [], color="0.3", markerfacecolor="white", **dot)]
    names += ["as it is", "cut to equal size"]
    if related:
        handles.append(Line2D([], [], color="black", linestyle="none", marker="x", markersize=4))
        names.append("chosen from, or learned from, these answers")
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, handletextpad=0.3)
