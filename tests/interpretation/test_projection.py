import numpy as np
import pandas as pd
import pytest
from sklearn.manifold import trustworthiness
from threadpoolctl import threadpool_limits

from affectome import InputError
from affectome.interpretation import project_tsne


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
