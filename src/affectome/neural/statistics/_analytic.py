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
    run, n = number[order], len(x)
    centred_x, centred_y = _centred(x[order], run), _centred(y[order], run)
    spread = np.einsum("tv,tv->v", centred_x, centred_x) * np.einsum("tv,tv->v", centred_y, centred_y)
    total = np.zeros(x.shape[1])
    for lag in range(1, min(max_lag, int(np.bincount(run).max()) - 1) + 1):
        across = np.flatnonzero(run[lag:] != run[:-lag])
        products = [_lagged(part, lag, across) for part in (centred_x, centred_y)]
        # Each autocorrelation is the mean of n_k products over that of n squares, so that n / n_k comes twice, and
        # n_k / n once.
        total += n / (n - lag - len(across)) * products[0] * products[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        effective: Floats = n / np.maximum(1 + 2 * total / spread, 1.0)
    effective[spread == 0] = np.nan
    return effective


def _centred(values: NDArray[np.floating], run: NDArray[np.intp]) -> Floats:
    """Values (n, n_columns), sorted by run, about their run means."""
    centred = values.astype(np.float64)
    starts = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    sizes = np.diff(np.r_[starts, len(run)])
    centred -= np.repeat(np.add.reduceat(centred, starts, axis=0) / sizes[:, None], sizes, axis=0)
    return centred


def _lagged(values: Floats, lag: int, across: NDArray[np.intp]) -> Floats:
    """Sum of the products of values so far apart, but for the pairs that begin at `across`, in different runs."""
    products: Floats = np.einsum("tv,tv->v", values[:-lag], values[lag:])
    products -= np.einsum("tv,tv->v", values[across], values[across + lag])
    return products


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
