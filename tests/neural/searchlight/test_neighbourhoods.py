import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affectome import InputError
from affectome.neural import (
    SurfaceMesh,
    VolumeGrid,
    disc_neighbourhoods,
    parcel_neighbourhoods,
    sphere_neighbourhoods,
)

OBLIQUE = np.array([[-1.9, 0.3, 0.1, 60.0], [0.2, 2.1, -0.4, -80], [0.1, 0.5, 3.1, -40], [0, 0, 0, 1]])


def grid_of(mask, affine=OBLIQUE, order=None):
    places = np.argwhere(mask).astype(np.int32)
    return VolumeGrid(places if order is None else places[order], affine, mask.shape)


def by_distance(grid, radius, unit):
    """Every pair of voxels measured."""
    places = grid.ijk.astype(float) if unit == "voxel" else grid.coordinates()
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    return [np.flatnonzero(row <= radius + 1e-9) for row in apart]


@pytest.mark.parametrize(("radius", "points"), [(1, 7), (1.5, 19), (2, 33), (3, 123), (4, 257)])
def test_a_whole_sphere_holds_the_lattice_points_of_its_ball(radius, points):
    grid = grid_of(np.ones((11, 11, 11), bool))
    centre = int(np.flatnonzero((grid.ijk == 5).all(axis=1))[0])
    spheres = sphere_neighbourhoods(grid, radius, centres=[centre])
    assert spheres.sizes.tolist() == [points] and spheres.centres.tolist() == [centre]


@given(seed=st.integers(0, 10_000), unit=st.sampled_from(["voxel", "mm"]), radius=st.floats(1.0, 6.0))
@settings(max_examples=40, deadline=None)
def test_spheres_hold_exactly_the_voxels_within_the_radius_whatever_the_order_of_columns(seed, unit, radius):
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 5, 7)) < 0.6
    grid = grid_of(mask, order=rng.permutation(int(mask.sum())))
    if unit == "mm":
        radius += 2.0  # a step is 1.9 mm or more
    spheres = sphere_neighbourhoods(grid, radius, unit=unit, min_voxels=2)
    reference = by_distance(grid, radius, unit)
    kept = [k for k, near in enumerate(reference) if len(near) >= 2]
    assert spheres.centres.tolist() == kept
    assert spheres.n_left_out == len(grid) - len(kept)
    for number, k in enumerate(kept):
        np.testing.assert_array_equal(spheres[number], reference[k])


def test_flat_voxels_make_spheres_of_millimetres_flat_in_indices():
    grid = grid_of(np.ones((9, 9, 9), bool), np.diag([2.0, 2.0, 6.0, 1.0]))
    centre = int(np.flatnonzero((grid.ijk == 4).all(axis=1))[0])
    sphere = sphere_neighbourhoods(grid, 6.0, unit="mm", centres=[centre])[0]
    reach = np.abs(grid.ijk[sphere] - 4).max(axis=0)
    assert reach.tolist() == [3, 3, 1]
    assert len(sphere) == 29 + 2  # the lattice points of a circle of three steps, and one above and below


def test_centres_with_few_voxels_are_left_out_and_counted(caplog):
    mask = np.zeros((12, 12, 12), bool)
    mask[:7, :7, :7] = True
    mask[11, 11, 11] = True  # alone
    with caplog.at_level(logging.WARNING):
        spheres = sphere_neighbourhoods(grid_of(mask), 3)
    assert spheres.n_left_out == 1 and len(spheres) == 343
    assert "1 centres have fewer than 10 voxels" in caplog.text
    assert spheres.sizes.min() == 29  # in a corner: the lattice points of an octant


def test_a_mask_of_centres_chooses_where_spheres_stand_but_not_what_they_hold():
    grid = grid_of(np.ones((6, 6, 6), bool))
    chosen = grid.ijk[:, 0] == 2
    whole, some = sphere_neighbourhoods(grid, 2), sphere_neighbourhoods(grid, 2, centres=chosen)
    np.testing.assert_array_equal(some.centres, np.flatnonzero(chosen))
    for number, centre in enumerate(some.centres):
        np.testing.assert_array_equal(some[number], whole[int(centre)])


def test_what_makes_no_sphere_is_refused():
    grid = grid_of(np.ones((3, 3, 3), bool))
    with pytest.raises(InputError, match="radius=0 voxel holds nothing"):
        sphere_neighbourhoods(grid, 0)
    with pytest.raises(InputError, match="holds one voxel"):
        sphere_neighbourhoods(grid, 0.5)
    with pytest.raises(InputError, match="none of 27 centres has 100 voxels"):
        sphere_neighbourhoods(grid, 1, min_voxels=100)
    with pytest.raises(InputError, match="no places among the 27 voxels"):
        sphere_neighbourhoods(grid, 1, centres=np.ones(26, bool))
    with pytest.raises(InputError, match="no places among the 27 voxels"):
        sphere_neighbourhoods(grid, 1, centres=[27])
    with pytest.raises(InputError, match="unit='cm'"):
        sphere_neighbourhoods(grid, 1, unit="cm")
    twice = VolumeGrid(np.zeros((2, 3), np.int32), np.eye(4), (1, 1, 1))
    with pytest.raises(InputError, match="two voxels lie at the same place"):
        sphere_neighbourhoods(twice, 1)


def test_spheres_come_from_the_cache_until_something_that_decides_them_changes(tmp_path, monkeypatch, caplog):
    from affectome.neural.searchlight import _neighbourhoods

    grid = grid_of(np.ones((5, 5, 5), bool))
    made, made_by = [], _neighbourhoods._looked_up
    monkeypatch.setattr(_neighbourhoods, "_looked_up", lambda *args: made.append(1) or made_by(*args))
    first = sphere_neighbourhoods(grid, 2, cache=tmp_path)
    again = sphere_neighbourhoods(grid, 2, cache=tmp_path)
    assert len(made) == 1
    for part in ("starts", "voxels", "centres"):
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
        assert getattr(first, part).dtype == getattr(again, part).dtype
    assert (again.radius, again.unit, again.n_left_out) == (2.0, "voxel", first.n_left_out)
    sphere_neighbourhoods(grid, 1, cache=tmp_path)
    sphere_neighbourhoods(grid, 2, min_voxels=12, cache=tmp_path)
    sphere_neighbourhoods(grid.select(np.arange(124)), 2, cache=tmp_path)
    assert len(made) == 4 and len(list(tmp_path.iterdir())) == 4
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:200])
    with caplog.at_level(logging.WARNING):
        mended = sphere_neighbourhoods(grid, 2, cache=tmp_path)
    assert len(made) == 5 and "made anew" in caplog.text
    np.testing.assert_array_equal(mended.voxels, first.voxels)


def hexagons(n, step=1.0):
    """A plane of equilateral triangles: coordinates, faces."""
    row, column = np.divmod(np.arange(n * n), n)
    coordinates = step * np.column_stack([column + row / 2, row * np.sqrt(3) / 2, np.zeros(n * n)])
    at = lambda r, c: r * n + c  # noqa: E731
    faces = [
        face
        for r in range(n - 1)
        for c in range(n - 1)
        for face in ([at(r, c), at(r, c + 1), at(r + 1, c)], [at(r, c + 1), at(r + 1, c), at(r + 1, c + 1)])
    ]
    return coordinates, np.array(faces)


def whole_mesh(sizes, space=None):
    vertices = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
    return SurfaceMesh(vertices, np.repeat([False, True], sizes), sizes, space)


def test_discs_follow_edges_and_hold_a_hexagon_of_the_plane():
    n, radius = 41, 15
    plane = hexagons(n)
    centre = (n // 2) * n + n // 2
    discs = disc_neighbourhoods(whole_mesh((n * n, n * n)), radius, surface=(plane, plane), centres=[centre, 5])
    disc = discs[1]
    row, column = np.divmod(disc, n)
    steps = np.stack([column - n // 2, row - n // 2])
    # Steps along edges between two places of a triangular lattice
    assert (np.abs([*steps, steps.sum(axis=0)]).max(axis=0) <= radius).all()
    assert len(disc) == 3 * radius * (radius + 1) + 1
    flat = np.linalg.norm(plane[0] - plane[0][centre], axis=1)
    ratio = len(disc) / np.pi / radius**2 * np.sqrt(3) / 2
    assert ratio == pytest.approx(3 * np.sqrt(3) / 2 / np.pi, abs=0.06)  # .83 of the disc, and its edge
    assert (flat[disc] <= radius + 1e-9).all()


def test_discs_of_fsaverage5_are_those_of_dijkstra_over_the_whole_mesh_and_keep_to_their_hemisphere():
    import networkx
    from nilearn.datasets import load_fsaverage

    mesh = whole_mesh((10242, 10242), "fsaverage5")
    centres = np.r_[np.random.default_rng(0).choice(10242, 5, replace=False), 10242 + np.arange(0, 9000, 3000)]
    discs = disc_neighbourhoods(mesh, 12.0, centres=centres)
    template = load_fsaverage("fsaverage5")
    assert discs.unit == "mm" and len(discs) == 8
    for number, centre in enumerate(discs.centres):
        side = "right" if centre >= 10242 else "left"
        white, pial = template["white_matter"].parts[side], template["pial"].parts[side]
        places = (np.asarray(white.coordinates, float) + np.asarray(pial.coordinates, float)) / 2
        graph = networkx.Graph()
        for a, b in ((0, 1), (1, 2), (2, 0)):
            ends = np.asarray(pial.faces)[:, [a, b]]
            lengths = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1)
            graph.add_weighted_edges_from(zip(*ends.T.tolist(), lengths.tolist(), strict=True))
        start = 10242 if side == "right" else 0
        reached = networkx.single_source_dijkstra_path_length(graph, int(centre) - start, cutoff=12.0)
        np.testing.assert_array_equal(discs[number], np.sort(np.array(list(reached)) + start))


def test_paths_cross_what_was_not_recorded_and_discs_hold_only_what_was():
    n = 9
    plane = hexagons(n)
    whole = whole_mesh((n * n, n * n))
    column = np.arange(2 * n * n) % (n * n) % n
    recorded = whole.select(column != 4)  # a strip as wide as one vertex
    discs = disc_neighbourhoods(recorded, 3, surface=(plane, plane), min_voxels=3)
    full = disc_neighbourhoods(whole, 3, surface=(plane, plane), min_voxels=3)
    old = np.flatnonzero(column != 4)
    at = int(np.flatnonzero(old == 4 * n + 3)[0])
    np.testing.assert_array_equal(old[discs[at]], [v for v in full[4 * n + 3] if column[v] != 4])
    assert (column[old[discs[at]]] > 4).any()


def test_surfaces_come_from_gifti_files(tmp_path):
    import nibabel
    from nibabel.gifti import GiftiDataArray, GiftiImage

    coordinates, faces = hexagons(6)
    parts = [
        GiftiDataArray(coordinates.astype("float32"), intent="NIFTI_INTENT_POINTSET"),
        GiftiDataArray(faces.astype("int32"), intent="NIFTI_INTENT_TRIANGLE"),
    ]
    path = tmp_path / "left.surf.gii"
    nibabel.save(GiftiImage(darrays=parts), path)
    mesh = whole_mesh((36, 36))
    read = disc_neighbourhoods(mesh, 2.01, surface=(path, path))
    given = disc_neighbourhoods(mesh, 2.01, surface=((coordinates, faces), (coordinates, faces)))
    np.testing.assert_array_equal(read.voxels, given.voxels)
    (tmp_path / "not.surf.gii").write_text("nothing")
    with pytest.raises(InputError, match="is no GIFTI surface"):
        disc_neighbourhoods(mesh, 2, surface=(path, tmp_path / "not.surf.gii"))
    with pytest.raises(InputError, match="no such file"):
        disc_neighbourhoods(mesh, 2, surface=(path, tmp_path / "absent.surf.gii"))


def test_what_makes_no_disc_is_refused():
    plane = hexagons(4)
    mesh = whole_mesh((16, 16))
    with pytest.raises(InputError, match="give surface="):
        disc_neighbourhoods(mesh, 10)
    with pytest.raises(InputError, match=r"the right surface: has 25 vertices and the mesh of the recording 16"):
        disc_neighbourhoods(mesh, 2, surface=(plane, hexagons(5)))
    with pytest.raises(InputError, match="reaches no neighbour"):
        disc_neighbourhoods(mesh, 0.5, surface=(plane, plane))
    with pytest.raises(InputError, match="none of the 16"):
        disc_neighbourhoods(mesh, 2, surface=(plane, (plane[0], plane[1] + 1)))
    with pytest.raises(InputError, match="vertex 3: a coordinate is no number"):
        broken = plane[0].copy()
        broken[3, 0] = np.nan
        disc_neighbourhoods(mesh, 2, surface=((broken, plane[1]), plane))


def test_parcels_are_regions_with_enough_voxels(caplog):
    rois = {
        name: np.isin(np.arange(20), inside) for name, inside in {"a": [3, 1, 7], "b": [2], "c": range(9, 20)}.items()
    }
    with caplog.at_level(logging.WARNING):
        parcels = parcel_neighbourhoods(rois)
    assert parcels.names == ("a", "c") and parcels.centres is None and parcels.n_left_out == 1
    assert [parcels[k].tolist() for k in range(2)] == [[1, 3, 7], list(range(9, 20))]
    assert "1 regions have fewer than 3 voxels and were left out: b" in caplog.text
    with pytest.raises(InputError, match="there are no regions"):
        parcel_neighbourhoods({})
    with pytest.raises(InputError, match="no masks over the same voxels"):
        parcel_neighbourhoods({"a": np.ones(3, bool), "b": np.ones(4, bool)})
    with pytest.raises(InputError, match="no region has 12 voxels"):
        parcel_neighbourhoods(rois, min_voxels=12)
