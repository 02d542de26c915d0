"""The compiled half of Pearson searchlights: patterns of one sphere as factors, and sums over pairs.

Every sum runs elementwise over stimuli and in the order written here, so that the bits do not depend on threads, on
which centres are scored together, or on whether the code was just compiled.

The similarity of stimuli i and j in a sphere is always written as

    g_ij = constant + u_i + u_j + d_i . d_j,    sum_i d_i = 0,    sum_i u_i = 0,

since what all patterns share (in fMRI, most of them) is then in the constant and cancels nothing later.
"""

from __future__ import annotations

import math

import numpy as np

from affectome._numba import kernel

__all__ = [
    "CORRELATION",
    "COSINE",
    "EUCLIDEAN",
    "SQUARED_EUCLIDEAN",
    "add_pairs",
    "add_row_products",
    "add_within",
    "fill_factors",
    "gather",
    "squares_of_columns",
]

CORRELATION, COSINE, SQUARED_EUCLIDEAN, EUCLIDEAN = 0, 1, 2, 3
_LANES = 16  # partial sums side by side, so that a sum over stimuli vectorises in a fixed order


@kernel(exact=True)
def _sum(values, lanes):  # type: ignore[no-untyped-def]
    lanes[:] = 0.0
    whole = values.shape[0] // _LANES * _LANES
    for start in range(0, whole, _LANES):
        for k in range(_LANES):
            lanes[k] += values[start + k]
    total = 0.0
    for k in range(_LANES):
        total += lanes[k]
    for i in range(whole, values.shape[0]):
        total += values[i]
    return total


@kernel(exact=True)
def fill_factors(source, columns, kind, out, effect, mean, scale, z):  # type: ignore[no-untyped-def]
    """Write the factors d of one sphere into `out` and u into `effect`.

    Returns the constant, and how many stimuli have no direction. `source` is float32 (n_voxels, n), one row per voxel;
    `columns` are the rows of the sphere's V voxels; `out` is (V, n), float32 or float64; `effect`, `mean`, `scale` and
    `z` are float64 (n,). Correlation: rows (stimuli) are centred over voxels and given unit length. Cosine: unit
    length. Euclidean and squared Euclidean: -|x_i - x_j|^2. A stimulus that has no length has no direction: its
    similarity with all others is 0.
    """
    n_voxels, n = columns.shape[0], source.shape[1]
    lanes = np.empty(_LANES)
    unit = kind in (CORRELATION, COSINE)
    mean[:] = 0.0
    scale[:] = 1.0
    directionless = 0
    if kind == CORRELATION:
        for v in range(n_voxels):
            row = source[columns[v]]
            for i in range(n):
                mean[i] += row[i]
        for i in range(n):
            mean[i] /= n_voxels
    if unit:
        scale[:] = 0.0
        for v in range(n_voxels):
            row = source[columns[v]]
            for i in range(n):
                away = row[i] - mean[i]
                scale[i] += away * away
        for i in range(n):
            # A constant row whose mean does not round to its value has no length either.
            if scale[i] <= n_voxels * (1e-12 * mean[i]) ** 2:
                directionless += 1
                scale[i] = 0.0
            else:
                scale[i] = 1.0 / math.sqrt(scale[i])
    effect[:] = 0.0
    constant = 0.0
    for v in range(n_voxels):
        row, d = source[columns[v]], out[v]
        for i in range(n):
            z[i] = (row[i] - mean[i]) * scale[i]
        shared = _sum(z, lanes) / n
        if unit:
            constant += shared * shared
            for i in range(n):
                away = z[i] - shared
                d[i] = away
                effect[i] += shared * away
        else:
            for i in range(n):
                away = z[i] - shared
                d[i] = math.sqrt(2.0) * away
                effect[i] -= away * away
    middle = _sum(effect, lanes) / n
    for i in range(n):
        effect[i] -= middle
    return constant + 2.0 * middle, directionless


@kernel(exact=True)
def add_within(d, effect, starts, longest, models, rows, totals, each, squares, products):  # type: ignore[no-untyped-def]
    """Sum over the pairs within runs, and over every stimulus with itself.

    `d` (V, n) and `effect` (n,) as in :func:`fill_factors`, stimuli sorted by run; run r is ``starts[r] : starts[r +
    1]``, `longest` the length of the longest. `models` float64 (n_models, sum of squared run lengths) holds the
    similarities in those blocks, row by row. With g without its constant, `rows` (n,) += sum_j g_ij, ``totals[0]`` +=
    sum g^2, ``totals[1 + m]`` += sum g h. Where `each` says so, what each stimulus brings to these totals is added to
    `squares` (n,) and `products` (n_models, n). All sums are float64, over ordered pairs.
    """
    n_voxels, n = d.shape
    if starts.shape[0] == n + 1:
        _add_diagonal(d, effect, models, rows, totals, each, squares, products)
        return
    packed, dots = np.empty(n_voxels * longest, d.dtype), np.empty(longest * longest, d.dtype)
    values = np.empty(longest * longest)
    place = 0
    for run in range(starts.shape[0] - 1):
        start, stop = starts[run], starts[run + 1]
        size = stop - start
        part = packed[: n_voxels * size].reshape(n_voxels, size)
        for v in range(n_voxels):
            for i in range(size):
                part[v, i] = d[v, start + i]
        np.dot(part.T, part, dots[: size * size].reshape(size, size))
        g = values[: size * size]
        for i in range(size):
            own, at = effect[start + i], i * size  # no slices here: numba counts references to each
            for j in range(size):
                value = dots[at + j] + (own + effect[start + j])
                g[at + j] = value
                rows[start + j] += value
        totals[0] += np.dot(g, g)
        for m in range(models.shape[0]):
            totals[1 + m] += np.dot(g, models[m, place : place + size * size])
        if each:
            for i in range(size):
                at = i * size
                for j in range(size):
                    squares[start + j] += g[at + j] * g[at + j]
                for m in range(models.shape[0]):
                    for j in range(size):
                        products[m, start + j] += g[at + j] * models[m, place + at + j]
        place += size * size


@kernel(exact=True)
def _add_diagonal(d, effect, models, rows, totals, each, squares, products):  # type: ignore[no-untyped-def]
    """The same where every stimulus is a run."""
    n_voxels, n = d.shape
    own = np.zeros(n)
    for v in range(n_voxels):
        row = d[v]
        for i in range(n):
            own[i] += np.float64(row[i]) * np.float64(row[i])
    for i in range(n):
        own[i] += 2.0 * effect[i]
        rows[i] += own[i]
    totals[0] += np.dot(own, own)
    for m in range(models.shape[0]):
        totals[1 + m] += np.dot(own, models[m])
    if each:
        for i in range(n):
            squares[i] += own[i] * own[i]
        for m in range(models.shape[0]):
            for i in range(n):
                products[m, i] += own[i] * models[m, i]


@kernel(exact=True)
def gather(responses, order, voxels, out):  # type: ignore[no-untyped-def]
    """Fill ``out[k, i] = responses[order[i], voxels[k]]``, a cache line of it at a time."""
    n = order.shape[0]
    for start in range(0, n, 16):
        stop = min(n, start + 16)
        for k in range(voxels.shape[0]):
            row, voxel = out[k], voxels[k]
            for i in range(start, stop):
                row[i] = responses[order[i], voxel]


@kernel(exact=True)
def add_pairs(dots, effect, constant, shift, root, first, run, models, g, rows, squares, products):  # type: ignore[no-untyped-def]
    """Add, for a block of rows of the pair matrix, what each pair of different runs brings to its stimuli.

    `dots` float64 (b, n) are d_i . d_j for the stimuli i = first .. first + b - 1 and all j; `shift` is taken off
    every g, which is ``-sqrt(-g)`` where `root` says so. `run` (n,) are codes (all different where pairs within runs
    count); `models` float32 (n_models, n, n); `g` is scratch (n,). Sums as in :func:`add_within`.
    """
    n = effect.shape[0]
    for b in range(dots.shape[0]):
        i = first + b
        dot, own, code = dots[b], constant + effect[i], run[i]
        for j in range(n):
            value = own + effect[j] + dot[j]
            if root:
                value = -math.sqrt(max(0.0, -value))
            g[j] = 0.0 if run[j] == code else value - shift
            rows[j] += g[j]
            squares[j] += g[j] * g[j]
        for m in range(models.shape[0]):
            h, product = models[m, i], products[m]
            for j in range(n):
                product[j] += g[j] * np.float64(h[j])


@kernel(exact=True)
def squares_of_columns(matrix, out):  # type: ignore[no-untyped-def]
    """Write the sum of squares of each column, in float64, into `out`."""
    out[:] = 0.0
    for v in range(matrix.shape[0]):
        row = matrix[v]
        for k in range(matrix.shape[1]):
            value = np.float64(row[k])
            out[k] += value * value


@kernel(exact=True)
def add_row_products(first, second, signs, shift, out):  # type: ignore[no-untyped-def]
    """Add ``sum_k signs[k] (first[k, i] + shift[k]) second[k, i]`` to ``out[i]``; all (k, n), summed in float64."""
    for k in range(first.shape[0]):
        sign, away = signs[k], shift[k]
        for i in range(out.shape[0]):
            out[i] += sign * (np.float64(first[k, i]) + away) * np.float64(second[k, i])
