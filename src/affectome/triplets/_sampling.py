"""Designs: which triplets are asked, and in which slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.triplets._set import TripletSet, stimulus_ids, triplet_keys

__all__ = ["DESIGNS", "Design", "sample_triplets"]

Design = Literal["random", "exhaustive", "repeated", "balanced"]
DESIGNS: tuple[str, ...] = get_args(Design)


#: An exhaustive design beyond this would not fit the memory of a laptop.
MOST_TRIPLETS = 200_000_000

#: Which column of a row stands in each slot, order by order.
ORDERS: dict[int, list[list[int]]] = {
    1: [[0, 1, 2]],
    3: [[0, 1, 2], [1, 2, 0], [2, 0, 1]],
    6: [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]],
}


def sample_triplets(
    stimuli: int | Sequence[str],
    n: int | None = None,
    *,
    design: Design = "random",
    seed: int,
    repeats: int = 1,
    subset: Sequence[str] | int | None = None,
    exclude: TripletSet | None = None,
    orders: Literal[1, 3, 6] = 1,
    orders_share: float = 1.0,
) -> TripletSet:
    """Draw the questions of a study.

    Parameters
    ----------
    stimuli
        Stimulus ids, or how many there are.
    n
        Number of different triplets (``exhaustive`` needs none: it asks all).
    design
        ``"random"``
            different triplets, uniform over all unordered ones;
        ``"exhaustive"``
            every triplet of the subset once;
        ``"repeated"``
            `n` random triplets, each asked `repeats` times (``block`` counts the repeat), with the
            slots drawn anew each time;
        ``"balanced"``
            different triplets in which every stimulus appears equally often (counts differ by at
            most one, or two where more than a few percent of all triplets are asked) and every
            pair as evenly as a greedy search finds.
    seed
        Everything random is drawn from it. Slots are always shuffled, so that a position never
        carries information about a stimulus.
    repeats
        For the ``repeated`` design.
    subset
        Ids to draw from, or how many to draw at random; by default all stimuli.
    exclude
        Trials over the same stimuli of which no unordered triplet is drawn again, such as those a
        model was trained on (designs ``random`` and ``repeated``).
    orders
        How often a triplet is asked to measure a judge's liking for a slot: 1, once; 3, in all three
        rotations of one of the two cyclic orders, drawn per triplet; 6, in all permutations. Rows are
        shuffled, so that the orders of a triplet are spread over the questions. Not for the ``repeated``
        design, which draws its own slots.
    orders_share
        Share of the `n` triplets, drawn at random and rounded to at least one, that is asked in these
        orders; the others are asked once. ``len`` of the result is then larger than `n`.

    Returns
    -------
    TripletSet
        Without answers. Its metadata hold design, seed and sizes; with `orders` also ``orders``,
        ``orders_share`` and ``n_in_orders``, the number of triplets asked in all of them.

    Examples
    --------
    >>> questions = sample_triplets(["a", "b", "c", "d"], 4, seed=0)
    >>> len(set(questions.keys()))
    4
    """
    ids = stimulus_ids(stimuli)
    if n is not None and n != int(n):
        raise InputError(f"n={n} is no whole number", remedy="ask for a whole number of triplets")
    n, seed, repeats = None if n is None else int(n), int(seed), int(repeats)
    if design not in DESIGNS:
        raise InputError(f"'{design}' is no triplet design", remedy=f"choose one of {', '.join(DESIGNS)}")
    if repeats < 1 or (repeats > 1 and design != "repeated"):
        raise InputError(
            f"repeats={repeats} does not fit the {design} design", remedy="use repeats with design repeated"
        )
    _check_orders(orders, orders_share, design)
    rng = np.random.default_rng(seed)
    pool = _pool(ids, subset, rng)
    total = math.comb(len(pool), 3)
    if design == "exhaustive" and total * (1 + (orders - 1) * orders_share) > MOST_TRIPLETS:
        raise InputError(
            f"{len(pool):,} stimuli make {total:,} triplets, too many to ask all of them", remedy="choose a subset"
        )
    if total == 0:
        raise InputError(f"{len(pool)} stimuli make no triplet", remedy="give at least three")
    if n is None:
        if design != "exhaustive":
            raise InputError(f"the {design} design needs the number of triplets", remedy="give n")
        n = total
    if not 1 <= n <= total:
        raise InputError(
            f"{n:,} different triplets were asked for, and {len(pool):,} stimuli make {total:,}",
            remedy=f"ask for 1 to {total:,}",
        )
    if design == "exhaustive" and n != total:
        raise InputError(
            f"the exhaustive design of {len(pool)} stimuli has {total:,} triplets, not {n:,}", remedy="leave n out"
        )

    if exclude is not None and design in ("exhaustive", "balanced"):
        raise InputError(f"the {design} design leaves nothing out", remedy="exclude triplets from a random design")
    metadata: dict[str, Any] = {"design": design, "seed": seed, "n_different": n}
    if subset is not None:
        metadata["subset"] = [ids[i] for i in np.sort(pool)]
    block = None
    if design == "exhaustive":
        rows = _shuffled(_all_triplets(len(pool)), rng)
    elif design == "balanced":
        rows = _shuffled(_sparse_or_complement(len(pool), n, rng, _balanced), rng)
    else:
        rows = _random_beside(pool, n, rng, ids, exclude)
        if design == "repeated":
            metadata["repeats"] = repeats
            rows = np.concatenate([rng.permutation(rows) for _ in range(repeats)])
            block = np.repeat(np.arange(repeats, dtype=np.int32), n)
        rows = rng.permuted(rows, axis=1)
    if orders != 1:  # drawn last: the different triplets are those of the same seed without orders
        chosen = max(1, round(orders_share * n))
        rows = _in_orders(rows, chosen, orders, rng)
        metadata |= {"orders": int(orders), "orders_share": float(orders_share), "n_in_orders": chosen}
    return TripletSet(pool[rows].astype(np.int32), ids=ids, block=block, metadata=metadata)


def _check_orders(orders: int, share: float, design: str) -> None:
    if orders not in ORDERS:
        raise InputError(f"orders={orders} is no set of orders", remedy="use 1, 3 (rotations) or 6 (all permutations)")
    if not 0 < share <= 1:
        raise InputError(f"orders_share={share} is no share", remedy="give a number above 0 and at most 1")
    if orders == 1 and share != 1:
        raise InputError(f"orders_share={share} has no meaning with one order", remedy="set orders to 3 or 6")
    if orders != 1 and design == "repeated":
        raise InputError(
            "the repeated design draws the slots of every repeat itself",
            remedy="ask for several orders in a random, exhaustive or balanced design",
        )


def _in_orders(rows: NDArray[np.int32], chosen: int, orders: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """All rows, `chosen` of them in every order; the slots of a row are random, and so is its cyclic class."""
    several = np.zeros(len(rows), np.bool_)
    several[rng.choice(len(rows), chosen, replace=False)] = True
    asked = rows[several][:, ORDERS[orders]].reshape(-1, 3)
    return rng.permutation(np.concatenate([rows[~several], asked]))


def _pool(ids: tuple[str, ...], subset: Sequence[str] | int | None, rng: np.random.Generator) -> NDArray[np.int32]:
    if subset is None:
        return np.arange(len(ids), dtype=np.int32)
    if isinstance(subset, (int, np.integer)):
        if not 3 <= subset <= len(ids):
            raise InputError(
                f"a subset of {subset} out of {len(ids)} stimuli was asked for", remedy=f"ask for 3 to {len(ids)}"
            )
        return np.sort(rng.choice(len(ids), int(subset), replace=False)).astype(np.int32)
    where = {name: k for k, name in enumerate(ids)}
    missing = [str(i) for i in subset if str(i) not in where]
    if missing:
        raise InputError(
            f"{len(missing)} stimuli of the subset are unknown, the first is '{missing[0]}'", remedy="correct the ids"
        )
    if len(set(subset)) != len(subset):
        raise InputError("the subset names a stimulus twice", remedy="name each once")
    return np.array([where[str(i)] for i in subset], dtype=np.int32)


def _shuffled(rows: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    return rng.permuted(rng.permutation(rows), axis=1)


def _all_triplets(m: int) -> NDArray[np.int32]:
    """All (m choose 3) index triplets in lexicographic order."""
    pairs = np.column_stack(np.triu_indices(m, 1)).astype(np.int32)
    later = m - 1 - pairs[:, 1]
    rows = np.repeat(pairs, later, axis=0)
    start = np.cumsum(later) - later
    third = np.arange(len(rows)) - np.repeat(start, later) + rows[:, 1] + 1
    return np.column_stack([rows, third]).astype(np.int32)


def _sparse_or_complement(
    m: int, n: int, rng: np.random.Generator, draw: Callable[[int, int, np.random.Generator], NDArray[np.int32]]
) -> NDArray[np.int32]:
    """Draw `n` triplets, or, past half of all, draw the ones to leave out.

    The complement of a uniform set is uniform, and the complement of a balanced one is balanced,
    since all triplets together are perfectly so.
    """
    total = math.comb(m, 3)
    if 2 * n <= total:
        return draw(m, n, rng)
    everything = _all_triplets(m)
    if n < total:
        left_out = triplet_keys(draw(m, total - n, rng), m)
        everything = everything[~np.isin(triplet_keys(everything, m), left_out)]
    return rng.permutation(everything)


def _random_beside(
    pool: NDArray[np.int32], n: int, rng: np.random.Generator, ids: tuple[str, ...], exclude: TripletSet | None
) -> NDArray[np.int32]:
    """`n` different random triplets of the pool, none of them in `exclude`."""
    if exclude is None:
        return _sparse_or_complement(len(pool), n, rng, _random)
    if exclude.ids != ids:
        raise InputError("the triplets to exclude are about other stimuli", remedy="give trials over the same ids")
    taken = np.unique(exclude.keys())
    total = math.comb(len(pool), 3)

    def beside(rows: NDArray[np.int32]) -> NDArray[np.int32]:
        return rows[~np.isin(triplet_keys(pool[rows], len(ids)), taken)]

    drawn = min(total, n + len(taken))  # in the worst case every excluded triplet is drawn again
    rows = beside(_sparse_or_complement(len(pool), min(total, n + n // 4 + 64), rng, _random))
    if len(rows) < n:
        rows = beside(_sparse_or_complement(len(pool), drawn, rng, _random))
    if len(rows) < n:
        raise InputError(
            f"only {len(rows):,} triplets are left beside the {len(taken):,} excluded, not {n:,}",
            remedy="ask for fewer",
        )
    return rng.permutation(rows)[:n]


def _random(m: int, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """`n` different triplets, uniform over unordered ones: draw rows, reject repeats, top up."""
    rows = np.empty((0, 3), np.int32)
    while len(rows) < n:
        missing = n - len(rows)
        drawn = rng.integers(0, m, (missing + missing // 8 + 64, 3), dtype=np.int32)
        a, b, c = drawn.T
        drawn = drawn[(a != b) & (a != c) & (b != c)]
        rows = np.concatenate([rows, drawn])
        _, first = np.unique(triplet_keys(rows, m), return_index=True)
        rows = rows[np.sort(first)][:n]
    return rows


def _balanced(m: int, n: int, rng: np.random.Generator) -> NDArray[np.int32]:
    from affectome.triplets._balance import MOST_STIMULI, fill_balanced

    if m > MOST_STIMULI:
        raise InputError(
            f"the balanced design counts every pair and takes up to {MOST_STIMULI:,} stimuli, not {m:,}",
            remedy="use the random design",
        )
    rows: NDArray[np.int32] = fill_balanced(m, n, rng)
    return rows
