"""The compiled half of the predicted RSM.

``E = exp(similarity)`` is float64 and lies in exp(-600) .. exp(600), so that no sum or quotient leaves float64. The
bits of the results do not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from affectome._numba import kernel


@kernel(parallel=True)
def fill_predicted_rsm(strength, partial, out):  # type: ignore[no-untyped-def]
    """``out[i, j]`` = mean over the other k of E_ij / (E_ij + E_ik + E_jk), for E = `strength` (n, n).

    A triplet's three probabilities share one denominator, so each unordered triplet costs one division: n^3 / 6 in
    all. Rows i are dealt to the scratch `partial` (parts, n, n) by i modulo the fixed number of parts, each part
    belongs to one thread, and the parts are added in order.
    """
    n = strength.shape[0]
    parts = partial.shape[0]
    for number in numba.prange(parts):
        part = np.int64(number)
        sums = partial[part]
        sums[:] = 0.0
        for i in range(part, n, parts):
            row_i = strength[i]
            sums_i = sums[i]
            for j in range(i):
                row_j = strength[j]
                sums_j = sums[j]
                pair = row_i[j]
                total = 0.0
                for k in range(j):
                    inverse = 1.0 / (pair + row_i[k] + row_j[k])
                    total += inverse
                    sums_i[k] += inverse
                    sums_j[k] += inverse
                sums_i[j] += total
    for number in numba.prange(n):
        row = np.int64(number)
        for j in range(row):
            total = 0.0
            for addend in range(parts):
                total += partial[addend, row, j]
            out[row, j] = strength[row, j] * total / (n - 2)
    for diagonal in range(n):
        out[diagonal, diagonal] = np.nan
        for j in range(diagonal):
            out[j, diagonal] = out[diagonal, j]


@kernel(parallel=True)
def fill_predicted_rsm_among(strength, own, out):  # type: ignore[no-untyped-def]
    """The same for m of n stimuli, k running over all n; `strength` (m, n), `own` (m,) the columns of the m stimuli.

    ``strength[i, own[i]]`` must be infinite: then k = i and k = j add 1 / inf = 0, and no subtraction loses digits.
    """
    m, n = strength.shape
    for number in numba.prange((m + 1) // 2):
        first = np.int64(number)
        for i in (first, m - 1 - first):  # a short and a long row: every turn costs the same
            row_i = strength[i]
            for j in range(i):
                row_j = strength[j]
                pair = row_i[own[j]]
                total = 0.0
                for k in range(n):
                    total += 1.0 / (pair + row_i[k] + row_j[k])
                out[i, j] = pair * total / (n - 2)
                out[j, i] = out[i, j]
            out[i, i] = np.nan
