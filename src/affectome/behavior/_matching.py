"""Answers of several sets brought together by what was asked, whatever the rows, slots and order of ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.triplets import TripletSet, triplet_keys

__all__ = ["Sorted", "answer_counts", "sort_answers"]


@dataclass(frozen=True, eq=False)
class Sorted:
    """Answered trials sorted by triplet: the three stimuli of a trial have places 0, 1, 2 that no slot decides.

    Attributes
    ----------
    key : int64 array of shape (n_answered,)
        Ascending; the same for the same three stimuli, in every set sorted by the same ids.
    places : int8 array of shape (n_answered, 3)
        Place of the stimulus shown in each slot.
    odd : int8 array of shape (n_answered,)
        Place of the one called odd.
    rows : int array of shape (n_answered,)
        Row of the trial in its set.
    """

    key: NDArray[np.int64]
    places: NDArray[np.int8]
    odd: NDArray[np.int8]
    rows: NDArray[np.intp]

    def triplets(self) -> NDArray[np.int64]:
        """The different keys, sorted."""
        return self.key[np.diff(self.key, prepend=-1) > 0]

    def within(self, keys: NDArray[np.int64]) -> tuple[Sorted, NDArray[np.intp]]:
        """The trials about some triplets (sorted keys), and where in `keys` each one's triplet stands."""
        at = np.minimum(np.searchsorted(keys, self.key), len(keys) - 1)
        kept = keys[at] == self.key
        return Sorted(self.key[kept], self.places[kept], self.odd[kept], self.rows[kept]), at[kept]


def sort_answers(trials: TripletSet, ids: Sequence[str]) -> Sorted:
    """Sort the answered trials by triplet; `ids` hold every id of the set."""
    rows = np.flatnonzero(trials.answered)
    number = pd.Index(list(ids), dtype=object).get_indexer(pd.Index(list(trials.ids), dtype=object))
    # Arrays of three columns lie column by column in memory, which makes sums over the three several times faster.
    shown = number[trials.triplets[rows].T].T
    key = triplet_keys(shown, len(ids))
    order = np.argsort(key)  # neighbours in memory ask for neighbours: searches and gathers stay in the cache
    rows, key, (a, b, c) = rows[order], key[order], shown[order].T
    places = np.stack(
        [(a > b).view(np.int8) + (a > c), (b > a).view(np.int8) + (b > c), (c > a).view(np.int8) + (c > b)]
    )
    odd = places[trials.choice[rows], np.arange(len(rows))]
    return Sorted(key, places.T, odd, rows)


def answer_counts(at: NDArray[np.intp], odd: NDArray[np.int8], n_triplets: int) -> NDArray[np.int64]:
    """How often each place of each triplet was called odd; shape (n_triplets, 3)."""
    return np.bincount(at + n_triplets * odd.astype(np.int64), minlength=3 * n_triplets).reshape(3, n_triplets).T
