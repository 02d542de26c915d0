"""The Gaussians of VICE: their prior, what they say of a choice, which components they keep, how sure they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

__all__ = [
    "Prior",
    "divergence",
    "expected_probabilities",
    "rectified_moments",
    "sampled_probabilities",
    "supporting_stimuli",
]

Floats = NDArray[np.float64]
_CHUNK = 200_000  # trials whose moments are held at once
_NODES = 24  # of the Gauss-Hermite rule: right to 2e-3 for deviations up to .6, which the default prior has at most
_PROBIT = math.pi / 8  # a logistic of a normal number is close to a logistic of its mean over sqrt(1 + pi/8 variance)


@dataclass(frozen=True)
class Prior:
    """A spike and a slab: ``share * N(0, spike^2) + (1 - share) * N(0, slab^2)`` for every weight.

    Attributes
    ----------
    spike, slab : float
        Standard deviations.
    share : float
        Of the spike.
    """

    spike: float
    slab: float
    share: float

    @property
    def log_odds_at_zero(self) -> float:
        """Log of the spike's part of the density over the slab's, at 0."""
        return math.log(self.share / (1 - self.share)) + math.log(self.slab / self.spike)

    def log_density(self, x: Floats) -> Floats:
        """In log space, so that no tail underflows."""
        parts = [
            math.log(share) - math.log(width) - 0.5 * math.log(2 * math.pi) - 0.5 * (x / width) ** 2
            for share, width in ((self.share, self.spike), (1 - self.share, self.slab))
        ]
        together: Floats = np.logaddexp(*parts)
        return together

    def pull(self, x: Floats) -> Floats:
        """Minus the slope of the log density: how strongly a weight at x is drawn to 0."""
        odds = self.log_odds_at_zero - 0.5 * x**2 * (self.spike**-2 - self.slab**-2)
        spiked = np.exp(-np.logaddexp(0.0, -odds))
        drawn: Floats = x * (spiked * self.spike**-2 + (1 - spiked) * self.slab**-2)
        return drawn


def divergence(mean: Floats, scale: Floats, prior: Prior) -> Floats:
    """Kullback-Leibler divergence of each Gaussian from the prior, by Gauss-Hermite quadrature."""
    node, weight = np.polynomial.hermite_e.hermegauss(_NODES)
    density = prior.log_density(mean[..., None] + scale[..., None] * node) @ (weight / weight.sum())
    apart: Floats = -np.log(scale) - 0.5 * math.log(2 * math.pi * math.e) - density
    return apart


def supporting_stimuli(mean: Floats, scale: Floats, alpha: float) -> NDArray[np.intp]:
    """For each component, the number of stimuli whose weight is above 0 at false discovery rate `alpha`.

    Null of stimulus i: its weight is not positive; p = P(x <= 0) under its Gaussian; Benjamini and Hochberg's step-up
    over the stimuli of the component.
    """
    p = np.sort(ndtr(-mean / np.maximum(scale, 1e-30)), axis=0)
    line = alpha * np.arange(1, len(p) + 1)[:, None] / len(p)
    below = p <= line
    # Step up: all p up to the largest one on or under the line, also those above the line before it.
    count: NDArray[np.intp] = np.where(below.any(axis=0), len(p) - below[::-1].argmax(axis=0), 0)
    return count


def rectified_moments(mean: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of max(x, 0) for normal x."""
    scale = np.maximum(scale, 1e-30)
    z = mean / scale
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    share = np.exp(log_ndtr(z))
    first = mean * share + scale * density
    second = (mean**2 + scale**2) * share + mean * scale * density
    return first, np.maximum(second - first**2, 0.0)


def expected_probabilities(mean: Floats, scale: Floats, triplets: NDArray[np.int32]) -> NDArray[np.float32]:
    """Posterior predictive probabilities of the slots, without sampling; (t, 3).

    The similarities are taken as normal with the mean and covariance that independent rectified Gaussians give them
    exactly. Each slot then wins against each other with a logistic that is flattened by the variance of their
    difference, and the three are put together as in a softmax and made to sum to one.
    """
    first, variance = rectified_moments(mean, scale)
    out = np.empty((len(triplets), 3), np.float32)
    for start in range(0, len(triplets), _CHUNK):
        rows = triplets[start : start + _CHUNK]
        m, v = first[rows], variance[rows]  # (t, 3, p)
        similarity = np.stack([(m[:, j] * m[:, k]).sum(axis=1) for j, k in ((1, 2), (0, 2), (0, 1))], axis=1)
        against = np.ones((len(rows), 3))
        for slot, other in ((0, 1), (0, 2), (1, 2)):
            # s_slot - s_other = x_c . (x_other - x_slot), where c is in neither slot: slot's pair is (other, c).
            c = 3 - slot - other
            gap = m[:, other] - m[:, slot]
            spread = v[:, other] + v[:, slot]
            ahead = similarity[:, slot] - similarity[:, other]
            doubt = (v[:, c] * (gap**2 + spread) + m[:, c] ** 2 * spread).sum(axis=1)
            flat = ahead / np.sqrt(1 + _PROBIT * doubt)
            against[:, slot] += np.exp(np.minimum(-flat, 700.0))
            against[:, other] += np.exp(np.minimum(flat, 700.0))
        share = 1 / against
        out[start : start + _CHUNK] = share / share.sum(axis=1, keepdims=True)
    return out


def sampled_probabilities(
    mean: Floats, scale: Floats, triplets: NDArray[np.int32], *, n_samples: int, seed: int, n_jobs: int | None
) -> NDArray[np.float32]:
    """The same as the mean over `n_samples` draws of all weights."""
    from affectome.embedding._choices import choice_probabilities

    rng = np.random.default_rng(seed)
    total = np.zeros((len(triplets), 3), np.float64)
    for _ in range(n_samples):
        drawn = np.maximum(rng.normal(mean, scale), 0.0)
        total += choice_probabilities(drawn, triplets, n_jobs=n_jobs)
    averaged: NDArray[np.float32] = (total / n_samples).astype(np.float32)
    return averaged
