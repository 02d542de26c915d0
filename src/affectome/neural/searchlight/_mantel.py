"""Is the geometry of a neighbourhood related to that of a space: permutation of stimuli in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import ModelGeometry
from affectome.neural.searchlight._moments3 import (
    RunBlocks,
    dense_pair_sums,
    low_rank_pair_sums,
    permutation_moments,
)

__all__ = ["MantelTest", "ModelNull", "mantel_test", "model_nulls", "null_p"]

Floats = NDArray[np.float64]

_NORMAL = 1e-4  # skewness below which the distribution is normal
_LARGEST = 0.7  # w: w (chi^2_1 - 1) alone has the whole variance at sqrt(1/2)
_POINTS = 96  # of an integral over a normal variable, up to this:
_FAR = 9.0
_BLOCK = 4096  # values integrated at once


@dataclass(frozen=True, eq=False)
class ModelNull:
    """What the closed form needs of a model, computed once.

    Attributes
    ----------
    name : str
    sums : float64 array of shape (10,)
        Over all pairs of stimuli, for a permutation brings any pair to any place.
    squares : float
        Sum of squares about the mean over the ordered pairs that count, on the stimuli as they are.
    n : int
        Stimuli.
    """

    name: str
    sums: Floats
    squares: float
    n: int


@dataclass(frozen=True, eq=False)
class MantelTest:
    """p of every centre and model, and the null it comes from.

    Attributes
    ----------
    p : float64 array of shape (n_centres, n_models)
        One-sided; NaN where r is.
    null_mean, null_sd, null_skewness : float64 arrays of shape (n_centres, n_models)
        Of the score over all permutations, in units of r.
    """

    p: Floats
    null_mean: Floats
    null_sd: Floats
    null_skewness: Floats


def model_nulls(models: Sequence[ModelGeometry], blocks: RunBlocks) -> list[ModelNull]:
    """What the closed form needs of each model.

    Examples
    --------
    >>> space = np.random.default_rng(0).normal(size=(30, 2))
    >>> null, = model_nulls([ModelGeometry("space", "dot", space, np.ones(2))], RunBlocks(30))
    >>> bool(np.isclose(null.squares, null.sums[1]))  # all pairs count
    True
    """
    return [_model_null(model, blocks) for model in models]


def _model_null(model: ModelGeometry, blocks: RunBlocks) -> ModelNull:
    everywhere = RunBlocks(blocks.n)
    if model.dense is not None:
        sums = dense_pair_sums(model.dense, everywhere)
        values = model.dense[blocks.counts(slice(None))].astype(np.float64)
        squares = float(((values - values.mean()) ** 2).sum())
    else:
        assert model.factors is not None
        sums = low_rank_pair_sums(model.factors, model.signs, everywhere, every_cube=True)
        squares = float(low_rank_pair_sums(model.factors, model.signs, blocks, every_cube=False)[1])
    if not squares > 1e-12 * blocks.n_ordered * _size(model):
        raise InputError("all pairs of stimuli are equally similar", source=model.name, remedy="leave the space out")
    return ModelNull(model.name, sums, squares, blocks.n)


def _size(model: ModelGeometry) -> float:
    """Mean square of what is compared, in any unit."""
    if model.dense is not None:
        return float((model.dense.astype(np.float64) ** 2).mean())
    assert model.factors is not None
    return float(((model.factors**2).sum(axis=1) ** 2).mean())


def mantel_test(r: ArrayLike, brain: ArrayLike, models: Sequence[ModelNull]) -> MantelTest:
    r"""P of scores under all permutations of the stimuli, without permuting any.

    Parameters
    ----------
    r : array of shape (n_centres, n_models)
        Pearson correlations over the pairs that count.
    brain : array of shape (n_centres, 10)
        Sums over the pairs that count, from :func:`low_rank_pair_sums` or :func:`dense_pair_sums`.
    models
        From :func:`model_nulls`, with the same pairs that count.

    Returns
    -------
    MantelTest

    Notes
    -----
    **Null.** The stimuli of the model are exchangeable: whatever made the brain's geometry, and the assignment of
    stimuli to runs, does not depend on which stimulus is which. **Permuted:** the stimuli of the model, over the whole
    recording, all n! ways at once. **Correction:** none; see :func:`affectome.neural.family_wise_p` for maxima of drawn
    permutations and Benjamini-Hochberg over centres. One-sided (more alike than by chance).

    **Statistic.** With a the brain's similarity less its mean over the pairs that count, and 0 where a pair does not
    count (pairs of one run),

    .. math:: T(\pi) = \sum_{i \neq j} a_{ij} b_{\pi(i)\pi(j)}.

    Since a sums to 0, T is the number of pairs that count times the covariance over them, whatever pairs a permutation
    brings there; at the observed arrangement T = r sqrt(sum a^2 sum b^2), so that r and T order alike what is observed.
    It is T that is permuted, not r, whose denominator (the spread of the model over the pairs that count) would change
    with pi. Hence mean, variance and third moment are exact with or without pairs left out, and only the shape of the
    distribution is an approximation: :func:`null_p`, a chi-squared variable and a shifted gamma with these three and
    with about the right kurtosis.

    **Validity.** With pairs within runs left out, noise that a run shares does not enter. What is left must be
    exchangeable over runs: if the stimuli of a run, or of neighbouring runs, resemble one another in the model (themes,
    sorted stimuli) *and* each run has a pattern of its own in the brain, or neighbouring runs resemble one another
    there (drift), all pairs of two runs move together and p is too small. Permute within runs then
    (``searchlight(..., test="drawn")``); there is no closed form for that. Where neighbours in time are alike within a
    run, in the model and in the brain, neither is valid.

    **How near.** Against 80,000 to 200,000 drawn permutations (60, 300 and 2,180 stimuli, models of rank 1 to 30,
    patterns that vary in one direction or in a hundred) the distance of the distributions was below .02, and p = .001
    was met within a factor 1.4, mostly from above (once 1.6 too large, with 60 stimuli); without the chi-squared part
    it was up to twice too small where patterns and model are both of low rank. p below 1e-4 is extrapolation. With 6 to
    20 stimuli three moments say less: .05 and .01 were reached by up to 2.5 and 3.1 times as many permutations (most
    often 1.0 to 1.3 times); draw permutations there. p is never below 1 / n!, the chance of one arrangement.

    References
    ----------
    Mantel (1967). The detection of disease clustering and a generalized regression approach. Cancer Research 27.
    Siemiatycki (1978). Mantel's space-time clustering statistic: computing higher moments. J. Stat. Comput. Simul. 7.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> space, brain = rng.normal(size=(2, 30, 3))
    >>> pairs = np.triu_indices(30, 1)
    >>> r = np.corrcoef((space @ space.T)[pairs], (brain @ brain.T)[pairs])[0, 1]
    >>> every = RunBlocks(30)
    >>> nulls = model_nulls([ModelGeometry("space", "dot", space, np.ones(3))], every)
    >>> got = mantel_test([[r]], low_rank_pair_sums(brain, None, every)[None], nulls)
    >>> bool(0.05 < got.p[0, 0] < 1), bool(got.null_skewness[0, 0] > 0)
    (True, True)
    """
    score, sums = np.atleast_2d(np.asarray(r, np.float64)), np.atleast_2d(np.asarray(brain, np.float64))
    if score.shape != (len(sums), len(models)):
        raise InputError(
            f"scores of shape {score.shape} do not belong to {len(sums)} centres and {len(models)} models",
            remedy="give one row per centre and one column per model",
        )
    moments = permutation_moments(sums[:, None], np.stack([model.sums for model in models])[None], models[0].n)
    unit = np.sqrt(sums[:, 1, None] * np.array([model.squares for model in models]))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, sd = moments.mean / unit, np.sqrt(moments.variance) / unit
        p = np.maximum(null_p((score - mean) / sd, moments.skewness, moments.kurtosis), 1 / _arrangements(models[0].n))
    return MantelTest(p, mean, sd, moments.skewness)


def _arrangements(n: int) -> float:
    """n!, or infinity where that is more than any p can show."""
    return float(math.factorial(n)) if n <= 170 else math.inf


def null_p(z: ArrayLike, skewness: ArrayLike, kurtosis: ArrayLike | None = None) -> Floats:
    r"""Chance of a standardised sum over pairs to reach z.

    Parameters
    ----------
    z, skewness : arrays
    kurtosis : array, optional
        In excess of 3; by default, and where it is below that, 1.5 skewness^2, that of Pearson III.

    Notes
    -----
    The variable is taken as :math:`w (\chi^2_1 - 1)` plus an independent Pearson III (shifted gamma) variable, with
    the given three cumulants beyond the variance between them; w is 0 where Pearson III has the kurtosis already. The
    sum is integrated over the normal variable by 96 Gauss-Legendre points. With a skewness below 0, where Pearson III
    has an end, the larger one of its chance and that of a normal variable.

    Examples
    --------
    >>> null_p([1.6449, 1.6449, 2.0], [0.0, 2.0, 2.0]).round(4).tolist()  # skewness 2: exponential
    [0.05, 0.071, 0.0498]
    >>> null_p([3.0], [0.5], [0.9]).round(4).tolist(), null_p([3.0], [0.5]).round(4).tolist()
    ([0.0064], [0.0054])
    """
    from scipy import special

    heavier = 1.5 * np.asarray(skewness, np.float64) ** 2 if kurtosis is None else kurtosis
    given = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (z, skewness, heavier)))
    value, skew, excess = (array.ravel() for array in given)
    chance = _pearson_iii(value, skew)
    weight = _dominant_weight(skew, excess)
    heavy = np.flatnonzero(weight > 0)
    for start in range(0, len(heavy), _BLOCK):
        those = heavy[start : start + _BLOCK]
        chance[those] = _with_dominant(value[those], skew[those], weight[those])
    chance = np.where(skew < 0, np.maximum(chance, special.ndtr(-value)), chance)
    known = np.where(np.isnan(value) | np.isnan(skew), np.nan, np.minimum(chance, 1.0))
    return known.reshape(given[0].shape)


def _with_dominant(value: Floats, skew: Floats, weight: Floats) -> Floats:
    """Chance of both parts together to reach each value, (n_values,)."""
    points, shares = _half_normal()
    rest = 1 - 2 * weight**2
    bent = (skew - 8 * weight**3) / rest**1.5
    left = (value[:, None] - weight[:, None] * (points**2 - 1)) / np.sqrt(rest)[:, None]
    chance: Floats = _pearson_iii(left, bent[:, None]) @ shares
    return chance


def _pearson_iii(value: Floats, skew: Floats) -> Floats:
    """Chance to reach a value, of mean 0 and variance 1."""
    from scipy import special

    flat = np.abs(skew) < _NORMAL
    bent = np.where(flat | np.isnan(skew), 1.0, skew)
    shape = 4 / bent**2
    at = np.maximum(shape + 2 * value / bent, 0.0)
    right = np.where(bent > 0, special.gammaincc(shape, at), special.gammainc(shape, at))
    chance: Floats = np.where(flat, special.ndtr(-value), right)
    return chance


def _dominant_weight(skew: Floats, kurtosis: Floats) -> Floats:
    """The w with which both parts together have this kurtosis; 0 where Pearson III alone has it."""
    wanted = kurtosis > 1.5 * skew**2 * (1 + 1e-9) + 1e-6
    low = np.zeros(skew.shape)
    high = np.where(wanted & (skew > 0), np.minimum(np.cbrt(np.maximum(skew, 0) / 8), _LARGEST), 0.0)
    for _ in range(40):
        middle = (low + high) / 2
        has = 48 * middle**4 + 1.5 * (skew - 8 * middle**3) ** 2 / (1 - 2 * middle**2)
        low, high = np.where(has < kurtosis, middle, low), np.where(has < kurtosis, high, middle)
    return low


def _half_normal() -> tuple[Floats, Floats]:
    """Points of the absolute value of a normal variable, and their shares."""
    points, weights = np.polynomial.legendre.leggauss(_POINTS)
    at = _FAR * (points + 1) / 2
    shares = weights * np.exp(-(at**2) / 2)
    return at, shares / shares.sum()
