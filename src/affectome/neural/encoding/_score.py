"""How well held-out trials are predicted, voxel by voxel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from affectome.neural.encoding._solvers import Problem, Solution, quiet_threads

__all__ = ["Scores", "held_out_scores"]

Floats = NDArray[np.float64]

_TILE = 1024  # voxels predicted at once
_FLAT = 1e-6  # predictions that vary by less than this share of the responses' s.d. are rounding


class Scores(NamedTuple):
    """r and R2 of each voxel, and the predictions where they are kept."""

    r: NDArray[np.float32]
    r2: NDArray[np.float32]
    predictions: NDArray[np.float32] | None


def held_out_scores(problem: Problem, solution: Solution, fold: NDArray[np.intp], *, keep: bool) -> Scores:
    """Score the model of each outer fold on the trials of that fold.

    r is that of responses and predictions pooled over all trials: NaN where the voxel is constant, 0 where the
    predictions are. R2 = 1 - sum (y - prediction)^2 / sum (y - training mean of the fold)^2. All in float64.
    """
    with quiet_threads(problem.x.shape[1]):
        return _scores(problem, solution, fold, keep)


def _scores(problem: Problem, solution: Solution, fold: NDArray[np.intp], keep: bool) -> Scores:
    n, n_voxels = len(fold), problem.y.shape[1]
    r, r2 = np.full(n_voxels, np.nan, np.float32), np.full(n_voxels, np.nan, np.float32)
    predictions = np.empty((n, n_voxels), np.float32) if keep else None
    tile = max(16, min(_TILE, int(problem.memory // (8 * 5 * n))))
    for start in range(0, n_voxels, tile):
        voxels = slice(start, min(n_voxels, start + tile))
        y = problem.responses(voxels).astype(np.float64)
        predicted, baseline = _predict(problem.x, solution, fold, voxels)
        if predictions is not None:
            predictions[:, voxels] = predicted
        varies = ~solution.constant[voxels]
        r[voxels] = np.where(varies, _correlate(y, predicted), np.nan)
        left, whole = ((y - predicted) ** 2).sum(axis=0), ((y - baseline) ** 2).sum(axis=0)
        r2[voxels] = 1 - np.divide(left, whole, out=np.full_like(whole, np.nan), where=varies & (whole > 0))
    return Scores(r, r2, predictions)


def _predict(x: Floats, solution: Solution, fold: NDArray[np.intp], voxels: slice) -> tuple[Floats, Floats]:
    """Predictions of the trials by the models of their folds, and the training means, both (n, n_chosen)."""
    predicted = np.empty((len(x), voxels.stop - voxels.start))
    baseline = np.empty_like(predicted)
    for k in range(len(solution.slopes)):
        held = fold == k
        slopes = solution.slopes[k][:, voxels].astype(np.float64)
        mean = solution.intercepts[k, voxels] + solution.centre[k] @ slopes
        predicted[held] = (x[held] - solution.centre[k]) @ slopes + mean
        baseline[held] = mean
    return predicted, baseline


def _correlate(y: Floats, predicted: Floats) -> Floats:
    """Pearson r of the columns; 0 where the predictions are constant."""
    y = y - y.mean(axis=0)
    predicted = predicted - predicted.mean(axis=0)
    yy, pp = np.einsum("nt,nt->t", y, y), np.einsum("nt,nt->t", predicted, predicted)
    r = np.zeros_like(yy)
    varies = (pp > _FLAT**2 * yy) & (yy > 0)
    np.divide(np.einsum("nt,nt->t", y, predicted), np.sqrt(pp * yy), out=r, where=varies)
    clipped: Floats = np.clip(r, -1, 1)  # rounding
    return clipped
