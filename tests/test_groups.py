"""Stimuli that belong together share a fold and a sum, and change places as a whole."""

import numpy as np
import pytest

from affectome._groups import assign_folds, check_folds, group_codes, group_sums, jackknife_variance, permuted_groups
from affectome.errors import InputError


@pytest.mark.parametrize("n", [25, 101, 2185])
def test_folds_are_of_equal_size_up_to_one(n):
    fold = assign_folds(np.arange(n), 5, np.random.default_rng(1))
    assert np.ptp(np.bincount(fold, minlength=5)) <= 1


def test_no_group_lies_in_two_folds_and_sizes_stay_even():
    group = np.r_[np.repeat(np.arange(6), 7), np.arange(6, 64)]
    for seed in range(20):
        fold = assign_folds(group, 5, np.random.default_rng(seed))
        assert all(len(set(fold[group == g])) == 1 for g in range(6))
        assert np.ptp(np.bincount(fold)) <= 1


def test_another_seed_gives_other_folds():
    one, other = (assign_folds(np.arange(100), 5, np.random.default_rng(seed)) for seed in (0, 1))
    assert (one != other).any()
    np.testing.assert_array_equal(one, assign_folds(np.arange(100), 5, np.random.default_rng(0)))


def test_groups_are_coded_by_name_and_the_rest_stand_alone():
    assert group_codes(["a", "b", "c", "d"], {"c": "film", "a": "film"}).tolist() == [0, 1, 0, 2]
    assert group_codes(["a", "b"], None).tolist() == [0, 1]
    # A group named like a stimulus that stands alone is not that stimulus.
    assert group_codes(["a", "b", "c"], {"a": "c"}).tolist() == [0, 1, 2]


def test_bad_folds_and_groups_are_refused():
    with pytest.raises(InputError, match="20 stimuli are too few for 5 folds"):
        check_folds(20, 5, 1)
    with pytest.raises(InputError, match="n_folds=2"):
        check_folds(20, 2, 1)
    with pytest.raises(InputError, match=r"1 ids of the groups are no stimuli \(z\)"):
        group_codes(["a"], {"z": 1})
    with pytest.raises(InputError, match="2 groups of stimuli cannot fill 3 folds"):
        assign_folds(np.array([0, 0, 1, 1]), 3, np.random.default_rng(0))


def test_permutation_moves_whole_groups_among_those_of_their_size():
    group = np.array([0, 0, 1, 2, 2, 3, 4, 4])
    rng = np.random.default_rng(0)
    for _ in range(50):
        moved = group[permuted_groups(group, rng)]
        assert sorted(permuted_groups(group, rng)) == list(range(8))
        assert moved[0] == moved[1] in (0, 2, 4)
        assert moved[2] in (1, 3)
    assert {tuple(permuted_groups(np.arange(3), rng)) for _ in range(200)} == {
        (0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0),
    }  # fmt: skip


def test_sums_and_the_jackknife_are_over_groups():
    values = np.arange(10.0).reshape(5, 2)
    assert group_sums(values, np.array([0, 1, 1, 2, 0])).tolist() == [[8, 10], [6, 8], [6, 7]]
    assert group_sums(values, np.arange(5)) is values
    x = np.random.default_rng(0).normal(size=20)
    means = ((x.sum() - x) / 19)[:, None]  # of which the jackknife is exact
    assert jackknife_variance(means)[0] == pytest.approx(x.var(ddof=1) / 20)
