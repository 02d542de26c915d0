"""The balanced design spreads stimuli and pairs more evenly than chance can."""

import math

import numpy as np
import pytest

from affectome.errors import InputError
from affectome.triplets import sample_triplets


def stimulus_counts(questions):
    return np.bincount(questions.triplets.ravel(), minlength=questions.n_stimuli)


def pair_counts(questions):
    """How often each pair of stimuli was in one triplet."""
    m = questions.n_stimuli
    table = np.zeros((m, m), int)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        np.add.at(table, (questions.triplets[:, i], questions.triplets[:, j]), 1)
    return (table + table.T)[np.triu_indices(m, 1)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("m", "n"), [(9, 3), (20, 50), (66, 1000), (66, 2000), (200, 30_000), (2185, 50_000)])
def test_stimulus_counts_differ_by_at_most_one_in_sparse_designs(m, n, seed):
    counts = stimulus_counts(sample_triplets(m, n, design="balanced", seed=seed))
    assert counts.sum() == 3 * n and np.ptp(counts) <= 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.6, 0.95])
@pytest.mark.parametrize("m", [8, 9, 20, 66])
def test_stimulus_counts_stay_within_two_in_dense_designs(m, share):
    n = round(share * math.comb(m, 3))
    questions = sample_triplets(m, n, design="balanced", seed=0)
    assert len(set(questions.keys().tolist())) == n
    assert np.ptp(stimulus_counts(questions)) <= 2


@pytest.mark.parametrize(("m", "n"), [(66, 5000), (66, 20_000), (66, 40_000), (200, 10_000)])
def test_pair_counts_are_several_times_more_even_than_the_hypergeometric_ones_of_chance(m, n):
    total, share = math.comb(m, 3), 6 / (m * (m - 1))
    chance = n * share * (1 - share) * (total - n) / (total - 1)  # variance over draws without replacement
    random, balanced = (pair_counts(sample_triplets(m, n, design=design, seed=0)) for design in ("random", "balanced"))
    assert random.mean() == pytest.approx(balanced.mean()) == pytest.approx(3 * n / math.comb(m, 2))
    assert random.var() == pytest.approx(chance, rel=0.15)
    assert balanced.var() < chance / 5


def test_no_pair_is_asked_twice_while_there_are_plenty():
    counts = pair_counts(sample_triplets(2185, 50_000, design="balanced", seed=0))  # 150,000 of 2.4 million pairs
    assert (counts > 1).sum() < 50  # by chance about 4,500


def test_every_number_of_triplets_of_few_stimuli_can_be_asked():
    for m in range(3, 8):
        for n in range(1, math.comb(m, 3) + 1):
            questions = sample_triplets(m, n, design="balanced", seed=n)
            assert len(set(questions.keys().tolist())) == len(questions) == n
            assert np.ptp(stimulus_counts(questions)) <= 2


def test_too_many_stimuli_for_counting_pairs_are_refused_before_memory_is_taken():
    with pytest.raises(InputError, match="takes up to 20,000 stimuli, not 20,001; use the random design"):
        sample_triplets(20_001, 10, design="balanced", seed=0)
