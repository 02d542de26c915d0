"""The compiled half of the comparisons: agreement under permuted stimuli, and over all triplets.

Every sum is split in a way that does not depend on the number of threads.
"""

from __future__ import annotations

import numba
import numpy as np

from affectome._numba import kernel

_ORDERS = 16  # permuted together: a row of the first space is used for all of them while it is in the cache


@kernel(parallel=True)
def fill_permuted_products(matrices, orders, out):  # type: ignore[no-untyped-def]
    """``out[t, a, b]`` = sum over i > j of A_ij B_pi(i)pi(j), for every a < b and every order pi = ``orders[t]``.

    `matrices` float32 (n_spaces, n, n) are symmetric, `orders` uint32 (n_orders, n), `out` float64 zeros. A row of B
    is gathered once for all a.
    """
    n_spaces, n = matrices.shape[0], matrices.shape[1]
    n_orders = orders.shape[0]
    for number in numba.prange((n_orders + _ORDERS - 1) // _ORDERS):
        start = np.int64(number) * _ORDERS
        row = np.empty(n, np.float32)
        for i in range(1, n):
            for t in range(start, min(start + _ORDERS, n_orders)):
                order = orders[t]
                for b in range(1, n_spaces):
                    permuted = matrices[b, order[i]]
                    for j in range(i):
                        row[j] = permuted[order[j]]
                    for a in range(b):
                        own = matrices[a, i]
                        total = np.float32(0.0)
                        for j in range(i):
                            total += own[j] * row[j]
                        out[t, a, b] += total


@kernel()
def _odd_ones(ij, of_i, of_j, to_k, to_j, to_i):  # type: ignore[no-untyped-def]
    """How likely the odd one is k, j or i where ties are drawn among, for every k; the number of ties comes back."""
    zero, one = np.float32(0.0), np.float32(1.0)
    ties = zero
    for k in range(len(of_i)):
        ik, jk = of_i[k], of_j[k]
        x = one if (ij >= ik) & (ij >= jk) else zero
        y = one if (ik >= ij) & (ik >= jk) else zero
        z = one if (jk >= ij) & (jk >= ik) else zero
        total = x + y + z
        share = one / total
        ties += one if total > one else zero
        to_k[k] = x * share
        to_j[k] = y * share
        to_i[k] = z * share
    return ties


@kernel()
def _add_same(a0, a1, a2, b0, b1, b2, sums):  # type: ignore[no-untyped-def]
    """Add to `sums` how likely two spaces choose alike, for every k; the total comes back."""
    total = np.float32(0.0)
    for k in range(len(sums)):
        same = a0[k] * b0[k] + a1[k] * b1[k] + a2[k] * b2[k]
        sums[k] += same
        total += same
    return total


@kernel(parallel=True)
def fill_choice_sums(similarities, step, first, second, agreed, held, tied):  # type: ignore[no-untyped-def]
    """Sum, for every stimulus, over the triplets i < j < k that hold it and have ``(i + j) % step == 0``.

    Parameters
    ----------
    similarities : float32 (n_spaces, n, n)
    first, second : (n_pairs,), which spaces make pair q
    agreed : float64 (n_parts, n_pairs, n), zeros
        Chance that both spaces of a pair choose the same of the three where each draws among its tied ones.
    held : float64 (n_parts, n), zeros
        Triplets.
    tied : float64 (n_parts, n_spaces), zeros
        Triplets in which the space has no single most similar pair.

    Stimuli i are dealt to the parts by i modulo n_parts, and each part belongs to one thread.
    """
    n_spaces, n = similarities.shape[0], similarities.shape[1]
    n_pairs, n_parts = len(first), held.shape[0]
    for number in numba.prange(n_parts):
        part = np.int64(number)
        odd = np.empty((n_spaces, 3, n), np.float32)
        third = np.empty((n_pairs, n), np.float32)  # sums of one i, in float32: at most n ones each
        for i in range(part, n - 2, n_parts):
            third[:] = 0.0
            of_i = np.zeros(n_pairs)
            for j in range(i + 1 + (-(i + i + 1)) % step, n - 1, step):
                count = n - 1 - j
                for s in range(n_spaces):
                    tied[part, s] += _odd_ones(
                        similarities[s, i, j], similarities[s, i, j + 1 :], similarities[s, j, j + 1 :],
                        odd[s, 0, :count], odd[s, 1, :count], odd[s, 2, :count],
                    )  # fmt: skip
                for q in range(n_pairs):
                    a, b = odd[first[q]], odd[second[q]]
                    total = _add_same(
                        a[0, :count], a[1, :count], a[2, :count], b[0, :count], b[1, :count], b[2, :count],
                        third[q, j + 1 :],
                    )  # fmt: skip
                    agreed[part, q, j] += total
                    of_i[q] += total
                held[part, i] += count
                held[part, j] += count
                held[part, j + 1 :] += 1.0
            for q in range(n_pairs):
                agreed[part, q, i] += of_i[q]
                for k in range(n):
                    agreed[part, q, k] += third[q, k]


@kernel(parallel=True)
def fill_permuted_agreement(similarities, triplets, codes, share, orders, out):  # type: ignore[no-untyped-def]
    """``out[t, a, b]`` = summed agreement of a with b when b knows stimulus x as ``orders[t, x]``.

    `codes` (n_spaces, n_triplets) are the choices of the spaces themselves (which of the three pairs are most similar,
    one bit each), ``share[c, d]`` (8, 8) how much two codes agree.
    """
    n_spaces, n_triplets = codes.shape
    for number in numba.prange(orders.shape[0]):
        t = np.int64(number)
        order = orders[t]
        for b in range(1, n_spaces):
            matrix = similarities[b]
            for x in range(n_triplets):
                i, j, k = order[triplets[x, 0]], order[triplets[x, 1]], order[triplets[x, 2]]
                ij, ik, jk = matrix[i, j], matrix[i, k], matrix[j, k]
                best = max(ij, max(ik, jk))
                code = (1 if ij == best else 0) + (2 if ik == best else 0) + (4 if jk == best else 0)
                for a in range(b):
                    out[t, a, b] += share[codes[a, x], code]
