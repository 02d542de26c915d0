"""The sums over pairs that permutation in closed form needs (`SUMS`), of many centres at once, in torch.

The same sums as `centred_pair_sums` and `dense_pair_sums` make, which say why; products in the precision of the
factors, all else in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from affectome.neural.searchlight._moments3 import cubed_rows
from affectome.neural.searchlight._torch_spheres import DeviceRuns, SphereBatch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["dense_moments", "factor_moments", "sphere_moments"]


def sphere_moments(sphere: SphereBatch, runs: DeviceRuns) -> Tensor:
    """Of the similarities of a batch of spheres, (B, 10): of factors, or of pairs where voxels are as many."""
    if sphere.d.shape[1] >= runs.n:
        pairs = sphere.d.mT @ sphere.d + sphere.effect[:, :, None] + sphere.effect[:, None]
        return dense_moments(pairs, runs)
    return factor_moments(sphere, sphere.d @ sphere.d.mT, runs.within(sphere), runs)


def factor_moments(sphere: SphereBatch, gram: Tensor, within: Tensor, runs: DeviceRuns) -> Tensor:
    """Of similarities ``u_i + u_j + d_i . d_j``, (B, 10).

    `gram` (B, V, V) is d d', `within` float64 (B, n_runs, L, L) the similarities of pairs of one run, 0 beyond them.
    """
    import torch

    d, u, n = sphere.d, sphere.effect, runs.n
    kind, squares = d.dtype, gram.double()
    pulled = (d @ u.to(kind)[:, :, None]).double()[:, :, 0]  # (B, V)
    lift = within.sum((1, 2, 3)) / runs.n_ordered  # minus the mean over the pairs that count: all pairs sum to 0
    within = within + lift[:, None, None, None] * runs.both
    shifted, length = u + lift[:, None], (u * u).sum(1)

    squared = runs.products(gram @ d, d)  # pairs within runs of the square of all similarities
    squared += runs.pairs((pulled.to(kind)[:, None] @ d)[:, 0].double())
    own = runs.gather(shifted)
    squared += n * own[..., :, None] * own[..., None, :] + length[:, None, None, None]

    row = n * shifted - runs.scatter(within.sum(3))
    square_row = runs.scatter(squared.diagonal(dim1=2, dim2=3)) - runs.scatter((within * within).sum(3))
    whole = _core(squares, pulled, length, lift, n)
    triangle = ((whole @ whole) * whole.mT).sum((1, 2)) - 3 * (squared * within).sum((1, 2, 3))
    triangle += 2 * ((within @ within) * within).sum((1, 2, 3))
    square = squares @ squares
    pull = (d @ row.to(kind)[:, :, None]).double()
    row_run = runs.gather(row) * runs.both.diagonal(dim1=1, dim2=2)
    path = (pull * pull).sum((1, 2)) - (row_run * (within @ row_run[..., None])[..., 0]).sum((1, 2))
    sums = [
        torch.zeros_like(lift),
        square_row.sum(1),
        (row * row).sum(1),
        _cubes(d, u, shifted, runs),
        (square_row * row).sum(1),
        triangle,
        (row**3).sum(1),
        path,
        (square * squares).sum((1, 2)),
        (square * square).sum((1, 2)),
    ]
    return torch.stack(sums, 1)


def _core(squares: Tensor, pulled: Tensor, length: Tensor, lift: Tensor, n: int) -> Tensor:
    """K W'W of L = W K W' with W = [d', u, 1], (B, V + 2, V + 2)."""
    k = squares.shape[1]
    whole = squares.new_zeros(len(squares), k + 2, k + 2)
    whole[:, :k, :k], whole[:, :k, k] = squares, pulled
    whole[:, k, k + 1] = n  # u 1' + 1 u' + lift 1 1'
    whole[:, k + 1, :k], whole[:, k + 1, k], whole[:, k + 1, k + 1] = pulled, length, lift * n
    return whole


def _cubes(d: Tensor, u: Tensor, shifted: Tensor, runs: DeviceRuns) -> Tensor:
    """Sum of cubes over the pairs that count, or its estimate from the pairs of some stimuli."""
    import torch

    rows = cubed_rows(runs.n)
    those = torch.tensor(rows, device=d.device)
    value = (d.index_select(2, those).mT @ d).double()  # (B, n_rows, n)
    value += u.index_select(1, those)[:, :, None] + shifted[:, None]
    value *= runs.counts_of(those)
    return (value**3).sum((1, 2)) * (runs.n_ordered / float(np.sum(runs.blocks.degree[rows])))


def dense_moments(similarity: Tensor, runs: DeviceRuns) -> Tensor:
    """Of any symmetric float64 (B, n, n), by products of n^3 operations; (B, 10)."""
    import torch

    n, counted = runs.n, runs.counts
    mean = (similarity * counted).sum((1, 2)) / runs.n_ordered
    a = (similarity - mean[:, None, None]) * counted
    square = a * a
    row, square_row, cube = a.sum(2), square.sum(2), (square * a).sum((1, 2))
    path = _form(row, a)
    a = a - (row[:, :, None] + row[:, None]) / n  # centred over rows and columns
    product = a @ a
    third = (product * a).sum((1, 2))
    sums = [
        torch.zeros_like(mean),
        square_row.sum(1),
        (row * row).sum(1),
        cube,
        (square_row * row).sum(1),
        third + 3 / n * _form(row, a),
        (row**3).sum(1),
        path,
        third,
        (product * product).sum((1, 2)),
    ]
    return torch.stack(sums, 1)


def _form(row: Tensor, matrix: Tensor) -> Tensor:
    return (row * (matrix @ row[:, :, None])[:, :, 0]).sum(1)
