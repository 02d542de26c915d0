"""Kendall's tau-a of neighbourhoods with spaces, for few stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._jackknife import jackknife_covariance
from affectome.neural.searchlight._spearman import (
    AllowedPairs,
    brain_keys,
    check_metric,
    check_responses,
    check_sizes,
    model_keys,
)

__all__ = ["MOST_PAIRS", "KendallScorer", "KendallScores", "PermutedTau", "PreparedKendall", "concordance", "tau_a"]

Floats = NDArray[np.float64]

MOST_PAIRS = 100_000  #: of 448 stimuli; one centre and space take about 25 ms


@dataclass(frozen=True, eq=False)
class KendallScores:
    """Tau-a of a chunk of centres with every space.

    Attributes
    ----------
    names : tuple of str
    tau : float64 array of shape (n_centres, n_models)
        NaN where all pairs of a centre are equally similar.
    n_pairs : int
    covariances : float64 array of shape (n_centres, n_models, n_models) or None
        Of the tau of a centre, by the infinitesimal jackknife over stimuli (or runs).
    """

    names: tuple[str, ...]
    tau: Floats
    n_pairs: int
    covariances: Floats | None = None


@dataclass(frozen=True, eq=False)
class PermutedTau:
    """Tau-a with the stimuli of the spaces rearranged.

    Attributes
    ----------
    reached : int64 array of shape (n_centres, n_models)
        Rearrangements whose tau is at least the observed one; 0 where that is NaN.
    maxima : float64 array of shape (n_orders, n_models)
        Largest tau over the centres; -inf where none is defined.
    """

    reached: NDArray[np.int64]
    maxima: Floats


@dataclass(frozen=True)
class KendallScorer:
    r"""Kendall's tau-a in neighbourhoods.

    Of all ways to choose two pairs of stimuli, the share that brain and space order alike, less the share that they
    order differently; what either ties counts as neither:

    .. math:: \tau_a = \frac{n_{concordant} - n_{discordant}}{P (P - 1) / 2}.

    With a space that ties many pairs (categories), rho and tau-b prefer it to a finer space that is as close to the
    truth; tau-a does not (Nili et al. 2014). Its largest value is then below 1.

    The order of similarities, and which are tied, is as in ``SpearmanScorer(method="sort")``; concordance is counted by
    :func:`scipy.stats.kendalltau`. For p, permutations are drawn and counted one by one
    (:meth:`PreparedKendall.permuted`): what a permutation does to such a count has no closed form here.

    The **interval** follows from the count c_p of each pair (choices with another pair that are ordered alike, less
    those ordered differently): with every pair weighing the product of the weights of its stimuli, the influence of
    stimulus i on tau is

    .. math:: I_i = \frac{2}{P (P - 1)} \sum_{p \ni i} \big(c_p - \tau (P - 1)\big),

    and the covariance of two tau is n / (n - 1) times the sum of the products of their influences, as in
    :func:`affectome.neural.searchlight._jackknife.jackknife`.

    Parameters
    ----------
    metric
        Of the patterns: "correlation", "cosine", "euclidean" or "sqeuclidean". The last two order alike.
    jackknife : bool
        Also the covariances of the tau of a centre.

    Examples
    --------
    >>> responses = np.array([[0, 0], [1, 0], [3, 0], [7, 0]], np.float32)
    >>> model = ModelGeometry("halves", "dot", factors=np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), signs=np.ones(2))
    >>> spheres = Neighbourhoods(np.array([0, 2]), np.arange(2, dtype=np.int32))
    >>> scorer = KendallScorer(metric="euclidean").prepare([model], Patterns("s1", tuple("abcd"), responses))
    >>> scorer.score(spheres).tau.round(3).tolist()  # 6 of 8 choices as the halves say, of 15
    [[0.267]]
    """

    metric: BrainMetric = "correlation"
    jackknife: bool = False

    def __post_init__(self) -> None:
        check_metric(self.metric)

    def prepare(self, models: Sequence[ModelGeometry], patterns: Patterns) -> PreparedKendall:
        """Order the pairs of all spaces.

        Raises
        ------
        InputError
            For more than 100,000 pairs of stimuli, responses that are NaN, or models of other stimuli.
        """
        check_responses(patterns)
        pairs = AllowedPairs.between_runs(len(patterns.responses), patterns.run)
        if pairs.n_pairs > MOST_PAIRS:
            raise InputError(
                f"{len(pairs.order):,} stimuli make {pairs.n_pairs:,} pairs, and beyond {MOST_PAIRS:,} comparing each "
                "with all others takes longer for one centre than Spearman's rho for a hundred",
                source="statistic",
                remedy='use "spearman", or fewer stimuli',
            )
        if not models:
            raise InputError("there is no space to compare", source="models", remedy="give at least one")
        every = AllowedPairs.between_runs(len(patterns.responses), None)
        codes = [_codes(model_keys(model, every)).astype(np.float64) for model in models]
        tables = np.array([every.table(one) for one in codes], np.int32)
        return PreparedKendall(self, patterns.responses, pairs, tuple(model.name for model in models), tables)


@dataclass(frozen=True, eq=False)
class PreparedKendall:
    """A scorer with its patterns and ordered spaces.

    Attributes
    ----------
    scorer : KendallScorer
    responses : float32 array of shape (n, n_voxels)
    pairs : AllowedPairs
    names : tuple of str
    tables : int32 array of shape (n_models, n, n)
        Of all pairs of stimuli, also those that do not count: their places in the order of the similarities of each
        space, from 0, equal where tied.
    groups : intp array of shape (n,) or None
        What is taken as independent for the covariances where that is not single stimuli.
    """

    scorer: KendallScorer
    responses: NDArray[np.float32]
    pairs: AllowedPairs
    names: tuple[str, ...]
    tables: NDArray[np.int32]
    groups: NDArray[np.intp] | None = None

    @cached_property
    def keys(self) -> NDArray[np.int32]:
        """Of the pairs that count, (n_models, n_pairs)."""
        left, right = self._stimuli
        return self.tables[:, left, right]

    @cached_property
    def _stimuli(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Both stimuli of each pair that counts."""
        order, first = self.pairs.order, self.pairs.first
        left = np.repeat(order, len(order) - first)
        return left, np.concatenate([order[start:] for start in first])

    def score(self, neighbourhoods: Neighbourhoods) -> KendallScores:
        """Tau-a of every neighbourhood with every space, one after the other.

        Raises
        ------
        InputError
            For a neighbourhood without voxels, or of one voxel with ``metric="correlation"``.
        """
        check_sizes(neighbourhoods, self.scorer.metric)
        n_centres, n_models = len(neighbourhoods), len(self.names)
        tau = np.empty((n_centres, n_models))
        covariances = np.empty((n_centres, n_models, n_models)) if self.scorer.jackknife else None
        for centre in range(n_centres):
            own = self._own(neighbourhoods[centre])
            tau[centre] = [tau_a(own, theirs) for theirs in self.keys]
            if covariances is not None:
                influence = np.array([self._influence(own, theirs) for theirs in self.keys])
                influence[np.isnan(tau[centre])] = np.nan
                covariances[centre] = jackknife_covariance(influence, self.groups)
        return KendallScores(self.names, tau, self.pairs.n_pairs, covariances)

    def permuted(self, neighbourhoods: Neighbourhoods, tau: Floats, orders: NDArray[np.integer]) -> PermutedTau:
        """How often tau is reached with the stimuli of the spaces rearranged, and the largest of each rearrangement.

        Parameters
        ----------
        neighbourhoods
        tau : array of shape (n_centres, n_models)
            As they are.
        orders : array of shape (n_orders, n)
            ``orders[k][i]`` is the stimulus of the space that meets the responses to stimulus i.

        Notes
        -----
        Null: the space does not know which stimulus evoked which response. The pairs that count belong to the responses
        and stay; what a rearrangement brings there may be any pair. P log P operations each, P the pairs that count.
        """
        choices = self.pairs.n_pairs * (self.pairs.n_pairs - 1) // 2
        reached = np.zeros(tau.shape, np.int64)
        maxima = np.full((len(orders), len(self.names)), -np.inf)
        for centre in range(len(neighbourhoods)):
            own = self._own(neighbourhoods[centre])
            for m in np.flatnonzero(~np.isnan(tau[centre])).tolist():
                totals = self._totals(own, m, orders)
                reached[centre, m] = (totals >= round(tau[centre, m] * choices)).sum()
                maxima[:, m] = np.maximum(maxima[:, m], totals / choices)
        return PermutedTau(reached, maxima)

    def _own(self, voxels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Codes of the pairs that count, in the brain."""
        return _codes(brain_keys(self.responses[:, voxels], self.scorer.metric, self.pairs))

    def _totals(self, own: NDArray[np.int32], model: int, orders: NDArray[np.integer]) -> NDArray[np.int64]:
        """Concordant less discordant choices in every rearrangement, (n_orders,)."""
        from affectome.neural.searchlight._kendall_kernels import fill_permuted

        table, (left, right) = self.tables[model], self._stimuli
        tree, y = np.empty(int(table.max()) + 2, np.int64), np.empty(len(own), np.int32)
        concordance, totals = np.empty(len(own), np.int64), np.empty(len(orders), np.int64)
        order = np.argsort(own, kind="stable")
        fill_permuted(order, own, table, left, right, orders.astype(np.int64), tree, y, concordance, totals)
        return totals

    def _influence(self, own: NDArray[np.int32], theirs: NDArray[np.int32]) -> Floats:
        """Derivative of tau by the weight of each stimulus, (n,)."""
        counts = np.asarray(2 / (len(own) - 1) * concordance(own, theirs), np.float64)
        influence = np.empty(len(self.pairs.order))
        influence[self.pairs.order] = self.pairs.influence(counts)
        return influence


def concordance(x: NDArray[np.int32], y: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each value, how many others it is ordered with alike in x and y, less those it is ordered with differently.

    Examples
    --------
    >>> concordance(np.array([0, 1, 2, 3], np.int32), np.array([0, 0, 2, 1], np.int32)).tolist()
    [2, 2, 1, 1]
    """
    from affectome.neural.searchlight._kendall_kernels import fill_concordance

    counts, tree = np.zeros(len(x), np.int64), np.empty(int(y.max()) + 2, np.int64)
    order = np.argsort(x, kind="stable")
    fill_concordance(order, x, y, tree, True, counts)
    fill_concordance(order[::-1].copy(), x, y, tree, False, counts)
    return counts


def _codes(keys: NDArray[np.number]) -> NDArray[np.int32]:
    """Places of the different values in their order, from 0."""
    places = np.unique(keys, return_inverse=True)[1]
    return np.asarray(places, np.int32)


def tau_a(x: NDArray[np.number], y: NDArray[np.number]) -> float:
    """Concordant less discordant choices of two, over all choices of two; NaN where all of x or all of y are tied.

    Examples
    --------
    >>> round(tau_a(np.array([1, 2, 3, 4]), np.array([1, 1, 2, 2])), 3)  # 4 of 6 are concordant, 2 are tied
    0.667
    """
    from scipy import stats

    tau_b = float(stats.kendalltau(x, y, method="asymptotic").statistic)
    return tau_b * float(np.sqrt(_untied(x) * _untied(y)))


def _untied(values: NDArray[np.number]) -> float:
    """Share of the choices of two that are not tied."""
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return 1 - float((counts * (counts - 1)).sum()) / (len(values) * (len(values) - 1))
