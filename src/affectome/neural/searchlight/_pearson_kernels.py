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
    "add_within",
    "fill_factors",
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
def _fill_block(d, start, stop, block):  # type: ignore[no-untyped-def]
    """``block[i, j]`` = d_i . d_j for the stimuli start .. stop - 1, four voxels at a time."""
    n_voxels, size = d.shape[0], stop - start
    for i in range(size):
        line = block[i]
        for j in range(size):
            line[j] = 0.0
    whole = n_voxels // 4 * 4
    for v in range(0, whole, 4):
        a, b, c, e = d[v, start:stop], d[v + 1, start:stop], d[v + 2, start:stop], d[v + 3, start:stop]
        for i in range(size):
            line, p, q, r, s = block[i], a[i], b[i], c[i], e[i]
            for j in range(size):
                line[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * e[j])
    for v in range(whole, n_voxels):
        a = d[v, start:stop]
        for i in range(size):
            line, p = block[i], a[i]
            for j in range(size):
                line[j] += p * a[j]


@kernel(exact=True)
def add_within(d, effect, starts, models, block, rows, squares, products):  # type: ignore[no-untyped-def]
    """Add what the pairs within runs, and every stimulus with itself, bring to each stimulus.

    `d` (V, n) and `effect` (n,) as in :func:`fill_factors`, stimuli sorted by run; run r is ``starts[r] : starts[r +
    1]``. `models` float64 (n_models, sum of squared run lengths) holds the similarities in those blocks, row by row;
    `block` is scratch of the type of `d`. With g without its constant, `rows` += sum_j g_ij, `squares` += sum_j g_ij^2
    (both float64 (n,)) and `products` (n_models, n) += sum_j g_ij h_ij.
    """
    n_voxels, n = d.shape
    if starts.shape[0] == n + 1:
        own = np.zeros(n)
        for v in range(n_voxels):
            row = d[v]
            for i in range(n):
                own[i] += np.float64(row[i]) * np.float64(row[i])
        for i in range(n):
            own[i] += 2.0 * effect[i]
            rows[i] += own[i]
            squares[i] += own[i] * own[i]
        for m in range(models.shape[0]):
            h, product = models[m], products[m]
            for i in range(n):
                product[i] += own[i] * h[i]
        return
    g = np.empty(block.shape[0])
    place = 0
    for run in range(starts.shape[0] - 1):
        start, stop = starts[run], starts[run + 1]
        size = stop - start
        _fill_block(d, start, stop, block)
        u, row, square = effect[start:stop], rows[start:stop], squares[start:stop]
        for i in range(size):
            line, own_effect = block[i], u[i]
            for j in range(size):
                g[j] = line[j] + (own_effect + u[j])
                row[j] += g[j]
                square[j] += g[j] * g[j]
            for m in range(models.shape[0]):
                h, product = models[m, place : place + size], products[m, start:stop]
                for j in range(size):
                    product[j] += g[j] * h[j]
            place += size


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
