"""Share of held-out choices that a space predicts, with its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectome.behavior._bootstrap import bootstrap_share
from affectome.embedding import shared_hits
from affectome.errors import InputError
from affectome.spaces import rows_for
from affectome.triplets import TripletSet

__all__ = ["Accuracy", "held_out_accuracy"]


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
    weights = rows_for(space, trials.ids).to_numpy()
    answered = trials[trials.answered]
    if len(answered) == 0:
        raise InputError("no trial is answered", remedy="score trials with choices")
    slots = np.eye(3)[answered.choice]
    hits = shared_hits(weights, answered.triplets, slots, n_jobs=n_jobs)
    share = bootstrap_share(hits, answered.keys(), n_boot=n_boot, level=level, seed=seed)
    return Accuracy(
        value=share.value,
        ci_low=share.ci_low,
        ci_high=share.ci_high,
        level=level,
        n_trials=len(answered),
        n_triplets=share.n_triplets,
        n_unanswered=len(trials) - len(answered),
        n_boot=n_boot,
    )
