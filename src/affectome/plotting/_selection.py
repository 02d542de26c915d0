"""The figure of a selection: held-out accuracy and log loss against the number of components, a line per l1."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.embedding import Selection, Setting
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, house_style

__all__ = ["plot_selection"]

_MARKERS = "osD^vP*X"


def plot_selection(result: Selection) -> Figure:
    """Held-out accuracy (left) and log loss (right) against components, one line per l1 with its band.

    The line is the mean over folds, the band one standard error of it to either side. The best setting by the
    criterion of the selection bears a ring, the one-standard-error choice a square, with the components that its
    fits kept; the criterion is in bold.

    Parameters
    ----------
    result
        As :func:`affectome.embedding.select_embedding` gives it.
    """
    columns = {"accuracy": "Held-out accuracy", "log_loss": "Held-out log loss (nats)"}
    with house_style():
        figure = Figure(figsize=(PAGE_WIDTH, 2.9), layout="constrained")
        for ax, (column, label) in zip(figure.subplots(1, 2), columns.items(), strict=True):
            _draw_lines(ax, result.summary, column)
            _mark(ax, result, result.best, column, "o", 11, "best")
            _mark(ax, result, result.one_se, column, "s", 8, "one-standard-error choice")
            _say_kept(ax, result, column)
            ax.set_xlabel("Components at the start")
            ax.set_ylabel(label, fontweight="bold" if column == result.criterion else "normal")
            ax.margins(x=0.08, y=0.1)
        lines, names = ax.get_legend_handles_labels()
        figure.legend(lines, names, loc="outside upper center", ncols=min(len(names), 7), frameon=False)
    return figure


def _draw_lines(ax: Axes, summary: pd.DataFrame, column: str) -> None:
    counts = sorted(summary["n_components"].unique())
    for k, (l1, rows) in enumerate(summary.groupby("l1", sort=True)):
        colour, marker = OKABE_ITO[k % len(OKABE_ITO)], _MARKERS[k // len(OKABE_ITO) % len(_MARKERS)]
        x, y, error = rows["n_components"], rows[column], rows[f"{column}_se"]
        ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, y, color=colour, marker=marker, markersize=3, linewidth=1, label=f"l1 {l1:g}")
    if len(counts) > 2 and counts[-1] >= 8 * counts[0]:
        ax.set_xscale("log")
    ax.set_xticks(counts, labels=[str(count) for count in counts])
    ax.minorticks_off()


def _mark(ax: Axes, result: Selection, setting: Setting, column: str, marker: str, size: float, label: str) -> None:
    ax.plot(
        setting.n_components,
        float(result.at(setting)[column]),
        marker=marker,
        markersize=size,
        markerfacecolor="none",
        markeredgecolor="black",
        markeredgewidth=1,
        linestyle="none",
        label=label,
    )


def _say_kept(ax: Axes, result: Selection, column: str) -> None:
    """The components kept by the one-standard-error choice, on the side where its line is not."""
    row = result.at(result.one_se)
    side = 12 if column == "accuracy" else -12
    ax.annotate(
        f"{row['n_kept']:.1f} kept",
        (result.one_se.n_components, float(row[column])),
        xytext=(0, side),
        textcoords="offset points",
        ha="center",
        va="bottom" if side > 0 else "top",
        fontsize=7,
    )
