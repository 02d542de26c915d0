"""The bar chart of human-model consistency: the right numbers, best first, over chance and the ceiling of people."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome import sample_triplets
from affectome.behavior import choice_consistency
from affectome.plotting import plot_consistency, save_figure, system_colours

QUESTIONS = sample_triplets(30, 200, design="repeated", repeats=5, seed=0)
LABELS = {"mllm": "MLLM (videos)", "llm": "LLM (captions)"}


def answers(error, seed):
    """The stimulus of the highest index is odd, but for a share of errors."""
    rng = np.random.default_rng(seed)
    choice = np.where(rng.random(1000) < error, rng.integers(0, 3, 1000), QUESTIONS.triplets.argmax(axis=1))
    return QUESTIONS.with_answers(choice)


PEOPLE = answers(0.3, 0)
RESULT = choice_consistency(PEOPLE, {"llm": answers(0.8, 1), "mllm": answers(0.2, 2), "mine": answers(0.5, 3)}, seed=0)
BEST_FIRST = ["mllm", "mine", "llm"]


def lines(axes, style, width):
    return [line for line in axes.lines if line.get_linestyle() == style and line.get_linewidth() == width]


def test_bars_stand_best_first_with_interval_value_and_their_own_colour():
    axes = plot_consistency(RESULT, LABELS).axes[0]
    table = RESULT.table.set_index("name").loc[BEST_FIRST]
    bars = [bar for container in axes.containers for bar in container]
    assert [bar.get_width() for bar in bars] == table["agreement"].tolist()
    assert [bar.get_y() + bar.get_height() / 2 for bar in bars] == pytest.approx([0, 1, 2])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["MLLM (videos)", "mine", "LLM (captions)"]
    assert [text.get_text() for text in axes.texts] == [f"{value:.3f}" for value in table["agreement"]]
    assert [text.get_position()[1] for text in axes.texts] == [0, 1, 2]
    shown = [(*line.get_xdata(), *line.get_ydata()) for line in lines(axes, "-", 1.2)]
    assert shown == [(row.ci_low, row.ci_high, k, k) for k, row in enumerate(table.itertuples())]
    colours = system_colours(["llm", "mllm", "mine"])
    assert [to_hex(bar.get_facecolor()).upper() for bar in bars] == [colours[name] for name in BEST_FIRST]


def test_chance_ceiling_and_people_stand_where_they_belong():
    axes = plot_consistency(RESULT).axes[0]
    band = next(patch for patch in axes.patches if patch.get_label() == "human ceiling")
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(
        (RESULT.ceiling.lower, RESULT.ceiling.upper)
    )
    assert lines(axes, "--", 0.8)[0].get_xdata() == [1 / 3, 1 / 3]
    people = RESULT.table.loc[RESULT.table["kind"] == "people", "agreement"].iloc[0]
    assert lines(axes, ":", 1)[0].get_xdata() == [people, people]
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    assert entries == ["human ceiling", "person with person", "chance"]
    assert axes.get_xlabel() == "Agreement with people"


def test_without_repeats_there_is_chance_alone_and_a_partial_ceiling_says_its_triplets():
    once = choice_consistency(PEOPLE[:200], {"m": answers(0.2, 2)}, n_boot=10, seed=0)
    axes = plot_consistency(once).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["chance"]
    assert lines(axes, ":", 1) == []
    some = choice_consistency(PEOPLE[:350], {"m": answers(0.2, 2)}, n_boot=10, seed=0)
    assert plot_consistency(some).axes[0].get_xlabel() == "Agreement with people\n(ceiling: 150 of 200 triplets)"


def test_with_more_models_than_colours_no_colour_stands_for_two_of_them_apart():
    many = RESULT.table.iloc[[0] * 9 + [1]].assign(name=[f"m{k}" for k in range(9)] + ["mllm"])
    axes = plot_consistency(replace(RESULT, table=many[many["kind"] == "model"], ceiling=None)).axes[0]
    shown = [to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert shown[0] == system_colours(["mllm"])["mllm"]  # the best; a system of the paper keeps its colour
    assert len(shown) == 10 and len(set(shown[1:])) == 1


def test_text_is_readable_nothing_is_clipped_and_given_axes_are_used():
    figure = plot_consistency(RESULT, LABELS)
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01 and box.y1 <= figure.get_figheight() + 0.01
    own = Figure().add_subplot()
    assert plot_consistency(RESULT, ax=own) is own.figure


def test_the_same_result_gives_the_same_bytes(tmp_path):
    one, two = (save_figure(plot_consistency(RESULT), tmp_path / name, "c")[0].read_bytes() for name in "ab")
    assert one == two and len(one) > 5000
