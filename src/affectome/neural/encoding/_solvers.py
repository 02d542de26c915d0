"""Alpha, and band weights, of every voxel in every outer fold, and the models that follow: two ways to the same."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._fold_sums import Band, Splits
from affectome._progress import Progress
from affectome.errors import InputError

__all__ = [
    "ALPHAS",
    "Precision",
    "Problem",
    "Solution",
    "Solver",
    "check_alphas",
    "choose_solver",
    "quiet_threads",
    "solve",
]

#: Penalties of Horikawa et al. (2020): 20 values from 10 to 10,000.
ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(1, 4, 20))

Solver = Literal["auto", "moments", "himalaya"]
Precision = Literal["float32", "float64"]
BACKENDS: tuple[str, ...] = ("numpy", "torch", "torch_cuda", "torch_mps", "cupy")

_NARROW = 256  # features up to which sums of products beat predictions (docs/encoding.md)


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be solved.

    Attributes
    ----------
    x : float64 array of shape (n, p)
    y : array of shape (n_trials, n_voxels)
    rows : intp array of shape (n,), or None
        The trials that belong to `x`; None: all. They are read batch by batch, so that y is never copied whole.
    splits : Splits
    bands : sequence of Band
        The weightings of the features among which every voxel chooses; among equals the first is taken.
    alphas : array of shape (n_alphas,)
        Rising; among equals the largest is taken.
    dtype
        Of the sums that choose, and of the coefficients.
    memory : float
        Bytes beyond x, y and the solution.
    """

    x: NDArray[np.float64]
    y: NDArray[np.floating]
    rows: NDArray[np.intp] | None
    splits: Splits
    bands: Sequence[Band]
    alphas: NDArray[np.float64]
    dtype: np.dtype[np.floating]
    memory: float
    progress: Progress

    def responses(self, voxels: slice | NDArray[np.intp]) -> NDArray[np.floating]:
        """Responses of some voxels in the rows of `x`."""
        chosen = self.y[:, voxels]
        return chosen if self.rows is None else chosen[self.rows]


class Solution:
    """Alphas, weightings and models of all voxels, filled batch by batch.

    Attributes
    ----------
    alpha, band : intp arrays of shape (n_outer, n_voxels)
        Places in the grid and among the weightings.
    slopes : array of shape (n_outer, p, n_voxels)
        On features in their own units.
    intercepts : array of shape (n_outer, n_voxels)
    inner_r2 : float32 array of shape (n_outer, n_voxels)
        1 - squared error over the inner folds / that of their training means, of what was chosen.
    centre, spread : arrays of shape (n_outer, p)
        Mean and s.d. of the features in the training rows.
    constant : bool array of shape (n_voxels,)
        Voxels with one value in all rows.
    """

    def __init__(self, problem: Problem) -> None:
        n_outer, (n_voxels, p) = len(problem.splits.final), (problem.y.shape[1], problem.x.shape[1])
        self.alpha = np.zeros((n_outer, n_voxels), np.intp)
        self.band = np.zeros((n_outer, n_voxels), np.intp)
        self.slopes = np.zeros((n_outer, p, n_voxels), problem.dtype)
        self.intercepts = np.zeros((n_outer, n_voxels), problem.dtype)
        self.inner_r2 = np.zeros((n_outer, n_voxels), np.float32)
        learned = [problem.splits.learned[fit][problem.splits.atom] for fit in problem.splits.final]
        self.centre = np.array([problem.x[rows].mean(axis=0) for rows in learned])
        self.spread = np.array([problem.x[rows].std(axis=0) for rows in learned])
        self.constant = np.zeros(n_voxels, bool)


def check_alphas(alphas: ArrayLike) -> NDArray[np.float64]:
    """The grid, rising, without repetition."""
    grid = np.unique(np.atleast_1d(np.asarray(alphas, np.float64)))
    if grid.ndim != 1 or not len(grid) or not np.isfinite(grid).all() or not (grid > 0).all():
        raise InputError("the alphas are not all finite and above 0", remedy="give penalties such as 10 to 10,000")
    return grid


def choose_solver(solver: str, backend: str, problem: Problem) -> str:
    """``"moments"`` or ``"himalaya"``, as asked, or whichever is the faster."""
    if backend not in BACKENDS:
        raise InputError(f"backend='{backend}' is not known", remedy=f"choose {', '.join(BACKENDS)}")
    if solver not in ("auto", "moments", "himalaya"):
        raise InputError(f"solver='{solver}' is not known", remedy="choose auto, moments or himalaya")
    if solver == "moments" and backend != "numpy":
        raise InputError(
            f"the solver moments does not run on {backend}", remedy='use solver="himalaya" or backend="numpy"'
        )
    if solver != "auto":
        return solver
    n_least = min(int(learned[problem.splits.atom].sum()) for learned in problem.splits.learned)
    narrow = problem.x.shape[1] <= min(_NARROW, n_least)
    return "moments" if backend == "numpy" and narrow else "himalaya"


def quiet_threads(n_features: int) -> AbstractContextManager[object]:
    """One BLAS thread for narrow spaces: their products are so small that threads cost more than they do."""
    from threadpoolctl import threadpool_limits

    quiet: AbstractContextManager[object] = threadpool_limits(1 if n_features <= _NARROW else None, user_api="blas")
    return quiet


def solve(problem: Problem, *, solver: str, backend: str) -> Solution:
    """Choose alpha and weighting for every voxel and outer fold by the least inner error, and fit."""
    chosen = choose_solver(solver, backend, problem)
    if chosen == "moments":
        from affectome.neural.encoding._moments import solve_moments

        with quiet_threads(problem.x.shape[1]):
            return solve_moments(problem)
    from affectome.neural.encoding._projections import solve_projections

    return solve_projections(problem, backend)
