"""Mean prediction in a region when the trials are rearranged, without going through them each time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Rearrangements", "permuted_correlation_sums"]

Floats = NDArray[np.float64]


class Rearrangements:
    """Permutations of trials, cut by run, with the trials that each part of them can meet.

    Parameters
    ----------
    orders : int array of shape (n_permutations, n_trials)
        In each, trial t of the predictions meets trial ``orders[b, t]`` of the responses.
    run : int array of shape (n_trials,)
    """

    def __init__(self, orders: NDArray[np.int32], run: ArrayLike) -> None:
        self.n_permutations = len(orders)
        self.parts: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]] = []
        place = np.unique(np.asarray(run), return_inverse=True)[1]
        for row in range(place.max() + 1):
            rows = np.flatnonzero(place == row)
            met, which = np.unique(orders[:, rows], return_inverse=True)
            self.parts.append((rows, met.astype(np.intp), which.reshape(self.n_permutations, len(rows))))


def permuted_correlation_sums(
    predictions: Floats, responses: Floats, rearrangements: Rearrangements
) -> tuple[float, Floats]:
    """Sum of r over voxels, and the same with the trials of the responses rearranged.

    Parameters
    ----------
    predictions, responses : arrays of shape (n_trials, n_voxels)
        Columns centred and of unit length.
    rearrangements

    Returns
    -------
    observed : float, null : array of shape (n_permutations,)

    Notes
    -----
    The sum is that over trials of K[t, pi(t)], K the products of predicted and measured trials over the voxels. K is
    computed once, and only where trials can meet, so that a permutation costs a look-up per trial instead of one
    product per trial and voxel.
    """
    null = np.zeros(rearrangements.n_permutations)
    for rows, met, which in rearrangements.parts:
        products = predictions[rows] @ responses[met].T
        null += products[np.arange(len(rows)), which].sum(axis=1)
    return float(np.einsum("tv,tv->", predictions, responses)), null
