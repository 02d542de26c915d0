"""Histograms of chosen alphas and of p values show every voxel once."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from affectome.errors import InputError
from affectome.neural.encoding import Encoding
from affectome.plotting import plot_alphas, plot_p_values


def encoding(alpha, alphas, edges):
    empty = np.empty((0, 0), np.float32)
    return Encoding(
        "sub-01", "mllm", (), np.arange(0), empty, np.arange(0), empty, empty, alphas, alpha, edges, empty, ()
    )


def test_shares_of_alphas_are_over_voxels_and_folds_and_the_ends_of_the_grid_stand_out(assert_readable):
    alphas = np.logspace(1, 4, 7)
    places = np.array([[0, 0, 1, 6], [6, 6, 3, 6]])
    chosen = alphas[places].astype(np.float32)
    figure = plot_alphas(encoding(chosen, alphas, (0.25, 0.5)), title="MLLM, sub-01")
    (ax,) = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], np.array([2, 1, 0, 1, 0, 0, 4]) / 8)
    colours = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert colours[0] == colours[-1] != colours[1] and len(set(colours[1:-1])) == 1
    assert ax.get_title(loc="left") == "MLLM, sub-01\n25% at the lowest, 50% at the highest alpha"
    assert ax.get_xticklabels()[0].get_text() == "10"
    assert_readable(figure)


def test_voxels_without_a_model_have_no_alpha():
    chosen = np.array([[10, np.nan]], np.float32)
    (ax,) = plot_alphas(encoding(chosen, np.array([10.0, 100.0]), (1.0, 0.0))).axes
    assert [bar.get_height() for bar in ax.patches] == [1, 0]


def test_p_values_are_a_density_beside_the_uniform_one(assert_readable):
    p = np.r_[np.full(30, 0.001), np.linspace(0.06, 1, 70), np.nan]
    figure = plot_p_values(p, n_bins=10, title="sub-01")
    (ax,) = figure.axes
    heights = np.array([bar.get_height() for bar in ax.patches])
    assert heights.sum() / 10 == pytest.approx(1)
    assert heights[0] == pytest.approx(np.mean(p[:-1] < 0.1) * 10)
    assert ax.lines[0].get_ydata() == [1, 1]
    assert ax.get_title(loc="left") == "sub-01\n100 voxels; p ≤ 0.05: 30.0%, p ≤ 0.01: 30.0%"
    assert_readable(figure)
    assert plot_p_values(p, null=True).axes[0].get_xlabel() == "p without an effect"


def test_no_p_value_is_said_and_what_is_none_is_refused(assert_readable):
    figure = plot_p_values([np.nan, np.nan])
    assert figure.axes[0].get_title(loc="left") == "0 voxels; no voxel has a p value"
    assert_readable(figure)
    with pytest.raises(InputError, match="outside 0 to 1"):
        plot_p_values([0.5, 3.0])
    with pytest.raises(InputError, match="n_bins=0"):
        plot_p_values([0.5], n_bins=0)
