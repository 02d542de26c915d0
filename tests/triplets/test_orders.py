"""Triplets asked in several orders: which, how often, and spread over the questions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from affectome.errors import InputError
from affectome.triplets import read_triplets, sample_triplets, write_triplets


def orders_by_triplet(questions):
    """The set of orders each unordered triplet is asked in, each order as the ranks of its three stimuli."""
    ranks = questions.triplets.argsort(axis=1).argsort(axis=1)
    asked = {}
    for key, order in zip(questions.keys().tolist(), map(tuple, ranks.tolist()), strict=True):
        asked.setdefault(key, []).append(order)
    return asked


ROTATIONS = [{(0, 1, 2), (1, 2, 0), (2, 0, 1)}, {(0, 2, 1), (2, 1, 0), (1, 0, 2)}]


@settings(deadline=None, max_examples=40)
@given(
    orders=st.sampled_from([3, 6]),
    share=st.floats(0.001, 1),
    seed=st.integers(0, 99),
    design=st.sampled_from(["random", "balanced", "exhaustive"]),
)
def test_the_stated_share_is_asked_once_in_every_order_and_the_rest_once(orders, share, seed, design):
    n = 84 if design == "exhaustive" else 40
    questions = sample_triplets(9, None if n == 84 else n, design=design, seed=seed, orders=orders, orders_share=share)
    asked = orders_by_triplet(questions)
    often = [set(seen) for seen in asked.values() if len(seen) > 1]
    assert len(asked) == n and len(often) == max(1, round(share * n))
    assert len(questions) == n + len(often) * (orders - 1)
    expected = [ROTATIONS[0] | ROTATIONS[1]] if orders == 6 else ROTATIONS
    assert all(seen in expected for seen in often)
    assert all(len(seen) in (1, orders) for seen in asked.values())


@pytest.mark.parametrize("design", ["random", "balanced", "exhaustive"])
def test_orders_change_nothing_about_which_triplets_are_asked(design):
    n = None if design == "exhaustive" else 50
    plain = sample_triplets(12, n, design=design, seed=4)
    several = sample_triplets(12, n, design=design, seed=4, orders=6, orders_share=0.2)
    assert set(plain.keys()) == set(several.keys())
    assert several.metadata == plain.metadata | {"orders": 6, "orders_share": 0.2, "n_in_orders": len(plain) // 5}


def test_both_cyclic_classes_are_drawn_alike():
    asked = orders_by_triplet(sample_triplets(40, 4000, seed=0, orders=3))
    even = sum(set(seen) == ROTATIONS[0] for seen in asked.values())
    assert binomtest(even, 4000, 0.5).pvalue > 1e-3


def test_which_triplets_get_the_orders_is_uniform():
    chosen = []
    for seed in range(3000):
        keys, counts = np.unique(
            sample_triplets(5, design="exhaustive", seed=seed, orders=6, orders_share=0.1).keys(), return_counts=True
        )
        chosen.append(keys[counts == 6][0])
    counts = np.unique(chosen, return_counts=True)[1]
    assert len(counts) == 10 and chisquare(counts).pvalue > 1e-3


def test_the_orders_of_a_triplet_are_spread_over_the_questions():
    keys = sample_triplets(60, 5000, seed=2, orders=6).keys()
    places = np.argsort(keys, kind="stable").reshape(5000, 6)  # where each triplet stands
    # The gap between the first and last of six uniform places is 5/7 of the whole, with variance 10/392.
    spread = (places.max(axis=1) - places.min(axis=1)) / len(keys)
    assert abs(spread.mean() - 5 / 7) < 4 * np.sqrt(10 / 392 / 5000)
    assert (keys[1:] == keys[:-1]).sum() < 20  # 5 in expectation


def test_a_share_below_one_triplet_is_rounded_up_to_one():
    questions = sample_triplets(9, 20, seed=0, orders=3, orders_share=1e-6)
    assert len(questions) == 22 and questions.metadata["n_in_orders"] == 1


def test_held_out_questions_in_all_orders_avoid_the_excluded(tmp_path, assert_same):
    train = sample_triplets(9, 40, seed=0)
    asked = sample_triplets(9, 20, seed=1, exclude=train, orders=6)
    assert not set(asked.keys()) & set(train.keys()) and len(asked) == 120
    write_triplets(tmp_path / "q.parquet", asked)
    assert_same(read_triplets(tmp_path / "q.parquet"), asked)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"orders": 2}, "orders=2 is no set of orders; use 1, 3 (rotations) or 6 (all permutations)."),
        ({"orders": 6, "orders_share": 0.0}, "orders_share=0.0 is no share; give a number above 0 and at most 1."),
        ({"orders": 6, "orders_share": 1.1}, "orders_share=1.1 is no share"),
        ({"orders": 6, "orders_share": float("nan")}, "orders_share=nan is no share"),
        ({"orders_share": 0.5}, "orders_share=0.5 has no meaning with one order; set orders to 3 or 6."),
        (
            {"orders": 3, "design": "repeated"},
            "the repeated design draws the slots of every repeat itself; ask for several orders in a random",
        ),
        (
            {"stimuli": 600, "n": None, "design": "exhaustive", "orders": 6},
            "600 stimuli make 35,820,200 triplets, too many to ask all of them; choose a subset.",
        ),
    ],
)
def test_an_impossible_order_is_refused_with_its_remedy(arguments, message):
    with pytest.raises(InputError) as caught:
        sample_triplets(**{"stimuli": 9, "n": 20, "seed": 0} | arguments)
    assert str(caught.value).startswith(message)
