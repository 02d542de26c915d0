"""The compiled half of tau-a under permutations: how many choices of two pairs are ordered alike.

Codes are whole numbers from 0 in the order of the similarities, equal where those are tied. Pairs are taken in the
order of one side; a Fenwick tree over the codes of the other (Fenwick 1994) says how many of those before lie below.
"""

from __future__ import annotations

import numpy as np

from affectome._numba import kernel


@kernel(exact=True)
def _seen_upto(tree, code):  # type: ignore[no-untyped-def]
    """How many codes up to this one were put into the tree."""
    total, at = np.int64(0), code + 1
    while at > 0:
        total += tree[at]
        at -= at & -at
    return total


@kernel(exact=True)
def _put(tree, code):  # type: ignore[no-untyped-def]
    at = code + 1
    while at < len(tree):
        tree[at] += 1
        at += at & -at


@kernel(exact=True)
def fill_concordance(order, x, y, tree, upwards, concordance):  # type: ignore[no-untyped-def]
    """For each pair: how many of those before it in x are before it in y too, less those after it in y.

    Parameters
    ----------
    order : (n_pairs,), pairs in the order of x
    x, y : int32 (n_pairs,), codes
    tree : int64, longer by one than y has codes
    upwards : whether `order` ascends and before means lower, or descends and means higher
    concordance : int64 (n_pairs,), grows
    """
    tree[:] = 0
    sign, begin, n_pairs = np.int64(1 if upwards else -1), 0, len(order)
    while begin < n_pairs:
        end = begin
        while end < n_pairs and x[order[end]] == x[order[begin]]:
            end += 1
        for k in range(begin, end):
            code = np.int64(y[order[k]])
            lower, upto = _seen_upto(tree, code - 1), _seen_upto(tree, code)
            concordance[order[k]] += sign * (lower + upto - begin)
        for k in range(begin, end):
            _put(tree, np.int64(y[order[k]]))
        begin = end


@kernel(exact=True)
def fill_permuted(order, x, table, left, right, orders, tree, y, concordance, totals):  # type: ignore[no-untyped-def]
    """Concordant less discordant choices, with the stimuli of a space rearranged.

    Parameters
    ----------
    order, x, tree : as in :func:`fill_concordance`, ascending
    table : int32 (n, n), codes of all pairs of stimuli in the space
    left, right : (n_pairs,), the stimuli of each pair that counts
    orders : (n_orders, n), the stimulus of the space that meets each
    y, concordance : int32 and int64 (n_pairs,), overwritten
    totals : int64 (n_orders,), filled
    """
    for k in range(len(orders)):
        for p in range(len(left)):
            y[p] = table[orders[k, left[p]], orders[k, right[p]]]
        concordance[:] = 0
        fill_concordance(order, x, y, tree, True, concordance)
        totals[k] = concordance.sum()
