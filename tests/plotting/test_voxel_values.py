"""How the values of voxels without a place are distributed."""

import numpy as np
import pytest

from affectome import InputError
from affectome.plotting import plot_voxel_values

VALUES = np.r_[np.linspace(-0.1, 0.4, 60), np.nan, np.nan]
MARKS = np.r_[np.zeros(50, bool), np.ones(12, bool)]


def heights(ax):
    """Bars of all voxels, then of the significant ones."""
    return [np.array([bar.get_height() for bar in group]) for group in ax.containers]


def test_every_voxel_with_a_value_is_in_a_bar_and_the_significant_ones_in_colour():
    ax = plot_voxel_values(VALUES, "Held-out r", significant=MARKS, title="sub-01").axes[0]
    every, significant = heights(ax)
    assert (every.sum(), significant.sum()) == (60, 10)  # two of the marked have no value
    assert (significant <= every).all()
    assert ax.get_xlabel() == "Held-out r" and ax.get_ylabel() == "Voxels"
    assert ax.get_title(loc="left") == "sub-01\n60 voxels, 10 significant (blue)"


def test_bars_stand_where_the_values_are():
    ax = plot_voxel_values([0.0, 1.0, 1.0, 1.0], "r", n_bins=2).axes[0]
    assert [(bar.get_x(), bar.get_height()) for bar in ax.containers[0]] == [(0.0, 1.0), (0.5, 3.0)]
    assert ax.get_title(loc="left") == "4 voxels"


def test_no_value_at_all_is_an_empty_figure_and_marks_that_do_not_fit_are_refused():
    ax = plot_voxel_values(np.full(3, np.nan), "r").axes[0]
    assert not ax.containers and ax.get_title(loc="left") == "0 voxels"
    with pytest.raises(InputError):
        plot_voxel_values([0.1, 0.2], "r", significant=[True])
