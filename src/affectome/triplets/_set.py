"""A set of odd-one-out trials, in the order they were shown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError

__all__ = ["UNANSWERED", "TripletSet", "check_indices", "check_probabilities", "triplet_keys"]

#: The choice of a trial that nobody answered.
UNANSWERED = -1
_CHUNK = 500_000  # rows put in order at once: bounds the memory of what is thrown away


@dataclass(frozen=True, eq=False, init=False)
class TripletSet:
    """Odd-one-out trials over named stimuli.

    Parameters
    ----------
    triplets : array of int, shape (n_trials, 3)
        Indices into `ids`, in the order shown (slots 0, 1, 2).
    ids : sequence of str
        All stimuli the indices refer to; some may be in no trial.
    choice : array of int, shape (n_trials,), optional
        Slot of the odd one, or -1 where unanswered (the default for every trial).
    probabilities : array of float, shape (n_trials, 3), optional
        Probability that each slot is the odd one; rows sum to 1.
    block : array of int, shape (n_trials,), optional
        Which repeat, session or list a trial belongs to.
    metadata : mapping, optional
        How the trials came about (design, seed, judge, ...); JSON values only.

    Notes
    -----
    It indexes like an array of trials (``trials[:100]``, ``trials[mask]``), and scikit-learn's
    splitters and searches take it as `X`. Cross-validate with ``GroupKFold`` and
    ``groups=trials.keys()`` where triplets repeat, so that no unordered triplet is on both sides.

    Examples
    --------
    >>> trials = TripletSet([[0, 1, 2], [2, 1, 3]], ids=["a", "b", "c", "d"], choice=[2, 0])
    >>> trials.odd_last().tolist()
    [[0, 1, 2], [1, 3, 2]]
    """

    triplets: NDArray[np.int32]
    ids: tuple[str, ...]
    choice: NDArray[np.int8]
    probabilities: NDArray[np.float32] | None
    block: NDArray[np.int32] | None
    metadata: Mapping[str, Any]

    def __init__(
        self,
        triplets: ArrayLike,
        ids: Sequence[str],
        choice: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        block: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        names = tuple(str(i) for i in ids)
        if len(set(names)) != len(names):
            raise InputError("two stimuli of the triplet set share an id", remedy="make the ids unique")
        shown = check_indices(triplets, len(names))
        n = len(shown)
        blocks = None if block is None else np.array(block, dtype=np.int32, order="C")
        if blocks is not None and blocks.shape != (n,):
            raise InputError(f"block has shape {blocks.shape} for {n} trials", remedy="give one block per trial")
        put = object.__setattr__
        put(self, "triplets", shown)
        put(self, "ids", names)
        put(self, "choice", np.full(n, UNANSWERED, np.int8) if choice is None else check_choice(choice, n))
        put(self, "probabilities", None if probabilities is None else check_probabilities(probabilities, n))
        put(self, "block", blocks)
        put(self, "metadata", dict(metadata or {}))

    @property
    def n_stimuli(self) -> int:
        """Number of stimuli the trials may refer to."""
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_trials, 3)``, as an array of the triplets would have."""
        return len(self.triplets), 3

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which trials have a choice."""
        return np.not_equal(self.choice, UNANSWERED)

    def __len__(self) -> int:
        return len(self.triplets)

    def __iter__(self) -> Iterator[TripletSet]:
        raise TypeError("a TripletSet is not iterated trial by trial; use its arrays triplets and choice")

    def __getitem__(self, key: Any) -> TripletSet:
        if isinstance(key, tuple):  # scikit-learn asks for X[rows, ...]
            rows, *rest = key
            if len(rest) > 1 or (rest and rest[0] is not Ellipsis):
                raise IndexError("a TripletSet is indexed by trial only")
            key = rows
        if isinstance(key, (int, np.integer)):
            key = [key]
        return TripletSet(
            self.triplets[key],
            self.ids,
            choice=self.choice[key],
            probabilities=None if self.probabilities is None else self.probabilities[key],
            block=None if self.block is None else self.block[key],
            metadata=self.metadata,
        )

    def __repr__(self) -> str:
        soft = ", with probabilities" if self.probabilities is not None else ""
        answered = int(self.answered.sum())
        return f"TripletSet({len(self):,} trials of {self.n_stimuli:,} stimuli, {answered:,} answered{soft})"

    def keys(self) -> NDArray[np.int64]:
        """One number per trial that is the same for the same three stimuli in any order."""
        return triplet_keys(self.triplets, self.n_stimuli)

    def used_ids(self) -> list[str]:
        """Ids of the stimuli that are in some trial, in the order of `ids`."""
        counts = np.bincount(self.triplets.ravel(), minlength=self.n_stimuli)
        return [self.ids[k] for k in np.flatnonzero(counts)]

    def odd_last(self) -> NDArray[np.int32]:
        """The answered trials with the odd one last, the form other SPoSE programs use; shape (n_answered, 3)."""
        return odd_last(self.triplets, self.choice)

    def with_answers(
        self,
        choice: ArrayLike,
        probabilities: ArrayLike | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> TripletSet:
        """The same questions with these answers; `metadata` is added to what is known."""
        known = {**self.metadata, **(metadata or {})}
        return TripletSet(self.triplets, self.ids, choice, probabilities, self.block, known)


def odd_last(triplets: NDArray[np.int32], choice: NDArray[np.int8]) -> NDArray[np.int32]:
    """The answered rows with the chosen stimulus last and the others in the order shown."""
    rows = np.flatnonzero(choice != UNANSWERED)
    found = np.empty((len(rows), 3), np.int32)
    order = np.array([[1, 2, 0], [0, 2, 1], [0, 1, 2]])
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        found[start : start + _CHUNK] = np.take_along_axis(triplets[part], order[choice[part]], axis=1)
    return found


def triplet_keys(triplets: NDArray[np.integer], n_stimuli: int) -> NDArray[np.int64]:
    """One int64 per row, equal for the same three indices in any order."""
    low = triplets.min(axis=1).astype(np.int64)
    high = triplets.max(axis=1).astype(np.int64)
    middle = triplets.sum(axis=1, dtype=np.int64) - low - high
    keys: NDArray[np.int64] = (low * n_stimuli + middle) * n_stimuli + high
    return keys


def check_indices(
    triplets: ArrayLike, n_stimuli: int | None, *, source: str | os.PathLike[str] | None = None
) -> NDArray[np.int32]:
    """Triplets as C-contiguous int32, every row three different indices of 0..n_stimuli-1."""
    array = np.asarray(triplets)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(
            f"the triplets have shape {array.shape}", source=source, remedy="give an array of shape (n, 3)"
        )
    if array.shape[0] == 0:
        return np.empty((0, 3), np.int32)
    if array.dtype.kind not in "iuf":
        raise InputError("the triplets are not numbers", source=source, remedy="give stimulus indices")
    broken = np.empty(0, np.intp)
    if array.dtype.kind == "f":
        broken = np.flatnonzero((~np.isfinite(array) | (array != np.round(array))).any(axis=1))
    if len(broken):
        raise InputError(
            "a stimulus index is no whole number",
            source=source,
            where=f"row {broken[0] + 1}",
            remedy="give three stimulus indices",
        )
    limit = np.iinfo(np.int32).max if n_stimuli is None else n_stimuli
    if array.min() < 0 or array.max() >= limit:
        wrong = np.flatnonzero(((array < 0) | (array >= limit)).any(axis=1))
        row = array[wrong[0]]
        bad = int(row[(row < 0) | (row >= limit)][0])
        known = f"there are {n_stimuli} stimuli, counted from 0" if n_stimuli is not None else "indices start at 0"
        raise InputError(
            f"the stimulus index {bad} is out of range",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy=f"{known}; correct the row or name the right stimuli",
        )
    same = np.flatnonzero((array[:, 0] == array[:, 1]) | (array[:, 0] == array[:, 2]) | (array[:, 1] == array[:, 2]))
    if len(same):
        shown = " ".join(str(int(i)) for i in array[same[0]])
        raise InputError(
            f"a stimulus appears twice in the triplet {shown}",
            source=source,
            where=f"row {same[0] + 1}",
            remedy="show three different stimuli",
        )
    return np.array(array, dtype=np.int32, order="C")  # a copy: the set must not change with the caller's array


def check_choice(choice: ArrayLike, n: int, *, source: str | os.PathLike[str] | None = None) -> NDArray[np.int8]:
    """Choices as int8, one per trial, each -1, 0, 1 or 2."""
    array = np.asarray(choice)
    if array.shape != (n,):
        raise InputError(
            f"the choices have shape {array.shape} for {n} trials", source=source, remedy="give one per trial"
        )
    wrong = np.flatnonzero(~np.isin(array, (UNANSWERED, 0, 1, 2)))
    if len(wrong):
        raise InputError(
            f"the choice {array[wrong[0]]} is no slot",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy="use 0, 1 or 2 for the slot of the odd one, or -1 for unanswered",
        )
    return np.array(array, dtype=np.int8, order="C")


def check_probabilities(
    probabilities: ArrayLike, n: int, *, source: str | os.PathLike[str] | None = None
) -> NDArray[np.float32]:
    """Probabilities as float32 (n, 3); rows are at least 0 and sum to 1 (unanswered rows may be NaN)."""
    array = np.array(probabilities, dtype=np.float32, order="C")
    if array.shape != (n, 3):
        raise InputError(
            f"the probabilities have shape {array.shape} for {n} trials", source=source, remedy="give three per trial"
        )
    known = ~np.isnan(array).all(axis=1)
    wrong = np.flatnonzero(known & ~((array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) < 1e-3)))
    if len(wrong):
        raise InputError(
            f"the probabilities {array[wrong[0]].tolist()} do not sum to 1",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy="divide each row by its sum",
        )
    return array


def stimulus_ids(stimuli: int | Sequence[str]) -> tuple[str, ...]:
    """Ids as given, or ``"0", "1", ...`` for a number of stimuli."""
    stimuli = getattr(stimuli, "ids", stimuli)  # a StimulusSet says its ids
    if isinstance(stimuli, (int, np.integer)):
        return tuple(str(i) for i in range(int(stimuli)))
    return tuple(str(i) for i in stimuli)
