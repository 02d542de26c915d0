"""Ridge for every voxel from sums over folds: one pass over the responses, whatever the number of folds and alphas.

With p features and V voxels the inner loop costs p^2 V operations per alpha and pair of folds, where predicting the
held-out trials would cost n p V.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from affectome._fold_sums import FoldSums, TargetSums
from affectome.errors import InputError
from affectome.neural.encoding._solvers import Problem, Solution

__all__ = ["solve_moments"]

Floats = NDArray[np.float64]

_LEAST = 64  # voxels of a batch
_TILE = 1024  # voxels read at once, and the grid that batches lie on: rounding does not depend on the memory


def solve_moments(problem: Problem) -> Solution:
    """Solve by sums over atoms of trials."""
    engine, solution = FoldSums(problem.x, problem.splits), Solution(problem)
    done = 0
    total = problem.y.shape[1] * (len(problem.bands) + 2)
    for voxels in _batches(problem, engine):
        width = voxels.stop - voxels.start
        sums, centre, scale = _collect(problem, engine, voxels, solution)
        done += width
        problem.progress(done, total, detail="sums over folds")
        best = np.full((len(problem.splits.final), width), np.inf, problem.dtype)
        for k, band in enumerate(problem.bands):
            gains = engine.inner_gains(engine.prepare(band), sums, problem.alphas, dtype=problem.dtype)
            keep_best(gains, best, k, solution, voxels)
            done += width
            problem.progress(done, total, detail="choice of alpha")
        totals = engine.inner_totals(sums)
        with np.errstate(invalid="ignore", divide="ignore"):
            solution.inner_r2[:, voxels] = np.where(totals > 0, -best / totals, np.nan)
        _fit(problem, engine, sums, centre, scale, voxels, solution)
        done += width
        problem.progress(done, total, detail="models")
    return solution


def keep_best(
    gains: NDArray[np.floating], best: NDArray[np.floating], band: int, solution: Solution, voxels: slice
) -> None:
    """Where a weighting does better than those before, take it, with its best alpha (the largest of equals)."""
    n_alphas = gains.shape[1]
    place = n_alphas - 1 - gains[:, ::-1].argmin(axis=1)
    least = np.take_along_axis(gains, place[:, None], axis=1)[:, 0]
    better = least < best
    best[better] = least[better]
    solution.alpha[:, voxels][better] = place[better]
    solution.band[:, voxels][better] = band


def _batches(problem: Problem, engine: FoldSums) -> Iterator[slice]:
    """Batches of voxels whose sums, errors and coefficients fit into the memory."""
    (n, p), n_atoms, size = problem.x.shape, len(engine.sizes), problem.dtype.itemsize
    n_outer, n_alphas = len(problem.splits.final), len(problem.alphas)
    fixed = 2**22 * size * 3 + 2 * n_alphas * p * p * (8 + size) + len(problem.splits.judged) * p * p * 8
    tile = _TILE * 8 * 3 * n  # responses as they are read
    each = 8 * (n_atoms * (p + 2) + 8 * p) + size * n_outer * (2 * n_alphas + 4)
    if problem.memory < fixed + (tile + _TILE * each) * _LEAST / _TILE:
        needed = (fixed + (tile + _TILE * each) * _LEAST / _TILE) / 1e9
        raise InputError(
            f"memory_gb={problem.memory / 1e9:g} is too small for a batch of {_LEAST} voxels",
            remedy=f"give at least {needed:.2g}",
        )
    width = int((problem.memory - fixed - tile) // each)
    width = width // _TILE * _TILE if width >= _TILE else _LEAST
    n_voxels = problem.y.shape[1]
    return (slice(start, min(n_voxels, start + width)) for start in range(0, n_voxels, width))


def _collect(
    problem: Problem, engine: FoldSums, voxels: slice, solution: Solution
) -> tuple[TargetSums, Floats, Floats]:
    """Sums of the standardised responses of these voxels, and their mean and s.d.

    Shifting and scaling a voxel by its own mean and s.d. changes neither its alpha nor its predictions, and keeps
    the sums accurate.
    """
    width, (n_atoms, p) = voxels.stop - voxels.start, engine.sx.shape
    sums = TargetSums(np.empty((n_atoms, width)), np.empty((n_atoms, width)), np.empty((n_atoms, p, width)))
    centre, scale = np.empty(width), np.empty(width)
    for start in range(0, width, _TILE):
        part = slice(start, min(width, start + _TILE))
        at = slice(voxels.start + part.start, voxels.start + part.stop)
        y, centre[part], scale[part], solution.constant[at] = standardised(problem.responses(at))
        tile = engine.sums(y[engine.order])
        sums.y[:, part], sums.yy[:, part], sums.xy[:, :, part] = tile.y, tile.yy, tile.xy
    return sums, centre, scale


def standardised(
    responses: NDArray[np.floating],
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Responses of some voxels with mean 0 and s.d. 1, their mean and s.d., and which have one value only."""
    constant = (responses == responses[0]).all(axis=0)
    y = responses.astype(np.float64)
    centre = np.where(constant, y[0], y.mean(axis=0))
    y -= centre
    scale = np.where(constant, 1.0, y.std(axis=0))
    scale[scale == 0] = 1.0
    y /= scale
    return y, centre, scale, constant


def _fit(
    problem: Problem,
    engine: FoldSums,
    sums: TargetSums,
    centre: Floats,
    scale: Floats,
    voxels: slice,
    solution: Solution,
) -> None:
    for outer, fit in enumerate(problem.splits.final):
        alpha, band = solution.alpha[outer, voxels], solution.band[outer, voxels]
        for k in np.unique(band):
            chosen = np.flatnonzero(band == k)
            basis = engine.basis(int(fit), problem.bands[k])
            _, slopes, intercepts = engine.coefficients(basis, sums.select(chosen), problem.alphas[alpha[chosen]])
            slopes *= scale[chosen] / engine.scale[:, None]
            at = voxels.start + chosen
            solution.slopes[outer][:, at] = slopes
            solution.intercepts[outer, at] = centre[chosen] + scale[chosen] * intercepts - engine.centre @ slopes
