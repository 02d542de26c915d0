"""What SPoSE is measured against: the one-hot formulation of the field, and plain torch at its best.

`OneHotFit` is SPoSE as its published training loops write it: one-hot rows of an identity matrix into a linear layer,
batches of 100, Adam at 1e-3, an L1 and a positivity penalty, and after every step the loss, the cross-entropy and the
batch accuracy read back for the log (`logs=False` leaves the reading out). `GatherFit` is what a careful torch user
would write instead: it looks rows up, projects onto X >= 0, and has every choice open (batch, rate, cosine decay, a
batch that grows, gradient by autograd or by hand, threads), so that what is left between it and SPoSE is the kernel.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

L1 = 0.003  # given to both sides where objectives are compared
FORMS = ("by hand", "autograd")


class OneHotFit:
    """The one-hot formulation; `run` goes on where it stopped.

    Parameters
    ----------
    odd_last : int array of shape (n_trials, 3)
    n_stimuli, components : int
    logs : bool
        Read loss, cross-entropy and accuracy back after every step, as the published loops do.
    """

    BATCH, RATE, POSITIVITY = 100, 1e-3, 0.01

    def __init__(
        self, odd_last: NDArray[np.int32], n_stimuli: int, components: int, *, logs: bool = True, seed: int = 0
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._triplets = torch.from_numpy(odd_last).long()
        self._layer = torch.nn.Linear(n_stimuli, components, bias=False)
        start = 0.1 + 0.01 * torch.randn(components, n_stimuli, generator=self._generator)
        self._layer.weight.data.copy_(start)
        self._optimiser = torch.optim.Adam(self._layer.parameters(), lr=self.RATE)
        self._one_hot = torch.eye(n_stimuli)
        self._logs = logs
        self._order = torch.empty(0, dtype=torch.long)
        self.logged: tuple[float, float, float] = (math.nan, math.nan, math.nan)

    @property
    def weights(self) -> NDArray[np.float32]:
        """A copy of the weights, (n, p), with what is left below zero."""
        transposed: NDArray[np.float32] = self._layer.weight.detach().numpy().T.copy()
        return transposed

    def run(self, steps: int) -> float:
        """Take so many steps; return the seconds they took."""
        begin = time.perf_counter()
        for _ in range(steps):
            if len(self._order) < self.BATCH:
                self._order = torch.randperm(len(self._triplets), generator=self._generator)
            rows, self._order = self._order[: self.BATCH], self._order[self.BATCH :]
            self._step(self._triplets[rows])
        return time.perf_counter() - begin

    def _step(self, batch: torch.Tensor) -> None:
        weight = self._layer.weight
        i, j, k = self._layer(self._one_hot[batch.flatten()]).view(len(batch), 3, -1).unbind(dim=1)
        logits = torch.stack([(i * j).sum(1), (i * k).sum(1), (j * k).sum(1)], dim=1)
        entropy = torch.nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        loss = entropy + L1 / weight.shape[1] * weight.abs().sum() + self.POSITIVITY * torch.relu(-weight).sum()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        if self._logs:
            accuracy = (logits.argmax(dim=1) == 0).float().mean()
            self.logged = (loss.item(), entropy.item(), accuracy.item())


@dataclass(frozen=True)
class Setting:
    """How a gather fit or one of ours descends.

    Attributes
    ----------
    batch : int
        Trials per step at first.
    rate : float
        First learning rate; it falls along half a cosine.
    grows : bool
        Whether the batch doubles four times on the way.
    """

    batch: int
    rate: float
    grows: bool


@dataclass(frozen=True)
class Manner:
    """How torch computes a step: gradient ``"by hand"`` or by ``"autograd"``, with so many threads."""

    form: str
    threads: int


class GatherFit:
    """The same objective over looked-up rows, Adam as ours has it, projection onto X >= 0."""

    BETAS, LAST_RATE = (0.9, 0.99), 0.005  # ours, so that the descent is not what differs

    def __init__(
        self, odd_last: NDArray[np.int32], n_stimuli: int, components: int, setting: Setting, manner: Manner, seed: int
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        start = (0.3 + 0.1 * torch.randn(n_stimuli, components, generator=generator)).clamp_(min=0)
        self._triplets = torch.from_numpy(odd_last).long()
        self._x = torch.nn.Parameter(start)
        self._x.grad = torch.zeros_like(self._x)
        self._optimiser = torch.optim.Adam([self._x], lr=setting.rate, betas=self.BETAS, fused=True)
        self._setting, self._manner = setting, manner

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights, (n, p)."""
        array: NDArray[np.float32] = self._x.detach().numpy()
        return array

    def run(self, visits: int) -> float:
        """Descend along a schedule of so many visits to trials, in the random order they have; return the seconds."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._manner.threads)
        step = self._step_by_hand if self._manner.form == FORMS[0] else self._step_by_autograd
        begin, done, n_trials = time.perf_counter(), 0, len(self._triplets)
        while done < visits:
            share = done / visits
            batch = self._setting.batch * (2 ** round(4 * share) if self._setting.grows else 1)
            cosine = self.LAST_RATE + (1 - self.LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
            self._optimiser.param_groups[0]["lr"] = self._setting.rate * cosine
            low = done % n_trials
            rows = self._triplets[low : low + min(batch, visits - done)]
            step(rows)
            done += len(rows)
        seconds = time.perf_counter() - begin
        torch.set_num_threads(before)
        return seconds

    def _step_by_hand(self, batch: torch.Tensor) -> None:
        with torch.no_grad():
            places, size = batch.T.reshape(-1), len(batch)
            i, j, k = self._x.index_select(0, places).view(3, size, -1)
            errors = torch.softmax(torch.stack([(i * j).sum(1), (i * k).sum(1), (j * k).sum(1)]), dim=0)
            errors[0] -= 1
            errors /= size
            ij, ik, jk = (error.unsqueeze(1) for error in errors)
            sent = torch.cat([ij * j + ik * k, ij * i + jk * k, ik * i + jk * j])
            self._x.grad.fill_(L1 / len(self._x)).index_add_(0, places, sent)
            self._optimiser.step()
            self._x.clamp_(min=0)

    def _step_by_autograd(self, batch: torch.Tensor) -> None:
        i, j, k = (self._x.index_select(0, batch[:, slot]) for slot in range(3))
        logits = torch.stack([(i * j).sum(1), (i * k).sum(1), (j * k).sum(1)], dim=1)
        loss = torch.nn.functional.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
        self._optimiser.zero_grad()
        (loss + L1 / len(self._x) * self._x.sum()).backward()
        self._optimiser.step()
        with torch.no_grad():
            self._x.clamp_(min=0)


def fastest_manner(odd_last: NDArray[np.int32], n_stimuli: int, components: int, batch: int, threads: int) -> Manner:
    """Which form of the gradient, and how many threads, torch is fastest with at this batch size; two tries each."""
    setting, few = Setting(batch, 0.01, False), max(batch, 65_536)
    manners = [Manner(form, count) for form in FORMS for count in range(1, threads + 1)]

    def seconds(manner: Manner) -> float:
        return min(GatherFit(odd_last, n_stimuli, components, setting, manner, 0).run(few) for _ in range(2))

    return min(manners, key=seconds)
