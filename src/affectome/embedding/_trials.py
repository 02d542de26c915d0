"""One gate for everything a fit can be given: trial sets, index arrays, choices, probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.embedding._kernels import LANES
from affectome.errors import InputError
from affectome.triplets import UNANSWERED, TripletSet, check_choice, check_indices, check_probabilities, odd_last

__all__ = ["Trials", "as_trials", "kernel_rows"]


@dataclass(frozen=True, eq=False)
class Trials:
    """Answered trials in the form the kernels take.

    Attributes
    ----------
    triplets : int32 (n, 3), C-contiguous
        Odd one last where `targets` is empty, else as shown.
    targets : float32 (n, 3) or (0, 3)
        Probability that each slot is odd; empty for plain choices.
    n_stimuli : int
    n_dropped : int
        Unanswered trials left out.
    """

    triplets: NDArray[np.int32]
    targets: NDArray[np.float32]
    n_stimuli: int
    n_dropped: int

    def at(self, rows: NDArray[np.intp]) -> Trials:
        """These trials, in this order."""
        targets = self.targets[rows] if len(self.targets) else self.targets
        return replace(self, triplets=self.triplets[rows], targets=targets)

    def used(self) -> NDArray[np.bool_]:
        """Whether any trial holds a stimulus, (n_stimuli,)."""
        found = np.zeros(self.n_stimuli, np.bool_)
        for column in self.triplets.T:
            found[column] = True
        return found


def as_trials(
    X: TripletSet | ArrayLike, y: ArrayLike | None = None, *, n_stimuli: int | None = None, in_slots: bool = False
) -> Trials:
    """Check X and y and drop what is unanswered.

    Parameters
    ----------
    X
        A TripletSet, or int (n, 3) stimulus indices in the order shown; without y, odd one last.
    y
        Slot of the odd one, (n,), -1 where unanswered; or probabilities, (n, 3), NaN where unanswered.
        A TripletSet is learned from its choices, also where it carries probabilities; give those as y to
        learn from them instead.
    n_stimuli
        By default the ids of the TripletSet, or the highest index plus one.
    in_slots
        Keep every trial in the order shown, choices as targets of one and zero; an odd-last array or set is refused.
    """
    if n_stimuli is not None and (not isinstance(n_stimuli, Integral) or isinstance(n_stimuli, bool)):
        raise InputError(f"n_stimuli={n_stimuli!r} is no whole number", remedy="give the number of stimuli")
    if in_slots:
        _refuse_odd_last(X, y)
    if isinstance(X, TripletSet):
        shown, n_known = X.triplets, X.n_stimuli
        answers: NDArray[Any] = X.choice if y is None else np.asarray(y)
        if n_stimuli is not None and n_stimuli != n_known:
            raise InputError(f"n_stimuli={n_stimuli}, and the triplet set has {n_known}", remedy="leave n_stimuli out")
    else:
        shown = check_indices(X, n_stimuli)
        n_known = (int(shown.max()) + 1 if len(shown) else 1) if n_stimuli is None else int(n_stimuli)
        answers = np.full(len(shown), 2, np.int8) if y is None else np.asarray(y)
    n = len(shown)
    if answers.shape == (n, 3):
        probabilities = check_probabilities(answers, n)
        rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
        triplets, targets = shown[rows], probabilities[rows]
    elif answers.shape == (n,):
        choice = check_choice(answers, n)
        if y is None and not isinstance(X, TripletSet):  # odd last as it is
            triplets, targets = shown, np.empty((0, 3), np.float32)
        elif in_slots:
            rows = np.flatnonzero(choice != UNANSWERED)
            triplets, targets = shown[rows], np.eye(3, dtype=np.float32)[choice[rows]]
        else:
            triplets, targets = odd_last(shown, choice), np.empty((0, 3), np.float32)
    else:
        raise InputError(
            f"y has shape {answers.shape} for {n} triplets", remedy="give one slot, or three probabilities, per triplet"
        )
    return Trials(np.ascontiguousarray(triplets), np.ascontiguousarray(targets), n_known, n - len(triplets))


def _refuse_odd_last(X: TripletSet | ArrayLike, y: ArrayLike | None) -> None:
    unknown = X.metadata.get("order_shown") == "unknown" if isinstance(X, TripletSet) else y is None
    if unknown:
        raise InputError(
            "slot offsets need the order in which each triplet was shown, and odd-last triplets do not keep it",
            remedy="give the triplets in the order shown with the slot of the odd one, or leave slot_offsets out",
        )


def kernel_rows(weights: ArrayLike) -> NDArray[np.float32]:
    """A C-contiguous float32 copy, columns padded with zeros to whole vector lanes; zeros change no dot product."""
    array = np.asarray(weights, dtype=np.float32)
    padded = np.zeros((array.shape[0], max(LANES, -(-array.shape[1] // LANES) * LANES)), np.float32)
    padded[:, : array.shape[1]] = array
    return padded


def answered_slots(trials: Trials) -> NDArray[np.float32]:
    """Weight of each slot as the answer, (n, 3): one for the choice, or the probabilities."""
    if len(trials.targets):
        return trials.targets
    slots = np.zeros((len(trials.triplets), 3), np.float32)
    slots[:, 2] = 1.0
    return slots
