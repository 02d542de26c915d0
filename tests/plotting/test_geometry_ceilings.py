"""Brackets of noise ceilings: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.plotting import plot_geometry_ceilings

TABLE = pd.DataFrame(
    {
        "region": ["V1", "MST", "PGi"],
        "lower": [0.05, 0.31, np.nan],
        "lower_low": [-0.04, 0.22, np.nan],
        "lower_high": [0.14, 0.4, np.nan],
        "upper": [0.5, 0.7, np.nan],
    }
)


def test_bars_go_from_the_lower_to_the_upper_ceiling_highest_first(assert_readable):
    figure = plot_geometry_ceilings(TABLE, title="Geometry of 3 people")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["MST", "V1", "PGi"]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches[:2]]
    np.testing.assert_allclose(ends, [(0.31, 0.7), (0.05, 0.5)])
    intervals = ax.collections[0].get_segments()
    np.testing.assert_allclose([line[:, 0] for line in intervals[:2]], [(0.22, 0.4), (-0.04, 0.14)])
    (dots,) = (line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata()[:2], [0.31, 0.05])
    assert_readable(figure)


def test_no_region_is_refused():
    with pytest.raises(InputError, match="no region to draw"):
        plot_geometry_ceilings(TABLE.iloc[:0])
