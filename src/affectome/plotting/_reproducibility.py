"""The figure of reproducibility: every component of one run, and how it fares in the others."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from affectome.embedding import Reproducibility
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_reproducibility"]

_DOTS, _MEAN, _HALF = OKABE_ITO[5], OKABE_ITO[0], OKABE_ITO[1]
_FEW = 12  # components that fit a column
_ASIDE = 0.22  # dots stand this far left of the mean, the diamond right of it, so that none hides another


def plot_reproducibility(result: Reproducibility, title: str = "", *, ax: Axes | None = None) -> Figure:
    """Best matches of the components of the reference run, by falling sum of weights.

    A dot per other run is the highest r there; the circle is their Fisher-z mean with its interval; the diamond
    the mean of the split-half form, which is free of the selection. Below the dashed line lie 95% of the best matches
    of a run with permuted stimuli (the mean over runs, component by component).

    Parameters
    ----------
    result
        As :func:`affectome.embedding.component_reproducibility` gives it.
    title
        Such as the name of the system.
    ax
        Axes to draw into; by default a figure of column or page width, by the number of components.
    """
    table = result.table[result.table["run"] == result.reference].sort_values("rank")
    rank = dict(zip(table["component"], table["rank"], strict=True))
    dots = result.pairs[result.pairs["run"] == result.reference]
    n_others = len(result.runs) - 1
    x = table["rank"].to_numpy()
    mean = table["best_match"].to_numpy()
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH if len(x) <= _FEW else PAGE_WIDTH, 2.9))
        ax.plot(
            dots["component"].map(rank) - _ASIDE,
            dots["best_match"],
            linestyle="none",
            marker="o",
            markersize=3,
            markeredgewidth=0,
            color=_DOTS,
            alpha=0.75,
            zorder=2,
            label="best match in another run" if n_others > 1 else "best match in the other run",
        )
        if n_others > 1:
            ax.errorbar(
                x,
                mean,
                # Rounding may leave an interval of no width a hair on the wrong side.
                yerr=[
                    (mean - table["best_match_low"]).clip(lower=0.0),
                    (table["best_match_high"] - mean).clip(lower=0.0),
                ],
                fmt="o",
                markersize=4,
                color=_MEAN,
                elinewidth=1,
                capsize=2,
                zorder=3,
                label=f"mean over {n_others} runs, {100 * result.level:g}% interval",
            )
        ax.plot(
            x + _ASIDE,
            table["split_half"],
            linestyle="none",
            marker="D",
            markersize=3.5,
            markerfacecolor="white",
            markeredgecolor=_HALF,
            markeredgewidth=1,
            zorder=4,
            label="split-half mean (matched on other stimuli)",
        )
        ax.step(
            [x[0] - 0.5, *x, x[-1] + 0.5],
            table["chance_95"].iloc[[0, *range(len(x)), -1]],
            where="mid",
            color="0.2",
            linestyle="--",
            linewidth=1,
            zorder=1,
            label="95% of means with permuted stimuli",
        )
        lowest = min(0.0, float(dots["best_match"].min()), float(table["split_half"].min()))
        ax.set_ylim(lowest - 0.03, 1.03)
        ax.set_xlim(x[0] - 0.8, x[-1] + 0.8)
        ax.set_xlabel(f"Component of {result.reference}, by falling sum of weights")
        ax.set_ylabel("Correlation over stimuli (r)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=1 if len(x) <= _FEW else 2,
            frameon=False,
            handletextpad=0.6,
            columnspacing=1.5,
            title=title or None,
            title_fontsize=9,
            alignment="left",
        )
    return figure_of(ax)
