"""Difference and winner maps paint each voxel by what the result says of it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from affectome.errors import InputError
from affectome.neural import Neighbourhoods, Searchlight, SurfaceMesh, VolumeGrid, centre_pair
from affectome.neural.encoding import EncodingDifference, WinnerMap
from affectome.plotting import plot_difference_map, plot_winner_map, system_colours
from affectome.plotting._brain_contrasts import brain_canvas
from affectome.plotting._brain_surface import FSAVERAGE5, SurfaceCanvas

GRID = VolumeGrid(np.argwhere(np.ones((5, 1, 1))).astype(np.int32), 3 * np.eye(4), (5, 1, 1))


def difference(first, second):
    table = pd.DataFrame({"r_first": first, "r_second": second})
    table["difference"] = table["r_first"] - table["r_second"]
    return EncodingDifference("sub-01", "mllm", "human_category", table, pd.DataFrame(), 12, 0.95)


def test_a_searchlight_is_painted_as_an_encoding_with_the_same_scores_is(assert_readable):
    """A score at the centres 0 and 2 of five voxels, laid out for the map."""
    around = Neighbourhoods(np.array([0, 3, 6]), np.array([0, 1, 2, 1, 2, 3], np.int32), np.array([0, 2], np.int32))
    r = np.array([[0.3, 0.1], [0.05, 0.2]])
    searched = Searchlight("sub-01", ("mllm", "human_category"), ("dot",) * 2, "pearson", "correlation", "exclude", 40,
                           700, around, np.eye(2), r)  # fmt: skip
    pair = centre_pair(searched, "mllm", "human_category", n_voxels=5)
    same = difference([0.3, np.nan, 0.05, np.nan, np.nan], [0.1, np.nan, 0.2, np.nan, np.nan])
    pd.testing.assert_frame_equal(pair.voxels, same.voxels)
    assert pair.regions.loc["all", "n_voxels"] == 2
    figures = [plot_difference_map(result, GRID, title="sub-01") for result in (pair, same)]
    np.testing.assert_array_equal(*map(painted, figures))
    assert_readable(figures[0])


def winners(winner):
    winner = np.asarray(winner, np.float32)
    return WinnerMap("sub-01", ("mllm", "human_category", "llm"), winner, np.full(len(winner), 0.3, np.float32),
                     np.full(len(winner), 0.1, np.float32))  # fmt: skip


def painted(figure):
    (image,) = (image for ax in figure.axes for image in ax.images if image.get_gid() == "map")
    return image.get_array()[0]


def test_hue_follows_the_difference_and_density_the_better_prediction():
    figure = plot_difference_map(difference([0.4, 0.0, 0.1, 0.1, np.nan], [0.0, 0.4, 0.0, 0.1, 0.2]), GRID,
                                 limit=0.4, top=0.4)  # fmt: skip
    rgba = painted(figure)
    mllm, human = (to_rgb(colour) for colour in system_colours(["mllm", "human_category"]).values())
    np.testing.assert_allclose(rgba[0], (*mllm, 1))
    np.testing.assert_allclose(rgba[1], (*human, 1))
    np.testing.assert_allclose(rgba[:, 3], [1, 1, 0.25, 0.25, 0])
    np.testing.assert_allclose(rgba[3, :3], 0.93, atol=0.01)  # no difference has no hue


def test_its_legend_is_the_square_of_all_colours_and_names_both_spaces(assert_readable):
    marks = np.array([True, True, False, False, False])
    given = difference([0.3, 0, 0.1, 0, 0], [0.1, 0.2, 0, 0, 0])
    figure = plot_difference_map(given, GRID, {"mllm": "MLLM"}, significant=marks, title="Who is better")
    legend = figure.axes[-1]
    assert legend.images[0].get_extent() == pytest.approx([-0.2, 0.2, 0, 0.15])
    assert legend.get_xlabel() == "Difference in r\n← human_category\nMLLM →"
    assert [t.get_text() for t in legend.get_xticklabels()] == ["−0.2", "0", "+0.2"]
    assert "drawn: 2 significant of 5 voxels" in [text.get_text() for text in figure.texts]
    np.testing.assert_array_equal(painted(figure)[2:, 3], 0)
    assert_readable(figure)


def test_nothing_significant_is_an_empty_map_that_says_so(assert_readable):
    figure = plot_difference_map(difference([0.3] * 5, [0.1] * 5), GRID, significant=np.zeros(5, bool))
    assert "none of 5 voxels is significant" in [text.get_text() for text in figure.texts]
    assert not painted(figure)[:, 3].any()
    assert_readable(figure)


def test_winners_have_the_colour_of_their_space_and_the_legend_their_share(assert_readable):
    figure = plot_winner_map(winners([0, 1, 0, np.nan, 2]), GRID, {"human_category": "Human (category)"}, title="Best")
    colours = [to_rgb(colour) for colour in system_colours(["mllm", "human_category", "llm"]).values()]
    rgba = painted(figure)
    np.testing.assert_allclose(rgba[[0, 1, 2, 4], :3], [colours[k] for k in (0, 1, 0, 2)])
    np.testing.assert_array_equal(rgba[:, 3], [1, 1, 1, 0, 1])
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["mllm, 50%", "Human (category), 25%", "llm, 25%"]
    np.testing.assert_allclose([to_rgb(patch.get_facecolor()) for patch in legend.get_patches()], colours)
    assert "4 of 5 voxels have a winner" in [text.get_text() for text in figure.texts]
    assert_readable(figure)


def test_without_a_winner_no_share_is_given(assert_readable):
    figure = plot_winner_map(winners([np.nan] * 5), GRID)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["mllm", "human_category", "llm"]
    assert_readable(figure)


def test_a_vertex_has_the_space_that_most_of_its_voxels_have():
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = -88, -120, -80
    grid = VolumeGrid(np.argwhere(np.ones((23, 27, 23))).astype(np.int32), affine, (23, 27, 23), "MNI152NLin6Asym")
    front = grid.coordinates()[:, 1] > 0
    figure = plot_winner_map(winners(np.where(front, 2, 0)), grid, on="surface", views=["lateral"])
    colours = [np.array(to_rgb(colour)) for colour in system_colours(["mllm", "human_category", "llm"]).values()]
    image = np.asarray(figure.axes[0].images[0].get_array())
    opaque = image[..., 3] > 0
    shares = [np.mean(np.all(np.abs(image[opaque][:, :3] - colour) < 1e-5, -1)) for colour in colours]
    assert shares[0] > 0.5 and shares[1] == 0 and shares[2] > 0.2 and sum(shares) > 0.95
    left, right = (np.argwhere(np.all(np.abs(image[..., :3] - colours[k]) < 1e-5, -1))[:, 1].mean() for k in (2, 0))
    assert left < right  # the front of the left hemisphere lies left


def test_a_surface_has_no_slices():
    mesh = SurfaceMesh(np.arange(5, dtype=np.int32), np.zeros(5, bool), (FSAVERAGE5, FSAVERAGE5), "fsaverage5")
    assert isinstance(brain_canvas(mesh, "surface", {}), SurfaceCanvas)
    for geometry, on in ((mesh, "slices"), (GRID, "glass")):
        with pytest.raises(InputError, match=f"is not drawn on '{on}'"):
            plot_winner_map(winners([0] * 5), geometry, on=on)
    with pytest.raises(InputError, match="holds 5 voxels"):
        plot_winner_map(winners([0] * 4), GRID)
