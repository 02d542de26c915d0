import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from matplotlib.text import Text

from affectome.interpretation import affective_graph
from affectome.plotting import PAGE_WIDTH, plot_affective_graph, save_figure


def graph_of(sizes, names=None, seed=0):
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(150, len(sizes)))
    columns = [signals[:, g] + 0.7 * rng.normal(size=150) for g, size in enumerate(sizes) for _ in range(size)]
    called = [f"component {k + 1:02d}" for k in range(len(columns))]
    space = pd.DataFrame(np.column_stack(columns), [f"s{i}" for i in range(150)], called)
    given = None if names is None else dict(zip(called, names, strict=False))
    return affective_graph(space, n_seeds=2, n_subsamples=1, n_permutations=1, threshold=0.25, seed=0, names=given)


@pytest.fixture(scope="module")
def graph():
    return graph_of([6, 3, 2, 1, 1])


@pytest.fixture
def axes(graph):
    return plot_affective_graph(graph, {"cluster 01": "Fear, low safety"}).axes[0]


def discs(axes):
    return [patch for patch in axes.patches if isinstance(patch, Circle)]


def labels_of(axes, graph):
    return [text for text in axes.texts if text.get_text().replace("\n", " ") in set(graph.components["name"])]


def test_area_of_a_disc_is_pagerank(axes, graph):
    rank = graph.components["pagerank"].to_numpy()
    area = np.array([disc.get_radius() ** 2 for disc in discs(axes)])
    large = area > area.min() * 1.001  # the smallest have a size at which they can be seen
    assert large.sum() >= 11
    np.testing.assert_allclose(area[large] / rank[large], (area / rank)[0])
    assert [text.get_text() for text in labels_of(axes, graph)] == graph.components.index.tolist()


def test_every_edge_is_a_line_between_its_discs_as_wide_as_r(axes, graph):
    centre = dict(zip(graph.components.index, [disc.center for disc in discs(axes)], strict=True))
    lines = {line.get_gid(): line for line in axes.lines}
    assert len(lines) == len(graph.edges)
    for _, edge in graph.edges.iterrows():
        line = lines[f"{edge['source']}--{edge['target']}"]
        np.testing.assert_allclose(line.get_xydata(), [centre[edge["source"]], centre[edge["target"]]])
        assert line.get_linewidth() == pytest.approx(4 * edge["r"])
        inside = graph.components["cluster"][edge["source"]] == graph.components["cluster"][edge["target"]]
        assert (line.get_linestyle() == "-") == inside


def test_hulls_hold_their_members_and_no_one_else(axes, graph):
    hulls = {patch.get_label(): patch for patch in axes.patches if isinstance(patch, Polygon)}
    assert list(hulls) == ["1", "2", "3"]
    for (name, inside), number in zip(graph.members().items(), "123", strict=False):
        path = hulls[number].get_path()
        for component, disc in zip(graph.components.index, discs(axes), strict=True):
            assert path.contains_point(disc.center) == (component in inside), (name, component)


def test_legend_names_communities_with_colour_and_size(axes, graph):
    (legend,) = axes.figure.legends
    written = [text.get_text() for text in legend.get_texts()]
    assert written[:3] == ["1  Fear, low safety (6)", "2  cluster 02 (3)", "3  cluster 03 (2)"]
    assert "in a community of one (2)" in written
    first = next(d for d, c in zip(discs(axes), graph.components["cluster"], strict=True) if c == "cluster 01")
    assert to_hex(legend.get_patches()[0].get_facecolor()) == to_hex(first.get_facecolor())


@pytest.mark.parametrize("sizes", [[7, 4, 4, 4, 4, 2, 1, 1, 1, 1, 1], [3, 3, 2, 2, 2, 2, *[1] * 16], [15, 15]])
def test_thirty_long_labels_do_not_overlap_at_page_width(sizes):
    names = [f"Aesthetic Appreciation {k}" for k in range(30)]
    graph = graph_of(sizes, names)
    figure = plot_affective_graph(graph)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in labels_of(figure.axes[0], graph)]
    assert len(boxes) == 30
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
    assert figure.get_figwidth() == pytest.approx(PAGE_WIDTH)
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    tight = figure.get_tightbbox()
    assert tight.x0 >= -0.02
    assert tight.x1 <= PAGE_WIDTH + 0.02


def test_labels_break_after_slashes_and_not_within_words():
    graph = graph_of([2, 1], ["low attention/arousal", "high control/fairness …", "愛 a/b"])
    shown = [text.get_text() for text in plot_affective_graph(graph).axes[0].texts]
    assert {"low attention/\narousal", "high control/\nfairness …", "\N{REPLACEMENT CHARACTER} a/b"} < set(shown)


def test_more_communities_than_colours_differ_by_hatch():
    axes = plot_affective_graph(graph_of([2] * 8)).axes[0]
    looks = {(to_hex(p.get_edgecolor()), p.get_hatch()) for p in axes.patches if isinstance(p, Polygon)}
    assert len(looks) == 8


def test_graph_without_edges_is_drawn_as_components_alone():
    axes = plot_affective_graph(graph_of([1, 1, 1])).axes[0]
    assert len(discs(axes)) == 3
    assert not axes.lines
    assert "in a community of one (3)" in [text.get_text() for text in axes.figure.legends[0].get_texts()]


def test_given_axes_are_drawn_into_and_bytes_repeat(graph, tmp_path):
    _, right = Figure(figsize=(14, 6)).subplots(1, 2)
    assert plot_affective_graph(graph, title="MLLM", ax=right) is right.figure
    assert right.get_title() == "MLLM"
    paths = [save_figure(plot_affective_graph(graph), tmp_path / str(k), "graph", formats=["svg"])[0] for k in range(2)]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert ">component 01<" in paths[0].read_text(encoding="utf-8")
