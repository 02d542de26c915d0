"""The greedy search behind the balanced design."""

from __future__ import annotations

import numpy as np

from affectome._numba import kernel

__all__ = ["MOST_STIMULI", "fill_balanced"]

#: The pair counts are a square uint16 matrix: 800 MB at this size.
MOST_STIMULI = 20_000
_REACH = 48  # candidates looked at for the second and the third place


@kernel()
def fill_balanced(m, n, rng):  # type: ignore[no-untyped-def]
    """`n` different triplets of `m` stimuli, stimuli and pairs as even as the search finds; int32 (n, 3).

    Stimuli are dealt in rounds, each a random permutation of all. A triplet takes the next stimulus and,
    among the nearest ones not yet dealt, the two whose pairs were asked least. What a round cannot place
    (its remainder, or stimuli whose every triplet in reach was asked) opens the next round.
    """
    rows = np.empty((n, 3), np.int32)
    pairs = np.zeros((m, m), np.uint16)
    used = {np.int64(-1)}
    queue = np.empty(2 * m, np.int64)
    waiting = 0  # stimuli of earlier rounds at the head of the queue
    filled = 0
    while filled < n:
        if waiting > m:  # they make no new triplet in any combination: let them go
            waiting = 0
        deal = rng.permutation(m)
        for q in range(m):
            queue[waiting + q] = deal[q]
        size = waiting + m
        ahead = waiting
        waiting = 0
        head = 0
        while head < size and filled < n:
            a = queue[head]
            best = np.int64(1) << 40
            best_b = -1
            best_c = -1
            # The second: the least asked pairs with `a`; one that waits from an earlier round goes first.
            stop_b = min(size, head + 1 + _REACH)
            if head + 1 < ahead:
                stop_b = ahead
            for sb in range(head + 1, stop_b):
                b = queue[sb]
                if b == a:
                    continue
                ab = np.int64(pairs[a, b])
                if 3 * ab >= best:
                    continue
                for sc in range(head + 1, min(size, head + 1 + _REACH)):
                    c = queue[sc]
                    if sc == sb or c == a or c == b:
                        continue
                    ac = np.int64(pairs[a, c])
                    bc = np.int64(pairs[b, c])
                    # Squares make one pair asked twice worse than two pairs asked once.
                    cost = ab * ab + ac * ac + bc * bc
                    if cost < best:
                        low = min(a, min(b, c))
                        high = max(a, max(b, c))
                        key = (low * m + (a + b + c - low - high)) * m + high
                        if cost == 0 or key not in used:
                            best = cost
                            best_b = sb
                            best_c = sc
                            if cost == 0:
                                break
                if best == 0:
                    break
            if best_b < 0:
                queue[waiting] = a  # waiting <= head, so nothing unread is overwritten
                waiting += 1
                head += 1
                continue
            b = queue[best_b]
            c = queue[best_c]
            low = min(a, min(b, c))
            high = max(a, max(b, c))
            used.add((low * m + (a + b + c - low - high)) * m + high)
            rows[filled, 0] = a
            rows[filled, 1] = b
            rows[filled, 2] = c
            filled += 1
            pairs[a, b] += 1
            pairs[b, a] += 1
            pairs[a, c] += 1
            pairs[c, a] += 1
            pairs[b, c] += 1
            pairs[c, b] += 1
            # Close the two gaps with the stimuli at the head, which keeps the queue contiguous.
            first = min(best_b, best_c)
            second = max(best_b, best_c)
            if second == head + 1 or (first == head + 1 and second == head + 2):
                pass
            elif first == head + 1:
                queue[second] = queue[head + 2]
            else:
                queue[second] = queue[head + 2] if first != head + 2 else queue[head + 1]
                if first != head + 2:
                    queue[first] = queue[head + 1]
            head += 3
    return rows
