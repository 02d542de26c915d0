"""From where Adam left the weights to the bottom: L-BFGS-B over all trials, with the bound X >= 0."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from affectome.embedding._engine import Engine

__all__ = ["descend_to_rest"]

_WINDOW = 10  # iterations over which the fall is measured
_MEMORY = 10  # pairs of steps and gradients that L-BFGS-B keeps


def descend_to_rest(
    engine: Engine, l1: float, *, tol: float, max_iter: int, report: Callable[[int, float], None]
) -> tuple[NDArray[np.float32], list[float], bool]:
    """Minimise mean loss + ``l1 * sum(X)`` over X >= 0, where the L1 term is linear, from the engine's weights.

    Parameters
    ----------
    engine : Engine
    l1 : float
        Already divided by the number of stimuli.
    tol : float
        At rest: ten iterations lowered the objective by less than this share, or none could lower it.
    max_iter : int
    report : callable
        Given the number of iterations and the objective after each.

    Returns
    -------
    weights : float32 array (n, p)
    path : list of float
        Objective after each iteration.
    rested : bool
    """
    weights = engine.weights
    path: list[float] = []
    if max_iter == 0:
        return np.ascontiguousarray(weights), path, False
    from scipy.optimize import minimize

    shape = weights.shape
    rested = False

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = engine.value_and_gradient(flat.reshape(shape))
        return loss + l1 * float(flat.sum()), (gradient + l1).ravel()

    def after_iteration(intermediate_result) -> None:  # type: ignore[no-untyped-def] # scipy looks at this name
        nonlocal rested
        path.append(float(intermediate_result.fun))
        report(len(path), path[-1])
        rested = len(path) > _WINDOW and path[-1] > path[-1 - _WINDOW] * (1 - tol)
        if rested:
            raise StopIteration

    start, bounds = weights.astype(np.float64).ravel(), [(0, None)] * weights.size
    options = {"maxiter": max_iter, "maxfun": 10 * max_iter, "maxcor": _MEMORY, "ftol": 0.0, "gtol": 0.0}
    # One thread for scipy's own sums, so that the bits do not depend on how many there are.
    with threadpool_limits(1, user_api="blas"):
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options, callback=after_iteration
        )
    # A search that finds no lower point although the gradient says so has met the rounding of float32: it rests too.
    # Status 1 is the end of the iterations or evaluations that were allowed.
    rested = rested or found.status != 1
    return found.x.reshape(shape).astype(np.float32), path, rested
