"""The order of asking: a permutation, the same everywhere, cut into shards without overlap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectome.collection import DISPATCHES, dispatch_order, read_shard
from affectome.errors import InputError


@pytest.fixture(scope="module")
def triplets():
    rng = np.random.default_rng(0)
    return np.array([rng.choice(30, 3, replace=False) for _ in range(500)], np.int32)


@given(st.sampled_from(DISPATCHES), st.integers(1, 12))
def test_shards_are_a_partition_of_all_questions(triplets, dispatch, parts):
    shards = [dispatch_order(triplets, dispatch, (k + 1, parts)) for k in range(parts)]
    assert sorted(np.concatenate(shards)) == list(range(500))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1
    np.testing.assert_array_equal(np.concatenate(shards), dispatch_order(triplets, dispatch))


def test_prefix_order_puts_questions_that_begin_alike_together(triplets):
    asked = triplets[dispatch_order(triplets, "prefix")]
    assert (np.diff(asked[:, 0]) >= 0).all()

    def shared(rows):
        return (rows[1:, :2] == rows[:-1, :2]).all(axis=1).sum()

    assert shared(asked) == 500 - len(np.unique(triplets[:, :2], axis=0))  # every reuse that is possible
    assert shared(asked) > 10 * shared(triplets[dispatch_order(triplets, "random")]) + 10


def test_given_order_is_the_questions_own_and_random_is_neither(triplets):
    assert dispatch_order(triplets, "given").tolist() == list(range(500))
    random = dispatch_order(triplets, "random")
    np.testing.assert_array_equal(random, dispatch_order(triplets, "random"))
    assert abs(np.corrcoef(random, np.arange(500))[0, 1]) < 0.15


def test_shards_are_written_k_of_n():
    assert read_shard("3/16") == (3, 16) and read_shard(" 1 / 1 ") == (1, 1)
    for text in ("0/4", "5/4", "3", "a/b", "1/0", "-1/4", ""):
        with pytest.raises(InputError, match="is not k/n"):
            read_shard(text)


def test_unknown_orders_are_refused(triplets):
    with pytest.raises(InputError, match="dispatch='fast' is unknown"):
        dispatch_order(triplets, "fast")
    with pytest.raises(InputError, match="there is no shard 5 of 4"):
        dispatch_order(triplets, "given", (5, 4))
