"""How well could anything predict a judge? Estimates from triplets that were answered several times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._resampling import check_bootstrap, percentile_interval
from affectome.behavior._bootstrap import resampled_sums
from affectome.behavior._matching import Sorted, answer_counts, sort_answers
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = [
    "CHANCE",
    "ESTIMATES",
    "CeilingEstimates",
    "NoiseCeiling",
    "agreement_bound",
    "agreement_scores",
    "ceiling_estimates",
    "explained_share",
    "guessing_modal",
    "leave_one_out_scores",
    "modal_scores",
    "noise_ceiling",
    "repeat_sums",
    "split_half_scores",
]

CHANCE = 1 / 3
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

#: The estimates of the ceiling and where each errs.
ESTIMATES = {
    "modal": "upward",
    "leave_one_out": "downward",
    "split_half": "downward",
    "agreement": "lower bound",
    "agreement_bound": "upper bound",
}
_FEW_TRIPLETS = 30
_GUESS = 2**0.25 * 1.2254167024651776 / (2 * np.sqrt(np.pi))  # mean of sqrt(max(Z, 0)), Z standard normal; Gamma(3/4)


@dataclass(frozen=True, eq=False)
class NoiseCeiling:
    """How well the best possible model could agree with a judge (or with people), as a bracket.

    Attributes
    ----------
    lower, lower_ci_low, lower_ci_high : float
        Each answer against the most frequent of the others to its triplet (ties shared); biased downward.
    upper, upper_ci_low, upper_ci_high : float
        Mean share of the most frequent answer; biased upward.
    n_triplets, n_answers : int
        Triplets with at least two answers, and those answers.
    """

    lower: float
    lower_ci_low: float
    lower_ci_high: float
    upper: float
    upper_ci_low: float
    upper_ci_high: float
    n_triplets: int
    n_answers: int


@dataclass(frozen=True, eq=False)
class CeilingEstimates:
    """Estimates of the noise ceiling and what they come from.

    Attributes
    ----------
    table : DataFrame, index ``modal, leave_one_out, split_half, agreement, agreement_bound``
        ``value, ci_low, ci_high``: the estimate, 0..1, and its percentile bootstrap interval over triplets, which is
        about the expectation of the estimate, bias included;
        ``guessing``: what it would give on average for a judge who guesses, asked as often (exact, but for the last:
        normal approximation);
        ``bias``: where it errs (``upward``, ``downward``, or a bound of the ceiling whatever the repeats).
    repeats_min, repeats_median, repeats_max : float
        Answers per triplet, of the triplets used.
    n_triplets, n_answers : int
        Triplets with at least two answers, and those answers.
    n_single : int
        Triplets left out since they have one answer only.
    n_unanswered : int
        Trials left out.
    warnings : tuple of str
        What speaks against taking the numbers at face value, in full sentences.
    level : float
    n_boot : int
    """

    table: pd.DataFrame
    repeats_min: float
    repeats_median: float
    repeats_max: float
    n_triplets: int
    n_answers: int
    n_single: int
    n_unanswered: int
    warnings: tuple[str, ...]
    level: float
    n_boot: int

    def bracket(self) -> NoiseCeiling:
        """Leave-one-out and modal as the two ends."""
        ends = self.table.loc[["leave_one_out", "modal"], ["value", "ci_low", "ci_high"]].to_numpy(np.float64)
        lower, low, high, upper, upper_low, upper_high = ends.ravel().tolist()
        return NoiseCeiling(lower, low, high, upper, upper_low, upper_high, self.n_triplets, self.n_answers)


def noise_ceiling(trials: TripletSet, *, n_boot: int = 1000, level: float = 0.95, seed: int) -> CeilingEstimates:
    r"""Estimate how often the best possible model would name the odd one that a judge names.

    If answers to triplet t are independent draws with chances :math:`p_{tk}`, the best that anything can do is to name
    the likeliest stimulus every time. With :math:`H_t` answers, :math:`h_{tk}` of them for stimulus k, the ceiling

    .. math:: C = \frac{\sum_t H_t \max_k p_{tk}}{\sum_t H_t}, \quad H_t \ge 2,

    counts every answer once, so a triplet weighs as many answers as it has; so do all estimates of it:

    ``modal``
        share of the most frequent answer, :math:`\max_k h_{tk} / H_t`. Biased upward, for that answer is chosen after
        looking: guessing gives .444 with 20 repeats and .630 with 3.
    ``leave_one_out``
        each answer against the most frequent of the others to its triplet, ties shared. Biased downward, for the others
        may miss what is likeliest; guessing gives 1/3 with any number of repeats.
    ``split_half``
        the answers of a triplet are dealt into two halves (of an odd number, one is larger by one), and each half is
        predicted by the most frequent answer of the other. The mean over all possible deals, exactly: no draws. A
        leave-one-out with half the repeats to learn from, so further down; with 2 or 3 repeats they are the same.
    ``agreement``
        chance A that two different answers to a triplet agree: unbiased for the mean of :math:`\sum_k p_{tk}^2`, which
        is at most the ceiling, with any number of repeats.
    ``agreement_bound``
        :math:`(1 + \sqrt{6A - 2}) / 3`, at least the ceiling whatever the chances are, with any number of repeats:
        :math:`\sum_k p_k^2` is least, for a given maximum, where the other two are equal, and the bound is concave. It
        tells guessing from knowing where the modal share cannot (few repeats); 1/3 where A is at or below chance. Of a
        sample the root makes it err a little downward, and near chance it is known only roughly.

    The ceiling lies between ``leave_one_out`` and ``modal``, but for sampling error, and below ``agreement_bound``. No
    unbiased estimate of it exists from a fixed number of repeats, since a maximum is no polynomial of the chances.

    Parameters
    ----------
    trials : TripletSet
        With choices. Answers to the same three stimuli in any order of slots are repeats of each other, and the slots
        should be drawn anew for each. Numbers of answers may differ; triplets with one answer are left out and counted.
    n_boot, level, seed
        Of the percentile bootstrap, which resamples triplets with all their answers; stimuli and judge are fixed.

    Returns
    -------
    CeilingEstimates

    Raises
    ------
    InputError
        Where no triplet has two answers.

    Examples
    --------
    >>> trials = TripletSet([[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 1, 3]], ids="abcd", choice=[1, 1, 2, 0])
    >>> result = noise_ceiling(trials, seed=0)      # b, b and c are called odd; the last triplet has one answer
    >>> result.table["value"].round(3).tolist()
    [0.667, 0.333, 0.333, 0.333, 0.333]
    >>> result.table["guessing"].round(3).tolist()[:2], result.n_triplets, result.n_single
    ([0.63, 0.333], 1, 1)
    """
    check_bootstrap(n_boot, level)
    answers = sort_answers(trials, trials.ids)
    if len(answers.key) == 0:
        raise InputError("no trial is answered", remedy="give answered triplets")
    keys, counts = repeat_counts(answers)
    if len(keys) == 0:
        raise InputError(
            "no triplet was answered twice",
            remedy="ask some triplets several times (affectome triplets sample --design repeated --repeats 20)",
        )
    repeats = counts.sum(axis=1)
    totals = repeat_sums(counts)
    observed = ceiling_estimates(totals.sum(axis=0)[None])[0]
    draws = ceiling_estimates(resampled_sums(totals, n_boot=n_boot, seed=seed))
    rows = [
        (value, *percentile_interval(column, level)) for value, column in zip(observed.tolist(), draws.T, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["value", "ci_low", "ci_high"], index=pd.Index(list(ESTIMATES), name="estimate"))
    table["guessing"] = _guessing(repeats)
    table["bias"] = list(ESTIMATES.values())
    return CeilingEstimates(
        table=table,
        repeats_min=int(repeats.min()),
        repeats_median=float(np.median(repeats)),
        repeats_max=int(repeats.max()),
        n_triplets=len(keys),
        n_answers=int(repeats.sum()),
        n_single=len(answers.triplets()) - len(keys),
        n_unanswered=len(trials) - len(answers.key),
        warnings=tuple(_warnings(trials, answers, keys, observed)),
        level=level,
        n_boot=n_boot,
    )


# From counts to estimates


def repeat_counts(answers: Sorted) -> tuple[NDArray[np.int64], Counts]:
    """Keys of the triplets with at least two answers, and how often each of their places was called odd (n, 3)."""
    keys = answers.triplets()
    counts = answer_counts(np.searchsorted(keys, answers.key), answers.odd, len(keys))
    repeated = counts.sum(axis=1) >= 2
    return keys[repeated], counts[repeated]


def repeat_sums(counts: Counts) -> Floats:
    """Per triplet with at least two answers: answers, and the sums of their scores under four estimates; (n, 5)."""
    forms = (modal_scores, leave_one_out_scores, split_half_scores, agreement_scores)
    sums = [np.einsum("tk,tk->t", counts, scores(counts)) for scores in forms]
    return np.column_stack([counts.sum(axis=1), *sums]).astype(np.float64)


def ceiling_estimates(sums: Floats) -> Floats:
    """The five estimates from sums over triplets (n_draws, 5), in the order of `ESTIMATES`; (n_draws, 5)."""
    shares = sums[:, 1:] / sums[:, :1]
    return np.column_stack([shares, agreement_bound(shares[:, 3])])


def agreement_bound(agreement: ArrayLike) -> Floats:
    """Largest ceiling under which two answers agree that often; 1/3 where they do not agree above chance."""
    above = np.maximum(6 * np.asarray(agreement, np.float64) - 2, 0)
    bound: Floats = (1 + np.sqrt(above)) / 3
    return bound


def modal_scores(counts: Counts) -> Floats:
    """Score of an answer, by triplet and place: is it the most frequent one? Ties shared; (n_triplets, 3)."""
    modal = counts == counts.max(axis=1, keepdims=True)
    return np.asarray(modal / modal.sum(axis=1, keepdims=True), np.float64)


def leave_one_out_scores(counts: Counts) -> Floats:
    """Score of an answer: is it the most frequent of the others to its triplet? Ties shared; (n_triplets, 3)."""
    scores = np.empty_like(counts, np.float64)
    for place in range(3):
        others = counts.copy("K")
        others[:, place] -= 1
        most = others.max(axis=1, keepdims=True)
        scores[:, place] = (others[:, place] == most[:, 0]) / (others == most).sum(axis=1)
    return scores


def agreement_scores(counts: Counts) -> Floats:
    """Score of an answer: the share of the others that it agrees with, 0 where alone; (n_triplets, 3)."""
    total = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(counts - 1, 0) / np.maximum(total - 1, 1), np.float64)


def split_half_scores(counts: Counts) -> Floats:
    """Score of an answer: the chance that the half it is not in predicts it, over all deals; (n_triplets, 3).

    Of n answers, dealt into halves of a = n // 2 and n - a, an answer is in the first with chance a / n and is then
    predicted by n - a of the others, drawn without replacement (hypergeometric); and the other way round. What an
    answer scores depends on how many others agree and on the other two counts in either order, so each case is worked
    out once.
    """
    total = np.broadcast_to(counts.sum(axis=1, keepdims=True), counts.shape)
    second, third = np.roll(counts, -1, axis=1), np.roll(counts, 1, axis=1)
    base = int(total.max(initial=0)) + 1
    code = (total * base + counts) * base + np.minimum(second, third)
    cases, case = np.unique(np.where(counts > 0, code, -1), return_inverse=True)
    scores = np.zeros(len(cases))
    size, own, fewer = cases // base**2, cases // base % base - 1, cases % base
    log_factorial = _log_factorials(base)
    for n in np.unique(size[cases >= 0]).tolist():
        at = np.flatnonzero((size == n) & (cases >= 0))
        others = np.stack([own[at], fewer[at], n - 1 - own[at] - fewer[at]])
        half = n // 2
        scores[at] = half / n * _chance_predicted(others, n - half, log_factorial)
        scores[at] += (n - half) / n * _chance_predicted(others, half, log_factorial)
    return scores[case].reshape(counts.shape)


def _chance_predicted(others: Counts, drawn: int, log_factorial: Floats) -> Floats:
    """Chance that place 0 is the most frequent (ties shared) of some answers drawn from `others` (3, n_cases)."""

    def ways(there: Counts, take: NDArray[np.int64] | int) -> Floats:
        """Logarithm of the number of ways to take some of those there; (n_cases, n_takes)."""
        left = there[:, None] - take
        logs = log_factorial[there][:, None] - log_factorial[take] - log_factorial[np.maximum(left, 0)]
        return np.where(left >= 0, logs, -np.inf)

    all_ways = ways(others.sum(axis=0), drawn)
    chance = np.zeros(others.shape[1])
    for x, y, z, share in _first_leads(drawn):
        logs = ways(others[0], x) + ways(others[1], y) + ways(others[2], z) - all_ways
        chance += np.exp(logs) @ share
    return chance


def _first_leads(n: int) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64], Floats]]:
    """All ways for n answers to fall on three places, none ahead of the first: counts, and its share of the lead."""
    for x in range(-(-n // 3), n + 1):
        y = np.arange(max(0, n - 2 * x), min(x, n - x) + 1)
        z = n - x - y
        yield x, y, z, 1 / (1.0 + (y == x) + (z == x))


def _log_factorials(n: int) -> Floats:
    """Logarithms of 0! .. n!."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def guessing_modal(repeats: int) -> float:
    """Expected share of the most frequent of some answers that are guesses among three; exact.

    Examples
    --------
    >>> round(guessing_modal(20), 3), round(guessing_modal(3), 3), round(guessing_modal(2), 3)
    (0.444, 0.63, 0.667)
    """
    logs = _log_factorials(repeats)
    mean = 0.0
    for x, y, z, share in _first_leads(repeats):
        chance = np.exp(logs[repeats] - logs[x] - logs[y] - logs[z] - repeats * np.log(3))
        mean += 3 * x * float(chance @ share)  # any of three places may lead
    return mean / repeats


def _guessing(repeats: NDArray[np.int64]) -> list[float]:
    """What each estimate gives on average where the judge guesses; of the bound, by a normal approximation.

    Pairs of guesses are uncorrelated, so the agreement of two of n answers has variance (2/9) / (n (n - 1) / 2).
    """
    size, often = np.unique(repeats, return_counts=True)
    answers = size * often
    modal = float(answers @ [guessing_modal(n) for n in size.tolist()] / answers.sum())
    spread = np.sqrt(float(often @ (size**2 * (4 / 9) / (size * (size - 1))))) / answers.sum()
    bound = CHANCE + np.sqrt(6 * spread) / 3 * _GUESS
    return [modal, CHANCE, CHANCE, CHANCE, float(bound)]


# What is explained


def explained_share(agreement: Floats, ceiling: Floats) -> Floats:
    """(agreement - 1/3) / (ceiling - 1/3); NaN where the ceiling is not above chance."""
    above = np.where(ceiling > CHANCE + 1e-12, ceiling - CHANCE, np.nan)
    return (agreement - CHANCE) / above


# What speaks against the numbers


def _warnings(
    trials: TripletSet, answers: Sorted, keys: NDArray[np.int64], observed: Sequence[float] | Floats
) -> Iterator[str]:
    if len(keys) < _FEW_TRIPLETS:
        yield f"The intervals resample only {len(keys)} triplets and are rough."
    if observed[3] == 1:
        yield (
            "Every repeat got the same answer; if the judge cannot answer differently (temperature 0, a cache), its "
            "repeats are copies and say nothing about noise."
        )
    if trials.metadata.get("order_shown") != "unknown":
        fixed = _shown_in_one_order(answers, keys)
        if fixed > len(keys) / 2:
            yield (
                f"{fixed:,} of {len(keys):,} triplets were shown in one order of slots in all their repeats, so that a "
                "preference for a slot counts as agreement; draw the slots of every repeat anew."
            )


def _shown_in_one_order(answers: Sorted, keys: NDArray[np.int64]) -> int:
    """How many of the triplets had the same stimulus in each slot whenever they were answered."""
    repeated, _ = answers.within(keys)
    order = repeated.places[:, 0] * 3 + repeated.places[:, 1]
    start = np.searchsorted(repeated.key, keys)
    return int((np.maximum.reduceat(order, start) == np.minimum.reduceat(order, start)).sum())
