"""What computes the steps of a fit: the compiled kernels here, torch in `_torch`; both offer the same few calls."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from affectome.embedding._kernels import adam_steps, sum_gradients, variational_steps
from affectome.embedding._pace import Pace
from affectome.embedding._posterior import Prior
from affectome.embedding._schedule import Leg
from affectome.embedding._trials import Trials, kernel_rows

__all__ = ["BETAS", "Engine", "KernelEngine", "VariationalEngine", "in_tiles"]

BETAS = (0.9, 0.99)  # of Adam; the usual 0.999 remembers the first, noisy steps for too long (docs/embedding.md)
_BLOCK = 1024  # trials per gradient buffer, while a batch has no more than _BLOCKS of them
_BLOCKS = 8
_PARTS = 16  # gradient buffers of a pass over all trials; fixed, like the blocks, since the bits depend on them
_TILE = 8  # trials that move together when many are shuffled: one draw and one trip to memory for all of them
_MANY = 1_000_000


class Engine(Protocol):
    """Holds the trials and the weights of one fit, and moves the weights."""

    def shuffle(self) -> None:
        """Draw a new order of the trials."""

    def descend(self, leg: Leg) -> float:
        """Visit a leg of that order in Adam steps; return the loss summed over its trials as they were met."""

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Mean loss over all trials and its gradient by `weights` (n, p)."""

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights as they are, (n, p)."""


def in_tiles(trials: Trials, batch: int, rng: np.random.Generator) -> tuple[Trials, int]:
    """The trials as a fit lays them out, and how many neighbours move together when they are shuffled."""
    n_trials = len(trials.triplets)
    if n_trials < _MANY or batch % _TILE:
        return trials, 1
    return trials.at(rng.permutation(n_trials)), _TILE  # tiles move as they are: who shares one must be drawn first


class KernelEngine:
    """The compiled kernels on the processor.

    Parameters
    ----------
    trials : Trials
    weights : array of shape (n_stimuli, n_components)
        Where the fit starts.
    l1 : float
        Weight of sum(X), already divided by the number of stimuli.
    offsets : float32 (3,)
    rng : Generator
        Of the order of the trials.
    batch : int
        Trials of the first step; later legs have multiples of it.
    n_jobs : int or None
        Threads; the result is the same for any number.
    """

    def __init__(
        self,
        trials: Trials,
        weights: NDArray[np.float32],
        *,
        l1: float,
        offsets: NDArray[np.float32],
        rng: np.random.Generator,
        batch: int,
        n_jobs: int | None,
    ) -> None:
        laid_out, self._tile = in_tiles(trials, batch, rng)
        self._triplets, self._targets = laid_out.triplets, laid_out.targets
        self._l1, self._offsets, self._rng = l1, offsets, rng
        self._steps, self._passes = Pace(n_jobs), Pace(n_jobs)
        self._n_components = weights.shape[1]
        self._x = kernel_rows(weights)
        self._first, self._second = np.zeros_like(self._x), np.zeros_like(self._x)
        self._gradients = np.empty((0, *self._x.shape), np.float32)
        self._order = np.arange(-(-len(self._triplets) // self._tile), dtype=np.int32)
        self._step = 0

    @property
    def weights(self) -> NDArray[np.float32]:
        return self._x[:, : self._n_components]

    def shuffle(self) -> None:
        whole = len(self._triplets) // self._tile
        self._rng.shuffle(self._order[:whole])  # a last, shorter tile stays last

    def _blocks(self, leg: Leg) -> tuple[int, int]:
        """Trials per gradient buffer and how many buffers a step of this leg needs."""
        block = max(_BLOCK, -(-leg.batch // _BLOCKS // self._tile) * self._tile)
        return block, -(-leg.batch // block)

    def descend(self, leg: Leg) -> float:
        block, n_blocks = self._blocks(leg)
        # A second thread pays only where it has a block of its own; waking it costs more than a small step.
        with self._steps.threads(n_blocks, leg.stop - leg.start):
            loss, self._step = adam_steps(
                self._x, self._first, self._second, self._buffers(n_blocks), self._triplets, self._targets,
                self._offsets, self._order, self._tile, leg.start, leg.stop, leg.batch, block, self._step,
                leg.rate, self._l1, *BETAS,
            )  # fmt: skip
        return float(loss)

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        with self._passes.threads(-(-len(self._triplets) // _BLOCK), len(self._triplets)):
            loss, gradient = sum_gradients(
                kernel_rows(weights), self._buffers(_PARTS), self._triplets, self._targets, self._offsets, _BLOCK
            )
        n_trials = len(self._triplets)
        return float(loss) / n_trials, gradient[:, : self._n_components] / n_trials

    def _buffers(self, count: int) -> NDArray[np.float32]:
        if len(self._gradients) < count:
            self._gradients = np.empty((count, *self._x.shape), np.float32)
        return self._gradients[:count]


class VariationalEngine(KernelEngine):
    """A Gaussian for every weight instead of a number; the steps of VICE.

    Parameters
    ----------
    trials, rng, offsets, batch, n_jobs
        As for the :class:`KernelEngine`.
    mean : array of shape (n_stimuli, n_components)
        Where the means start.
    scale : float
        Where the standard deviations start.
    prior : Prior
    """

    def __init__(
        self,
        trials: Trials,
        mean: NDArray[np.float32],
        *,
        scale: float,
        prior: Prior,
        offsets: NDArray[np.float32],
        rng: np.random.Generator,
        batch: int,
        n_jobs: int | None,
    ) -> None:
        super().__init__(trials, mean, l1=0.0, offsets=offsets, rng=rng, batch=batch, n_jobs=n_jobs)
        self._prior, self._share = prior, 1.0 / len(trials.triplets)
        used = np.arange(self._x.shape[1]) < self._n_components
        self._scale = np.where(used, np.float32(scale), np.float32(0.0)) * np.ones_like(self._x)
        self._log_scale = np.full_like(self._x, np.log(scale))
        self._moments = np.zeros((4, *self._x.shape), np.float32)
        self._noise = rng.standard_normal(2**20 + self._x.shape[1], dtype=np.float32)
        self._seed = int(rng.integers(2**62))

    @property
    def scales(self) -> NDArray[np.float32]:
        """Standard deviations as they are, (n, p); `weights` are the means."""
        return self._scale[:, : self._n_components]

    def descend(self, leg: Leg) -> float:
        block, n_blocks = self._blocks(leg)
        with self._steps.threads(n_blocks, leg.stop - leg.start):
            loss, self._step = variational_steps(
                self._x, self._log_scale, self._scale, self._moments, self._n_components, self._noise, self._seed,
                self._buffers(n_blocks), self._triplets, self._targets, self._offsets, self._order, self._tile,
                leg.start, leg.stop, leg.batch, block, self._step, leg.rate, self._share,
                self._prior.log_odds_at_zero, self._prior.spike**-2, self._prior.slab**-2, *BETAS,
            )  # fmt: skip
        return float(loss)
