"""The compiled half of rank RSA: binned similarities of one sphere against the ranks of all spaces.

Stimuli come in the order of their runs, so that the pairs of stimulus i that count are one stretch, j = first[i] .. n.
Pairs are laid out stimulus by stimulus: those of i lie at ``start[i] : start[i] + n - first[i]``.

Two passes serve a centre. The first makes the similarities (a matrix product per block of stimuli, which stays in the
cache), turns them into bins (uint16) and counts these. The second replaces every bin by its mid-rank and multiplies
with the model ranks; these are read once for a group of centres. Nothing is shared between centres, so the bits do not
depend on threads or on which centres come together.
"""

from __future__ import annotations

import numba
import numpy as np

from affectome._numba import kernel

_ROWS = 128  # stimuli of a block of similarities: for 2,180 stimuli 1.1 MB of float32
_PILOT = 64  # stimuli whose similarities say where the bins go
_SPREAD = 1.5  # times their interquartile range, about two s.d. of a normal distribution, half of the bins are used up
_COARSE_BITS = 12  # the jackknife sums what lies above a pair in so many bins that its tables stay in the cache

CORRELATION, COSINE, EUCLIDEAN = 0, 1, 2


@kernel()
def _fill_rows(responses, order, voxels, kind, rows, offsets):  # type: ignore[no-untyped-def]
    """Patterns of a sphere such that the similarity of i and j is ``rows[i] . rows[j] - offsets[i] - offsets[j]``.

    Unit rows for correlation and cosine (a row without any length stays 0). For Euclidean distances, rows about the
    mean pattern, and half their squared length: the similarity is minus half the squared distance.
    """
    n, size = rows.shape
    for i in range(n):
        source = responses[order[i]]
        for v in range(size):
            rows[i, v] = source[voxels[v]]
    if kind == EUCLIDEAN:
        mean = np.zeros(size)
        for i in range(n):
            for v in range(size):
                mean[v] += rows[i, v]
        for i in range(n):
            length = 0.0
            for v in range(size):
                centred = np.float32(rows[i, v] - mean[v] / n)
                rows[i, v] = centred
                length += np.float64(centred) ** 2
            offsets[i] = length / 2
        return
    for i in range(n):
        mean_of_row, largest = 0.0, 0.0
        if kind == CORRELATION:
            for v in range(size):
                mean_of_row += rows[i, v]
            mean_of_row /= size
        length = 0.0
        for v in range(size):
            largest = max(largest, abs(np.float64(rows[i, v])))
            length += (rows[i, v] - mean_of_row) ** 2
        # A constant row whose mean does not round to its value has no length either.
        scale = 1 / np.sqrt(length) if length > size * (largest * 1e-12) ** 2 else 0.0
        for v in range(size):
            rows[i, v] = np.float32((rows[i, v] - mean_of_row) * scale)
        offsets[i] = 0.0


@kernel()
def _middle_and_spread(rows, offsets):  # type: ignore[no-untyped-def]
    """Median, and a multiple of the interquartile range, of the similarities of some stimuli spread evenly."""
    n, size = rows.shape
    m = min(n, _PILOT)
    some, theirs = np.empty((m, size), np.float32), np.empty(m, np.float32)
    for a in range(m):
        some[a], theirs[a] = rows[a * n // m], offsets[a * n // m]
    products = np.dot(some, some.T)
    values = np.empty(m * (m - 1) // 2, np.float32)
    at = 0
    for a in range(m):
        for b in range(a):
            values[at] = products[a, b] - theirs[a] - theirs[b]
            at += 1
    values.sort()
    middle = values[at // 2]
    spread = np.float32(_SPREAD) * (values[at - 1 - at // 4] - values[at // 4])
    if not spread > 0:  # most are alike
        spread = max(values[at - 1] - values[0], abs(middle) * np.float32(1e-3), np.float32(1e-30))
    return middle, spread


@kernel()
def _fill_bins(rows, offsets, first, start, middle, spread, tile, codes, counts):  # type: ignore[no-untyped-def]
    """Bin of each pair that counts, and how many pairs lie in each bin.

    With t = (similarity - middle) / spread, bins divide t / (1 + |t|), from -1 to 1, evenly: fine where most pairs lie,
    and no tail is too long. Written as 1 - 1 / (1 + |t|), since that cannot fall where t rises, however it is rounded.
    The middle lies in the middle of a bin, for similarities may pile up there.
    """
    n = len(rows)
    one, half, inverse = np.float32(1.0), np.float32(0.5), np.float32(1.0) / spread
    reach = np.float32((len(counts) - 1) // 2)
    counts[:] = 0
    for begin in range(0, n, _ROWS):
        end = min(begin + _ROWS, n)
        products = tile[: (end - begin) * (n - begin)].reshape(end - begin, n - begin)
        np.dot(rows[begin:end], rows[begin:].T, products)
        for i in range(begin, end):
            after = first[i]
            line, theirs = products[i - begin, after - begin :], offsets[after:]
            of_pairs = codes[start[i] : start[i] + n - after]
            own = offsets[i]
            for j in range(len(of_pairs)):
                t = (line[j] - own - theirs[j] - middle) * inverse
                along = one - one / (one + abs(t))
                of_pairs[j] = np.uint16(np.int32((along if t >= 0 else -along) * reach + reach + half))
            for j in range(len(of_pairs)):
                counts[of_pairs[j]] += np.uint32(1)


@kernel(exact=True)
def _fill_ranks_of_bins(counts, n_pairs, ranks):  # type: ignore[no-untyped-def]
    """Mid-rank of each bin about 0, in units of the number of pairs; their variance, mean cube, and F, come back.

    F = sum_b (c_b^3 - c_b) / (P^3 - P): the largest share of the variance of the ranks that can lie within bins.
    """
    below = np.int64(0)
    within, squares, cubes = 0.0, 0.0, 0.0
    for b in range(len(counts)):
        count = np.int64(counts[b])
        rank = (below + count / 2) / n_pairs - 0.5
        ranks[b] = rank
        squares += count * rank * rank
        cubes += count * rank * rank * rank
        within += np.float64(count) * (np.float64(count) ** 2 - 1)
        below += count
    whole = np.float64(n_pairs) * (np.float64(n_pairs) ** 2 - 1)
    return squares / n_pairs, cubes / n_pairs, within / whole if whole > 0 else 0.0


@kernel()
def _add_pairs(codes, ranks, model, begin, line, rows, squares, products):  # type: ignore[no-untyped-def]
    """Pairs of one stimulus, from `begin` on: `rows`, `squares` (of its partners) and `products` grow.

    The sum of its ranks, and of their squares, come back.
    """
    count = len(rows)
    of_pairs = codes[begin : begin + count]
    for j in range(count):
        line[j] = ranks[of_pairs[j]]
    total, square = np.float32(0.0), np.float32(0.0)
    for j in range(count):
        total += line[j]
        square += line[j] * line[j]
    for j in range(count):
        rows[j] += line[j]
        squares[j] += line[j] * line[j]
    for s in range(len(products)):
        theirs = model[s, begin : begin + count]
        product = np.float32(0.0)
        for j in range(count):
            product += line[j] * theirs[j]
        products[s] += product
    return total, square


@kernel()
def _fill_above(sums, n_pairs, table):  # type: ignore[no-untyped-def]
    """``table[b]`` = (sum over the bins above b, and half of b's own) / number of pairs."""
    below, total = 0.0, 0.0
    for b in range(len(sums)):
        total += sums[b]
    for b in range(len(sums)):
        table[b] = (total - below - sums[b] / 2) / n_pairs
        below += sums[b]


@kernel()
def _shift_to_coarse(bins):  # type: ignore[no-untyped-def]
    """Bits that the number of a bin loses to be one of at most 2^_COARSE_BITS."""
    shift = 0
    while (bins - 1) >> (shift + _COARSE_BITS) > 0:
        shift += 1
    return shift


@kernel()
def _own_influence(codes, ranks, first, start, degree, variance, influence):  # type: ignore[no-untyped-def]
    """Derivative of the logarithm of the variance of the ranks of the brain by the weight of each stimulus."""
    n, n_pairs, shift = len(first), len(codes), _shift_to_coarse(len(ranks))
    sums, above = np.zeros(1 << _COARSE_BITS), np.empty(1 << _COARSE_BITS, np.float32)
    for p in range(n_pairs):
        sums[codes[p] >> shift] += ranks[codes[p]]
    _fill_above(sums, n_pairs, above)
    influence[:] = 0.0
    values = np.empty(n, np.float32)
    for i in range(n):
        of_pairs = codes[start[i] : start[i] + n - first[i]]
        for j in range(len(of_pairs)):
            rank = ranks[of_pairs[j]]
            values[j] = rank * rank + np.float32(2) * above[of_pairs[j] >> shift]
        _add_values(values, influence, i, first[i])
    _about_mean(influence, degree, n_pairs)
    influence /= variance


@kernel()
def _cross_influence(codes, ranks, model, first, start, degree, influence):  # type: ignore[no-untyped-def]
    """Derivative of the mean product of the ranks of brain and model by the weight of each stimulus."""
    n, n_pairs, shift = len(first), len(codes), _shift_to_coarse(len(ranks))
    half, many, last = np.float32(0.5), np.float32(1 << _COARSE_BITS), np.int32((1 << _COARSE_BITS) - 1)
    of_bins, of_model = np.zeros(1 << _COARSE_BITS), np.zeros(1 << _COARSE_BITS)
    for p in range(n_pairs):
        of_bins[codes[p] >> shift] += model[p]
        of_model[min(np.int32((model[p] + half) * many), last)] += ranks[codes[p]]
    above, above_model = np.empty(len(of_bins), np.float32), np.empty(len(of_model), np.float32)
    _fill_above(of_bins, n_pairs, above)
    _fill_above(of_model, n_pairs, above_model)
    influence[:] = 0.0
    values = np.empty(n, np.float32)
    for i in range(n):
        of_pairs, theirs = codes[start[i] : start[i] + n - first[i]], model[start[i] : start[i] + n - first[i]]
        for j in range(len(of_pairs)):
            of_theirs = above_model[min(np.int32((theirs[j] + half) * many), last)]
            values[j] = ranks[of_pairs[j]] * theirs[j] + above[of_pairs[j] >> shift] + of_theirs
        _add_values(values, influence, i, first[i])
    _about_mean(influence, degree, n_pairs)


@kernel()
def _add_values(values, sums, i, first):  # type: ignore[no-untyped-def]
    """Add to the sums of stimulus i, and of its partners from `first` on, what their pairs are worth."""
    others, total = sums[first:], np.float32(0.0)
    for j in range(len(others)):
        total += values[j]
    for j in range(len(others)):
        others[j] += values[j]
    sums[i] += total


@kernel()
def _about_mean(sums, degree, n_pairs):  # type: ignore[no-untyped-def]
    """From sums over the pairs of each stimulus to the derivatives of the mean over all pairs."""
    mean = sums.sum() / (2 * n_pairs)
    for i in range(len(sums)):
        sums[i] = (sums[i] - mean * degree[i]) / n_pairs


@kernel()
def _fill_covariance(  # type: ignore[no-untyped-def]
    codes, ranks, model, first, start, degree, units, variance, model_variance, model_influence, rho, covariance
):
    """Covariance of the rho of one centre with all spaces, by the infinitesimal jackknife."""
    n, n_models = len(first), len(rho)
    own, influences = np.empty(n), np.empty((n_models, n))
    _own_influence(codes, ranks, first, start, degree, variance, own)
    for s in range(n_models):
        _cross_influence(codes, ranks, model[s], first, start, degree, influences[s])
        scale = np.sqrt(variance * model_variance[s])
        for i in range(n):
            influences[s, i] = influences[s, i] / scale - rho[s] / 2 * (own[i] + model_influence[s, i])
    n_units = units.max() + 1
    together = np.zeros((n_models, n_units))
    for s in range(n_models):
        for i in range(n):
            together[s, units[i]] += influences[s, i]
    for s in range(n_models):
        for t in range(n_models):
            covariance[s, t] = (together[s] * together[t]).sum() * n_units / (n_units - 1)


@kernel(parallel=True)
def fill_spearman(  # type: ignore[no-untyped-def]
    responses, order, voxels, starts, kind, first, start, degree, units, model, model_variance, model_influence, bins,
    group, n_workers, jackknife, rho, within, moments, covariances,
):  # fmt: skip
    """Rank correlation of the similarities of every sphere with the ranks of every space, by bins.

    Parameters
    ----------
    responses : float32 (n, n_voxels)
    order : (n,), stimuli by run
    voxels, starts : neighbourhoods in compressed rows
    kind : CORRELATION, COSINE or EUCLIDEAN
    first, start, degree : (n,), see the head of this module; pairs that hold each stimulus
    units : (n,), what each stimulus is part of for the jackknife, from 0
    model : float32 (n_models, n_pairs), mid-ranks about 0 in units of n_pairs
    model_variance : (n_models,)
    model_influence : (n_models, n), derivative of the logarithm of that variance by the weight of each stimulus
    bins : at most 65,536
    group : centres that one reading of the model ranks serves
    rho : float64 (n_centres, n_models), filled; NaN where all similarities fall into one bin
    within : float64 (n_centres,), filled with F, the share of variance that may lie within bins
    moments : float64 (n_centres, 5), filled with the sums over ordered pairs of a_ij^2 and a_ij^3, over stimuli of
        r_i^2, q_i r_i and r_i^3; a the ranks, r_i = sum_j a_ij and q_i = sum_j a_ij^2
    covariances : float64 (n_centres, n_models, n_models), filled if `jackknife`

    A worker holds group * (2 n_pairs + 4 bins) bytes, a block of similarities and one sphere. BLAS must be told to use
    one thread: the work is dealt to threads here.
    """
    n, n_centres = len(first), len(starts) - 1
    n_models, n_pairs = model.shape
    n_groups = (n_centres + group - 1) // group
    for number in numba.prange(n_workers):
        codes, ranks = np.empty((group, n_pairs), np.uint16), np.empty((group, bins), np.float32)
        counts, tile = np.empty(bins, np.uint32), np.empty(min(_ROWS, n) * n, np.float32)
        line, offsets = np.empty(n, np.float32), np.empty(n, np.float32)
        sums, squares, products = np.empty((group, n)), np.empty((group, n)), np.empty((group, n_models))
        variances, cubes = np.empty(group), np.empty(group)
        for block in range(np.int64(number), n_groups, n_workers):
            begin = block * group
            count = min(group, n_centres - begin)
            for c in range(count):
                of_sphere = voxels[starts[begin + c] : starts[begin + c + 1]]
                rows = np.empty((n, len(of_sphere)), np.float32)
                _fill_rows(responses, order, of_sphere, kind, rows, offsets)
                middle, spread = _middle_and_spread(rows, offsets)
                _fill_bins(rows, offsets, first, start, middle, spread, tile, codes[c], counts)
                variances[c], cubes[c], within[begin + c] = _fill_ranks_of_bins(counts, n_pairs, ranks[c])
            sums[:] = 0.0
            squares[:] = 0.0
            products[:] = 0.0
            for i in range(n):
                for c in range(count):
                    total, square = _add_pairs(
                        codes[c], ranks[c], model, start[i], line, sums[c, first[i] :], squares[c, first[i] :],
                        products[c],
                    )  # fmt: skip
                    sums[c, i] += total
                    squares[c, i] += square
            for c in range(count):
                for s in range(n_models):
                    rho[begin + c, s] = products[c, s] / n_pairs / np.sqrt(variances[c] * model_variance[s])
                moments[begin + c, 0] = 2 * n_pairs * variances[c]
                moments[begin + c, 1] = 2 * n_pairs * cubes[c]
                moments[begin + c, 2] = (sums[c] ** 2).sum()
                moments[begin + c, 3] = (squares[c] * sums[c]).sum()
                moments[begin + c, 4] = (sums[c] ** 3).sum()
                if jackknife:
                    _fill_covariance(
                        codes[c], ranks[c], model, first, start, degree, units, variances[c], model_variance,
                        model_influence, rho[begin + c], covariances[begin + c],
                    )  # fmt: skip
