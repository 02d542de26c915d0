import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome import InputError
from affectome.comparison import upset_counts
from affectome.plotting import PAGE_WIDTH, plot_upset, system_colours


@pytest.fixture
def table():
    """Five in both of the first two, two in the last alone, one in all."""
    rows = [[True, True, False]] * 5 + [[False, False, True]] * 2 + [[True, True, True]]
    return pd.DataFrame(rows, columns=["llm", "mllm", "human_category"])


@pytest.fixture
def panels(table):
    """Bars of the combinations, dots, sizes of the sets."""
    figure = plot_upset(table)
    figure.draw_without_rendering()
    return figure.axes[0].child_axes


def test_bars_are_the_counts_largest_first(panels):
    bars, _, _ = panels
    assert [bar.get_height() for bar in bars.patches] == [5, 2, 1]
    assert [text.get_text() for text in bars.texts] == ["5", "2", "1"]


def test_dots_and_lines_say_which_sets(panels):
    _, dots, _ = panels
    inside = [d for d in dots.collections if d.get_gid() == "inside"]
    assert [d.get_offsets().tolist() for d in inside] == [[[0, 0], [0, 1]], [[1, 2]], [[2, 0], [2, 1], [2, 2]]]
    assert [line.get_ydata().tolist() if hasattr(line.get_ydata(), "tolist") else list(line.get_ydata())
            for line in dots.lines] == [[0, 1], [2, 2], [0, 2]]  # fmt: skip
    assert [tick.get_text() for tick in dots.get_yticklabels()] == ["llm", "mllm", "human_category"]


def test_sizes_of_sets_are_in_the_colours_of_their_systems(panels, table):
    _, dots, sizes = panels
    assert [bar.get_width() for bar in sizes.patches] == [6, 6, 3]
    expected = [colour.lower() for colour in system_colours(list(table.columns)).values()]
    assert [to_hex(bar.get_facecolor()) for bar in sizes.patches] == expected
    all_three = [d for d in dots.collections if d.get_gid() == "inside"][-1]
    assert [to_hex(colour) for colour in all_three.get_facecolors()] == expected
    assert sizes.get_ylim() == dots.get_ylim()


@pytest.mark.parametrize("n_sets", [2, 8])
def test_two_to_eight_sets_fit_on_a_page_with_readable_text(n_sets):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((400, n_sets)) < 0.4, columns=[f"a system called {k}" for k in range(n_sets)])
    figure = plot_upset(table, most=20)
    figure.draw_without_rendering()
    bars, dots, _ = figure.axes[0].child_axes
    assert [bar.get_height() for bar in bars.patches] == upset_counts(table).iloc[:20].tolist()
    assert figure.get_figwidth() <= PAGE_WIDTH
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert box.x0 >= -0.02
    assert box.x1 <= figure.get_figwidth() + 0.02
    labels = [tick.get_window_extent() for tick in dots.get_yticklabels()]
    assert not any(a.overlaps(b) for k, a in enumerate(labels) for b in labels[:k])


def test_figure_says_how_many_combinations_it_leaves_out(table):
    bars = plot_upset(table, most=2).axes[0].child_axes[0]
    assert [bar.get_height() for bar in bars.patches] == [5, 2]
    assert bars.get_title(loc="right") == "1 smaller combinations are not shown"


def test_rows_in_no_set_are_a_combination_without_dots():
    table = pd.DataFrame([[False, False]] * 3 + [[True, False]], columns=["a", "b"])
    bars, dots, _ = plot_upset(table).axes[0].child_axes
    assert [bar.get_height() for bar in bars.patches] == [3, 1]
    assert [d.get_offsets().tolist() for d in dots.collections if d.get_gid() == "inside"] == [[[1, 0]]]


def test_labels_title_and_axes_can_be_given(table):
    left, right = Figure(figsize=(10, 4)).subplots(1, 2)
    figure = plot_upset(table, {"llm": "LLM (captions)"}, counted="videos", title="Who", ax=right)
    assert figure is left.figure
    bars, dots, sizes = right.child_axes
    assert dots.get_yticklabels()[0].get_text() == "LLM (captions)"
    assert bars.get_ylabel() == "Videos in exactly\nthese sets"
    assert sizes.get_xlabel() == "Videos"
    assert right.get_title() == "Who"


def test_too_many_or_too_few_sets_are_refused(table):
    for wrong in (table.iloc[:, :1], pd.DataFrame(np.ones((2, 9), bool), columns=list("abcdefghi"))):
        with pytest.raises(InputError, match="for two to eight sets"):
            plot_upset(wrong)
    with pytest.raises(InputError, match="leaves nothing to show"):
        plot_upset(table, most=0)
