"""Similarity of two stimuli as the chance that they stay together: measured, its reliability, predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._numba import kernel_threads
from affectome._tables import cut_short
from affectome.behavior._kernels import fill_predicted_rsm, fill_predicted_rsm_among
from affectome.errors import InputError
from affectome.spaces import as_space, rows_for
from affectome.triplets import TripletSet

__all__ = [
    "FLAT",
    "MeasuredRSM",
    "RSMReliability",
    "Third",
    "measured_rsm",
    "predicted_rsm",
    "rsm_reliability",
]

Floats = NDArray[np.float64]
Third = Literal["subset", "all"]

_MOST = 600.0  # exp of a larger similarity would leave float64
_PARTS = 2**25  # numbers of scratch for the predicted RSM
FLAT = 1e-9  # similarities that spread less are rounding errors


# What was measured


@dataclass(frozen=True, eq=False)
class MeasuredRSM:
    """How often each pair of stimuli was kept together.

    Attributes
    ----------
    similarity : DataFrame of shape (n, n)
        Symmetric, 0..1; NaN on the diagonal and for pairs that no answered trial held.
    counts : DataFrame of shape (n, n)
        Answered trials that held the pair.
    n_trials : int
        Answered trials that were used.
    n_unanswered : int
        Trials without a choice (or, for probabilities, without those).
    n_outside : int
        Answered trials left out because too few of their stimuli are among those compared.
    n_missing : int
        Pairs never asked, of n (n - 1) / 2.
    third : str
        ``"subset"`` or ``"all"``: which third stimuli count.
    soft : bool
        Whether probabilities were averaged instead of choices.
    """

    similarity: pd.DataFrame
    counts: pd.DataFrame
    n_trials: int
    n_unanswered: int
    n_outside: int
    n_missing: int
    third: str
    soft: bool


@dataclass(frozen=True, eq=False)
class _Votes:
    """What each trial says about its pairs; three votes a trial, or one where only one pair is among the stimuli.

    `pair` is the number of the unordered pair (low * n + high), `kept` how far it was kept (0..1), `trial` the row in
    the used trials, whose unordered triplets are `keys`.
    """

    pair: NDArray[np.int64]
    kept: Floats
    trial: NDArray[np.intp]
    keys: NDArray[np.int64]
    n_unanswered: int
    n_outside: int


def measured_rsm(
    trials: TripletSet, stimuli: Sequence[str] | None = None, *, third: Third = "subset", soft: bool = False
) -> MeasuredRSM:
    """Share of the answered triplets holding a pair in which the third stimulus was called odd.

    Parameters
    ----------
    trials : TripletSet
        Exhaustive over a subset, or any sample. Every answered trial counts, so a triplet asked twice counts twice.
    stimuli
        Ids of the stimuli to compare; by default all that are in some trial.
    third
        ``"subset"``: only trials whose three stimuli are all among these count; ``"all"``: the third may be any other.
    soft
        Average the probabilities of the trials instead of their choices.

    Returns
    -------
    MeasuredRSM

    Raises
    ------
    InputError
        For ids that are unknown or repeated, and where no answered trial holds a pair.

    Examples
    --------
    >>> trials = TripletSet([[0, 1, 2], [3, 0, 1]], ids=["a", "b", "c", "d"], choice=[2, 1])
    >>> got = measured_rsm(trials)
    >>> float(got.similarity.loc["a", "b"]), int(got.counts.loc["a", "b"]), got.n_missing
    (0.5, 2, 1)
    """
    ids = _chosen_ids(trials, stimuli)
    votes = _votes(trials, ids, third, soft)
    n = len(ids)
    counts = np.bincount(votes.pair, minlength=n * n).reshape(n, n)
    kept = np.bincount(votes.pair, weights=votes.kept, minlength=n * n).reshape(n, n)
    counts, kept = counts + counts.T, kept + kept.T
    with np.errstate(invalid="ignore"):
        share = kept / counts  # 0 / 0: never asked
    index = pd.Index(ids, name="id")
    return MeasuredRSM(
        similarity=pd.DataFrame(share, index=index, columns=index),
        counts=pd.DataFrame(counts, index=index, columns=index),
        n_trials=len(votes.keys),
        n_unanswered=votes.n_unanswered,
        n_outside=votes.n_outside,
        n_missing=int((counts[np.triu_indices(n, 1)] == 0).sum()),
        third=third,
        soft=soft,
    )


def _chosen_ids(trials: TripletSet, stimuli: Sequence[str] | None) -> list[str]:
    ids = trials.used_ids() if stimuli is None else [str(i) for i in stimuli]
    if len(set(ids)) != len(ids):
        raise InputError("the list of stimuli names one twice", remedy="name each once")
    known = set(trials.ids)
    missing = [i for i in ids if i not in known]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(ids)} stimuli are not in the trials ({cut_short(missing)})",
            remedy="correct the ids",
        )
    if len(ids) < 3:
        raise InputError(f"{len(ids)} stimuli make no triplet", remedy="give at least three")
    return ids


def _votes(trials: TripletSet, ids: Sequence[str], third: str, soft: bool) -> _Votes:
    """The votes of the answered trials about pairs of these stimuli."""
    _check_third(third)
    if soft and trials.probabilities is None:
        raise InputError("the trials carry no probabilities", remedy="average the choices instead")
    where = {name: k for k, name in enumerate(ids)}
    position = np.array([where.get(name, -1) for name in trials.ids], np.int64)
    if soft and trials.probabilities is not None:
        answered = np.isfinite(trials.probabilities).all(axis=1)
        weight = trials.probabilities[answered].astype(np.float64)
        weight /= weight.sum(axis=1, keepdims=True)  # float32 rows sum to 1 only roughly
    else:
        answered = trials.answered
        weight = np.eye(3)[trials.choice[answered]]
    shown = position[trials.triplets[answered]]
    used = (shown >= 0).sum(axis=1) >= (3 if third == "subset" else 2)
    if not used.any():
        raise InputError(
            "no answered trial is about these stimuli", remedy="give answers to triplets that hold at least two of them"
        )
    shown, weight = shown[used], weight[used]
    pairs, kept, rows = [], [], []
    for odd, (left, right) in enumerate(((1, 2), (0, 2), (0, 1))):
        low, high = np.minimum(shown[:, left], shown[:, right]), np.maximum(shown[:, left], shown[:, right])
        row = np.flatnonzero(low >= 0)
        pairs.append(low[row] * len(ids) + high[row])
        kept.append(weight[row, odd])
        rows.append(row)
    return _Votes(
        np.concatenate(pairs),
        np.concatenate(kept),
        np.concatenate(rows),
        trials.keys()[answered][used],
        n_unanswered=int((~answered).sum()),
        n_outside=int((~used).sum()),
    )


def _check_third(third: str) -> None:
    if third not in get_args(Third):
        raise InputError(f"third='{third}' is unknown", remedy="choose subset or all")


@dataclass(frozen=True, eq=False)
class RSMReliability:
    """How well a measured RSM would repeat, over pairs.

    Attributes
    ----------
    value : float
        Spearman-Brown reliability 2 h / (1 + h), with h the mean correlation of the halves; 0 where h is not positive.
    half : float
        h: Pearson r of the RSMs of two halves, averaged over random splits.
    highest_r : float
        sqrt(value): the correlation expected of a prediction that is right and free of noise.
    split : str
        ``"triplets"``: the halves hold different triplets, so what differs is the judge's noise *and* which third
        stimuli were met, which is right for trials that are a random sample. ``"repeats"``: the halves hold different
        answers to the same triplets; the judge's noise alone.
    share_asked : float
        Triplets split, as a share of all there are. Where triplets are split and this is not small, third stimuli are
        hardly a sample: the halves differ more than two such RSMs would, and `value` is a lower bound.
    n_splits, n_pairs : int
        Random splits, and the fewest pairs that both halves of one asked.
    """

    value: float
    half: float
    highest_r: float
    split: str
    share_asked: float
    n_splits: int
    n_pairs: int


def rsm_reliability(
    trials: TripletSet,
    stimuli: Sequence[str] | None = None,
    *,
    third: Third = "subset",
    soft: bool = False,
    split: Literal["triplets", "repeats"] = "triplets",
    n_splits: int = 20,
    seed: int,
) -> RSMReliability:
    """Split-half reliability of :func:`measured_rsm`, stepped up by Spearman and Brown's formula.

    Parameters
    ----------
    trials, stimuli, third, soft
        As for :func:`measured_rsm`.
    split
        What is dealt to the halves: triplets, with all their answers, or the answers of each repeated triplet (those
        with one answer are left out). See :class:`RSMReliability`.
    n_splits, seed
        Random splits that are averaged.

    Raises
    ------
    InputError
        Where the halves share fewer than three pairs with any spread, or nothing is repeated.
    """
    if split not in ("triplets", "repeats"):
        raise InputError(f"split='{split}' is unknown", remedy="choose triplets or repeats")
    if n_splits < 1:
        raise InputError("there is no reliability without a split", remedy="use n_splits >= 1")
    ids = _chosen_ids(trials, stimuli)
    votes = _votes(trials, ids, third, soft)
    _, unit, answers = np.unique(votes.keys, return_inverse=True, return_counts=True)
    repeated = answers[unit] > 1
    if split == "repeats" and not repeated.any():
        raise InputError("no triplet was answered twice", remedy="split the triplets instead")
    if split == "repeats":
        kept = repeated[votes.trial]
        votes = _Votes(votes.pair[kept], votes.kept[kept], votes.trial[kept], votes.keys, 0, 0)
    _, pair = np.unique(votes.pair, return_inverse=True)
    n_pairs = int(pair.max()) + 1
    asked = np.bincount(pair, minlength=n_pairs)
    total = np.bincount(pair, weights=votes.kept, minlength=n_pairs)
    halves, fewest = np.empty(n_splits), n_pairs
    for number, source in enumerate(np.random.SeedSequence(seed).spawn(n_splits)):
        rng = np.random.default_rng(source)
        half = rng.permutation(len(answers)) % 2 == 0 if split == "triplets" else None
        chosen = half[unit] if half is not None else _half_of_repeats(unit, answers, rng)
        mine = chosen[votes.trial]
        asked_here = np.bincount(pair[mine], minlength=n_pairs)
        kept_here = np.bincount(pair[mine], weights=votes.kept[mine], minlength=n_pairs)
        both = (asked_here > 0) & (asked_here < asked)
        first = kept_here[both] / asked_here[both]
        second = (total - kept_here)[both] / (asked - asked_here)[both]
        if both.sum() < 3 or np.ptp(first) < FLAT or np.ptp(second) < FLAT:
            raise InputError(
                "the halves of the trials share too few pairs, or do not tell them apart", remedy="give more trials"
            )
        halves[number] = np.corrcoef(first, second)[0, 1]
        fewest = min(fewest, int(both.sum()))
    h = float(halves.mean())
    value = 2 * h / (1 + h) if h > 0 else 0.0
    others = trials.n_stimuli - len(ids) if third == "all" else 0
    possible = math.comb(len(ids), 3) + math.comb(len(ids), 2) * others
    n_split = len(answers) if split == "triplets" else int((answers > 1).sum())
    return RSMReliability(value, h, float(np.sqrt(value)), split, n_split / possible, n_splits, fewest)


def _half_of_repeats(unit: NDArray[np.intp], answers: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Half of the answers to every triplet; of an odd number, the larger half by the toss of a coin."""
    order = np.lexsort((rng.random(len(unit)), unit))
    start = np.cumsum(answers) - answers
    turn = np.empty(len(unit), np.intp)
    turn[order] = np.arange(len(unit)) - start[unit[order]]
    chosen: NDArray[np.bool_] = (turn + rng.integers(0, 2, len(answers))[unit]) % 2 == 0
    return chosen


# What a space predicts


def predicted_rsm(
    space: pd.DataFrame,
    stimuli: Sequence[str] | None = None,
    *,
    third: Third = "subset",
    n_jobs: int | None = None,
) -> pd.DataFrame:
    r"""Predict how often each pair of stimuli is kept, over all third stimuli.

    .. math:: R_{ij} = \frac{1}{|K| - 2} \sum_{k \in K \setminus \{i, j\}}
              \frac{e^{x_i \cdot x_j}}{e^{x_i \cdot x_j} + e^{x_i \cdot x_k} + e^{x_j \cdot x_k}}

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    stimuli
        Ids of the stimuli to compare; by default all.
    third
        K: ``"subset"`` the stimuli compared, ``"all"`` every stimulus of the space.
    n_jobs
        Threads; all by default. The bits stay the same.

    Notes
    -----
    Exact, in float64. For m stimuli m^3 / 6 divisions and 8 bytes times 4 to 16 m^2 of memory (all 2,185 videos: 2
    seconds and 0.3 GB; doubling m costs 8 and 4 times that); with ``third="all"`` m^2 n / 2 divisions and m n numbers.

    Returns
    -------
    DataFrame of shape (m, m)
        Symmetric, 0..1, NaN on the diagonal.

    Examples
    --------
    >>> import pandas as pd
    >>> flat = pd.DataFrame({"c": [0.0, 0.0, 0.0]}, index=["x", "y", "z"])
    >>> round(float(predicted_rsm(flat).loc["x", "y"]), 6)
    0.333333
    """
    _check_third(third)
    everything = as_space(space)
    chosen = everything if stimuli is None else rows_for(everything, [str(i) for i in stimuli])
    if chosen.index.has_duplicates:
        raise InputError("the list of stimuli names one twice", remedy="name each once")
    if len(chosen) < 3:
        raise InputError(f"{len(chosen)} stimuli make no triplet", remedy="give at least three")
    rows = chosen.to_numpy(dtype=np.float64)
    among = third == "all" and len(chosen) < len(everything)
    logit = rows @ (everything.to_numpy(dtype=np.float64) if among else rows).T
    if np.abs(logit).max() > _MOST:
        raise InputError(
            f"the space has similarities up to {np.abs(logit).max():.0f}, far beyond what choices can tell apart",
            remedy="give an embedding learned from triplets, or scale the space down",
        )
    strength, m = np.exp(logit), len(chosen)
    out = np.empty((m, m))
    with kernel_threads(n_jobs):
        if among:
            own = everything.index.get_indexer(chosen.index)
            strength[np.arange(m), own] = np.inf
            fill_predicted_rsm_among(strength, own, out)
        else:
            parts = min(16, max(4, _PARTS // m**2))  # by the problem, not by the threads
            fill_predicted_rsm(strength, np.empty((parts, m, m)), out)
    return pd.DataFrame(out, index=chosen.index, columns=chosen.index)
