"""Kendall's tau-a of neighbourhoods with spaces, for few stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._spearman import (
    AllowedPairs,
    brain_keys,
    check_metric,
    check_responses,
    check_sizes,
    model_keys,
)

__all__ = ["MOST_PAIRS", "KendallScorer", "KendallScores", "PreparedKendall", "tau_a"]

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
    """

    names: tuple[str, ...]
    tau: Floats
    n_pairs: int


@dataclass(frozen=True)
class KendallScorer:
    r"""Kendall's tau-a in neighbourhoods.

    Of all ways to choose two pairs of stimuli, the share that brain and space order alike, less the share that they
    order differently; what either ties counts as neither:

    .. math:: \tau_a = \frac{n_{concordant} - n_{discordant}}{P (P - 1) / 2}.

    With a space that ties many pairs (categories), rho and tau-b prefer it to a finer space that is as close to the
    truth; tau-a does not (Nili et al. 2014). Its largest value is then below 1.

    The order of similarities, and which are tied, is as in ``SpearmanScorer(method="sort")``; concordance is counted by
    :func:`scipy.stats.kendalltau`. No p-value comes with it: a permutation changes which pairs are compared, and no
    closed form is known for that.

    Parameters
    ----------
    metric
        Of the patterns: "correlation", "cosine", "euclidean" or "sqeuclidean". The last two order alike.

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
        keys = np.array([model_keys(model, pairs) for model in models])
        return PreparedKendall(self, patterns.responses, pairs, tuple(model.name for model in models), keys)


@dataclass(frozen=True, eq=False)
class PreparedKendall:
    """A scorer with its patterns and ordered spaces.

    Attributes
    ----------
    scorer : KendallScorer
    responses : float32 array of shape (n, n_voxels)
    pairs : AllowedPairs
    names : tuple of str
    keys : array of shape (n_models, n_pairs)
        In the order of the similarities of each space.
    """

    scorer: KendallScorer
    responses: NDArray[np.float32]
    pairs: AllowedPairs
    names: tuple[str, ...]
    keys: NDArray[np.number]

    def score(self, neighbourhoods: Neighbourhoods) -> KendallScores:
        """Tau-a of every neighbourhood with every space, one after the other.

        Raises
        ------
        InputError
            For a neighbourhood without voxels, or of one voxel with ``metric="correlation"``.
        """
        check_sizes(neighbourhoods, self.scorer.metric)
        tau = np.empty((len(neighbourhoods), len(self.names)))
        for centre in range(len(neighbourhoods)):
            own = brain_keys(self.responses[:, neighbourhoods[centre]], self.scorer.metric, self.pairs)
            tau[centre] = [tau_a(own, theirs) for theirs in self.keys]
        return KendallScores(self.names, tau, self.pairs.n_pairs)


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
