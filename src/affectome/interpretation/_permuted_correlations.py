"""What a correlation would be if stimuli were exchangeable: all permutations at once."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["curve_chance", "null_shape", "permuted_p"]

Floats = NDArray[np.float64]

_FEW = 7  # stimuli up to which every permutation is made
_NEAR = 1e-7  # distance from a border between two types of curve that is taken as beyond it
_END = 1e-6  # standard deviations: a value beyond the end of a curve is taken as this near to it
_POINTS = 128  # of an integral
_REACH = 12.0  # widths of a curve integrated over
_BLOCK = 4096  # curves integrated at once


def permuted_p(r: Floats, x: Floats, y: Floats) -> Floats:
    r"""Two-sided p of correlations under all permutations of the stimuli.

    Parameters
    ----------
    r : array of shape (p, m)
        Correlation of every column of x with every column of y.
    x, y : arrays of shape (n, p) and (n, m)
        Centred and of unit length; NaN where a column is constant.

    Returns
    -------
    array of shape (p, m)
        Share of the n! permutations with :math:`|r_\pi| \ge |r|`, NaN where r is. Counted for up to seven stimuli; for
        more, from a curve with the mean, variance, skewness and kurtosis that :math:`r_\pi` has over all of them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rare, sparse = (rng.random((2, 400, 1)) < 0.05) * rng.gamma(1.0, size=(2, 400, 1))
    >>> rare, sparse = ((z - z.mean()) / np.linalg.norm(z - z.mean()) for z in (rare, sparse))
    >>> permuted_p(np.array([[0.2]]), rare, sparse).round(3).tolist()  # by Student's t .00006
    [[0.014]]
    """
    n = len(x)
    if n <= _FEW:
        return _counted_p(r, x, y)
    skewness, kurtosis = null_shape(x, y)
    size = np.abs(r)
    z = size * np.sqrt(n - 1)
    rising_x, rising_y = np.sort(x, axis=0).T, np.sort(y, axis=0)
    highest, lowest = rising_x @ rising_y, rising_x @ rising_y[::-1]  # no permutation goes beyond
    p = np.where(size > highest + 1e-9, 0.0, curve_chance(z, skewness, kurtosis))
    p += np.where(size > 1e-9 - lowest, 0.0, curve_chance(z, -skewness, kurtosis))
    least = np.exp(-special.gammaln(n + 1))  # one arrangement
    bounded: Floats = np.clip(p, least, 1.0)
    return bounded


def _counted_p(r: Floats, x: Floats, y: Floats) -> Floats:
    """The same by making every permutation."""
    orders = np.array(list(permutations(range(len(x)))))
    p = np.full(r.shape, np.nan)
    for row, column in enumerate(x.T):
        reached = np.abs(column[orders] @ y) >= np.abs(r[row]) - 1e-9
        p[row] = np.where(np.isnan(r[row]), np.nan, reached.mean(axis=0))
    return p


def null_shape(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    r"""Skewness and excess kurtosis of correlations over all permutations of n >= 4 stimuli.

    Parameters
    ----------
    x, y : arrays of shape (n, p) and (n, m)
        Centred and of unit length.

    Returns
    -------
    skewness, kurtosis : arrays of shape (p, m)

    Notes
    -----
    With :math:`g_1 = k_3 / k_2^{3/2}` and :math:`g_2 = k_4 / k_2^2` of each column, k Fisher's k-statistics,

    .. math::
        E r = 0, \quad E r^2 = \frac{1}{n - 1}, \quad E r^3 = \frac{n - 2}{n (n - 1)^2} g_1(x) g_1(y), \quad
        E r^4 = \frac{3}{n^2 - 1} + \frac{(n - 2)(n - 3)}{n (n + 1) (n - 1)^3} g_2(x) g_2(y).

    References
    ----------
    Pitman (1937). Significance tests which may be applied to samples from any populations. II. The correlation
    coefficient test. Supplement to the Journal of the Royal Statistical Society 4.

    Examples
    --------
    >>> x = np.array([[-1.0], [-1.0], [-1.0], [3.0]]) / np.sqrt(12)  # r is 1 in one permutation of four, else -1/3
    >>> skewness, kurtosis = null_shape(x, x)
    >>> skewness.round(4).tolist(), kurtosis.round(4).tolist()
    ([[1.1547]], [[-0.6667]])
    """
    n = len(x)
    (third_x, fourth_x), (third_y, fourth_y) = _k_ratios(x), _k_ratios(y)
    skewness = (n - 2) / (n * np.sqrt(n - 1)) * np.outer(third_x, third_y)
    kurtosis = (n - 2) * (n - 3) / (n * (n + 1) * (n - 1)) * np.outer(fourth_x, fourth_y) - 6 / (n + 1)
    return skewness, kurtosis


def _k_ratios(unit: Floats) -> tuple[Floats, Floats]:
    """The g_1 and g_2 of columns, by Fisher's k-statistics."""
    n, square = len(unit), unit * unit
    third = n * np.sqrt(n - 1) / (n - 2) * (square * unit).sum(axis=0)
    fourth = (n - 1) / ((n - 2) * (n - 3)) * (n * (n + 1) * (square * square).sum(axis=0) - 3 * (n - 1))
    return third, fourth


def curve_chance(z: Floats, skewness: Floats, kurtosis: Floats) -> Floats:
    r"""Chance of a standardised variable on a Pearson curve to reach z.

    Parameters
    ----------
    z, skewness, kurtosis : arrays that can be broadcast against one another
        Kurtosis in excess of 3.

    Notes
    -----
    The curves are the solutions of

    .. math::
        \frac{f'}{f} = -\frac{a z + c_1}{c_0 + c_1 z + c_2 z^2}, \quad
        a = 10 g_2 - 12 g_1^2 + 12, \quad c_0 = 4 g_2 - 3 g_1^2 + 12, \quad c_1 = g_1 (g_2 + 6), \quad
        c_2 = 2 g_2 - 3 g_1^2.

    Real roots give a beta variable (type I, :math:`c_2 < 0`) or a beta prime one (VI), by the incomplete beta function;
    complex ones type IV, by quadrature. The gamma and normal curves between them are their limits. With
    :math:`g_1 = 0` and :math:`g_2 = -6 / (n + 1)`, z = r sqrt(n - 1) has Student's p.

    Examples
    --------
    >>> n, r = 50, 0.4
    >>> t = r * np.sqrt((n - 2) / (1 - r**2))
    >>> by_curve = curve_chance(np.array(r * np.sqrt(n - 1)), np.array(0.0), np.array(-6 / (n + 1)))
    >>> bool(np.isclose(by_curve, special.stdtr(n - 2, -t), rtol=1e-9))
    True
    """
    given = np.broadcast_arrays(z, skewness, kurtosis)
    value, skew, excess = (np.asarray(array, np.float64).ravel() for array in given)
    excess = np.maximum(excess, (skew**2 - 2) + _NEAR * (skew**2 + 4))  # no variable has less than skew^2 - 2
    steep, level, slope, bend = (
        10 * excess - 12 * skew**2 + 12, 4 * excess - 3 * skew**2 + 12, skew * (excess + 6), 2 * excess - 3 * skew**2
    )  # fmt: skip
    bend = np.where(np.abs(bend) < _NEAR, -_NEAR, bend)
    scale = slope**2 + 4 * level * np.abs(bend)
    inside = slope**2 - 4 * level * bend
    inside = np.where(np.abs(inside) < _NEAR * scale, _NEAR * scale, inside)
    chance = np.full(value.shape, np.nan)
    real, complex_ = np.flatnonzero(inside > 0), np.flatnonzero(inside < 0)
    chance[real] = _beta_chance(*(part[real] for part in (value, skew, steep, slope, bend, inside)))
    for start in range(0, len(complex_), _BLOCK):
        those = complex_[start : start + _BLOCK]
        chance[those] = _type_iv_chance(*(part[those] for part in (value, steep, slope, bend, inside)))
    return chance.reshape(given[0].shape)


def _beta_chance(value: Floats, skew: Floats, steep: Floats, slope: Floats, bend: Floats, inside: Floats) -> Floats:
    """Chance on curves of types I and VI, (n_curves,)."""
    # Type VI lies to the right of both roots if skewed to the right; its mirror image is turned round.
    turned = (bend > 0) & (skew < 0)
    value, slope = np.where(turned, -value, value), np.where(turned, -slope, slope)
    gap = np.sqrt(inside) / np.abs(bend)
    low = -slope / (2 * bend) - gap / 2
    high = low + gap
    at_low, at_high = (steep * low + slope) / (bend * gap), -(steep * high + slope) / (bend * gap)  # exponents of f
    one = special.betainc(at_high + 1, at_low + 1, np.clip(np.maximum(high - value, _END) / gap, 0.0, 1.0))
    share = np.clip(gap / np.maximum(value - low, gap), 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        first, second = steep / bend - 1, at_high + 1
        six = np.where(turned, special.betaincc(first, second, share), special.betainc(first, second, share))
    chance: Floats = np.where(bend < 0, one, six)
    return chance


def _type_iv_chance(value: Floats, steep: Floats, slope: Floats, bend: Floats, inside: Floats) -> Floats:
    """Chance on curves of type IV, (n_curves,): with z = centre + width tan(angle), f falls off on a finite range."""
    centre, width = -slope / (2 * bend), np.sqrt(-inside) / (2 * bend)
    power = steep / bend - 2
    tilt = (slope + steep * centre) / (bend * width)
    peak, spread = np.arctan(-tilt / power), _REACH / np.sqrt(power)
    reached = np.arctan((value - centre) / width)
    low = np.maximum(peak - spread, -np.pi / 2)
    points, weights = np.polynomial.legendre.leggauss(_POINTS)

    def height(angle: Floats) -> Floats:
        logarithm: Floats = power[:, None] * np.log(np.cos(angle)) - tilt[:, None] * angle
        return logarithm

    def area(start: Floats, end: Floats) -> Floats:
        half = (end - start) / 2
        angle = (start + end)[:, None] / 2 + half[:, None] * points
        total: Floats = (np.exp(height(angle) - height(peak[:, None])) @ weights) * half
        return total

    def area_above(start: Floats) -> Floats:
        return area(start, np.minimum(start + spread, np.pi / 2))

    whole = area(low, peak) + area_above(peak)
    below = area(low, np.maximum(np.minimum(reached, peak), low))
    chance: Floats = np.where(reached > peak, area_above(np.maximum(reached, peak)) / whole, 1 - below / whole)
    return chance
