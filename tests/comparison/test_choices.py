from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from affectome.comparison import compare_choices
from affectome.comparison._choices import _random_triplets
from affectome.errors import InputError


def chosen(rsm, triplet):
    """Probability that each of the pairs of a triplet is kept."""
    three = np.array([rsm[pair] for pair in combinations(triplet, 2)])
    best = three == three.max()
    return best / best.sum()


def plain(one, two):
    """Agreement over all triplets, and the mean over those of each stimulus."""
    n = len(one)
    sums, held = np.zeros(n), np.zeros(n)
    for triplet in combinations(range(n), 3):
        same = chosen(one, triplet) @ chosen(two, triplet)
        sums[list(triplet)] += same
        held[list(triplet)] += 1
    return sums.sum() / held.sum(), sums / held


def rsms(spaces):
    return [frame.to_numpy(np.float64) @ frame.to_numpy(np.float64).T for frame in spaces.values()]


@pytest.mark.parametrize("ties", [False, True], ids=["no ties", "ties"])
def test_agreement_and_interval_equal_a_walk_over_all_triplets(ties):
    rng = np.random.default_rng(0)
    spaces = {k: pd.DataFrame(rng.integers(0, 3, (16, 3)) + 0.0 if ties else rng.normal(size=(16, 3))) for k in "abc"}
    got = compare_choices(spaces, metric="dot", n_permutations=0, seed=0)
    assert got.n_triplets == 560 and (got.tied > 0.05).all() == ties and (got.tied == 0).all() != ties
    for (first, second), (a, b) in zip(combinations(spaces, 2), combinations(rsms(spaces), 2), strict=True):
        value, of_stimulus = plain(a, b)
        row = got.table.loc[("agreement", first, second)]
        assert row["value"] == pytest.approx(value, abs=1e-6)
        assert row["kappa"] == pytest.approx((value - 1 / 3) * 1.5, abs=1e-6)
        influence = 3 / 16 * (of_stimulus - value)
        half = 2.131449546 * np.sqrt(16 / 15 * (influence**2).sum()) / (value * (1 - value))  # t of 15 df
        centre = np.log(value / (1 - value))
        expected = 1 / (1 + np.exp(-np.array([centre - half, centre + half])))
        np.testing.assert_allclose(row[["ci_low", "ci_high"]].astype(float), expected, atol=1e-5)


def test_a_space_agrees_with_itself_and_with_its_scaled_copy(related):
    a = related(np.random.default_rng(1), 25, "gaussian")["a"]
    row = compare_choices({"a": a, "b": 2 * a}, n_permutations=0, seed=0).table.iloc[0]
    assert row[["value", "ci_low", "ci_high", "kappa"]].tolist() == pytest.approx([1, 1, 1, 1])


def test_a_part_of_the_triplets_tells_what_all_of_them_do(related):
    spaces = related(np.random.default_rng(2), 150, "sparse")
    every, part = (compare_choices(spaces, max_triplets=m, n_permutations=0, seed=3) for m in (10**6, 60_000))
    assert every.n_triplets == 551_300 and 45_000 < part.n_triplets <= 61_000
    np.testing.assert_allclose(part.table["value"], every.table["value"], atol=0.01)
    width = [(got.table["ci_high"] - got.table["ci_low"]).to_numpy() for got in (every, part)]
    np.testing.assert_allclose(width[1], width[0], rtol=0.2)


def test_random_triplets_are_three_different_stimuli_and_all_equally_likely():
    triplets = _random_triplets(np.random.SeedSequence(0), 6, 40_000)
    assert (np.diff(triplets, axis=1) > 0).all()
    _, counts = np.unique(triplets, axis=0, return_counts=True)
    assert len(counts) == 20 and counts.std() < 4 * np.sqrt(2000)
    assert (np.diff(triplets[:, 0]) >= 0).all()


def test_permuted_agreement_is_the_agreement_with_permuted_stimuli(related):
    from affectome.comparison._choices import _permuted
    from affectome.comparison._matrix import permuted_orders, similarity_stack

    spaces = related(np.random.default_rng(4), 12, "sparse")
    stack = similarity_stack(spaces, dict.fromkeys(spaces, "dot"))
    triplets = _random_triplets(np.random.SeedSequence(1), 12, 200)
    orders = permuted_orders(np.random.SeedSequence(2), 12, 3)
    tested, null = _permuted(stack, triplets, orders, lambda *_, **__: None)
    for order, got in ((np.arange(12), tested), *zip(orders, null, strict=True)):
        for q, (a, b) in enumerate(combinations(range(3), 2)):
            other = stack[b][np.ix_(order, order)]
            same = [chosen(stack[a], tuple(t)) @ chosen(other, tuple(t)) for t in triplets]
            assert got[q] == pytest.approx(np.mean(same))


def test_p_is_valid_where_spaces_are_unrelated_and_chance_is_a_third(unrelated, assert_valid):
    rng = np.random.default_rng(5)
    tables = [compare_choices(unrelated(rng, 14), n_permutations=99, n_tested=300, seed=w).table for w in range(150)]
    assert_valid(np.array([table["p"] for table in tables]))
    values = np.array([table["value"] for table in tables])
    assert np.abs(values.mean(axis=0) - 1 / 3).max() < 4 * values.std(axis=0).max() / np.sqrt(150)
    assert np.abs(np.mean([table["null_mean"] for table in tables]) - 1 / 3) < 0.002


@pytest.mark.parametrize("kind", ["sparse", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_intervals_and_differences_cover(kind, related, assert_covers):
    whole = [compare_choices(related(np.random.default_rng(s), 400, kind), n_permutations=0, seed=0) for s in range(10)]
    truth = np.mean([got.table["value"] for got in whole], axis=0)
    rng = np.random.default_rng(6)
    worlds = [compare_choices(related(rng, 70, kind), n_permutations=0, seed=0) for _ in range(200)]
    assert_covers(np.array([got.table[["ci_low", "ci_high"]] for got in worlds]), truth, at_most=0.97)
    ties = [got.differences.xs("b", level="shared") for got in worlds]
    assert_covers(np.array([tie[["ci_low", "ci_high"]] for tie in ties]), np.zeros(1), at_most=0.99)
    assert np.mean([tie["p"].iloc[0] <= 0.05 for tie in ties]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_no_triplets_are_refused(related):
    with pytest.raises(InputError, match="no triplets can be compared"):
        compare_choices(related(np.random.default_rng(7), 20, "sparse"), max_triplets=0, seed=0)
