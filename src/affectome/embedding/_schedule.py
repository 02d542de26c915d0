"""How a fit cools down: which rate and batch it uses when (chosen by measurement, docs/embedding.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Leg", "annealing", "default_batch", "default_epochs", "default_sparsity", "default_tolerance"]

_PARTS = 8  # legs of an epoch, between which the rate falls and Ctrl-C is served
_GROWTH = 16  # the batch doubles until it is this many times its first size
_LAST_RATE = 0.005  # share of the first rate at the end


@dataclass(frozen=True)
class Leg:
    """A stretch of an epoch with one batch size and one learning rate.

    Attributes
    ----------
    start, stop : int
        Positions in the epoch's order, in trials; `start` is a multiple of `batch`.
    batch : int
    rate : float
    """

    start: int
    stop: int
    batch: int
    rate: float


def default_batch(n_trials: int) -> int:
    """First batch: the power of two below a two-hundredth of the trials, from 64 to 4,096."""
    return 1 << min(max(int(math.log2(max(n_trials / 200, 1))), 6), 12)


def default_epochs(n_trials: int) -> int:
    """Passes over the trials: 32 for 100,000 trials, 16 for six million, at most 64 for few."""
    return min(max(round(32 * math.pow(max(n_trials, 1) / 100_000, -1 / 6)), 16), 64)


def default_sparsity(n_stimuli: int, n_used: int, n_trials: int) -> float:
    """Weight of the L1 term of a fit to `n_trials` about `n_used` of `n_stimuli`.

    Over all trials it is a prior of rate 4 per unit of weight, or of sqrt(m) / 4 where there are m > 256 trials for
    each stimulus: what a surplus component can gain by fitting noise grows with the square root of the evidence. No
    more than 0.06 (were all stimuli used): beyond, components do not grow at all.
    """
    rate = max(4.0, math.sqrt(n_trials / n_used) / 4)
    return n_stimuli * min(rate / n_trials, 0.06 / n_used)


def default_tolerance(n_trials: int) -> float:
    """Fall of the objective over ten iterations that ends a fit: 1e-5 where passes cost nothing, 1e-3 for millions."""
    return min(max(n_trials * 1e-9, 1e-5), 1e-3)


def annealing(n_trials: int, n_epochs: int, rate: float, batch: int) -> Iterator[list[Leg]]:
    """The legs of every epoch: the rate falls along half a cosine, the batch doubles four times on the way.

    High rates and small batches first: their noise carries a fit out of poor optima, in which two components share one
    meaning. Large batches and low rates last: they find the bottom.
    """
    for epoch in range(n_epochs):
        size = min(batch * 2 ** round(math.log2(_GROWTH) * epoch / n_epochs), n_trials)
        length = -(-n_trials // _PARTS // size) * size
        legs = []
        for start in range(0, n_trials, length):
            done = (epoch + start / n_trials) / n_epochs
            share = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
            legs.append(Leg(start, min(start + length, n_trials), size, rate * share))
        yield legs
