"""A map shows every stimulus once, the commonest categories apart."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.interpretation import Projection
from affectome.plotting import PAGE_WIDTH, plot_map


def world(n_categories):
    """Category k has n_categories + 1 - k stimuli."""
    code = np.repeat(np.arange(n_categories), n_categories + 1 - np.arange(n_categories))
    ids = [f"s{k}" for k in range(len(code))]
    xy = np.random.default_rng(0).normal(size=(len(code), 2))
    projection = Projection(pd.DataFrame(xy, index=ids, columns=["x", "y"]), 0.9571, 30.0, 15, 0)
    return projection, pd.Series([f"Category {k:02d}" for k in code], index=ids)


@pytest.mark.parametrize("n_categories", [3, 17, 20])
def test_every_stimulus_is_shown_once_with_its_category(n_categories):
    projection, labels = world(n_categories)
    axes = plot_map(projection, labels.iloc[::-1]).axes[0]
    shown = {}
    for points in axes.collections:
        shown[points.get_label().split(" (")[0]] = np.ma.filled(points.get_offsets())
    for k in range(min(n_categories, 17)):
        name = f"Category {k:02d}"
        expected = projection.coordinates.loc[labels.index[labels == name]].to_numpy()
        np.testing.assert_allclose(np.sort(shown[name], axis=0), np.sort(expected, axis=0))
    assert sum(len(points) for points in shown.values()) == len(labels)
    assert ("other" in shown) == (n_categories > 17)


def test_the_legend_counts_stimuli_from_the_commonest_category_down():
    axes = plot_map(*world(20)).axes[0]
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert entries == ["other", *(f"Category {k:02d} ({21 - k})" for k in range(17))]
    axes = plot_map(*world(3)).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"Category {k:02d} ({4 - k})" for k in range(3)
    ]


def test_no_two_categories_share_both_colour_and_shape_and_the_rest_is_grey():
    rest, *categories = plot_map(*world(20)).axes[0].collections
    looks = {(to_hex(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes()) for points in categories}
    assert len(looks) == len(categories) == 17
    assert to_hex(rest.get_facecolor()[0]) == "#bfbfbf" and len(rest.get_offsets()) == 4 + 3 + 2


def test_stimuli_without_a_label_are_among_the_rest():
    projection, labels = world(3)
    rest, *categories = plot_map(projection, labels.iloc[1:]).axes[0].collections
    np.testing.assert_allclose(np.ma.filled(rest.get_offsets()), projection.coordinates.iloc[:1])
    assert sum(len(points.get_offsets()) for points in categories) == len(labels) - 1


def test_the_map_says_how_it_was_made_and_has_no_axes():
    axes = plot_map(*world(3), title="MLLM").axes[0]
    (note,) = axes.texts
    assert note.get_text() == "t-SNE, perplexity 30, trustworthiness 0.957; axes have no unit"
    assert axes.get_title() == "MLLM" and len(axes.get_xticks()) == len(axes.get_yticks()) == 0
    assert axes.get_aspect() == 1


def test_text_is_at_least_seven_points_and_nothing_is_clipped():
    figure = plot_map(*world(20), title="A map")
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    assert figure.get_figwidth() == pytest.approx(PAGE_WIDTH)
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


def test_given_axes_are_drawn_into():
    left, right = Figure(figsize=(12, 4)).subplots(1, 2)
    assert plot_map(*world(3), ax=right) is left.figure
    assert not left.has_data() and len(right.collections) >= 3
