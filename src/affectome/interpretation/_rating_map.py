"""What the map of components and ratings looks like as numbers: a diagonal, or a few broad components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from affectome._progress import Progress, silent
from affectome._resampling import check_level, check_permutations, permutation_p
from affectome.errors import InputError
from affectome.interpretation._correlations import left_out_correlations, rated, unit_columns
from affectome.interpretation._jackknife import studentised_interval
from affectome.interpretation._rating_shares import check_subsamples, null_correlations, subsample_rows

__all__ = ["RatingMap", "describe_rating_map"]

Floats = NDArray[np.float64]

_LARGEST = 5  # components whose share of all weight is given


@dataclass(frozen=True, eq=False)
class RatingMap:
    """How diagonal the map of a space against each family of ratings is, and how its weight is spread.

    Attributes
    ----------
    families : DataFrame, index families
        ``diagonal``: mean r of components with the rating matched to them, matched on one half of the stimuli and
        correlated on the other, averaged over random splits; ``diagonal_low``, ``diagonal_high``: least and most over
        the splits; ``rest``: mean |r| of the other cells on the same half.
        ``own``: components that have a rating to themselves (each is the other's largest |r|);
        ``own_share``: of all that could, ``own_of`` (the fewer of components and ratings); ``own_low`` and
        ``own_high``: its range over subsamples; ``own_null``, ``own_p``: mean under the permutation
        null, and p of the share.
        ``ratings_followed``: effective number of ratings of a component (see below), averaged over components by
        their summed r^2, so that those which follow nothing do not count; with ``ratings_followed_low`` and
        ``ratings_followed_high``, the interval over stimuli.
    components : DataFrame, index (family, component)
        ``ratings_followed``: (sum r^2)^2 / sum r^4, the number of equally followed ratings that would spread the
        component's r^2 as wide, less its jackknife bias; NaN for a component that is constant, or is so without one
        stimulus. Where a component is
        related to nothing it counts noise (about a third of the ratings), so look at `families` and at q first.
    spread : DataFrame, index measures, columns ``value``, ``ci_low``, ``ci_high``
        ``components_in_weight``: (sum W)^2 / sum W^2 of the components' summed |weights| W, the number of equally heavy
        components that would make the space; ``components_in_variance``: the same of their variances;
        ``largest_share``: share of all weight in the five heaviest; ``breadth``: (sum w)^2 / (n sum w^2) of a
        component's weights over stimuli (1 where it is alike in all), averaged over components by weight.
    n_stimuli, n_splits, n_subsamples, n_permutations : int
    fraction, level : float
    """

    families: pd.DataFrame
    components: pd.DataFrame
    spread: pd.DataFrame
    n_stimuli: int
    n_splits: int
    n_subsamples: int
    n_permutations: int
    fraction: float
    level: float


def describe_rating_map(
    space: pd.DataFrame,
    ratings: Mapping[str, pd.DataFrame],
    *,
    n_splits: int = 100,
    n_subsamples: int = 200,
    fraction: float = 0.8,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
    progress: Progress = silent,
) -> RatingMap:
    """Measure whether components and ratings pair off, and whether few broad components dominate.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family to DataFrame
        Over the same stimuli.
    n_splits
        Random halves. The matching that makes a diagonal picks large correlations; taken and measured on the same
        stimuli it finds a diagonal in noise. On the other half, unrelated ratings have a mean of 0.
    n_subsamples, fraction
        Subsamples without replacement, for the range of the number of components with a rating of their own.
    n_permutations
        Of its null: components and ratings are independent over exchangeable stimuli (rows of all ratings permuted
        together, everything done anew); p = (b + 1) / (n_permutations + 1), one-sided, one test per family and no
        correction over families.
    level
        Coverage that the intervals aim at.
    seed
        Of halves, subsamples and permutations.
    progress

    Returns
    -------
    RatingMap

    Notes
    -----
    Intervals: studentised jackknife over stimuli, of logarithms of the effective numbers and of log odds of the shares.
    The halves overlap from split to split, so that their range shows stability and is no confidence interval.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(200)]
    >>> joy = pd.DataFrame(rng.gamma(0.5, size=(200, 3)), index=ids, columns=["Joy", "Awe", "Fear"])
    >>> found = describe_rating_map(joy, {"category": joy}, n_permutations=100, seed=0)
    >>> found.families.loc["category", ["diagonal", "own_share"]].astype(float).round(6).tolist()
    [1.0, 1.0]
    """
    from threadpoolctl import threadpool_limits

    check_level(level)
    check_permutations(n_permutations)
    data = rated(space, ratings)
    n = len(data.x)
    check_subsamples(n, n_subsamples, fraction)
    if n_splits < 1 or n < 6:
        raise InputError(
            f"{n_splits} splits of {n} stimuli into halves show no diagonal",
            remedy="use at least 1 split and 6 stimuli",
        )
    kinds = data.family.to_numpy()
    families = {str(name): data.y[:, kinds == name] for name in dict.fromkeys(kinds)}
    rows, parts = {}, {}
    for k, (name, seeds) in enumerate(zip(families, np.random.SeedSequence(seed).spawn(len(families)), strict=True)):
        halves, subsamples, null = seeds.spawn(3)
        y = families[name]
        with threadpool_limits(1):  # products this small lose more by waiting for threads than they gain
            followed = _ratings_followed(data.x, y, level)
            parts[name] = followed.pop("each")
            rows[name] = {
                **_held_out_diagonal(data.x, y, n_splits, halves),
                **_own_ratings(data.x, y, subsample_rows(n, n_subsamples, fraction, subsamples), n_permutations, null),
                **{key: float(value) for key, value in followed.items()},
            }
        progress(k + 1, len(families), detail=name)
    index = pd.MultiIndex.from_product([list(parts), data.components], names=["family", "component"])
    return RatingMap(
        families=pd.DataFrame.from_dict(rows, orient="index").rename_axis("family").astype({"own": int, "own_of": int}),
        components=pd.DataFrame({"ratings_followed": np.concatenate(list(parts.values()))}, index=index),
        spread=_spread(data.x, level),
        n_stimuli=n,
        n_splits=n_splits,
        n_subsamples=n_subsamples,
        n_permutations=n_permutations,
        fraction=fraction,
        level=level,
    )


def _held_out_diagonal(x: Floats, y: Floats, n_splits: int, seed: np.random.SeedSequence) -> dict[str, float]:
    """Mean r of matched cells, and |r| of the others, on the half that the matching did not see."""
    rng = np.random.default_rng(seed)
    diagonal, rest = np.empty(2 * n_splits), np.empty(2 * n_splits)
    for k in range(n_splits):
        order = rng.permutation(len(x))
        halves = order[: len(x) // 2], order[len(x) // 2 :]
        first, second = (np.nan_to_num(unit_columns(x[rows]).T @ unit_columns(y[rows])) for rows in halves)
        for turn, (seen, unseen) in enumerate(((first, second), (second, first))):
            matched = np.zeros(seen.shape, bool)
            matched[linear_sum_assignment(-seen)] = True
            diagonal[2 * k + turn] = unseen[matched].mean()
            rest[2 * k + turn] = np.abs(unseen[~matched]).mean() if not matched.all() else np.nan
    by_split = diagonal.reshape(n_splits, 2).mean(axis=1)
    return {
        "diagonal": float(diagonal.mean()),
        "diagonal_low": float(by_split.min()),
        "diagonal_high": float(by_split.max()),
        "rest": float(rest.mean()),
    }


def _own(r: Floats) -> int:
    """Components and ratings that are each other's largest |r|; none at all is nobody's."""
    strength = np.abs(np.nan_to_num(r))
    best = strength.argmax(axis=1)
    mutual = strength[:, best].argmax(axis=0) == np.arange(len(strength))
    return int((mutual & (strength.max(axis=1) > 0)).sum())


def _own_ratings(
    x: Floats, y: Floats, subsamples: Iterator[NDArray[np.intp]], n_permutations: int, seed: np.random.SeedSequence
) -> dict[str, float]:
    """Components with a rating to themselves: the share, its range over subsamples, and its null."""
    most = min(x.shape[1], y.shape[1])
    seen = _own(unit_columns(x).T @ unit_columns(y))
    again = np.array([_own(unit_columns(x[rows]).T @ unit_columns(y[rows])) for rows in subsamples]) / most
    null = np.array([_own(r) for r in null_correlations(x, y, n_permutations, seed)]) / most
    return {
        "own": seen,
        "own_of": most,
        "own_share": seen / most,
        "own_low": float(again.min()),
        "own_high": float(again.max()),
        "own_null": float(null.mean()),
        "own_p": float(permutation_p(seen / most, null)),
    }


def _effective(values: Floats) -> Floats:
    """(sum v)^2 / sum v^2 over the last axis: how many equal ones would be spread as wide."""
    with np.errstate(invalid="ignore", divide="ignore"):
        number: Floats = values.sum(axis=-1) ** 2 / (values**2).sum(axis=-1)
    return number


def _ratings_followed(x: Floats, y: Floats, level: float) -> dict[str, Floats]:
    """Effective number of ratings of each component, their mean and its interval, by the jackknife of logarithms.

    The noise of r adds to every r^2 and makes the number look wider; the jackknife takes out that bias.
    """
    n, units, other = len(x), unit_columns(x), unit_columns(y)
    other = other[:, ~np.isnan(other[0])]
    known = np.flatnonzero(~np.isnan(units[0]))
    each = np.full(x.shape[1], np.nan)
    if len(known) == 0 or other.shape[1] == 0:
        return {"each": each, **{f"ratings_followed{end}": np.array(np.nan) for end in ("", "_low", "_high")}}
    whole, left = np.zeros(2), np.zeros((n, 2))  # sums over components: r^2, and r^2 times the number
    for column in known:
        unit = units[:, column]
        # Without the one stimulus that told the others apart there is nothing to follow: r is 0 then.
        square, without = (unit @ other) ** 2, np.nan_to_num(left_out_correlations(unit, other)) ** 2
        number, numbers = _effective(square), _effective(without)
        each[column] = number * np.exp(_moved(number, numbers).mean())
        whole += square.sum() * np.array([1, number])
        left += without.sum(axis=1, keepdims=True) * np.column_stack([np.ones(n), np.nan_to_num(numbers)])
    mean, means = whole[1] / whole[0], left[:, 1] / left[:, 0]
    influence = _moved(mean, means)
    value = np.log(mean) + influence.mean()
    low, high = np.exp(studentised_interval(value, influence, level))
    return {"each": each, "ratings_followed": np.exp(value), "ratings_followed_low": low, "ratings_followed_high": high}


def _moved(whole: Floats, left: Floats) -> Floats:
    """(n - 1) times how far the logarithm moves when each stimulus is left out."""
    moved: Floats = (len(left) - 1) * (np.log(whole) - np.log(left))
    return moved


def _spread(x: Floats, level: float) -> pd.DataFrame:
    """How the weight of a space lies over its components and stimuli, with jackknife intervals."""
    n = len(x)
    weights, squares = np.abs(x), x**2
    sums, sums_of_squares, signed = weights.sum(axis=0), squares.sum(axis=0), x.sum(axis=0)
    heaviest = np.argsort(-sums, kind="stable")[:_LARGEST]

    def measures(total: Floats, square: Floats, plain: Floats, count: int) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            share = total / total.sum(axis=-1, keepdims=True)
            wide = np.where(square > 0, total**2 / (count * square), 0.0)
            largest, breadth = share[..., heaviest].sum(axis=-1), (share * wide).sum(axis=-1)
            variance = np.maximum(square / count - (plain / count) ** 2, 0)
            odds = [np.log(part) - np.log1p(-part) for part in (largest, breadth)]
            return np.stack([np.log(_effective(total)), np.log(_effective(variance)), *odds], axis=-1)

    value = measures(sums, sums_of_squares, signed, n)
    left = measures(sums - weights, sums_of_squares - squares, signed - x, n - 1)
    with np.errstate(invalid="ignore"):
        low, high = studentised_interval(value, (n - 1) * (value - left), level)
    names = ["components_in_weight", "components_in_variance", "largest_share", "breadth"]
    table = pd.DataFrame({"value": value, "ci_low": low, "ci_high": high}, index=pd.Index(names, name="measure"))
    table.iloc[:2] = np.exp(table.iloc[:2])
    table.iloc[2:] = 1 / (1 + np.exp(-table.iloc[2:]))
    return table
