"""Spearman RSA of many neighbourhoods with many spaces: ranks by bins with a bound, or exactly by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns

__all__ = [
    "RESOLUTION",
    "AllowedPairs",
    "PreparedSpearman",
    "RankedModels",
    "SpearmanScorer",
    "SpearmanScores",
    "rank_models",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MOST_BINS = 65536
RESOLUTION = 2.0**30  # similarities closer than the largest / 2^30 are tied: what float64 products leave of a tie
_GROUP_BYTES = 2**25  # bins of the centres that are scored together
_MOST_TOGETHER, _MOST_JACKKNIFED = 4, 2  # what these need beside the bins is to stay in the cache too
_MOST_STIMULI = 65536  # whose pairs in a level 16 bits count
_COLUMNS = 65536  # pairs whose ranks are float64 at once
_ROWS = 256  # of similarities made at once where they are sorted
_SUMS = ("square", "cube", "row_square", "square_row", "row_cube")  # of ranks, over ordered pairs
_SECOND, _THIRD = [0, 2], [1, 3, 4]


@dataclass(frozen=True, eq=False)
class AllowedPairs:
    """The pairs of stimuli that count, with the stimuli in the order of their runs.

    Attributes
    ----------
    order : intp array of shape (n,)
        The stimuli by run; positions below are places in this order.
    first : int64 array of shape (n,)
        The pairs of position i are (i, j) with first[i] <= j < n: j > i, and of a later run where runs are known.
    start : int64 array of shape (n,)
        Where those pairs begin in a vector of all.
    degree : float64 array of shape (n,)
        Pairs that hold each position.
    n_pairs : int
    """

    order: NDArray[np.intp]
    first: NDArray[np.int64]
    start: NDArray[np.int64]
    degree: Floats
    n_pairs: int

    @classmethod
    def between_runs(cls, n: int, run: NDArray[np.intp] | None) -> AllowedPairs:
        """Of n stimuli, without the pairs within a run; all where no runs are given."""
        codes: NDArray[np.intp] = np.arange(n) if run is None else np.asarray(run)
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        first = np.searchsorted(ordered, ordered, side="right").astype(np.int64)
        before = np.searchsorted(ordered, ordered, side="left").astype(np.int64)
        lengths = n - first
        n_pairs = int(lengths.sum())
        if n_pairs < 2:
            raise InputError(
                f"{n} stimuli have {n_pairs} pairs from different runs",
                source="runs",
                remedy="give at least three stimuli in two runs, or count pairs within runs",
            )
        degree = np.asarray(before + lengths, np.float64)
        return cls(order, first, np.cumsum(lengths) - lengths, degree, n_pairs)

    def vector(self, rows: NDArray[Any], begin: int) -> NDArray[Any]:
        """The allowed pairs of the positions from `begin` on, of which `rows` (some, n) are the similarities."""
        parts = [line[self.first[begin + k] :] for k, line in enumerate(rows)]
        return np.concatenate(parts)

    def sums_of_positions(self, values: Floats) -> Floats:
        """Sum over the pairs that hold each position, (n,)."""
        from affectome.neural.searchlight._spearman_kernels import add_values_of_pairs

        sums = np.zeros(len(self.first))
        add_values_of_pairs(np.asarray(values, np.float64), self.first, self.start, sums)
        return sums

    def table(self, values: Floats) -> Floats:
        """Values of the allowed pairs as a symmetric matrix (n, n) over positions, 0 elsewhere."""
        n = len(self.first)
        table = np.zeros((n, n))
        for i, (first, start) in enumerate(zip(self.first, self.start, strict=True)):
            table[i, first:] = values[start : start + n - first]
        table += table.T
        return table

    def influence(self, values: Floats) -> Floats:
        """Derivative of the weighted mean of `values` by the weight of each position, at equal weights; (n,).

        The weight of a pair is the product of those of its stimuli.
        """
        influence: Floats = (self.sums_of_positions(values) - values.mean() * self.degree) / self.n_pairs
        return influence


@dataclass(frozen=True, eq=False)
class RankedModels:
    """Ranks of the similarities of every space over the allowed pairs, made once for all centres.

    Attributes
    ----------
    names : tuple of str
    pairs : AllowedPairs
    ranks : float32 array of shape (n_models, n_pairs)
        Mid-ranks about 0 in units of n_pairs, (rank - (P + 1) / 2) / P; ties exactly.
    variance : float64 array of shape (n_models,)
        Their mean square.
    influence : float64 array of shape (n_models, n)
        Derivative of the logarithm of that variance by the weight of each position.
    moments : float64 array of shape (n_models, 2)
        Sums over ordered pairs of the squared ranks, and over stimuli of the squared sums of their ranks: A2 and A3 of
        Mantel's variance (A1 is 0).
    level_means : float64 array of shape (n_models, 64)
        Mean of the ranks in each of 64 equal stretches, as the jackknife sees them.
    level_sums : float32 array of shape (n_models, n, 128)
        Pairs of each position in each of them, and the sums of their ranks about these means.
    correlations : float64 array of shape (n_models, n_models)
        Spearman correlations of the spaces with one another, for partial correlations.
    """

    names: tuple[str, ...]
    pairs: AllowedPairs
    ranks: Singles
    variance: Floats
    influence: Floats
    moments: Floats
    level_means: Floats
    level_sums: Singles
    correlations: Floats


def rank_models(models: Sequence[ModelGeometry], pairs: AllowedPairs) -> RankedModels:
    """Rank the similarities of every space over the allowed pairs.

    Similarities from factors that differ by less than 2^-30 of the largest are tied: so far apart do products leave
    pairs that are alike. A dense geometry is ranked as it is.

    Raises
    ------
    InputError
        Without models, for one of another number of stimuli, with NaN, or with all similarities alike; for more than
        65,536 stimuli.

    Examples
    --------
    >>> pairs = AllowedPairs.between_runs(4, None)
    >>> model = ModelGeometry("valence", "dot", factors=np.array([[1.0], [2], [3], [3]]), signs=np.ones(1))
    >>> (rank_models([model], pairs).ranks[0] * 6 + 3.5).tolist()  # of 2, 3, 3, 6, 6, 9
    [1.0, 2.5, 2.5, 4.5, 4.5, 6.0]
    """
    from affectome.neural.searchlight._spearman_kernels import LEVELS, count_model_levels

    if not models:
        raise InputError("there is no space to rank", source="models", remedy="give at least one")
    n = len(pairs.first)
    if n > _MOST_STIMULI:
        raise InputError(
            f"{n:,} stimuli make more pairs than are ranked here", remedy='use "pearson", or fewer stimuli'
        )
    ranks = np.empty((len(models), pairs.n_pairs), np.float32)
    variance, influence, moments = np.empty(len(models)), np.empty((len(models), n)), np.empty((len(models), 2))
    means, sums = np.empty((len(models), LEVELS)), np.empty((len(models), n, 2 * LEVELS), np.float32)
    for s, model in enumerate(models):
        own = _Ranked(model_keys(model, pairs))
        if own.variance == 0:
            raise InputError("all pairs of stimuli are equally similar", source=model.name, remedy="leave it out")
        ranks[s], variance[s] = own.u, own.variance
        influence[s] = own.influence(pairs)
        rows = pairs.sums_of_positions(own.u)
        moments[s] = 2 * own.u @ own.u, rows @ rows
        count_model_levels(ranks[s], pairs.first, pairs.start, means[s], sums[s])
    products = np.zeros((len(models), len(models)))
    for begin in range(0, pairs.n_pairs, _COLUMNS):
        some = ranks[:, begin : begin + _COLUMNS].astype(np.float64)
        products += some @ some.T
    correlations = products / pairs.n_pairs / np.sqrt(np.outer(variance, variance))
    names = tuple(model.name for model in models)
    return RankedModels(names, pairs, ranks, variance, influence, moments, means, sums, correlations)


@dataclass(frozen=True, eq=False)
class SpearmanScores:
    """Rank correlations of a chunk of centres with every space.

    Attributes
    ----------
    names : tuple of str
        The spaces.
    rho : float64 array of shape (n_centres, n_models)
        NaN where all pairs of a centre are equally similar.
    bound : float64 array of shape (n_centres, n_models)
        No further is rho from what sorting gives; 0 where it was sorted.
    by_sorting : bool array of shape (n_centres,)
        Centres whose bins would not have kept the tolerance, or all with ``method="sort"``.
    n_pairs : int
    moments : float64 array of shape (n_centres, 2)
        A2 and A3 of the ranks of the brain, as in :class:`RankedModels`.
    third : float64 array of shape (n_centres, 3)
        What the skewness of the permutation null needs of them and no n^3 operations: with a_ij the ranks, r_i =
        sum_j a_ij and q_i = sum_j a_ij^2, the sums of a_ij^3, q_i r_i and r_i^3.
    products : float64 array of shape (n_centres, n_models)
        Sum over ordered pairs of the ranks of brain and model: the statistic that Mantel's mean and variance are of.
    covariances : float64 array of shape (n_centres, n_models, n_models) or None
        Of the rho of a centre, by the infinitesimal jackknife over stimuli (or runs): the variance of rho_s is the
        element (s, s), that of a difference (s, s) + (t, t) - 2 (s, t).
    """

    names: tuple[str, ...]
    rho: Floats
    bound: Floats
    by_sorting: NDArray[np.bool_]
    n_pairs: int
    moments: Floats
    third: Floats
    products: Floats
    covariances: Floats | None


@dataclass(frozen=True)
class SpearmanScorer:
    r"""Spearman RSA in neighbourhoods.

    Parameters
    ----------
    metric
        Of the patterns: "correlation", "cosine", "euclidean" or "sqeuclidean". The last two rank alike.
    method
        ``"histogram"``: similarities are counted in bins, and every pair gets the mid-rank of its bin. ``"sort"``:
        exact mid-ranks. Exact costs some 30 times as much at 2,180 stimuli.
    bins : int
        3 to 65,536. Fine where most similarities lie and wider along the tails, which the median and the quartiles of
        the similarities of 64 stimuli say.
    tolerance : float
        Centres whose bound would exceed it are sorted: few stimuli, heavy ties, very odd distributions.
    jackknife : bool
        Also the covariances of the rho of a centre.
    n_jobs : int
        Threads.

    Notes
    -----
    **Bound.** With c_b of P pairs in bin b, ranks lose at most the share

    .. math:: F = \sum_b (c_b^3 - c_b) / (P^3 - P)

    of their variance, whatever happens within bins, so that

    .. math:: |\rho - \rho_{exact}| \le \sqrt F + |\rho| (1 - \sqrt{1 - F}).

    It holds for any model and any ties. Typical errors are smaller by the square root of the number of pairs, since
    the order within bins knows nothing of the model. Similarities are float32 products of unit rows (about 1e-7), which
    is under 1% of a bin.

    A pattern that is constant in the sphere (correlation) or all zero (cosine) has no direction and is similar 0 to
    all others.

    **Interval and differences.** `covariances` resample nothing: they are sums of squared and multiplied influences of
    the stimuli, n / (n - 1) times; ranks move with the weights of the stimuli. They speak of other stimuli of the same
    kind, with this person and this space as they are.

    Ranks are seen there in 64 equal stretches wherever they are not multiplied: variances differ from those of sorting
    by less than 3e-3 of themselves with 250 stimuli, and by 2e-4 with 2,180.

    Memory: 4 n_models (P + 128 n) bytes for the model ranks; per thread up to 2^25 bytes of bins (or 2 P bytes, if that
    is more), 1.5 MB of tables, 512 n bytes and one sphere; with the jackknife also n (256 + 10 n_models) bytes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(40, 3))
    >>> responses = (x @ rng.normal(size=(3, 9)) + rng.normal(size=(40, 9))).astype(np.float32)
    >>> patterns = Patterns("s1", tuple(f"v{i}" for i in range(40)), responses, np.arange(40) // 10)
    >>> model = ModelGeometry("planted", "dot", factors=x, signs=np.ones(3))
    >>> spheres = Neighbourhoods(np.array([0, 9]), np.arange(9, dtype=np.int32))
    >>> scores = SpearmanScorer(metric="sqeuclidean").prepare([model], patterns).score(spheres)
    >>> scores.n_pairs, scores.rho.round(3).tolist()
    (600, [[0.615]])
    """

    metric: BrainMetric = "correlation"
    method: Literal["histogram", "sort"] = "histogram"
    bins: int = MOST_BINS
    tolerance: float = 1e-4
    jackknife: bool = False
    n_jobs: int = 1

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if self.method not in ("histogram", "sort"):
            raise InputError(f"'{self.method}' is unknown", source="method", remedy='choose "histogram" or "sort"')
        if not 3 <= self.bins <= MOST_BINS:
            raise InputError(f"{self.bins} bins cannot be counted", source="bins", remedy=f"choose 3 to {MOST_BINS}")
        if not self.tolerance > 0:
            raise InputError(
                f"a tolerance of {self.tolerance} keeps no bin", source="tolerance", remedy='use method="sort"'
            )

    def prepare(self, models: Sequence[ModelGeometry], patterns: Patterns) -> PreparedSpearman:
        """Rank all spaces over the pairs of stimuli that count.

        Raises
        ------
        InputError
            As in :func:`rank_models`, and for responses that are NaN or infinite.
        """
        check_responses(patterns)
        ranked = rank_models(models, AllowedPairs.between_runs(len(patterns.responses), patterns.run))
        return PreparedSpearman(self, patterns.responses, ranked)


@dataclass(frozen=True, eq=False)
class PreparedSpearman:
    """A scorer with its patterns and ranked spaces.

    Attributes
    ----------
    scorer : SpearmanScorer
    responses : float32 array of shape (n, n_voxels)
    ranked : RankedModels
    groups : intp array of shape (n,) or None
        What is taken as independent for the covariances where that is not single stimuli, such as the run of each
        stimulus, from 0.
    """

    scorer: SpearmanScorer
    responses: Singles
    ranked: RankedModels
    groups: NDArray[np.intp] | None = None

    def score(self, neighbourhoods: Neighbourhoods) -> SpearmanScores:
        """Rank correlations of every neighbourhood with every space.

        The result of a centre depends neither on the others nor on the number of threads.

        Raises
        ------
        InputError
            For a neighbourhood without voxels, or of one voxel with ``metric="correlation"``.
        """
        check_sizes(neighbourhoods, self.scorer.metric)
        scores = self._by_bins(neighbourhoods) if self.scorer.method == "histogram" else self._empty(neighbourhoods)
        for centre in np.flatnonzero(scores.by_sorting).tolist():
            self._sort(neighbourhoods[centre], scores, centre)
        return scores

    def _empty(self, neighbourhoods: Neighbourhoods) -> SpearmanScores:
        n_centres, n_models = len(neighbourhoods), len(self.ranked.names)
        rho, bound, products = (np.zeros((n_centres, n_models)) for _ in range(3))
        covariances = np.zeros((n_centres, n_models, n_models)) if self.scorer.jackknife else None
        every = np.ones(n_centres, bool)
        moments, third = np.zeros((n_centres, 2)), np.zeros((n_centres, 3))
        return SpearmanScores(
            self.ranked.names, rho, bound, every, self.ranked.pairs.n_pairs, moments, third, products, covariances
        )

    @property
    def _units(self) -> NDArray[np.intp]:
        """What each position is part of for the jackknife."""
        order = self.ranked.pairs.order
        return np.arange(len(order)) if self.groups is None else np.unique(self.groups[order], return_inverse=True)[1]

    def _by_bins(self, neighbourhoods: Neighbourhoods) -> SpearmanScores:
        import scipy.linalg  # noqa: F401  (its BLAS is what compiled products use, and must be loaded to be limited)
        from threadpoolctl import threadpool_limits

        from affectome._numba import kernel_threads
        from affectome.neural.searchlight._spearman_kernels import CORRELATION, COSINE, EUCLIDEAN, fill_spearman

        scores, ranked, pairs = self._empty(neighbourhoods), self.ranked, self.ranked.pairs
        kind = {"correlation": CORRELATION, "cosine": COSINE}.get(self.scorer.metric, EUCLIDEAN)
        most = _MOST_JACKKNIFED if self.scorer.jackknife else _MOST_TOGETHER
        group = int(np.clip(_GROUP_BYTES // (2 * pairs.n_pairs), 1, most))
        within, sums = np.empty(len(neighbourhoods)), np.zeros((len(neighbourhoods), len(_SUMS)))
        covariances = np.zeros((0, 0, 0)) if scores.covariances is None else scores.covariances
        with kernel_threads(self.scorer.n_jobs) as threads, threadpool_limits(1, user_api="blas"):
            fill_spearman(
                self.responses, pairs.order, neighbourhoods.voxels, neighbourhoods.starts, kind, pairs.first,
                pairs.start, pairs.degree, self._units, ranked.ranks, ranked.variance, ranked.influence,
                ranked.level_means, ranked.level_sums,
                self.scorer.bins, group, threads, self.scorer.jackknife, scores.rho, within, sums, covariances,
            )  # fmt: skip
        np.clip(scores.rho, -1, 1, out=scores.rho)
        scores.moments[:], scores.third[:] = sums[:, _SECOND], sums[:, _THIRD]
        scores.bound[:] = np.sqrt(within)[:, None] + np.abs(scores.rho) * (1 - np.sqrt(1 - within))[:, None]
        scores.by_sorting[:] = ~(scores.bound <= self.scorer.tolerance).all(axis=1)
        _set_products(scores, ranked.variance)
        return scores

    def _sort(self, voxels: NDArray[np.int32], scores: SpearmanScores, centre: int) -> None:
        ranked, pairs = self.ranked, self.ranked.pairs
        own = _Ranked(brain_keys(self.responses[:, voxels], self.scorer.metric, pairs))
        means = np.array([np.mean(own.u * theirs) for theirs in ranked.ranks])
        with np.errstate(invalid="ignore"):
            scores.rho[centre] = np.clip(means / np.sqrt(own.variance * ranked.variance), -1, 1)
        scores.bound[centre] = 0.0
        sums = _sums(own.u, pairs)
        scores.moments[centre], scores.third[centre] = sums[_SECOND], sums[_THIRD]
        scores.products[centre] = 2 * pairs.n_pairs * means
        if scores.covariances is not None:
            if own.variance == 0:
                scores.covariances[centre] = np.nan
                return
            influences = _influences(own, ranked, scores.rho[centre])
            together = np.array([np.bincount(self._units, one) for one in influences])
            n_units = together.shape[1]
            scores.covariances[centre] = together @ together.T * (n_units / (n_units - 1))


def _set_products(scores: SpearmanScores, model_variance: Floats) -> None:
    variance = scores.moments[:, :1] / (2 * scores.n_pairs)
    scores.products[:] = scores.rho * np.sqrt(variance * model_variance) * (2 * scores.n_pairs)


def check_metric(metric: str) -> None:
    """Raise where this measure of patterns is unknown."""
    if metric not in get_args(BrainMetric):
        raise InputError(
            f"'{metric}' is no measure of patterns",
            source="metric",
            remedy=f"choose one of {', '.join(get_args(BrainMetric))}",
        )


def check_responses(patterns: Patterns) -> None:
    """Raise where a response is no number."""
    broken = np.flatnonzero(~np.isfinite(patterns.responses.sum(axis=0, dtype=np.float64)))
    if len(broken):
        raise InputError(
            f"responses of {len(broken)} voxels are NaN or infinite",
            source=patterns.subject,
            where=f"voxel {broken[0]}",
            remedy="leave these voxels out of the mask",
        )


def check_sizes(neighbourhoods: Neighbourhoods, metric: str) -> None:
    """Raise where a neighbourhood is too small to have similarities."""
    fewest = 2 if metric == "correlation" else 1
    small = np.flatnonzero(neighbourhoods.sizes < fewest)
    if len(small):
        raise InputError(
            f"{len(small)} neighbourhoods have fewer than {fewest} voxels",
            source="neighbourhoods",
            where=f"centre {small[0]}",
            remedy="ask for a larger minimum of voxels",
        )


class _Ranked:
    """Exact mid-ranks about 0, in units of their number: u, its variance, and what moves with the ranks."""

    def __init__(self, keys: NDArray[np.int32] | Singles) -> None:
        self.order = np.argsort(keys)
        ascending = keys[self.order]
        self.start = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
        size = np.diff(np.r_[self.start, len(keys)])
        middle = (np.cumsum(size) - size / 2) / len(keys) - 0.5
        self._size = size
        self.u = self._spread(middle)
        self.variance = float(np.sum(size * middle**2) / len(keys)) if len(size) > 1 else 0.0

    def _spread(self, of_ties: Floats) -> Floats:
        values = np.empty(len(self.order))
        values[self.order] = np.repeat(of_ties, self._size)
        return values

    def above(self, values: Floats) -> Floats:
        """For each pair, the sum of `values` over those more similar (half of those tied), per pair."""
        sums = np.add.reduceat(values[self.order], self.start)
        below = np.cumsum(sums)
        return self._spread((below[-1] - below + sums / 2) / len(values))

    def influence(self, pairs: AllowedPairs) -> Floats:
        """Derivative of the logarithm of the variance by the weight of each stimulus, (n,)."""
        return pairs.influence(self.u * self.u + 2 * self.above(self.u)) / self.variance


def _influences(own: _Ranked, ranked: RankedModels, rho: Floats) -> Floats:
    """Derivative of each rho by the weight of each stimulus, (n_models, n).

    rho = mean(u v) / sqrt(mean(u^2) mean(v^2)), u and v being ranks: a weight acts through the mean, through the ranks
    u of all pairs that are more similar (the sum of v above), and likewise through v.
    """
    pairs, parts = ranked.pairs, []
    influence_of_own = own.influence(pairs)
    for s, theirs in enumerate(ranked.ranks):
        v, model = theirs.astype(np.float64), _Ranked(theirs)
        moved = pairs.influence(own.u * v + own.above(v) + model.above(own.u))
        moved /= np.sqrt(own.variance * ranked.variance[s])
        parts.append(moved - rho[s] / 2 * (influence_of_own + ranked.influence[s]))
    return np.array(parts)


def _sums(u: Floats, pairs: AllowedPairs) -> Floats:
    square = u * u
    rows, squares = pairs.sums_of_positions(u), pairs.sums_of_positions(square)
    return np.array([2 * square.sum(), 2 * (square @ u), rows @ rows, squares @ rows, (rows * rows) @ rows])


def model_keys(model: ModelGeometry, pairs: AllowedPairs) -> NDArray[np.int32] | Singles:
    """Numbers in the order of the similarities of allowed pairs in a space, equal where those are tied."""
    n = len(pairs.first)
    held = model.dense if model.factors is None else model.factors
    if held is None or len(held) != n:
        found = "no geometry" if held is None else f"{len(held)} stimuli"
        raise InputError(f"it has {found}, the patterns {n}", source=model.name, remedy="make the ids match")
    if not np.isfinite(held).all():
        raise InputError("a similarity is NaN or infinite", source=model.name, remedy="repair the space")
    if model.factors is None:
        ordered = np.ascontiguousarray(held[np.ix_(pairs.order, pairs.order)], np.float32)
        return np.asarray(pairs.vector(ordered, 0), np.float32) + np.float32(0)  # -0 and 0 are one
    factors = np.asarray(model.factors, np.float64)[pairs.order]
    signs = np.ones(factors.shape[1]) if model.signs is None else model.signs
    return _keys(factors * signs, factors, pairs)


def brain_keys(patterns: Singles, metric: BrainMetric, pairs: AllowedPairs) -> NDArray[np.int32]:
    """The same of patterns (n, V); "euclidean" and "sqeuclidean" give the same."""
    rows = patterns[pairs.order].astype(np.float64)
    if metric in ("correlation", "cosine"):
        largest = np.abs(rows).max(axis=1)
        if metric == "correlation":
            rows -= rows.mean(axis=1, keepdims=True)
        length = np.sqrt((rows**2).sum(axis=1))
        none = length <= np.sqrt(rows.shape[1]) * largest * 1e-12
        rows /= np.where(none, np.inf, length)[:, None]
        return _keys(rows, rows, pairs)
    rows -= rows.mean(axis=0)
    return _keys(rows, rows, pairs, (rows**2).sum(axis=1) / 2)


def _keys(left: Floats, right: Floats, pairs: AllowedPairs, offsets: Floats | None = None) -> NDArray[np.int32]:
    """Whole numbers in the order of the similarities of allowed pairs, equal where those are tied."""
    off = np.zeros(len(left)) if offsets is None else offsets
    parts = []
    for begin in range(0, len(left), _ROWS):
        block = slice(begin, begin + _ROWS)
        parts.append(pairs.vector(left[block] @ right.T - off[block, None] - off, begin))
    return tied_keys(np.concatenate(parts))


def tied_keys(similarities: Floats) -> NDArray[np.int32]:
    """Whole numbers in the order of similarities; equal where these differ by less than 2^-30 of the largest.

    So far apart do products leave pairs that are alike.
    """
    scale = float(max(similarities.max(), -similarities.min())) or 1.0
    keys: NDArray[np.int32] = np.rint(similarities * (RESOLUTION / scale)).astype(np.int32)
    return keys
