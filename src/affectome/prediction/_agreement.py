"""What placements keep of a space: similarities between stimuli, and the choices that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome.embedding import shared_hits
from affectome.errors import InputError
from affectome.prediction._intervals import correlation_interval, moments
from affectome.spaces import Metric, similarity_coordinates
from affectome.triplets import TripletSet

__all__ = ["PlacedChoices", "SimilarityAgreement", "choices_of", "shared_variance", "similarity_agreement"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class SimilarityAgreement:
    """Predicted against actual similarity.

    Attributes
    ----------
    r, r_low, r_high : float
        Pearson correlation over pairs of stimuli, and its jackknife interval over stimuli.
    n_pairs : int
        Pairs of one held-out fold, so that the model had seen neither; none within a group.
    metric : str
    """

    r: float
    r_low: float
    r_high: float
    n_pairs: int
    metric: str


@dataclass(frozen=True, eq=False)
class PlacedChoices:
    """Choices predicted from held-out placements and from the space itself.

    Attributes
    ----------
    table : DataFrame, index ``placed, space, difference``
        ``accuracy``, ``low``, ``high``: share of answered trials whose odd one is named, ties by their share (chance,
        and placement at the mean: 1/3), and what placement costs, space minus placed.
    n_trials : int
        Answered trials among placed stimuli.
    n_left_out : int
        Trials that are unanswered or hold another stimulus.
    """

    table: pd.DataFrame
    n_trials: int
    n_left_out: int


def similarity_agreement(
    predicted: Floats, actual: Floats, fold: Places, group: Places, metric: Metric, level: float
) -> SimilarityAgreement:
    """Correlate similarities of held-out placements (n, p) with those of the space, within folds."""
    if metric == "euclidean":
        raise InputError("similarities are products here", source="metric", remedy="choose cosine, correlation or dot")
    n_groups = int(group.max()) + 1
    total, of_each = np.zeros((6, 1)), np.zeros((6, n_groups, 1))
    n_pairs = 0
    # One scale for products of every fold, and no cancellation in the sums.
    a, b = (similarity_coordinates(part, metric) for part in (predicted, actual))
    for f in np.unique(fold):
        rows = np.flatnonzero(fold == f)
        counted = group[rows][:, None] != group[rows]
        for start in range(0, len(rows), 256):
            part = slice(start, start + 256)
            here = moments(a[rows[part]] @ a[rows].T, b[rows[part]] @ b[rows].T) * counted[part]  # (6, m, n_fold)
            of_stimulus = here.sum(axis=2)
            np.add.at(of_each[:, :, 0].T, group[rows[part]], of_stimulus.T)
            total[:, 0] += of_stimulus.sum(axis=1) / 2  # each pair is met twice
            n_pairs += int(counted[part].sum())
    r, low, high = (float(value[0]) for value in correlation_interval(total, of_each, level))
    return SimilarityAgreement(r, low, high, n_pairs // 2, metric)


def choices_of(
    predicted: pd.DataFrame, space: pd.DataFrame, group: Places, trials: TripletSet, level: float
) -> PlacedChoices:
    """Score held-out placements and the space itself on the same trials."""
    place = {str(name): k for k, name in enumerate(space.index)}
    row = np.array([place.get(name, -1) for name in trials.ids])[trials.triplets]  # (n_trials, 3)
    usable = trials.answered & (row >= 0).all(axis=1)
    if not usable.any():
        raise InputError(
            "no answered trial is among stimuli that were placed",
            source="the triplets",
            remedy="make the ids match, or give other trials",
        )
    answers, shown = np.eye(3)[trials.choice[usable]], row[usable]
    placed, own = (shared_hits(part.to_numpy(np.float64), shown, answers, n_jobs=1) for part in (predicted, space))
    reach = float(stats.norm.ppf((1 + level) / 2))
    rows = []
    for hits in (placed, own, own - placed):
        value, half = float(hits.mean()), reach * np.sqrt(shared_variance(hits - hits.mean(), group[shown]))
        rows.append((value, value - half, value + half))
    index = pd.Index(["placed", "space", "difference"], name="of")
    return PlacedChoices(
        pd.DataFrame(rows, index, ["accuracy", "low", "high"]), int(usable.sum()), int((~usable).sum())
    )


def shared_variance(residual: Floats, members: NDArray[np.integer]) -> float:
    """Variance of the mean of trials that depend on each other where they share a stimulus.

    The sum over pairs of trials with at least one member in common of the products of their residuals, by inclusion
    and exclusion: those that share a member, less those that share two, plus those that share three.

    Parameters
    ----------
    residual : array of shape (n_trials,)
    members : int array of shape (n_trials, 3)
    """
    whole = np.sort(members, axis=1).astype(np.int64)
    n = int(whole.max()) + 1
    ones = [whole[:, k] for k in range(3)]
    pairs = [whole[:, i] * n + whole[:, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    triples = [(whole[:, 0] * n + whole[:, 1]) * n + whole[:, 2]]
    total = 0.0
    for keys, sign in ((ones, 1), (pairs, -1), (triples, 1)):
        _, unit = np.unique(np.concatenate(keys), return_inverse=True)
        total += sign * float((np.bincount(unit, np.tile(residual, len(keys))) ** 2).sum())
    return max(total, float((residual**2).sum())) / len(residual) ** 2
