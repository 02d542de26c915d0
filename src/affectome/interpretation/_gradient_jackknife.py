"""The mean correlation along the lines with every stimulus left out in turn, centroids and all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from affectome.interpretation._gradient_lines import Lines, places

__all__ = ["changes_without"]

Floats = NDArray[np.float64]

_CELLS = 2**20  # places held at once
_FLAT = 1e-12  # share of a sum of squares that is rounding


def changes_without(lines: Lines, scaled: Floats, r: Floats, tested: NDArray[np.bool_]) -> Floats:
    """How much the sum of correlations over the tested pairs changes when each stimulus is left out.

    Parameters
    ----------
    lines : Lines
    scaled : array of shape (2, n, C)
        Ratings within categories, as they are and with the own rating partialled out; centred, of length one.
    r : array of shape (2, C, C)
        The correlations with everybody.
    tested : array of shape (C, C)

    Returns
    -------
    array of shape (2, n)
    """
    change = np.empty((2, len(lines.member)))
    for a in range(len(lines.names)):
        rows = lines.rows(a)
        block = max(1, _CELLS // (len(rows) * len(lines.names)))
        for start in range(0, len(rows), block):
            left_out = np.arange(start, min(len(rows), start + block))
            within = _within(lines, a, left_out) - r[:, None, a]  # (2, j, C)
            change[:, rows[left_out]] = within[:, :, tested[a]].sum(axis=2)
        # The lines from elsewhere that end at a move as well.
        moved = _unit_within(places(lines.points, lines.own, lines.own[rows]), lines)  # (n, j)
        for which in range(2):
            follows = np.add.reduceat(moved * scaled[which, :, a, None], lines.starts)  # (C, j)
            change[which, rows] += (follows - r[which, :, a, None])[tested[:, a]].sum(axis=0)
    return change


def _within(lines: Lines, a: int, left_out: NDArray[np.intp]) -> Floats:
    """Correlations of category a without each stimulus `left_out`; (2, j, C)."""
    rows, n = lines.rows(a), int(lines.sizes[a])
    place = _places_without(lines, a, left_out)  # (j, n, C)
    place[np.arange(len(left_out)), left_out] = 0
    place -= (place.sum(axis=1) / (n - 1))[:, None]
    place[np.arange(len(left_out)), left_out] = 0
    rated = lines.ratings[rows] - lines.ratings[rows].mean(axis=0)  # (n, C)
    out = rated[left_out]  # (j, C)
    # Sums of squares and products without j, about the mean without j: n / (n - 1) x x' is what j brings.
    gain = n / (n - 1)
    variance = (rated**2).sum(axis=0) - gain * out**2  # (j, C)
    with_own = rated[:, a] @ rated - gain * out[:, [a]] * out  # (j, C)
    spread = np.einsum("jik,jik->jk", place, place)
    product = np.einsum("jik,ik->jk", place, rated)
    product_own = place.transpose(0, 2, 1) @ rated[:, a]  # (j, C)
    own = variance[:, [a]]
    slope = np.divide(with_own, own, out=np.zeros_like(with_own), where=own > _FLAT)
    rest = variance - slope * with_own
    plain = _ratio(product, spread, variance, variance)
    specific = _ratio(product - slope * product_own, spread, rest, variance)
    return np.stack([plain, specific])


def _ratio(product: Floats, spread: Floats, variance: Floats, whole: Floats) -> Floats:
    """Correlation from its sums; 0 where one of the two has no spread beyond rounding."""
    flat = (spread <= _FLAT) | (variance <= _FLAT * np.maximum(1, whole))
    ratio: Floats = np.where(flat, 0.0, product / np.sqrt(np.where(flat, 1.0, spread * variance)))
    return ratio


def _places_without(lines: Lines, a: int, left_out: NDArray[np.intp]) -> Floats:
    """Place of stimulus i of category a towards k, its own centroid without i and j; (j, n, C)."""
    points, n = lines.points[lines.rows(a)], int(lines.sizes[a])
    total = n * lines.centroids[a]
    gram = points[left_out] @ points.T  # (j, n)
    square = np.einsum("np,np->n", points, points)
    on_total, total_square = points @ total, total @ total
    to_targets, total_targets = points @ lines.centroids.T, lines.centroids @ total  # (n, C), (C,)
    on_own = (on_total - square - gram) / (n - 2)  # (j, n)
    own_square = (total_square + square - 2 * on_total + (square - 2 * on_total)[left_out, None] + 2 * gram) / (
        n - 2
    ) ** 2
    own_targets = (total_targets - to_targets - to_targets[left_out, None]) / (n - 2)  # (j, n, C)
    along = to_targets - own_targets + (own_square - on_own)[:, :, None]
    squared = np.einsum("kp,kp->k", lines.centroids, lines.centroids) - 2 * own_targets + own_square[:, :, None]
    far = squared > _FLAT * (1 + own_square[:, :, None])
    found: Floats = np.where(far, along / np.where(far, squared, 1.0), 0.0)
    return found


def _unit_within(values: Floats, lines: Lines) -> Floats:
    """Columns centred and of length one within each category; (n, j)."""
    mean = np.add.reduceat(values, lines.starts) / lines.sizes[:, None]
    centred = values - np.repeat(mean, lines.sizes, axis=0)
    length = np.sqrt(np.add.reduceat(centred**2, lines.starts))
    safe = np.where(length > 1e-10 * np.sqrt(lines.sizes)[:, None], length, np.inf)
    unit: Floats = centred / np.repeat(safe, lines.sizes, axis=0)
    return unit
