"""Intervals by resampling whole units: a triplet with all its answers, or a person with all of theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._resampling import check_bootstrap, percentile_interval

__all__ = ["Share", "bootstrap_share", "resampled_sums"]

_CELLS = 2**24  # counts drawn at once, whatever the number of kinds of unit


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
    """Mean of `hits` (0..1 per trial) and its bootstrap interval; trials of one key are resampled together."""
    check_bootstrap(n_boot, level)
    _, unit = np.unique(keys, return_inverse=True)
    totals = np.column_stack([np.bincount(unit, weights=hits), np.bincount(unit)]).astype(np.float64)
    sums = resampled_sums(totals, n_boot=n_boot, seed=seed)
    low, high = percentile_interval(sums[:, 0] / sums[:, 1], level)
    return Share(float(hits.mean()), low, high, len(totals))


def resampled_sums(totals: NDArray[np.float64], *, n_boot: int, seed: int) -> NDArray[np.float64]:
    """Column sums of `totals` (one row per unit) over units drawn with replacement; shape (n_boot, n_columns).

    Units with the same row are exchangeable, so drawing units with replacement is one multinomial draw over the kinds
    of row: exact, and where kinds are few (hits and counts) independent of the number of units in time and memory.
    """
    kinds, counts = _kinds(totals.round(9))
    share = counts / counts.sum()
    rng = np.random.default_rng(seed)
    sums = np.empty((n_boot, totals.shape[1]))
    step = max(1, _CELLS // len(kinds))
    for start in range(0, n_boot, step):  # one stream: the size of the steps changes no draw
        rows = slice(start, min(n_boot, start + step))
        sums[rows] = rng.multinomial(counts.sum(), share, size=rows.stop - rows.start) @ kinds
    return sums


def _kinds(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Different rows in lexicographic order and how often each occurs; np.unique over rows, but by hashing columns."""
    code = np.zeros(len(rows), np.int64)
    for column in rows.T:
        value, known = pd.factorize(column, sort=True)
        code, _ = pd.factorize(code * len(known) + value, sort=True)  # below n x n, whatever the columns
    _, first, counts = np.unique(code, return_index=True, return_counts=True)
    return rows[first], counts
