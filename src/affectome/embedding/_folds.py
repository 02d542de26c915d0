"""Folds of trials for cross-validation: over triplets, or over stimuli that are placed from half of their trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Fold", "FoldPlan", "Over", "plan_folds"]

Over = Literal["triplets", "stimuli"]


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold.

    Attributes
    ----------
    train : TripletSet
        What the embedding learns from. Over stimuli it knows the training stimuli alone, numbered anew, so that
        neither the mean nor the sparsity term of the objective counts the others.
    stimuli : int array
        Which stimuli of the whole set those of `train` are.
    place : TripletSet or None
        Over stimuli: trials of one held-out and two training stimuli, from which the held-out one is placed.
    test : TripletSet
        What is predicted.
    """

    train: TripletSet
    stimuli: NDArray[np.intp]
    place: TripletSet | None
    test: TripletSet


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Who is held out when.

    Attributes
    ----------
    trials : TripletSet
        Answered trials.
    over : "triplets" or "stimuli"
    n_folds : int
    label : int array
        Fold, from 0, of every trial, or of every stimulus (-1 where it is in no trial).
    seed : int
        Halves the trials of held-out stimuli.
    """

    trials: TripletSet
    over: Over
    n_folds: int
    label: NDArray[np.int32]
    seed: int

    def fold(self, number: int) -> Fold:
        """Fold `number`, from 0."""
        if self.over == "triplets":
            held = self.label == number
            everyone = np.arange(self.trials.n_stimuli)
            return Fold(self.trials[np.flatnonzero(~held)], everyone, None, self.trials[np.flatnonzero(held)])
        held = self.label[self.trials.triplets] == number  # (n_trials, 3)
        count = held.sum(axis=1)
        stimuli = np.flatnonzero((self.label >= 0) & (self.label != number))
        alone = np.flatnonzero(count == 1)
        owner = self.trials.triplets[alone][held[alone]]
        tested = self._tested_half(alone, owner, number)
        train = _renumbered(self.trials[np.flatnonzero(count == 0)], stimuli)
        return Fold(train, stimuli, self.trials[alone[~tested]], self.trials[alone[tested]])

    def _tested_half(self, rows: NDArray[np.intp], owner: NDArray[np.int32], number: int) -> NDArray[np.bool_]:
        """Every second of a stimulus's unordered triplets, in random order; of an odd number the larger part places."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(number,)))
        _, first, unit = np.unique(self.trials.keys()[rows], return_index=True, return_inverse=True)
        shuffled = rng.permutation(len(first))
        by_owner = shuffled[np.argsort(owner[first][shuffled], kind="stable")]
        _, start, count = np.unique(owner[first][by_owner], return_index=True, return_counts=True)
        tested = np.empty(len(first), np.bool_)
        tested[by_owner] = (np.arange(len(first)) - np.repeat(start, count)) % 2 == 1
        half: NDArray[np.bool_] = tested[unit]
        return half


def plan_folds(trials: TripletSet, over: Over, n_folds: int, seed: int) -> FoldPlan:
    """Deal triplets, or stimuli, into folds of equal size; repeats of an unordered triplet stay on one side."""
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    if over == "triplets":
        _, group = np.unique(trials.keys(), return_inverse=True)
        n_groups = int(group.max()) + 1 if len(group) else 0
        _check_number(n_folds, n_groups, "different triplets")
        label = (rng.permutation(n_groups) % n_folds)[group].astype(np.int32)
        return FoldPlan(trials, over, n_folds, label, seed)
    used = np.unique(trials.triplets)
    _check_number(n_folds, len(used), "stimuli")
    label = np.full(trials.n_stimuli, -1, np.int32)
    label[used] = rng.permutation(len(used)) % n_folds
    plan = FoldPlan(trials, over, n_folds, label, seed)
    for number in range(n_folds):
        fold = plan.fold(number)
        if len(fold.train) == 0 or len(fold.test) == 0:
            raise InputError(
                f"fold {number + 1} of {n_folds} over stimuli has {len(fold.train):,} trials to learn from and "
                f"{len(fold.test):,} to predict",
                remedy="give more trials, or make folds over triplets",
            )
    return plan


def _check_number(n_folds: int, n_units: int, units: str) -> None:
    if not 2 <= n_folds <= n_units:
        raise InputError(
            f"{n_units:,} {units} cannot be dealt into {n_folds} folds",
            remedy="make at least two folds, and no more than there are",
        )


def _renumbered(trials: TripletSet, stimuli: NDArray[np.intp]) -> TripletSet:
    """The same trials about these stimuli alone."""
    number = np.full(trials.n_stimuli, -1, np.int32)
    number[stimuli] = np.arange(len(stimuli), dtype=np.int32)
    return TripletSet(
        number[trials.triplets],
        [trials.ids[k] for k in stimuli],
        choice=trials.choice,
        probabilities=trials.probabilities,
        block=trials.block,
        metadata=trials.metadata,
    )
