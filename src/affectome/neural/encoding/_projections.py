"""Ridge for every voxel from predictions of the held-out trials, on any backend of himalaya: for wide spaces and GPUs.

For each training set the standardised features Z are diagonalised once, Z Z' = U diag(l) U', on the side that is
smaller (Z itself where there are fewer features than trials). Then every alpha predicts the held-out trials H by
(H Z' U) diag(1 / (l + alpha)) U'y. That is himalaya's own way to ridge and kernel ridge; its cross-validated solvers
take features that are scaled once, before the folds, and so the folds are walked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._fold_sums import Band
from affectome.errors import EnvironmentFailure, InputError
from affectome.neural.encoding._moments import keep_best, standardised
from affectome.neural.encoding._solvers import Problem, Solution

__all__ = ["himalaya_backend", "solve_projections"]

Floats = NDArray[np.float64]

_LEAST = 16  # voxels of a batch


@contextmanager
def himalaya_backend(name: str) -> Iterator[Any]:
    """The backend of himalaya of that name; the one before it comes back at the end, whatever happens."""
    from himalaya.backend import get_backend, set_backend

    before = get_backend().name
    try:
        try:
            backend = set_backend(name)
        except ImportError as error:
            library = "cupy" if name == "cupy" else "torch"
            remedy = "install it" if library == "cupy" else 'install it with pip install "affectome[gpu]"'
            raise EnvironmentFailure(
                f"the backend {name} needs {library}, which is not installed", remedy=remedy
            ) from error
        except Exception as error:
            raise EnvironmentFailure(
                f"the backend {name} cannot be used here ({error})", remedy='use backend="numpy" or "torch"'
            ) from error
        yield backend
    finally:
        set_backend(before)


def solve_projections(problem: Problem, backend_name: str) -> Solution:
    """Solve by predictions of held-out trials."""
    with himalaya_backend(backend_name) as backend:
        return _solve(problem, backend)


def _solve(problem: Problem, backend: Any) -> Solution:
    solution = Solution(problem)
    n_outer, n_voxels = len(problem.splits.final), problem.y.shape[1]
    batches = _batches(problem)
    best = np.full((n_outer, n_voxels), np.inf, problem.dtype)
    judges: dict[int, list[tuple[int, NDArray[np.bool_]]]] = {}
    for outer, fit, held in problem.splits.judged:
        judges.setdefault(fit, []).append((outer, held[problem.splits.atom]))
    total, done = len(problem.bands) * len(judges) + n_outer, 0
    totals = np.zeros((n_outer, n_voxels), problem.dtype)
    for k, band in enumerate(problem.bands):
        gains = np.zeros((n_outer, len(problem.alphas), n_voxels), problem.dtype)
        for fit, judged in judges.items():
            learner = _Learner(problem, backend, fit, band)
            views = [(outer, rows, learner.seen_from(rows)) for outer, rows in judged]
            for voxels in batches:
                y, *_ = standardised(problem.responses(voxels))
                mean, projected = learner.project(y)
                for outer, rows, view in views:
                    target = y[rows] - mean
                    gains[outer, :, voxels] += learner.errors(view, projected, target)
                    if k == 0:
                        totals[outer, voxels] += (target**2).sum(axis=0)
            done += 1
            problem.progress(done, total, detail="choice of alpha")
        keep_best(gains, best, k, solution, slice(0, n_voxels))
    with np.errstate(invalid="ignore", divide="ignore"):
        solution.inner_r2[:] = np.where(totals > 0, -best / totals, np.nan)
    for outer, fit in enumerate(problem.splits.final):
        for k in np.unique(solution.band[outer]):
            learner = _Learner(problem, backend, int(fit), problem.bands[k])
            for voxels in batches:
                _fit(problem, learner, outer, voxels, solution.band[outer, voxels] == k, solution)
        done += 1
        problem.progress(done, total, detail="models")
    return solution


def _fit(
    problem: Problem, learner: _Learner, outer: int, voxels: slice, chosen: NDArray[np.bool_], solution: Solution
) -> None:
    if not chosen.any():
        return
    at = voxels.start + np.flatnonzero(chosen)
    y, centre, scale, solution.constant[at] = standardised(problem.responses(at))
    mean, projected = learner.project(y)
    slopes = learner.slopes(projected, problem.alphas[solution.alpha[outer, at]]) * scale
    solution.slopes[outer][:, at] = slopes
    solution.intercepts[outer, at] = centre + scale * mean - learner.centre @ slopes


class _Learner:
    """The training features of one fit, diagonalised on the backend.

    Attributes
    ----------
    centre : array of shape (p,)
        Mean of the features in the training rows.
    """

    def __init__(self, problem: Problem, backend: Any, fit: int, band: Band) -> None:
        self.backend, self.dtype = backend, problem.dtype.name
        self.rows = problem.splits.learned[fit][problem.splits.atom]
        self.alphas = problem.alphas
        x = problem.x[self.rows]
        self.centre, spread = x.mean(axis=0), x.std(axis=0)
        varies = spread > 1e-6 * problem.x.std(axis=0)
        self.scale = np.divide(band.weights, spread, out=np.zeros_like(spread), where=varies)
        self.features = (problem.x - self.centre) * self.scale
        z = self.features[self.rows]
        # In float64 on the processor: once per fit, and the small eigenvalues decide about weak penalties.
        if z.shape[1] <= z.shape[0]:
            left, roots, _ = np.linalg.svd(z, full_matrices=False)
            eigenvalues = roots**2
        else:
            eigenvalues, left = np.linalg.eigh(z @ z.T)
        kept = eigenvalues > eigenvalues.max(initial=0.0) * 1e-12
        self.eigenvalues = eigenvalues[kept]
        self.back = z.T @ left[:, kept]  # (p, k): from the eigenbasis to features
        self.left = self._there(left[:, kept].T)

    def _there(self, values: NDArray[np.floating]) -> Any:
        return self.backend.asarray(np.ascontiguousarray(values, self.dtype), dtype=self.dtype)

    def seen_from(self, rows: NDArray[np.bool_]) -> Any:
        """Held-out features in the eigenbasis, (n_held, k)."""
        return self._there(self.features[rows] @ self.back)

    def project(self, y: Floats) -> tuple[Floats, Any]:
        """Training mean of each voxel, and its centred responses in the eigenbasis, (k, n_voxels)."""
        mean = y[self.rows].mean(axis=0)
        return mean, self.left @ self._there(y[self.rows] - mean)

    def errors(self, view: Any, projected: Any, target: Floats) -> NDArray[np.floating]:
        """Squared error of held-out rows under each alpha, less that of the training mean, (n_alphas, n_voxels)."""
        there = self._there(target)
        found = []
        for alpha in self.alphas:
            predicted = view @ (projected * self._there(1 / (self.eigenvalues + alpha))[:, None])
            found.append(self.backend.to_numpy((predicted * (predicted - 2 * there)).sum(0)))
        return np.stack(found)

    def slopes(self, projected: Any, alphas: Floats) -> Floats:
        """Coefficients on features in their own units, (p, n_voxels), one alpha per voxel."""
        shrunk = self.backend.to_numpy(projected) / (self.eigenvalues[:, None] + alphas)
        slopes: Floats = (self.back @ shrunk) * self.scale[:, None]
        return slopes


def _batches(problem: Problem) -> list[slice]:
    """Batches of voxels whose responses and predictions fit into the memory."""
    (n, p), n_voxels = problem.x.shape, problem.y.shape[1]
    size, k = problem.dtype.itemsize, min(problem.x.shape)
    n_outer, n_alphas = len(problem.splits.final), len(problem.alphas)
    fixed = 8 * (2 * n * p + 3 * k * k + p * k) + size * n * k + size * n_outer * (n_alphas + 3) * n_voxels
    each = (8 * 4 + size * 4) * n + size * 3 * k + 8 * 2 * p
    if problem.memory < fixed + _LEAST * each:
        raise InputError(
            f"memory_gb={problem.memory / 1e9:g} is too small for {n} trials, {p} features and {n_voxels} voxels",
            remedy=f"give at least {(fixed + _LEAST * each) / 1e9:.2g}, or encode fewer voxels at a time",
        )
    width = max(_LEAST, min(4096, int((problem.memory - fixed) // each)))
    return [slice(start, min(n_voxels, start + width)) for start in range(0, n_voxels, width)]
