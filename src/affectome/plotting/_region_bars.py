"""How well spaces predict regions: a bar per space, a dot per person, stars where the reference differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines, ink
from affectome.plotting._style import PAGE_WIDTH, house_style, system_colours

if TYPE_CHECKING:
    from affectome.neural.statistics import GroupComparison

__all__ = ["plot_region_bars"]

_BAR = 0.075  # inches at least, so that stars fit above it
_SIDES = 0.75  # inches of the page beside the bars
_CEILING = "0.88"
_P_NAMES = {"q_t": "paired t, q", "p_t": "paired t, uncorrected p", "q_flip": "sign-flip, q",
            "p_flip": "sign-flip, uncorrected p", "q_above": "test per person, q"}  # fmt: skip


def plot_region_bars(
    scores: pd.DataFrame,
    summary: GroupComparison | pd.DataFrame,
    labels: Mapping[str, str] | None = None,
    *,
    value: str = "r",
    error: Literal["sd", "interval"] = "sd",
    panels: Mapping[str, Sequence[str]] | None = None,
    ceiling: pd.DataFrame | None = None,
    lines: bool = False,
    ylabel: str = "Held-out r",
    stars: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the mean of every space in every region, with its error and one dot per person.

    Parameters
    ----------
    scores : DataFrame
        One row per person, region and space: ``subject``, ``region``, ``space`` and the column `value`.
    summary : GroupComparison, or DataFrame
        One row per region and space: ``region``, ``space``, ``mean``, with ``sd`` or ``low`` and ``high`` as `error`
        says, and ``stars`` where there are any (text, drawn above the bar).
    labels
        What spaces are called; by default their names.
    value
        Column of `scores`.
    error
        What the black lines are: mean ± ``sd`` (over people), or ``low`` to ``high``.
    panels : mapping from a heading to regions
        Such as cortical and subcortical regions, each below the other; by default all regions under none. A panel that
        is too wide continues in the next row.
    ceiling : DataFrame, index region, columns ``low`` and ``high``
        Noise ceiling, drawn as a grey band.
    lines
        Whether the dots of a person are joined within a region.
    ylabel
    stars
        What the stars say; by default the comparison that a GroupComparison holds, and nothing for a table.
    title

    Returns
    -------
    matplotlib Figure
        One Axes per row of bars; those of a panel share one scale.
    """
    table = summary if isinstance(summary, pd.DataFrame) else summary.regions
    needed = {"sd": ("mean", "sd"), "interval": ("mean", "low", "high")}[error]
    for given, columns, what in ((scores, ("subject", "region", "space", value), "scores"),
                                 (table, ("region", "space", *needed), "summary")):  # fmt: skip
        missing = [name for name in columns if name not in given.columns]
        if missing:
            raise InputError(f"the {what} have no column '{missing[0]}'", remedy=f"give {', '.join(columns)}")
        if not len(given):
            raise InputError(f"the {what} are empty", remedy="give a row per region and space")
    chosen = panels or {"": list(dict.fromkeys(table["region"]))}
    unknown = sorted({region for regions in chosen.values() for region in regions} - set(table["region"]))
    if unknown:
        raise InputError(f"the summary has no row of the regions {cut_short(unknown)}", remedy="leave them out")
    spaces = list(dict.fromkeys(table["space"]))
    per_row = max(1, int((PAGE_WIDTH - _SIDES) / (_BAR * (len(spaces) + 1))))
    rows = [(heading, part) for heading, regions in chosen.items() for part in _parts(list(regions), per_row)]
    said = stars if stars is not None else _said(summary, labels or {})
    with house_style():
        widest = max(len(part) for _, part in rows)
        width = min(PAGE_WIDTH, max(3.5, _SIDES + widest * max(0.3, 0.11 * (len(spaces) + 1))))
        turned = _turned(rows, (width - _SIDES) / widest)
        figure = Figure(figsize=(width, 0.6 + len(rows) * (1.75 + turned)), layout="constrained")
        axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
        drawn = _Bars(scores, table, spaces, value, error, ceiling, lines)
        drawn_headings = set[str]()
        for ax, (heading, regions) in zip(axes, rows, strict=True):
            drawn.draw(ax, regions, rotated=turned > 0)
            ax.set_ylim(drawn.limits(list(chosen[heading])))
            ax.set_ylabel(drawable_lines(ylabel))
            ax.set_title("" if heading in drawn_headings else drawable_lines(heading), loc="left")
            drawn_headings.add(heading)
        if title:
            figure.suptitle(drawable_lines(title), fontsize=9, x=0.01, ha="left")
        _draw_legend(figure, drawn, labels or {}, said)
    return figure


def _parts(regions: list[str], per_row: int) -> list[list[str]]:
    """Regions in rows of about equal length."""
    n_rows = -(-len(regions) // per_row)
    length = -(-len(regions) // n_rows)
    return [regions[start : start + length] for start in range(0, len(regions), length)]


def _turned(rows: Sequence[tuple[str, list[str]]], slot: float) -> float:
    """Inches that the names take below the bars where they must be turned; 0 where they fit as they are."""
    longest = max(ink(drawable(region), 7)[0] for _, part in rows for region in part) / 72
    return 0.0 if longest < 0.95 * slot else longest


def _said(summary: GroupComparison | pd.DataFrame, labels: Mapping[str, str]) -> str:
    if isinstance(summary, pd.DataFrame):
        return ""
    kind = _P_NAMES.get(summary.star_column, summary.star_column)
    return f"* < .05, ** < .01, *** < .001 against {labels.get(summary.reference, summary.reference)} ({kind})"


def _draw_legend(figure: Figure, bars: _Bars, labels: Mapping[str, str], said: str) -> None:
    handles: list[Any] = [Patch(facecolor=colour) for colour in bars.colours.values()]
    names = [drawable(labels.get(space, space)) for space in bars.spaces]
    dot: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "black", "markerfacecolor": "white"}
    handles += [Line2D([], [], marker="o", markersize=2.6, markeredgewidth=0.5, **dot),
                Line2D([], [], color="black", linewidth=0.9)]  # fmt: skip
    names += ["one person", "mean ± s.d. over people" if bars.error == "sd" else "mean and its interval"]
    if bars.ceiling is not None:
        handles.append(Patch(facecolor=_CEILING))
        names.append("noise ceiling")
    columns = 4 if figure.get_figwidth() > 5 else 2
    legend = figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False,
                           title=drawable(said) or None, title_fontsize=7, handlelength=1.2)  # fmt: skip
    legend.get_title().set_color("0.35")


class _Bars:
    """The numbers of all rows, and how a row of regions is drawn."""

    def __init__(
        self,
        scores: pd.DataFrame,
        table: pd.DataFrame,
        spaces: list[str],
        value: str,
        error: str,
        ceiling: pd.DataFrame | None,
        lines: bool,
    ) -> None:
        self.spaces, self.error, self.ceiling, self.lines = spaces, error, ceiling, lines
        self.colours = system_colours(spaces)
        self.rows = table.set_index(["region", "space"])
        if error == "sd":
            self.rows = self.rows.assign(
                low=self.rows["mean"] - self.rows["sd"], high=self.rows["mean"] + self.rows["sd"]
            )
        self.scores = scores.pivot(index="subject", columns=["region", "space"], values=value)

    def _cells(self, region: str) -> tuple[pd.DataFrame, np.ndarray]:
        """Rows of the summary of a region, and the people's scores (n_subjects, n_spaces)."""
        keys = pd.MultiIndex.from_product([[region], self.spaces])
        return self.rows.reindex(keys), self.scores.reindex(columns=keys).to_numpy(np.float64)

    def _ceiling(self, region: str) -> list[float]:
        """Low and high, or nothing where none was given."""
        if self.ceiling is None or region not in self.ceiling.index:
            return []
        ends: list[float] = self.ceiling.loc[[region], ["low", "high"]].to_numpy(np.float64)[0].tolist()
        return ends

    def draw(self, ax: Axes, regions: list[str], *, rotated: bool) -> None:
        n = len(self.spaces)
        width = 1 / (n + 1)
        offsets = (np.arange(n) - (n - 1) / 2) * width
        for place, region in enumerate(regions):
            rows, people = self._cells(region)
            if self._ceiling(region):
                low, high = self._ceiling(region)
                ax.fill_between([place - 0.46, place + 0.46], low, high, color=_CEILING, linewidth=0, zorder=0)
            x = place + offsets
            ax.bar(x, rows["mean"], width=0.88 * width, color=list(self.colours.values()), zorder=1)
            ax.vlines(x, rows["low"], rows["high"], color="black", linewidth=0.9, zorder=3)
            if self.lines:
                ax.plot(x, people.T, color="0.45", linewidth=0.4, zorder=2)
            spread = np.linspace(-0.26, 0.26, len(people))[:, None] * width if len(people) > 1 else 0.0
            ax.plot(np.broadcast_to(x + spread, people.shape).ravel(), people.ravel(), linestyle="none", marker="o",
                    markersize=1.9, markerfacecolor="white", markeredgecolor="black", markeredgewidth=0.4, zorder=4,
                    gid="people")  # fmt: skip
            self._write_stars(ax, x, rows, people)
        ax.axhline(0, color="black", linewidth=0.6, zorder=1)
        ax.set_xticks(range(len(regions)), labels=[drawable(region) for region in regions])
        ax.tick_params(axis="x", length=0, labelrotation=90 if rotated else 0)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlim(-0.6, max(len(regions), 2) - 0.4)

    def _write_stars(self, ax: Axes, x: np.ndarray, rows: pd.DataFrame, people: np.ndarray) -> None:
        if "stars" not in rows:
            return
        for place, text, high, dots in zip(x, rows["stars"], rows["high"], people.T, strict=True):
            if isinstance(text, str) and text:
                top = float(np.nanmax([high, 0, *dots]))
                ax.annotate(text, (place, top), (0, 2), textcoords="offset points", rotation=90, fontsize=7,
                            ha="center", va="bottom", gid="stars")  # fmt: skip

    def limits(self, regions: list[str]) -> tuple[float, float]:
        """From the lowest to the highest of all that is drawn of these regions, with room for stars."""
        shown: list[float] = [0.0]
        starred = False
        for region in regions:
            rows, people = self._cells(region)
            shown += [*rows["low"], *rows["high"], *rows["mean"], *people.ravel()]
            starred |= "stars" in rows and bool(rows["stars"].fillna("").ne("").any())
            shown += self._ceiling(region)
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        span = (high - low) or 1.0
        return low - (0.04 * span if low < 0 else 0), high + (0.16 if starred else 0.04) * span
