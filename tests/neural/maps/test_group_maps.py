import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid, average_maps, common_geometry, read_map, write_map

AFFINE = np.diag([2.0, 2, 2, 1])
SHAPE = (4, 3, 2)


def grid(places, affine=AFFINE, shape=SHAPE, space="MNI152NLin6Asym"):
    return VolumeGrid(np.stack(np.unravel_index(places, shape), axis=1).astype(np.int32), affine, shape, space)


@pytest.fixture
def people(record):
    """Three people with different voxels in different orders."""
    rng = np.random.default_rng(0)
    return [record(grid(rng.permutation(24)[:18]), f"sub-{k:02d}") for k in range(3)]


def test_the_common_voxels_are_those_all_have_in_the_order_of_the_first(people):
    geometry, columns = common_geometry(people)
    sets = [set(map(tuple, person.geometry.ijk.tolist())) for person in people]
    wanted = [place for place in map(tuple, people[0].geometry.ijk.tolist()) if all(place in one for one in sets)]
    assert list(map(tuple, geometry.ijk.tolist())) == wanted
    for person, chosen in zip(people, columns, strict=True):
        assert np.array_equal(person.geometry.ijk[chosen], geometry.ijk)


def test_volumes_cut_out_differently_meet_by_their_millimetres(record):
    # the same voxels, in a volume that begins two voxels further on along the first axis
    shifted = AFFINE.copy()
    shifted[0, 3] = 4
    first = record(VolumeGrid(np.array([[2, 1, 0], [3, 0, 1]], np.int32), AFFINE, SHAPE, "MNI152"), "sub-01")
    second = record(VolumeGrid(np.array([[1, 0, 1], [4, 0, 0]], np.int32), shifted, (5, 3, 2), "MNI152"), "sub-02")
    geometry, columns = common_geometry([first, second])
    assert geometry.ijk.tolist() == [[3, 0, 1]]
    assert [chosen.tolist() for chosen in columns] == [[1], [0]]
    assert geometry.coordinates().tolist() == second.geometry.coordinates()[:1].tolist()


def test_surfaces_meet_by_vertex_and_hemisphere(record):
    one = SurfaceMesh(np.array([3, 5, 3], np.int32), np.array([0, 0, 1], bool), (9, 9), "fsaverage5")
    two = SurfaceMesh(np.array([3, 3, 7], np.int32), np.array([1, 0, 0], bool), (9, 9), "fsaverage5")
    geometry, columns = common_geometry([record(one, "sub-01"), record(two, "sub-02")])
    assert (geometry.vertices.tolist(), geometry.right.tolist()) == ([3, 3], [False, True])
    assert [chosen.tolist() for chosen in columns] == [[0, 2], [1, 0]]


def test_a_group_map_has_the_mean_and_counts_of_each_place(people):
    rng = np.random.default_rng(1)
    maps = {person.subject: rng.normal(size=18) for person in people}
    maps["sub-01"][::4] = np.nan
    significant = {name: np.nan_to_num(values) > 0.5 for name, values in maps.items()}
    group = average_maps(maps, people, significant=significant)
    volumes = np.stack([person.geometry.volume(maps[person.subject]) for person in people]).astype(float)
    here = volumes[(slice(None), *group.geometry.ijk.T)]
    np.testing.assert_allclose(group.mean, np.nanmean(here, axis=0), rtol=1e-6)
    np.testing.assert_allclose(group.sd, np.nanstd(here, axis=0, ddof=1), rtol=1e-5)
    assert np.array_equal(group.n_defined, np.isfinite(here).sum(axis=0))
    assert np.array_equal(group.n_significant, (here > 0.5).sum(axis=0))
    assert group.subjects == ("sub-00", "sub-01", "sub-02")


@given(st.permutations(range(3)), st.integers(0, 50))
def test_the_order_of_people_and_voxels_does_not_matter(order, seed):
    import pandas as pd

    from affectome.neural import Recording

    rng = np.random.default_rng(seed)
    trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    world = rng.normal(size=(3, 24))
    places = [rng.permutation(24)[:20] for _ in range(3)]
    people = [Recording(f"s{k}", np.zeros((1, 20), np.float32), trials, grid(places[k])) for k in range(3)]
    maps = {f"s{k}": world[k, places[k]] for k in range(3)}
    group = average_maps(maps, [people[k] for k in order])
    volume = group.geometry.volume(group.mean).ravel()
    shared = np.flatnonzero(np.isfinite(volume))
    assert set(shared) == set(places[0]) & set(places[1]) & set(places[2])
    np.testing.assert_allclose(volume[shared], world.mean(axis=0)[shared], rtol=1e-5, atol=1e-6)


def test_where_nobody_has_a_value_there_is_no_mean(record):
    people = [record(grid([0, 1]), name) for name in ("a", "b")]
    group = average_maps({"a": [np.nan, 1], "b": [np.nan, np.nan]}, people)
    assert np.isnan(group.mean[0])
    assert group.mean[1] == 1
    assert np.isnan(group.sd).all()
    assert group.n_defined.tolist() == [0, 1]
    assert group.n_significant is None


def test_a_group_map_is_written_and_read_like_any_other(people, tmp_path):
    group = average_maps({person.subject: np.arange(18) for person in people}, people)
    path = write_map(tmp_path, group.geometry, group.mean, statistic="mean r", description="Mean over people.")
    assert np.array_equal(read_map(path, group.geometry), group.mean)


def test_a_persons_own_space_is_refused(record):
    native = record(grid([0, 1], space=None), "sub-07")
    with pytest.raises(
        InputError, match="the recording of sub-07 is in the person's own space; compare people by region"
    ):
        common_geometry([record(grid([0, 1])), native])
    with pytest.raises(InputError, match="is in the person's own space"):
        common_geometry([record()])


@pytest.mark.parametrize(
    "other",
    [
        grid([0, 1], space="MNI152NLin2009cAsym"),
        grid([0, 1], affine=np.diag([2.0, 2, 3, 1])),
        grid([0, 1], affine=np.diag([-2.0, 2, 2, 1])),
        SurfaceMesh(np.array([0], np.int32), np.array([True]), (9, 9), "MNI152NLin6Asym"),
    ],
    ids=["space", "voxel size", "orientation", "kind"],
)
def test_different_spaces_or_grids_are_refused(record, other):
    with pytest.raises(InputError, match="the recordings of sub-01 and sub-02 have different spaces or grids"):
        common_geometry([record(grid([0, 1])), record(other, "sub-02")])


def test_what_does_not_fit_is_named(record):
    one, two = record(grid([0, 1]), "a"), record(grid([2, 3]), "b")
    with pytest.raises(InputError, match="no voxel is common to all 2 recordings"):
        common_geometry([one, two])
    with pytest.raises(InputError, match="no recording is given"):
        common_geometry([])
    with pytest.raises(InputError, match="the id 'a' was already used"):
        common_geometry([one, one])
    with pytest.raises(InputError, match="b has a map and no recording"):
        average_maps({"a": [1, 2], "b": [1, 2]}, [one])
    with pytest.raises(InputError, match="a has a recording and no map"):
        average_maps({}, [one])
    with pytest.raises(InputError, match=r"the map of a has the shape \(3,\) for 2 voxels"):
        average_maps({"a": [1, 2, 3]}, [one])
    with pytest.raises(InputError, match="what is significant is no mask"):
        average_maps({"a": [1, 2]}, [one], significant={"a": [0.01, 0.5]})
