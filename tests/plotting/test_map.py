"""A map shows every stimulus once, the commonest categories apart."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from affectome import InputError
from affectome.interpretation import Projection
from affectome.plotting import PAGE_WIDTH, plot_map, plot_maps


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


# Prototypes


def prototypes_of(labels, names=None):
    chosen = labels[labels.isin(names)] if names is not None else labels
    firsts = chosen.drop_duplicates()
    return pd.DataFrame({"id": firsts.index}, index=pd.Index(firsts, name="category"))


@pytest.mark.parametrize("n_categories", [3, 17])
def test_prototypes_are_ringed_and_named_where_they_lie_on_the_map(n_categories):
    projection, labels = world(n_categories)
    prototypes = prototypes_of(labels)
    axes = plot_map(projection, labels, prototypes=prototypes).axes[0]
    rings = next(points for points in axes.collections if points.get_facecolor().size == 0)
    expected = projection.coordinates.loc[prototypes["id"]].to_numpy()
    np.testing.assert_allclose(np.ma.filled(rings.get_offsets()), expected)
    named = {text.get_text(): text.xy for text in axes.texts if text.get_text() in prototypes.index}
    assert len(named) == n_categories
    for name, place in zip(prototypes.index, expected, strict=True):
        np.testing.assert_allclose(named[name], place)


def test_no_name_lies_over_another_or_outside_even_where_prototypes_crowd():
    projection, labels = world(17)
    crowded = Projection(projection.coordinates * 1.0, 0.9, 30.0, 15, 0)
    prototypes = prototypes_of(labels)
    spot = np.random.default_rng(1).normal(scale=0.12, size=(17, 2))
    crowded.coordinates.loc[prototypes["id"], ["x", "y"]] = spot
    figure = plot_map(crowded, labels, prototypes=prototypes)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text() in prototypes.index]
    assert len(boxes) == 17
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(a.overlaps(b) for a, b in pairs)
    frame = axes.get_window_extent()
    assert all(box.x0 >= frame.x0 - 1 and box.x1 <= frame.x1 + 1 for box in boxes)
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7


def test_a_prototype_that_is_not_on_the_map_is_refused():
    projection, labels = world(3)
    with pytest.raises(InputError, match="the prototype 'nowhere' is not on the map"):
        plot_map(projection, labels, prototypes=pd.DataFrame({"id": ["nowhere"]}, index=["Category 00"]))


# Several maps


def test_several_maps_share_one_legend_and_each_says_how_faithful_it_is():
    projection, labels = world(17)
    maps = [
        Projection(projection.coordinates + k, 0.9 + k / 100, p, 15, 0, 0.8 + k / 100, "t-SNE", f"perplexity {p:g}")
        for k, p in enumerate((10.0, 30.0, 100.0))
    ]
    figure = plot_maps(maps, labels, prototypes=prototypes_of(labels), title="MLLM")
    assert [ax.get_title() for ax in figure.axes] == [f"t-SNE, perplexity {p}" for p in (10, 30, 100)]
    assert [ax.texts[0].get_text() for ax in figure.axes] == [
        f"trustworthiness 0.9{k}0\ncontinuity 0.8{k}0" for k in range(3)
    ]
    for ax, one in zip(figure.axes, maps, strict=True):
        shown = sum(len(points.get_offsets()) for points in ax.collections if points.get_facecolor().size)
        assert shown == len(one.coordinates)
    (legend,) = figure.legends
    entries = [text.get_text() for text in legend.get_texts()]
    assert entries == [*(f"Category {k:02d} ({18 - k})" for k in range(17)), "nearest to its centroid"]
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    box = figure.get_tightbbox()
    assert figure.get_figwidth() == pytest.approx(PAGE_WIDTH) and box.x0 >= -0.01 and box.x1 <= PAGE_WIDTH + 0.01


def test_maps_need_a_title_each_and_can_be_drawn_into_given_axes():
    projection, labels = world(3)
    places = Figure(figsize=(8, 4)).subplots(1, 2)
    assert plot_maps([projection, projection], labels, titles=["a", "b"], axes=places) is places[0].figure
    assert [ax.get_title() for ax in places] == ["a", "b"]
    with pytest.raises(InputError, match="there are not as many titles or axes as maps"):
        plot_maps([projection], labels, titles=["a", "b"])
    with pytest.raises(InputError, match="there is no map to draw"):
        plot_maps([], labels)
