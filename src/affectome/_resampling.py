"""Intervals from bootstrap draws, p-values from permutations and their correction: what every analysis shares."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from affectome.errors import InputError

__all__ = [
    "bootstrap_weights",
    "check_bootstrap",
    "check_level",
    "check_permutations",
    "defined_interval",
    "false_discovery_rate",
    "needed_permutations",
    "percentile_interval",
    "permutation_p",
    "warn_of_resolution",
]

logger = logging.getLogger(__name__)

_BLOCK = 64  # draws made at once: a block fits into memory, and its size belongs to the seed


def check_bootstrap(n_boot: int, level: float) -> None:
    """Refuse settings that make no interval."""
    if n_boot < 1 or not 0 < level < 1:
        raise InputError(
            f"n_boot={n_boot} and level={level} make no interval", remedy="use n_boot >= 1 and 0 < level < 1"
        )


def check_level(level: float) -> None:
    """Refuse a coverage that makes no interval."""
    if not 0 < level < 1:
        raise InputError(f"level={level} makes no interval", remedy="use 0 < level < 1")


def check_permutations(n_permutations: int) -> None:
    """Refuse a number of permutations that makes no null."""
    if n_permutations < 1:
        raise InputError("there is no null without permutations", remedy="use n_permutations >= 1")


def bootstrap_weights(n: int, n_boot: int, seed: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """How often each of n stimuli is drawn with replacement; (n_draws, n) for each part of the n_boot draws."""
    rng = np.random.default_rng(seed)
    for start in range(0, n_boot, _BLOCK):
        rows = slice(start, min(n_boot, start + _BLOCK))
        yield rows, rng.multinomial(n, np.full(n, 1 / n), size=rows.stop - rows.start).astype(np.float64)


def percentile_interval(draws: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The middle `level` of the draws."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def defined_interval(draws: NDArray[np.float64], level: float, *, whole: bool = False) -> tuple[float, float]:
    """Percentile interval of the draws; none (NaN) where more of them are undefined than a tail holds.

    Of `whole` numbers, both ends are numbers that were drawn.
    """
    defined = draws[~np.isnan(draws)]
    tail = (1 - level) / 2
    if len(draws) - len(defined) > len(draws) * tail:
        return np.nan, np.nan
    if whole:
        low, high = np.quantile(defined, [tail, 1 - tail], method="inverted_cdf")
        return float(low), float(high)
    return percentile_interval(defined, level)


def permutation_p(
    observed: ArrayLike,
    null: ArrayLike,
    *,
    tail: Literal["greater", "two-sided"] = "greater",
    rounding: float = 1e-9,
) -> NDArray[np.float64]:
    """(b + 1) / (B + 1), b the permutations whose statistic is at least the observed one.

    Parameters
    ----------
    observed : array of any shape
    null : array of shape (B, *observed.shape)
    tail
        ``"two-sided"`` compares absolute values.
    rounding
        A draw that falls short of the observed value by no more than this (of a value above 1: by this share) has
        reached it, since a permutation that changes nothing must count. The statistic has to be of order 1 for that;
        more where draws are summed in float32.

    Returns
    -------
    array of the shape of `observed`; NaN where it is NaN. A permutation whose statistic is undefined counts as
    one that reached the observed value.

    Examples
    --------
    >>> permutation_p([2.0, -2.0], [[1.0, 1.0], [2.0, 0.0], [-3.0, 0.0]]).tolist()
    [0.5, 1.0]
    """
    value, draws = np.asarray(observed, np.float64), np.asarray(null, np.float64)
    if tail == "two-sided":
        value, draws = np.abs(value), np.abs(draws)
    reached = (~(draws < value - rounding * np.maximum(1, np.abs(value)))).sum(axis=0)
    p: NDArray[np.float64] = np.where(np.isnan(value), np.nan, (reached + 1) / (len(draws) + 1))
    return p


def false_discovery_rate(p: ArrayLike) -> NDArray[np.float64]:
    """Benjamini-Hochberg q over a whole table of p; what is undefined (NaN) stays so and counts for nothing.

    Examples
    --------
    >>> false_discovery_rate([0.01, float("nan"), 0.04]).tolist()
    [0.02, nan, 0.04]
    """
    given = np.asarray(p, np.float64)
    q, known = np.full_like(given, np.nan), ~np.isnan(given)
    if known.any():
        q[known] = stats.false_discovery_control(given[known], method="bh")
    return q


def needed_permutations(p: ArrayLike, n_permutations: int, alpha: float) -> int:
    """How many permutations the q of a table of p need to fall below `alpha`; 0 where these are enough.

    They are too few where no q falls below it although some p are the least that so many permutations can give, or
    where none could.

    Examples
    --------
    >>> needed_permutations([0.05, 0.4, 0.9], 19, 0.05), needed_permutations([0.001, 0.4, 0.9], 999, 0.05)
    (60, 0)
    """
    known = np.asarray(p, np.float64)
    known = known[~np.isnan(known)]
    least = 1 / (n_permutations + 1)
    reached = int((known <= 1.5 * least).sum())
    if not len(known) or (reached == 0 and least < alpha) or false_discovery_rate(known).min() < alpha * (1 - 1e-9):
        return 0
    return math.floor(len(known) / (alpha * max(reached, 1)) + 1e-9)  # one more than that in all: q < alpha


def warn_of_resolution(p: ArrayLike, n_permutations: int, alpha: float = 0.05, *, of: str = "") -> None:
    """Say how many permutations are needed where these are too few for any q of a table to fall below `alpha`."""
    needed = needed_permutations(p, n_permutations, alpha)
    if needed:
        logger.warning(
            "%d permutations are too few: no q%s falls below %g, though smaller p may be hidden; use at least %s.",
            n_permutations,
            f" of {of}" if of else "",
            alpha,
            f"{needed:,}",
        )
