"""The heat map of components against ratings."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affectome.interpretation import RatingCorrelations
from affectome.plotting._style import PAGE_WIDTH, figure_of, house_style, new_axes

__all__ = ["plot_rating_correlations"]


def plot_rating_correlations(
    result: RatingCorrelations, *, title: str | None = None, alpha: float = 0.05, ax: Axes | None = None
) -> Figure:
    """Draw the correlation of every component with every rating.

    Columns are ordered so that the strongest matches lie on the diagonal. Cells whose correlation
    does not survive the correction (q >= `alpha`) carry a small dot. Rating names of the second
    and further families are in italics.

    Parameters
    ----------
    result : RatingCorrelations
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
    with house_style():
        ax = new_axes(ax, (PAGE_WIDTH, 1.6 + 0.145 * n_rows))
        image = ax.imshow(r.to_numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        ax.set_yticks(range(n_rows), labels=[str(name) for name in r.index])
        ax.set_xticks(range(n_columns), labels=order, rotation=90)
        first = result.family.iloc[0]
        for tick, name in zip(ax.get_xticklabels(), order, strict=True):
            tick.set_fontstyle("normal" if result.family[name] == first else "italic")
        weak = np.argwhere(~(result.q[order].to_numpy() < alpha))
        ax.scatter(weak[:, 1], weak[:, 0], s=1.0, color="0.35", linewidths=0)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
        ax.set_title(title or "Components and ratings")
        bar = figure_of(ax).colorbar(image, ax=ax, fraction=0.02, pad=0.01)
        bar.set_label("Pearson r")
        ax.set_xlabel(f"{result.n_stimuli:,} stimuli; a dot marks q ≥ {alpha:g}", loc="left", color="0.35")
        bar.outline.set_visible(False)
    return figure_of(ax)
