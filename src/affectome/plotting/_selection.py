"""The figure of a selection: held-out accuracy and log loss against the number of components, a line per l1."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.embedding import Selection, Setting
from affectome.plotting._style import OKABE_ITO, PAGE_WIDTH, house_style

__all__ = ["plot_selection"]

_MARKERS = "osD^vP*X"
_ENTRIES = 8  # of the legend in one row of a page


def plot_selection(result: Selection) -> Figure:
    """Held-out accuracy (left) and log loss (right) against components, one line per l1 with its band.

    The line is the mean over folds, the band one standard error of it to either side. The best setting by the
    criterion of the selection bears a ring, the one-standard-error choice a square; the legend says how many
    components their fits kept on average. The criterion is in bold.

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
            _mark(ax, result, result.one_se, column, "s", 8, "one-SE choice")
            ax.set_xlabel("Components at the start")
            ax.set_ylabel(label, fontweight="bold" if column == result.criterion else "normal")
            ax.margins(x=0.08, y=0.1)
        shown, names = ax.get_legend_handles_labels()
        figure.legend(shown[:-2], names[:-2], loc="outside upper center", ncols=_ENTRIES, frameon=False)
        figure.legend(shown[-2:], names[-2:], loc="outside lower center", ncols=2, frameon=False)
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
        label=f"{label} ({result.at(setting)['n_kept']:.1f} components kept)",
    )
