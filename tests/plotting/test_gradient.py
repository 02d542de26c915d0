from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from affectome import InputError
from affectome.interpretation import category_gradients
from affectome.plotting import PAGE_WIDTH, plot_gradient_lines, plot_gradients


@pytest.fixture(scope="module")
def result():
    """Three blended categories, and one that is rated in nothing else."""
    rng = np.random.default_rng(0)
    shares = np.zeros((240, 4))
    shares[:220, :3] = np.stack([rng.multinomial(12, rng.dirichlet([0.5] * 3)) for _ in range(220)]) / 12
    shares[220:, 3] = 1
    ids = [f"s{k}" for k in range(240)]
    space = pd.DataFrame(shares + 0.1 * rng.normal(size=shares.shape), index=ids)
    ratings = pd.DataFrame(shares, index=ids, columns=["Joy", "Awe", "Fear", "Craving"])
    return category_gradients(space, {"category": ratings}, n_permutations=99, seed=0)


def test_cells_hold_r_of_rows_towards_columns_and_untested_ones_are_empty(result):
    (ax,) = (ax for ax in plot_gradients(result).axes if ax.images)
    rows, columns = ([label.get_text() for label in labels] for labels in (ax.get_yticklabels(), ax.get_xticklabels()))
    assert rows == columns == list(result.order) and set(rows) == {"Joy", "Awe", "Fear", "Craving"}
    cells = np.ma.filled(ax.images[0].get_array(), np.nan)
    for i, category in enumerate(rows):
        for j, towards in enumerate(columns):
            known = (category, towards) in result.ordered.index
            assert known == (not np.isnan(cells[i, j]))
            if known:
                assert cells[i, j] == pytest.approx(result.ordered.loc[(category, towards), "r"])
    assert ax.images[0].get_clim() == (-1, 1)


def test_dots_are_significant_cells_and_rings_gradients(result):
    (ax,) = (ax for ax in plot_gradients(result).axes if ax.images)
    marks = {points.get_label(): points.get_offsets() for points in ax.collections}
    assert list(marks) == ["follows the rating, q < 0.05", "gradient", "mixed", "gap"]
    order = list(result.order)
    expected = {(order.index(b), order.index(a)) for a, b in result.ordered.index[result.ordered["q"] < 0.05]}
    assert {tuple(map(int, place)) for place in marks["follows the rating, q < 0.05"]} == expected
    assert len(marks["gradient"]) == 2 * result.verdicts()["gradient"] > 0
    assert len(marks["gap"]) == 2 * result.verdicts()["gap"]


def test_heat_map_has_page_width_and_says_what_was_found(result):
    figure = plot_gradients(result)
    assert figure.get_size_inches()[0] == PAGE_WIDTH
    title = next(ax for ax in figure.axes if ax.images).get_title()
    assert f"Mean r = {result.r:.2f} [{result.ci_low:.2f}, {result.ci_high:.2f}], p = 0.01" in title
    assert f"discreteness = {result.discreteness:.2f}" in title
    assert min(text.get_fontsize() for ax in figure.axes for text in ax.get_xticklabels()) >= 7


def test_where_no_pair_is_bridged_lines_show_those_of_the_highest_r(result):
    none = replace(result, pairs=result.pairs.assign(verdict="undecided"))
    figure = plot_gradient_lines(none)
    ordered = none.pairs["r"].sort_values(ascending=False, kind="stable").head(6)
    assert [ax.get_title() for ax in figure.axes if ax.axison] == [f"r = {r:.2f}, undecided" for r in ordered]


def test_lines_show_stimuli_by_category_and_the_mean_share(result):
    figure = plot_gradient_lines(result, [("Joy", "Fear"), ("Awe", "Joy")])
    assert len(figure.axes) == 2
    line = result.line("Joy", "Fear")
    dots = {
        points.get_label(): points.get_offsets()
        for points in figure.axes[0].collections
        if points.get_label()[0] != "_"
    }
    assert list(dots) == ["Joy", "Fear"]
    for name, places in dots.items():
        own = line.stimuli[line.stimuli["label"] == name]
        np.testing.assert_allclose(np.asarray(places, float), own[["position", "share"]].astype(float), rtol=1e-6)
    drawn = figure.axes[0].lines[0]
    np.testing.assert_allclose(np.asarray(drawn.get_xdata(), float), line.trend["position"])
    np.testing.assert_allclose(np.asarray(drawn.get_ydata(), float), line.trend["share"])
    assert figure.axes[0].get_xlabel() == "0 Joy  to  1 Fear"
    pair = next(key for key in (("Joy", "Fear"), ("Fear", "Joy")) if key in result.pairs.index)
    assert figure.axes[0].get_title() == f"r = {result.pairs.loc[pair, 'r']:.2f}, {result.pairs.loc[pair, 'verdict']}"


def test_the_most_bridged_pairs_are_drawn_by_default(result):
    figure = plot_gradient_lines(result)
    shown = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert shown == [f"0 {a}  to  1 {b}" for a, b in result.most_bridged(6).index]


def test_given_axes_are_drawn_into_and_must_fit(result):
    axes = Figure(figsize=(8, 4)).subplots(1, 2)
    assert plot_gradients(result, ax=axes[0]) is axes[0].figure
    assert plot_gradient_lines(result, [("Joy", "Awe")], ax=axes[1]) is axes[1].figure
    with pytest.raises(InputError, match="there are 1 pairs and 2 axes"):
        plot_gradient_lines(result, [("Joy", "Awe")], ax=list(axes))
    with pytest.raises(InputError, match="no pair to draw"):
        plot_gradient_lines(result, [])
