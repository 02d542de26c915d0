"""The compiled half of the embeddings: gathered rows in, a few Adam steps out.

The objective (science.md, section 3) over triplets with pair similarities ``s_ab = x_a . x_b``:

    mean_t( log sum_pairs exp(s) - sum_pairs q_pair s_pair ) + (l1 / n) * sum(X),   X >= 0

where q is one for the pair that was kept and zero elsewhere, or the judge's probabilities. For a judge who prefers a
slot, the offset of the slot shown odd is added to each s.

Conditions: X, its moments and the gradient blocks are C-contiguous float32 (n, p) with p a multiple of LANES; triplets
are int32 (t, 3) with every index in 0..n-1.

The bits of the result are the same for any number of threads: a batch is cut into blocks of fixed size, each block owns
a gradient buffer, and the buffers are added in block order. They are also the same whether the code was just compiled
or loaded from the cache, and with vectors of any width: sums run in the order written here (no "fast math"), and
the two loops that need it are spelled out in vectors of LANES numbers with fused multiply-adds.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from affectome._numba import kernel

__all__ = [
    "LANES",
    "adam_steps",
    "information_blocks",
    "pair_similarities",
    "sum_gradients",
    "variational_steps",
]

LANES = 8  # float32 lanes of a vector; rows are padded to a multiple of it
_inline: Any = intrinsic  # its annotations would have callers pass the typing context
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT = ir.IntType(32)


def _rows(context: Any, builder: Any, kind: Any, array: Any, indices: Any) -> tuple[Any, list[Any]]:
    """Length of a row, and a pointer to each of the rows `indices` of a C-contiguous float32 matrix."""
    matrix = context.make_array(kind)(context, builder, array)
    length = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
    return length, [builder.gep(matrix.data, [builder.mul(index, length)]) for index in indices]


def _lanes(builder: Any, row: Any, column: Any) -> Any:
    return builder.bitcast(builder.gep(row, [column]), _VECTOR.as_pointer())


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])


def _halves_added(builder: Any, vector: Any) -> Any:
    """Sum of the lanes: the upper half onto the lower, until one is left."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = (ir.Constant(ir.VectorType(_INT, width), list(range(at, at + width))) for at in (0, width))
        nothing = ir.Constant(vector.type, ir.Undefined)
        vector = builder.fadd(
            builder.shuffle_vector(vector, nothing, low), builder.shuffle_vector(vector, nothing, high)
        )
    return builder.extract_element(vector, _INT(0))


@_inline
def pair_dots(typing_context, x, i, j, k):  # type: ignore[no-untyped-def]
    """``(x_i . x_j, x_i . x_k, x_j . x_k)`` for a float32 (n, p) matrix: three rows are loaded once."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        length, rows = _rows(context, builder, signature.args[0], arguments[0], arguments[1:])
        sums = [cgutils.alloca_once_value(builder, ir.Constant(_VECTOR, [0.0] * LANES)) for _ in range(3)]
        zero, step = length.type(0), length.type(LANES)
        with cgutils.for_range_slice(builder, zero, length, step, length.type) as (column, _):
            u, v, w = (builder.load(_lanes(builder, row, column), align=4) for row in rows)
            for total, one, other in zip(sums, (u, u, v), (v, w, w), strict=True):
                builder.store(_multiply_add(builder, one, other, builder.load(total)), total)
        dots = [_halves_added(builder, builder.load(total)) for total in sums]
        return context.make_tuple(builder, signature.return_type, dots)

    return types.UniTuple(types.float32, 3)(x, types.intp, types.intp, types.intp), build


@_inline
def add_gradients(typing_context, x, gradient, i, j, k, ij, ik, jk):  # type: ignore[no-untyped-def]
    """Add to the three rows of `gradient` what the errors of the three pair similarities send back to them."""

    def build(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        length, rows = _rows(context, builder, signature.args[0], arguments[0], arguments[2:5])
        _, into = _rows(context, builder, signature.args[1], arguments[1], arguments[2:5])
        nothing, everywhere = ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
        dij, dik, djk = (
            builder.shuffle_vector(builder.insert_element(nothing, error, _INT(0)), nothing, everywhere)
            for error in arguments[5:]
        )
        zero, step = length.type(0), length.type(LANES)
        with cgutils.for_range_slice(builder, zero, length, step, length.type) as (column, _):
            u, v, w = (builder.load(_lanes(builder, row, column), align=4) for row in rows)
            places = [_lanes(builder, row, column) for row in into]
            sent = ((dij, v, dik, w), (dij, u, djk, w), (dik, u, djk, v))
            for place, (d, a, e, b) in zip(places, sent, strict=True):
                new = _multiply_add(builder, d, a, _multiply_add(builder, e, b, builder.load(place, align=4)))
                builder.store(new, place, align=4)
        return context.get_dummy_value()

    error = types.float32
    return types.void(x, gradient, types.intp, types.intp, types.intp, error, error, error), build


@kernel(exact=True)
def exponentials(x, powers):  # type: ignore[no-untyped-def]
    """Split e^x, x <= 88, into a mantissa, left in `x`, and a power of two, whose bits are left in int32 `powers`.

    x = k log 2 + r with |r| <= log(2) / 2; e^r by the minimax polynomial of the Cephes library (relative error 7e-8).
    Below -87 the result stays at e^-87, the smallest that float32 holds in full.
    """
    for t in range(x.shape[0]):
        y = max(x[t], np.float32(-87.0))
        k = np.floor(y * np.float32(1.4426950408889634) + np.float32(0.5))
        r = y - k * np.float32(0.693359375)  # log 2 in two parts, so that r keeps its digits
        r = r + k * np.float32(2.12194440e-4)
        e = np.float32(1.9875691500e-4)
        e = e * r + np.float32(1.3981999507e-3)
        e = e * r + np.float32(8.3334519073e-3)
        e = e * r + np.float32(4.1665795894e-2)
        e = e * r + np.float32(1.6666665459e-1)
        e = e * r + np.float32(5.0000001201e-1)
        x[t] = e * r * r + r + np.float32(1.0)
        powers[t] = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))


@kernel(exact=True)
def choice_errors(s2, s1, s0, q2, q1, q0):  # type: ignore[no-untyped-def]
    """Turn similarities of the pairs kept when slot 2, 1, 0 is odd into softmax minus q, in place; return the loss.

    All are float32 (t,). The largest similarity is subtracted first, so nothing overflows.
    """
    size = s2.shape[0]
    least = np.float32(1e-20)
    gap = np.empty(size, np.float32)
    for t in range(size):
        top = max(s2[t], max(s1[t], s0[t]))
        s2[t] -= top
        s1[t] -= top
        s0[t] -= top
        gap[t] = q2[t] * s2[t] + q1[t] * s1[t] + q0[t] * s0[t]
    bits2 = np.empty(size, np.int32)
    bits1 = np.empty(size, np.int32)
    bits0 = np.empty(size, np.int32)
    exponentials(s2, bits2)
    exponentials(s1, bits1)
    exponentials(s0, bits0)
    power2 = bits2.view(np.float32)
    power1 = bits1.view(np.float32)
    power0 = bits0.view(np.float32)
    for t in range(size):
        e2 = s2[t] * power2[t]
        e1 = s1[t] * power1[t]
        e0 = s0[t] * power0[t]
        z = e2 + e1 + e0
        share = np.float32(1.0) / z
        # What is as good as certain sends nothing back; numbers below float32's normal range cost a hundredfold.
        e2 = e2 if e2 > least else np.float32(0.0)
        e1 = e1 if e1 > least else np.float32(0.0)
        e0 = e0 if e0 > least else np.float32(0.0)
        s2[t] = e2 * share - q2[t]
        s1[t] = e1 * share - q1[t]
        s0[t] = e0 * share - q0[t]
        power2[t] = z
    # Sum of log z as the log of products: 1 <= z <= 3, so that 64 factors stay far below the limit of float64.
    loss = 0.0
    product = 1.0
    for t in range(size):
        product *= power2[t]
        loss -= gap[t]
        if t & 63 == 63:
            loss += math.log(product)
            product = 1.0
    return loss + math.log(product)


@kernel(exact=True)
def block_gradient(x, gradient, triplets, targets, offsets, order, tile, begin, size):  # type: ignore[no-untyped-def]
    """Add to `gradient` the summed gradient of ``size`` trials from position `begin` on; return their loss.

    `order` says which tile of `tile` consecutive trials stands where; `begin` is a multiple of `tile`.
    """
    first = np.empty(size, np.int32)
    second = np.empty(size, np.int32)
    third = np.empty(size, np.int32)
    q2 = np.ones(size, np.float32)
    q1 = np.zeros(size, np.float32)
    q0 = np.zeros(size, np.float32)
    soft = targets.shape[0] > 0
    # All indices first: the loads do not wait for one another, so their trips to memory overlap.
    t = 0
    place = begin // tile
    while t < size:
        start = order[place] * tile
        for r in range(start, start + min(tile, size - t)):
            first[t] = triplets[r, 0]
            second[t] = triplets[r, 1]
            third[t] = triplets[r, 2]
            if soft:
                q0[t] = targets[r, 0]
                q1[t] = targets[r, 1]
                q2[t] = targets[r, 2]
            t += 1
        place += 1
    s2 = np.empty(size, np.float32)
    s1 = np.empty(size, np.float32)
    s0 = np.empty(size, np.float32)
    for t in range(size):
        ij, ik, jk = pair_dots(x, first[t], second[t], third[t])
        s2[t] = ij + offsets[2]
        s1[t] = ik + offsets[1]
        s0[t] = jk + offsets[0]
    loss = choice_errors(s2, s1, s0, q2, q1, q0)
    for t in range(size):
        add_gradients(x, gradient, first[t], second[t], third[t], s2[t], s1[t], s0[t])
    return loss


@kernel(parallel=True, exact=True)
def adam_steps(  # type: ignore[no-untyped-def]
    x,  # float32 (n, p): the embedding, updated in place
    first,  # float32 (n, p): Adam's first moment, updated in place
    second,  # float32 (n, p): Adam's second moment, updated in place
    gradients,  # float32 (blocks, n, p): scratch
    triplets,  # int32 (t, 3): odd one last, or any order with `targets`
    targets,  # float32 (t, 3): wanted probability of slot 0, 1, 2 being odd; (0, 3) means "the last slot"
    offsets,  # float32 (3,): added to the similarity that is kept when slot 0, 1, 2 is odd
    order,  # int32: the order in which this epoch visits the tiles of `tile` trials; a last, shorter one stands last
    tile,  # int
    start,  # int: first position to visit, in trials; a multiple of `tile`, like the next three
    stop,  # int: one past the last
    batch,  # int: triplets per step
    block,  # int: triplets per gradient block
    step,  # int: Adam steps taken so far
    rate,  # float: learning rate
    l1,  # float: weight of sum(X), already divided by n
    beta1,
    beta2,
):
    """Visit positions ``start..stop`` in mini-batches; return the summed loss and the new step count."""
    n, p = x.shape
    total = 0.0
    one = np.float32(1.0)
    zero = np.float32(0.0)
    b1 = np.float32(beta1)
    b2 = np.float32(beta2)
    penalty = np.float32(l1)
    lr = np.float32(rate)
    tiny = np.float32(1e-30)
    losses = np.empty(gradients.shape[0], np.float64)
    for low in range(start, stop, batch):
        high = min(stop, low + batch)
        n_blocks = (high - low + block - 1) // block
        for b in numba.prange(n_blocks):
            begin = low + b * block
            size = min(high, begin + block) - begin
            gradients[b] = zero
            losses[b] = block_gradient(x, gradients[b], triplets, targets, offsets, order, tile, begin, size)
        for b in range(n_blocks):
            total += losses[b]
        step += 1
        mean = np.float32(1.0 / (high - low))
        # Adam's bias corrections; the L1 term is linear on X >= 0, so its proximal step in Adam's own
        # metric is a shift of the gradient followed by the projection onto X >= 0.
        correct1 = np.float32(1.0 / (1.0 - beta1**step))
        correct2 = np.float32(1.0 / (1.0 - beta2**step))
        for i in numba.prange(n):
            g = gradients[0, i]
            for b in range(1, n_blocks):
                other = gradients[b, i]
                for c in range(p):
                    g[c] += other[c]
            row = x[i]
            m_row = first[i]
            v_row = second[i]
            for c in range(p):
                slope = g[c] * mean
                slope = slope if abs(slope) > np.float32(1e-15) else zero
                m = b1 * m_row[c] + (one - b1) * slope
                v = b2 * v_row[c] + (one - b2) * slope * slope
                # The moments of a weight that is 0 for good would fade for ever, out of float32's normal range.
                m = m if abs(m) > tiny else zero
                v = max(v, tiny) if v > zero else zero
                m_row[c] = m
                v_row[c] = v
                moved = row[c] - lr * (m * correct1 + penalty) / (math.sqrt(v * correct2) + np.float32(1e-8))
                # Where v is 0 no triplet has touched the weight yet: its start must not shrink away meanwhile.
                row[c] = max(moved, zero) if v > zero else row[c]
    return total, step


@kernel(exact=True)
def scattered(seed, step, row):  # type: ignore[no-untyped-def]
    """A number below 2^20 that looks random: the SplitMix64 finaliser of seed, step and row."""
    z = (
        np.uint64(seed)
        + np.uint64(step) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(row) * np.uint64(0xD1B54A32D192ED03)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(44))


@kernel(parallel=True, exact=True)
def variational_steps(  # type: ignore[no-untyped-def]
    mean,  # float32 (n, p): mean of each weight's Gaussian, updated in place
    log_scale,  # float32 (n, p): log of its standard deviation, updated in place
    scale,  # float32 (n, p): its exponential, updated in place
    moments,  # float32 (4, n, p): Adam's first and second moments of both, updated in place
    used,  # int: columns that are components; those beyond only pad the rows
    noise,  # float32 (2^20 + p,): standard normals, of which every step and row reads a stretch from a place of its own
    seed,  # int
    gradients,  # float32 (blocks, n, p): scratch
    triplets,
    targets,
    offsets,
    order,
    tile,
    start,
    stop,
    batch,
    block,
    step,
    rate,  # as in `adam_steps`
    weight,  # float: of the divergence from the prior, divided by the number of trials
    odds,  # float: log of the spike's over the slab's density at 0, shares included
    spike,  # float: precision of the spike
    slab,  # float: precision of the slab
    beta1,
    beta2,
):
    """Visit positions ``start..stop``; each step draws the weights anew; return the summed loss and the step count.

    With x = mean + scale * noise, the choice loss is that of max(x, 0), and the divergence of the Gaussian from the
    mixture prior is taken at the same x: log q(x) - log p(x), of which log q depends on the log scale alone.
    """
    n, p = mean.shape
    total = 0.0
    one = np.float32(1.0)
    zero = np.float32(0.0)
    b1 = np.float32(beta1)
    b2 = np.float32(beta2)
    lr = np.float32(rate)
    share = np.float32(weight)
    at_zero = np.float32(odds)
    narrow = np.float32(spike)
    wide = np.float32(slab)
    bend = np.float32(0.5 * (spike - slab))
    losses = np.empty(gradients.shape[0], np.float64)
    x = np.zeros((n, p), np.float32)
    for low in range(start, stop, batch):
        high = min(stop, low + batch)
        n_blocks = (high - low + block - 1) // block
        for i in numba.prange(n):
            place = scattered(seed, step, i)
            row = x[i]
            mean_row = mean[i]
            scale_row = scale[i]
            eps = noise[place : place + used]
            for c in range(used):
                row[c] = max(mean_row[c] + scale_row[c] * eps[c], zero)
        for b in numba.prange(n_blocks):
            begin = low + b * block
            size = min(high, begin + block) - begin
            gradients[b] = zero
            losses[b] = block_gradient(x, gradients[b], triplets, targets, offsets, order, tile, begin, size)
        for b in range(n_blocks):
            total += losses[b]
        scale_back = np.float32(1.0 / (high - low))
        correct1 = np.float32(1.0 / (1.0 - beta1 ** (step + 1)))
        correct2 = np.float32(1.0 / (1.0 - beta2 ** (step + 1)))
        for i in numba.prange(n):
            place = scattered(seed, step, i)
            g = gradients[0, i]
            for b in range(1, n_blocks):
                other = gradients[b, i]
                for c in range(p):
                    g[c] += other[c]
            eps = noise[place : place + used]
            mean_row = mean[i]
            log_row = log_scale[i]
            scale_row = scale[i]
            m_mean = moments[0, i]
            v_mean = moments[1, i]
            m_log = moments[2, i]
            v_log = moments[3, i]
            powers = np.empty(used, np.int32)
            power = powers.view(np.float32)
            minor = np.empty(used, np.float32)
            # Share of the spike in the prior at x: a logistic of the log odds, by e^-|odds|, which cannot overflow.
            for c in range(used):
                drawn = mean_row[c] + scale_row[c] * eps[c]
                minor[c] = -abs(at_zero - bend * drawn * drawn)
            exponentials(minor, powers)
            for c in range(used):
                drawn = mean_row[c] + scale_row[c] * eps[c]
                tail = minor[c] * power[c]
                smaller = tail / (one + tail)
                spiked = one - smaller if at_zero - bend * drawn * drawn > zero else smaller
                slope = g[c] * scale_back if drawn > zero else zero
                slope += share * drawn * (spiked * narrow + (one - spiked) * wide)
                m = b1 * m_mean[c] + (one - b1) * slope
                v = b2 * v_mean[c] + (one - b2) * slope * slope
                m_mean[c] = m
                v_mean[c] = v
                mean_row[c] -= lr * (m * correct1) / (math.sqrt(v * correct2) + np.float32(1e-8))
                slope = slope * scale_row[c] * eps[c] - share
                m = b1 * m_log[c] + (one - b1) * slope
                v = b2 * v_log[c] + (one - b2) * slope * slope
                m_log[c] = m
                v_log[c] = v
                log_row[c] -= lr * (m * correct1) / (math.sqrt(v * correct2) + np.float32(1e-8))
                minor[c] = log_row[c]
            exponentials(minor, powers)
            for c in range(used):
                scale_row[c] = minor[c] * power[c]
        step += 1
    return total, step


@kernel(parallel=True, exact=True)
def sum_gradients(x, gradients, triplets, targets, offsets, block):  # type: ignore[no-untyped-def]
    """Loss summed over all trials and its gradient, float64 (n, p).

    Part b of the trials, in blocks of `block`, is summed in ``gradients[b]``, and the parts are added in order.
    """
    n, p = x.shape
    n_trials = triplets.shape[0]
    n_parts = gradients.shape[0]
    length = ((n_trials + n_parts - 1) // n_parts + block - 1) // block * block
    n_blocks = (n_trials + block - 1) // block
    order = np.arange(n_blocks).astype(np.int32)  # as they lie
    losses = np.zeros(n_parts, np.float64)
    for b in numba.prange(n_parts):
        gradients[b] = np.float32(0.0)
        for begin in range(b * length, min(n_trials, (b + 1) * length), block):
            size = min(n_trials, begin + block) - begin
            losses[b] += block_gradient(x, gradients[b], triplets, targets, offsets, order, block, begin, size)
    total = np.zeros((n, p), np.float64)
    for i in numba.prange(n):
        for b in range(n_parts):
            for c in range(p):
                total[i, c] += gradients[b, i, c]
    loss = 0.0
    for b in range(n_parts):  # in order: `losses.sum()` would be dealt to the threads
        loss += losses[b]
    return loss, total


@kernel(parallel=True, exact=True)
def information_blocks(x, triplets, probabilities, blocks):  # type: ignore[no-untyped-def]
    """Add to float64 `blocks` (parts, n, p, p) the Fisher information of the choices about each stimulus alone.

    With the other two stimuli fixed, the similarities of stimulus i change by x_j and x_k, so that the information of a
    trial is P_ij (1 - P_ij) x_j x_j' + P_ik (1 - P_ik) x_k x_k' - P_ij P_ik (x_j x_k' + x_k x_j').
    """
    n_trials = triplets.shape[0]
    n_parts = blocks.shape[0]
    p = x.shape[1]
    length = (n_trials + n_parts - 1) // n_parts
    for part in numba.prange(n_parts):
        for t in range(part * length, min(n_trials, (part + 1) * length)):
            for slot in range(3):
                j = (slot + 1) % 3
                k = (slot + 2) % 3
                keep_j = np.float64(probabilities[t, k])  # slot k odd: the pair of this slot and j stays
                keep_k = np.float64(probabilities[t, j])
                xj = x[triplets[t, j]]
                xk = x[triplets[t, k]]
                into = blocks[part, triplets[t, slot]]
                for c in range(p):
                    a = keep_j * (1.0 - keep_j) * xj[c] - keep_j * keep_k * xk[c]
                    b = keep_k * (1.0 - keep_k) * xk[c] - keep_j * keep_k * xj[c]
                    row = into[c]
                    for d in range(p):
                        row[d] += a * xj[d] + b * xk[d]


@kernel(parallel=True, exact=True)
def pair_similarities(x, triplets, out):  # type: ignore[no-untyped-def]
    """Fill ``out[t, slot]`` with the similarity of the two stimuli that are *not* in that slot."""
    for t in numba.prange(triplets.shape[0]):
        ij, ik, jk = pair_dots(x, triplets[t, 0], triplets[t, 1], triplets[t, 2])
        out[t, 0] = jk
        out[t, 1] = ik
        out[t, 2] = ij
