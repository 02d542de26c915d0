"""The scatter of voxels shows all of them, and the numbers of the result."""

import numpy as np
import pandas as pd
import pytest

from affectome.errors import InputError
from affectome.neural.encoding import EncodingDifference
from affectome.neural.searchlight import CentrePair
from affectome.plotting import plot_voxel_scatter


def result(n, slope=1.2):
    rng = np.random.default_rng(0)
    second = rng.normal(0.1, 0.1, n)
    first = 1.2 * second + rng.normal(0, 0.03, n)
    voxels = pd.DataFrame({"r_first": first, "r_second": second, "difference": first - second})
    voxels.iloc[:1] = np.nan
    row = {"n_voxels": n, "r_first": 0.12, "r_second": 0.1, "share_above": 0.62, "share_low": 0.55,
           "share_high": 0.69, "slope": slope, "slope_low": 1.1, "slope_high": 1.31}  # fmt: skip
    return EncodingDifference("sub-01", "mllm", "llm", voxels, pd.DataFrame([row], ["all"]), 12, 0.95)


def test_few_voxels_are_dots_with_the_first_space_upwards(assert_readable):
    given = result(300)
    figure = plot_voxel_scatter(given, {"mllm": "MLLM"}, title="sub-01")
    (ax,) = figure.axes
    np.testing.assert_allclose(ax.collections[0].get_offsets(), given.voxels[["r_second", "r_first"]].dropna())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Held-out r, llm", "Held-out r, MLLM")
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_title(loc="left") == ("sub-01\n300 voxels; MLLM higher in 62% [55%, 69%]\n"
                                        "95% intervals over runs; slope 1.20 [1.10, 1.31]")  # fmt: skip
    assert_readable(figure)


def test_lines_are_equality_and_the_slope_of_the_result_through_the_means():
    (ax,) = plot_voxel_scatter(result(300)).axes
    lines = {line.get_gid(): line for line in ax.lines}
    np.testing.assert_array_equal(lines["equal"].get_xdata(), lines["equal"].get_ydata())
    assert lines["slope"].get_xy1() == pytest.approx((0.1, 0.12)) and lines["slope"].get_slope() == 1.2
    (ax,) = plot_voxel_scatter(result(300, slope=np.nan)).axes
    assert [line.get_gid() for line in ax.lines] == ["equal"]
    assert "slope" not in ax.get_title(loc="left")


def test_many_voxels_are_counted_in_cells_and_every_one_of_them(assert_readable):
    figure = plot_voxel_scatter(result(20_000))
    cells = next(c for c in figure.axes[0].collections if c.get_gid() == "voxels")
    assert cells.get_array().sum() == 19_999 and cells.get_rasterized()
    assert figure.axes[1].get_ylabel() == "Voxels in a cell"
    assert_readable(figure)


def test_chosen_voxels_alone_or_none_at_all(assert_readable):
    given = result(300)
    chosen = np.arange(300) < 11
    (ax,) = plot_voxel_scatter(given, voxels=chosen).axes
    assert len(ax.collections[0].get_offsets()) == 10
    figure = plot_voxel_scatter(given, voxels=np.arange(300) < 1)
    assert "no voxel has both correlations" in [t.get_text() for t in figure.axes[0].texts]
    assert_readable(figure)
    with pytest.raises(InputError, match="no region 'TPJ'"):
        plot_voxel_scatter(given, region="TPJ")


def test_centres_of_a_searchlight_are_drawn_with_their_share_and_slope_and_no_interval(assert_readable):
    given = result(300)
    numbers = {"n_voxels": 299, "r_first": 0.12, "r_second": 0.1, "share_above": 0.62, "slope": 1.2}
    row = pd.DataFrame([numbers], ["all"])
    pair = CentrePair("sub-01", "mllm", "llm", "spearman", given.voxels, row)
    figure = plot_voxel_scatter(pair, {"mllm": "MLLM"}, title="sub-01")
    (ax,) = figure.axes
    np.testing.assert_allclose(ax.collections[0].get_offsets(), given.voxels[["r_second", "r_first"]].dropna())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Spearman RSA r, llm", "Spearman RSA r, MLLM")
    assert ax.get_title(loc="left") == "sub-01\n299 centres; MLLM higher in 62%; slope 1.20"
    assert_readable(figure)
    none = row.assign(n_voxels=0, share_above=np.nan, slope=np.nan)
    nothing = CentrePair("sub-01", "mllm", "llm", "pearson", given.voxels[:1], none)
    assert plot_voxel_scatter(nothing).axes[0].get_title(loc="left") == "0 centres"
