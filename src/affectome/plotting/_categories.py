"""How well categories separate in each space, beside what guessing reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.interpretation import CategoryScore, CategoryStructure
from affectome.plotting._lettering import drawable, drawable_lines, ink, shortened
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_category_scores", "plot_category_structure", "plot_confusion", "plot_silhouettes"]

_METHODS = {"centroid": "nearest centroid", "knn": "nearest neighbours", "linear": "linear discriminant"}


def plot_category_scores(
    scores: Mapping[str, Any],
    labels: Mapping[str, str] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Top-k accuracy per system: plain (bar, with interval), balanced, prior and null.

    Parameters
    ----------
    scores : mapping from system to a NearestCentroid or CategoryScore, or a mapping with the fields of the former
    labels
        What systems are called; by default their names.
    title
        By default what was classified, and into how many categories.
    ax
        Axes to draw into; by default a figure of column width.
    """
    known = {name: _fields(score) for name, score in scores.items()}
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
        ax.set_yticks(range(len(names)), labels=[drawable((labels or {}).get(name, name)) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        ax.set_xlabel(f"Own category among the {some['top']} nearest")
        ax.set_title(drawable_lines(title or f"{some['n_classes']} categories, {some['n_stimuli']:,} stimuli"))
        figure_of(ax).legend(loc="outside lower center", ncols=2, frameon=False)
    return figure_of(ax)


def _fields(score: Any) -> dict[str, Any]:
    if isinstance(score, CategoryScore):
        return {**vars(score), **score.headline()}
    return dict(score) if isinstance(score, Mapping) else vars(score)


def plot_category_structure(
    structure: CategoryStructure,
    labels: Mapping[str, str] | None = None,
    *,
    categories: str | None = None,
    top: int | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Accuracy of every method in every space: plain (filled) and balanced (open), each with its interval.

    Short vertical lines mark what always naming the commonest categories reaches (dashed), the 95% quantile with labels
    permuted (dotted), both for the plain accuracy, and, in spaces whose labels are circular, the mean of the ratings
    with shuffled columns (solid).

    Parameters
    ----------
    structure : CategoryStructure
    labels
        What spaces are called; by default their names.
    categories
        ``"all"`` or, for example, ``"17 commonest"``; by default the last that there is.
    top
        By default the k of the structure.
    title
        By default how many categories and stimuli there are.
    ax
        Axes to draw into; by default a figure of column width.
    """
    table = structure.scores
    chosen = categories or str(table.index.get_level_values("categories")[-1])
    k = top or structure.top
    spaces = list(dict.fromkeys(table.index.get_level_values("space")))
    methods = list(dict.fromkeys(table.index.get_level_values("method")))
    rows, colours = table.to_dict("index"), system_colours(spaces)
    place = {(s, m): i * (len(methods) + 1) + j for i, s in enumerate(spaces) for j, m in enumerate(methods)}
    some = structure.details[spaces[0], chosen, methods[0]]
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.5 + 0.19 * (max(place.values()) + 1)))
        for (space, method), y in place.items():
            plain, balanced = (rows[space, chosen, method, average, k] for average in ("plain", "balanced"))
            for row, dy, face in ((plain, -0.17, colours[space]), (balanced, 0.17, "white")):
                ax.plot([row["ci_low"], row["ci_high"]], [y + dy] * 2, color=colours[space], linewidth=1.2, zorder=2)
                ax.scatter(row["value"], y + dy, s=16, facecolor=face, edgecolor=colours[space], zorder=3)
            ends = (y - 0.45, y + 0.45)
            ax.plot([plain["prior"]] * 2, ends, color="0.2", linestyle="--", linewidth=0.9)
            ax.plot([plain["null_high"]] * 2, ends, color="0.2", linestyle=":", linewidth=1.2)
            if plain["circular"]:
                shuffled = structure.baseline["value"][chosen, method, "plain", k]
                ax.plot([shuffled] * 2, ends, color="0.2", linewidth=0.9)
        ax.set_yticks(list(place.values()), labels=[_METHODS[method] for _, method in place])
        room = 72 * 0.65 * figure_of(ax).get_figwidth()  # what the names of methods leave
        for space in spaces:
            circular = " (circular labels)" if rows[space, chosen, methods[0], "plain", k]["circular"] else ""
            name = shortened(drawable((labels or {}).get(space, space)), room - ink(circular, 7)[0], 7)
            ax.text(0.01, place[space, methods[0]] - 0.6, f"{name}{circular}", va="bottom", fontsize=7, weight="bold",
                    color=colours[space])  # fmt: skip
        ax.set_ylim(max(place.values()) + 0.7, -1.6)
        ax.set_xlim(0, 1.01)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"Own category among the {k} best" if k > 1 else "Own category best")
        ax.set_title(drawable_lines(title or f"{some.n_classes} categories, {some.n_stimuli:,} stimuli"))
        _explain(ax, k, circular=bool(table["circular"].any()), level=structure.level)
    return figure_of(ax)


def _explain(ax: Axes, k: int, *, circular: bool, level: float) -> None:
    prior = f"always the {k} commonest" if k > 1 else "always the commonest"
    handles = [
        ax.scatter([], [], s=16, facecolor="0.2", edgecolor="0.2", label=f"plain, {level:.0%} interval"),
        ax.scatter([], [], s=16, facecolor="white", edgecolor="0.2", label="balanced over categories"),
        *ax.plot([], [], color="0.2", linestyle="--", linewidth=0.9, label=prior),
        *ax.plot([], [], color="0.2", linestyle=":", linewidth=1.2, label="labels permuted (95%)"),
    ]
    if circular:
        handles += ax.plot([], [], color="0.2", linewidth=0.9, label="ratings, columns shuffled")
    figure_of(ax).legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def plot_confusion(score: CategoryScore, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Which category the stimuli of each category are taken for: shares of each row.

    Categories that are taken for one another stand side by side; the number of stimuli follows each name.

    Parameters
    ----------
    score : CategoryScore
    title
        By default the method and its top-1 accuracies.
    ax
        Axes to draw into; by default a figure of page width.
    """
    order = score.confusion_order()
    counts = score.confusion.loc[order, order].to_numpy(np.float64)
    n = len(order)
    plain, balanced = (score.accuracy["value"][average, 1] for average in ("plain", "balanced"))
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 1.6 + 0.15 * n))
        image = ax.imshow(counts / counts.sum(axis=1, keepdims=True), cmap="viridis", vmin=0, vmax=1, aspect="auto")
        ax.set_yticks(range(n), labels=[f"{drawable(name)} ({score.classes['n'][name]})" for name in order])
        ax.set_xticks(range(n), labels=[drawable(name) for name in order], rotation=90)
        ax.tick_params(length=0)
        ax.set_xlabel("Category that fits best")
        ax.set_ylabel("Own category (stimuli)")
        known = f"{_METHODS[score.method]}: top-1 accuracy {plain:.2f}, balanced {balanced:.2f}"
        ax.set_title(drawable_lines(title or known.capitalize()))
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.025, pad=0.01)
        bar.set_label("Share of the category's stimuli")
        bar.outline.set_visible(False)
    return figure_of(ax)


def plot_silhouettes(
    structure: CategoryStructure,
    labels: Mapping[str, str] | None = None,
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Silhouette of every category in every space, with its interval where it has one; faint where q >= .05.

    Parameters
    ----------
    structure : CategoryStructure
    labels
        What spaces are called; by default their names.
    title
    ax
        Axes to draw into; by default a figure of column width.
    """
    table = structure.classes
    spaces = list(dict.fromkeys(table.index.get_level_values("space")))
    sizes = table["n"].groupby(level="category", sort=False).max()
    place = {name: k for k, name in enumerate(sizes.sort_values(ascending=False, kind="stable").index)}
    colours = system_colours(spaces)
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.3 + 0.17 * len(place)))
        handles = []
        for j, space in enumerate(spaces):
            shift = 0.7 * ((j + 0.5) / len(spaces) - 0.5)
            here = table.loc[space]
            y = np.array([place[name] for name in here.index]) + shift
            ax.hlines(y, here["ci_low"], here["ci_high"], color=colours[space], linewidth=0.8)
            faces = [colours[space] if q < 0.05 else "white" for q in here["q"]]
            whole = structure.silhouettes["value"][space, "plain"]
            name = drawable((labels or {}).get(space, space))
            ax.scatter(here["silhouette"], y, s=9, facecolor=faces, edgecolor=colours[space], linewidths=0.7, zorder=3)
            sign = "\N{MINUS SIGN}" if whole < 0 else ""
            written = f"{name}: {sign}{abs(whole):.2f} in all"
            handles.append(ax.scatter([], [], s=9, color=colours[space], label=written))
        ax.axvline(0, color="0.35", linewidth=0.7)
        ax.set_yticks(list(place.values()), labels=[f"{drawable(str(name))} ({sizes[name]})" for name in place])
        ax.set_ylim(len(place) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("Silhouette (filled: q < .05)")
        ax.set_title(drawable_lines(title or "How apart the categories are"))
        columns = 1 + (len(spaces) > 3)
        figure_of(ax).legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure_of(ax)
