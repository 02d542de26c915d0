"""Figures of category structure show the numbers of their result."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.interpretation import category_structure
from affectome.plotting import (
    COLUMN_WIDTH,
    PAGE_WIDTH,
    plot_category_scores,
    plot_category_structure,
    plot_confusion,
    plot_silhouettes,
    system_colours,
)

NAMES = {"human_category": "Human (category)", "language": "Language"}


@pytest.fixture(scope="module")
def structure():
    rng = np.random.default_rng(0)
    ids = [f"s{k:03d}" for k in range(160)]
    ratings = pd.DataFrame(
        rng.dirichlet(np.full(6, 0.3), 160), index=ids, columns=["Joy", "Awe", "Fear", "Calm", "Rage", "Envy"]
    )
    spaces = {
        "human_category": ratings,
        "language": ratings + rng.normal(scale=0.6, size=ratings.shape),
    }
    return category_structure(
        spaces, {"category": ratings}, circular=["human_category"], most_common=5, top=2, n_permutations=19, n_boot=50,
        n_shuffles=3, seed=0,
    )  # fmt: skip


def test_points_intervals_and_marks_of_the_structure_are_those_of_its_table(structure):
    axes = plot_category_structure(structure, NAMES).axes[0]
    points = [p for p in axes.collections if len(p.get_offsets())]
    shown = [float(np.ma.filled(p.get_offsets())[0, 0]) for p in points]
    expected = [
        structure.scores["value"][space, "5 commonest", method, average, 2]
        for space in NAMES
        for method in ("centroid", "knn", "linear")
        for average in ("plain", "balanced")
    ]
    assert shown == pytest.approx(expected)
    colours = [c for c in system_colours(list(NAMES)).values() for _ in range(6)]
    assert [to_hex(p.get_edgecolor()[0]).upper() for p in points] == colours
    faces = [to_hex(p.get_facecolor()[0]).upper() for p in points]
    assert faces == [c if k % 2 == 0 else "#FFFFFF" for k, c in enumerate(colours)]
    lines = [line for line in axes.lines if len(line.get_xdata())]
    spans = sorted(tuple(line.get_xdata()) for line in lines if line.get_ydata()[0] == line.get_ydata()[1])
    table = structure.scores.reset_index().query("categories == '5 commonest' and top == 2")
    assert spans == sorted(zip(table["ci_low"], table["ci_high"], strict=True))
    styles = [
        (line.get_linestyle(), line.get_xdata()[0]) for line in lines if line.get_xdata()[0] == line.get_xdata()[1]
    ]
    plain = table[table["average"] == "plain"]
    assert sorted(x for style, x in styles if style == "--") == sorted(plain["prior"])
    assert sorted(x for style, x in styles if style == ":") == sorted(plain["null_high"])
    baseline = [structure.baseline["value"]["5 commonest", m, "plain", 2] for m in ("centroid", "knn", "linear")]
    assert sorted(x for style, x in styles if style == "-") == sorted(baseline)  # of the circular space alone
    assert axes.get_xlabel() == "Own category among the 2 best"
    said = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert "always the 2 commonest" in said
    assert [text.get_text() for text in axes.texts] == ["Human (category) (circular labels)", "Language"]
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    assert ticks == ["nearest centroid", "nearest neighbours", "linear discriminant"] * 2


def test_other_categories_and_the_first_place_alone_can_be_shown(structure):
    axes = plot_category_structure(structure, categories="all", top=1).axes[0]
    value = float(np.ma.filled(axes.collections[0].get_offsets())[0, 0])
    assert value == pytest.approx(structure.scores["value"]["human_category", "all", "centroid", "plain", 1])
    assert axes.get_xlabel() == "Own category best" and axes.get_title().startswith("6 categories, 160 stimuli")


def test_confusions_are_shares_of_each_row_in_the_order_of_likeness(structure):
    score = structure.details["language", "all", "linear"]
    axes = plot_confusion(score).axes[0]
    order = score.confusion_order()
    counts = score.confusion.loc[order, order].to_numpy()
    np.testing.assert_allclose(np.ma.filled(axes.images[0].get_array()), counts / counts.sum(axis=1, keepdims=True))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == order
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [f"{n} ({score.classes['n'][n]})" for n in order]
    plain, balanced = score.accuracy["value"]["plain", 1], score.accuracy["value"]["balanced", 1]
    assert axes.get_title() == f"Linear discriminant: top-1 accuracy {plain:.2f}, balanced {balanced:.2f}"


def test_silhouettes_stand_beside_their_category_and_are_filled_where_significant(structure):
    axes = plot_silhouettes(structure, NAMES).axes[0]
    ticks = [tick.get_text() for tick in axes.get_yticklabels()]
    clouds = [p for p in axes.collections if hasattr(p, "get_sizes") and len(p.get_offsets())]
    for (space, points), shift in zip(zip(NAMES, clouds, strict=True), (-0.175, 0.175), strict=True):
        table = structure.classes.xs(space)
        offsets = np.ma.filled(points.get_offsets())
        np.testing.assert_allclose(offsets[:, 0], table["silhouette"])
        rows = [ticks.index(f"{name} ({n})") + shift for name, n in table["n"].items()]
        np.testing.assert_allclose(offsets[:, 1], rows)
        filled = [to_hex(face) != "#ffffff" for face in points.get_facecolor()]
        assert filled == (table["q"] < 0.05).tolist()
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    value = structure.silhouettes["value"]["human_category", "plain"]
    assert legend[0] == f"Human (category): {value:.2f} in all"


def test_a_score_of_any_method_has_its_bar(structure):
    score = structure.details["language", "all", "knn"]
    axes = plot_category_scores({"language": score}).axes[0]
    assert axes.patches[0].get_width() == pytest.approx(score.accuracy["value"]["plain", 2])


@pytest.mark.parametrize("name", ["structure", "confusion", "silhouettes"])
def test_text_is_at_least_seven_points_nothing_is_clipped_and_axes_can_be_given(structure, name):
    draw, width = {
        "structure": (lambda ax=None: plot_category_structure(structure, NAMES, ax=ax), COLUMN_WIDTH),
        "confusion": (lambda ax=None: plot_confusion(structure.details["language", "all", "knn"], ax=ax), PAGE_WIDTH),
        "silhouettes": (lambda ax=None: plot_silhouettes(structure, NAMES, ax=ax), COLUMN_WIDTH),
    }[name]
    figure = draw()
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert figure.get_figwidth() == pytest.approx(width) and min(box.x0, box.y0) >= -0.01
    assert box.x1 <= width + 0.01 and box.y1 <= figure.get_figheight() + 0.01
    left, right = Figure(figsize=(12, 5), layout="constrained").subplots(1, 2)
    assert draw(right) is left.figure and not left.has_data() and right.has_data()
