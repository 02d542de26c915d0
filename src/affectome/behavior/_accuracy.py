"""Share of held-out choices that a space predicts, and how much of what could be predicted that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._resampling import defined_interval
from affectome._seeds import named_seed
from affectome.behavior._bootstrap import bootstrap_share, resampled_sums
from affectome.behavior._ceiling import (
    ESTIMATES,
    CeilingEstimates,
    ceiling_estimates,
    explained_share,
    noise_ceiling,
    repeat_counts,
    repeat_sums,
)
from affectome.behavior._matching import sort_answers
from affectome.embedding import shared_hits
from affectome.errors import InputError
from affectome.spaces import rows_for
from affectome.triplets import TripletSet

__all__ = ["Accuracy", "ExplainedAccuracy", "explained_accuracy", "held_out_accuracy"]

#: Ends of the ceiling that accuracy is held against, in the order of the table.
_ENDS = ("leave_one_out", "modal", "agreement_bound")


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How often a space names the odd one that the judge named.

    Attributes
    ----------
    value : float
        Share of answered trials, 0..1; trials in which the space ties count by their share. Chance is 1/3.
    ci_low, ci_high : float
        Percentile bootstrap interval over triplets: stimuli, judge and space are taken as fixed.
    level : float
        Coverage the interval aims at.
    n_trials : int
        Answered trials.
    n_triplets : int
        Different triplets among them, the units that were resampled.
    n_unanswered : int
        Trials left out.
    n_boot : int
    """

    value: float
    ci_low: float
    ci_high: float
    level: float
    n_trials: int
    n_triplets: int
    n_unanswered: int
    n_boot: int


@dataclass(frozen=True, eq=False)
class ExplainedAccuracy:
    """Accuracy as a share of what a judge's noise leaves to be predicted.

    Attributes
    ----------
    accuracy : Accuracy
    ceiling : CeilingEstimates
    table : DataFrame, index ``leave_one_out, modal, agreement_bound``
        ``value, ci_low, ci_high``: (accuracy - 1/3) / (ceiling - 1/3) and its interval; 0 at chance, 1 at that estimate
        of the ceiling. Against ``leave_one_out``, which lies too low, the share is too high; against ``modal`` and
        ``agreement_bound`` it is too low. NaN where the ceiling is not above chance; an interval is NaN where more of
        the resampled ceilings than a tail holds are not.
    n_shared : int
        Triplets both scored and repeated.
    """

    accuracy: Accuracy
    ceiling: CeilingEstimates
    table: pd.DataFrame
    n_shared: int


def held_out_accuracy(
    space: pd.DataFrame,
    trials: TripletSet,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int,
    n_jobs: int | None = None,
) -> Accuracy:
    """Score a space on trials it was not learned from.

    The space calls odd the stimulus outside the pair with the largest dot product. That the trials were
    held out is the caller's promise: :func:`affectome.triplets.split_triplets` keeps it.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Holds at least the stimuli of `trials`.
    trials : TripletSet
        With choices.
    n_boot, level, seed
        Of the bootstrap. Repeats of an unordered triplet are resampled together.

    Returns
    -------
    Accuracy

    Examples
    --------
    >>> import pandas as pd
    >>> space = pd.DataFrame({"c": [1.0, 1.0, 0.0]}, index=["a", "b", "x"])
    >>> trials = TripletSet([[0, 2, 1]], ids=["a", "b", "x"], choice=[1])
    >>> held_out_accuracy(space, trials, seed=0).value
    1.0
    """
    hits = _hits(space, trials, n_jobs)
    return _accuracy(trials, hits, n_boot, level, seed)


def explained_accuracy(
    space: pd.DataFrame,
    trials: TripletSet,
    repeats: TripletSet,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int,
    n_jobs: int | None = None,
) -> ExplainedAccuracy:
    r"""Score a space on held-out trials, and against the noise ceiling of the judge who answered them.

    .. math:: \frac{\text{accuracy} - 1/3}{\text{ceiling} - 1/3}

    for both ends of the bracket. (Dividing plainly would give a space that guesses 54% of a ceiling of .62.)

    Parameters
    ----------
    space, trials
        As for :func:`held_out_accuracy`.
    repeats : TripletSet
        Repeated answers of the same judge, as for :func:`noise_ceiling`, to triplets drawn as those of `trials` were
        (or to these themselves): the ceiling of easier triplets is higher. Matched by stimulus ids and the unordered
        triplet.
    n_boot, level, seed
        Of the percentile bootstrap. Triplets that are in one set alone are resampled within it, so that two sets
        without a common triplet are resampled independently; triplets in both are resampled with their answers in
        both, so that accuracy and ceiling vary together.

    Returns
    -------
    ExplainedAccuracy

    Examples
    --------
    >>> import pandas as pd
    >>> space = pd.DataFrame({"c": [1.0, 1.0, 0.0]}, index=["a", "b", "x"])
    >>> trials = TripletSet([[0, 2, 1], [0, 1, 2], [2, 1, 0]], ids=["a", "b", "x"], choice=[1, 2, 1])
    >>> result = explained_accuracy(space, trials, trials, seed=0)        # x, x and b are called odd
    >>> result.table["value"].round(3).tolist()                           # one pair of three agrees: chance, undefined
    [nan, 1.0, nan]
    """
    hits = _hits(space, trials, n_jobs)
    accuracy = _accuracy(trials, hits, n_boot, level, seed)
    ceiling = noise_ceiling(repeats, n_boot=n_boot, level=level, seed=seed)
    totals, member = _joint_totals(trials, hits, repeats)
    sums = np.zeros((n_boot, totals.shape[1]))
    for kind in np.unique(member).tolist():
        sums += resampled_sums(totals[member == kind], n_boot=n_boot, seed=named_seed(seed, "explained", str(kind)))
    observed, draws = _shares(totals.sum(axis=0)[None])[0], _shares(sums)
    rows = [
        (value, *((np.nan, np.nan) if np.isnan(value) else defined_interval(column, level)))
        for value, column in zip(observed.tolist(), draws.T, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["value", "ci_low", "ci_high"], index=pd.Index(_ENDS, name="ceiling"))
    return ExplainedAccuracy(accuracy, ceiling, table, n_shared=int((member == 3).sum()))


def _hits(space: pd.DataFrame, trials: TripletSet, n_jobs: int | None) -> NDArray[np.float64]:
    """How far the space is right about each answered trial, 0..1."""
    weights = rows_for(space, trials.ids).to_numpy()
    answered = trials[trials.answered]
    if len(answered) == 0:
        raise InputError("no trial is answered", remedy="score trials with choices")
    return shared_hits(weights, answered.triplets, np.eye(3)[answered.choice], n_jobs=n_jobs)


def _accuracy(trials: TripletSet, hits: NDArray[np.float64], n_boot: int, level: float, seed: int) -> Accuracy:
    keys = trials.keys()[trials.answered]
    share = bootstrap_share(hits, keys, n_boot=n_boot, level=level, seed=seed)
    return Accuracy(
        value=share.value,
        ci_low=share.ci_low,
        ci_high=share.ci_high,
        level=level,
        n_trials=len(hits),
        n_triplets=share.n_triplets,
        n_unanswered=len(trials) - len(hits),
        n_boot=n_boot,
    )


def _joint_totals(
    trials: TripletSet, hits: NDArray[np.float64], repeats: TripletSet
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Per triplet of either set: hits, trials, and the five sums of the ceiling; and 1 scored, 2 repeated, 3 both."""
    ids = list(dict.fromkeys([*trials.ids, *repeats.ids]))
    scored = sort_answers(trials, ids)
    hit = np.empty(len(trials))
    hit[trials.answered] = hits
    repeated, counts = repeat_counts(sort_answers(repeats, ids))
    keys = np.union1d(scored.key, repeated)
    at, there = np.searchsorted(keys, scored.key), np.searchsorted(keys, repeated)
    totals = np.zeros((len(keys), 7))
    totals[:, 0] = np.bincount(at, weights=hit[scored.rows], minlength=len(keys))
    totals[:, 1] = np.bincount(at, minlength=len(keys))
    totals[there, 2:] = repeat_sums(counts)
    return totals, (totals[:, 1] > 0) + 2 * (totals[:, 2] > 0)


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Explained shares from the sums of `_joint_totals`; (n_draws, 3), in the order of `_ENDS`."""
    estimates = ceiling_estimates(sums[:, 2:])
    ends = np.column_stack([estimates[:, list(ESTIMATES).index(end)] for end in _ENDS])
    return explained_share((sums[:, 0] / sums[:, 1])[:, None], ends)
