"""In how many people is there an effect, when each was tested by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from affectome._resampling import check_level
from affectome.errors import InputError

__all__ = ["Prevalence", "prevalence"]

Floats = NDArray[np.float64]

_HALVINGS = 60  # of an interval of width one: beyond float64


@dataclass(frozen=True, eq=False)
class Prevalence:
    """What k of n people with a significant effect say about the population; all arrays of the shape of the counts.

    Attributes
    ----------
    k, n : int arrays
        People with p <= alpha, and people tested.
    most_likely : float array
        Maximum of the posterior (MAP), 0..1.
    low, high : float arrays
        Highest-density interval of the posterior that holds `level`.
    bound : float array
        One-sided: with probability `level` the prevalence is larger.
    majority : float array
        Posterior probability that more than half of the population would show the effect.
    p_nobody : float array
        P(K >= k) if nobody had the effect: binomial with n and alpha.
    alpha, sensitivity, level : float
    """

    k: NDArray[np.intp]
    n: NDArray[np.intp]
    most_likely: Floats
    low: Floats
    high: Floats
    bound: Floats
    majority: Floats
    p_nobody: Floats
    alpha: float
    sensitivity: float
    level: float

    def table(self) -> pd.DataFrame:
        """One row per count, in their order."""
        names = ("k", "n", "most_likely", "low", "high", "bound", "majority", "p_nobody")
        return pd.DataFrame({name: getattr(self, name).ravel() for name in names})


def prevalence(
    k: ArrayLike, n: ArrayLike, *, alpha: float = 0.05, sensitivity: float = 1.0, level: float = 0.95
) -> Prevalence:
    """Share of the population that would show the effect, from how many of n people showed it.

    Parameters
    ----------
    k : int or array of ints
        People whose own test gave p <= alpha; one count per region or voxel.
    n : int or array of ints
        People tested, broadcast against `k`.
    alpha
        False positive rate of the test of one person, uncorrected over regions; half of it where a two-sided test
        counts in one direction only.
    sensitivity
        Chance that the test finds the effect in a person who has it. At 1 the prevalence is that of people in whom
        *this* experiment would find it, which is a lower bound of that of people who have it.
    level
        Probability that the interval holds, and that the bound leaves above it.

    Returns
    -------
    Prevalence

    Notes
    -----
    With prevalence g a person is significant with probability theta = alpha (1 - g) + sensitivity g, independently of
    the others; k is binomial. The prior of g is uniform, so theta has a Beta(k + 1, n - k + 1) posterior cut to
    [alpha, sensitivity] [1]_. Nothing is drawn. The posterior of a region is not corrected for the number of regions;
    `p_nobody` (null: the effect is in nobody, and every person's test holds its level) can be.

    References
    ----------
    .. [1] Ince, Paton, Kay & Schyns (2021). Bayesian inference of population prevalence. eLife 10, e62461.

    Examples
    --------
    All five of five: with probability .95 at least .59 of the population would show it.

    >>> found = prevalence([5, 4, 0], 5)
    >>> found.bound.round(2).tolist(), found.most_likely.round(2).tolist()
    ([0.59, 0.39, 0.01], [1.0, 0.79, 0.0])
    """
    check_level(level)
    if not 0 <= alpha < sensitivity <= 1:
        raise InputError(
            f"alpha={alpha} and sensitivity={sensitivity} describe no test",
            remedy="use 0 <= alpha < sensitivity <= 1",
        )
    counts = _counts(k, n)
    # A map has many voxels and few different counts.
    different, place = np.unique(np.stack([part.ravel() for part in counts]), axis=1, return_inverse=True)
    successes, people = different
    posterior = _Posterior(successes, people, alpha, sensitivity)
    low, high = posterior.densest(level)
    found = {
        "k": successes,
        "n": people,
        "most_likely": posterior.share(successes / people),
        "low": low,
        "high": high,
        "bound": posterior.quantile(np.full(successes.shape, 1 - level)),
        "majority": posterior.above(0.5),
        "p_nobody": np.where(
            successes == 0, 1.0, special.betainc(np.maximum(successes, 1), people - successes + 1, alpha)
        ),
    }
    return Prevalence(
        **{name: values[place].reshape(counts[0].shape) for name, values in found.items()},
        alpha=alpha,
        sensitivity=sensitivity,
        level=level,
    )


def _counts(k: ArrayLike, n: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Counts of one shape, checked."""
    given = np.broadcast_arrays(np.asarray(k, np.float64), np.asarray(n, np.float64))
    successes, people = (np.array(counts) for counts in given)
    whole = (successes == np.rint(successes)) & (people == np.rint(people))
    wrong = ~(whole & (people >= 1) & (successes >= 0) & (successes <= people))
    if wrong.any():
        first = np.flatnonzero(wrong.ravel())[0]
        raise InputError(
            f"{successes.ravel()[first]:g} of {people.ravel()[first]:g} people is no count",
            where=f"place {first + 1}" if wrong.size > 1 else None,
            remedy="give whole numbers with 0 <= k <= n and n >= 1",
        )
    return successes.astype(np.intp), people.astype(np.intp)


class _Posterior:
    """Beta(k + 1, n - k + 1) of theta cut to [alpha, sensitivity], read as prevalence."""

    def __init__(self, k: NDArray[np.intp], n: NDArray[np.intp], alpha: float, sensitivity: float) -> None:
        self.k, self.n, self.alpha, self.sensitivity = k, n, alpha, sensitivity
        self.above_alpha = special.betaincc(k + 1.0, n - k + 1.0, alpha)
        self.above_top = special.betaincc(k + 1.0, n - k + 1.0, sensitivity) if sensitivity < 1 else np.zeros(k.shape)
        self.mass = self.above_alpha - self.above_top

    def share(self, theta: Floats) -> Floats:
        """The prevalence at which a person is significant with this probability."""
        prevalences: Floats = np.clip((theta - self.alpha) / (self.sensitivity - self.alpha), 0.0, 1.0)
        return prevalences

    def above(self, prevalence: float) -> Floats:
        """Probability of a larger prevalence."""
        theta = self.alpha + (self.sensitivity - self.alpha) * prevalence
        upper: Floats = (special.betaincc(self.k + 1.0, self.n - self.k + 1.0, theta) - self.above_top) / self.mass
        return np.clip(upper, 0.0, 1.0)

    def _theta(self, probability: Floats) -> Floats:
        survival = self.above_alpha - probability * self.mass
        theta: Floats = special.betainccinv(self.k + 1.0, self.n - self.k + 1.0, np.clip(survival, 0.0, 1.0))
        return np.clip(theta, self.alpha, self.sensitivity)

    def quantile(self, probability: Floats) -> Floats:
        """Prevalence below which lies this probability."""
        return self.share(self._theta(probability))

    def densest(self, level: float) -> tuple[Floats, Floats]:
        """Ends of the shortest interval that holds `level`.

        The density has one peak, so that moving an interval of fixed mass to the right first raises its lower end's
        density above that of the upper end where the interval is shortest: halving finds the place.
        """
        left, right = np.zeros(self.k.shape), np.full(self.k.shape, 1 - level)
        for _ in range(_HALVINGS):
            tail = (left + right) / 2
            lower_is_denser = self._log_density(self._theta(tail)) >= self._log_density(self._theta(tail + level))
            left, right = np.where(lower_is_denser, left, tail), np.where(lower_is_denser, tail, right)
        tail = (left + right) / 2
        return self.quantile(tail), self.quantile(tail + level)

    def _log_density(self, theta: Floats) -> Floats:
        density: Floats = special.xlogy(self.k, theta) + special.xlog1py(self.n - self.k, -theta)
        return density
