"""Representational similarity of spaces: how alike they order the pairs of stimuli."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome.comparison._matrix import (
    Floats,
    Orders,
    PairStatistic,
    SpaceComparison,
    aligned_spaces,
    check_settings,
    chosen_metrics,
    cross_products,
    difference_table,
    pair_table,
    pairs_of,
    permuted_orders,
    similarity_stack,
)
from affectome.errors import InputError
from affectome.spaces import Metric, similarity_coordinates

__all__ = ["RSAComparison", "compare_rsa"]

_BLOCK = 64  # permutations between two words of progress


@dataclass(frozen=True, eq=False)
class RSAComparison(SpaceComparison):
    """RSA agreement of every pair of spaces; statistics ``pearson`` and ``spearman``, over pairs of stimuli.

    Attributes
    ----------
    table : DataFrame, index (statistic, first, second)
        As in :class:`SpaceComparison`, and ``ceiling``: the agreement that the reliabilities given leave possible.
    metrics : dict from space to metric
    n_pairs : int
        Pairs of stimuli.
    """

    metrics: dict[str, str]
    n_pairs: int


def compare_rsa(
    spaces: Mapping[str, pd.DataFrame],
    *,
    metric: Metric | Mapping[str, Metric] = "cosine",
    reliability: Mapping[str, float] | None = None,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> RSAComparison:
    """Correlate the similarities of all pairs of stimuli between every two spaces.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        At least two, over the same stimuli in any order.
    metric
        Similarity of two stimuli, one for all spaces or a mapping that names each. ``"cosine"`` for profiles whose
        zero means absence (shares, learned non-negative weights); ``"dot"`` for the similarity that a learned
        embedding predicts choices with; ``"correlation"`` for scales without a meaningful zero, such as ratings from
        1 to 9, whose cosines are all close to 1. Columns are taken as they are; scale them with
        :func:`affectome.spaces.standardise` where their units differ.
    reliability : mapping from name to float in (0, 1]
        Correlation of the RSM of a space with one measured anew; it makes the column ``ceiling``, the square root of
        the product of both. By default unknown. What a space agrees with itself under other raters or another fit is
        not in the space, so that it has to come from there.
    n_permutations
        Of the test; 0 leaves it out.
    level
        Coverage of the intervals.
    seed
        Of the permutations. The same for all pairs of spaces.
    progress

    Returns
    -------
    RSAComparison

    Notes
    -----
    **Interval.** Infinitesimal jackknife over stimuli: the influence of a stimulus is the derivative of the
    correlation by its weight, every pair weighing the product of its two stimuli and pairs of a stimulus with itself
    left out. For Spearman the ranks move with the weights, which a bootstrap of fixed ranks forgets. The interval is
    symmetric in Fisher z, with a t quantile. It speaks of other stimuli of the same kind; the spaces themselves
    (raters, fits) are taken as they are.

    **Test.** Null: the spaces are unrelated, so that the stimuli of one are exchangeable. Two-sided, p = (b + 1) /
    (n_permutations + 1), Benjamini-Hochberg over the pairs of spaces, apart for Pearson and Spearman. Spaces of the
    same stimuli are hardly ever unrelated: look at the size.

    **Differences.** Null: `shared` is equally close to both others. z of the difference by the joint influences, two-
    sided by t. Comparing p-values, or permuting stimuli, answers another question.

    A ceiling bounds the agreement with classical measurement error alone (independent of the true similarities and
    across spaces); it holds for Pearson and is an approximation for Spearman.

    Memory: 12 n^2 bytes per space. Six spaces of 2,185 stimuli take about ten seconds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> names = [f"s{k}" for k in range(40)]
    >>> a = pd.DataFrame(rng.gamma(1.0, size=(40, 5)), index=names)
    >>> spaces = {"a": a, "b": a + rng.gamma(1.0, size=(40, 5)), "c": a[::-1].set_axis(names)}
    >>> got = compare_rsa(spaces, n_permutations=99, seed=0)
    >>> got.matrix("pearson").round(2).loc["a"].tolist()
    [nan, 0.43, 0.05]
    """
    check_settings(n_permutations, level)
    frames = aligned_spaces(spaces)
    metrics = chosen_metrics(frames, metric)
    names = list(frames)
    ceilings = _ceilings(names, reliability)
    stack = similarity_stack(frames, metrics)
    n = stack.shape[1]
    over = _StimulusPairs(n)
    ranked = [_RankedRSM(over, rsm) for rsm in stack]
    orders = permuted_orders(np.random.SeedSequence(seed), n, n_permutations)
    said = _Counted(progress, 2 * n_permutations + 1)
    statistics = {
        "pearson": _pearson(over, ranked, names),
        "spearman": _spearman(over, ranked, names),
    }
    said.add(1)
    coordinates = [similarity_coordinates(frames[name].to_numpy(), metrics[name]) for name in names]
    if "euclidean" in metrics.values() or not _is_narrow(coordinates):
        scaled = np.stack([over.square(rsm.z) for rsm in ranked])
        statistics["pearson"] = _with_null(statistics["pearson"], _dense_null(scaled, orders, said))
    else:
        statistics["pearson"] = _with_null(statistics["pearson"], _low_rank_null(coordinates, ranked, orders, said))
    scaled = np.stack([over.square(rsm.u / np.sqrt(rsm.variance)) for rsm in ranked])
    statistics["spearman"] = _with_null(statistics["spearman"], _dense_null(scaled, orders, said))
    table = pair_table(names, statistics, level)
    table["ceiling"] = np.tile(ceilings, 2)
    differences = difference_table(names, statistics, level)
    return RSAComparison(
        table, differences, n, n_permutations, level, {k: str(v) for k, v in metrics.items()}, over.n_pairs
    )


def _ceilings(names: Sequence[str], reliability: Mapping[str, float] | None) -> list[float]:
    known = dict(reliability or {})
    for name, value in known.items():
        if name not in names or not 0 < value <= 1:
            what = f"reliability {value} is not in (0, 1]" if name in names else "it has a reliability and is no space"
            raise InputError(what, source=name, remedy="give each space its reliability as a correlation")
    return [float(np.sqrt(known.get(names[a], np.nan) * known.get(names[b], np.nan))) for a, b in pairs_of(names)]


class _StimulusPairs:
    """The pairs of n stimuli, as vectors."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.left, self.right = np.triu_indices(n, 1)
        self.n_pairs = len(self.left)

    def square(self, values: Floats) -> NDArray[np.float32]:
        """The symmetric matrix with these values, 0 on its diagonal."""
        matrix = np.zeros((self.n, self.n), np.float32)
        matrix[self.left, self.right] = values
        matrix += matrix.T
        return matrix

    def influence(self, values: Floats) -> Floats:
        """Derivative of the weighted mean of `values` by the weight of each stimulus, at equal weights; (n,)."""
        sums = np.bincount(self.left, values, self.n) + np.bincount(self.right, values, self.n)
        influence: Floats = (sums / (self.n - 1) - values.mean()) * (2 / self.n)
        return influence


class _RankedRSM:
    """Similarities of the pairs of one space: standardised (z), and as mid-ranks about 0 (u, in units of n_pairs)."""

    def __init__(self, over: _StimulusPairs, rsm: NDArray[np.float32]) -> None:
        values = rsm[over.left, over.right]
        exact = values.astype(np.float64)
        self.mean, self.sd = float(exact.mean()), float(exact.std())
        self.z = (exact - self.mean) / self.sd
        self.order = np.argsort(values)
        ascending = values[self.order]
        self.start = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
        group = np.zeros(len(values), np.intp)
        group[self.start[1:]] = 1
        self.group = np.empty(len(values), np.intp)
        self.group[self.order] = np.cumsum(group)
        size = np.diff(np.r_[self.start, len(values)])
        middle = np.cumsum(size) - size / 2
        self.u = (middle / len(values) - 0.5)[self.group]
        self.variance = float((self.u**2).mean())
        self.influence_of_z = over.influence(self.z**2)
        self.influence_of_u = over.influence(self.u**2 + 2 * self.above(self.u)) / self.variance

    def above(self, values: Floats) -> Floats:
        """For each pair, the sum of `values` over the pairs more similar than it (half of those equal), per pair.

        The rank of a pair counts the pairs below it. So this is what weight on a pair does to ``mean(u * values)``
        through the ranks of all others.
        """
        sums = np.add.reduceat(values[self.order], self.start)
        below = np.cumsum(sums)
        over: Floats = ((below[-1] - below + sums / 2) / len(values))[self.group]
        return over


def _pearson(over: _StimulusPairs, ranked: Sequence[_RankedRSM], names: Sequence[str]) -> PairStatistic:
    values, influences = [], []
    for a, b in pairs_of(names):
        x, y = ranked[a], ranked[b]
        product = x.z * y.z
        r = float(product.mean())
        values.append(r)
        influences.append(over.influence(product) - r / 2 * (x.influence_of_z + y.influence_of_z))
    return _untested(values, influences)


def _spearman(over: _StimulusPairs, ranked: Sequence[_RankedRSM], names: Sequence[str]) -> PairStatistic:
    values, influences = [], []
    for a, b in pairs_of(names):
        x, y = ranked[a], ranked[b]
        product, scale = x.u * y.u, float(np.sqrt(x.variance * y.variance))
        rho = float(product.mean()) / scale
        moved = over.influence(product + x.above(y.u) + y.above(x.u)) / scale
        values.append(rho)
        influences.append(moved - rho / 2 * (x.influence_of_u + y.influence_of_u))
    return _untested(values, influences)


def _untested(values: Sequence[float], influences: Sequence[Floats]) -> PairStatistic:
    value = np.clip(values, -1, 1)
    return PairStatistic(value, np.array(influences), "correlation", value, np.empty((0, len(value))), 0.0)


def _with_null(part: PairStatistic, found: tuple[Floats, Floats]) -> PairStatistic:
    tested, null = found
    return PairStatistic(part.value, part.influence, part.scale, tested, null, part.centre)


class _Counted:
    """Progress over several stretches of work."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, n: int) -> None:
        self._done += n
        self._progress(self._done, self._total, detail="permutations")


def _blocks(orders: Orders) -> Iterator[Orders]:
    """The order as it is, and then the permuted ones block by block."""
    yield np.arange(orders.shape[1], dtype=np.uint32)[None]
    for start in range(0, len(orders), _BLOCK):
        yield orders[start : start + _BLOCK]


def _null_of(statistic: Callable[[Orders], Floats], orders: Orders, said: _Counted) -> tuple[Floats, Floats]:
    """The statistic (n_orders, n_pairs) on the stimuli as they are, and permuted."""
    parts = []
    for block in _blocks(orders):
        parts.append(statistic(block))
        said.add(len(block) if len(parts) > 1 else 0)
    return parts[0][0], np.concatenate(parts[1:]) if len(parts) > 1 else np.empty((0, parts[0].shape[1]))


def _dense_null(scaled: NDArray[np.float32], orders: Orders, said: _Counted) -> tuple[Floats, Floats]:
    """Correlations from standardised RSMs (n_spaces, n, n), whatever their metric."""
    from affectome._numba import kernel_threads
    from affectome.comparison._kernels import fill_permuted_products

    n_spaces, n = scaled.shape[:2]
    left, right = np.triu_indices(n_spaces, 1)

    def statistic(block: Orders) -> Floats:
        sums = np.zeros((len(block), n_spaces, n_spaces))
        with kernel_threads(None):
            fill_permuted_products(scaled, block, sums)
        correlations: Floats = sums[:, left, right] / (n * (n - 1) / 2)
        return correlations

    return _null_of(statistic, orders, said)


def _is_narrow(coordinates: Sequence[Floats]) -> bool:
    """Whether products of features cost less than a walk over all pairs of stimuli."""
    widths = [part.shape[1] for part in coordinates]
    cost = np.mean([widths[a] * widths[b] for a, b in pairs_of([str(w) for w in widths])])
    return bool(cost <= 4 * len(coordinates[0]))


def _low_rank_null(
    coordinates: Sequence[Floats], ranked: Sequence[_RankedRSM], orders: Orders, said: _Counted
) -> tuple[Floats, Floats]:
    """Pearson correlations where similarities are dot products of few features.

    The sum over all ordered pairs of (x_i . x_j)(y_i . y_j) is ``|X'Y|_F^2``; that of the pairs of a stimulus with
    itself, ``sum_i |x_i|^2 |y_i|^2``, is taken off. A permutation leaves means and spreads as they are.
    """
    from threadpoolctl import threadpool_limits

    lengths = np.column_stack([(part**2).sum(axis=1) for part in coordinates])
    places = pairs_of([""] * len(coordinates))
    left, right = np.array(places).T
    n = len(lengths)
    mean, sd = np.array([rsm.mean for rsm in ranked]), np.array([rsm.sd for rsm in ranked])

    def statistic(block: Orders) -> Floats:
        with threadpool_limits(1, user_api="blas"):  # products this small wait for one another longer than they work
            whole = [[float((part**2).sum()) for part in cross_products(coordinates, order)] for order in block]
        itself = np.stack([lengths.T @ lengths[order] for order in block])[:, left, right]
        means = (np.array(whole) - itself) / (n * (n - 1))
        correlations: Floats = (means - mean[left] * mean[right]) / (sd[left] * sd[right])
        return correlations

    return _null_of(statistic, orders, said)
