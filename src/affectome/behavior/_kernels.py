"""The compiled half of the predicted RSM."""

from __future__ import annotations

import numba
import numpy as np

from affectome._numba import kernel


@kernel(parallel=True)
def fill_predicted_rsm(strength, out):  # type: ignore[no-untyped-def]
    """``out[i, j]`` = mean over k of E_ij / (E_ij + E_ik + E_jk), for E = exp(similarity), float64 (n, n)."""
    n = strength.shape[0]
    for i in numba.prange(n):
        for j in range(i):
            pair = strength[i, j]
            total = 0.0
            for k in range(n):
                total += 1.0 / (pair + strength[i, k] + strength[j, k])
            # k = i and k = j are no third stimulus.
            total -= 1.0 / (pair + strength[i, i] + strength[j, i])
            total -= 1.0 / (pair + strength[i, j] + strength[j, j])
            value = pair * total / (n - 2)
            out[i, j] = value
            out[j, i] = value
        out[i, i] = np.nan
