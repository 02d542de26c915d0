"""How well two RSMs agree, over other stimuli of the same kind, and the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_bootstrap, defined_interval
from affectome._tables import cut_short
from affectome.behavior._rsm import FLAT
from affectome.errors import InputError

__all__ = [
    "PairCorrelation",
    "RSMAgreement",
    "asked_pairs",
    "pearson_over_draws",
    "rsm_agreement",
    "rsm_order",
    "same_stimuli",
    "stimulus_draws",
]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_CELLS = 2**22  # weights of pairs held at once in a bootstrap
_ROUNDING = 1e-12  # of a sum of squares: less than this share of it, left about the mean, is rounding
_ORDERED = 500  # stimuli up to which the leaves of a clustering are turned to their best order


@dataclass(frozen=True, eq=False)
class PairCorrelation:
    """A correlation over pairs of stimuli.

    Attributes
    ----------
    r : float
    ci_low, ci_high : float
        Percentile bootstrap over stimuli: the pairs of the stimuli drawn, without those of a stimulus with itself.
    p : float
        Two-sided; of permuting the labels of the stimuli of one RSM. NaN without permutations.
    pairs_ci_low, pairs_ci_high : float
        The same bootstrap over pairs, as if they were independent. They are not (a stimulus is in n - 1 of them), so
        this interval is too narrow; it is here to compare with published ones.
    """

    r: float
    ci_low: float
    ci_high: float
    p: float
    pairs_ci_low: float
    pairs_ci_high: float


@dataclass(frozen=True, eq=False)
class RSMAgreement:
    """Agreement of two RSMs over the pairs that both hold.

    Attributes
    ----------
    pearson, spearman : PairCorrelation
    n_stimuli, n_pairs : int
    n_missing : int
        Pairs left out because one of the RSMs lacks them.
    level : float
        Coverage the intervals aim at.
    n_boot, n_permutations : int
    """

    pearson: PairCorrelation
    spearman: PairCorrelation
    n_stimuli: int
    n_pairs: int
    n_missing: int
    level: float
    n_boot: int
    n_permutations: int


def rsm_agreement(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    n_permutations: int = 1000,
    seed: int,
    progress: Progress = silent,
) -> RSMAgreement:
    """Pearson and Spearman correlation of two RSMs over their pairs.

    Parameters
    ----------
    first, second : DataFrame of shape (n, n)
        Symmetric, over the same stimuli in any order; the diagonal is not looked at, pairs that are NaN in one are
        left out.
    n_boot, level
        Of the bootstrap over stimuli. Similarities stay as they are; what is resampled is which stimuli there are.
    n_permutations
        Of the test. Null: the RSMs are unrelated, so that the labels of the stimuli of one are exchangeable (rows and
        columns are permuted together); p = (b + 1) / (n_permutations + 1), b the permutations with an absolute
        correlation at least as large. 0 leaves the test out.
    seed
        Of both. The same seed draws the same stimuli for every pair of RSMs over n stimuli.

    Returns
    -------
    RSMAgreement

    Notes
    -----
    The interval speaks of other stimuli of the same kind. Noise that is each pair's own counts about threefold in it
    (a pair drawn comes with the square of its stimuli's counts), so that where such noise dominates the interval is
    too wide rather than too narrow.

    A thousand resamples of 66 stimuli take half a second, time grows with the number of pairs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(30, 2))
    >>> names = [f"s{k}" for k in range(30)]
    >>> rsm = pd.DataFrame(x @ x.T, index=names, columns=names)
    >>> got = rsm_agreement(rsm, np.exp(rsm), seed=0)
    >>> round(got.spearman.r, 6), round(got.pearson.p, 3)
    (1.0, 0.001)
    """
    check_bootstrap(n_boot, level)
    if n_permutations < 0:
        raise InputError(f"n_permutations={n_permutations} is no number of permutations", remedy="use 0 or more")
    one, two = same_stimuli(first, second)
    n = len(one)
    left, right = asked_pairs(one, two)
    x, y = one[left, right], two[left, right]
    for name, values in (("first", x), ("second", y)):
        if len(x) < 3 or np.ptp(values) < FLAT:
            raise InputError(
                f"the {name} RSM has the same similarity for all of {len(x)} pairs, so that nothing correlates with it",
                remedy="compare RSMs that tell at least three pairs apart",
            )
    by_stimulus, by_pair, by_label = np.random.SeedSequence(seed).spawn(3)
    total = 2 * n_boot + n_permutations
    statistics = _correlations(x, y)
    observed = statistics(np.ones((1, len(x))))[0]
    over_stimuli, over_pairs = np.empty((n_boot, 2)), np.empty((n_boot, 2))
    for rows, weights in stimulus_draws(by_stimulus, n, left, right, n_boot):
        over_stimuli[rows] = statistics(weights)
        progress(rows.stop, total, detail="stimuli")
    for rows, weights in _pair_draws(by_pair, len(x), n_boot):
        over_pairs[rows] = statistics(weights)
        progress(n_boot + rows.stop, total, detail="pairs")
    p = _permutation_p(one, two, n_permutations, np.random.default_rng(by_label))
    progress(total, total, detail="permutations")
    pearson, spearman = (
        PairCorrelation(
            float(observed[k]),
            *defined_interval(over_stimuli[:, k], level),
            p[k],
            *defined_interval(over_pairs[:, k], level),
        )
        for k in range(2)
    )
    n_missing = n * (n - 1) // 2 - len(x)
    return RSMAgreement(pearson, spearman, n, len(x), n_missing, level, n_boot, n_permutations)


def same_stimuli(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Floats, Floats]:
    """Both RSMs as arrays over the stimuli of the first, in its order."""
    arrays = []
    for name, rsm in (("first", first), ("second", second)):
        if not rsm.index.equals(rsm.columns) or rsm.index.has_duplicates:
            raise InputError(
                f"the {name} RSM does not have the same stimuli, each once, in rows and columns",
                remedy="give similarities of stimuli with stimuli",
            )
        values = rsm.to_numpy(dtype=np.float64)
        off = values[~np.eye(len(values), dtype=bool)]
        if np.isinf(off).any() or not np.allclose(values, values.T, rtol=0, atol=1e-6, equal_nan=True):
            raise InputError(f"the {name} RSM is not symmetric, or not finite", remedy="give similarities, or NaN")
        arrays.append(values)
    lost = [str(i) for i in first.index.symmetric_difference(second.index)]
    if lost:
        raise InputError(
            f"{len(lost)} stimuli are in one RSM and not in the other ({cut_short(lost)})",
            remedy="compare RSMs of the same stimuli",
        )
    order = second.index.get_indexer(first.index)
    return arrays[0], arrays[1][np.ix_(order, order)]


def asked_pairs(one: Floats, two: Floats) -> tuple[Places, Places]:
    """Rows and columns of the pairs above the diagonal that both RSMs hold."""
    left, right = np.triu_indices(len(one), 1)
    both = ~(np.isnan(one[left, right]) | np.isnan(two[left, right]))
    return left[both], right[both]


def stimulus_draws(
    source: np.random.SeedSequence, n: int, left: Places, right: Places, n_boot: int
) -> Iterator[tuple[slice, Floats]]:
    """How often each pair comes along when n stimuli are drawn with replacement; (n_draws, n_pairs), part by part.

    A stimulus drawn twice makes a pair with itself, which is nowhere among the pairs and so drops out.
    """
    rng = np.random.default_rng(source)
    for rows in _parts(n_boot, len(left)):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=rows.stop - rows.start).astype(np.float64)
        yield rows, counts[:, left] * counts[:, right]


def _pair_draws(source: np.random.SeedSequence, m: int, n_boot: int) -> Iterator[tuple[slice, Floats]]:
    rng = np.random.default_rng(source)
    for rows in _parts(n_boot, m):
        drawn = [np.bincount(rng.integers(0, m, m), minlength=m) for _ in range(rows.stop - rows.start)]
        yield rows, np.array(drawn, np.float64)


def _parts(n_boot: int, m: int) -> Iterator[slice]:
    step = max(1, _CELLS // m)
    return (slice(start, min(n_boot, start + step)) for start in range(0, n_boot, step))


def pearson_over_draws(x: Floats, y: Floats, weights: Floats) -> Floats:
    """Pearson correlation of x and y (n_pairs,) under each row of weights (n_draws, n_pairs); NaN without spread."""
    if min(np.ptp(x), np.ptp(y)) < FLAT:
        return np.full(len(weights), np.nan)
    u, v = x - x.mean(), y - y.mean()  # what is left to subtract is small: the sums lose no digits
    total, su, sv, uu, vv, uv = (weights @ np.column_stack([np.ones_like(u), u, v, u * u, v * v, u * v])).T
    total = np.maximum(total, 1)  # no pair drawn: all sums are 0
    return _ratio(uv - su * sv / total, _spread(uu, su**2 / total), _spread(vv, sv**2 / total))


def _spread(squares: Floats, of_mean: Floats) -> Floats:
    """Sums of squares about the mean; 0 where nothing but rounding is left."""
    spread = squares - of_mean
    return np.where(spread > _ROUNDING * squares, spread, 0.0)


def _ratio(covariance: Floats, first: Floats, second: Floats) -> Floats:
    """A correlation from sums about the means; NaN without spread."""
    spread = np.sqrt(first * second)
    r = np.divide(covariance, spread, out=np.full_like(spread, np.nan), where=spread > 0)
    bounded: Floats = np.clip(r, -1, 1)
    return bounded


def _correlations(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """The function from weights (n_draws, n_pairs) to Pearson and Spearman correlations (n_draws, 2)."""
    ranks_x, ranks_y = _weighted_ranks(x), _weighted_ranks(y)

    def statistics(weights: Floats) -> Floats:
        rx, ry = ranks_x(weights), ranks_y(weights)
        sums = (np.einsum("bm,bm,bm->b", weights, a, b) for a, b in ((rx, ry), (rx, rx), (ry, ry)))
        return np.column_stack([pearson_over_draws(x, y, weights), _ratio(*sums)])

    return statistics


def _weighted_ranks(values: Floats) -> Callable[[Floats], Floats]:
    """Mid-ranks among values repeated by whole weights, about their mean; sorted once, whatever the weights."""
    order = np.argsort(values, kind="stable")
    _, start, group = np.unique(values[order], return_index=True, return_inverse=True)
    group_of = np.empty(len(values), np.intp)
    group_of[order] = group

    def ranks(weights: Floats) -> Floats:
        size = np.add.reduceat(weights[:, order], start, axis=1)  # (n_draws, n_groups): copies of each different value
        below = np.cumsum(size, axis=1)
        # Copies c + 1 .. c + s share the rank c + (s + 1) / 2; the mean over all W of them is (W + 1) / 2.
        middle: Floats = below - size / 2 - below[:, -1:] / 2
        return middle[:, group_of]

    return ranks


def _permutation_p(one: Floats, two: Floats, n_permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """Two-sided p of Pearson and of Spearman under permutations of the stimuli of the second RSM.

    With pairs missing, the pairs that both hold change with the permutation. For Spearman each RSM is ranked once,
    over its own pairs; the observed value that is compared is made in the same way, which keeps the test exact.
    """
    if n_permutations == 0:
        return np.nan, np.nan
    orders = rng.permuted(np.tile(np.arange(len(one)), (n_permutations, 1)), axis=1)
    reached = np.zeros(2)
    for k, (a, b) in enumerate(((one, two), (_ranked(one), _ranked(two)))):
        statistic = _permuted_correlation(a, b)
        observed = abs(statistic(np.arange(len(a))))
        # Rounding must not make a permutation that changes nothing fall short.
        reached[k] = sum(not abs(statistic(order)) < observed - FLAT for order in orders)
    p = (reached + 1) / (n_permutations + 1)
    return float(p[0]), float(p[1])


def _ranked(rsm: Floats) -> Floats:
    """Every pair by its mid-rank among the pairs of the RSM."""
    left, right = asked_pairs(rsm, rsm)
    ranks = np.full_like(rsm, np.nan)
    middle = _weighted_ranks(rsm[left, right])(np.ones((1, len(left))))[0]
    ranks[left, right] = ranks[right, left] = middle
    return ranks


def _permuted_correlation(one: Floats, two: Floats) -> Callable[[Places], float]:
    """The function from an order of the stimuli of `two` to the Pearson correlation over the pairs both hold."""
    n = len(one)
    left, right = np.triu_indices(n, 1)
    held, value, square = (part[left, right] for part in _moments(one))
    moments = [part.ravel() for part in _moments(two)]
    complete = held.all() and moments[0].sum() == n * (n - 1)  # then counts, means and spreads stay as they are

    def total(first: Floats, second: Floats) -> float:
        return float(np.einsum("i,i->", first, second))  # a BLAS of many threads waits longer than it works

    spread = float(np.sqrt(square.sum() * moments[2].sum() / 2))

    def correlation(order: Places) -> float:
        place = order[left] * n + order[right]
        permuted = moments[1][place]
        if complete:
            return total(value, permuted) / spread
        other_held, other_square = moments[0][place], moments[2][place]
        w, sx, sy = total(held, other_held), total(value, other_held), total(held, permuted)
        xx, yy, xy = total(square, other_held), total(held, other_square), total(value, permuted)
        if w < 2:  # hardly a pair that both hold
            return np.nan
        sums = xy - sx * sy / w, _spread(np.array(xx), np.array(sx**2 / w)), _spread(np.array(yy), np.array(sy**2 / w))
        return float(_ratio(*(np.atleast_1d(part) for part in sums))[0])

    return correlation


def _moments(rsm: Floats) -> tuple[Floats, Floats, Floats]:
    """Which pairs an RSM holds (1 or 0), and their values about the mean and squared, 0 where it holds none."""
    held = ~np.isnan(rsm)
    np.fill_diagonal(held, False)
    value = np.where(held, rsm - rsm[held].mean(), 0.0)
    return held.astype(np.float64), value, value**2


def rsm_order(rsm: pd.DataFrame, groups: pd.Series[str] | None = None) -> list[str]:
    """An order of the stimuli in which similar ones are neighbours.

    Parameters
    ----------
    rsm : DataFrame of shape (n, n)
        Similarities; a pair that is NaN counts as averagely similar.
    groups : Series, index stimulus ids
        Keep the stimuli of a group together, largest group first and those without one last, and cluster within
        it; by default one clustering (average linkage of the differences from the largest similarity).

    Returns
    -------
    list of str, the ids of the RSM

    Examples
    --------
    >>> names = list("abcd")
    >>> rsm = pd.DataFrame(0.1, index=names, columns=names)
    >>> rsm.loc["a", "c"] = rsm.loc["c", "a"] = 0.9
    >>> order = rsm_order(rsm)
    >>> abs(order.index("a") - order.index("c"))
    1
    """
    values, _ = same_stimuli(rsm, rsm)
    ids = [str(i) for i in rsm.index]
    if groups is None:
        return [ids[k] for k in _clustered(values)]
    group = groups.dropna().astype(str).reindex(ids)
    sizes = group.value_counts()
    if sizes.empty:
        raise InputError("no stimulus of the RSM has a group", remedy="give groups of its stimuli")
    order: list[str] = []
    chosen = [group == name for name in sorted(sizes.index, key=lambda name: (-sizes[name], name))]
    for part in (*chosen, group.isna()):
        members = np.flatnonzero(part.to_numpy())
        order += [ids[members[k]] for k in _clustered(values[np.ix_(members, members)])]
    return order


def _clustered(similarity: Floats) -> Places:
    n = len(similarity)
    if n < 3:
        return np.arange(n)
    from scipy.cluster.hierarchy import leaves_list, linkage

    pairs = similarity[np.triu_indices(n, 1)]
    known = pairs[~np.isnan(pairs)]
    if len(known) == 0:
        return np.arange(n)
    distance = known.max() - np.where(np.isnan(pairs), known.mean(), pairs)
    leaves: Places = leaves_list(linkage(distance, method="average", optimal_ordering=n <= _ORDERED))
    return leaves
