"""Which components count, in which order, and what they are called until somebody names them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["component_names", "kept_components"]


def kept_components(weights: NDArray[np.floating], threshold: float = 0.1) -> NDArray[np.intp]:
    """Columns whose largest weight exceeds `threshold`, by falling sum of weights.

    Parameters
    ----------
    weights : array of shape (n_stimuli, n_components)
    threshold
        0.1 in the SPoSE papers (science.md, section 3).

    Examples
    --------
    >>> import numpy as np
    >>> kept_components(np.array([[0.0, 0.2, 0.9], [0.05, 0.3, 0.0]])).tolist()
    [2, 1]
    """
    if weights.shape[0] == 0 or weights.shape[1] == 0:
        return np.empty(0, np.intp)
    order = np.argsort(-weights.sum(axis=0, dtype=np.float64), kind="stable")
    kept: NDArray[np.intp] = order[weights.max(axis=0)[order] > threshold]
    return kept


def component_names(n: int) -> list[str]:
    """``"component 01", "component 02", ...``, wide enough to sort as text."""
    width = max(2, len(str(n)))
    return [f"component {k + 1:0{width}d}" for k in range(n)]
