"""Held-out variance of many targets that two families of predictors explain, alone and together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from affectome._groups import assign_folds, group_sums, jackknife_variance
from affectome._resampling import permutation_p
from affectome.interpretation._ridge import ALPHAS, Band, FoldedRidge

__all__ = [
    "PARTS",
    "family_losses",
    "fitting_noise",
    "group_sums",
    "jackknife_variance",
    "part_interval",
    "second_order",
    "signs_of",
    "unique_p",
]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

#: Each part of the variance as a sum of losses (of the mean, of the first family, of the second, of both).
PARTS: dict[str, tuple[int, int, int, int]] = {
    "r2_first": (1, -1, 0, 0),
    "r2_second": (1, 0, -1, 0),
    "r2_both": (1, 0, 0, -1),
    "unique_first": (0, 0, 1, -1),
    "unique_second": (0, 1, 0, -1),
    "shared": (1, -1, -1, 1),
}

_MIXES = (0.1, 0.5, 0.9)  # shares of weight of the first family where both are used
_EMPTY = 1e-8  # an eigenvalue per stimulus below this: the column is a sum of others
_FULL = 0.999  # leverage above which a residual says nothing


def family_losses(
    y: Floats, first: Floats, second: Floats, group: Places, n_folds: int, n_repeats: int, rng: np.random.Generator
) -> Floats:
    """Squared held-out errors (4, n, T) of the training mean, ridge from either family, and from both.

    "Both" is banded: it may weigh the families .9 : .1, .5 : .5, .1 : .9, or leave one of them out, and takes what is
    best over the inner folds. Its candidates contain those of either family alone, so that it is not worse for a
    penalty that suits one family and not the other. Losses are averaged over repeats.
    """
    p, q = first.shape[1], second.shape[1]
    x = np.hstack([first, second])
    own = np.arange(p), np.arange(p, p + q)
    bands = [Band(columns, np.ones(len(columns))) for columns in own]
    bands += [Band(np.arange(p + q), np.sqrt(np.r_[np.full(p, w), np.full(q, 1 - w)])) for w in _MIXES]
    models = ([0], [1], list(range(len(bands))))
    losses = np.zeros((4, *y.shape))
    for _ in range(n_repeats):
        ridge = FoldedRidge(x, assign_folds(group, n_folds, rng), bands, ALPHAS)
        errors = ridge.inner_errors(y[ridge.order])
        losses[0] += (y - ridge.baseline(y)) ** 2
        for k, model in enumerate(models, start=1):
            losses[k] += (y - ridge.predict(y, model, errors)) ** 2
    return losses / n_repeats


def second_order(y: Floats, first: Floats, second: Floats, group: Places) -> dict[str, Floats]:
    """Give, for each part, the variance (T,) that the noise of fitting adds to its sum of loss differences.

    See :func:`part_interval`.
    """
    x = np.hstack([first, second])
    residuals = [y - _projection(part, y) for part in (first, second, x)]
    nothing = np.empty((len(y), 0))
    spread = {
        "r2_first": fitting_noise(first, nothing, residuals[0], group),
        "r2_second": fitting_noise(second, nothing, residuals[1], group),
        "r2_both": fitting_noise(x, nothing, residuals[2], group),
        "unique_first": fitting_noise(first, second, residuals[2], group),
        "unique_second": fitting_noise(second, first, residuals[2], group),
    }
    spread["shared"] = spread["unique_first"] + spread["unique_second"]
    return spread


def part_interval(
    losses: Floats, part: str, noise: Floats, group: Places, level: float
) -> tuple[Floats, Floats, Floats]:
    """Estimate and interval of one part of the variance, each (T,).

    The part is a ratio S / S0 of summed losses (S0: of the mean). The jackknife over stimuli (groups), fitted models
    held fixed, gives the variance, to which `noise` is added: estimate and target, the loss of these very fits on
    other stimuli, both move with the noise of the fits, and in opposite directions. For one family of p columns that
    adds nothing to Gaussian noise of variance s^2 their difference has variance 8 p s^4 (of the sum of loss
    differences), of which the jackknife sees half. Normal quantiles; R2 on the scale of log(1 - R2).
    """
    difference = group_sums(np.tensordot(np.array(PARTS[part], np.float64), losses, axes=1), group)
    each = group_sums(losses[0], group)  # (n_groups, T)
    total, whole = difference.sum(axis=0), each.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = total / whole
        without = (total - difference) / (whole - each)
        if part.startswith("r2"):
            left = 1 - value
            reach = _reach(np.log(1 - without), noise / (whole * left) ** 2, level)
            return value, 1 - left * np.exp(reach), 1 - left * np.exp(-reach)
        reach = _reach(without, noise / whole**2, level)
    return value, value - reach, value + reach


def _reach(without: Floats, noise: Floats, level: float) -> Floats:
    """Half the width of a normal interval from the values with each group left out, and a further variance."""
    reach: Floats = stats.norm.ppf((1 + level) / 2) * np.sqrt(jackknife_variance(without) + noise)
    return reach


def unique_p(y: Floats, own: Floats, other: Floats, signs: Floats, group: Places) -> Floats:
    """Test, by flipping signs of scores, that `own` adds nothing to the linear prediction from `other`; p (T,).

    With U an orthonormal basis of `own` after regression on `other` and e the residuals of y on `other`, the
    statistic is |U'e|^2, the sum of squares that `own` explains beyond `other`. Each draw multiplies the score of
    every stimulus, U_i e_i / sqrt(1 - h_i), with a random sign (h its leverage in `other`: residuals are smaller than
    errors by that much); stimuli of a group share a sign. Unlike a permutation of rows or of residuals this leaves
    the predictors' correlation and unequal variances as they are (Hemerik, Goeman & Finos 2020).

    Parameters
    ----------
    signs : array of shape (B, n_groups)
    """
    basis, leverage = _beyond(own, other)
    if basis.shape[1] == 0:
        return np.full(y.shape[1], np.nan)
    spread = y.std(axis=0)
    y = (y - y.mean(axis=0)) / np.where(spread > 0, spread, 1.0)  # what counts as rounding must not depend on the unit
    residual = y - _projection(other, y)
    observed = ((basis.T @ residual) ** 2).sum(axis=0)
    weighted = residual / np.sqrt(1 - np.minimum(leverage, _FULL))[:, None]
    scores = group_sums((basis[:, :, None] * weighted[:, None, :]).reshape(len(y), -1), group)
    null = np.empty((len(signs), y.shape[1]))
    for start in range(0, len(signs), 250):  # a block of draws fits into memory
        rows = slice(start, start + 250)
        drawn = (signs[rows] @ scores).reshape(-1, basis.shape[1], y.shape[1])
        null[rows] = np.einsum("bct,bct->bt", drawn, drawn)
    flat = np.ptp(y, axis=0) == 0
    p: Floats = np.where(flat, np.nan, permutation_p(observed, null))
    return p


def signs_of(n_groups: int, n_draws: int, rng: np.random.Generator) -> Floats:
    """Random signs, (n_draws, n_groups)."""
    return rng.integers(0, 2, size=(n_draws, n_groups)).astype(np.float64) * 2 - 1


def _orthonormal(x: Floats) -> Floats:
    """Orthonormal basis (n, rank) of columns that are centred already; constant columns and sums of others drop out."""
    spread = x.std(axis=0)
    scaled = x[:, spread > 0] / spread[spread > 0]
    if scaled.shape[1] == 0:
        return np.empty((len(x), 0))
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    kept = values > _EMPTY * len(x)
    basis: Floats = scaled @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis


def _projection(x: Floats, y: Floats) -> Floats:
    """Least-squares prediction of y from x and a constant."""
    basis = _orthonormal(x - x.mean(axis=0))
    projected: Floats = y.mean(axis=0) + basis @ (basis.T @ y)
    return projected


def _beyond(own: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Basis (n, c) of `own` after regression on `other` and a constant, and the leverages of those (n,)."""
    n = len(own)
    basis = _orthonormal(other - other.mean(axis=0)) if other.shape[1] else np.empty((n, 0))
    centred = own - own.mean(axis=0)
    spread = centred.std(axis=0)
    rest = centred - basis @ (basis.T @ centred)
    rest[:, rest.std(axis=0) < np.sqrt(_EMPTY) * spread] = 0.0  # what `other` holds already leaves but rounding
    return _orthonormal(rest), 1 / n + (basis**2).sum(axis=1)


def fitting_noise(own: Floats, other: Floats, residual: Floats, group: Places) -> Floats:
    """Twice the variance (T,) of |U'(s * e)|^2 under random signs s: 4 (|U' diag(e^2) U|_F^2 - sum_i |U_i|^4 e_i^4).

    U is an orthonormal basis of `own` after regression on `other` and a constant.
    """
    basis, _ = _beyond(own, other)
    if basis.shape[1] == 0:
        return np.zeros(residual.shape[1])
    spread = np.empty(residual.shape[1])
    for t in range(residual.shape[1]):
        scores = group_sums(basis * residual[:, t, None], group)
        square = scores.T @ scores
        spread[t] = 4 * ((square**2).sum() - ((scores**2).sum(axis=1) ** 2).sum())
    return np.maximum(spread, 0.0)
