"""Splits in which no unordered triplet is on two sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affectome.errors import InputError
from affectome.triplets._set import TripletSet

__all__ = ["split_triplets"]


def split_triplets(trials: TripletSet, sizes: Sequence[int | float], *, seed: int) -> tuple[TripletSet, ...]:
    """Divide trials at random so that repeats of an unordered triplet stay together.

    Parameters
    ----------
    trials
        Any trials; where every triplet is asked once, each is its own group.
    sizes
        How many different triplets each part takes: whole numbers, or shares of all that sum to at
        most 1. Whole numbers may sum to less than all; the rest is left out.
    seed
        The assignment is drawn from it.

    Returns
    -------
    tuple of TripletSet
        One per size, in the order of the trials.

    Examples
    --------
    >>> trials = TripletSet([[0, 1, 2], [2, 1, 0], [1, 2, 3]], ids=list("abcd"))
    >>> [len(part) for part in split_triplets(trials, [1, 1], seed=0)] in ([2, 1], [1, 2])
    True
    """
    _, group = np.unique(trials.keys(), return_inverse=True)
    n_groups = int(group.max()) + 1 if len(group) else 0
    whole = all(isinstance(size, (int, np.integer)) for size in sizes)
    wanted = np.array(sizes, dtype=np.float64) if whole else np.floor(np.array(sizes) * n_groups + 1e-9)
    counts = [int(count) if np.isfinite(count) else 0 for count in wanted]
    if not counts or any(count < 1 for count in counts) or sum(counts) > n_groups:
        raise InputError(
            f"parts of {', '.join(str(size) for size in sizes)} do not fit {n_groups:,} different triplets",
            remedy="give positive sizes that sum to no more",
        )
    part_of = np.full(n_groups, -1, np.int32)
    order = np.random.default_rng(seed).permutation(n_groups)
    start = 0
    for part, count in enumerate(counts):
        part_of[order[start : start + count]] = part
        start += count
    return tuple(trials[np.flatnonzero(part_of[group] == part)] for part in range(len(counts)))
