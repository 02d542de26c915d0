"""How well any model could predict a voxel: from repeats of stimuli in one person, and from other persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings import Recording, VolumeGrid

__all__ = [
    "Ceiling",
    "ExplainableVariance",
    "SubjectCeiling",
    "across_subject_ceiling",
    "explainable_variance",
    "normalised_scores",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_VOXELS = 4096  # looked at at once
_GROUPS = 20  # of stimuli, left out one after the other
_FEWEST = 10  # stimuli, or groups of them, below which their spread says too little about itself


class Ceiling(Protocol):
    """Anything that says how large r could be, and whether that is more than 0."""

    @property
    def ceiling(self) -> Singles:
        """Of r, per voxel or region."""
        ...

    @property
    def q(self) -> Singles:
        """Of the test that there is something to predict."""
        ...


@dataclass(frozen=True, eq=False)
class ExplainableVariance:
    """Share of the variance of single trials that the stimuli account for.

    Attributes
    ----------
    ev : float32 array of shape (n_voxels,)
        Unbiased, so that it is below 0 in about half of the voxels without signal; NaN where a voxel is constant or
        has NaN.
    low, high : float32 arrays of shape (n_voxels,)
        Interval of `ev`; NaN with fewer than ten repeated stimuli.
    p, q : float32 arrays of shape (n_voxels,)
        F test that stimuli make no difference, and Benjamini-Hochberg over voxels.
    ceiling : float32 array of shape (n_voxels,)
        Of r with responses averaged over `n_averaged` trials; NaN where `ev` is not above 0.
    n_stimuli, n_trials : int
        Stimuli that were repeated, and their trials.
    repeats : tuple of two ints
        Fewest and most trials of one of them.
    n_averaged : int
    level : float
    """

    ev: Singles
    low: Singles
    high: Singles
    p: Singles
    q: Singles
    ceiling: Singles
    n_stimuli: int
    n_trials: int
    repeats: tuple[int, int]
    n_averaged: int
    level: float


def explainable_variance(recording: Recording, *, n_averaged: int = 1, level: float = 0.95) -> ExplainableVariance:
    """Explainable variance of every voxel from repeated stimuli, and the noise ceiling that follows.

    Parameters
    ----------
    recording : Recording
        Stimuli shown once do not count. Standardise runs beforehand: what differs between runs counts as noise here.
    n_averaged
        Trials of a stimulus that are averaged before they are predicted; 1: single trials.
    level
        Coverage that each interval aims at.

    Returns
    -------
    ExplainableVariance

    Notes
    -----
    A response is what its stimulus evokes plus noise of the trial, ``y_ij = s_i + e_ij``. With mean squares between
    and within stimuli and ``n0 = (N - sum n_i^2 / N) / (m - 1)`` (the number of repeats, where all are equal),

        ev = (MSB - MSW) / (MSB + (n0 - 1) MSW),

    the one-way intraclass correlation. Means of few trials vary although nothing is evoked; subtracting MSW takes
    that off, which the plain variance of the means does not. The best r is that of the prediction s_i:
    ``sqrt(ev_n)``, ``ev_n = n ev / (1 + (n - 1) ev)`` with n trials averaged.

    **Interval.** Jackknife over stimuli of ``log(MSB / MSW) / 2`` with a t of m - 1 degrees of freedom; it speaks of
    other stimuli of the same kind. **Test.** Null: stimuli make no difference; F with m - 1 and N - m degrees of
    freedom, for normal and independent noise. Repeats inside one run share its slow noise, which passes for signal:
    show them in different runs.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> trials = pd.DataFrame({"stimulus": [f"s{k}" for k in range(100)] * 4, "run": np.repeat([1, 2, 3, 4], 100)})
    >>> evoked = np.tile(rng.normal(size=(100, 1)), (4, 1)) * [1, 0]  # half of the first voxel
    >>> responses = (evoked + rng.normal(size=(400, 2))).astype(np.float32)
    >>> found = explainable_variance(Recording("sub-01", responses, trials.assign(session=1)))
    >>> print(found.ev.round(2), found.ceiling.round(2), found.q < 0.05)
    [ 0.45 -0.04] [0.67  nan] [ True False]
    """
    check_level(level)
    if n_averaged < 1:
        raise InputError(f"n_averaged={n_averaged} trials are no mean", remedy="use n_averaged >= 1")
    code = pd.factorize(recording.trials["stimulus"])[0]
    counts = np.bincount(code)
    repeated = np.flatnonzero(counts > 1)
    if len(repeated) < 2:
        raise InputError(
            f"{len(repeated)} stimuli are shown more than once",
            source=recording.source or recording.subject,
            remedy="the ceiling of one person needs repeats; across persons there is across_subject_ceiling",
        )
    rows = np.flatnonzero(np.isin(code, repeated))
    rows = rows[np.argsort(code[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(code[rows], prepend=-1))
    n = counts[repeated]
    parts = [
        _variance_shares(recording.responses[rows, start : start + _VOXELS].astype(np.float64), starts, n, level)
        for start in range(0, recording.n_voxels, _VOXELS)
    ]
    ev, low, high, p = (np.concatenate(values) for values in zip(*parts, strict=True))
    with np.errstate(invalid="ignore"):
        ceiling = np.where(ev > 0, np.sqrt(n_averaged * ev / (1 + (n_averaged - 1) * ev)), np.nan)
    named = {"ev": ev, "low": low, "high": high, "p": p, "q": false_discovery_rate(p), "ceiling": ceiling}
    return ExplainableVariance(
        **{name: values.astype(np.float32) for name, values in named.items()},
        n_stimuli=len(repeated),
        n_trials=int(n.sum()),
        repeats=(int(n.min()), int(n.max())),
        n_averaged=n_averaged,
        level=level,
    )


def _variance_shares(
    y: Floats, starts: NDArray[np.intp], n: NDArray[np.intp], level: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Explainable variance, its interval and its p, from responses (N, V) sorted by stimulus."""
    y = y - y.mean(axis=0)
    means = np.add.reduceat(y, starts, axis=0) / n[:, None]
    within = np.add.reduceat((y - np.repeat(means, n, axis=0)) ** 2, starts, axis=0)
    m, total = len(n), n.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, n0 = _ratio(n[:, None], means, within)
        every = _ratios_without(n[:, None], means, within)
        z = np.log(ratio) / 2
        influence = (m - 1) * (z - np.log(every) / 2)
        error = influence.std(axis=0, ddof=1) / np.sqrt(m)
        reach = stats.t.ppf((1 + level) / 2, m - 1) * (error if m >= _FEWEST else np.full_like(error, np.nan))
        ev, low, high = ((f - 1) / (f + n0 - 1) for f in (ratio, np.exp(2 * (z - reach)), np.exp(2 * (z + reach))))
    return ev, low, high, stats.f.sf(ratio, m - 1, total - m)


def _ratios_without(n: NDArray[np.intp], means: Floats, within: Floats) -> Floats:
    """MSB / MSW without each stimulus in turn, (m, V), from means about the mean of all trials."""
    m, left = len(n), n.sum() - n  # trials left
    sums, squares = n * means, n * means**2
    between = squares.sum(axis=0) - squares - (sums.sum(axis=0) - sums) ** 2 / left
    inside = np.maximum(within.sum(axis=0) - within, 0.0)
    ratios: Floats = (np.maximum(between, 0.0) / (m - 2)) / (inside / (left - (m - 1)))
    return ratios


def _ratio(n: NDArray[np.intp], means: Floats, within: Floats) -> tuple[Floats, float]:
    """MSB / MSW of stimuli with n (m, 1) trials each, and n0; NaN where nothing varies."""
    m, total = len(n), int(n.sum())
    grand = (n * means).sum(axis=0) / total
    between = (n * (means - grand) ** 2).sum(axis=0) / (m - 1)
    return between / (within.sum(axis=0) / (total - m)), (total - float((n**2).sum()) / total) / (m - 1)


@dataclass(frozen=True, eq=False)
class SubjectCeiling:
    """How well persons predict one another.

    Attributes
    ----------
    names : tuple of str or None
        Regions; None: voxels.
    lower, upper : float32 arrays of shape (n_columns,)
        Mean over persons of the r of each with the mean of the others, and with the mean of all.
    low, high : float32 arrays of shape (n_columns,)
        Interval of `lower`.
    p, q : float32 arrays of shape (n_columns,)
        One-sided test that `lower` is not above 0, and Benjamini-Hochberg over the columns.
    by_subject : DataFrame of shape (n_subjects, n_columns) or None
        The r of each person with the mean of the others, per region; None for voxels.
    subjects : tuple of str
    n_stimuli : int
        That all of them saw.
    level : float
    """

    names: tuple[str, ...] | None
    lower: Singles
    upper: Singles
    low: Singles
    high: Singles
    p: Singles
    q: Singles
    by_subject: pd.DataFrame | None
    subjects: tuple[str, ...]
    n_stimuli: int
    level: float

    @property
    def ceiling(self) -> Singles:
        """The lower bound; NaN where it is not above 0."""
        return np.where(self.lower > 0, self.lower, np.float32(np.nan)).astype(np.float32)


def across_subject_ceiling(
    recordings: Sequence[Recording], *, regions: Sequence[str] | None = None, level: float = 0.95
) -> SubjectCeiling:
    """Lower and upper noise ceiling from persons who saw the same stimuli.

    Parameters
    ----------
    recordings : sequence of Recording
        At least two persons. Repeats of a stimulus are averaged; stimuli that not all saw are left out.
    regions : names of regions that all have, or None
        Of regions the mean response of their voxels is taken, and persons need no common space. None: voxel by voxel,
        which needs recordings with the same voxels of a common space.
    level
        Coverage that each interval aims at.

    Returns
    -------
    SubjectCeiling

    Notes
    -----
    After Nili et al. (2014), with response profiles over stimuli instead of RDMs: each person's profile has mean 0
    and s.d. 1. `lower` is what a person is predicted by the mean of the others, which is noisy and has too few
    persons: what is common to all could do better. `upper` has the person's own noise on both sides, so that it is
    about ``1 / sqrt(n_subjects)`` where nothing is common: a bound, no estimate. What is special to one person is in
    neither, so that a model fitted to that person may exceed both.

    **Interval and test.** Delete-a-group jackknife over stimuli, 20 groups of neighbours in the order in which the
    first person saw them (slow noise stays inside groups): Fisher z of the persons' r, averaged, with a t of 19
    degrees of freedom (fewer where there are fewer than 20 stimuli; none below ten). Null of the test: the mean is not
    above 0. Both speak of other stimuli of the same kind, and of these persons.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> trials = pd.DataFrame({"stimulus": [f"s{k}" for k in range(200)], "run": np.repeat([1, 2], 100), "session": 1})
    >>> common = rng.normal(size=(200, 1))
    >>> people = [
    ...     Recording(f"sub-{k}", (common + rng.normal(size=(200, 3))).astype(np.float32), trials,
    ...               rois={"TPJ": np.array([True, True, True])})
    ...     for k in range(4)
    ... ]
    >>> found = across_subject_ceiling(people, regions=["TPJ"])
    >>> bool(found.low[0] < found.lower[0] < found.upper[0]), round(float(found.lower[0]), 1)
    (True, 0.8)
    """
    check_level(level)
    _check_people(recordings)
    stimuli = _common_stimuli(recordings)
    if regions is None:
        _check_voxels(recordings)
        n_columns = recordings[0].n_voxels
    else:
        _check_names(recordings, regions)
        n_columns = len(regions)
    groups = np.arange(len(stimuli)) * min(_GROUPS, len(stimuli)) // len(stimuli)
    found = []
    for start in range(0, n_columns, _VOXELS):
        chosen = slice(start, min(n_columns, start + _VOXELS))
        profiles = np.stack([_profiles(recording, stimuli, regions, chosen) for recording in recordings])
        found.append(_bounds(profiles, groups, level))
    lower, upper, low, high, p = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    subjects = tuple(recording.subject for recording in recordings)
    named = {
        "lower": lower.mean(axis=0), "upper": upper.mean(axis=0), "low": low, "high": high, "p": p,
        "q": false_discovery_rate(p),
    }  # fmt: skip
    return SubjectCeiling(
        names=None if regions is None else tuple(regions),
        **{name: values.astype(np.float32) for name, values in named.items()},
        by_subject=None if regions is None else pd.DataFrame(lower, index=list(subjects), columns=list(regions)),
        subjects=subjects,
        n_stimuli=len(stimuli),
        level=level,
    )


def _check_people(recordings: Sequence[Recording]) -> None:
    names = [recording.subject for recording in recordings]
    if len(names) < 2:
        raise InputError(f"{len(names)} recordings have no others to be predicted by", remedy="give at least two")
    if len(set(names)) < len(names):
        raise InputError(
            f"two recordings are of the same person ({cut_short(names)})", remedy="join the recordings of one person"
        )


def _common_stimuli(recordings: Sequence[Recording]) -> list[str]:
    """Stimuli that all saw, in the order of the first."""
    seen = [set(recording.trials["stimulus"].astype(str)) for recording in recordings]
    common = [
        name for name in dict.fromkeys(recordings[0].trials["stimulus"].astype(str)) if all(name in s for s in seen)
    ]
    if len(common) < 3:
        raise InputError(
            f"{len(common)} stimuli were seen by all {len(recordings)} persons",
            remedy="match their labels to the same ids; a correlation needs three at least",
        )
    return common


def _check_voxels(recordings: Sequence[Recording]) -> None:
    first = recordings[0]
    for recording in recordings:
        a, b = first.geometry, recording.geometry
        if a is None or b is None or a.space is None or a.space != b.space or len(a) != len(b):
            same = False
        elif isinstance(a, VolumeGrid):
            same = isinstance(b, VolumeGrid) and bool(
                a.shape == b.shape and np.allclose(a.affine, b.affine) and (a.ijk == b.ijk).all()
            )
        else:
            same = not isinstance(b, VolumeGrid) and bool(
                a.mesh_sizes == b.mesh_sizes and (a.vertices == b.vertices).all() and (a.right == b.right).all()
            )
        if not same:
            raise InputError(
                f"its voxels are not those of {first.subject} in a common space",
                source=recording.source or recording.subject,
                remedy="give the voxels that all have in one space (common_geometry), or name regions",
            )


def _check_names(recordings: Sequence[Recording], regions: Sequence[str]) -> None:
    if not regions:
        raise InputError("no region is named", remedy="name at least one, or leave regions out")
    for recording in recordings:
        lacking = [name for name in regions if name not in recording.rois or not recording.rois[name].any()]
        if lacking:
            raise InputError(
                f"the regions {cut_short(lacking)} are missing or empty",
                source=recording.source or recording.subject,
                remedy="name regions that all persons have",
            )


def _profiles(recording: Recording, stimuli: Sequence[str], regions: Sequence[str] | None, chosen: slice) -> Floats:
    """Mean response to every stimulus, (n_stimuli, n_chosen)."""
    place = {name: k for k, name in enumerate(stimuli)}
    code = np.array([place.get(name, -1) for name in recording.trials["stimulus"].astype(str)])
    rows = np.flatnonzero(code >= 0)
    rows = rows[np.argsort(code[rows], kind="stable")]
    if regions is None:
        values = recording.responses[rows, chosen].astype(np.float64)
    else:
        masks = [recording.rois[name] for name in regions[chosen]]
        values = np.column_stack([recording.responses[:, mask].mean(axis=1, dtype=np.float64) for mask in masks])[rows]
    counts = np.bincount(code[rows])
    means: Floats = np.add.reduceat(values, np.cumsum(counts) - counts, axis=0) / counts[:, None]
    means -= means.mean(axis=0)
    return means


def _bounds(profiles: Floats, groups: NDArray[np.intp], level: float) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Both bounds per person (n_subjects, K), interval and p (K,) of the lower, from profiles (n_subjects, m, K)."""
    n_groups = int(groups.max()) + 1
    own = [groups == k for k in range(n_groups)]
    sums = np.stack([profiles[:, rows].sum(axis=1) for rows in own])  # (groups, n_subjects, K)
    products = np.stack([np.einsum("smk,tmk->stk", profiles[:, rows], profiles[:, rows]) for rows in own])
    sizes = np.array([rows.sum() for rows in own])
    lower, upper = _nili(sums.sum(axis=0), products.sum(axis=0), int(sizes.sum()))
    z = np.arctanh(lower).mean(axis=0)
    if n_groups < _FEWEST:
        unknown = np.full_like(z, np.nan)
        return lower, upper, unknown, unknown, unknown
    left = np.stack([
        np.arctanh(
            _nili(sums.sum(axis=0) - sums[k], products.sum(axis=0) - products[k], int(sizes.sum() - sizes[k]))[0]
        ).mean(axis=0)
        for k in range(n_groups)
    ])  # fmt: skip
    error = np.sqrt((n_groups - 1) / n_groups * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    reach = stats.t.ppf((1 + level) / 2, n_groups - 1) * error
    with np.errstate(invalid="ignore", divide="ignore"):
        p = stats.t.sf(z / error, n_groups - 1)
    return lower, upper, np.tanh(z - reach), np.tanh(z + reach), p


def _nili(sums: Floats, products: Floats, n: int) -> tuple[Floats, Floats]:
    """R of each person with the mean of the others, and of all, from sums (s, K) and sums of products (s, s, K)."""
    covariance = products - sums[:, None] * sums[None] / n
    spread = np.sqrt(np.einsum("ssk->sk", covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = covariance / (spread[:, None] * spread[None])
        with_all, length = r.sum(axis=1), r.sum(axis=(0, 1))
        return (with_all - 1) / np.sqrt(length - 2 * with_all + 1), with_all / np.sqrt(length)


def normalised_scores(r: ArrayLike, ceiling: Ceiling, *, alpha: float = 0.05) -> Singles:
    """Scores as shares of their ceilings, where there is a ceiling.

    Parameters
    ----------
    r : array of shape (n_voxels,)
        Held-out correlations.
    ceiling : ExplainableVariance or SubjectCeiling
        Over the same voxels or regions.
    alpha
        A ceiling counts where its q is below this.

    Returns
    -------
    float32 array of shape (n_voxels,)
        ``r / ceiling``, NaN where the ceiling is not significantly above 0. Never clipped: with an uncertain ceiling
        the ratio may exceed 1, and below the threshold it would be anything.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> known = SimpleNamespace(ceiling=np.float32([0.5, 0.2, 0.05]), q=np.float32([0.001, 0.01, 0.4]))
    >>> normalised_scores([0.25, 0.3, 0.04], known).tolist()
    [0.5, 1.5, nan]
    """
    value = np.asarray(r, np.float64)
    if value.shape != ceiling.ceiling.shape:
        raise InputError(
            f"{value.shape} scores and {ceiling.ceiling.shape} ceilings are given", remedy="give the same voxels"
        )
    return np.where(ceiling.q < alpha, value / ceiling.ceiling, np.nan).astype(np.float32)
