"""Spaces cut to principal components: against scikit-learn, and what a cut leaves alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from affectome import InputError
from affectome.gap import cut_space, principal_scores, space_rank


@pytest.fixture
def space():
    values = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 2, 1, 0.5, 0.2] + 4
    return pd.DataFrame(values, [f"s{k}" for k in range(50)], list("abcdef")).astype(np.float32)


def test_a_cut_space_is_the_reconstruction_of_scikit_learn(space):
    pca = PCA(3).fit(space.to_numpy(np.float64))
    expected = pca.inverse_transform(pca.transform(space.to_numpy(np.float64)))
    found = cut_space(space, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert list(found.columns) == list(space.columns) and list(found.index) == list(space.index)
    assert space_rank(found) == 3


def test_scores_are_those_of_scikit_learn_up_to_their_sign(space):
    pca = PCA(3).fit(space.to_numpy(np.float64))
    found = principal_scores(space, 3).to_numpy()
    expected = pca.transform(space.to_numpy(np.float64))
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)
    loadings = np.linalg.lstsq(found, space.to_numpy(np.float64) - space.to_numpy(np.float64).mean(axis=0))[0]
    assert (loadings[np.arange(3), np.abs(loadings).argmax(axis=1)] > 0).all()


def test_scores_and_cut_space_have_the_same_distances(space):
    cut, scores = cut_space(space, 2).to_numpy(np.float64), principal_scores(space, 2).to_numpy(np.float64)
    for i, j in ((0, 1), (5, 30), (48, 49)):
        assert np.linalg.norm(cut[i] - cut[j]) == pytest.approx(np.linalg.norm(scores[i] - scores[j]), rel=1e-4)


def test_a_small_space_comes_back_as_it_is(space):
    assert cut_space(space, 6).equals(space) and cut_space(space, 9).equals(space)
    assert principal_scores(space, 9).shape == (50, 6)


def test_columns_that_add_up_to_one_take_a_dimension_away():
    shares = np.random.default_rng(1).dirichlet([1, 1, 1, 1], size=40)
    assert space_rank(pd.DataFrame(shares, [str(k) for k in range(40)], list("abcd"))) == 3


def test_what_cannot_be_cut_is_told(space):
    with pytest.raises(InputError, match="0 principal components"):
        cut_space(space, 0)
    with pytest.raises(InputError, match="all stimuli of a space are the same"):
        cut_space(space * 0 + 1, 2)
