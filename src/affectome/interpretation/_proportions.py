"""Intervals of shares of stimuli, plain and averaged over categories."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["balanced_interval", "share_variance", "wilson_interval"]

_BORROWED = 3.0  # trials that every category borrows from the mean of all, to say how variable its own share is


def wilson_interval(share: ArrayLike, n: ArrayLike, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of a share of n independent trials; it keeps its width at 0 and 1 (Wilson 1927)."""
    p, m = np.asarray(share, np.float64), np.asarray(n, np.float64)
    z = stats.norm.ppf(0.5 + level / 2)
    middle = (p + z**2 / (2 * m)) / (1 + z**2 / m)
    half = z / (1 + z**2 / m) * np.sqrt(p * (1 - p) / m + z**2 / (4 * m**2))
    return np.clip(np.minimum(middle - half, p), 0, 1), np.clip(np.maximum(middle + half, p), 0, 1)


def share_variance(shares: ArrayLike, n: ArrayLike) -> float:
    """Variance of the mean of independent shares, each of its own n trials.

    A share counts as if three more trials had come out like the mean, so that a category of two stimuli that are both
    right still says that it knows little.
    """
    p, m = np.asarray(shares, np.float64), np.asarray(n, np.float64)
    moved = (m * p + _BORROWED * p.mean()) / (m + _BORROWED)
    return float((moved * (1 - moved) / m).sum() / len(p) ** 2)


def balanced_interval(shares: ArrayLike, n: ArrayLike, level: float, *, variance: float = 0.0) -> tuple[float, float]:
    """Interval of the mean of shares, each of its own n trials.

    Wilson's interval for as many trials as would give the mean its variance: that of independent trials, or `variance`
    where that is larger.
    """
    p, m = np.asarray(shares, np.float64), np.asarray(n, np.float64)
    mean = p.mean()
    spread = max(share_variance(p, m), variance)
    certain = mean in (0.0, 1.0)  # then what the ratio tends to
    trials = len(p) ** 2 / (1 / m).sum() if certain else mean * (1 - mean) / spread
    low, high = wilson_interval(mean, trials, level)
    return float(low), float(high)
