"""The p of a correlation by theory, with as many trials as autocorrelation leaves: a check beside permutations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from affectome.errors import InputError

__all__ = ["correlation_p", "effective_trials"]

Floats = NDArray[np.float64]


def effective_trials(x: NDArray[np.floating], y: NDArray[np.floating], runs: ArrayLike, *, max_lag: int = 20) -> Floats:
    """How many independent trials the correlation of two autocorrelated columns is worth.

    Parameters
    ----------
    x, y : arrays of shape (n_trials, n_columns)
        Trials of a run in the order of time.
    runs : array of shape (n_trials,)
        Run of each trial; no pair of trials in different runs counts.
    max_lag
        Trials apart, at most.

    Returns
    -------
    array of shape (n_columns,)
        ``n / (1 + 2 sum_k (n_k / n) a_k b_k)`` (Bartlett 1935), n_k the pairs k apart in a run, a_k and b_k the
        autocorrelations of both about their run means; at most n. NaN where a column is constant in every run.

    Notes
    -----
    It assumes that both columns are stationary inside runs and unrelated. Where only one of them is autocorrelated
    nothing is lost.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> white = rng.normal(size=(400, 1))
    >>> slow = np.repeat(rng.normal(size=(100, 1)), 4, axis=0)
    >>> [round(float(effective_trials(slow, other, np.zeros(400))[0])) for other in (white, slow[::-1])]
    [394, 138]
    """
    if x.shape != y.shape or x.ndim != 2:
        raise InputError(f"columns of shapes {x.shape} and {y.shape} cannot be paired", remedy="give equal shapes")
    number = np.unique(np.asarray(runs), return_inverse=True)[1].reshape(-1)
    order = np.argsort(number, kind="stable")
    sizes, n = np.bincount(number), len(x)
    n_lags = min(max_lag, int(sizes.max()) - 1)
    lagged = np.zeros((2, 1 + n_lags, x.shape[1]))  # sums of products of values so far apart in their run
    for trials in np.split(order, np.cumsum(sizes)[:-1]):  # one run at a time: it stays in the cache
        for sums, values in zip(lagged, (x, y), strict=True):
            centred = values[trials].astype(np.float64)
            centred -= centred.mean(axis=0)
            for lag in range(min(n_lags, len(trials) - 1) + 1):
                sums[lag] += np.einsum("tv,tv->v", centred[: len(trials) - lag], centred[lag:])
    spread = lagged[0, 0] * lagged[1, 0]
    # Each autocorrelation is the mean of n_k products over that of n squares, so that n / n_k comes twice, and n_k / n
    # once.
    pairs = np.array([np.maximum(sizes - lag, 0).sum() for lag in range(1, n_lags + 1)])
    total = np.einsum("l,lv,lv->v", n / pairs, lagged[0, 1:], lagged[1, 1:])
    with np.errstate(invalid="ignore", divide="ignore"):
        effective: Floats = n / np.maximum(1 + 2 * total / spread, 1.0)
    effective[spread == 0] = np.nan
    return effective


def correlation_p(r: ArrayLike, n_effective: ArrayLike) -> Floats:
    """One-sided p of correlations above 0 with so many independent trials.

    ``t = r sqrt((n - 2) / (1 - r^2))`` with n - 2 degrees of freedom, for normal and independent trials; NaN with
    fewer than three.

    Examples
    --------
    >>> correlation_p([0.0, 0.2], 102).round(4).tolist()
    [0.5, 0.0219]
    """
    value, n = np.asarray(r, np.float64), np.asarray(n_effective, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.where(n > 2, n - 2, np.nan)
        p: Floats = stats.t.sf(value * np.sqrt(freedom / np.maximum(1 - value**2, 0)), freedom)
    return p
