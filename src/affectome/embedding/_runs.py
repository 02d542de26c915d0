"""Fits of one problem from several seeds, and how their components correlate over stimuli."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import stdtrit

from affectome._processes import in_parallel, workers_for
from affectome._progress import Progress, silent
from affectome._tables import check_unique, cut_short, numeric_columns
from affectome.errors import InputError

__all__ = [
    "CLIP",
    "Runs",
    "as_runs",
    "correlations",
    "fisher_z",
    "fit_seeds",
    "halves",
    "match_one_to_one",
    "t_interval",
]

Floats = NDArray[np.float64]
Estimator = TypeVar("Estimator")

#: Correlations are held within this before Fisher's transform: r = 1 has no finite z, and one nearly perfect pair
#: should not decide a mean over runs (z is at most 4.95).
CLIP = 0.9999
_FEWEST_STIMULI = 8  # halves of four
_FLAT = 1e-6  # s.d. below this share of the largest weight: no spread, whatever rounding left


@dataclass(frozen=True, eq=False)
class Runs:
    """Spaces over one list of stimuli.

    Attributes
    ----------
    names : tuple of str
    ids : Index
    columns : tuple of list of str
        Components of each run.
    weights : tuple of float64 arrays of shape (n_stimuli, n_components)
    """

    names: tuple[str, ...]
    ids: pd.Index
    columns: tuple[list[str], ...]
    weights: tuple[Floats, ...]

    @property
    def blocks(self) -> list[slice]:
        """Where each run's components stand when all are put side by side."""
        ends = np.cumsum([0, *(w.shape[1] for w in self.weights)])
        return [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def position(self, run: int | str) -> int:
        """The number of a run that is named or counted from 0."""
        if isinstance(run, str) and run in self.names:
            return self.names.index(run)
        if isinstance(run, (int, np.integer)) and not isinstance(run, bool) and 0 <= run < len(self.names):
            return int(run)
        raise InputError(f"there is no run {run!r}", remedy=f"name one of {cut_short(self.names, 12)}")


def as_runs(runs: Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame]) -> Runs:
    """Check spaces of several runs and bring their stimuli into the order of the first."""
    named = runs if isinstance(runs, Mapping) else {f"run {k + 1}": space for k, space in enumerate(runs)}
    if len(named) < 2:
        given = "no run was" if not named else "one run was"
        raise InputError(f"{given} given", remedy="compare at least two runs")
    spaces = {str(name): _checked(space, str(name)) for name, space in named.items()}
    first, *others = spaces
    ids = spaces[first].index
    if len(ids) < _FEWEST_STIMULI:
        raise InputError(
            f"{len(ids)} stimuli are too few to be split in halves",
            source=first,
            remedy=f"use at least {_FEWEST_STIMULI}",
        )
    for name in others:
        here, there = ids.difference(spaces[name].index), spaces[name].index.difference(ids)
        if len(here) or len(there):
            lost, lacking = (here, name) if len(here) else (there, first)
            raise InputError(
                f"{len(lost)} stimuli of '{first if len(here) else name}' are missing ({cut_short(lost)})",
                source=lacking,
                remedy="compare runs about the same stimuli",
            )
    return Runs(
        tuple(spaces),
        ids,
        tuple(space.columns.tolist() for space in spaces.values()),
        tuple(space.loc[ids].to_numpy(np.float64) for space in spaces.values()),
    )


def _checked(space: pd.DataFrame, name: str) -> pd.DataFrame:
    if not isinstance(space, pd.DataFrame):
        raise InputError(f"is a {type(space).__name__}, not a table", source=name, remedy="give each run as a space")
    if space.shape[1] == 0:
        raise InputError("has no components", source=name, remedy="leave the run out, or fit with a lower l1")
    named = space.set_axis([str(i) for i in space.index], axis=0).set_axis([str(c) for c in space.columns], axis=1)
    check_unique(named.index.tolist(), source=name)
    if named.columns.has_duplicates:
        twice = named.columns[named.columns.duplicated()][0]
        raise InputError(f"the component '{twice}' appears more than once", source=name, remedy="rename one of them")
    return numeric_columns(named, source=name)


def correlations(weights: Floats) -> Floats:
    """Pearson r between all columns of (n, p), shape (p, p); 0 wherever a column has no spread."""
    z = unit_columns(weights)
    r: Floats = z.T @ z
    return np.clip(r, -1.0, 1.0)


def unit_columns(weights: Floats) -> Floats:
    """Columns of mean 0 and length 1; those without spread become 0."""
    centred = weights - weights.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    flat = length <= _FLAT * np.sqrt(len(weights)) * np.abs(weights).max(axis=0)
    scaled: Floats = np.where(flat, 0.0, centred / np.where(flat, 1.0, length))
    return scaled


def fisher_z(r: Floats) -> Floats:
    """Fisher's z of correlations held within `CLIP`."""
    z: Floats = np.arctanh(np.clip(r, -CLIP, CLIP))
    return z


def match_one_to_one(r: Floats) -> NDArray[np.intp]:
    """For each row the column of the assignment with the largest sum of r; -1 for rows that get none."""
    match = np.full(len(r), -1, np.intp)
    rows, columns = linear_sum_assignment(r, maximize=True)
    match[rows] = columns
    return match


def halves(n: int, n_halves: int, seed: int | np.random.SeedSequence) -> Iterator[tuple[NDArray[np.intp], ...]]:
    """Random halves of n stimuli, each in both directions: the stimuli to match on and the others."""
    rng = np.random.default_rng(seed)
    for _ in range(n_halves):
        order = rng.permutation(n)
        one, other = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
        yield one, other
        yield other, one


def t_interval(z: Floats, level: float) -> tuple[Floats, Floats]:
    """Interval of the mean over the last axis by Student's t, ignoring NaN; NaN where fewer than two values are."""
    known = ~np.isnan(z)
    n = known.sum(axis=-1)
    enough = n > 1
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, z, 0.0).sum(axis=-1) / n
        spread = np.where(known, (z - mean[..., None]) ** 2, 0.0).sum(axis=-1) / (n - 1) / n
    half = np.where(enough, stdtrit(np.where(enough, n - 1, 1), (1 + level) / 2), np.nan) * np.sqrt(
        np.where(enough, spread, np.nan)
    )
    return mean - half, mean + half


def fit_seeds(
    estimator: Estimator,
    trials: Any,
    seeds: Sequence[int],
    *,
    n_jobs: int | None = None,
    finished: Callable[[int, Estimator], None] | None = None,
    progress: Progress = silent,
) -> dict[int, Estimator]:
    """Fit clones of an estimator that differ in their seed alone.

    Seeds are spread over processes, or over the workers of an open cluster (:func:`affectome.on_cluster`), and the
    threads of a fit over what is left. Each seed's fit is the same as on its own, whatever `n_jobs` is.

    Parameters
    ----------
    estimator
        With `random_state`, such as :class:`affectome.SPoSE`; it is cloned and stays as it is.
    trials
        What its ``fit`` takes.
    seeds : sequence of int
        Different ones.
    n_jobs
        Cores to use; None or -1: all.
    finished
        Called in this process with a seed and its fit as soon as that is there, in whatever order that is.
    progress
        Called after every fit.

    Returns
    -------
    dict from seed to fitted estimator, in the order of `seeds`

    Examples
    --------
    >>> from affectome import SPoSE, simulate_emotions
    >>> trials = simulate_emotions(n_stimuli=40, n_components=3, seed=0).sample_answers(5_000, seed=1)
    >>> fits = fit_seeds(SPoSE(n_components=3), trials, [0, 1], n_jobs=1)
    >>> {seed: fit.embedding_.shape for seed, fit in fits.items()}
    {0: (40, 3), 1: (40, 3)}
    """
    wanted = _checked_seeds(seeds)
    workers = workers_for(n_jobs, len(wanted))
    shared = (estimator, trials, workers.threads)
    fits: dict[int, Estimator] = {}
    progress(0, len(wanted))
    with closing(in_parallel(_fit, shared, wanted, workers, threads=workers.threads)) as results:
        for seed, model, caught in results:
            for category, text in caught:
                warnings.warn(f"Seed {seed}: {text}", category, stacklevel=2)
            if finished is not None:
                finished(seed, model)
            fits[seed] = model
            progress(len(fits), len(wanted), detail=f"seed {seed}")
    return {seed: fits[seed] for seed in wanted}


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    wanted = [int(seed) for seed in seeds]
    if not wanted:
        raise InputError("no seed is given", remedy="give at least one")
    if len(set(wanted)) != len(wanted):
        raise InputError(f"the seed {max(wanted, key=wanted.count)} is given twice", remedy="give different seeds")
    if not all(0 <= seed < 2**32 for seed in wanted):
        raise InputError(
            f"the seeds {cut_short([str(s) for s in wanted])} are not all accepted", remedy="use 0..2^32-1"
        )
    return wanted


def _fit(shared: tuple[Estimator, Any, int], seed: int) -> tuple[int, Estimator, list[tuple[type[Warning], str]]]:
    """One fit and what it warned of, which a worker process would say to nobody."""
    from sklearn.base import clone

    estimator, trials, threads = shared
    model: Any = clone(estimator)
    before = model.get_params(deep=False)
    model.set_params(random_state=seed, **({"n_jobs": threads} if "n_jobs" in before else {}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(trials)
    if "n_jobs" in before:
        model.set_params(n_jobs=before["n_jobs"])
    return seed, model, [(warning.category, str(warning.message)) for warning in caught]
