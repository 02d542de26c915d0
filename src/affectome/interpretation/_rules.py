"""Three rules that say to which category a stimulus belongs, each asked about stimuli it has not seen.

A rule is built once for a set of points and for *slots*: positions that have a category, sorted by category. It is then
asked with an order, which puts point ``order[i]`` into slot i, and answers how well every category fits every slot.
Permuting labels over stimuli is nothing but asking again with another order; an order may leave points out.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Places",
    "Rule",
    "centroid_rule",
    "fold_of_slot",
    "linear_rule",
    "nearest_others",
    "neighbour_rule",
    "own_rank",
]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Rule = Callable[[Places], Floats]  # order (n,) -> fit of every category for every slot (n, n_classes), larger is better


def own_rank(fit: Floats, member: Places) -> Places:
    """How many categories fit a slot better than its own, (n,); all of them where the own one is not named at all."""
    own = fit[np.arange(len(member)), member][:, None]
    better: Places = (fit > own).sum(axis=1)
    better[np.isneginf(own[:, 0])] = fit.shape[1]
    return better


def centroid_rule(points: Floats, member: Places) -> Rule:
    """Nearest centroid, the own centroid computed without the stimulus itself.

    The fit is minus half the squared distance, up to |x|^2, which is the same for every category of a stimulus.
    """
    x_all = points - points.mean(axis=0)  # what is left to subtract below is small: the sums lose no digits
    squares = np.einsum("np,np->n", x_all, x_all)
    sizes = np.bincount(member).astype(np.float64)
    starts = np.r_[0, np.cumsum(sizes)[:-1]].astype(np.intp)
    rows, others = np.arange(len(member)), sizes[member] - 1

    def fit(order: Places) -> Floats:
        x = x_all[order]
        sums = np.add.reduceat(x, starts, axis=0)  # (n_classes, p)
        long = np.einsum("cp,cp->c", sums, sums)
        found: Floats = x @ (sums / sizes[:, None]).T
        # Without itself a stimulus has the centroid (s - x) / others, s the sum of its category.
        square, along = squares[order], found[rows, member] * sizes[member]  # x'x and x's
        left_out = (along - square) / others - 0.5 * (long[member] - 2 * along + square) / others**2
        found -= 0.5 * long / sizes**2
        found[rows, member] = left_out
        return found

    return fit


def nearest_others(points: Floats, depth: int) -> Places:
    """The nearest other points of every point, nearest first, (n, depth); at one distance in their order."""
    from scipy.spatial.distance import cdist

    distance = cdist(points, points)
    np.fill_diagonal(distance, np.inf)
    depth = min(depth, len(points))
    if depth == len(points):
        return np.argsort(distance, axis=1, kind="stable")
    nearest: Places = np.sort(np.argpartition(distance, depth - 1, axis=1)[:, :depth], axis=1)
    among = np.take_along_axis(distance, nearest, axis=1)
    nearest = np.take_along_axis(nearest, np.argsort(among, axis=1, kind="stable"), axis=1)
    # Where the last place is shared, the first of those at that distance are wanted, and not any.
    shared = np.flatnonzero((distance <= among.max(axis=1)[:, None]).sum(axis=1) > depth)
    nearest[shared] = np.argsort(distance[shared], axis=1, kind="stable")[:, :depth]
    return nearest


def neighbour_rule(nearest: Places, member: Places, n_neighbors: int) -> Rule:
    """Votes among the nearest other stimuli; of categories with as many votes, the one with the nearest of them wins.

    The r-th neighbour (r = 1, 2, ..) counts 1 + 2^-r: the second part never adds up to a vote, and no two sets of
    neighbours share it. A category without a vote is not named: its fit is minus infinity. Where slots are fewer than
    points, points without a slot are passed over.
    """
    n, n_points, n_classes = len(member), len(nearest), int(member.max()) + 1
    votes = 1 + 0.5 ** np.arange(n_neighbors + 1)  # of the r-th at place r
    cells = np.arange(n)[:, None] * n_classes

    def fit(order: Places) -> Floats:
        category = np.full(n_points, -1)
        category[order] = member
        if n == n_points:
            found = category[nearest[order, :n_neighbors]]
            weights = np.tile(votes[1:], n)
            cell = (cells + found).ravel()
        else:
            found = category[nearest[order]]
            place = np.cumsum(found >= 0, axis=1)
            counted = (found >= 0) & (place <= n_neighbors)
            weights, cell = votes[place[counted]], (cells + found)[counted]
        cast = np.bincount(cell, weights, n * n_classes).reshape(n, n_classes)
        named: Floats = np.where(cast > 0, cast, -np.inf)
        return named

    return fit


def fold_of_slot(n: int, n_folds: int) -> Places:
    """Slots are dealt to the folds in turn: folds of equal size, and of equal size within every category."""
    return np.arange(n) % n_folds


def linear_rule(points: Floats, member: Places, n_folds: int, shrinkage: float) -> Rule:
    """Linear discriminant analysis, cross-validated; features are scaled by the mean and s.d. of the training folds.

    With m_c the mean of category c, W the covariance within categories, shrunk to ``(1 - a) W + a tr(W)/p I``, and n_c
    the training stimuli, the fit is ``x' W^-1 m_c - m_c' W^-1 m_c / 2 + log(n_c / n)``.

    All moments are sums over stimuli, so those of the training folds are the whole less the held-out fold, and a
    permutation costs one pass over the points.
    """
    n, p, n_classes = len(member), points.shape[1], int(member.max()) + 1
    x_all = points - points.mean(axis=0)  # no fold's moments lose digits to a common offset
    fold = fold_of_slot(n, n_folds)
    slots = np.lexsort((member, fold))  # slots by fold, and within a fold by category
    cell = fold[slots] * n_classes + member[slots]
    filled, starts = np.unique(cell, return_index=True)
    edges = np.searchsorted(fold[slots], np.arange(n_folds + 1))
    counts = np.bincount(cell, minlength=n_folds * n_classes).reshape(n_folds, n_classes).astype(np.float64)
    kept = counts.sum(axis=0) - counts  # (n_folds, n_classes): training stimuli; every category has at least two in all
    n_train = kept.sum(axis=1)
    log_prior = np.log(kept / n_train[:, None])

    def fit(order: Places) -> Floats:
        x = x_all[order[slots]]
        cells = np.zeros((n_folds * n_classes, p))
        cells[filled] = np.add.reduceat(x, starts, axis=0)
        sums = cells.reshape(n_folds, n_classes, p)
        squares = np.stack([x[a:b].T @ x[a:b] for a, b in pairwise(edges)])
        sums, squares = sums.sum(axis=0) - sums, squares.sum(axis=0) - squares  # of the training stimuli
        mean = sums.sum(axis=1) / n_train[:, None]  # (n_folds, p)
        variance = np.einsum("fpp->fp", squares) / n_train[:, None] - mean**2
        scale = np.sqrt(np.where(variance > 1e-12 * (variance + mean**2), variance, 1.0))  # a constant stays as it is
        centres = sums / kept[:, :, None]
        within = squares - np.einsum("fc,fcp,fcq->fpq", kept, centres, centres, optimize=True)
        within /= n_train[:, None, None] * scale[:, :, None] * scale[:, None, :]
        level = shrinkage * np.einsum("fpp->f", within) / p
        within = (1 - shrinkage) * within + level[:, None, None] * np.eye(p)
        centres = (centres - mean[:, None]) / scale[:, None]
        weights = np.linalg.solve(within, centres.transpose(0, 2, 1))  # (n_folds, p, n_classes)
        constant = log_prior - 0.5 * np.einsum("fcp,fpc->fc", centres, weights)
        found = np.empty((n, n_classes))
        for f, (a, b) in enumerate(pairwise(edges)):
            found[slots[a:b]] = ((x[a:b] - mean[f]) / scale[f]) @ weights[f] + constant[f]
        return found

    return fit
