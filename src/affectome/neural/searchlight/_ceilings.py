"""How well any model could agree with the geometry of a place: from other people, sessions, or repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings import Recording
from affectome.neural.searchlight._inputs import BrainMetric, Neighbourhoods, Patterns
from affectome.neural.searchlight._jackknife import influence_of_correlations, jackknife_covariance
from affectome.neural.searchlight._patterns import patterns
from affectome.neural.searchlight._pearson import brain_factors

__all__ = ["GeometryCeiling", "geometry_ceiling", "run_halves"]

Floats = NDArray[np.float64]

_PAIRS = 2**14  # pairs that do not count whose similarities are made at once


@dataclass(frozen=True, eq=False)
class GeometryCeiling:
    """Agreement of the geometries of people, sessions or halves, centre by centre.

    Attributes
    ----------
    members : tuple of str
    correlations : float64 array of shape (n_centres, n_members, n_members)
        Pearson r of their similarities over the pairs that count for all of them.
    lower, upper : float64 arrays of shape (n_centres,)
        Mean over members of r with the mean of the others, and with the mean of all.
    lower_interval, upper_interval : float64 arrays of shape (n_centres, 2)
    reliability : float64 array of shape (n_centres,)
        Of the mean of all members, from their mean correlation; NaN where that is not above 0.
    n_pairs : int
    level : float
    """

    members: tuple[str, ...]
    correlations: Floats
    lower: Floats
    upper: Floats
    lower_interval: Floats
    upper_interval: Floats
    reliability: Floats
    n_pairs: int
    level: float

    def table(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per centre: ``centre``, ``lower``, ``upper``, the ends of their intervals, ``reliability``."""
        columns = {
            "lower": self.lower, "lower_low": self.lower_interval[:, 0], "lower_high": self.lower_interval[:, 1],
            "upper": self.upper, "upper_low": self.upper_interval[:, 0], "upper_high": self.upper_interval[:, 1],
            "reliability": self.reliability,
        }  # fmt: skip
        return pd.DataFrame({"centre": range(len(self.lower)) if names is None else list(names), **columns})


def geometry_ceiling(
    members: Mapping[str, Patterns],
    neighbourhoods: Neighbourhoods | Mapping[str, Neighbourhoods],
    *,
    metric: BrainMetric = "correlation",
    level: float = 0.95,
    progress: Progress = silent,
) -> GeometryCeiling:
    r"""Noise ceilings of RSA in every neighbourhood.

    Parameters
    ----------
    members : mapping from name to Patterns
        People, sessions of one person, or the two halves of :func:`run_halves`; at least two, over the same stimuli in
        the same order.
    neighbourhoods : Neighbourhoods, or a mapping from member to Neighbourhoods
        One for all where voxels correspond (sessions, aligned people); else one per member with the same number of
        parcels in the same order.
    metric
        Of patterns; Euclidean distances have no factors, take their squares.
    level
        Coverage of the intervals.
    progress
        Told in centres.

    Returns
    -------
    GeometryCeiling

    Notes
    -----
    With R the correlations of the members' similarities over the pairs that count, each member's similarities scaled
    to one spread, member s correlates with the mean of the others, and of all, by

    .. math:: \text{lower}_s = \frac{q_s - 1}{\sqrt{L - 2 q_s + 1}}, \quad \text{upper}_s = \frac{q_s}{\sqrt L},
              \quad q_s = \sum_t R_{st}, \; L = \sum_{st} R_{st}

    (Nili et al. 2014). The best possible model of what the members share scores between the means of the two: the lower
    one tests on a member what the others averaged, noise included; the upper one has seen the member. A model may
    exceed the lower one. Inner products are those of factors, :math:`|Z_s'Z_t|_F^2`, less the pairs that do not count
    (within a run of any member, and the diagonal): n V^2 operations per two members, no matrix of all pairs.

    `reliability` is M r / (1 + (M - 1) r), r the mean correlation of M members, of similarities whose noise is
    independent and equally large; for two halves it is Spearman-Brown's. Noise of similarities falls faster with
    averaging than that of patterns, so that it is too low where noise is large. Its square root bounds what a model
    without noise reaches on average, on patterns averaged over the halves. Members must not share noise: halves have
    runs of their own. Standardise runs beforehand: a level of its own that each run has is a pattern that all its
    stimuli share, which correlations take for geometry.

    **Interval:** infinitesimal jackknife over stimuli, symmetric in Fisher z, t with n - 1 degrees of freedom. It
    speaks of other stimuli and these members. There is no p, and nothing is corrected over centres.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shared, ids = rng.normal(size=(60, 12)), tuple(f"s{i}" for i in range(60))
    >>> people = {
    ...     name: Patterns(name, ids, (shared + rng.normal(size=(60, 12))).astype(np.float32), np.arange(60) // 10)
    ...     for name in ("sub-01", "sub-02", "sub-03")
    ... }
    >>> found = geometry_ceiling(people, Neighbourhoods(np.array([0, 12]), np.arange(12, dtype=np.int32)))
    >>> found.n_pairs, found.lower.round(2).tolist(), found.upper.round(2).tolist()
    (1500, [0.33], [0.71])
    """
    from scipy import special

    check_level(level)
    names, n = _checked(members)
    spheres = _of_each(names, neighbourhoods)
    excluded, degree = _excluded([members[name].run for name in names], n)
    m = float(degree.sum())
    if m == 0:
        raise InputError("no pair of stimuli counts for all members", remedy="give patterns of several runs")
    n_centres = len(spheres[0])
    correlations = np.full((n_centres, len(names), len(names)), np.nan)
    ends = np.full((2, n_centres, 3), np.nan)  # lower and upper: value, low, high
    quantile = float(special.stdtrit(n - 1, (1 + level) / 2))
    for c in range(n_centres):
        sides = [
            brain_factors(members[name].responses, sphere[c], metric)
            for name, sphere in zip(names, spheres, strict=True)
        ]
        r, influence = influence_of_correlations(_products(sides, excluded, degree), m)
        correlations[c] = r
        for k, (value, moved) in enumerate(_nili(r, influence)):
            error = float(np.sqrt(jackknife_covariance(moved[None])[0, 0]))
            with np.errstate(divide="ignore", invalid="ignore"):
                z, reach = np.arctanh(value), quantile * error / (1 - value**2)
            ends[k, c] = value, np.tanh(z - reach), np.tanh(z + reach)
        progress(c + 1, n_centres)
    return GeometryCeiling(
        members=tuple(names), correlations=correlations,
        lower=ends[0, :, 0], upper=ends[1, :, 0], lower_interval=ends[0, :, 1:], upper_interval=ends[1, :, 1:],
        reliability=_reliability(correlations), n_pairs=round(m / 2), level=level,
    )  # fmt: skip


def run_halves(recording: Recording, ids: Sequence[str] | pd.Index | None = None) -> dict[str, Patterns]:
    """Patterns of every other run, and of the rest, for the reliability of one person's geometry.

    Parameters
    ----------
    recording : Recording
        Stimuli shown in several runs.
    ids
        By default the stimuli that both halves have.

    Returns
    -------
    dict from "odd" and "even" to Patterns
        Means over the presentations in runs 1, 3, .. and 2, 4, .. of those there are, without runs: two halves share
        no run, so that noise within runs is not what they agree in, and all pairs count.

    Examples
    --------
    >>> trials = pd.DataFrame({"stimulus": list("abcd") * 2, "run": [1] * 4 + [2] * 4, "session": 1})
    >>> recording = Recording("sub-01", np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32), trials)
    >>> [half.ids for half in run_halves(recording).values()]
    [('a', 'b', 'c', 'd'), ('a', 'b', 'c', 'd')]
    """
    run = pd.factorize(recording.trials["run"], sort=True)[0]
    source = recording.source or recording.subject
    if run.max() < 1:
        raise InputError(
            "there is one run, which has no halves without common noise", source=source, remedy="join several runs"
        )
    shown = recording.trials["stimulus"].astype(str)
    in_both = [name for name in dict.fromkeys(shown) if len(np.unique(run[shown.to_numpy() == name] % 2)) == 2]
    wanted = in_both if ids is None else [str(name) for name in ids]
    missing = [name for name in wanted if name not in set(in_both)]
    if missing or len(wanted) < 4:
        problem = (
            f"{len(missing)} stimuli are not in both halves of the runs ({cut_short(missing)})"
            if missing
            else f"{len(wanted)} stimuli are shown in both halves of the runs"
        )
        raise InputError(problem, source=source, remedy="give at least four stimuli that are repeated over runs")
    return {
        name: patterns(recording.select_trials(np.flatnonzero(run % 2 == rest)), wanted, runs="ignore")
        for rest, name in enumerate(("odd", "even"))
    }


def _checked(members: Mapping[str, Patterns]) -> tuple[list[str], int]:
    names = list(members)
    if len(names) < 2:
        raise InputError("one member agrees with nobody", remedy="give the patterns of at least two")
    first = members[names[0]]
    for name in names[1:]:
        if members[name].ids != first.ids:
            raise InputError(
                f"its stimuli are not those of '{names[0]}' in the same order",
                source=name,
                remedy="make all patterns with the same ids",
            )
    for name in names:
        bad = np.flatnonzero(~np.isfinite(members[name].responses).all(axis=0))
        if len(bad):
            raise InputError(
                "a response is NaN or infinite", source=name, where=f"voxel {bad[0]}", remedy="leave these voxels out"
            )
    return names, len(first.ids)


def _of_each(
    names: Sequence[str], neighbourhoods: Neighbourhoods | Mapping[str, Neighbourhoods]
) -> list[Neighbourhoods]:
    if isinstance(neighbourhoods, Neighbourhoods):
        return [neighbourhoods] * len(names)
    missing = [name for name in names if name not in neighbourhoods]
    if missing:
        raise InputError("it has no neighbourhoods", source=missing[0], remedy="give each member its own")
    found = [neighbourhoods[name] for name in names]
    for name, sphere in zip(names, found, strict=True):
        if len(sphere) != len(found[0]) or sphere.names != found[0].names:
            raise InputError(
                f"its neighbourhoods are not those of '{names[0]}'",
                source=name,
                remedy="give the same parcels in the same order, or aligned people and one set of spheres",
            )
    return found


def _excluded(
    runs: Sequence[NDArray[np.intp] | None], n: int
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], Floats]:
    """Pairs i < j within a run of any member, and how many pairs of each stimulus count for all."""
    same = {tuple(run.tolist()): run for run in runs if run is not None}
    keys = [np.empty(0, np.intp)]
    for run in same.values():
        for code in np.unique(run):
            rows = np.flatnonzero(run == code)
            left, right = np.triu_indices(len(rows), 1)
            keys.append(rows[left] * n + rows[right])
    left, right = np.divmod(np.unique(np.concatenate(keys)), n)
    taken = np.bincount(left, minlength=n) + np.bincount(right, minlength=n)
    return (left, right), np.asarray(n - 1.0 - taken, np.float64)


def _products(
    sides: Sequence[tuple[Floats, Floats]], excluded: tuple[NDArray[np.intp], NDArray[np.intp]], degree: Floats
) -> Floats:
    """``sum_j g_ij h_ij`` per stimulus over the pairs that count, (n_members, n_members, n), g less its mean."""
    n, n_members, m = len(degree), len(sides), degree.sum()
    left_out = np.stack([_pairs(factors, signs, *excluded) for factors, signs in sides])
    itself = np.stack([(factors**2) @ signs for factors, signs in sides])
    rows = np.stack([factors @ (signs * factors.sum(axis=0)) for factors, signs in sides]) - itself
    rows -= np.stack([_per_stimulus(values, excluded, n) for values in left_out])
    products = np.empty((n_members, n_members, n))
    for s, t in combinations_with_replacement(range(n_members), 2):
        (first, signs), (second, others) = sides[s], sides[t]
        across = signs[:, None] * (first.T @ second) * others
        every = np.einsum("iv,iv->i", first @ across, second)
        products[s, t] = every - itself[s] * itself[t] - _per_stimulus(left_out[s] * left_out[t], excluded, n)
        products[t, s] = products[s, t]
    mean = rows.sum(axis=1) / m
    products -= mean[:, None, None] * rows + mean[None, :, None] * rows[:, None]
    products += (mean[:, None] * mean)[:, :, None] * degree
    return products


def _pairs(factors: Floats, signs: Floats, left: NDArray[np.intp], right: NDArray[np.intp]) -> Floats:
    """Similarities of these pairs."""
    signed, out = factors * signs, np.empty(len(left))
    for start in range(0, len(left), _PAIRS):
        those = slice(start, start + _PAIRS)
        out[those] = np.einsum("pv,pv->p", signed[left[those]], factors[right[those]])
    return out


def _per_stimulus(values: Floats, pairs: tuple[NDArray[np.intp], NDArray[np.intp]], n: int) -> Floats:
    """Sums of values of pairs over the pairs of each stimulus, (n,)."""
    return np.asarray(np.bincount(pairs[0], values, n) + np.bincount(pairs[1], values, n), np.float64)


def _nili(r: Floats, influence: Floats) -> list[tuple[float, Floats]]:
    """Mean lower and upper bound over members, and the influence of each stimulus on them."""
    q: Floats = r.sum(axis=1)
    moved: Floats = influence.sum(axis=1)
    whole, moved_whole = q.sum(), moved.sum(axis=0)
    rest = whole - 2 * q + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        lower = (q - 1) / np.sqrt(rest)
        lower_moved = moved / np.sqrt(rest)[:, None] - (lower / rest / 2)[:, None] * (moved_whole - 2 * moved)
        upper = q / np.sqrt(whole)
        upper_moved = moved / np.sqrt(whole) - (upper / whole / 2)[:, None] * moved_whole
    return [(float(lower.mean()), lower_moved.mean(axis=0)), (float(upper.mean()), upper_moved.mean(axis=0))]


def _reliability(correlations: Floats) -> Floats:
    n_members = correlations.shape[1]
    mean = (correlations.sum(axis=(1, 2)) - n_members) / (n_members * (n_members - 1))
    return np.where(mean > 0, n_members * mean / (1 + (n_members - 1) * mean), np.nan)
