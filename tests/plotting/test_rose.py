import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Wedge
from matplotlib.text import Text

from affectome import InputError
from affectome.interpretation import ProfileDifference, stimulus_profiles
from affectome.plotting import COLUMN_WIDTH, PAGE_WIDTH, plot_rose, plot_rose_difference, save_figure, system_colours

IDS = ["one", "two", "three"]
SPACE = pd.DataFrame([[4.0, 1.0, 0.0, 2.0], [0.0, 0.5, 3.0, 0.0], [1.0, 1.0, 1.0, 1.0]], IDS, ["a", "b", "c", "d"])
NAMES = {"a": "a rather long name of a component of joy", "c": "fear"}


@pytest.fixture
def rose():
    return plot_rose(stimulus_profiles(SPACE, IDS, names=NAMES), captions={"two": "A dog runs."})


@pytest.fixture
def difference():
    def table(values):
        return pd.DataFrame(values, index=["one", "two"], columns=["Joy", "Fear", "Awe"])

    first, second = table([[0.4, 0.1, 0.0], [0.1, 0.0, 0.2]]), table([[0.1, 0.1, 0.3], [0.1, -0.02, 0.1]])
    marked = table([[True, False, True], [False, False, False]])
    rated = table([[0.36, 0.09, 0.04], [0.0, 0.0, 0.16]])
    r = pd.DataFrame({"human_category": [0.9] * 3, "language": [0.5] * 3}, index=["Joy", "Fear", "Awe"])
    gap = second - first
    return ProfileDifference(
        first, second, gap, gap, gap, abs(gap), marked, rated, r, ("human_category", "language"), 0.4, 100, 5, 5
    )


def petals(ax):
    return [patch for patch in ax.patches if isinstance(patch, Wedge)]


def texts(figure):
    figure.draw_without_rendering()
    return [text for text in figure.findobj(Text) if text.get_text()]


def test_area_of_a_petal_is_proportional_to_its_weight_in_all_roses(rose):
    for ax, (_, weights) in zip(rose.axes, SPACE.iterrows(), strict=False):
        np.testing.assert_allclose([petal.r**2 for petal in petals(ax)], weights / 4.0, rtol=1e-6)
        assert all(petal.width is None for petal in petals(ax))


def test_petals_stand_clockwise_from_the_top(rose):
    places = [(petal.theta1, petal.theta2) for petal in petals(rose.axes[0])]
    assert places == [(0, 90), (-90, 0), (-180, -90), (-270, -180)]


def test_only_petals_that_matter_are_named_and_in_full_colour(rose):
    written = [[text.get_text() for text in ax.texts] for ax in rose.axes[:3]]
    assert written[0] == ["d", "a rather long\nname of a…"]
    assert written[1] == ["fear"]
    assert [petal.get_alpha() for petal in petals(rose.axes[1])] == [0.35, 0.35, 1, 0.35]
    joined = rose.axes[1].lines[0].get_xydata()
    assert np.hypot(*joined[0]) == pytest.approx(np.sqrt(3 / 4))  # from the tip of the petal


def test_stimulus_and_caption_are_the_title_and_the_scale_is_said(rose):
    assert [ax.get_title() for ax in rose.axes[:3]] == ["one", "two\nA dog runs.", "three"]
    assert "Petal area ∝ weight; outer ring 4, inner ring 1" in [text.get_text() for text in texts(rose)]


def test_text_is_large_enough_and_labels_do_not_overlap():
    space = pd.DataFrame([[1.0] * 30], ["s"], [f"component {k:02d}" for k in range(30)])
    space.iloc[0, :6] = 5.0  # six neighbours on one side
    figure = plot_rose(stimulus_profiles(space, ["s"], names={"component 02": "Aesthetic Appreciation, Entrancement"}))
    assert figure.get_figwidth() == pytest.approx(COLUMN_WIDTH)
    assert min(text.get_fontsize() for text in texts(figure)) >= 7
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 6
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])
    whole = figure.get_tightbbox()
    assert whole.x0 > -0.02
    assert whole.x1 < COLUMN_WIDTH + 0.02


def test_several_stimuli_take_the_page_and_spare_panels_are_empty(rose):
    assert rose.get_figwidth() == pytest.approx(PAGE_WIDTH)
    assert [ax.get_visible() for ax in rose.axes] == [True, True, True, False]


def test_given_axes_hold_one_rose(difference):
    left, right = Figure(figsize=(8, 3)).subplots(1, 2)
    figure = plot_rose(stimulus_profiles(SPACE, ["two"]), ax=right, title="Mine")
    assert figure is left.figure
    assert not petals(left)
    assert right.get_title() == "Mine\ntwo"
    with pytest.raises(InputError, match="one axes cannot hold the roses of 3 stimuli"):
        plot_rose(stimulus_profiles(SPACE, IDS), ax=right)
    with pytest.raises(InputError, match="one axes cannot hold the roses of 2 stimuli"):
        plot_rose_difference(difference, ax=right)


def test_coloured_area_is_the_difference_and_takes_the_colour_of_who_predicts_more(difference):
    ax = plot_rose_difference(difference).axes[0]
    cores, edges = petals(ax)[::2], petals(ax)[1::2]
    np.testing.assert_allclose([core.r**2 * 0.4 for core in cores], [0.1, 0.1, 0.0], atol=1e-12)
    areas = [(edge.r**2 - (edge.r - (edge.width or edge.r)) ** 2) * 0.4 for edge in edges]
    assert areas[0] == pytest.approx(0.3)
    assert areas[2] == pytest.approx(0.3)
    colours = system_colours(difference.systems)
    assert [edges[k].get_label() for k in (0, 2)] == ["Joy: human_category", "Awe: language"]
    for edge, system in ((edges[0], "human_category"), (edges[2], "language")):
        assert edge.get_facecolor()[:3] == pytest.approx([int(colours[system][k : k + 2], 16) / 255 for k in (1, 3, 5)])
    arcs = [patch for patch in ax.patches if isinstance(patch, Arc)]
    np.testing.assert_allclose([(arc.width / 2) ** 2 * 0.4 for arc in arcs], [0.36, 0.09, 0.04])
    assert [text.get_text() for text in ax.texts] == ["Joy", "Awe"] or {t.get_text() for t in ax.texts} == {
        "Joy",
        "Awe",
    }


def test_legend_names_the_systems_and_the_unit(difference):
    figure = plot_rose_difference(difference, labels={"language": "Language"}, unit="share of raters")
    said = [text.get_text() for text in texts(figure)]
    for part in ("predicted by both", "more by human_category", "more by Language", "rated"):
        assert part in said
    assert "Petal area ∝ share of raters; outer ring 0.4, inner ring 0.1" in said
    assert min(text.get_fontsize() for text in texts(figure)) >= 7


def test_prediction_below_zero_is_drawn_as_zero(difference):
    assert all(petal.r >= 0 for petal in petals(plot_rose_difference(difference).axes[1]))


def test_a_petal_that_cannot_be_seen_is_not_named(difference):
    difference.first.loc["two"], difference.second.loc["two"] = [0.1, -0.02, 0.2], [0.1, -0.2, 0.1]
    difference.marked.loc["two"] = [False, True, True]
    named = [text.get_text() for text in plot_rose_difference(difference).axes[1].texts]
    assert named == ["Awe"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figure_can_be_saved(rose, tmp_path, suffix):
    (path,) = save_figure(rose, tmp_path, "rose", formats=[suffix])
    assert path.stat().st_size > 1000
