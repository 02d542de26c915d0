"""The interval of a share over trials, resampling different triplets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError

__all__ = ["Share", "bootstrap_share"]


@dataclass(frozen=True, eq=False)
class Share:
    """A mean over trials with its percentile interval over triplets.

    Attributes
    ----------
    value, ci_low, ci_high : float
    n_triplets : int
        Different unordered triplets: the units that were resampled.
    """

    value: float
    ci_low: float
    ci_high: float
    n_triplets: int


def bootstrap_share(
    hits: NDArray[np.float64], keys: NDArray[np.int64], *, n_boot: int, level: float, seed: int
) -> Share:
    """Mean of `hits` (0..1 per trial) and its bootstrap interval; trials of one key are resampled together.

    Units with the same (hits, trials) are exchangeable, so drawing units with replacement is one multinomial draw over
    the kinds of unit: exact, and independent of the number of trials in time and memory.
    """
    if n_boot < 1 or not 0 < level < 1:
        raise InputError(
            f"n_boot={n_boot} and level={level} make no interval", remedy="use n_boot >= 1 and 0 < level < 1"
        )
    _, unit = np.unique(keys, return_inverse=True)
    totals = np.column_stack([np.bincount(unit, weights=hits), np.bincount(unit)])
    kinds, counts = np.unique(totals.round(9), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(counts.sum(), counts / counts.sum(), size=n_boot)
    means = (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Share(float(hits.mean()), float(low), float(high), int(counts.sum()))
