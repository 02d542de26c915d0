"""How many components a stimulus, or a whole space, needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_bootstrap, defined_interval, percentile_interval
from affectome.behavior._bootstrap import resampled_sums
from affectome.behavior._rsm import FLAT, Third, predicted_rsm
from affectome.behavior._rsm_agreement import (
    asked_pairs,
    pearson_over_draws,
    same_stimuli,
    stimulus_draws,
)
from affectome.embedding import shared_hits
from affectome.errors import InputError
from affectome.spaces import as_space, rows_for
from affectome.triplets import TripletSet

__all__ = ["ComponentsNeeded", "RSMByComponents", "components_needed", "rsm_by_components"]

Floats = NDArray[np.float64]
_CHANCE = 1 / 3
_CLOSE = 1e-9  # shares of the full accuracy closer than this are reached


@dataclass(frozen=True, eq=False)
class ComponentsNeeded:
    """Held-out accuracy against the number of largest weights that each stimulus keeps.

    Attributes
    ----------
    curve : DataFrame, index k = 1 .. n_components
        ``accuracy, ci_low, ci_high``: share of answered trials predicted when every stimulus keeps its k largest
        weights and the others are zero, with its percentile interval; the last row is the whole space.
    needed : DataFrame, one row per share and baseline
        ``share``; ``baseline``, ``"zero"`` (a share of the accuracy) or ``"chance"`` (a share of the accuracy above
        1/3); ``threshold``, the accuracy to reach; ``k, ci_low, ci_high``, the smallest k that reaches it and the
        percentile interval of that number. NaN where the whole space is not above chance.
    level : float
    n_boot : int
    n_trials, n_triplets, n_unanswered : int
        Answered trials, different triplets among them (the units resampled), trials left out.
    """

    curve: pd.DataFrame
    needed: pd.DataFrame
    level: float
    n_boot: int
    n_trials: int
    n_triplets: int
    n_unanswered: int


def components_needed(
    space: pd.DataFrame,
    trials: TripletSet,
    *,
    shares: Sequence[float] = (0.95, 0.96, 0.97, 0.98, 0.99),
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> ComponentsNeeded:
    """Keep the k largest weights of each stimulus, zero the rest, and predict held-out choices for every k.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
        Holds at least the stimuli of `trials`. Weights are ranked by their absolute size; ties fall to the first
        columns.
    trials : TripletSet
        With choices, and not among those the space was learned from.
    shares
        Shares of the full accuracy that are asked for.
    n_boot, level, seed
        Of one bootstrap over unordered triplets that all k share, so that the number needed has an interval of its
        own. Stimuli, judge and space are taken as fixed.

    Returns
    -------
    ComponentsNeeded

    Notes
    -----
    Chance is a third of the way to many accuracies: where the whole space reaches .62, 95% of that is .589, which is
    89% of what lies above chance. So both baselines are given.

    One pass over the trials per k; 8 bytes per trial and component.

    Examples
    --------
    >>> space = pd.DataFrame({"c": [2.0, 2.0, 0.0], "d": [0.0, 0.1, 0.1]}, index=["a", "b", "x"])
    >>> trials = TripletSet([[0, 2, 1]], ids=["a", "b", "x"], choice=[1])
    >>> components_needed(space, trials, n_boot=10, seed=0).curve["accuracy"].tolist()
    [1.0, 1.0]
    """
    check_bootstrap(n_boot, level)
    wanted = [float(share) for share in shares]
    if not wanted or not all(0 < share <= 1 for share in wanted):
        raise InputError(
            f"the shares {wanted} are not above 0 and at most 1", remedy="give shares of the full accuracy"
        )
    weights = rows_for(space, trials.ids).to_numpy()
    answered = trials[trials.answered]
    if len(answered) == 0:
        raise InputError("no trial is answered", remedy="score trials with choices")
    rank = _ranks(weights)
    n_components = weights.shape[1]
    slots = np.eye(3)[answered.choice]
    keys, unit = np.unique(answered.keys(), return_inverse=True)
    totals = np.empty((len(keys), n_components + 1))
    totals[:, -1] = np.bincount(unit)
    for k in range(n_components):
        kept = np.where(rank <= k, weights, 0)
        hits = shared_hits(kept, answered.triplets, slots, n_jobs=n_jobs)
        totals[:, k] = np.bincount(unit, weights=hits)
        progress(k + 1, n_components, detail=f"{k + 1} components")
    observed = totals.sum(axis=0)
    accuracy = observed[:-1] / observed[-1]
    sums = resampled_sums(totals, n_boot=n_boot, seed=seed)
    draws = sums[:, :-1] / sums[:, -1:]
    low, high = np.array([percentile_interval(column, level) for column in draws.T]).T
    return ComponentsNeeded(
        curve=pd.DataFrame(
            {"accuracy": accuracy, "ci_low": low, "ci_high": high},
            index=pd.RangeIndex(1, n_components + 1, name="k"),
        ),
        needed=pd.DataFrame([_needed(accuracy, draws, share, base, level) for base in _BASES for share in wanted]),
        level=level,
        n_boot=n_boot,
        n_trials=len(answered),
        n_triplets=len(keys),
        n_unanswered=len(trials) - len(answered),
    )


_BASES = {"zero": 0.0, "chance": _CHANCE}


def _ranks(weights: NDArray[np.floating]) -> NDArray[np.intp]:
    """Place of every weight among those of its stimulus, the largest first (0)."""
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(weights.shape[1]), order.shape), axis=1)
    return rank


def _needed(accuracy: Floats, draws: Floats, share: float, baseline: str, level: float) -> dict[str, object]:
    """One row of the table; `accuracy` (n_components,), `draws` (n_boot, n_components)."""
    base = _BASES[baseline]
    k = _smallest(accuracy[None], share, base)[0]
    resampled = _smallest(draws, share, base)
    low, high = (np.nan, np.nan) if np.isnan(k) else defined_interval(resampled, level, whole=True)
    threshold = base + share * (accuracy[-1] - base) if not np.isnan(k) else np.nan
    return {"share": share, "baseline": baseline, "threshold": threshold, "k": k, "ci_low": low, "ci_high": high}


def _smallest(accuracy: Floats, share: float, base: float) -> Floats:
    """The smallest k whose accuracy reaches the share, for each row; NaN where the last is not above the base."""
    above, full = accuracy - base, accuracy[:, -1:] - base
    k: Floats = (above >= share * full - _CLOSE).argmax(axis=1).astype(np.float64) + 1
    return np.where(full[:, 0] > _CLOSE, k, np.nan)


@dataclass(frozen=True, eq=False)
class RSMByComponents:
    """Correlation of a measured RSM with the one predicted from the k largest components.

    Attributes
    ----------
    curve : DataFrame, index k = 1 .. n_components
        ``r, ci_low, ci_high``: Pearson r over pairs and its percentile bootstrap over stimuli (one bootstrap for all
        k); ``component``: the name of the k-th. NaN where the prediction does not tell pairs apart.
    level : float
    n_boot, n_stimuli, n_pairs : int
    """

    curve: pd.DataFrame
    level: float
    n_boot: int
    n_stimuli: int
    n_pairs: int


def rsm_by_components(
    space: pd.DataFrame,
    measured: pd.DataFrame,
    *,
    third: Third = "subset",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int,
    n_jobs: int | None = None,
    progress: Progress = silent,
) -> RSMByComponents:
    """Drop whole components, the one with the smallest sum of weights first, and predict a measured RSM with the rest.

    The components that stay are not fitted again: the curve says what each adds to this space, not how good the best
    space of k components would be.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    measured : DataFrame of shape (n, n)
        :attr:`affectome.behavior.MeasuredRSM.similarity`; its stimuli are those compared.
    third
        See :func:`predicted_rsm`.
    n_boot, level, seed
        Of the bootstrap over stimuli.

    Returns
    -------
    RSMByComponents
    """
    check_bootstrap(n_boot, level)
    everything = as_space(space)
    ids = [str(i) for i in measured.index]
    values, _ = same_stimuli(measured, measured)
    left, right = asked_pairs(values, values)
    x = values[left, right]
    if len(x) < 3 or np.ptp(x) < FLAT:
        raise InputError(
            f"the measured RSM has the same similarity for all of {len(x)} pairs, so that nothing correlates with it",
            remedy="measure at least three pairs",
        )
    order = np.argsort(-everything.abs().sum(axis=0).to_numpy(dtype=np.float64), kind="stable")
    names = everything.columns[order]
    predictions = []
    for k in range(1, len(names) + 1):
        predicted = predicted_rsm(everything[names[:k]], ids, third=third, n_jobs=n_jobs)
        predictions.append(predicted.to_numpy()[left, right])
        progress(k, len(names), detail=f"{k} components")
    draws = np.empty((n_boot, len(names)))
    for rows, weights in stimulus_draws(np.random.SeedSequence(seed).spawn(3)[0], len(ids), left, right, n_boot):
        draws[rows] = np.column_stack([pearson_over_draws(x, y, weights) for y in predictions])
    one = np.ones((1, len(x)))
    r = [pearson_over_draws(x, y, one)[0] for y in predictions]
    low, high = np.array([defined_interval(column, level) for column in draws.T]).T
    index = pd.RangeIndex(1, len(names) + 1, name="k")
    curve = pd.DataFrame({"r": r, "ci_low": low, "ci_high": high, "component": names.tolist()}, index=index)
    return RSMByComponents(curve, level, n_boot, len(ids), len(x))
