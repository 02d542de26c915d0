"""How the spaces of one joint model share in what it predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level
from affectome.errors import InputError
from affectome.neural.encoding._result import Encoding
from affectome.neural.encoding._run_correlations import centre_folds, run_correlations
from affectome.neural.encoding._run_sums import (
    Estimates,
    Floats,
    RegionMeans,
    RunLayout,
    region_masks,
    run_layout,
    voxel_batches,
)
from affectome.neural.encoding._solvers import quiet_threads
from affectome.neural.recordings import Recording

__all__ = ["ProductMeasure", "product_measure"]

Split = Literal["r2", "correlation"]


@dataclass(frozen=True, eq=False)
class ProductMeasure:
    """What each band of a joint model contributes to its held-out score.

    Attributes
    ----------
    subject : str
    split : str
        ``"r2"`` or ``"correlation"``.
    voxels : DataFrame of n_voxels rows
        A column per band, and ``"joint"``, their sum: the R2, or the correlation within folds, of the joint model. A
        band that predicts against the others is below 0. NaN where a voxel is constant.
    regions : DataFrame, index (region, band), ``"all"`` first; bands and ``"joint"``
        Means over the voxels of the mask: ``n_voxels``, ``value``, ``se``, ``low``, ``high``, ``share_negative``.
    n_runs : int
    level : float
        Coverage the intervals aim at, each by itself.
    """

    subject: str
    split: Split
    voxels: pd.DataFrame
    regions: pd.DataFrame
    n_runs: int
    level: float


def product_measure(
    encoding: Encoding,
    recording: Recording,
    *,
    split: Split = "r2",
    mask: NDArray[np.bool_] | None = None,
    level: float = 0.95,
    memory_gb: float = 2.0,
    progress: Progress = silent,
) -> ProductMeasure:
    r"""Split the held-out score of a banded model into one part per band.

    With y the responses less their training mean, p_b what band b adds to the held-out prediction (of features centred
    on their training means) and p the sum of these, the part of band b is

    .. math:: \frac{\sum_t p_b (2 y - p)}{\sum_t y^2} \quad \textrm{or} \quad
              \frac{\sum_t p_b y}{\sqrt{\sum_t p^2 \sum_t y^2}}

    where for the correlation all of them are less their means of the held-out fold. The parts add up to the score of
    the joint model.

    Parameters
    ----------
    encoding : Encoding
        Made with ``bands``, see :func:`join_spaces`.
    recording : Recording
        The one that was encoded.
    split
    mask : bool array of shape (n_voxels,), optional
        Voxels that the regions are about.
    level, memory_gb, progress
        As in :func:`compare_encodings`.

    Returns
    -------
    ProductMeasure

    Notes
    -----
    It divides what the *fitted* model predicts, so that what two bands could both explain goes to the one that the
    penalties favour; :func:`partition_variance` says how much that is. There is no test: a part can be 0 although the
    band is informative. Interval: as in :func:`partition_variance`, over runs.

    References
    ----------
    Dupre la Tour, Eickenberg, Nunez-Elizalde & Gallant (2022), NeuroImage 264.

    Examples
    --------
    >>> from affectome.neural import encode, join_spaces
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(240)]
    >>> a, b = (pd.DataFrame(rng.normal(size=(240, 2)), index=ids) for _ in "ab")
    >>> responses = (a @ np.ones((2, 3)) + b @ np.full((2, 3), 0.5) + rng.normal(size=(240, 3))).to_numpy(np.float32)
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(240) // 20, "session": 1})
    >>> recording = Recording("sub-01", responses, trials)
    >>> joint, bands = join_spaces({"a": a, "b": b})
    >>> both = encode(joint, recording, name="both", bands=bands, alphas=[1.0], weightings=3)
    >>> product_measure(both, recording).regions.loc["all", "value"].round(2).to_dict()
    {'a': 0.56, 'b': 0.11, 'joint': 0.67}
    """
    check_level(level)
    if split not in ("r2", "correlation"):
        raise InputError(f"split='{split}' is not known", remedy="choose r2 or correlation")
    if not encoding.bands or encoding.band_of is None:
        raise InputError(
            f"the encoding of {encoding.subject} by {encoding.space} has no bands", remedy="encode with bands="
        )
    layout, inside = run_layout(encoding, recording), region_masks(recording, mask)
    names = [*encoding.bands, "joint"]
    n, n_bands, n_folds, n_runs = len(layout.order), len(names), len(encoding.models), len(layout)
    size = 8.0 * (n * (2 * n_bands + 8) + 3 * n_folds * len(encoding.features) + 5 * n_bands * n_runs * (1 + n_folds))
    means, values = RegionMeans(n_bands, n_runs, n_folds, inside.shape[1]), []
    with quiet_threads(len(encoding.features)):
        for voxels in voxel_batches(recording.n_voxels, size, memory_gb):
            y = recording.responses[layout.rows, voxels].astype(np.float64)
            flat = np.ptp(y, axis=0) == 0
            parts = _r2_parts if split == "r2" else _correlation_parts
            y -= encoding.training_means(voxels)[layout.fold]
            value, without, moved = parts(y, _Bands(encoding, layout, voxels), layout)
            value[:, flat] = np.nan
            means.add(value, without, moved, inside.iloc[voxels].to_numpy())
            values.append(value)
            progress(voxels.stop, recording.n_voxels)
    table = pd.DataFrame(np.hstack(values).T, columns=names)
    return ProductMeasure(
        recording.subject, split, table, _region_table(means, inside.columns, names, level), n_runs, level
    )


class _Bands:
    """What each band, and all together, add to the held-out predictions of some voxels."""

    def __init__(self, encoding: Encoding, layout: RunLayout, voxels: slice) -> None:
        self.layout, self.design = layout, layout.design_of(encoding)
        self.columns = [np.flatnonzero(encoding.band_of == band) for band in range(len(encoding.bands))]
        centres = [model.centre for model in encoding.models if model.centre is not None]  # all: else no training means
        self.models = []  # of each band, (n_folds, 1 + its features, V)
        for chosen in self.columns:
            slopes = [model.coefficients[chosen, voxels].astype(np.float64) for model in encoding.models]
            pairs = zip(centres, slopes, strict=True)
            self.models.append(np.stack([np.vstack([-centre[None, chosen] @ slope, slope]) for centre, slope in pairs]))

    def held_out(self) -> Floats:
        """The predictions, (n_bands + 1, n_trials, V); the last are their sums."""
        found = np.empty((len(self.columns) + 1, len(self.design), self.models[0].shape[2]))
        for own, chosen, models in zip(found, self.columns, self.models, strict=False):
            for trials, fold in zip(self.layout.runs, self.layout.run_fold, strict=True):
                own[trials] = self.design[trials][:, chosen] @ models[fold, 1:] + models[fold, 0]
        found[:-1].sum(axis=0, out=found[-1])
        return found

    def drift(self, residual: Floats) -> Floats:
        """:meth:`RunLayout.drift` of each, (n_bands + 1, n_runs, n_folds, V)."""
        pairs = zip(self.columns, self.models, strict=True)
        drifts = [self.layout.drift(self.design[:, chosen], models, residual) for chosen, models in pairs]
        return np.stack([*drifts, np.sum(drifts, axis=0)])


def _r2_parts(y: Floats, bands: _Bands, layout: RunLayout) -> tuple[Floats, Floats, Floats]:
    own = bands.held_out()
    joint = own[-1]
    total, twice = layout.products(y, y), 2 * y - joint
    gain = np.stack([layout.products(band, twice) for band in own])  # (n_bands, n_runs, V)
    whole = total.sum(axis=0)
    drift = 2 * bands.drift(y - joint)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = gain.sum(axis=1) / whole
        without = (gain.sum(axis=1, keepdims=True) - gain) / (whole - total)
        return value, without, value[:, None, None] + drift / whole


def _correlation_parts(y: Floats, bands: _Bands, layout: RunLayout) -> tuple[Floats, Floats, Floats]:
    y = centre_folds(y, layout)
    own = [centre_folds(band, layout) for band in bands.held_out()]
    joint = own[-1]
    value, without = run_correlations(y, joint, own, layout)
    spread = (joint**2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = y - np.nan_to_num(joint * ((joint * y).sum(axis=0) / spread))
        drift = bands.drift(residual) / np.sqrt(spread * (y**2).sum(axis=0))
    return value, without, value[:, None, None] + drift


def _region_table(means: RegionMeans, regions: pd.Index, names: list[str], level: float) -> pd.DataFrame:
    value, variance, negative = means.values()
    of = Estimates.over_runs(value, variance, means.n_runs, level)
    columns = {"value": of.value, "se": of.se, "low": of.low, "high": of.high, "share_negative": negative}
    index = pd.MultiIndex.from_product([regions, names], names=["region", "band"])
    table = pd.DataFrame({name: values.T.ravel() for name, values in columns.items()}, index=index)
    table.insert(0, "n_voxels", np.repeat(means.count.astype(int), len(names)))
    return table
