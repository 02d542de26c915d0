"""One gate for everything a fit can be given: trial sets, index arrays, choices, probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["Trials", "as_trials", "kernel_rows"]

_LANES = 8  # float32 lanes that rows are padded to, so that inner loops have no remainder


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


def as_trials(X: TripletSet | ArrayLike, y: ArrayLike | None = None, *, n_stimuli: int | None = None) -> Trials:
    """Check X and y and drop what is unanswered.

    Parameters
    ----------
    X
        A TripletSet, or int (n, 3) stimulus indices in the order shown; without y, odd one last.
    y
        Slot of the odd one, (n,), -1 where unanswered; or probabilities, (n, 3), NaN where unanswered.
        With a TripletSet it overrides the choices of the set.
    n_stimuli
        By default the ids of the TripletSet, or the highest index plus one.
    """
    if isinstance(X, TripletSet):
        shown, n_known, answers = X.triplets, X.n_stimuli, X.choice if y is None else np.asarray(y)
        if n_stimuli is not None and n_stimuli != n_known:
            raise InputError(f"n_stimuli={n_stimuli}, and the triplet set has {n_known}", remedy="leave n_stimuli out")
    else:
        raw: Any = np.asarray(X)
        highest = int(raw.max()) + 1 if raw.size and raw.dtype.kind in "iuf" else 1
        n_known = highest if n_stimuli is None else int(n_stimuli)
        # Names do not matter here; the set is built for its checks.
        checked = TripletSet(raw, ids=tuple(str(i) for i in range(n_known)))
        shown = checked.triplets
        answers = np.full(len(shown), 2, np.int8) if y is None else np.asarray(y)
    if answers.shape not in ((len(shown),), (len(shown), 3)):
        raise InputError(
            f"y has shape {answers.shape} for {len(shown)} triplets",
            remedy="give one slot, or three probabilities, per triplet",
        )
    ids = tuple(str(i) for i in range(n_known))
    if answers.ndim == 1:
        trials = TripletSet(shown, ids=ids, choice=answers)
        triplets, targets = trials.odd_last(), np.empty((0, 3), np.float32)
    else:
        probabilities = TripletSet(shown, ids=ids, probabilities=answers).probabilities
        assert probabilities is not None
        rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1))
        triplets, targets = shown[rows], probabilities[rows]
    return Trials(np.ascontiguousarray(triplets), np.ascontiguousarray(targets), n_known, len(shown) - len(triplets))


def kernel_rows(weights: ArrayLike) -> NDArray[np.float32]:
    """A C-contiguous float32 copy, columns padded with zeros to whole vector lanes; zeros change no dot product."""
    array = np.asarray(weights, dtype=np.float32)
    padded = np.zeros((array.shape[0], max(_LANES, -(-array.shape[1] // _LANES) * _LANES)), np.float32)
    padded[:, : array.shape[1]] = array
    return padded


def answered_slots(trials: Trials) -> NDArray[np.float32]:
    """Weight of each slot as the answer, (n, 3): one for the choice, or the probabilities."""
    if len(trials.targets):
        return trials.targets
    slots = np.zeros((len(trials.triplets), 3), np.float32)
    slots[:, 2] = 1.0
    return slots
