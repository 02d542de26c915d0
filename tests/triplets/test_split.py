"""Splits never put an unordered triplet on two sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from affectome.errors import InputError
from affectome.triplets import TripletSet, sample_triplets, split_triplets


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.permutations(range(5)).map(lambda p: p[:3]), min_size=1, max_size=40),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_parts_share_no_unordered_triplet_and_hold_all_its_repeats_in_order(rows, sizes, seed):
    trials = TripletSet(rows, range(5), block=np.arange(len(rows)))
    groups = set(trials.keys().tolist())
    if sum(sizes) > len(groups):
        with pytest.raises(InputError, match=r"do not fit .* different triplets; give positive sizes"):
            split_triplets(trials, sizes, seed=seed)
        return
    parts = split_triplets(trials, sizes, seed=seed)
    held = [set(part.keys().tolist()) for part in parts]
    assert [len(keys) for keys in held] == sizes
    assert len(set().union(*held)) == sum(sizes)
    for part, keys in zip(parts, held, strict=True):
        whole = [k for k, key in enumerate(trials.keys().tolist()) if key in keys]
        assert part.block.tolist() == whole  # all repeats, in the order of the trials


def test_shares_are_of_different_triplets(trials):
    train, test = split_triplets(trials, [0.8, 0.2], seed=0)  # 30 different triplets, each asked twice
    assert (len(train), len(test)) == (48, 12)
    tenths = split_triplets(sample_triplets(9, 30, seed=0), [0.1] * 10, seed=0)
    assert [len(part) for part in tenths] == [3] * 10  # ten times .1 is not 1 in floating point
    (part,) = split_triplets(sample_triplets(12, 100, seed=0), [0.29], seed=0)
    assert len(part) == 29  # though .29 * 100 falls short of 29 there


def test_every_triplet_is_equally_likely_to_be_held_out():
    trials = sample_triplets(5, 10, seed=0)
    keys = np.concatenate([split_triplets(trials, [9, 1], seed=seed)[1].keys() for seed in range(2000)])
    counts = np.unique(keys, return_counts=True)[1]
    assert len(counts) == 10 and chisquare(counts).pvalue > 1e-3


def test_the_seed_decides_the_split(trials, assert_same):
    once, again, other = (split_triplets(trials, [0.5, 0.5], seed=seed)[0] for seed in (1, 1, 2))
    assert_same(once, again)
    assert set(once.keys()) != set(other.keys())


@pytest.mark.parametrize("sizes", [[31], [20, 11], [0, 5], [-1], [0.9, 0.2], [0.01]])
def test_sizes_that_do_not_fit_are_refused(trials, sizes):
    with pytest.raises(InputError, match="do not fit 30 different triplets; give positive sizes that sum to no more"):
        split_triplets(trials, sizes, seed=0)
