"""One function per figure: a result in, a matplotlib Figure out. Nothing is computed here."""

from affectome.plotting._correlations import plot_rating_correlations
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, house_style, save_figure

__all__ = ["COLUMN_WIDTH", "PAGE_WIDTH", "house_style", "plot_rating_correlations", "save_figure"]
