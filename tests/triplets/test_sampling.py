"""Designs ask each question the stated number of times, and neither the choice nor the slots are biased."""

import math
import tracemalloc
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, chisquare

from affectome.errors import InputError
from affectome.stimuli import StimulusSet
from affectome.triplets import DESIGNS, TripletSet, read_triplets, sample_triplets, write_triplets


def counts_of(values, n_kinds):
    """How often each of `n_kinds` was drawn; every one of them must be."""
    counts = np.unique(np.asarray(values), return_counts=True, axis=0)[1]
    assert len(counts) == n_kinds
    return counts


@pytest.mark.parametrize("n", [1, 2, 8, 9], ids=["one", "two", "dense", "all but one"])
def test_random_design_is_uniform_over_sets_of_unordered_triplets(n):
    drawn = [sorted(sample_triplets(5, n, seed=seed).keys().tolist()) for seed in range(5000)]
    assert chisquare(counts_of(drawn, math.comb(10, n))).pvalue > 1e-3


@settings(deadline=None, max_examples=60)
@given(m=st.integers(3, 12), share=st.floats(0, 1), seed=st.integers(0, 1000), design=st.sampled_from(DESIGNS))
def test_no_design_repeats_an_unordered_triplet_or_shows_a_stimulus_twice(m, share, seed, design):
    total = math.comb(m, 3)
    n = total if design == "exhaustive" else max(1, round(share * total))
    questions = sample_triplets(m, n, design=design, seed=seed)
    assert len(set(questions.keys().tolist())) == len(questions) == n
    assert all(len(set(row)) == 3 for row in questions.triplets.tolist())
    assert questions.triplets.min() >= 0 and questions.triplets.max() < m
    assert not questions.answered.any()


@pytest.mark.parametrize("m", [3, 4, 7, 12])
def test_exhaustive_design_asks_every_triplet_once(m):
    questions = sample_triplets(m, design="exhaustive", seed=0)
    assert sorted(map(sorted, questions.triplets.tolist())) == [list(three) for three in combinations(range(m), 3)]


@pytest.mark.parametrize("design", DESIGNS)
def test_three_stimuli_are_shown_in_all_six_orders_alike(design):
    rows = np.concatenate([sample_triplets(3, 1, design=design, seed=seed).triplets for seed in range(3000)])
    assert {tuple(row) for row in rows.tolist()} == set(permutations(range(3)))
    assert chisquare(counts_of(rows, 6)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("design", "n", "repeats"),
    [("random", 3000, 1), ("random", 7000, 1), ("exhaustive", None, 1), ("repeated", 800, 5), ("balanced", 3000, 1)],
)
def test_every_stimulus_is_about_equally_often_in_every_slot(design, n, repeats):
    rows = sample_triplets(40, n, design=design, seed=1, repeats=repeats).triplets
    table = np.array([np.bincount(slot, minlength=40) for slot in rows.T])
    assert chi2_contingency(table).pvalue > 1e-3


@pytest.mark.parametrize("n", [4000, 7000], ids=["sparse", "dense"])
@pytest.mark.parametrize("design", DESIGNS)
def test_the_order_of_trials_carries_no_information_about_stimuli(design, n):
    n = None if design == "exhaustive" else n
    rows = sample_triplets(40, n, design=design, seed=2).triplets
    halves = [np.bincount(half.ravel(), minlength=40) for half in np.array_split(rows, 2)]
    assert chi2_contingency(halves).pvalue > 1e-3


def test_repeated_design_asks_the_same_triplets_in_every_block_in_new_order_and_slots():
    questions = sample_triplets(30, 1000, design="repeated", repeats=4, seed=3)
    assert questions.block.tolist() == np.repeat(range(4), 1000).tolist()
    blocks = [questions[questions.block == repeat] for repeat in range(4)]
    assert all(set(block.keys().tolist()) == set(blocks[0].keys().tolist()) for block in blocks)
    assert all(len(set(block.keys().tolist())) == 1000 for block in blocks)
    first, second = (block[np.argsort(block.keys())].triplets for block in blocks[:2])
    same_slots = int((first == second).all(axis=1).sum())
    assert binomtest(same_slots, 1000, 1 / 6).pvalue > 1e-3
    assert (blocks[0].keys() == blocks[1].keys()).sum() < 10  # one in expectation
    assert questions.metadata == {"design": "repeated", "seed": 3, "n_different": 1000, "repeats": 4}


@pytest.mark.parametrize("design", DESIGNS)
def test_the_seed_decides_the_questions(design, assert_same):
    n = None if design == "exhaustive" else 50
    once, again, other = (sample_triplets(list("abcdefghijkl"), n, design=design, seed=seed) for seed in (5, 5, 6))
    assert_same(once, again)
    assert not np.array_equal(once.triplets, other.triplets)
    assert once.metadata["seed"] == 5 and once.metadata["design"] == design


@pytest.mark.parametrize("design", DESIGNS)
def test_names_of_stimuli_do_not_change_what_is_drawn(design):
    n = None if design == "exhaustive" else 20
    numbered, named = (sample_triplets(ids, n, design=design, seed=0) for ids in (8, list("hgfedcba")))
    np.testing.assert_array_equal(numbered.triplets, named.triplets)
    assert numbered.ids == tuple("01234567") and named.ids == tuple("hgfedcba")


@pytest.mark.parametrize("design", DESIGNS)
def test_a_subset_by_id_is_all_that_is_asked_about(design, tmp_path, assert_same):
    ids, subset = list("abcdefghij"), ["j", "b", "e", "a", "d"]
    n = None if design == "exhaustive" else 10
    questions = sample_triplets(ids, n, design=design, seed=0, subset=subset)
    assert questions.ids == tuple(ids) and len(set(questions.keys())) == 10
    assert {questions.ids[k] for k in questions.triplets.ravel()} == set(subset)
    assert questions.metadata["subset"] == ["a", "b", "d", "e", "j"]
    write_triplets(tmp_path / "q.parquet", questions)
    assert_same(read_triplets(tmp_path / "q.parquet"), questions)


def test_a_subset_by_size_is_uniform_over_subsets():
    drawn = [sample_triplets(6, design="exhaustive", seed=seed, subset=4).metadata["subset"] for seed in range(3000)]
    assert chisquare(counts_of(drawn, math.comb(6, 4))).pvalue > 1e-3


@pytest.mark.parametrize(("n", "n_excluded"), [(1, 3), (2, 4), (6, 2), (7, 2)], ids=["one", "two", "dense", "most"])
def test_what_is_drawn_beside_the_excluded_is_uniform_over_the_rest(n, n_excluded):
    known = sample_triplets(5, n_excluded, seed=0)
    twice = known[np.r_[0 : len(known), 0]]  # repeats of an excluded triplet exclude nothing more
    questions = [sample_triplets(5, n, seed=seed, exclude=twice) for seed in range(5000)]
    drawn = [sorted(asked.keys().tolist()) for asked in questions]
    assert not set(np.concatenate(drawn)) & set(known.keys())
    assert all(len(set(keys)) == n for keys in drawn)
    assert chisquare(counts_of(drawn, math.comb(10 - n_excluded, n))).pvalue > 1e-3
    slots = np.concatenate([asked.triplets for asked in questions])
    assert chi2_contingency([np.bincount(slot, minlength=5) for slot in slots.T]).pvalue > 1e-3


@settings(deadline=None, max_examples=60)
@given(m=st.integers(5, 10), share=st.floats(0, 1), left=st.floats(0, 1), seed=st.integers(0, 99), data=st.data())
def test_no_excluded_triplet_is_asked_in_any_order_however_few_are_left(m, share, left, seed, data):
    design, repeats = data.draw(st.sampled_from([("random", 1), ("repeated", 3)]))
    known = sample_triplets(m, max(1, round(share * (math.comb(m, 3) - 1))), seed=seed)
    n = max(1, round(left * (math.comb(m, 3) - len(known))))
    asked = sample_triplets(m, n, design=design, repeats=repeats, seed=seed, exclude=known)
    assert not set(asked.keys()) & set(known.keys())
    assert len(set(asked.keys())) == n and len(asked) == n * repeats


def test_exclusion_keeps_to_the_subset_and_counts_only_what_lies_in_it():
    ids, subset = list("abcdefg"), list("aceg")
    inside = TripletSet([[4, 0, 2]], ids)  # one of the four triplets of the subset
    known = TripletSet([*sample_triplets(ids, 20, seed=0).triplets, [4, 0, 2]], ids)
    left = 4 - len(
        {key for key in known.keys().tolist() if {*map(int, np.unravel_index(key, (7, 7, 7)))} <= {0, 2, 4, 6}}
    )
    assert left < 4
    assert len(sample_triplets(ids, 3, seed=1, subset=subset, exclude=inside)) == 3
    with pytest.raises(
        InputError, match=rf"only {left} triplets are left beside the \d+ excluded, not 4; ask for fewer"
    ):
        sample_triplets(ids, 4, seed=1, subset=subset, exclude=known)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 16}, "only 15 triplets are left beside the 5 excluded, not 16; ask for fewer."),
        (
            {"stimuli": list("fedcba")},
            "the triplets to exclude are about other stimuli; give trials over the same ids.",
        ),
        ({"stimuli": 7}, "the triplets to exclude are about other stimuli; give trials over the same ids."),
        ({"design": "balanced"}, "the balanced design leaves nothing out; exclude triplets from a random design."),
        (
            {"design": "exhaustive", "n": None},
            "the exhaustive design leaves nothing out; exclude triplets from a random design.",
        ),
    ],
)
def test_an_impossible_exclusion_is_refused_with_its_remedy(arguments, message):
    known = sample_triplets(6, 5, seed=0)
    with pytest.raises(InputError) as caught:
        sample_triplets(**{"stimuli": 6, "n": 5, "seed": 0, "exclude": known} | arguments)
    assert str(caught.value) == message


def test_a_stimulus_set_and_numpy_numbers_are_as_good_as_ids_and_plain_ones(assert_same, tmp_path):
    plain = sample_triplets(list("abcdefg"), 10, seed=3, subset=5)
    other = sample_triplets(StimulusSet("abcdefg"), np.int64(10), seed=np.int32(3), subset=np.int64(5))
    assert_same(other, plain)
    assert sample_triplets(np.int64(7), 10.0, seed=3).ids == tuple("0123456")
    write_triplets(tmp_path / "t.parquet", other)
    assert_same(read_triplets(tmp_path / "t.parquet"), plain)


def test_two_million_questions_fit_in_memory_and_are_even():
    m, n = 2185, 2_000_000
    tracemalloc.start()
    questions = sample_triplets(m, n, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400e6  # the answer itself takes 26 MB
    assert len(np.unique(questions.keys())) == n
    counts = np.bincount(questions.triplets.ravel(), minlength=m)
    # A stimulus is in a triplet with probability 3/m: the scaled sum of squares is chi-square with m - 1 freedoms.
    statistic = ((counts - 3 * n / m) ** 2).sum() / (3 * n / m * (1 - 3 / m))
    assert abs(statistic - (m - 1)) < 4 * math.sqrt(2 * (m - 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"design": "latin"}, "'latin' is no triplet design; choose one of random, exhaustive, repeated, balanced"),
        ({"n": None}, "the random design needs the number of triplets; give n"),
        ({"n": 0}, "0 different triplets were asked for, and 6 stimuli make 20; ask for 1 to 20"),
        ({"n": 21}, "21 different triplets were asked for, and 6 stimuli make 20; ask for 1 to 20"),
        ({"n": 21, "design": "repeated"}, "21 different triplets were asked for"),
        ({"design": "exhaustive"}, "the exhaustive design of 6 stimuli has 20 triplets, not 5; leave n out"),
        (
            {"stimuli": 1064, "n": None, "design": "exhaustive"},
            "1,064 stimuli make 200,192,664 triplets, too many to ask all of them; choose a subset",
        ),
        ({"n": 5.5}, "n=5.5 is no whole number; ask for a whole number of triplets"),
        ({"repeats": 2}, "repeats=2 does not fit the random design; use repeats with design repeated"),
        ({"repeats": 0, "design": "repeated"}, "repeats=0 does not fit the repeated design"),
        ({"stimuli": 2}, "2 stimuli make no triplet; give at least three"),
        ({"stimuli": "abca", "n": 1}, "two stimuli of the triplet set share an id; make the ids unique"),
        ({"subset": 2}, "a subset of 2 out of 6 stimuli was asked for; ask for 3 to 6"),
        ({"subset": 7}, "a subset of 7 out of 6 stimuli was asked for; ask for 3 to 6"),
        ({"subset": ["0", "1"]}, "2 stimuli make no triplet; give at least three"),
        ({"subset": ["0", "1", "x", "y"]}, "2 stimuli of the subset are unknown, the first is 'x'; correct the ids"),
        ({"subset": ["0", "1", "2", "2"]}, "the subset names a stimulus twice; name each once"),
    ],
)
def test_an_impossible_design_is_refused_with_its_remedy(arguments, message):
    with pytest.raises(InputError) as caught:
        sample_triplets(**{"stimuli": 6, "n": 5, "seed": 0} | arguments)
    assert str(caught.value).startswith(message)
