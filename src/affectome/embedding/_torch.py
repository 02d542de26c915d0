"""The steps of a fit in torch, on a GPU or on the processor: trials, weights and moments stay on the device.

Gradients are summed in fixed point, as 64-bit integers, whose sum does not depend on the order in which the threads of
a GPU come to add. So the bits of a fit are the same each time on one device with one version of torch. The trials come
in the order of the kernels, so that both engines take the same path but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affectome.embedding._engine import BETAS, in_tiles
from affectome.embedding._schedule import Leg
from affectome.embedding._trials import Trials
from affectome.errors import EnvironmentFailure, InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["TorchEngine"]

_EPSILON = 1e-8  # of Adam, as in the kernels
_BITS = 62  # of a 64-bit integer that a sum may use
_WEIGHT_BITS = 10  # of these, for weights: in a step none may pass 1,024, far above what a softmax can use
_NUMBERS = 1 << 25  # in the gathered rows of trials at once: bounds the memory of what is thrown away to about 0.6 GB
_PAIR_TRIALS = 1 << 20  # trials at once where a pass looks similarities up by pair: about 0.2 GB
_PAIR_STIMULI = 8192  # at most, for which a pass holds the similarities of all pairs: 0.5 GB, twice
_FIRST_OF_PAIR = (1, 2, 0)  # calling slot 0, 1, 2 odd keeps (b, c), (c, a), (a, b)
_SECOND_OF_PAIR = (2, 0, 1)


class TorchEngine:
    """The same steps as `KernelEngine` in torch.

    On CUDA one step is recorded as a graph for each batch size and replayed: a step is some 25 small kernels, and
    launching them one by one would take longer than running them. The host waits for the device once per leg.

    Parameters
    ----------
    trials : Trials
    weights : array of shape (n_stimuli, n_components)
        Where the fit starts.
    l1 : float
        Weight of sum(X), already divided by the number of stimuli.
    offsets : float32 (3,)
    rng : Generator
        Of the order of the trials, the same as in `KernelEngine`.
    batch : int
        Trials of the first step.
    device : str
        ``"cuda"``, ``"cuda:1"`` or ``"torch-cpu"``.

    Raises
    ------
    InputError
        When there is no such device, or it cannot compute what a fit needs.
    EnvironmentFailure
        When torch is not installed, finds no GPU, or the GPU's memory is too small.
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
        device: str,
    ) -> None:
        self._device = checked_device(device)
        import torch

        self._name, self._l1, self._n_trials, self._step = device, l1, len(trials.triplets), 0
        self._shape = weights.shape
        with self._on_device():
            self._soft = len(trials.targets) > 0
            self._lay_out(trials, rng, batch)
            self._x = torch.tensor(weights, device=self._device)  # (n, p)
            self._first, self._second = torch.zeros_like(self._x), torch.zeros_like(self._x)
            self._sums = torch.zeros_like(self._x, dtype=torch.int64)  # the gradient in fixed point
            self._slope = torch.zeros_like(self._x)
            self._offsets = torch.tensor(offsets, device=self._device)
            self._epsilon = torch.tensor(_EPSILON, device=self._device, dtype=torch.float32)
            self._pairs = torch.tensor([_FIRST_OF_PAIR, _SECOND_OF_PAIR], device=self._device)
            self._make_room(batch)

    @property
    def weights(self) -> NDArray[np.float32]:
        weights: NDArray[np.float32] = self._x.cpu().numpy().copy()
        return weights

    def shuffle(self) -> None:
        import torch

        self._rng.shuffle(self._order[: self._n_trials // self._tile])  # a last, shorter tile stays last
        with self._on_device():
            tiles = torch.tensor(self._order, device=self._device).mul_(self._tile)
            within = torch.arange(self._tile, device=self._device, dtype=torch.int32)
            rows = tiles.unsqueeze(1).add(within).view(-1)[: self._n_trials]
            # Moved once an epoch, so that a step reads one stretch of memory.
            self._shuffled = self._triplets.index_select(0, rows)
            if self._soft:
                self._shuffled_targets = self._targets.index_select(0, rows)

    def descend(self, leg: Leg) -> float:
        with self._on_device():
            if leg.batch != self._batch:
                self._make_room(leg.batch)
            self._losses.zero_()
            settings = self._settings_of(leg)
            for number, low in enumerate(range(leg.start, leg.stop, leg.batch)):
                high = min(leg.stop, low + leg.batch)
                self._shown[: high - low].copy_(self._shuffled[low:high])
                if self._soft:
                    self._wanted[: high - low].copy_(self._shuffled_targets[low:high])
                self._settings.copy_(settings[number])
                self._take_step(high - low, last=high == leg.stop)
            return float(self._losses.sum())

    def value_and_gradient(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        import torch

        with self._on_device():
            x = torch.tensor(weights, device=self._device, dtype=torch.float64)
            total = self._by_pairs(x) if len(x) <= _PAIR_STIMULI else self._by_rows(x, float(np.abs(weights).max()))
            mean = total.cpu().numpy() / self._n_trials  # the one transfer of a pass
        return float(mean[0]), mean[1:].reshape(weights.shape)

    def _lay_out(self, trials: Trials, rng: np.random.Generator, batch: int) -> None:
        """Put the trials on the device, in the order and tiles of `KernelEngine`, and prepare to shuffle them alike.

        With the same seed both visit the same trials in the same steps, and so come to the same optimum.
        """
        import torch

        laid_out, self._tile = in_tiles(trials, batch, rng)
        self._rng = rng
        targets = laid_out.targets if self._soft else np.array([[0, 0, 1]], np.float32)
        self._triplets = torch.tensor(laid_out.triplets, device=self._device)  # int32 (t, 3)
        self._targets = torch.tensor(targets, device=self._device)  # (t, 3), or (1, 3) for all
        self._shuffled, self._shuffled_targets = self._triplets, self._targets
        self._order: NDArray[np.int32] = np.arange(-(-self._n_trials // self._tile), dtype=np.int32)

    def _make_room(self, batch: int) -> None:
        """Fixed places for the trials of a step, its settings and losses: a recorded step reads and writes there."""
        import torch

        self._graph: torch.cuda.CUDAGraph | None = None  # the old one gives its memory back first
        self._batch = batch
        self._shown = torch.zeros((batch, 3), device=self._device, dtype=torch.int32)
        self._wanted = torch.zeros((batch, 3), device=self._device) if self._soft else self._targets
        self._settings = torch.zeros(3, device=self._device)
        self._losses = torch.zeros((batch, 3), device=self._device, dtype=torch.float64)

    def _settings_of(self, leg: Leg) -> Tensor:
        """What changes from step to step of a leg, (steps, 3): learning rate by bias correction, and the L1 shift."""
        import torch

        count = -(-(leg.stop - leg.start) // leg.batch)
        steps = self._step + 1 + np.arange(count)
        self._step += count
        columns = [
            leg.rate / (1 - BETAS[0] ** steps),
            np.sqrt(1 / (1 - BETAS[1] ** steps)),
            np.full(count, leg.rate * self._l1),
        ]
        return torch.tensor(np.stack(columns, axis=1), device=self._device, dtype=torch.float32)

    def _take_step(self, size: int, *, last: bool) -> None:
        """One Adam step, replayed where one is recorded; on CUDA the first of a batch size is recorded after it ran."""
        import torch

        if size == self._batch and self._graph is not None:
            self._graph.replay()
            return
        self._move(size)
        if self._device.type == "cuda" and size == self._batch and not last:
            graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.Stream(self._device)
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):  # lets other threads work
                self._move(size)  # is noted down, not done
            self._graph = graph

    def _move(self, size: int) -> None:
        """Adam on the first `size` trials of the fixed places, as in the kernels: see `adam_steps`."""
        import torch

        unit = 2.0 ** (_BITS - _WEIGHT_BITS - (2 * self._batch).bit_length())
        self._sums.zero_()
        for rows in stretches(size, _NUMBERS // (6 * self._x.shape[1])):
            wanted = self._wanted[rows] if self._soft else self._wanted
            log_p = self._add_errors(self._x, self._shown[rows], wanted, unit, self._sums)
            self._losses[rows].addcmul_(wanted, log_p, value=-1)
        torch.mul(self._sums, 1 / (unit * size), out=self._slope)
        self._first.lerp_(self._slope, 1 - BETAS[0])
        self._second.mul_(BETAS[1]).addcmul_(self._slope, self._slope, value=1 - BETAS[1])
        rate, root, shift = self._settings.unbind()
        ahead = shift.addcmul(self._first, rate)
        moved = self._x.addcdiv(ahead, self._epsilon.addcmul(self._second.sqrt(), root), value=-1).clamp_min_(0)
        torch.where(self._second > 0, moved, self._x, out=self._x)  # untouched weights keep their start

    def _add_errors(self, x: Tensor, shown: Tensor, wanted: Tensor, unit: float, sums: Tensor) -> Tensor:
        """Add `unit` times the gradient of these trials to `sums`; return the log probabilities, (t, 3)."""
        p = x.shape[1]
        pairs = shown.index_select(1, self._pairs.view(-1))  # (t, 6): first, then second of the pairs that are kept
        rows = x.index_select(0, pairs.view(-1)).view(-1, 2, 3, p)
        log_p = (rows.select(1, 0).mul(rows.select(1, 1)).sum(-1) + self._offsets).log_softmax(1)
        errors = (log_p.exp() - wanted).mul_(unit)
        partners = shown.index_select(1, self._pairs.flip(0).view(-1))  # to whom these rows send their part
        sent = rows.mul_(errors.view(-1, 1, 3, 1)).long().view(-1, p)
        sums.index_add_(0, partners.view(-1), sent)
        return log_p

    def _by_rows(self, x: Tensor, largest: float) -> Tensor:
        """Loss summed over all trials, and its gradient, in one vector; `largest` is the largest weight."""
        import torch

        bits = (2 * self._n_trials).bit_length() + max(math.frexp(largest)[1], 0)
        unit = 2.0 ** (_BITS - bits)
        sums, loss = torch.zeros_like(x, dtype=torch.int64), x.new_zeros(1)
        for rows in stretches(self._n_trials, _NUMBERS // (6 * x.shape[1])):
            wanted = self._targets[rows] if self._soft else self._targets
            loss -= (wanted * self._add_errors(x, self._triplets[rows], wanted, unit, sums)).sum()
        return torch.cat([loss, sums.double().div_(unit).view(-1)])

    def _by_pairs(self, x: Tensor) -> Tensor:
        """The same from the similarities of all pairs: three numbers per trial are looked up, not three rows.

        With E the summed errors of every pair, the gradient is ``(E + E.T) @ x``.
        """
        import torch

        n = len(x)
        unit = 2.0 ** (_BITS - self._n_trials.bit_length())  # an error is within -1..1
        similarity, loss = (x @ x.T).view(-1), x.new_zeros(1)
        sums = torch.zeros(n * n, device=self._device, dtype=torch.int64)
        for rows in stretches(self._n_trials, _PAIR_TRIALS):
            wanted = self._targets[rows] if self._soft else self._targets
            first, second = (self._triplets[rows].index_select(1, slots) for slots in self._pairs)
            pair = first.long().mul_(n).add_(second)
            log_p = (similarity.take(pair) + self._offsets).log_softmax(1)
            loss -= (wanted * log_p).sum()
            sums.index_add_(0, pair.view(-1), (log_p.exp() - wanted).mul_(unit).long().view(-1))
        errors = similarity.copy_(sums).div_(unit).view(n, n)  # in the memory that the similarities no longer need
        return torch.cat([loss, (errors @ x + errors.T @ x).view(-1)])

    @contextmanager
    def _on_device(self) -> Iterator[None]:
        """Compute on this engine's device; what a GPU lacks is said in a sentence."""
        import torch

        n, p = self._shape
        try:
            with torch.cuda.device(self._device) if self._device.type == "cuda" else one_thread():
                yield
        except torch.cuda.OutOfMemoryError as error:
            raise EnvironmentFailure(
                f"the memory of {self._name} is too small for {self._n_trials:,} trials and {n:,} x {p} weights",
                source="SPoSE",
                remedy="free some of it, use another GPU or device='cpu'",
            ) from error


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold torch to one thread: the bits do not depend on how many there are, and small steps do not wait for any."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def stretches(count: int, length: int) -> Iterator[slice]:
    """Slices of at most `length` that cover ``range(count)``."""
    step = max(length, 1)
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def checked_device(name: str) -> torch.device:
    """The torch device of that name, if it is there and can hold a fit."""
    try:
        import torch
    except ImportError as error:
        raise EnvironmentFailure(
            f"a fit with device='{name}' needs torch", remedy='install it with: pip install "affectome[gpu]"'
        ) from error
    if name == "torch-cpu":
        return torch.device("cpu")
    device = torch.device(name)  # SPoSE lets no other names pass
    if device.type == "mps":
        raise InputError(
            "a fit sums in 64 bits, which mps does not have",
            source="SPoSE",
            remedy="use device='cpu', which is as exact",
        )
    if not torch.cuda.is_available():
        raise EnvironmentFailure(
            "torch finds no CUDA device", source=f"device {name}", remedy="use device='cpu' or mend the installation"
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise EnvironmentFailure(
            f"there are {count} CUDA devices, counted from 0", source=f"device {name}", remedy="give one of them"
        )
    return torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
