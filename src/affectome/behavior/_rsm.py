"""Similarity of two stimuli as the chance that they stay together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from affectome._numba import kernel_threads
from affectome.behavior._kernels import fill_predicted_rsm
from affectome.errors import InputError
from affectome.spaces import as_space, rows_for

__all__ = ["predicted_rsm"]

_MOST = 600.0  # exp of a larger similarity would leave float64


def predicted_rsm(
    space: pd.DataFrame, stimuli: Sequence[str] | None = None, *, n_jobs: int | None = None
) -> pd.DataFrame:
    r"""Predict how often each pair of stimuli is kept, over all third stimuli.

    .. math:: R_{ij} = \frac{1}{n-2} \sum_{k \ne i,j}
              \frac{e^{x_i \cdot x_j}}{e^{x_i \cdot x_j} + e^{x_i \cdot x_k} + e^{x_j \cdot x_k}}

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    stimuli
        Ids of the stimuli to compare, which are also the third ones; by default all.

    Notes
    -----
    Time grows with n^3 (seconds for 2,000 stimuli), memory with n^2.

    Returns
    -------
    DataFrame of shape (n, n)
        Symmetric, 0..1, NaN on the diagonal.

    Examples
    --------
    >>> import pandas as pd
    >>> flat = pd.DataFrame({"c": [0.0, 0.0, 0.0]}, index=["x", "y", "z"])
    >>> round(float(predicted_rsm(flat).loc["x", "y"]), 6)
    0.333333
    """
    chosen = as_space(space) if stimuli is None else rows_for(space, list(stimuli))
    if len(chosen) < 3:
        raise InputError(f"{len(chosen)} stimuli make no triplet", remedy="give at least three")
    rows = chosen.to_numpy(dtype=np.float64)
    logit = rows @ rows.T
    if logit.max() > _MOST:
        raise InputError(
            f"the space has similarities up to {logit.max():.0f}, far beyond what choices can tell apart",
            remedy="give an embedding learned from triplets, or scale the space down",
        )
    out = np.empty_like(logit)
    with kernel_threads(n_jobs):
        fill_predicted_rsm(np.exp(logit), out)
    return pd.DataFrame(out, index=chosen.index, columns=chosen.index)
