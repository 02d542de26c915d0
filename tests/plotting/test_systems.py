"""Systems side by side: the right numbers, in order, each system in its one colour."""

from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.plotting import (
    COLUMN_WIDTH,
    plot_accuracy,
    plot_agreement,
    plot_category_scores,
    plot_component_sizes,
    save_figure,
    system_colours,
)

LABELS = {"mllm": "MLLM (videos)", "human_category": "Human (categories)", "mine": "My own system"}
ACCURACY = {
    "mllm": SimpleNamespace(value=0.75, ci_low=0.70, ci_high=0.80),
    "human_category": {"value": 0.5, "ci_low": 0.45, "ci_high": 0.55},
    "mine": {"value": 0.985, "ci_low": 0.97, "ci_high": 1.0},
}
COMMON = {"balanced": 0.3, "prior": 0.25, "null_high": 0.2, "top": 3, "n_classes": 17, "n_stimuli": 2180}
SCORES = {name: {**COMMON, **(s if isinstance(s, dict) else vars(s))} for name, s in ACCURACY.items()}
SIZES = {name: pd.DataFrame({"share": [0.1, 0.1 + 0.1 * k, 0.5]}) for k, name in enumerate(LABELS)}
MATRIX = pd.DataFrame([[1, 0.7, 0.4], [0.7, 1, 0.55], [0.4, 0.55, 1]], index=LABELS.values(), columns=LABELS.values())
FIGURES = {
    "accuracy": lambda ax=None: plot_accuracy(ACCURACY, LABELS, ax=ax),
    "categories": lambda ax=None: plot_category_scores(SCORES, LABELS, ax=ax),
    "sizes": lambda ax=None: plot_component_sizes(SIZES, LABELS, ax=ax),
    "agreement": lambda ax=None: plot_agreement(MATRIX, ax=ax),
}


@pytest.fixture(params=FIGURES.values(), ids=FIGURES)
def draw(request):
    return request.param


def ticks(labels):
    return [tick.get_text() for tick in labels]


def written(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("figure", [plot_accuracy(ACCURACY, LABELS), plot_category_scores(SCORES, LABELS)])
def test_bars_and_intervals_show_the_values_in_order(figure):
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.5, 0.985]
    assert ticks(axes.get_yticklabels()) == list(LABELS.values())
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first system is on top
    intervals = {line.get_ydata()[0]: tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 1.2
                 and line.get_linestyle() == "-"}  # fmt: skip
    assert intervals == {0: (0.70, 0.80), 1: (0.45, 0.55), 2: (0.97, 1.0)}
    assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == pytest.approx([0, 1, 2])


def test_accuracy_is_written_out_beside_chance():
    axes = plot_accuracy(ACCURACY).axes[0]
    assert written(axes) == ["0.750", "0.500", "0.985", "chance"]
    assert [line.get_xdata() for line in axes.lines if line.get_linestyle() == "--"] == [[1 / 3, 1 / 3]]
    assert ticks(axes.get_yticklabels()) == list(ACCURACY)  # without labels a system goes by its name


def test_a_ceiling_is_a_bracket_below_the_bar_of_its_system_alone():
    ceilings = {"mllm": {"lower": 0.8, "upper": 0.85}, "mine": SimpleNamespace(lower=1.0, upper=1.0)}
    axes = plot_accuracy(ACCURACY, ceilings=ceilings).axes[0]
    drawn = [line for line in axes.lines if line.get_linewidth() == 0.9]
    assert [list(line.get_xdata()) for line in drawn] == [[0.8, 0.8, 0.85, 0.85], [1.0] * 4]
    assert [min(line.get_ydata()) for line in drawn] == pytest.approx([0.32, 2.32])  # bars end at 0.3 below their row
    assert axes.get_xlabel() == "Held-out choices predicted (bracket: noise ceiling)"
    assert "ceiling" not in plot_accuracy(ACCURACY).axes[0].get_xlabel()


def test_category_scores_show_balanced_prior_and_null_of_every_system():
    figure = plot_category_scores(SCORES)
    axes = figure.axes[0]
    assert [tuple(dots.get_offsets()[0]) for dots in axes.collections] == [(0.3, 0), (0.3, 1), (0.3, 2)]
    for style, value in (("--", 0.25), (":", 0.2)):
        lines = [line for line in axes.lines if line.get_linestyle() == style]
        assert [line.get_xdata()[0] for line in lines] == [value] * 3
        assert [np.mean(line.get_ydata()) for line in lines] == pytest.approx([0, 1, 2])
    assert written(axes) == ["0.75", "0.50", "0.98"] or written(axes) == ["0.75", "0.50", "0.99"]
    assert axes.get_title() == "17 categories, 2,180 stimuli"
    assert axes.get_xlabel() == "Own category among the 3 nearest"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "balanced over categories", "always the commonest", "labels permuted (95%)"
    ]  # fmt: skip
    assert plot_category_scores(SCORES, title="Mine").axes[0].get_title() == "Mine"


def test_component_sizes_fall_from_the_strongest():
    axes = plot_component_sizes(SIZES, LABELS).axes[0]
    assert [line.get_label() for line in axes.lines] == list(LABELS.values())
    for line, table in zip(axes.lines, SIZES.values(), strict=True):
        assert line.get_xdata().tolist() == [1, 2, 3]
        assert line.get_ydata().tolist() == sorted(table["share"], reverse=True)


def test_agreement_shows_every_pair_once():
    axes = plot_agreement(MATRIX).axes[0]
    shown = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(shown, [[0.7, np.nan], [0.4, 0.55]])
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "0.70"), ((0, 1), "0.40"), ((1, 1), "0.55")
    }  # fmt: skip
    assert ticks(axes.get_xticklabels()) == ["MLLM\n(videos)", "Human\n(categories)"]
    assert ticks(axes.get_yticklabels()) == ["Human\n(categories)", "My own system"]
    assert axes.images[0].get_clim() == (1 / 3, 1)


def test_text_on_an_agreement_stands_out_from_its_cell():
    axes = plot_agreement(MATRIX).axes[0]
    image = axes.images[0]
    for text in axes.texts:
        column, row = text.get_position()
        red, green, blue, _ = image.cmap(image.norm(image.get_array()[row, column]))
        light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        assert text.get_color() == ("black" if light > 0.45 else "white")


def test_a_system_has_one_colour_in_every_figure():
    colours = system_colours(list(LABELS))
    assert len(set(colours.values())) == 3
    for figure in (FIGURES["accuracy"](), FIGURES["categories"]()):
        assert [to_hex(bar.get_facecolor()).upper() for bar in figure.axes[0].patches] == list(colours.values())
    assert [to_hex(line.get_color()).upper() for line in FIGURES["sizes"]().axes[0].lines] == list(colours.values())


def test_systems_of_the_paper_keep_their_colour_whatever_stands_beside_them():
    known = ["human_category", "human_dimension", "language", "llm", "mllm"]
    everything = system_colours(["x", *known, "y", "z"])
    assert len(set(everything.values())) == 8
    for name in known:
        assert system_colours([name]) == {name: everything[name]}
    assert list(everything) == ["x", *known, "y", "z"]
    assert len(system_colours([f"s{k}" for k in range(20)])) == 20  # colours run out, systems do not


def test_text_is_at_least_seven_points_and_nothing_is_clipped(draw):
    figure = draw()
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(texts) >= 5 and min(text.get_fontsize() for text in texts) >= 7
    assert figure.get_figwidth() == pytest.approx(COLUMN_WIDTH)
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01


def test_given_axes_are_drawn_into_and_global_settings_left_alone(draw, tmp_path):
    before = dict(mpl.rcParams)
    left, right = Figure(figsize=(10, 4), layout="constrained").subplots(1, 2)
    figure = draw(right)
    assert figure is left.figure and not left.has_data() and right.has_data()
    save_figure(figure, tmp_path, "f", formats=["png"])
    assert dict(mpl.rcParams) == before
