import numpy as np
import pytest

from affectome.errors import InputError
from affectome.neural import family_wise_p, family_wise_threshold


def test_p_counts_the_permutations_whose_largest_value_reaches_the_voxel():
    maxima = [0.3, 0.1, 0.25, 0.25]
    got = family_wise_p([0.31, 0.25, 0.05, np.nan], maxima)
    assert got[:3].tolist() == [1 / 5, 4 / 5, 1.0] and np.isnan(got[3])


def test_one_voxel_has_its_own_p():
    rng = np.random.default_rng(0)
    null = rng.normal(size=99)
    assert family_wise_p([0.7], null)[0] == (1 + (null >= 0.7).sum()) / 100


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_the_share_of_brains_with_any_voxel_is_nominal_however_alike_voxels_are(shared):
    rng = np.random.default_rng(1)
    n_brains, n_permutations, n_voxels = 2000, 99, 30
    values = np.sqrt(shared) * rng.normal(size=(n_brains, n_permutations + 1, 1)) + np.sqrt(1 - shared) * rng.normal(
        size=(n_brains, n_permutations + 1, n_voxels)
    )
    smallest = np.array([family_wise_p(brain[0], brain[1:].max(axis=1)).min() for brain in values])
    for level in (0.05, 0.01):
        assert (smallest <= level).mean() == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / n_brains))


def test_the_threshold_is_where_p_falls_to_alpha():
    maxima = np.random.default_rng(2).normal(size=199)
    threshold = family_wise_threshold(maxima, 0.05)
    assert family_wise_p([threshold + 1e-6], maxima)[0] <= 0.05 < family_wise_p([threshold - 1e-6], maxima)[0]
    assert family_wise_threshold(maxima[:18], 0.05) == np.inf


def test_maxima_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"maxima of shape \(2, 3\)"):
        family_wise_p([1.0], np.zeros((2, 3)))
