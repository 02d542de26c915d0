"""Maps of the brain show each value where it was recorded, left on the left, and say what is not there."""

import itertools

import nibabel
import numpy as np
import pytest
from matplotlib.figure import Figure
from nilearn.datasets import load_fsaverage

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting import plot_glass_brain, plot_slices, plot_surface, save_figure
from affectome.plotting._brain_paint import FADED, value_scale
from affectome.plotting._brain_slices import SliceCanvas
from affectome.plotting._brain_surface import FSAVERAGE5, SurfaceCanvas, load_mesh, picture

pytestmark = pytest.mark.usefixtures("no_network")


def whole_grid(shape, affine, space=None):
    return VolumeGrid(np.argwhere(np.ones(shape)).astype(np.int32), np.asarray(affine, float), shape, space)


def brain_grid(space="MNI152NLin2009cAsym"):
    """Eight millimetres, all of the box that the brain lies in."""
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = -88, -120, -80
    return whole_grid((23, 27, 23), affine, space)


def images(figure, gid="map"):
    return [image for ax in figure.axes for image in ax.images if image.get_gid() == gid]


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_a_voxel_is_painted_at_its_place_in_the_colour_of_its_value():
    affine = [[-3, 0, 0, 9], [0, 3.75, 0, -5], [0, 0, 4, 0], [0, 0, 0, 1]]  # the first index runs to the left
    grid = whole_grid((4, 5, 1), affine)
    values = np.arange(20) / 19
    figure = plot_slices(values, grid, "r", limits=(0, 1))
    (image,) = images(figure)
    cmap, norm = value_scale(values, (0, 1), diverging=False)
    drawn = image.get_array()
    assert drawn.shape == (5, 4, 4)
    for (i, j, _), value in zip(grid.ijk, values, strict=True):
        np.testing.assert_allclose(drawn[j, 3 - i], cmap(norm(value)))
    assert image.get_extent() == pytest.approx([-1.5, 10.5, -1.875, 16.875])
    assert image.origin == "lower"
    letters = {text.get_text(): text.get_position() for ax in figure.axes for text in ax.texts}
    assert letters["L"][0] == 0 and letters["R"][0] == 1 and letters["A"][1] == 1
    assert "slice 1 of 1" in texts(figure)


def test_a_millimetre_is_as_long_across_as_upwards():
    figure = plot_slices(np.ones(40), whole_grid((4, 10, 1), np.diag([3.1, 3.75, 3.75, 1])), "r")
    box = figure.axes[0].get_position()
    across, up = figure.get_size_inches()
    width, height = (np.diff(ends)[0] for ends in (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()))
    assert box.width * across / width == pytest.approx(box.height * up / height)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_however_a_volume_is_stored_its_slices_are_the_same(order):
    rng = np.random.default_rng(0)
    shape, affine = np.array([3, 4, 5]), np.array([[2.0, 0, 0, -3], [0, 3, 0, -4], [0, 0, 4, -5], [0, 0, 0, 1]])
    ijk = np.argwhere(np.ones(shape))
    values = rng.normal(size=60)
    for axis in ("axial", "coronal", "sagittal"):
        right = SliceCanvas(whole_grid(tuple(shape), affine), axis)
        expected = images(plot_slices(values, right.geometry, "r", axis=axis, n_slices=2))
        for flips in itertools.product([False, True], repeat=3):
            stored = np.where(flips, shape - 1 - ijk, ijk)[:, order]
            turned = affine.copy()
            for k, flip in enumerate(flips):
                if flip:
                    turned[:3, 3] += (shape[k] - 1) * turned[:3, k]
                    turned[:3, k] *= -1
            turned[:, :3] = turned[:, list(order)]
            grid = VolumeGrid(stored.astype(np.int32), turned, tuple(shape[list(order)]))
            np.testing.assert_allclose(grid.coordinates(), right.geometry.coordinates())
            canvas = SliceCanvas(grid, axis, n_slices=2)
            assert canvas._chosen == SliceCanvas(right.geometry, axis, n_slices=2)._chosen
            if flips in ((False, True, False), (True, True, True)):
                drawn = images(plot_slices(values, grid, "r", axis=axis, n_slices=2))
                for a, b in zip(drawn, expected, strict=True):
                    np.testing.assert_allclose(a.get_array(), b.get_array())
                    np.testing.assert_allclose(a.get_extent(), b.get_extent())


def test_cuts_are_millimetres_and_outside_the_volume_there_is_a_sentence():
    grid = brain_grid()
    values = grid.coordinates()[:, 2]  # every slice has one value, its height
    figure = plot_slices(values, grid, "z", cuts=[-33, 0, 47], diverging=True)
    assert [text for text in texts(figure) if text.startswith("z")] == ["z = −32", "z = 0", "z = 48"]
    cmap, norm = value_scale(values, None, diverging=True)
    for image, height in zip(images(figure), (-32, 0, 48), strict=True):
        painted = image.get_array().reshape(-1, 4)
        np.testing.assert_allclose(painted, np.broadcast_to(cmap(norm(height)), painted.shape))
    with pytest.raises(InputError, match=r"no slice at z = 300 mm.*-80 to 96 mm"):
        plot_slices(values, grid, "z", cuts=[300])


def test_slices_spread_evenly_over_those_that_are_not_nearly_empty():
    ijk = np.argwhere(np.ones((3, 3, 12)))
    ijk = ijk[(ijk[:, 2] > 1) & (ijk[:, 2] < 11)]  # 2 .. 10
    grid = VolumeGrid(np.vstack([ijk, [[0, 0, 0]]]).astype(np.int32), np.eye(4), (3, 3, 12))
    assert SliceCanvas(grid, n_slices=3)._chosen == [3, 6, 9]
    assert SliceCanvas(grid, n_slices=30)._chosen == list(range(2, 11))


def test_voxels_that_are_not_significant_are_faded_and_those_below_the_threshold_or_without_value_are_not_drawn():
    grid = whole_grid((5, 1, 1), np.eye(4))
    significant = np.array([True, False, True, True, False])
    figure = plot_slices([1.0, 0.5, 0.05, np.nan, 0.0], grid, "r", significant=significant, threshold=0.1)
    np.testing.assert_allclose(images(figure)[0].get_array()[0, :, 3], [1, 0.5 * FADED, 0, 0, 0])
    note = "significant: 2 of 4 voxels; |value| ≥ 0.1: 2 of 4 voxels (others faded)"
    assert note in texts(figure)
    below = plot_slices([1.0, -0.5, 0.5, 0, 0], grid, "r", significant=significant, diverging=True)
    np.testing.assert_allclose(images(below)[0].get_array()[0, :, 3], [1, 0.5 * FADED, 1, 1, 0])
    bottom = plot_slices([1.0, -0.5, 0.5, 0, 0], grid, "r", significant=significant)  # a negative r is no strong one
    np.testing.assert_allclose(images(bottom)[0].get_array()[0, :, 3], [1, 0, 1, 1, 0])
    recorded = images(figure, "recorded")[0].get_array()
    assert recorded[..., 3].all()  # what was recorded is grey below


@pytest.mark.parametrize(
    ("values", "significant", "note"),
    [
        ([np.nan] * 4, None, "none of 4 voxels has a value"),
        ([0.1] * 4, [False] * 4, "none of 4 voxels is significant (others faded)"),
        ([0.0] * 4, None, ""),
    ],
)
def test_an_empty_map_is_drawn_and_said(values, significant, note, assert_readable):
    marks = None if significant is None else np.array(significant)
    figure = plot_slices(values, whole_grid((2, 2, 1), 3 * np.eye(4)), "Held-out r", significant=marks)
    assert not note or note in texts(figure)
    assert_readable(figure)


def test_the_scale_is_symmetric_for_differences_starts_at_0_for_scores_and_shows_what_lies_beyond():
    grid = whole_grid((3, 1, 1), np.eye(4))
    bars = [plot_slices([-0.2, 0.1, 0.4], grid, "r", diverging=diverging, limits=limits).axes[-1]
            for diverging, limits in ((True, None), (False, None), (True, (-0.1, 0.1)))]  # fmt: skip
    assert [bar._colorbar.norm.vmin for bar in bars] == [-0.4, 0, -0.1]
    assert [bar._colorbar.norm.vmax for bar in bars] == [0.4, 0.4, 0.1]
    assert [bar._colorbar.extend for bar in bars] == ["neither", "min", "both"]
    assert bars[0].get_ylabel() == "r"
    with pytest.raises(InputError, match="has no 0 in its middle"):
        plot_slices([0, 1, 2], grid, "r", diverging=True, limits=(-1, 2))
    with pytest.raises(InputError, match="run from 1 to 1"):
        plot_slices([0, 1, 2], grid, "r", limits=(1, 1))


def test_the_background_lies_where_its_own_affine_says():
    data = np.zeros((30, 30, 10))
    data[1:, 1:, 1:] = 1
    data[10:15, 18:23, 4:7] = 9
    anatomy = nibabel.Nifti1Image(data, [[-2, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, -15], [0, 0, 0, 1]])
    grid = whole_grid((12, 12, 1), [[5, 0, 0, -25], [0, 5, 0, -25], [0, 0, 5, 0], [0, 0, 0, 1]])
    figure = plot_slices(np.full(144, np.nan), grid, "r", background=anatomy)
    (image,) = images(figure, "background")
    greys = image.get_array()
    row, column = np.argwhere(greys[..., 0] > greys[..., 0].max() - 0.01).mean(0)
    left, right, bottom, top = image.get_extent()
    place = (left + (column + 0.5) * (right - left) / greys.shape[1] - 25,
             bottom + (row + 0.5) * (top - bottom) / greys.shape[0] - 25)  # fmt: skip
    assert place == pytest.approx((16, 10), abs=1)
    with pytest.raises(InputError, match="background has 4 dimensions"):
        plot_slices(np.ones(144), grid, "r", background=nibabel.Nifti1Image(np.zeros((2, 2, 2, 2)), np.eye(4)))


def test_standard_space_has_the_template_below_and_files_stay_small(tmp_path, assert_readable):
    grid = brain_grid()
    figure = plot_slices(np.cos(grid.coordinates() / 30).prod(1), grid, "Held-out r", title="MLLM", diverging=True)
    assert len(images(figure, "background")) == 8
    assert figure.get_figwidth() == pytest.approx(7.2)
    assert_readable(figure)
    for path in save_figure(figure, tmp_path, "slices", ("png", "pdf", "svg")):
        assert 5_000 < path.stat().st_size < 1_000_000


def test_slices_refuse_what_does_not_fit():
    grid = whole_grid((2, 2, 1), np.eye(4))
    for call, sentence in (
        (lambda: plot_slices(np.ones(3), grid, "r"), r"shape \(3,\), its geometry holds 4 voxels"),
        (lambda: plot_slices([np.inf, 1, 1, 1], grid, "r"), "1 values of the map are infinite"),
        (lambda: plot_slices(np.ones(4), grid, "r", significant=np.ones(4)), "given as float64"),
        (lambda: plot_slices(np.ones(4), grid, "r", axis="oblique"), "no slices 'oblique'"),
        (lambda: plot_slices(np.ones(4), grid, "r", n_slices=0), "no slice is to be drawn"),
        (lambda: plot_slices(np.ones(4), grid, "r", threshold=-1), "threshold is -1"),
        (lambda: plot_glass_brain(np.ones(4), grid, "r"), "has no glass brain"),
        (lambda: plot_surface(np.ones(4), grid, "r"), "cannot be drawn on fsaverage5"),
        (lambda: plot_slices([], grid.select(np.zeros(4, bool)), "r"), "holds no voxel"),
    ):
        with pytest.raises(InputError, match=sentence):
            call()


# Surfaces


def whole_mesh(n=FSAVERAGE5, space="fsaverage5"):
    return SurfaceMesh(np.tile(np.arange(n, dtype=np.int32), 2), np.repeat([False, True], n), (n, n), space)


def coordinates(surface="pial"):
    return np.concatenate([load_mesh(surface, right)[0] for right in (False, True)])


@pytest.fixture(scope="module")
def frontal():
    """What lies in front of 60 mm, on six sides."""
    shown = (coordinates("inflated")[:, 1] > 60).astype(float)
    return plot_surface(shown, whole_mesh(), "Front", title="Lobes", views=["lateral", "medial", "posterior"])


def coloured(ax):
    """Pixels in the colour of 1."""
    image = np.asarray(ax.images[0].get_array())
    cmap, _ = value_scale(np.ones(1), None, diverging=False)
    return np.all(np.abs(image[..., :3] - np.array(cmap(1.0))[:3]) < 1e-5, -1) & (image[..., 3] > 0)


def test_hemispheres_are_seen_from_the_side_that_is_named(frontal, assert_readable):
    named = [text for text in texts(frontal) if text.startswith(("Left", "Right"))]
    views = dict(zip(sorted(named), sorted(named), strict=True))
    assert set(views) == {f"{side}, {view}" for side in ("Left", "Right")
                          for view in ("lateral", "medial", "posterior")}  # fmt: skip
    axes = dict(zip(named, (ax for ax in frontal.axes if ax.images and ax.axison is False), strict=True))
    middles = {name: np.argwhere(coloured(ax)).mean(0) / ax.images[0].get_array().shape[:2] for name, ax in axes.items()
               if coloured(ax).any()}  # fmt: skip
    assert middles["Left, lateral"][1] < 0.35 and middles["Right, lateral"][1] > 0.65
    assert middles["Left, medial"][1] > 0.65 and middles["Right, medial"][1] < 0.35
    assert coloured(axes["Left, posterior"]).mean() < 0.002  # hidden from behind
    assert_readable(frontal)


def test_each_pixel_shows_the_nearest_face_that_looks_at_the_reader():
    places, faces, _ = load_mesh("pial", False)
    found = picture(places, faces, "lateral", right=False)
    seen = np.stack([-places[:, 1], places[:, 2], -places[:, 0]], 1)  # the left side, from the left
    low, high = seen[:, :2].min(0) - 0.55, seen[:, :2].max(0) + 0.55
    assert found.shape[::-1] == tuple(np.ceil((high - low) / 0.55))
    rng, agreed = np.random.default_rng(0), []
    a, b, c = (seen[faces[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    for row, column in rng.permutation(np.argwhere(found >= 0))[:300]:
        x, y = low + 0.55 * np.array([column + 0.5, found.shape[0] - row - 0.5])
        with np.errstate(divide="ignore", invalid="ignore"):  # a ray against every face
            v = ((x - a[:, 0]) * (c[:, 1] - a[:, 1]) - (y - a[:, 1]) * (c[:, 0] - a[:, 0])) / turn
            w = ((b[:, 0] - a[:, 0]) * (y - a[:, 1]) - (b[:, 1] - a[:, 1]) * (x - a[:, 0])) / turn
        hit = (v >= 0) & (w >= 0) & (v + w <= 1) & (turn > 0)
        if hit.any():
            depth = np.where(hit, a[:, 2] + v * (b[:, 2] - a[:, 2]) + w * (c[:, 2] - a[:, 2]), -np.inf)
            near = np.isin(faces[found[row, column]], faces[np.argmax(depth)]).any()  # itself, or one that touches it
            agreed.append(near)
    assert len(agreed) > 280 and np.mean(agreed) > 0.95


def test_colours_on_the_surface_are_those_of_the_bar():
    figure = plot_surface(np.ones(2 * FSAVERAGE5), whole_mesh(), "r", views=["lateral"])
    for ax in figure.axes[:2]:
        opaque = np.asarray(ax.images[0].get_array())[..., 3] > 0
        np.testing.assert_array_equal(coloured(ax), opaque)


def test_a_volume_is_read_between_the_white_and_the_pial_surface():
    grid = brain_grid()
    slopes = np.array([0.3, -1.0, 0.7])
    placed = SurfaceCanvas(grid).places((grid.coordinates() @ slopes)[None])[0]
    mesh = load_fsaverage("fsaverage5")
    middle = np.concatenate([(mesh["pial"].parts[side].coordinates + mesh["white_matter"].parts[side].coordinates) / 2
                             for side in ("left", "right")])  # fmt: skip
    np.testing.assert_allclose(placed, middle @ slopes, atol=0.01)  # trilinear is exact for what is linear


def test_voxels_without_a_value_take_nothing_from_their_neighbours():
    grid = brain_grid()
    values = np.where(grid.coordinates()[:, 0] < 0, 0.5, np.nan)
    placed = SurfaceCanvas(grid).places(values[None])[0]
    known, x = ~np.isnan(placed), coordinates()[:, 0]
    np.testing.assert_allclose(placed[known], 0.5, atol=1e-6)
    assert known[x < -8].all() and not known[x > 8].any()


def test_a_finer_fsaverage_is_drawn_at_the_vertices_that_it_shares():
    mesh = whole_mesh(40_962, "fsaverage6")
    placed = SurfaceCanvas(mesh).places(np.arange(2 * 40_962.0)[None])[0]
    np.testing.assert_array_equal(placed, np.r_[:FSAVERAGE5, 40_962 : 40_962 + FSAVERAGE5])


def test_flat_maps_of_both_hemispheres_keep_their_sides(assert_readable):
    left = np.r_[np.ones(FSAVERAGE5), np.full(FSAVERAGE5, np.nan)]
    figure = plot_surface(left, whole_mesh(), "r", surface="flat", title="Left alone")
    assert [text for text in texts(figure) if text != "Left alone" and text] == ["Left", "Right"]
    assert coloured(figure.axes[0]).sum() > 20_000 and not coloured(figure.axes[1]).any()
    assert_readable(figure)


def test_surface_files_are_small_and_pictures_of_a_side_are_made_once(frontal, tmp_path, monkeypatch):
    for path in save_figure(frontal, tmp_path, "surface", ("png", "pdf", "svg")):
        assert path.stat().st_size < 3_000_000
    monkeypatch.setattr("affectome.plotting._brain_surface.picture", None)
    plot_surface(np.zeros(2 * FSAVERAGE5), whole_mesh(), "r", views=["lateral", "medial"])


def test_surfaces_that_are_not_known_are_refused():
    other = SurfaceMesh(np.arange(3, dtype=np.int32), np.zeros(3, bool), (32_492, 32_492), "fsLR")
    with pytest.raises(InputError, match="32,492 vertices in the space 'fsLR'"):
        plot_surface(np.ones(3), other, "r")
    with pytest.raises(InputError, match="no surface 'sphere'"):
        plot_surface(np.ones(2 * FSAVERAGE5), whole_mesh(), "r", surface="sphere")
    with pytest.raises(InputError, match="no view 'inside'"):
        plot_surface(np.ones(2 * FSAVERAGE5), whole_mesh(), "r", views=["inside"])


def test_glass_brain_shows_significant_voxels_at_their_side(assert_readable):
    grid = brain_grid()
    places = grid.coordinates()
    values = np.where(np.linalg.norm(places - [-40, 40, 20], axis=1) < 14, 0.5, 0.01)
    figure = plot_glass_brain(values, grid, "Held-out r", significant=values > 0.1, title="A spot, left and in front")
    assert isinstance(figure, Figure)
    note = f"significant: {(values > 0.1).sum()} of {len(values):,} voxels (others not shown)"
    assert note in texts(figure)
    side, _, _, top = (ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.get_xlim() != (0, 1))
    for ax, place in ((top, (-40, 40)), (side, (40, 20))):  # across the side runs y
        image = ax.images[0]
        shown = np.argwhere(~np.ma.getmaskarray(image.get_array()) & (np.asarray(image.get_array()) != 0))
        left, right, bottom, upper = image.get_extent()
        rows, columns = image.get_array().shape
        x = left + (shown[:, 1].mean() + 0.5) / columns * (right - left)
        down = (shown[:, 0].mean() + 0.5) / rows
        y = upper - down * (upper - bottom) if image.origin == "upper" else bottom + down * (upper - bottom)
        assert (x, y) == pytest.approx(place, abs=5)
    assert_readable(figure)


def test_a_glass_brain_may_be_empty():
    grid = brain_grid()
    for values, marks, note in (
        (np.full(len(grid), np.nan), None, "none of 14,283 voxels has a value"),
        (np.ones(len(grid)), np.zeros(len(grid), bool), "none of 14,283 voxels is significant (others not shown)"),
    ):
        assert note in texts(plot_glass_brain(values, grid, "r", significant=marks))
