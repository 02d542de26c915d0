"""What an embedding says a judge will choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._numba import kernel_threads
from affectome.embedding._kernels import pair_similarities
from affectome.embedding._trials import kernel_rows
from affectome.triplets import check_indices

CHUNK = 1_000_000  # trials scored at once: bounds the memory of what is thrown away

__all__ = ["CHUNK", "choice_probabilities", "predicted_choice", "shared_hits", "slot_similarities"]


def slot_similarities(weights: ArrayLike, triplets: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.float32]:
    """Similarity of the pair that stays when each slot is called odd; float32 of shape (n_trials, 3).

    ``out[t, 2] = x_a . x_b`` for the triplet (a, b, c), and so on.
    """
    rows = kernel_rows(weights)
    checked = check_indices(triplets, len(rows))
    out = np.empty(checked.shape, np.float32)
    with kernel_threads(n_jobs):
        pair_similarities(rows, checked, out)
    return out


def choice_probabilities(weights: ArrayLike, triplets: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.float32]:
    """Probability that each slot is the odd one: softmax over the similarities of the remaining pairs.

    Parameters
    ----------
    weights : array of shape (n_stimuli, n_components)
    triplets : int array of shape (n_trials, 3)

    Returns
    -------
    float32 array of shape (n_trials, 3); rows sum to 1.

    Examples
    --------
    >>> choice_probabilities([[1.0], [1.0], [0.0]], [[0, 1, 2]]).round(3).tolist()
    [[0.21199999749660492, 0.21199999749660492, 0.5759999752044678]]
    """
    logit = slot_similarities(weights, triplets, n_jobs=n_jobs)
    probabilities: NDArray[np.float32] = np.exp(logit - logit.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def predicted_choice(weights: ArrayLike, triplets: ArrayLike, *, n_jobs: int | None = None) -> NDArray[np.int8]:
    """The slot called odd; where similarities tie exactly, the first of the tied slots."""
    slots: NDArray[np.int8] = slot_similarities(weights, triplets, n_jobs=n_jobs).argmax(axis=1).astype(np.int8)
    return slots


def shared_hits(
    weights: ArrayLike, triplets: ArrayLike, answers: ArrayLike, *, n_jobs: int | None = None
) -> NDArray[np.float64]:
    """How far each prediction is right: the answer's weight on the predicted slot, ties shared evenly.

    Parameters
    ----------
    weights : array of shape (n_stimuli, n_components)
    triplets : int array of shape (n_trials, 3)
    answers : array of shape (n_trials, 3)
        One for the slot that was chosen, or choice probabilities.

    Returns
    -------
    float64 array of shape (n_trials,). An embedding of zeros gets 1/3 everywhere, not the share of
    answers that happen to be in slot 0.
    """
    shown, wanted = np.asarray(triplets), np.asarray(answers)
    hits = np.empty(len(shown))
    for start in range(0, len(shown), CHUNK):
        rows = slice(start, start + CHUNK)
        logit = slot_similarities(weights, shown[rows], n_jobs=n_jobs)
        best = logit == logit.max(axis=1, keepdims=True)
        hits[rows] = (best * wanted[rows]).sum(axis=1, dtype=np.float64) / best.sum(axis=1)
    return hits
