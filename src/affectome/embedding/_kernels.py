"""The compiled half of SPoSE: gathered rows in, a few Adam steps out.

The objective (science.md, section 3) over triplets with pair similarities ``s_ab = x_a . x_b``:

    mean_t( log sum_pairs exp(s) - sum_pairs q_pair s_pair ) + (l1 / n) * sum(X),   X >= 0

where q is one for the pair that was kept and zero elsewhere, or the judge's probabilities. For a judge who prefers a
slot, the offset of the slot shown odd is added to each s.

Conditions: X, its moments and the gradient blocks are C-contiguous float32 (n, p); triplets are
int32 (t, 3) with every index in 0..n-1. The bits of the result do not depend on the number of
threads: a batch is cut into blocks of fixed size, each block owns a gradient buffer, and the
buffers are added in block order.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from affectome._numba import kernel

__all__ = ["adam_steps", "pair_similarities"]


@kernel(parallel=True)
def adam_steps(  # type: ignore[no-untyped-def]
    x,  # float32 (n, p): the embedding, updated in place
    first,  # float32 (n, p): Adam's first moment, updated in place
    second,  # float32 (n, p): Adam's second moment, updated in place
    gradients,  # float32 (blocks, n, p): scratch
    triplets,  # int32 (t, 3): odd one last, or any order with `targets`
    targets,  # float32 (t, 3): wanted probability of slot 0, 1, 2 being odd; (0, 3) means "the last slot"
    offsets,  # float32 (3,): added to the similarity that is kept when slot 0, 1, 2 is odd
    order,  # int32 (t,): the order in which this epoch visits the triplets
    start,  # int: first position of `order` to visit
    stop,  # int: one past the last
    batch,  # int: triplets per step
    block,  # int: triplets per gradient block
    step,  # int: Adam steps taken so far
    rate,  # float: learning rate
    l1,  # float: weight of sum(X), already divided by n
    beta1,
    beta2,
):
    """Visit ``order[start:stop]`` in mini-batches; return the summed loss and the new step count."""
    n, p = x.shape
    soft = targets.shape[0] > 0
    total = 0.0
    one = np.float32(1.0)
    zero = np.float32(0.0)
    b1 = np.float32(beta1)
    b2 = np.float32(beta2)
    penalty = np.float32(l1)
    biased = offsets[0] != zero or offsets[1] != zero or offsets[2] != zero
    offset0 = offsets[0]
    offset1 = offsets[1]
    offset2 = offsets[2]
    losses = np.empty(gradients.shape[0], np.float64)
    for low in range(start, stop, batch):
        high = min(stop, low + batch)
        n_blocks = (high - low + block - 1) // block
        for b in numba.prange(n_blocks):
            gradient = gradients[b]
            gradient[:] = zero
            begin = low + b * block
            size = min(high, begin + block) - begin
            odd2 = np.empty(size, np.float32)  # pair (0, 1) kept, slot 2 odd
            odd1 = np.empty(size, np.float32)
            odd0 = np.empty(size, np.float32)
            for t in range(size):
                r = order[begin + t]
                xi = x[triplets[r, 0]]
                xj = x[triplets[r, 1]]
                xk = x[triplets[r, 2]]
                ij = zero
                ik = zero
                jk = zero
                for c in range(p):
                    ij += xi[c] * xj[c]
                    ik += xi[c] * xk[c]
                    jk += xj[c] * xk[c]
                odd2[t] = ij
                odd1[t] = ik
                odd0[t] = jk
            if biased:
                for t in range(size):
                    odd2[t] += offset2
                    odd1[t] += offset1
                    odd0[t] += offset0
            loss = 0.0
            for t in range(size):
                s2 = odd2[t]
                s1 = odd1[t]
                s0 = odd0[t]
                top = max(s2, max(s1, s0))
                e2 = math.exp(s2 - top)
                e1 = math.exp(s1 - top)
                e0 = math.exp(s0 - top)
                z = e2 + e1 + e0
                scale = one / z
                if soft:
                    r = order[begin + t]
                    q0 = targets[r, 0]
                    q1 = targets[r, 1]
                    q2 = targets[r, 2]
                else:
                    q0 = zero
                    q1 = zero
                    q2 = one
                loss += math.log(z) + top - (q0 * s0 + q1 * s1 + q2 * s2)
                odd2[t] = e2 * scale - q2
                odd1[t] = e1 * scale - q1
                odd0[t] = e0 * scale - q0
            losses[b] = loss
            for t in range(size):
                r = order[begin + t]
                i = triplets[r, 0]
                j = triplets[r, 1]
                k = triplets[r, 2]
                xi = x[i]
                xj = x[j]
                xk = x[k]
                gi = gradient[i]
                gj = gradient[j]
                gk = gradient[k]
                d2 = odd2[t]
                d1 = odd1[t]
                d0 = odd0[t]
                for c in range(p):
                    u = xi[c]
                    v = xj[c]
                    w = xk[c]
                    gi[c] += d2 * v + d1 * w
                    gj[c] += d2 * u + d0 * w
                    gk[c] += d1 * u + d0 * v
        for b in range(n_blocks):
            total += losses[b]
        step += 1
        mean = np.float32(1.0 / (high - low))
        # Adam's bias corrections; the L1 term is linear on X >= 0, so its proximal step in Adam's own
        # metric is a shift of the gradient followed by the projection onto X >= 0.
        correct1 = np.float32(1.0 / (1.0 - beta1**step))
        correct2 = np.float32(1.0 / (1.0 - beta2**step))
        lr = np.float32(rate)
        for i in numba.prange(n):
            for c in range(p):
                g = zero
                for b in range(n_blocks):
                    g += gradients[b, i, c]
                g *= mean
                m = b1 * first[i, c] + (one - b1) * g
                v = b2 * second[i, c] + (one - b2) * g * g
                first[i, c] = m
                second[i, c] = v
                moved = x[i, c] - lr * (m * correct1 + penalty) / (math.sqrt(v * correct2) + np.float32(1e-8))
                # Where v is 0 no triplet has touched the weight yet: its start must not shrink away meanwhile.
                x[i, c] = max(moved, zero) if v > zero else x[i, c]
    return total, step


@kernel(parallel=True)
def pair_similarities(x, triplets, out):  # type: ignore[no-untyped-def]
    """Fill ``out[t, slot]`` with the similarity of the two stimuli that are *not* in that slot."""
    p = x.shape[1]
    for t in numba.prange(triplets.shape[0]):
        xi = x[triplets[t, 0]]
        xj = x[triplets[t, 1]]
        xk = x[triplets[t, 2]]
        ij = np.float32(0.0)
        ik = np.float32(0.0)
        jk = np.float32(0.0)
        for c in range(p):
            ij += xi[c] * xj[c]
            ik += xi[c] * xk[c]
            jk += xj[c] * xk[c]
        out[t, 0] = jk
        out[t, 1] = ik
        out[t, 2] = ij
