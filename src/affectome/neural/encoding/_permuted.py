"""The null of r in many voxels, in batches that fit into the memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.encoding._refit import Refit, Stack
from affectome.neural.encoding._result import Encoding
from affectome.neural.recordings import Recording

__all__ = ["ROUNDING", "PermutedPart", "parts"]

Singles = NDArray[np.float32]

ROUNDING = 5e-6  #: r is summed in float32: what falls short by no more has reached it

_AGREES = 1e-3  # from the r of the encoding
_VOXELS = 2048  # a batch; the same for any memory and any number of threads, so that rounding is
_SUMS = 512  # of each group of trials and voxel, at once


class PermutedPart:
    """Some voxels, whose responses are held centred.

    Attributes
    ----------
    voxels : array of shape (n_chosen,)
    batches : list of slices of `voxels`
    responses : list of float32 arrays of shape (n_trials, n_voxels of the batch)
    observed : float32 array of shape (n_chosen,)
        r as it was, computed in the way of the null.
    """

    def __init__(
        self,
        encoding: Encoding,
        recording: Recording,
        refit: Refit,
        voxels: NDArray[np.intp],
        *,
        chosen: bool,
        threads: int,
    ) -> None:
        self.encoding, self.refit, self.voxels = encoding, refit, voxels
        self.chosen, self.threads = chosen, threads
        self.batches = [slice(start, min(len(voxels), start + _VOXELS)) for start in range(0, len(voxels), _VOXELS)]
        self.responses = [_centred(recording, encoding.rows, voxels[batch]) for batch in self.batches]
        as_it_was = np.arange(len(encoding.rows), dtype=np.int32)[None]
        kept = self._null(as_it_was, chosen=False)[0]
        self.observed = self._null(as_it_was, chosen=True)[0] if chosen else kept
        told = encoding.r[voxels]
        # Where predictions vary by rounding only, r is said to be 0 there, and may be anything here.
        wrong = np.flatnonzero(~(np.abs(kept - told) <= _AGREES) & (told != 0))
        if len(wrong):
            voxel = int(voxels[wrong[0]])
            raise InputError(
                f"the r of {len(wrong)} voxels is not that of the encoding (voxel {voxel}: {kept[wrong[0]]:.3f}, there "
                f"{encoding.r[voxel]:.3f})",
                source=recording.source or recording.subject,
                remedy="give the recording that was encoded, as it was then",
            )

    def null(self, orders: NDArray[np.int32], said: Callable[[int], None]) -> Singles:
        """R under every rearrangement, (n_permutations, n_chosen); what is undefined is 1, as large as can be."""
        return np.nan_to_num(self._null(orders, chosen=self.chosen, said=said), copy=False, nan=1.0)

    def _null(self, orders: NDArray[np.int32], *, chosen: bool, said: Callable[[int], None] | None = None) -> Singles:
        from threadpoolctl import threadpool_limits

        null = np.empty((len(orders), len(self.voxels)), np.float32)
        at_once = _at_once(self.refit)
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(orders), at_once):
                rows = slice(start, min(len(orders), start + at_once))
                stack = self.refit.stack(orders[rows])
                found = pool.map(partial(self._scores, stack, chosen=chosen), range(len(self.batches)))
                for batch, scores in zip(self.batches, found, strict=True):
                    null[rows, batch] = scores
                if said is not None:
                    said(rows.stop * len(self.voxels) // len(orders))
        return null

    def _scores(self, stack: Stack, number: int, *, chosen: bool) -> Singles:
        voxels = self.voxels[self.batches[number]]
        alpha = None if chosen else self.encoding.alpha[:, voxels]
        return self.refit.scores(stack, self.responses[number], voxels, alpha)


def _at_once(refit: Refit) -> int:
    """Rearrangements whose sums are made by one product."""
    return max(1, _SUMS // int(refit.augmented.shape[1]))


def _centred(recording: Recording, rows: NDArray[np.intp], voxels: NDArray[np.intp]) -> Singles:
    """Responses about their means and of unit spread, so that sums in float32 lose nothing to an offset."""
    values = recording.responses[np.ix_(rows, voxels)].astype(np.float64)
    values -= values.mean(axis=0)
    values /= values.std(axis=0)
    return values.astype(np.float32)


def parts(
    encoding: Encoding,
    recording: Recording,
    refit: Refit,
    voxels: NDArray[np.intp],
    n_permutations: int,
    memory_gb: float,
    n_jobs: int | None,
    chosen: bool,
) -> Iterator[PermutedPart]:
    """The voxels in parts whose responses and nulls fit into the memory."""
    threads = n_jobs if n_jobs is not None and n_jobs > 0 else os.cpu_count() or 1
    threads = max(1, min(threads, -(-len(voxels) // _VOXELS)))
    width, n_groups = min(len(voxels), _VOXELS), len(refit.atom_of_group)
    sums, (n, p) = _at_once(refit) * refit.augmented.shape[1], refit.augmented.shape
    stack = 4 * sums * n * (n_groups + 2)  # most where trials change places between groups
    # Sums of every group, and per fold a handful of arrays as large (in float64 where alpha is chosen anew).
    at_work = threads * 4 * width * sums * (n_groups + (8 + 3 * len(refit.alphas) if chosen else 5))
    at_work += 24 * n_permutations * width  # a batch of the null in float64, sorted
    each = 4 * (n + n_permutations)
    room = memory_gb * 1e9 - stack - at_work
    if room < each * width:
        raise InputError(
            f"memory_gb={memory_gb:g} is too small for {n} trials, {p - 1} features and {n_permutations} permutations",
            remedy=f"give at least {(stack + at_work + each * width) / 1e9:.2g}, or use fewer threads (n_jobs)",
        )
    size = max(_VOXELS, int(room // each) // _VOXELS * _VOXELS)
    for start in range(0, len(voxels), size):
        yield PermutedPart(encoding, recording, refit, voxels[start : start + size], chosen=chosen, threads=threads)
