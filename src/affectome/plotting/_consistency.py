"""The figure of human-model consistency: a bar per model, chance, and the ceiling that people set."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.behavior import Consistency
from affectome.plotting._style import COLUMN_WIDTH, OKABE_ITO, figure_of, house_style, new_axes, system_colours

__all__ = ["plot_consistency"]

_CHANCE = 1 / 3


def plot_consistency(
    result: Consistency, labels: Mapping[str, str] | None = None, *, people: str = "people", ax: Axes | None = None
) -> Figure:
    """Agreement of every model with people, best first, with its interval.

    The dashed line is chance, the grey band the human noise ceiling from its lower to its upper end, the dotted line
    the agreement of people among themselves; the last two only where triplets repeat.

    Parameters
    ----------
    result
        As :func:`affectome.behavior.choice_consistency` gives it.
    labels
        What models are called; by default their names.
    people
        What those are called who the models are held against.
    ax
        Axes to draw into; by default a figure of column width.
    """
    models = result.table[result.table["kind"] == "model"]
    # By the order given, so that a better rank recolours nobody; where colours would repeat, one stands for all.
    given = models["name"].tolist()
    colours = system_colours(given) if len(given) <= len(OKABE_ITO) else {n: system_colours([n])[n] for n in given}
    models = models.sort_values("agreement", ascending=False, kind="stable")
    names = models["name"].tolist()
    with house_style():
        ax = new_axes(ax, (COLUMN_WIDTH, 1.15 + 0.24 * len(names)))
        if result.ceiling is not None:
            low, high = result.ceiling.lower, result.ceiling.upper
            ax.axvspan(low, high, color="0.8", linewidth=0, zorder=0, label="human ceiling")
            among = float(result.table.loc[result.table["kind"] == "people", "agreement"].iloc[0])
            ax.axvline(among, color="0.2", linestyle=":", linewidth=1, zorder=1, label="person with person")
        ax.axvline(_CHANCE, color="0.2", linestyle="--", linewidth=0.8, zorder=1, label="chance")
        for row, (name, value, ci_low, ci_high) in enumerate(
            models[["name", "agreement", "ci_low", "ci_high"]].itertuples(index=False)
        ):
            ax.barh(row, value, height=0.66, color=colours[name], zorder=2)
            for colour, width in (
                ("white", 2.6),
                ("black", 1.2),
            ):  # the rim keeps a black interval apart from a dark bar
                ax.plot([ci_low, ci_high], [row, row], color=colour, linewidth=width, solid_capstyle="butt", zorder=3)
            ax.text(1.03, row, f"{value:.3f}", va="center", fontsize=7)
        ax.set_yticks(range(len(names)), labels=[(labels or {}).get(name, name) for name in names])
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(0, 1)
        label = f"Agreement with {people}"
        if result.ceiling is not None and result.ceiling.n_triplets < result.n_triplets:
            label += f"\n(ceiling: {result.ceiling.n_triplets:,} of {result.n_triplets:,} triplets)"
        ax.set_xlabel(label)
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1.17, 1),
            ncols=3,
            frameon=False,
            handlelength=1.4,
            columnspacing=1,
            handletextpad=0.5,
        )
    return figure_of(ax)
