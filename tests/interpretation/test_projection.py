import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome.errors import EnvironmentFailure
from affectome.interpretation import (
    Projection,
    category_prototypes,
    map_agreement,
    project_many,
    project_tsne,
    project_umap,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """OpenMP threads that wait for one another on busy cores take a hundred times as long."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def space():
    """Three far clusters of twelve."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(36, 5)) + 20 * np.repeat(np.eye(3, 5), 12, axis=0)
    return pd.DataFrame(values, index=[f"s{k:02d}" for k in range(36)])


@pytest.fixture(scope="module")
def projection(space):
    return project_tsne(space, perplexity=6, n_neighbors=8, seed=3)


def test_a_map_has_two_finite_coordinates_for_every_stimulus(space, projection):
    assert projection.coordinates.index.equals(space.index)
    assert projection.coordinates.columns.tolist() == ["x", "y"]
    assert np.isfinite(projection.coordinates).all(axis=None)
    assert (projection.perplexity, projection.n_neighbors, projection.seed) == (6, 8, 3)


def test_trustworthiness_is_that_of_scikit_learn(space, projection):
    expected = trustworthiness(space.to_numpy(), projection.coordinates.to_numpy(), n_neighbors=8)
    assert projection.trustworthiness == pytest.approx(expected, abs=1e-12)
    assert 0.8 < projection.trustworthiness <= 1


def test_neighbours_on_the_map_are_of_the_same_cluster(projection):
    xy = projection.coordinates.to_numpy()
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(axis=1) // 12 == np.arange(36) // 12).all()


def test_the_seed_decides_the_map(space, projection):
    again = project_tsne(space, perplexity=6, n_neighbors=8, seed=3)
    pd.testing.assert_frame_equal(again.coordinates, projection.coordinates)
    assert project_tsne(space, perplexity=6, seed=2**32 + 3).seed == 2**32 + 3


def test_few_stimuli_shrink_perplexity_and_neighbourhood(space):
    few = project_tsne(space.iloc[:10], seed=0)
    assert (few.perplexity, few.n_neighbors) == (3, 4)
    one = project_tsne(space.iloc[::3, :1], seed=0)
    assert one.coordinates.shape == (12, 2)
    with pytest.raises(InputError, match="9 stimuli make no map; give at least ten"):
        project_tsne(space.iloc[:9], seed=0)


# Continuity, several maps, UMAP


def test_continuity_is_trustworthiness_with_map_and_space_exchanged(space, projection):
    expected = trustworthiness(projection.coordinates.to_numpy(), space.to_numpy(), n_neighbors=8)
    assert projection.continuity == pytest.approx(expected, abs=1e-12)
    assert projection.caption.startswith("t-SNE, perplexity 6, trustworthiness 0.")


def test_a_map_of_several_is_the_one_made_alone_whatever_the_number_of_jobs(space, projection):
    other = space.iloc[::-1] * 2
    seen = []
    for n_jobs in (1, 3):
        maps = project_many(
            {"a": space, "b": other}, perplexities=(6, 11), n_neighbors=8, n_jobs=n_jobs, seed=3,
            progress=lambda done, total, *, detail="": seen.append((done, total, detail)),
        )  # fmt: skip
        assert list(maps) == [("a", 6.0), ("a", 11.0), ("b", 6.0), ("b", 11.0)]
        pd.testing.assert_frame_equal(maps["a", 6.0].coordinates, projection.coordinates)
        assert maps["a", 6.0].trustworthiness == projection.trustworthiness
        assert [one.perplexity for one in maps.values()] == [6, 11, 6, 11]
        assert maps["b", 6.0].coordinates.index.equals(other.index)
    assert seen[3] == (4, 4, "b, perplexity 11") and len(seen) == 8


def test_maps_that_cannot_be_made_are_refused(space):
    for arguments, message in (
        ({"perplexities": ()}, "there is nothing to map"),
        ({"perplexities": (1,)}, "a perplexity of 1 is no neighbourhood; use one above 1"),
        ({"n_jobs": 0}, "n_jobs=0 makes no map"),
        ({"n_neighbors": 0}, "n_neighbors=0 is no neighbourhood"),
    ):
        with pytest.raises(InputError, match=message):
            project_many({"a": space}, **{"seed": 0} | arguments)
    with pytest.raises(InputError, match="a: all stimuli lie at the same place"):
        project_many({"a": space * 0}, seed=0)


def test_umap_keeps_clusters_together_and_its_seed_decides_the_map(space):
    one = project_umap(space, umap_neighbors=8, seed=1)
    again, other = project_umap(space, umap_neighbors=8, seed=1), project_umap(space, umap_neighbors=8, seed=2)
    pd.testing.assert_frame_equal(one.coordinates, again.coordinates)
    assert not np.allclose(one.coordinates, other.coordinates)
    xy = one.coordinates.to_numpy()
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(axis=1) // 12 == np.arange(36) // 12).all()
    assert (one.method, one.setting, np.isnan(one.perplexity)) == ("UMAP", "8 neighbours, min. distance 0.1", True)
    assert one.trustworthiness == pytest.approx(trustworthiness(space.to_numpy(), xy, n_neighbors=15), abs=1e-12)
    assert project_umap(space.iloc[:10], seed=0).setting.startswith("9 neighbours")
    with pytest.raises(InputError, match=r"umap_neighbors=1 and min_dist=0\.1 make no map"):
        project_umap(space, umap_neighbors=1, seed=0)


def test_a_missing_umap_is_said_in_one_sentence(space, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(EnvironmentFailure, match=r'not installed; run pip install "affectome\[maps\]"'):
        project_umap(space, seed=0)


def test_maps_agree_with_themselves_and_by_chance_with_shuffled_ones(projection):
    rng = np.random.default_rng(0)

    def shuffled():
        xy = projection.coordinates.to_numpy()[rng.permutation(36)]
        return Projection(pd.DataFrame(xy, index=projection.coordinates.index), 1.0, 30.0, 8, 0)

    turned = Projection(-3 * projection.coordinates.iloc[::-1], 1.0, 30.0, 8, 0)
    assert map_agreement(projection, turned, n_neighbors=8) == 1
    chance = np.mean([map_agreement(projection, shuffled(), n_neighbors=8) for _ in range(60)])
    assert chance == pytest.approx(8 / 35, abs=0.02)
    with pytest.raises(InputError, match="the maps hold different stimuli"):
        map_agreement(projection, Projection(projection.coordinates.iloc[1:], 1.0, 30.0, 8, 0))


# Prototypes


def test_a_prototype_is_the_member_nearest_to_the_centroid_in_the_space(space):
    labels = pd.Series(np.repeat(["far", "wide", "near"], 12), index=space.index).iloc[:-4]
    got = category_prototypes(space, labels)
    assert got["n"].to_dict() == {"far": 12, "wide": 12, "near": 8} and got.index.tolist() == ["far", "wide", "near"]
    for name, row in got.iterrows():
        members = space.loc[labels.index[labels == name]].astype(np.float32).astype(float)
        distance = np.sqrt(((members - members.mean()) ** 2).sum(axis=1))
        assert row["id"] == distance.idxmin()
        assert row["distance"] == pytest.approx(distance.min()) and row["spread"] == pytest.approx(
            np.sqrt((distance**2).mean())
        )
    without = category_prototypes(space, labels, exclude=[got.loc["far", "id"]], most_common=1)
    assert without.index.tolist() == ["wide"]
