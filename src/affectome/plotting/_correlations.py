"""Components against ratings: the heat map, how many components follow some rating, and how diagonal the map is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation import RatingCorrelations, RatingMap, SharesAbove
from affectome.plotting._lettering import drawable, drawable_lines, ink, shortened
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_rating_correlations", "plot_rating_maps", "plot_shares_above"]


Result = TypeVar("Result")

_LABEL = 180  # points, of the names beside and below a heat map
_PLACES = (1.08, 1.48, 1.98)  # of three columns of text, on the axis of correlations, which ends at 1
_HEADS = ("Have their own\nrating (chance)", "Ratings a com-\nponent follows", "Components that\nhold the variance")


def plot_rating_correlations(
    result: RatingCorrelations,
    *,
    names: Mapping[str, str] | None = None,
    title: str | None = None,
    alpha: float = 0.05,
    ax: Axes | None = None,
) -> Figure:
    """Draw the correlation of every component with every rating.

    Columns are ordered so that the strongest matches lie on the diagonal. Cells whose correlation
    does not survive the correction (q >= `alpha`) carry a small dot. Rating names of the second
    and further families are in italics. Names for which there is no room end in an ellipsis.

    Parameters
    ----------
    result : RatingCorrelations
    names : mapping from component to name
        Written after the component; what has no name keeps its own.
    title
    alpha
        Threshold on q for the dots.
    ax
        Axes to draw into; by default a figure of page width.

    Returns
    -------
    matplotlib Figure
    """
    order = result.diagonal_order()
    r = result.r[order]
    n_rows, n_columns = r.shape
    given = names or {}
    called = [
        "  ".join(drawable(str(part)) for part in (name, given.get(name)) if part is not None) for name in r.index
    ]
    called = [shortened(text, _LABEL, 7) for text in called]
    ratings = [shortened(drawable(text), _LABEL, 7) for text in order]
    below = max(ink(text, 7)[0] for text in ratings) / 72  # inches, for the names of ratings
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 0.55 + below + max(0.145 * n_rows, 0.9)))
        image = ax.imshow(r.to_numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        ax.set_yticks(range(n_rows), labels=called)
        ax.set_xticks(range(n_columns), labels=ratings, rotation=90)
        families = list(dict.fromkeys(result.family))
        for tick, name in zip(ax.get_xticklabels(), order, strict=True):
            tick.set_fontstyle("normal" if result.family[name] == families[0] else "italic")
        weak = np.argwhere(~(result.q[order].to_numpy() < alpha))
        ax.scatter(weak[:, 1], weak[:, 0], s=1.0, color="0.35", linewidths=0)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_title(drawable_lines(title or "Components and ratings"))
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.02, pad=0.01)
        bar.set_label("Pearson r")
        said = [f"{result.n_stimuli:,} stimuli; a dot marks q ≥ {alpha:g}"]
        said += [f"italics: {', '.join(families[1:])}"] if len(families) > 1 else []
        said += [f"circular: {', '.join(result.circular)}"] if result.circular else []
        ax.set_xlabel(drawable("; ".join(said)), loc="left", color="0.35")
        bar.outline.set_visible(False)
    return figure_of(ax)


def plot_shares_above(
    results: Mapping[str, SharesAbove],
    labels: Mapping[str, str] | None = None,
    *,
    family: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Share of components whose largest |r| lies above each threshold: a line per system.

    Bars are the range over subsamples of the stimuli. The grey area is what unrelated ratings reach in 95% (the
    `level` of the results) of permutations, the largest over the systems.

    Parameters
    ----------
    results : mapping from system to SharesAbove
        With the same thresholds.
    labels
        What systems are called; by default their names.
    family
        Whose ratings; by default all, or the only one.
    title
        By default the family.
    ax
        Axes to draw into; by default a figure of column width.
    """
    some = _first(results)
    shown = family or str(some.table.index[-1][0])
    for result in results.values():
        _check_family(result.table.index.get_level_values("family").unique(), shown)
    tables = {name: result.table.loc[shown] for name, result in results.items()}
    colours = system_colours(list(results))
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 2.6))
        edges = next(iter(tables.values())).index.to_numpy(np.float64)
        width = (edges[-1] - edges[0]) / max(len(edges) - 1, 1) if len(edges) > 1 else 0.1
        for k, (name, table) in enumerate(tables.items()):
            at = edges + (k - (len(tables) - 1) / 2) * 0.06 * width  # side by side, so that no bar hides another
            reach = [table["share"] - table["subsample_low"], table["subsample_high"] - table["share"]]
            reach = [np.maximum(part.to_numpy(), 0) for part in reach]
            ax.errorbar(at, table["share"].to_numpy(np.float64), yerr=reach, color=colours[name], marker="o",
                        markersize=3, linewidth=1.2, elinewidth=0.9, label=drawable((labels or {}).get(name, name)),
                        clip_on=False)  # fmt: skip
        chance = np.max([table["null_high"].to_numpy() for table in tables.values()], axis=0)
        ax.fill_between(edges, 0, chance, color="0.85", zorder=0.5, label=f"unrelated ratings ({some.level:.0%})")
        ax.set(ylim=(0, 1.02), xticks=edges, xlabel="Threshold of |r|", ylabel="Share of components above it")
        ax.set_title(drawable_lines(title or ("All ratings" if shown == "all" else f"Ratings: {shown}")))
        figure_of(ax).legend(loc="outside lower center", ncols=2, frameon=False)
    return figure_of(ax)


def plot_rating_maps(
    results: Mapping[str, RatingMap],
    labels: Mapping[str, str] | None = None,
    *,
    family: str | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """How diagonal each system's map is: r of matched pairs on unseen stimuli, beside the other cells.

    A filled dot is the mean over splits with their range, an open one the mean |r| of the cells that are not
    matched. At the right: components with a rating of their own, of all that could (and by chance); the effective
    number of ratings that a component follows; and that of components which hold the space's variance, with intervals.

    Parameters
    ----------
    results : mapping from system to RatingMap
    labels
        What systems are called; by default their names.
    family
        Whose ratings; by default all families, a panel for each, or the first where `ax` is given.
    title
    ax
        Axes to draw into; by default a figure of page width.
    """
    known = [str(name) for name in _first(results).families.index]
    shown = [family] if family else known[:1] if ax is not None else known
    for result in results.values():
        for name in shown:
            _check_family(result.families.index, name)
    with house_style():
        if len(shown) == 1:
            axes = [new_axes(ax, (PAGE_WIDTH, 1.3 + 0.26 * len(results)))]
        else:
            figure = Figure(
                figsize=(PAGE_WIDTH, 0.35 + len(shown) * (0.95 + 0.26 * len(results))), layout="constrained"
            )
            axes = figure.subplots(len(shown), squeeze=False).ravel().tolist()
        for panel, name in zip(axes, shown, strict=True):
            _draw_rating_map(panel, results, labels or {}, name)
        if title and len(shown) > 1:
            figure_of(axes[0]).suptitle(drawable_lines(title), fontsize=9)
        elif title:
            axes[0].set_title(drawable_lines(title), loc="left")
        axes[-1].set_xlabel("Correlation with ratings on unseen stimuli", loc="left")
        dots = [
            Line2D([], [], linestyle="", marker="o", color="0.3", label="matched pairs"),
            Line2D([], [], linestyle="", marker="o", color="0.3", markerfacecolor="white", label="other cells, |r|"),
        ]
        figure_of(axes[0]).legend(handles=dots, loc="outside lower left", ncols=2, frameon=False)
    return figure_of(axes[0])


def _draw_rating_map(ax: Axes, results: Mapping[str, RatingMap], labels: Mapping[str, str], family: str) -> None:
    names, colours = list(results), system_colours(list(results))
    for row, name in enumerate(names):
        facts = results[name].families.loc[family]
        ax.plot([facts["diagonal_low"], facts["diagonal_high"]], [row, row], color=colours[name], linewidth=2.5)
        ax.scatter(facts["diagonal"], row, s=26, color=colours[name], zorder=3)
        ax.scatter(facts["rest"], row, s=22, facecolor="white", edgecolor=colours[name], linewidth=1, zorder=3)
        texts = [
            f"{facts['own']:.0f} of {facts['own_of']:.0f} ({facts['own_null'] * facts['own_of']:.0f})",
            _with_interval(facts, "ratings_followed", "ratings_followed_low", "ratings_followed_high"),
            _with_interval(results[name].spread.loc["components_in_variance"], "value", "ci_low", "ci_high"),
        ]
        for place, text in zip(_PLACES, texts, strict=True):
            ax.text(place, row, text, va="center", fontsize=7)
    for place, head in zip(_PLACES, _HEADS, strict=True):
        ax.text(place, -0.5, head, va="bottom", fontsize=7, color="0.35")
    ax.set_yticks(range(len(names)), labels=[drawable(labels.get(name, name)) for name in names])
    ax.set(ylim=(len(names) - 0.4, -0.6), xlim=(-0.02, 2.45), xticks=np.linspace(0, 1, 6))
    ax.spines["bottom"].set_bounds(0, 1)
    ax.set_title(drawable_lines(f"Ratings: {family}"), loc="left")


def _first(results: Mapping[str, Result]) -> Result:
    if not results:
        raise InputError("there is nothing to draw", remedy="give the result of at least one system")
    return next(iter(results.values()))


def _with_interval(facts: Any, value: str, low: str, high: str) -> str:
    return f"{facts[value]:.1f} [{facts[low]:.1f}, {facts[high]:.1f}]"


def _check_family(known: pd.Index, family: str) -> None:
    if family not in known:
        raise InputError(f"there are no ratings of '{family}'", remedy=f"choose among {cut_short(list(known))}")
