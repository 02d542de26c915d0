"""Family-wise error over many voxels at once, by the largest statistic of each permutation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._resampling import permutation_p
from affectome.errors import InputError

__all__ = ["family_wise_p", "family_wise_threshold"]


def family_wise_p(observed: ArrayLike, maxima: ArrayLike, *, rounding: float = 1e-9) -> NDArray[np.float64]:
    """P of every voxel against the largest statistic that each permutation found anywhere.

    Parameters
    ----------
    observed : array of shape (n_voxels,)
    maxima : array of shape (n_permutations,)
        Largest statistic over the same voxels in each permutation, all voxels being permuted alike.
    rounding
        As in ``permutation_p``.

    Returns
    -------
    array of shape (n_voxels,)
        (b + 1) / (n_permutations + 1), b the permutations whose maximum reaches the voxel; NaN where it is NaN.

    Notes
    -----
    Null: the one of the permutations, in every voxel. The share of studies in which any p of such a brain falls to a
    or below is at most a (weak and, where the null of a voxel does not depend on the others, strong control; Nichols
    and Holmes 2002). Since voxels are permuted together, their dependence is in the maxima. The statistic should be
    on one scale over voxels, as a correlation is; otherwise the noisiest voxel sets the threshold for all.

    Examples
    --------
    >>> family_wise_p([0.5, 0.2, float("nan")], [0.3, 0.1, 0.25]).tolist()
    [0.25, 0.75, nan]
    """
    value, largest = np.asarray(observed, np.float64), np.asarray(maxima, np.float64)
    if largest.ndim != 1 or not len(largest):
        raise InputError(f"maxima of shape {largest.shape} are given", remedy="give one per permutation")
    return permutation_p(value, np.broadcast_to(largest[:, None], (len(largest), *value.shape)), rounding=rounding)


def family_wise_threshold(maxima: ArrayLike, alpha: float = 0.05) -> float:
    """The value a voxel has to exceed for p <= `alpha`; infinite where so few permutations cannot give one.

    Examples
    --------
    >>> family_wise_threshold(range(19)), family_wise_threshold(range(10))
    (18.0, inf)
    """
    largest = np.sort(np.asarray(maxima, np.float64))
    may_reach = int(np.floor(alpha * (len(largest) + 1) + 1e-9)) - 1  # permutations that may reach it
    return float(largest[-1 - may_reach]) if may_reach >= 0 else np.inf
