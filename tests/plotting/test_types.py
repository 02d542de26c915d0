import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome.interpretation import TYPES, ComponentTypes
from affectome.plotting import COLUMN_WIDTH, PAGE_WIDTH, PUBLISHED_TYPES, plot_component_types, plot_variance_partition
from affectome.plotting._style import OKABE_ITO
from affectome.plotting._types import TYPE_COLOURS


def result_of(shares, low=np.nan, high=np.nan):
    table = pd.DataFrame(
        {
            "type": ["categorical", "hybrid", "unassigned"],
            "unique_categories": [0.4, 0.1, -0.02],
            "shared": [0.1, 0.2, 0.01],
            "unique_dimensions": [-0.01, 0.3, 0.0],
            "r2_both_low": [0.45, 0.55, -0.05],
            "r2_both_high": [0.55, 0.65, 0.03],
        },
        index=["component 01", "component 02", "component 03"],
    )
    shares = pd.DataFrame({"share": shares, "stability_low": low, "stability_high": high}, index=list(TYPES))
    empty = pd.DataFrame()
    return ComponentTypes(table, shares, empty, empty, empty, 0.01, 0.05, 0.95, 500, 5, 5, 1000, 50)


@pytest.fixture
def results():
    return {"language": result_of([0.5, 0.0, 0.3, 0.2], 0.4, 0.6), "human_dimension": result_of([0.0, 0.97, 0.0, 0.03])}


def drawn(axes):
    """Segments as (row, left, width, colour)."""
    return [(round(bar.get_y() + bar.get_height() / 2), round(bar.get_x(), 6), round(bar.get_width(), 6),
             bar.get_facecolor()) for bar in axes.patches]  # fmt: skip


def test_segments_are_the_shares_in_the_order_of_the_types(results):
    segments = drawn(plot_component_types(results).axes[0])
    assert [part[:3] for part in segments] == [(0, 0, 0.5), (0, 0.5, 0.3), (0, 0.8, 0.2), (1, 0, 0.97), (1, 0.97, 0.03)]
    kinds = ["categorical", "hybrid", "unassigned", "dimensional", "unassigned"]
    assert all(same_color(part[3], TYPE_COLOURS[kind]) for part, kind in zip(segments, kinds, strict=True))


def test_no_type_has_a_colour_of_a_system_and_all_differ_in_lightness():
    greys = [to_rgb(colour) for colour in TYPE_COLOURS.values()]
    assert all(red == green == blue for red, green, blue in greys)
    assert np.diff(sorted(grey[0] for grey in greys)).min() > 0.15
    assert not set(greys) & {to_rgb(colour) for colour in OKABE_ITO}


def test_numbers_stand_where_there_is_room(results):
    axes = plot_component_types(results).axes[0]
    assert [text.get_text() for text in axes.texts] == ["50%", "30%", "20%", "97%"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["language", "human_dimension"]


def test_line_is_the_stability_of_the_first_segment(results):
    (line,) = plot_component_types(results).axes[0].lines  # the other system's is undefined
    assert line.get_xdata().tolist() == [0.4, 0.6]
    assert 0 < line.get_ydata()[0] < 0.5


def test_published_shares_are_hatched_and_named_so(results):
    axes = plot_component_types(results, {"language": "Language"}, published=PUBLISHED_TYPES).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == ["Language", "human_dimension", "LLM (published)", "MLLM (published)"]
    hatched = [(round(bar.get_y() + bar.get_height() / 2), round(bar.get_width(), 3))
               for bar in axes.patches if bar.get_hatch()]  # fmt: skip
    assert hatched == [(2, 0.37), (2, 0.13), (2, 0.5), (3, 0.57), (3, 0.43)]


def test_legend_names_every_type(results):
    figure = plot_component_types(results)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(TYPES)


def test_partition_stacks_the_parts_and_draws_no_negative_one():
    axes = plot_variance_partition(result_of([0.5, 0, 0.3, 0.2])).axes[0]
    heights = np.array([bar.get_height() for bar in axes.patches]).reshape(3, 3)
    np.testing.assert_allclose(heights, [[0.4, 0.1, 0], [0.1, 0.2, 0.01], [0, 0.3, 0]])
    bottoms = np.array([bar.get_y() for bar in axes.patches]).reshape(3, 3)
    np.testing.assert_allclose(bottoms, [[0, 0, 0], [0.4, 0.1, 0], [0.5, 0.3, 0.01]])
    ends = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert ends == [[0.45, 0.55], [0.55, 0.65], [-0.05, 0.03]]


def test_names_are_shaded_by_type():
    axes = plot_variance_partition(result_of([0.5, 0, 0.3, 0.2]), names={"component 01": "Fear"}).axes[0]
    ticks = axes.get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["Fear", "component 02", "component 03"]
    for tick, kind in zip(ticks, ["categorical", "hybrid", "unassigned"], strict=True):
        assert same_color(tick.get_bbox_patch().get_facecolor()[:3], TYPE_COLOURS[kind])


def test_long_names_leave_the_bars_their_height():
    names = dict.fromkeys(("component 01", "component 02"), "Aesthetic Appreciation + high commitment")
    figure = plot_variance_partition(result_of([0.5, 0, 0.3, 0.2]), names=names)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_window_extent().height >= axes.yaxis.label.get_window_extent().height
    assert figure.get_figheight() < 5.5


@pytest.mark.parametrize("plot", ["shares", "partition"])
def test_text_is_at_least_seven_points_and_inside(plot, results):
    figure = plot_component_types(results) if plot == "shares" else plot_variance_partition(results["language"])
    assert figure.get_figwidth() == (COLUMN_WIDTH if plot == "shares" else PAGE_WIDTH)
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(texts) >= 8
    assert min(text.get_fontsize() for text in texts) >= 7
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.01
    assert box.x1 <= figure.get_figwidth() + 0.01


def test_given_axes_are_drawn_into(results):
    left, right = Figure(figsize=(8, 4), layout="constrained").subplots(1, 2)
    assert plot_component_types(results, ax=right) is left.figure
    plot_variance_partition(results["language"], ax=left)
    assert len(right.patches) == 5
    assert len(left.patches) == 9
