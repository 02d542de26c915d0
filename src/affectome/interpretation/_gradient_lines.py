"""Where stimuli lie on the lines between the centroids of categories, each without itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.errors import InputError

__all__ = ["Lines", "make_lines", "places"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Lines:
    """Stimuli sorted by category, and what their places on the lines are computed from.

    Attributes
    ----------
    ids : tuple of str
    names : tuple of str
        Categories, in the order of the ratings.
    points : array of shape (n, p)
    ratings : array of shape (n, C)
    member, starts, sizes
        Category of each stimulus; where each category starts; how many it has.
    centroids : array of shape (C, p)
    own : array of shape (n, p)
        Centroid of each stimulus' category without it.
    positions : array of shape (n, C)
        On the line from `own` (0) to each centroid (1); NaN for the own category.
    n_rated : array of shape (C, C)
        Stimuli of each category rated above its lowest rating of each other.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    points: Floats
    ratings: Floats
    member: Places
    starts: Places
    sizes: Places
    centroids: Floats
    own: Floats
    positions: Floats
    n_rated: Places

    def rows(self, category: int) -> Places:
        """Stimuli of a category."""
        return np.arange(self.starts[category], self.starts[category] + self.sizes[category])

    def rated(self, at_least: int) -> NDArray[np.bool_]:
        """Ordered pairs (a, b) in which enough stimuli of a are rated for b; (C, C)."""
        enough: NDArray[np.bool_] = self.n_rated >= at_least
        return enough & ~np.eye(len(self.names), dtype=bool)

    def jackknife_variance(self, without: Floats) -> float:
        """Variance of a statistic from its values without each stimulus, sizes of categories taken as fixed."""
        mean = np.repeat(np.add.reduceat(without, self.starts) / self.sizes, self.sizes)
        squares = np.add.reduceat((without - mean) ** 2, self.starts)
        return float(((self.sizes - 1) / self.sizes * squares).sum())

    def jackknife_bias(self, without: Floats, value: float) -> float:
        """Bias of a statistic, likewise."""
        mean = np.add.reduceat(without, self.starts) / self.sizes
        return float(((self.sizes - 1) * (mean - value)).sum())


def places(points: Floats, own: Floats, targets: Floats) -> Floats:
    """(x - c) . (t - c) / |t - c|^2 for every point x with its c, and every target t; 0 where t is c."""
    own_length = np.einsum("np,np->n", own, own)
    along = (points - own) @ targets.T - np.einsum("np,np->n", points - own, own)[:, None]
    squared = np.einsum("kp,kp->k", targets, targets) - 2 * own @ targets.T + own_length[:, None]
    far = squared > 1e-12 * (1 + own_length[:, None])
    found: Floats = np.where(far, along / np.where(far, squared, 1.0), 0.0)
    return found


def make_lines(space: pd.DataFrame, ratings: pd.DataFrame, labels: pd.Series[str], min_stimuli: int) -> Lines:
    """Sort the stimuli of the categories with enough of them, and place each on its lines."""
    space, ratings = space.loc[labels.index], ratings.loc[labels.index]
    counts = labels.value_counts()
    names = tuple(str(name) for name in ratings.columns if counts.get(name, 0) >= min_stimuli)
    if len(names) < 2:
        raise InputError(
            f"{len(names)} categories have {min_stimuli} stimuli or more, and a line needs two",
            source="the ratings",
            remedy="give more stimuli or lower min_stimuli",
        )
    code = pd.Categorical(labels, categories=list(names)).codes.astype(np.intp)
    order = np.argsort(code, kind="stable")[(code < 0).sum() :]
    member = code[order]
    # Places depend on neither origin nor unit; about the mean, in units of its size, nothing cancels or vanishes.
    points = space.to_numpy(np.float64)[order]
    points = points - points.mean(axis=0)
    points = points / (np.sqrt((points**2).sum(axis=1).mean()) or 1.0)
    rated = ratings[list(names)].to_numpy(np.float64)[order]
    sizes = np.bincount(member, minlength=len(names)).astype(np.intp)
    starts = (np.cumsum(sizes) - sizes).astype(np.intp)
    centroids = np.add.reduceat(points, starts) / sizes[:, None]
    own = (sizes[member, None] * centroids[member] - points) / (sizes[member, None] - 1)
    positions = places(points, own, centroids)
    positions[np.arange(len(member)), member] = np.nan
    lowest = np.repeat(np.minimum.reduceat(rated, starts), sizes, axis=0)
    n_rated = np.add.reduceat((rated > lowest).astype(np.intp), starts)
    ids = tuple(str(space.index[k]) for k in order)
    return Lines(ids, names, points, rated, member, starts, sizes, centroids, own, positions, n_rated)
