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
LEVELS = 64  # the jackknife sees ranks in so many equal stretches: two of them are a table that stays in the cache

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
def _add_pairs(line, model, begin, first, i, sums, squares, products, crossed):  # type: ignore[no-untyped-def]
    """The ranks `line` of the pairs of stimulus i: all sums over the pairs of a stimulus grow, for it and its partners.

    `products` (n_models,) are totals; `crossed`, (n_models, n) or empty, are those of single stimuli.
    """
    count = len(line)
    rows, others = sums[first:], squares[first:]
    total, square = np.float32(0.0), np.float32(0.0)
    for j in range(count):
        total += line[j]
        square += line[j] * line[j]
    for j in range(count):
        rows[j] += line[j]
        others[j] += line[j] * line[j]
    sums[i] += total
    squares[i] += square
    for s in range(len(products)):
        theirs = model[s, begin : begin + count]
        product = np.float32(0.0)
        for j in range(count):
            product += line[j] * theirs[j]
        products[s] += product
        if len(crossed):
            of_partners = crossed[s, first:]
            for j in range(count):
                of_partners[j] += line[j] * theirs[j]
            crossed[s, i] += product


@kernel()
def _fill_levels(ranks, levels):  # type: ignore[no-untyped-def]
    """Level of each rank: the LEVELS equal stretches from the lowest to the highest."""
    half, many, last = np.float32(0.5), np.float32(LEVELS), np.int32(LEVELS - 1)
    for j in range(len(ranks)):
        levels[j] = np.uint16(min(np.int32((ranks[j] + half) * many), last))


@kernel()
def _count_levels(own, theirs, first, i, cells, of_stimuli, together):  # type: ignore[no-untyped-def]
    """Count the levels of the pairs of stimulus i, in the brain for it and its partners, and with each space."""
    count = len(own)
    partners, of_own = of_stimuli[first:], of_stimuli[i]
    for j in range(count):
        partners[j, own[j]] += np.uint16(1)
    for j in range(count):
        of_own[own[j]] += np.uint16(1)
    for s in range(len(theirs)):
        of_space, table = theirs[s], together[s]
        for j in range(count):
            cells[j] = own[j] * np.uint16(LEVELS) + of_space[j]
        for j in range(count):
            table[cells[j]] += np.uint32(1)


@kernel()
def add_values_of_pairs(values, first, start, sums):  # type: ignore[no-untyped-def]
    """Add the value of each pair to the sums of both its stimuli."""
    n = len(first)
    for i in range(n):
        line, others, total = values[start[i] : start[i] + n - first[i]], sums[first[i] :], 0.0
        for j in range(len(line)):
            total += line[j]
        for j in range(len(line)):
            others[j] += line[j]
        sums[i] += total


@kernel()
def count_model_levels(ranks, first, start, means, of_stimuli):  # type: ignore[no-untyped-def]
    """Of one space: mean rank of each level (LEVELS,); and (n, 2 LEVELS) of the pairs of each stimulus.

    The latter are how many lie in each level, and the sum of their ranks about the mean of the level.
    """
    n = len(first)
    levels, counts = np.empty(n, np.uint16), np.zeros(LEVELS)
    means[:] = 0.0
    of_stimuli[:] = 0.0
    for i in range(n):
        line = ranks[start[i] : start[i] + n - first[i]]
        _fill_levels(line, levels)
        for j in range(len(line)):
            means[levels[j]] += line[j]
            counts[levels[j]] += 1
    for level in range(LEVELS):
        means[level] /= max(counts[level], 1.0)
    for i in range(n):
        line, partners = ranks[start[i] : start[i] + n - first[i]], of_stimuli[first[i] :]
        _fill_levels(line, levels)
        for j in range(len(line)):
            about = np.float32(line[j] - means[levels[j]])
            of_stimuli[i, levels[j]] += np.float32(1)
            partners[j, levels[j]] += np.float32(1)
            of_stimuli[i, LEVELS + levels[j]] += about
            partners[j, LEVELS + levels[j]] += about


@kernel()
def _fill_means_of_levels(counts, ranks, n_pairs, levels, means):  # type: ignore[no-untyped-def]
    """Of the pairs of each level: mean rank, squared rank, and squared share of the pairs that lie in one bin."""
    sizes = np.zeros(LEVELS)
    means[:] = 0.0
    _fill_levels(ranks, levels)
    for b in range(len(counts)):
        count, rank = np.float64(counts[b]), np.float64(ranks[b])
        means[0, levels[b]] += count * rank
        means[1, levels[b]] += count * rank * rank
        means[2, levels[b]] += count * (count / n_pairs) ** 2
        sizes[levels[b]] += count
    for level in range(LEVELS):
        means[:, level] /= max(sizes[level], 1.0)


@kernel()
def _fill_above(sums, known, n_pairs, table):  # type: ignore[no-untyped-def]
    """``table[b]`` = (sum over the levels above b, and half of b's own) / number of pairs, less what is known of it."""
    below, total = 0.0, sums.sum()
    for b in range(len(sums)):
        table[b] = (total - below - sums[b] / 2) / n_pairs - known[b]
        below += sums[b]


@kernel()
def _about_mean(sums, degree, n_pairs):  # type: ignore[no-untyped-def]
    """From sums over the pairs of each stimulus to the derivatives of the mean over all pairs."""
    mean = sums.sum() / (2 * n_pairs)
    for i in range(len(sums)):
        sums[i] = (sums[i] - mean * degree[i]) / n_pairs


@kernel()
def _fill_covariance(  # type: ignore[no-untyped-def]
    squares, crossed, of_stimuli, together, means, model_means, model_of_stimuli, n_pairs, degree, units, variance,
    model_variance, model_influence, rho, covariance,
):  # fmt: skip
    """Covariance of the rho of one centre with all spaces, by the infinitesimal jackknife.

    A weight acts on mean(u v) through the pairs of its stimulus (`crossed`), through the ranks u of all pairs that are
    more similar in the brain (the sum of v above a pair), and likewise through v. These sums are known by levels, and
    are added over the pairs of a stimulus by their counts. Where a pair lies within its level is known in the space. In
    the brain, what v = slope * u would give is known exactly, (1/4 - u^2 - w^2 / 4) / 2 times the slope with w the
    share of the pairs that are tied, and only what is left of the sum goes through levels.
    """
    n_models, n = crossed.shape
    above, above_model = np.empty((LEVELS, n_models + 1), np.float32), np.zeros((n_models, 2 * LEVELS), np.float32)
    slopes, itself = rho * np.sqrt(model_variance / variance), (0.25 - means[1] - means[2] / 4) / 2
    for s in range(n_models):
        of_own, of_theirs, sizes = np.zeros(LEVELS), np.zeros(LEVELS), np.zeros(LEVELS)
        for a in range(LEVELS):
            for b in range(LEVELS):
                shared = np.float64(together[s, a * LEVELS + b])
                of_own[a] += shared * model_means[s, b]
                of_theirs[b] += shared * means[0, a]
                sizes[b] += shared
        _fill_above(of_own, slopes[s] * itself, n_pairs, above[:, s])
        _fill_above(of_theirs, np.zeros(LEVELS), n_pairs, above_model[s, :LEVELS])
        for b in range(LEVELS):
            above_model[s, LEVELS + b] = -of_theirs[b] / max(sizes[b], 1.0)
    for a in range(LEVELS):
        above[a, n_models] = -means[2, a] / 4
    through_own = np.dot(of_stimuli.astype(np.float32), above)
    own, known = np.empty(n), np.empty(n)
    for i in range(n):
        own[i] = through_own[i, n_models]  # u^2 and twice what lies above, less 1/4
        known[i] = (degree[i] / 4 - squares[i] + own[i]) / 2
    _about_mean(own, degree, n_pairs)
    own /= variance
    n_units = units.max() + 1
    influence, influences = np.empty(n), np.zeros((n_models, n_units))
    for s in range(n_models):
        through_model = np.dot(model_of_stimuli[s], above_model[s])
        for i in range(n):
            influence[i] = crossed[s, i] + slopes[s] * known[i] + through_own[i, s] + through_model[i]
        _about_mean(influence, degree, n_pairs)
        scale = np.sqrt(variance * model_variance[s])
        for i in range(n):
            change = influence[i] / scale - rho[s] / 2 * (own[i] + model_influence[s, i])
            influences[s, units[i]] += change
    for s in range(n_models):
        for t in range(n_models):
            covariance[s, t] = (influences[s] * influences[t]).sum() * n_units / (n_units - 1)


@kernel(parallel=True)
def fill_spearman(  # type: ignore[no-untyped-def]
    responses, order, voxels, starts, kind, first, start, degree, units, model, model_variance, model_influence,
    model_means, model_of_stimuli, bins, group, n_workers, jackknife, rho, within, moments, covariances,
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
    model_means, model_of_stimuli : float64 (n_models, LEVELS) and float32 (n_models, n, 2 LEVELS), needed if
        `jackknife`, of :func:`count_model_levels`
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
        counted = n if jackknife else 0
        crossed = np.empty((group, n_models if jackknife else 0, n), np.float32)
        of_stimuli = np.empty((group, counted, LEVELS), np.uint16)
        together = np.empty((group, n_models, LEVELS**2), np.uint32)
        means = np.empty((group, 3, LEVELS))
        levels, cells, of_bins = np.empty(n, np.uint16), np.empty(n, np.uint16), np.empty(bins, np.uint16)
        theirs = np.empty((n_models, n), np.uint16)
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
                if jackknife:
                    _fill_means_of_levels(counts, ranks[c], n_pairs, of_bins, means[c])
            sums[:] = 0.0
            squares[:] = 0.0
            products[:] = 0.0
            crossed[:] = 0.0
            of_stimuli[:] = 0
            together[:] = 0
            for i in range(n):
                at, size = start[i], n - first[i]
                if jackknife:
                    for s in range(n_models):
                        _fill_levels(model[s, at : at + size], theirs[s])
                for c in range(count):
                    of_pairs, own = codes[c, at : at + size], line[:size]
                    for j in range(size):
                        own[j] = ranks[c, of_pairs[j]]
                    _add_pairs(own, model, at, first[i], i, sums[c], squares[c], products[c], crossed[c])
                    if jackknife:
                        _fill_levels(own, levels)
                        _count_levels(levels[:size], theirs, first[i], i, cells, of_stimuli[c], together[c])
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
                        squares[c], crossed[c], of_stimuli[c], together[c], means[c], model_means, model_of_stimuli,
                        n_pairs, degree, units, variances[c], model_variance, model_influence, rho[begin + c],
                        covariances[begin + c],
                    )  # fmt: skip
