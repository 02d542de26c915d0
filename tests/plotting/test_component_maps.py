"""Maps, profiles and consistency of components show the numbers of their results in their order."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from affectome.errors import InputError
from affectome.neural import VolumeGrid
from affectome.neural.encoding import ComponentMaps, Consistency
from affectome.plotting import plot_component_consistency, plot_component_maps, plot_component_profiles
from affectome.plotting._brain_paint import value_scale

GRID = VolumeGrid(np.argwhere(np.ones((4, 3, 1))).astype(np.int32), 3 * np.eye(4), (4, 3, 1))


def maps(geometry=GRID):
    weights = np.random.default_rng(0).uniform(-1, 1, (3, 12)).astype(np.float32)
    weights[:, 0] = np.nan
    profiles = pd.DataFrame([[0.2, -0.1], [0.0, 0.4], [np.nan, 0.1]], ["joy", "awe", "fear"], ["TPJ", "OFC"])
    return ComponentMaps("sub-01", "mllm", ("joy", "awe", "fear"), weights, np.ones(3), np.arange(12) > 0, profiles,
                         pd.Series([4, 5], ["TPJ", "OFC"]), geometry)  # fmt: skip


def drawn(figure):
    return [image.get_array() for ax in figure.axes for image in ax.images if image.get_gid() == "map"]


def test_each_component_has_a_panel_with_its_weights_in_one_scale(assert_readable):
    given = maps()
    figure = plot_component_maps(given, labels={"joy": "Joyful animals"}, columns=3, title="MLLM")
    cmap, norm = value_scale(np.zeros(1), (-1, 1), diverging=True)
    for image, weights in zip(drawn(figure), given.weights, strict=True):
        np.testing.assert_allclose(image[GRID.ijk[1:, 1], GRID.ijk[1:, 0]], cmap(norm(weights[1:].astype(float))))
        assert image[0, 0, 3] == 0  # left out
    named = [text.get_text() for text in figure.texts]
    assert [name for name in named if name in ("Joyful animals", "awe", "fear")] == ["Joyful animals", "awe", "fear"]
    assert "11 of 12 voxels" in named
    bar = figure.axes[-1]
    assert (bar._colorbar.norm.vmin, bar._colorbar.norm.vmax) == (-1, 1)
    assert_readable(figure)


def test_components_are_chosen_and_ordered_by_name():
    given = maps()
    images = drawn(plot_component_maps(given, ["fear", "joy"]))
    expected = drawn(plot_component_maps(given))
    np.testing.assert_array_equal(images[0], expected[2])
    np.testing.assert_array_equal(images[1], expected[0])
    for call, sentence in (
        (lambda: plot_component_maps(given, ["rage"]), "no component rage"),
        (lambda: plot_component_maps(given, []), "no component is chosen"),
        (lambda: plot_component_maps(given, columns=0), "columns=0"),
        (lambda: plot_component_maps(maps(None)), "recording of sub-01 does not say where"),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


def test_profiles_are_a_heat_map_around_0_with_a_dot_where_a_region_has_no_voxel(assert_readable):
    figure = plot_component_profiles(maps().profiles, title="Profiles")
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.images[0].get_array().filled(np.nan), maps().profiles, equal_nan=True)
    assert ax.images[0].get_clim() == pytest.approx((-0.4, 0.4))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["TPJ", "OFC"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["joy", "awe", "fear"]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 2]])
    assert_readable(figure)
    with pytest.raises(InputError, match="profiles are empty"):
        plot_component_profiles(pd.DataFrame())


def test_thirty_components_in_26_regions_are_readable(assert_readable):
    values = np.random.default_rng(0).normal(size=(30, 26))
    table = pd.DataFrame(
        values, [f"{k:02d} joyful animals at play" for k in range(30)], [f"region {k}" for k in range(26)]
    )
    assert_readable(plot_component_profiles(table))


def consistency(r):
    r = np.asarray(r, float)
    table = pd.DataFrame({"r": r, "low": r - 0.1, "high": r + 0.2, "p": 0.01, "q": np.where(r > 0.3, 0.01, 0.2),
                          "identified": [0.8, 0.4, np.nan]}, index=["joy", "awe", "fear"])  # fmt: skip
    return Consistency(
        table, pd.DataFrame(), 0.4, 0.01, 0.6, 1 / 3, 0.02, 0.001, "region", 26, tuple("abcde"), 0.95, 999
    )


def test_consistency_is_a_dot_with_its_interval_filled_where_significant(assert_readable):
    figure = plot_component_consistency(consistency([0.6, 0.1, np.nan]), {"joy": "Joyful animals"}, title="MLLM")
    (ax,) = figure.axes
    dots = {line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"}
    np.testing.assert_allclose(dots["q < 0.05"].get_xydata(), [[0.6, 0]])
    np.testing.assert_allclose(dots["not significant"].get_xydata(), [[0.1, 1], [np.nan, 2]])
    assert to_hex(dots["not significant"].get_markerfacecolor()) == "#ffffff"
    ends = np.array([path.vertices[:, 0] for path in ax.collections[0].get_paths()])
    np.testing.assert_allclose(ends[:2], [[0.5, 0.8], [0.0, 0.3]])
    assert [t.get_text() for t in ax.texts] == ["80%", "40%", "–", "identified"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Joyful animals", "awe", "fear"]
    assert ax.get_xlabel() == ("r of maps over 26 regions,\nmean over pairs of 5 people\n"
                               "(95% intervals; identified by chance: 33%)")  # fmt: skip
    assert_readable(figure)
