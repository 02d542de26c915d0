"""How often spaces choose the same odd one out of three stimuli."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

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
    difference_table,
    pair_table,
    permuted_orders,
    similarity_stack,
)
from affectome.errors import InputError
from affectome.spaces import Metric

__all__ = ["ChoiceComparison", "compare_choices"]

CHANCE = 1 / 3
_PARTS = 32  # of the sum over triplets; a constant, so that its rounding does not depend on threads
_BLOCK = 64  # permutations between two words of progress


@dataclass(frozen=True, eq=False)
class ChoiceComparison(SpaceComparison):
    """Agreement of odd-one-out choices of every pair of spaces; statistic ``agreement``, a share of triplets.

    Attributes
    ----------
    table : DataFrame, index (statistic, first, second)
        As in :class:`SpaceComparison`, and ``kappa``: (value - 1/3) / (2/3), 0 at chance.
    tied : Series, index the spaces
        Share of triplets in which the space has two or three equally similar pairs at the top.
    metrics : dict from space to metric
    n_triplets : int
        That the agreement was counted over.
    n_tested : int
        Of them, drawn for the permutation test.
    """

    tied: pd.Series[float]
    metrics: dict[str, str]
    n_triplets: int
    n_tested: int


def compare_choices(
    spaces: Mapping[str, pd.DataFrame],
    *,
    metric: Metric | Mapping[str, Metric] = "cosine",
    max_triplets: int = 400_000_000,
    n_tested: int = 30_000,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> ChoiceComparison:
    """Compare the odd-one-out choices that follow from every two spaces.

    Of three stimuli a space keeps the two most similar ones; the third is its odd one.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        At least two, over the same stimuli in any order.
    metric
        Similarity of two stimuli, one for all spaces or a mapping that names each; ``"dot"`` is the similarity of the
        choice rule that SPoSE embeddings are learned with. See :func:`compare_rsa`.
    max_triplets
        All triplets are counted where there are no more than this many (1,339 stimuli by default). Where there are
        more, the stimuli are put into a random order and every triplet counts whose first two places add up to a
        multiple of the smallest number that suffices.
    n_tested
        Triplets drawn for the permutation test.
    n_permutations
        Of the test; 0 leaves it out.
    level
        Coverage of the intervals.
    seed
        Of the design, the tested triplets and the permutations.
    progress

    Returns
    -------
    ChoiceComparison

    Notes
    -----
    **Ties.** A space draws one among its tied pairs, and the agreement is the expected one; so two spaces with ties
    agree on less than all triplets even where they are equal. Chance is then exactly 1/3: of three exchangeable
    labels each is the odd one equally often. (It is not 1/3 for judges that favour a slot, nor where tied triplets are
    resolved by position.)

    **Interval.** Over stimuli, not over triplets: a stimulus is in (n - 1)(n - 2) / 2 of them. Infinitesimal jackknife
    of the U-statistic, the influence of a stimulus being three times the mean over its triplets less the mean over
    all; symmetric in log odds, with a t quantile.

    **Test.** Null: the spaces are unrelated, so that the stimuli of one are exchangeable. Agreement over `n_tested`
    random triplets, the same in every permutation, two-sided about 1/3; p = (b + 1) / (n_permutations + 1),
    Benjamini-Hochberg over the pairs of spaces. `null_mean` and `null_high` are of these triplets.

    **Differences.** As in :func:`compare_rsa`.

    Time grows with triplets times pairs of spaces: 350 million triplets and six spaces take about four seconds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a = pd.DataFrame(rng.gamma(1.0, size=(30, 5)))
    >>> got = compare_choices({"a": a, "b": a**2, "c": a[::-1].set_axis(a.index)}, n_permutations=99, seed=0)
    >>> got.matrix("agreement").round(2).loc["a"].tolist()
    [nan, 0.88, 0.35]
    >>> got.n_triplets
    4060
    """
    check_settings(n_permutations, level)
    if max_triplets < 1 or n_tested < 1:
        raise InputError("no triplets can be compared", remedy="use max_triplets >= 1 and n_tested >= 1")
    frames = aligned_spaces(spaces)
    metrics, names = chosen_metrics(frames, metric), list(frames)
    by_design, by_triplet, by_label = np.random.SeedSequence(seed).spawn(3)
    stack = similarity_stack(frames, metrics)
    n = stack.shape[1]
    step = -(-comb(n, 3) // max_triplets)
    value, influence, tied, n_triplets = _counted(stack, step, by_design)
    tested, null = np.full_like(value, np.nan), np.empty((0, len(value)))
    if n_permutations:
        triplets = _random_triplets(by_triplet, n, n_tested)
        tested, null = _permuted(stack, triplets, permuted_orders(by_label, n, n_permutations), progress)
    statistics = {"agreement": PairStatistic(value, influence, "share", tested, null, CHANCE)}
    table = pair_table(names, statistics, level)
    table["kappa"] = (table["value"] - CHANCE) / (1 - CHANCE)
    return ChoiceComparison(
        table,
        difference_table(names, statistics, level),
        n,
        n_permutations,
        level,
        pd.Series(tied, index=pd.Index(names, name="space"), name="tied"),
        {name: str(used) for name, used in metrics.items()},
        n_triplets,
        n_tested if n_permutations else 0,
    )


def _counted(
    stack: NDArray[np.float32], step: int, source: np.random.SeedSequence
) -> tuple[Floats, Floats, Floats, int]:
    """Agreement (n_pairs,), influences (n_pairs, n), share of tied triplets (n_spaces,) and number of triplets."""
    from affectome._numba import kernel_threads
    from affectome.comparison._kernels import fill_choice_sums

    n_spaces, n = stack.shape[:2]
    order = np.random.default_rng(source).permutation(n) if step > 1 else np.arange(n)
    shuffled = np.stack([rsm[np.ix_(order, order)] for rsm in stack]) if step > 1 else stack
    first, second = np.triu_indices(n_spaces, 1)
    agreed, held, tied = np.zeros((_PARTS, len(first), n)), np.zeros((_PARTS, n)), np.zeros((_PARTS, n_spaces))
    with kernel_threads(None):
        fill_choice_sums(shuffled, step, first, second, agreed, held, tied)
    sums, triplets = np.empty((len(first), n)), np.empty(n)
    sums[:, order], triplets[order] = agreed.sum(axis=0), held.sum(axis=0)
    total = triplets.sum()
    value = sums.sum(axis=1) / total
    influence = 3 / n * (sums / triplets - value[:, None])
    influence -= influence.mean(axis=1, keepdims=True)  # 0 already where all triplets were counted
    return value, influence, tied.sum(axis=0) / (total / 3), round(float(total) / 3)


def _random_triplets(source: np.random.SeedSequence, n: int, n_triplets: int) -> NDArray[np.int32]:
    """Triplets of three different stimuli, uniform and with replacement; sorted, so that rows are met in order."""
    rng = np.random.default_rng(source)
    i, j, k = rng.integers(0, n, n_triplets), rng.integers(0, n - 1, n_triplets), rng.integers(0, n - 2, n_triplets)
    j = j + (j >= i)
    low, high = np.minimum(i, j), np.maximum(i, j)
    k = k + (k >= low)
    k = k + (k >= high)
    drawn = np.sort(np.column_stack([i, j, k]).astype(np.int32), axis=1)
    sorted_rows: NDArray[np.int32] = drawn[np.lexsort(drawn.T[::-1])]
    return sorted_rows


def _permuted(
    stack: NDArray[np.float32], triplets: NDArray[np.int32], orders: Orders, progress: Progress
) -> tuple[Floats, Floats]:
    """Agreement over these triplets as the stimuli are (n_pairs,), and permuted (n_permutations, n_pairs)."""
    from affectome._numba import kernel_threads
    from affectome.comparison._kernels import fill_permuted_agreement

    n_spaces, n = stack.shape[:2]
    left, right = np.triu_indices(n_spaces, 1)
    codes = np.stack([_codes(rsm, triplets) for rsm in stack])
    share = _shares()

    def agreement(block: Orders) -> Floats:
        sums = np.zeros((len(block), n_spaces, n_spaces))
        with kernel_threads(None):
            fill_permuted_agreement(stack, triplets, codes, share, block, sums)
        shares: Floats = sums[:, left, right] / len(triplets)
        return shares

    null = np.empty((len(orders), len(left)))
    for start in range(0, len(orders), _BLOCK):
        rows = slice(start, min(len(orders), start + _BLOCK))
        null[rows] = agreement(orders[rows])
        progress(rows.stop, len(orders), detail="permutations")
    return agreement(np.arange(n, dtype=np.uint32)[None])[0], null


def _codes(rsm: NDArray[np.float32], triplets: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Which of the pairs ij, ik, jk are most similar: one bit each."""
    i, j, k = triplets.T
    three = np.stack([rsm[i, j], rsm[i, k], rsm[j, k]])
    codes: NDArray[np.uint8] = ((three == three.max(axis=0)) * np.array([[1], [2], [4]])).sum(axis=0).astype(np.uint8)
    return codes


def _shares() -> Floats:
    """How much two codes agree (8, 8): the chance that draws from both are the same pair."""
    bits = (np.arange(8)[:, None] >> np.arange(3)) & 1
    drawn = bits / np.maximum(bits.sum(axis=1, keepdims=True), 1)
    shares: Floats = drawn @ drawn.T
    return shares
