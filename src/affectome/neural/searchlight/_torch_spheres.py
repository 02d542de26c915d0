"""Spheres in torch: the patterns of many centres as factors at once, and the pairs of stimuli of every run.

Stimuli are sorted by run throughout. The similarity of stimuli i and j is written as in the compiled kernels,

    g_ij = constant + u_i + u_j + d_i . d_j,    sum_i d_i = 0,    sum_i u_i = 0,

d in the precision of the products, everything else in float64. A sphere with fewer voxels than the largest of its
batch is filled up with rows of d that are 0, which change no product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from affectome.neural.searchlight._inputs import BrainMetric, Neighbourhoods
from affectome.neural.searchlight._moments3 import RunBlocks

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["DeviceRuns", "DeviceTables", "SphereBatch", "batches", "padded_columns", "sphere_batch", "turned_responses"]


class DeviceTables:
    """What all centres share, sent to the device once; the tables stay behind where a scorer travels to a process."""

    def __init__(self, device: str) -> None:
        self.name = device
        self._tables: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "_tables": {}}

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device(self.name)

    def send(self, values: NDArray[Any]) -> Tensor:
        """A copy on the device."""
        import torch

        return torch.tensor(values, device=self.device)

    def table(self, name: str, make: Callable[[], NDArray[Any]]) -> Tensor:
        """The table of this name, made and sent at first use."""
        found: Tensor = self.held(name, lambda: self.send(make()))
        return found

    def held(self, name: str, make: Callable[[], Any]) -> Any:
        """Anything else that is made once."""
        if name not in self._tables:
            self._tables[name] = make()
        return self._tables[name]


class DeviceRuns:
    """`RunBlocks` of stimuli that are sorted by run, for values whose last axis is that of the stimuli."""

    def __init__(self, blocks: RunBlocks, device: torch.device) -> None:
        import torch

        self.blocks, self.n, self.n_ordered = blocks, blocks.n, blocks.n_ordered
        real = blocks.places < blocks.n
        self._shape = real.shape
        self._places = torch.tensor(np.where(real, blocks.places, 0).ravel(), device=device)
        self._flat = torch.tensor(np.flatnonzero(real.ravel()), device=device)
        self.both = torch.tensor(real[:, :, None] & real[:, None, :], device=device).double()  # (n_runs, L, L)
        self.degree = torch.tensor(blocks.degree, device=device)
        self._run = torch.tensor(np.arange(blocks.n) if blocks.run is None else np.asarray(blocks.run), device=device)

    @cached_property
    def counts(self) -> Tensor:
        """1 for the pairs that count, else 0; float64 (n, n)."""
        return self.counts_of(slice(None))

    def counts_of(self, rows: slice | Tensor) -> Tensor:
        """The same of some stimuli with all, (n_rows, n)."""
        return (self._run[rows][:, None] != self._run).double()

    def gather(self, values: Tensor) -> Tensor:
        """(..., n) run by run, (..., n_runs, L); what lies beyond a shorter run has no meaning."""
        return values.index_select(-1, self._places).view(*values.shape[:-1], *self._shape)

    def scatter(self, values: Tensor) -> Tensor:
        """What `gather` took apart."""
        return values.flatten(-2).index_select(-1, self._flat)

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """Dot products over voxels within runs, of (B, V, n) and (B, V, n): float64 (B, n_runs, L, L)."""
        if self._shape[1] == 1:  # a stimulus with itself
            return (left.double() * right.double()).sum(1)[:, :, None, None]
        one, other = (self.gather(part).permute(0, 2, 3, 1) for part in (left, right))
        return (one @ other.mT).double()

    def pairs(self, values: Tensor) -> Tensor:
        """Sums of the values (B, n) of two stimuli of a run, (B, n_runs, L, L)."""
        in_run = self.gather(values)
        return in_run[..., :, None] + in_run[..., None, :]

    def within(self, sphere: SphereBatch) -> Tensor:
        """Similarities of the pairs of a run, without their constant, 0 beyond it; float64 (B, n_runs, L, L)."""
        return (self.products(sphere.d, sphere.d) + self.pairs(sphere.effect)) * self.both

    def unpacked(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Blocks of runs written row by row one after another, (..., total), as (..., n_runs, L, L)."""
        both = self.both.cpu().numpy() > 0
        blocks = np.zeros((*values.shape[:-1], *both.shape))
        blocks[..., both] = values
        return blocks


@dataclass(frozen=True, eq=False)
class SphereBatch:
    """The factors of some centres.

    Attributes
    ----------
    d : tensor of shape (B, V, n)
    effect : float64 tensor of shape (B, n)
        u.
    constant : float64 tensor of shape (B,)
    directionless : int64 tensor of shape (B,)
        Stimuli without a direction.
    """

    d: Tensor
    effect: Tensor
    constant: Tensor
    directionless: Tensor


def turned_responses(responses: NDArray[np.float32], order: NDArray[np.intp], tables: DeviceTables) -> Tensor:
    """Responses (n, n_voxels) as float32 (n_voxels, n) on the device, stimuli in this order."""
    by_run = tables.table("order", lambda: order)
    return tables.send(responses).index_select(0, by_run).T.contiguous()


def batches(centres: NDArray[np.intp], sizes: NDArray[np.int64], count: int) -> Iterator[NDArray[np.intp]]:
    """The centres, at most `count` at a time, those of one size beside each other."""
    ordered = centres[np.argsort(sizes[centres], kind="stable")]
    for start in range(0, len(ordered), count):
        yield ordered[start : start + count]


def padded_columns(neighbourhoods: Neighbourhoods, centres: NDArray[np.intp]) -> NDArray[np.int64]:
    """Voxels of these centres, (n_centres, largest), -1 beyond the last."""
    columns = np.full((len(centres), int(neighbourhoods.sizes[centres].max())), -1, np.int64)
    for row, centre in zip(columns, centres, strict=True):
        voxels = neighbourhoods[centre]
        row[: len(voxels)] = voxels
    return columns


def sphere_batch(source: Tensor, columns: Tensor, metric: BrainMetric, dtype: torch.dtype) -> SphereBatch:
    """Factors of the spheres whose voxels are these rows (B, V) of `source` (n_voxels, n); -1 is no voxel.

    Euclidean distances have those of squared ones.
    """
    real = (columns >= 0)[:, :, None]
    sizes = real.sum(1)  # (B, 1)
    z = source[columns.clamp(min=0)].double() * real  # (B, V, n)
    n, directionless = z.shape[2], columns.new_zeros(len(columns))
    if metric in ("correlation", "cosine"):
        mean = z.sum(1) / sizes if metric == "correlation" else z.new_zeros(len(z), n)
        z = (z - mean[:, None]) * real
        length = (z * z).sum(1)
        none = length <= sizes * (1e-12 * mean) ** 2  # a constant row whose mean does not round to its value has none
        directionless = none.sum(1)
        z *= length.rsqrt().masked_fill(none, 0.0)[:, None]
    shared = z.mean(2, keepdim=True)  # (B, V, 1)
    z -= shared
    if metric in ("correlation", "cosine"):
        constant = (shared * shared).sum((1, 2))
        effect = (shared * z).sum(1)
    else:
        constant = z.new_zeros(len(z))
        effect = -(z * z).sum(1)
        z *= 2**0.5
    middle = effect.mean(1, keepdim=True)
    return SphereBatch(z.to(dtype), effect - middle, constant + 2 * middle[:, 0], directionless)
