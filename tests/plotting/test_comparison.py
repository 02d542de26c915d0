"""Figures of compared spaces show the numbers of the result, where they belong."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.comparison import SpaceComparison
from affectome.plotting._comparison import plot_agreements, plot_comparison_matrix

PAIRS = [("people", "model"), ("people", "human_words"), ("model", "human_words")]


def result(statistic="pearson", **columns):
    values = {"value": [0.30, 0.80, -0.04], "ci_low": [0.2, 0.75, -0.1], "ci_high": [0.4, 0.85, 0.02],
              "p": [0.001, 0.001, 0.3], "q": [0.0015, 0.0015, 0.3], "null_mean": [0.0] * 3,
              "null_high": [0.03, 0.04, 0.05], **columns}  # fmt: skip
    index = pd.MultiIndex.from_tuples([(statistic, *pair) for pair in PAIRS], names=["statistic", "first", "second"])
    return SpaceComparison(pd.DataFrame(values, index=index), pd.DataFrame(), 1234, 999, 0.95)


def test_matrix_writes_value_and_interval_of_every_pair_and_puts_alike_spaces_next_to_each_other():
    axes = plot_comparison_matrix(result(), labels={"people": "People"}).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["People", "human_\nwords"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["human_\nwords", "model"]
    np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), [[0.8, np.nan], [0.3, -0.04]])
    written = {tuple(np.round(t.get_position()).astype(int)): [] for t in axes.texts}
    for text in axes.texts:
        written[tuple(np.round(text.get_position()).astype(int))].append(text.get_text())
    assert written == {(0, 0): [".80", "[.75, .85]"], (0, 1): [".30", "[.20, .40]"],
                       (1, 1): ["−.04 n.s.", "[−.10, .02]"]}  # fmt: skip
    assert [t.get_fontstyle() for t in axes.texts if "n.s." in t.get_text()] == ["italic"]
    assert axes.get_title(loc="left") == "Pearson r over pairs of stimuli"
    assert axes.get_xlabel() == "1,234 stimuli; brackets: 95% interval"


def test_matrix_of_choices_starts_at_chance():
    shares = result("agreement", value=[0.40, 0.8, 0.35], ci_low=[0.39] * 3, ci_high=[0.81] * 3)
    figure = plot_comparison_matrix(shares)
    assert figure.axes[0].images[0].get_clim() == pytest.approx((1 / 3, 1))
    assert figure.axes[1].get_ylabel() == "Same odd one out (chance 1/3)"


def test_agreements_are_sorted_with_their_intervals_and_their_null():
    axes = plot_agreements(result(in_sample=[0.35, 0.9, 0.1])).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "people – human_words", "people – model", "model – human_words"
    ]  # fmt: skip
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["value, 95% interval"].get_xdata(), [0.8, 0.3, -0.04])
    np.testing.assert_allclose(lines["on the stimuli fitted to"].get_xdata(), [0.9, 0.35, 0.1])
    ends = [(path.vertices[0, 0], path.vertices[1, 0]) for path in axes.collections[0].get_paths()]
    np.testing.assert_allclose(ends, [(0.75, 0.85), (0.2, 0.4), (-0.1, 0.02)])
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.04, 0.03, 0.05])
    top, bottom = axes.get_ylim()[::-1]
    assert top < bottom  # the largest is on top
    assert axes.get_xlim()[0] < -0.1


def test_agreements_of_choices_stand_on_chance_and_a_ceiling_is_marked():
    rows = result("agreement", value=[0.4, 0.8, 0.35], ci_low=[0.39] * 3, ci_high=[0.81] * 3,
                  null_high=[0.34] * 3, ceiling=[0.9, np.nan, np.nan])  # fmt: skip
    axes = plot_agreements(rows).axes[0]
    assert axes.lines[0].get_xdata() == pytest.approx([1 / 3, 1 / 3])
    assert axes.patches[0].get_x() == pytest.approx(1 / 3)
    ceiling = next(line for line in axes.lines if line.get_label() == "ceiling")
    np.testing.assert_allclose(ceiling.get_xdata(), [np.nan, 0.9, np.nan])
    assert axes.get_xlabel() == "Same odd one out (share of triplets), chance 1/3"


@pytest.mark.parametrize("draw", [plot_comparison_matrix, plot_agreements])
def test_text_is_at_least_seven_points_and_given_axes_are_used(draw):
    figure = Figure(figsize=(4, 3), layout="constrained")
    assert draw(result(), ax=figure.add_subplot()) is figure
    shown = [t for t in draw(result()).findobj(Text) if t.get_text()]
    assert len(shown) > 5 and min(t.get_fontsize() for t in shown) >= 7
