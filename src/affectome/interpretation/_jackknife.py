"""Intervals over stimuli from leaving each one out, for statistics that are smooth in the stimuli."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["MINIMUM", "studentised_interval"]

Floats = NDArray[np.float64]

MINIMUM = 10  # stimuli below which the spread of left-out values says too little about itself


def studentised_interval(value: Floats, influence: Floats, level: float) -> tuple[Floats, Floats]:
    """Ends of the interval of statistics whose influences over stimuli are known.

    Parameters
    ----------
    value : array of any shape
        On a scale on which the statistic is near normal.
    influence : array of shape (n_stimuli, *value.shape)
        (n - 1) times how far the value moves when a stimulus is left out (jackknife), or the influence function.
    level
        Coverage the interval aims at.

    Returns
    -------
    low, high : arrays of the shape of `value`; NaN where an influence is not finite, or with fewer than ten stimuli.

    Notes
    -----
    The standard error is the influences' s.d. over sqrt(n). It is itself a guess, and a poor one where few stimuli
    carry the statistic, as for a sparse component against a rare rating: the variance of a variance of n draws with
    kurtosis k is (k - 1) / n of its square, that of a chi-square with 2n / (k - 1) degrees of freedom. Those are the
    degrees of freedom of the t used here (at least 1).
    """
    n = len(influence)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centred = influence - influence.mean(axis=0)
        square = centred**2
        variance = square.mean(axis=0)
        kurtosis = (square**2).mean(axis=0) / variance**2
        freedom = np.clip(2 * n / (kurtosis - 1), 1.0, 1e9)
        reach = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance / (n - 1))
    # Where no stimulus moves the statistic (a perfect correlation) the interval is its value.
    reach = np.where(variance == 0, 0.0, reach)
    unknown = ~np.isfinite(value) | ~np.isfinite(variance) | (n < MINIMUM)
    reach = np.where(unknown, np.nan, reach)
    return value - reach, value + reach
