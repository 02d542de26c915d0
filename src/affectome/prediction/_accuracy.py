"""How well the components of a space are predicted from features of stimuli that the prediction has not seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._fold_sums import Splits
from affectome._groups import assign_folds, check_folds, group_codes, group_sums, permuted_groups
from affectome._progress import Progress, silent
from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    permutation_p,
    warn_of_resolution,
)
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.prediction._agreement import PlacedChoices, SimilarityAgreement, choices_of, similarity_agreement
from affectome.prediction._intervals import correlation_interval, moments, share_interval
from affectome.prediction._predictor import Clip, floor_of
from affectome.prediction._ridge import ALPHAS, Draws, NestedRidge, band_weightings, check_alphas
from affectome.spaces import Metric, as_space, rows_for
from affectome.triplets import TripletSet

__all__ = ["PredictionAccuracy", "prediction_accuracy"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_NARROW = 256  # features up to which threads of a BLAS would wait for one another


@dataclass(frozen=True, eq=False)
class PredictionAccuracy:
    """Held-out accuracy of predicting a space from features.

    Attributes
    ----------
    components : DataFrame, index components
        Held-out ``r`` and ``r2``, each with ``_low`` and ``_high``; ``p`` and ``q``; ``alpha``, the median over outer
        folds of what was chosen. Undefined (NaN) for a constant component.
    predicted : DataFrame of shape (n_stimuli, n_components), float32
        Held-out placement of every stimulus.
    similarity : SimilarityAgreement
    choices : PlacedChoices or None
        Where trials were given.
    clipped : bool
        Whether predictions below 0 became 0.
    level : float
    n_stimuli, n_features, n_folds, n_permutations : int
    """

    components: pd.DataFrame
    predicted: pd.DataFrame
    similarity: SimilarityAgreement
    choices: PlacedChoices | None
    clipped: bool
    level: float
    n_stimuli: int
    n_features: int
    n_folds: int
    n_permutations: int


def prediction_accuracy(
    features: pd.DataFrame,
    space: pd.DataFrame,
    *,
    alphas: ArrayLike = ALPHAS,
    bands: Mapping[str, Sequence[str]] | None = None,
    clip: Clip = "auto",
    n_folds: int = 5,
    n_permutations: int = 1000,
    level: float = 0.95,
    groups: Mapping[str, object] | None = None,
    trials: TripletSet | None = None,
    metric: Metric = "dot",
    seed: int,
    progress: Progress = silent,
) -> PredictionAccuracy:
    """Predict every stimulus of a space from its features by a model that has not seen it, and score that.

    Parameters
    ----------
    features : DataFrame of shape (at least n_stimuli, n_features)
        Holds every stimulus of the space; others are left out.
    space : DataFrame of shape (n_stimuli, n_components)
    alphas, bands, clip
        As in :class:`SpacePredictor`.
    n_folds
        Outer folds; the inner ones, which choose alpha, are the others.
    n_permutations
        Of the test.
    level
        Of the intervals.
    groups : mapping from id to group
        Stimuli of one group (a clip and its copy) lie on one side of every split and count as one in intervals.
    trials : TripletSet
        Answered triplets that the space was not learned from, among its stimuli.
    metric
        Of similarities: ``"dot"`` (what SPoSE is learned by), ``"cosine"`` or ``"correlation"``.
    seed
        Of folds and permutations.

    Returns
    -------
    PredictionAccuracy

    Raises
    ------
    InputError
        For stimuli without features, too few of them, values that are no numbers, or features that are all constant.

    Notes
    -----
    Each outer fold is placed by a predictor of the other folds: features are standardised, targets centred and alpha
    chosen there alone. R2 = 1 - squared error / squared error of the training mean, pooled over folds: 0 is the mean,
    below 0 is worse. r = Pearson correlation of placements, about the training mean of their fold, with the space.

    Test, one-sided: features and space are independent over stimuli. Rows of the space are exchanged (whole groups
    with others of their size), and choice of alpha, fits and held-out R2 are done again on the same folds;
    p = (b + 1) / (B + 1); Benjamini-Hochberg over components.

    Intervals: jackknife over stimuli (groups); Fisher's z for r, log(1 - R2) for R2. A stimulus left out takes its own
    error away and what it did to other placements in training, with alpha held; intervals of similarities and choices
    hold the fits fixed. Choices: trials that share a stimulus are not taken as independent.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"v{k}" for k in range(100)]
    >>> features = pd.DataFrame(rng.normal(size=(100, 5)), ids, list("abcde"))
    >>> space = pd.DataFrame({"joy": 2 + features["a"] + rng.normal(size=100), "awe": rng.gamma(1, size=100)})
    >>> found = prediction_accuracy(features, space, n_permutations=99, seed=0)
    >>> found.components["r"].round(1).tolist()[0], (found.components["q"] < 0.05).tolist()
    (0.6, [True, False])
    """
    check_level(level)
    check_permutations(n_permutations)
    checked = as_space(space, source="the space")
    known = rows_for(features, checked.index.tolist(), name="the features")
    group = group_codes(checked.index.tolist(), groups)
    check_folds(len(checked), n_folds, 1)
    x, y = known.to_numpy(np.float64), checked.to_numpy(np.float64)
    _say_repeated(x, group, checked.index)
    if (np.ptp(x, axis=0) == 0).all():
        raise InputError(
            "every feature is constant over the stimuli", source="the features", remedy="give features that vary"
        )
    fold = assign_folds(group, n_folds, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))))
    grid, floor = check_alphas(alphas), floor_of(clip, y)
    ridge = NestedRidge(x, Splits.leave_folds_out(fold), band_weightings(bands, list(known.columns)), grid, floor)
    with _threads(x.shape[1]):
        table, predicted = _scored(ridge, y, group, level)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        table.insert(6, "p", _permutation_p(ridge, y, group, n_permutations, rng, progress))
    table.insert(7, "q", false_discovery_rate(table["p"].to_numpy()))
    warn_of_resolution(table["p"].to_numpy(), n_permutations, of="the components")
    placed = pd.DataFrame(predicted.astype(np.float32), checked.index, checked.columns)
    return PredictionAccuracy(
        components=table.set_axis(pd.Index(checked.columns, name="component"), axis=0),
        predicted=placed,
        similarity=similarity_agreement(predicted, y, fold, group, metric, level),
        choices=None if trials is None else choices_of(placed, checked, group, trials, level),
        clipped=bool(np.isfinite(floor)),
        level=float(level),
        n_stimuli=len(checked),
        n_features=known.shape[1],
        n_folds=n_folds,
        n_permutations=n_permutations,
    )


def _threads(n_features: int) -> AbstractContextManager[object]:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas") if n_features <= _NARROW else nullcontext()


def _scored(ridge: NestedRidge, y: Floats, group: Places, level: float) -> tuple[pd.DataFrame, Floats]:
    """The table without p and q, and the held-out predictions (n, T)."""
    draws = Draws.as_observed(y)
    choice = ridge.choose(draws)
    predicted, baseline = np.empty_like(y), np.empty_like(y)
    for part, rows, _, found, mean in ridge.held_out(draws, choice):
        predicted[rows, part], baseline[rows, part] = found, mean
    varies = np.ptp(y, axis=0) > 0
    of_each, losses = _contributions(ridge, y, choice, predicted, baseline)
    by_group = np.stack([group_sums(part, group) for part in of_each])
    r = correlation_interval(moments(predicted - baseline, y - y.mean(axis=0)).sum(axis=1), by_group, level)
    r2 = share_interval([((y - part) ** 2).sum(axis=0) for part in (predicted, baseline)],
                        [group_sums(part, group) for part in losses], level)  # fmt: skip
    values = np.where(varies, np.array([*r, *r2]), np.nan)
    table = pd.DataFrame(values.T, columns=["r", "r_low", "r_high", "r2", "r2_low", "r2_high"])
    table["alpha"] = np.where(varies, np.median(ridge.alphas[choice % len(ridge.alphas)], axis=0), np.nan)
    return table, predicted


def _contributions(
    ridge: NestedRidge, y: Floats, choice: Places, predicted: Floats, baseline: Floats
) -> tuple[Floats, list[Floats]]:
    """What goes with each stimulus: its part of the sums, and what it did to the others' part as a training stimulus.

    Returns
    -------
    For the moments of placement and space (6, n, T), and for the squared errors of placement and of the mean, (n, T).
    """
    u, v, error, whole = predicted - baseline, y - y.mean(axis=0), y - predicted, y - baseline
    of_each, losses = moments(u, v), [error**2, whole**2]
    moved = predicted > ridge.floor  # a clipped placement stays where it is
    for outer in range(len(ridge.splits.final)):
        held = ~ridge.splits.learned[ridge.splits.final[outer]][ridge.splits.atom]
        on = [(part * moved)[held] for part in (np.ones_like(u), u, v, error)]
        rows, (one, with_u, with_v, with_error) = ridge.influence(outer, y, choice, on)
        of_each[1, rows] += one
        of_each[3, rows] += 2 * with_u
        of_each[5, rows] += with_v
        losses[0][rows] -= 2 * with_error
    return of_each, losses


def _permutation_p(
    ridge: NestedRidge, y: Floats, group: Places, n_permutations: int, rng: np.random.Generator, progress: Progress
) -> Floats:
    """One-sided p (T,) of the held-out R2; the first draw is the data, so that both are the same computation."""
    spread = y.std(axis=0)
    scaled = (y / np.where(spread > 0, spread, 1)).astype(np.float32)
    orders = np.array([np.arange(len(y)), *(permuted_groups(group, rng) for _ in range(n_permutations))])
    score = ridge.r2(Draws(scaled, orders), progress)
    score[:, spread == 0] = np.nan
    return permutation_p(score[0], score[1:], rounding=1e-5)


def _say_repeated(x: Floats, group: Places, ids: pd.Index) -> None:
    """Name stimuli whose features another has too, unless they are of one group."""
    _, kind = np.unique(x, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    groups_of = pd.Series(group).groupby(kind).transform("nunique").to_numpy()
    repeated = [str(name) for name in ids[groups_of > 1]]
    if repeated:
        logger.warning(
            "%d stimuli have exactly the features of another (%s); if these are copies of a clip, give them a group or "
            "leave them out, else accuracy is too high.", len(repeated), cut_short(repeated),
        )  # fmt: skip
