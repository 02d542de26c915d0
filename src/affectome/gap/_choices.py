"""Which space follows odd-one-out choices: shares of choices, and differences of two spaces on the same trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._resampling import check_level
from affectome.errors import InputError
from affectome.spaces import Metric, paired_similarity, rows_for, similarity_coordinates
from affectome.triplets import TripletSet

__all__ = ["CHANCE", "ChoiceScores", "score_choices"]

Floats = NDArray[np.float64]

CHANCE = 1 / 3
_FEWEST = 10  # stimuli below which a spread over stimuli says nothing
_CHUNK = 100_000  # trials scored at once: bounds the memory of what is thrown away
_ROUNDING = 1e-9  # of a similarity (above 1: a share of it): pairs that differ by less tie
_SAME = 1e-12  # variance of a share that is rounding


@dataclass(frozen=True, eq=False)
class ChoiceScores:
    """How many choices each space predicts, and how two spaces differ in that.

    Attributes
    ----------
    scores : DataFrame, index space
        ``accuracy`` (share of answered trials, 0..1; chance 1/3), ``se``, ``low``, ``high``, ``metric``.
    differences : DataFrame
        One row per pair: ``first``, ``second``, ``difference`` (accuracy of the first minus that of the second),
        ``se``, ``low``, ``high``, ``p`` (two-sided).
    n_trials, n_triplets, n_stimuli : int
        Answered trials, different unordered triplets and stimuli in them.
    level : float
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    n_trials: int
    n_triplets: int
    n_stimuli: int
    level: float


def score_choices(
    spaces: Mapping[str, pd.DataFrame],
    trials: TripletSet,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    metric: Metric | Mapping[str, Metric] = "cosine",
    level: float = 0.95,
) -> ChoiceScores:
    r"""Let every space name the odd one of each triplet: the stimulus outside the most similar pair.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        Each holds at least the stimuli of `trials`.
    trials : TripletSet
        With choices. That no space was learned from them is the caller's promise.
    pairs
        Spaces to compare, the first minus the second.
    metric
        Similarity of two stimuli, one for all spaces or one each; ``"dot"`` is that of learned embeddings.
    level
        Coverage of the intervals.

    Returns
    -------
    ChoiceScores

    Notes
    -----
    **Interval and p** are over stimuli, by the infinitesimal jackknife. With e_t the hit of trial t minus the mean over
    T trials (or, of a pair, the difference of both), weight on stimulus i moves the mean by

    .. math:: I_i = \frac1T \sum_{t \ni i} e_t, \qquad var = \frac{n}{n-1} \sum_i I_i^2

    for n stimuli. The noise of single trials is in three influences each, so that the variance is too large where
    trials are few: conservative. Intervals of a share are symmetric in log odds, p is two-sided, both by t with n - 1
    degrees of freedom. They speak of other stimuli of this kind, of these spaces and of whoever answered: people are
    not resampled.

    Null of p: over stimuli of this kind, both spaces predict the same share of these choices. Trials that a space ties
    in count by their share. Trials without an answer are left out.

    Examples
    --------
    >>> from affectome.triplets import sample_triplets
    >>> rng = np.random.default_rng(0)
    >>> truth = pd.DataFrame(rng.normal(size=(20, 2)), index=[f"s{k}" for k in range(20)])
    >>> trials = sample_triplets(list(truth.index), 300, seed=0)
    >>> gaps = np.linalg.norm(truth.to_numpy()[trials.triplets[:, [1, 0, 0]]] -
    ...                       truth.to_numpy()[trials.triplets[:, [2, 2, 1]]], axis=2)
    >>> answered = TripletSet(trials.triplets, trials.ids, gaps.argmin(axis=1))
    >>> other = truth.sample(frac=1, random_state=0).set_axis(truth.index)
    >>> both, pairs = {"truth": truth, "other": other}, [("truth", "other")]
    >>> found = score_choices(both, answered, pairs=pairs, metric="euclidean")
    >>> found.scores["accuracy"].round(2).tolist(), bool(found.differences["p"][0] < 0.001)
    ([1.0, 0.39], True)
    """
    check_level(level)
    answered = trials[trials.answered]
    if len(answered) == 0:
        raise InputError("no trial is answered", remedy="score trials with choices")
    used = np.unique(answered.triplets)
    if len(used) < _FEWEST:
        raise InputError(f"{len(used)} stimuli are too few to compare spaces on", remedy=f"give at least {_FEWEST}")
    metrics = dict.fromkeys(spaces, metric) if isinstance(metric, str) else dict(metric)
    hits = {name: _hits(space, answered, metrics[name]) for name, space in spaces.items()}
    spread = _Influences(answered)
    rows = [_share(values, spread, level) for values in hits.values()]
    scores = pd.DataFrame(rows, index=pd.Index(list(hits), name="space")).assign(metric=[metrics[n] for n in hits])
    compared = [{"first": a, "second": b, **_difference(hits[a] - hits[b], spread, level)} for a, b in pairs]
    columns = ["first", "second", "difference", "se", "low", "high", "p"]
    return ChoiceScores(
        scores, pd.DataFrame(compared, columns=columns), len(answered), spread.n_triplets, spread.n_stimuli, level
    )


def _hits(space: pd.DataFrame, trials: TripletSet, metric: Metric) -> Floats:
    """How far a space is right about each trial, 0..1; (n_trials,)."""
    rows = similarity_coordinates(rows_for(space, trials.ids).to_numpy(), metric)
    hits = np.empty(len(trials))
    for start in range(0, len(trials), _CHUNK):
        part = slice(start, start + _CHUNK)
        a, b, c = trials.triplets[part].T
        kept = np.stack([paired_similarity(rows, *pair, metric) for pair in ((b, c), (a, c), (a, b))], axis=1)
        largest = kept.max(axis=1, keepdims=True)
        best = kept >= largest - _ROUNDING * np.maximum(1, np.abs(largest))
        hits[part] = best[np.arange(len(best)), trials.choice[part]] / best.sum(axis=1)
    return hits


class _Influences:
    """Variance of a mean over trials, by the infinitesimal jackknife over their stimuli."""

    def __init__(self, trials: TripletSet) -> None:
        used, place = np.unique(trials.triplets.T.ravel(), return_inverse=True)
        self.place = place  # (3 n_trials,)
        self.n_stimuli, self.n_triplets = len(used), len(np.unique(trials.keys()))

    def variance(self, errors: Floats) -> float:
        """Of the mean whose deviations these are, (n_trials,)."""
        influence = np.bincount(self.place, weights=np.tile(errors, 3)) / len(errors)
        return float((influence**2).sum()) * self.n_stimuli / (self.n_stimuli - 1)


def _share(hits: Floats, spread: _Influences, level: float) -> dict[str, float]:
    value = float(hits.mean())
    variance = spread.variance(hits - value)
    if variance < _SAME or not 0 < value < 1:
        return {"accuracy": value, "se": np.sqrt(variance), "low": value, "high": value}
    reach = _quantile(spread, level) * np.sqrt(variance) / (value * (1 - value))
    centre = np.log(value / (1 - value))
    low, high = (float(1 / (1 + np.exp(-(centre + side * reach)))) for side in (-1, 1))
    return {"accuracy": value, "se": float(np.sqrt(variance)), "low": low, "high": high}


def _difference(errors: Floats, spread: _Influences, level: float) -> dict[str, float]:
    value = float(errors.mean())
    error = float(np.sqrt(spread.variance(errors - value)))
    if error**2 < _SAME:  # equal in every trial, or apart by the same in all
        return {"difference": value, "se": error, "low": value, "high": value, "p": 1.0 if value == 0 else 0.0}
    reach = _quantile(spread, level) * error
    p = 2 * float(stats.t.sf(abs(value) / error, spread.n_stimuli - 1))
    return {"difference": value, "se": error, "low": value - reach, "high": value + reach, "p": p}


def _quantile(spread: _Influences, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, spread.n_stimuli - 1))
