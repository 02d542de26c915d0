import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from matplotlib.text import Text

from affectome.interpretation import PredictionComparison
from affectome.plotting import COLUMN_WIDTH, plot_predictions, system_colours

RATINGS = ["Joy", "Fear", "Pride", "valence"]


@pytest.fixture
def result():
    """The reference predicts valence best, then Fear, then Joy; Pride is undefined; the model lacks Fear."""
    r = {"human": [0.3, 0.6, np.nan, 0.9], "mllm": [0.35, 0.2, np.nan, 0.85]}
    parts = [
        pd.DataFrame({"rating": RATINGS, "system": name, "family": ["category"] * 3 + ["dimension"], "r": values,
                      "r_low": np.array(values) - 0.1, "r_high": np.array(values) + 0.05,
                      "lacking": [False, name == "mllm", False, False]})
        for name, values in r.items()
    ]  # fmt: skip
    table = pd.concat(parts).set_index(["rating", "system"])
    return PredictionComparison(table, pd.DataFrame(), dict.fromkeys(r), "human", 0.05, 0.05, 0.95, 2185)


def test_ratings_are_sorted_by_the_reference_and_undefined_ones_last(result):
    axes = plot_predictions(result).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["valence", "Fear", "Joy", "Pride"]
    assert axes.yaxis_inverted()


def test_dots_and_lines_are_r_and_its_interval(result):
    axes = plot_predictions(result).axes[0]
    lines, dots = axes.collections[0::2], axes.collections[1::2]
    np.testing.assert_allclose(np.ma.filled(dots[1].get_offsets()[:, 0], np.nan), [0.85, 0.2, 0.35, np.nan])
    ends = np.array([segment[:, 0] for segment in lines[1].get_segments() if len(segment)])[:3]
    np.testing.assert_allclose(ends, [[0.75, 0.9], [0.1, 0.25], [0.25, 0.4]])
    # One system above the other, both within the row of the rating.
    assert (dots[0].get_offsets()[:3, 1] < dots[1].get_offsets()[:3, 1]).all()


def test_lacking_ratings_are_open_and_the_rest_in_the_colour_of_the_system(result):
    axes = plot_predictions(result).axes[0]
    colour = system_colours(["human", "mllm"])["mllm"]
    faces = axes.collections[3].get_facecolors()
    assert [same_color(face, "white") for face in faces] == [False, True, False, False]
    assert all(same_color(faces[k], colour) for k in (0, 2))
    assert all(same_color(edge, colour) for edge in axes.collections[3].get_edgecolors())


def test_family_can_be_chosen_and_systems_named(result):
    figure = plot_predictions(result, {"human": "Human (dimension)"}, family="category")
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["Fear", "Joy", "Pride"]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["Human (dimension)", "mllm"]
    assert legend.get_title().get_text() == "open: lacking beside Human (dimension) (by more than 0.05)"
    assert "2,185 stimuli" in figure.axes[0].get_xlabel()


def test_one_system_alone_has_nothing_to_lack_beside_itself(result):
    table = result.table.xs("human", level="system", drop_level=False)
    alone = PredictionComparison(table, pd.DataFrame(), {"human": None}, "human", 0.05, 0.05, 0.95, 2185)
    assert not plot_predictions(alone, title="human").legends


def test_text_is_at_least_seven_points_and_inside(result):
    figure = plot_predictions(result)
    assert figure.get_figwidth() == COLUMN_WIDTH
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01
