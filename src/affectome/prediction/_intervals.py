"""Jackknife intervals over stimuli, from what each of them adds to the sums that a score is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from affectome._groups import jackknife_variance

__all__ = ["correlation_interval", "moments", "share_interval"]

Floats = NDArray[np.float64]


def moments(u: Floats, v: Floats) -> Floats:
    """1, u, v, u², v² and uv of every entry, (6, *shape)."""
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v])


def correlation_interval(total: Floats, of_each: Floats, level: float) -> tuple[Floats, Floats, Floats]:
    """Pearson r with its interval, Fisher's z; units left out one at a time.

    Parameters
    ----------
    total : array of shape (6, T)
        Sums of :func:`moments`.
    of_each : array of shape (6, m, T)
        What goes with each of m units: the parts of a total, or overlapping ones where a pair belongs to two units.
    """
    r, without = _correlation(total), _correlation(total[:, None] - of_each)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = _quantile(level) * np.sqrt(jackknife_variance(np.arctanh(without)))
        z = np.arctanh(r)
    return r, np.tanh(z - reach), np.tanh(z + reach)


def share_interval(total: Sequence[Floats], of_each: Sequence[Floats], level: float) -> tuple[Floats, Floats, Floats]:
    """1 - left / whole with its interval on the scale of its logarithm; units left out one at a time.

    Parameters
    ----------
    total : two arrays of shape (T,)
        What is left, and the whole.
    of_each : two arrays of shape (m, T)
        What goes with each of m units.
    """
    left, whole = total
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = left / whole
        without = np.log((left - of_each[0]) / (whole - of_each[1]))
        wide = np.exp(_quantile(level) * np.sqrt(jackknife_variance(without)))
    return 1 - ratio, 1 - ratio * wide, 1 - ratio / wide


def _correlation(sums: Floats) -> Floats:
    n, u, v, uu, vv, uv = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        r: Floats = (uv - u * v / n) / np.sqrt(np.maximum(uu - u**2 / n, 0) * np.maximum(vv - v**2 / n, 0))
    return np.clip(r, -1, 1)


def _quantile(level: float) -> float:
    return float(stats.norm.ppf((1 + level) / 2))
