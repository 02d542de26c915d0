"""Held-out sums per run, and how uncertain what is made of them is: the run is what repeats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse, stats

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._masks import checked_mask
from affectome.neural.encoding._result import Encoding
from affectome.neural.recordings import Recording

__all__ = [
    "FITTING_BOUND",
    "MINIMUM_RUNS",
    "TILE",
    "Estimates",
    "RunLayout",
    "RegionMeans",
    "RegionMembers",
    "affine_models",
    "check_same_trials",
    "half_width",
    "held_out_predictions",
    "region_masks",
    "run_layout",
    "run_variance",
    "variance_parts",
    "voxel_batches",
]

Floats = NDArray[np.float64]

#: Runs below which their spread says too little about itself.
MINIMUM_RUNS = 5
#: The noise of fitting counts for no more than this much of the jackknife's variance.
FITTING_BOUND = 1.5

#: Voxels of a batch at most: what is summed over trials stays in the cache.
TILE = 512


@dataclass(frozen=True, eq=False)
class RunLayout:
    """Trials of an encoding, sorted by run.

    Attributes
    ----------
    order : intp array of shape (n_trials,)
        Places among the trials of the encoding, run after run.
    rows : intp array of shape (n_trials,)
        The same trials as rows of the recording.
    fold : intp array of shape (n_trials,)
        Held-out fold of each, in this order.
    starts : intp array of shape (n_runs,)
        Where each run begins in this order.
    run_fold : intp array of shape (n_runs,)
    """

    order: NDArray[np.intp]
    rows: NDArray[np.intp]
    fold: NDArray[np.intp]
    starts: NDArray[np.intp]
    run_fold: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def runs(self) -> list[slice]:
        """The trials of each run."""
        ends = [*self.starts[1:], len(self.order)]
        return [slice(int(start), int(end)) for start, end in zip(self.starts, ends, strict=True)]

    @property
    def sizes(self) -> Floats:
        """Trials of each run."""
        return np.diff([*self.starts, len(self.order)]).astype(np.float64)

    def design_of(self, encoding: Encoding) -> Floats:
        """The features of its trials in the order of the runs, (n_trials, n_features)."""
        return encoding.design[self.order].astype(np.float64)

    def sums(self, values: Floats) -> Floats:
        """Sums over the trials of each run: (n_trials, n_voxels) to (n_runs, n_voxels)."""
        return np.stack([values[trials].sum(axis=0) for trials in self.runs])

    def products(self, a: Floats, b: Floats) -> Floats:
        """Sums of products over the trials of each run."""
        return np.stack([np.einsum("nv,nv->v", a[trials], b[trials]) for trials in self.runs])

    def drift(self, design: Floats, models: Floats, residual: Floats) -> Floats:
        """Products of residuals with how far the model of each fold lies from the mean model, summed per run.

        Models are linear, so that one product of design and residuals per run serves the models of all folds.

        Parameters
        ----------
        design : array of shape (n_trials, n_features)
            In the order of the runs.
        models : array of shape (n_folds, 1 + n_features, n_voxels)
            Intercepts, then coefficients: see :func:`affine_models`.
        residual : array of shape (n_trials, n_voxels)

        Returns
        -------
        array of shape (n_runs, n_folds, n_voxels); 0 where the run was held out in that fold, the others scaled by
        sqrt(K / (K - 1)) for the one that is missing. See :func:`run_variance`.
        """
        n_folds, apart = len(models), models - models.mean(axis=0)
        moved = np.empty((len(self), n_folds, residual.shape[1]))
        for run, trials in enumerate(self.runs):
            summed = np.vstack([residual[trials].sum(axis=0)[None], design[trials].T @ residual[trials]])
            np.einsum("fpv,pv->fv", apart, summed, out=moved[run])
        moved[np.arange(len(self)), self.run_fold] = 0.0
        moved *= np.sqrt(n_folds / (n_folds - 1))
        return moved


def run_layout(encoding: Encoding, recording: Recording) -> RunLayout:
    """Sort the trials of an encoding by run.

    Raises
    ------
    InputError
        Where the encoding is not of this recording, a run lies in two folds, or there are fewer than five runs.
    """
    source = recording.source or recording.subject
    n_trials, n_voxels = recording.responses.shape
    known = encoding.subject == recording.subject and encoding.r.shape == (n_voxels,)
    if not known or (len(encoding.rows) and encoding.rows.max() >= n_trials):
        raise InputError(
            f"the encoding by {encoding.space} is of {encoding.subject} with {len(encoding.r)} voxels, "
            f"the recording of {recording.subject} with {n_voxels}",
            source=source,
            remedy="give the recording that was encoded",
        )
    runs = recording.trials["run"].to_numpy()[encoding.rows]
    order = np.argsort(runs, kind="stable")
    names, starts = np.unique(runs[order], return_index=True)
    fold = encoding.fold[order]
    split = [str(run) for run in names if np.ptp(encoding.fold[runs == run])]
    if split:
        raise InputError(
            f"the runs {cut_short(split)} lie in two folds",
            source=source,
            remedy='keep runs together, as folds="runs" does: whatever is concluded here rests on independent runs',
        )
    if len(names) < MINIMUM_RUNS:
        raise InputError(
            f"{len(names)} runs are too few to say how much a result varies over runs",
            source=source,
            remedy=f"give at least {MINIMUM_RUNS}",
        )
    return RunLayout(order, encoding.rows[order], fold, starts.astype(np.intp), fold[starts])


def check_same_trials(first: Encoding, second: Encoding) -> None:
    """Refuse encodings that were not tested on the same trials in the same folds."""
    for what, a, b in (("trials", first.rows, second.rows), ("folds", first.fold, second.fold)):
        if not np.array_equal(a, b):
            raise InputError(
                f"the encodings by {first.space} and {second.space} are not of the same {what}",
                source=first.subject,
                remedy="encode both spaces over the stimuli they share and with the same folds",
            )


def held_out_predictions(encoding: Encoding, layout: RunLayout, voxels: slice = slice(None)) -> Floats:
    """Held-out predictions (n_trials, n_voxels) in the order of the runs.

    In float64: in float32, predictions that vary little about a mean of 10,000 would be lost in its rounding.
    """
    design = layout.design_of(encoding)
    predicted = np.empty((len(design), len(encoding.r[voxels])))
    for fold, model in enumerate(encoding.models):
        held_out = layout.fold == fold
        predicted[held_out] = design[held_out] @ model.coefficients[:, voxels].astype(np.float64)
        predicted[held_out] += model.intercepts[voxels]
    return predicted


def affine_models(encoding: Encoding, voxels: slice = slice(None)) -> Floats:
    """Intercepts and coefficients of the model of every fold, (n_folds, 1 + n_features, n_voxels)."""
    return np.stack([
        np.vstack([model.intercepts[None, voxels], model.coefficients[:, voxels]]) for model in encoding.models
    ]).astype(np.float64)  # fmt: skip


def run_variance(without: Floats, moved: Floats, value: Floats) -> Floats:
    r"""Variance of a statistic of held-out predictions, over runs and over the noise of the fits.

    .. math:: J + \min(F, 1.5 J), \quad J = \frac{m - 1}{m} \sum_j (\theta_{-j} - \bar\theta)^2, \quad
              F = \sum_{r, f} (\theta_{rf} - \theta)^2

    J is the delete-one-run jackknife with the fitted models held fixed. It sees half of the variance where a space
    predicts little: the noise of a run enters twice, where the run is predicted and where it trains the models of the
    other folds, so that the errors of different folds are correlated (for p features and nothing to find, the sum over
    folds f != g of s_f . s_g, in which every product stands twice, while the jackknife takes all of them for
    independent). F puts the other half back. How far the noise of fitting moves the predictions of a run is seen in how
    the models of the folds differ: theta_rf is the statistic with run r predicted by its own model moved as far as the
    model of fold f lies from the mean model.

    What F measures, the products of residuals and fitting noise, is also a part of J, so that F exceeds J only by its
    own noise, or where the folds chose different penalties: those move models by leaps, which a jackknife over folds
    overrates. Hence the bound, half as large again as J.

    Parameters
    ----------
    without : array of shape (n_runs, ...)
        The statistic with each run left out.
    moved : array of shape (n_runs, n_folds, ...)
        The statistic with the predictions of each run moved.
    value : array of shape (...)
    """
    jackknife, fitting = variance_parts(without, moved, value)
    variance: Floats = jackknife + np.minimum(fitting, FITTING_BOUND * jackknife)
    return variance


def variance_parts(without: Floats, moved: Floats, value: Floats) -> tuple[Floats, Floats]:
    """J and F of :func:`run_variance`."""
    m = len(without)
    jackknife = (m - 1) / m * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return jackknife, ((moved - value) ** 2).sum(axis=(0, 1))


def half_width(variance: Floats, n_runs: int, level: float) -> Floats:
    """Half the width of a t interval with n_runs - 1 degrees of freedom."""
    reach: Floats = stats.t.ppf((1 + level) / 2, n_runs - 1) * np.sqrt(variance)
    return reach


def voxel_batches(n_voxels: int, bytes_per_voxel: float, memory_gb: float, most: int = TILE) -> Iterator[slice]:
    """Slices of voxels that fit into the memory, of at most 512."""
    if not memory_gb > 0:
        raise InputError(f"memory_gb={memory_gb} holds nothing", remedy="use memory_gb > 0")
    size = min(most, int(memory_gb * 1e9 // bytes_per_voxel))
    if size < 1:
        raise InputError(
            f"memory_gb={memory_gb} is too little for one voxel ({bytes_per_voxel / 1e9:.2g} GB)",
            remedy="allow more memory",
        )
    for start in range(0, n_voxels, size):
        yield slice(start, min(start + size, n_voxels))


def region_masks(recording: Recording, mask: NDArray[np.bool_] | None) -> pd.DataFrame:
    """Which voxels each region holds, "all" first: bool, voxels × regions; voxels outside `mask` are in none."""
    chosen = checked_mask(mask, recording.n_voxels, source=recording.source or recording.subject)
    if not chosen.any():
        raise InputError("the mask holds no voxel", source=recording.subject, remedy="give one that does")
    return pd.DataFrame({"all": chosen, **{name: roi & chosen for name, roi in recording.rois.items()}})


@dataclass(frozen=True, eq=False)
class Estimates:
    """Statistics over runs, each (n_statistics, ...).

    Attributes
    ----------
    value, se, low, high : arrays
        The interval is a t interval with n_runs - 1 degrees of freedom.
    p : array
        One-sided, of a value above 0, by the same t; 1 where nothing varies and the value is not above 0.
    """

    value: Floats
    se: Floats
    low: Floats
    high: Floats
    p: Floats

    @classmethod
    def over_runs(cls, value: Floats, variance: Floats, n_runs: int, level: float) -> Estimates:
        """From the values and their variances, see :func:`run_variance`."""
        se, reach = np.sqrt(variance), half_width(variance, n_runs, level)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(se > 0, value / se, np.where(value > 0, np.inf, -np.inf))
        p = np.where(np.isnan(value), np.nan, stats.t.sf(t, n_runs - 1))
        return cls(value, se, value - reach, value + reach, p)


class RegionMembers:
    """Which of some voxels lie in which region, held sparse: a voxel lies in few of many regions.

    Parameters
    ----------
    inside : bool array of shape (n_voxels, n_regions)
    """

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        self.count = inside.sum(axis=0)
        self._of_region = sparse.csr_array(inside.T, dtype=np.float64)

    def sums(self, values: NDArray[Any]) -> Floats:
        """Sums over the voxels of every region: (..., n_voxels) to (..., n_regions)."""
        summed: Floats = (self._of_region @ values.reshape(-1, values.shape[-1]).T).T
        return summed.reshape(*values.shape[:-1], -1)


class RegionMeans:
    """Means over the voxels of every region of several statistics, with intervals that know the voxels to be dependent.

    Parameters
    ----------
    n_statistics, n_runs, n_folds, n_regions : int
    """

    def __init__(self, n_statistics: int, n_runs: int, n_folds: int, n_regions: int) -> None:
        self.n_runs, self.n_folds = n_runs, n_folds
        self.sums = np.zeros((n_statistics, 1 + n_runs * (1 + n_folds), n_regions))
        self.negative = np.zeros((n_statistics, n_regions))
        self.count = np.zeros(n_regions)

    def add(self, value: Floats, without: Floats, moved: Floats, inside: NDArray[np.bool_]) -> None:
        """Take in a batch of voxels; what has no value counts for nothing.

        Parameters
        ----------
        value, without, moved : arrays of shape (n_statistics, ..., n_voxels)
            As in :func:`run_variance`: nothing, runs, runs × folds in between.
        inside : bool array of shape (n_voxels, n_regions)
        """
        variants = np.concatenate([value[:, None], without, moved.reshape(len(value), -1, value.shape[1])], axis=1)
        known = np.asarray(np.isfinite(variants).all(axis=(0, 1)))
        members = RegionMembers(inside & known[:, None])
        variants[:, :, ~known] = 0.0
        self.sums += members.sums(variants)
        self.negative += members.sums((value < 0) & known)
        self.count += members.count

    def values(self) -> tuple[Floats, Floats, Floats]:
        """Mean, variance and share of voxels below 0, each (n_statistics, n_regions); NaN where a region is empty."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means, negative = self.sums / self.count, self.negative / self.count
        without = np.moveaxis(means[:, 1 : 1 + self.n_runs], 1, 0)
        moved = means[:, 1 + self.n_runs :].reshape(len(means), self.n_runs, self.n_folds, -1)
        return means[:, 0], run_variance(without, np.moveaxis(moved, 0, 2), means[:, 0]), negative
