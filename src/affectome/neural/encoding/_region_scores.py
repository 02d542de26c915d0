"""How well a space predicts each region of one person: mean r, and its interval over runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level, false_discovery_rate
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._masks import checked_regions
from affectome.neural.encoding._paired import EncodingDifference
from affectome.neural.encoding._result import Encoding
from affectome.neural.encoding._run_sums import (
    RegionMeans,
    RunLayout,
    affine_models,
    half_width,
    held_out_predictions,
    run_layout,
    voxel_batches,
)
from affectome.neural.encoding._significance import Significance
from affectome.neural.encoding._solvers import quiet_threads
from affectome.neural.recordings import Recording

__all__ = ["named_regions", "region_scores", "region_tests"]

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # share of a sum of squares that is rounding: the column is constant


def region_scores(
    encoding: Encoding,
    recording: Recording,
    *,
    significance: Significance | None = None,
    rois: Mapping[str, NDArray[np.bool_]] | None = None,
    level: float = 0.95,
    memory_gb: float = 2.0,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Mean held-out r of every region, with an interval, and the p of the permutations that were made for its voxels.

    Parameters
    ----------
    encoding, recording
        The recording that was encoded; each run in one fold, at least five runs.
    significance
        From :func:`encoding_significance` of the same encoding and regions; adds `p`, `q` and `null`.
    rois : mapping from region to bool array of shape (n_voxels,)
        By default the regions of the recording.
    level
        Coverage the intervals aim at, each by itself.
    memory_gb
        Voxels are taken in batches that fit, of at most 512; it changes nothing but rounding.
    progress
        Told after every batch, in voxels.

    Returns
    -------
    DataFrame, one row per region: ``subject``, ``space``, ``region``, ``n_voxels`` (those with an r, also when any
    one run is left out: a voxel that varies in one run only has none), ``r`` (their mean), ``se``, ``low``, ``high``,
    and with `significance` ``p`` (one-sided), ``q`` (Benjamini-Hochberg over the regions of this table) and ``null``
    (mean of the statistic over the permutations: what `r` is where nothing is predicted); NaN where a region has no
    voxel with an r.

    Notes
    -----
    **Null of p.** The responses, in blocks of trials, are exchangeable with respect to the design. They are permuted
    alike in all voxels, so that the dependence of neighbours is kept, every fold is fitted anew, and the statistic is
    the mean over the voxels of the region of the pooled r. p = (b + 1) / (n_permutations + 1).

    **Interval.** t with n_runs - 1 degrees of freedom. Variance: delete-one-run jackknife of the regional mean of
    pooled correlations with the fitted models held fixed, from sums per run, plus the noise of fitting that the
    jackknife cannot see, as in :func:`compare_encodings` (whose r is within folds, not pooled). It speaks of other runs
    of this person with stimuli of this kind and models fitted alike; never of other people. Voxels are not counted as
    independent. Where nothing is predicted, pooled r is below 0 on average (:func:`encoding_significance`), and so is
    what the interval covers: an interval below 0 is no finding, and one that holds 0 does not replace p. Read `r`
    beside `null`; that an interval lies above it is no test either.

    The mean goes over all voxels of the region: choosing voxels by this encoding first would be circular.

    Examples
    --------
    >>> from affectome.neural.encoding._result import FoldModel
    >>> rng = np.random.default_rng(0)
    >>> x, runs = rng.normal(size=(60, 1)).astype("float32"), np.repeat(np.arange(6), 10)
    >>> responses = (x + rng.normal(size=(60, 3))).astype("float32")
    >>> trials = pd.DataFrame({"stimulus": [f"s{k}" for k in range(60)], "run": runs, "session": 1})
    >>> recording = Recording("sub-01", responses, trials, rois={"TPJ": np.array([True, True, False])})
    >>> model, flat = FoldModel(np.ones((1, 3), "float32"), np.zeros(3, "float32")), np.ones(3, "float32")
    >>> encoding = Encoding("sub-01", "mllm", ("a",), np.arange(60), x, runs // 2, flat, flat,
    ...                     np.ones(1), flat[None], (0.0, 0.0), flat[None], (model,) * 3)  # stands for encode(...)
    >>> found = region_scores(encoding, recording)
    >>> found[["region", "n_voxels", "r", "low", "high"]].round(2).values.tolist()
    [['TPJ', 2, 0.68, 0.55, 0.8]]
    """
    check_level(level)
    layout = run_layout(encoding, recording)
    regions = named_regions(recording, rois)
    inside = np.stack(list(regions.values()), axis=1)
    n, m, n_folds = len(layout.order), len(layout), len(encoding.models)
    means = RegionMeans(1, m, n_folds, len(regions))
    bytes_per_voxel = 8.0 * (n * 7 + 3 * n_folds * (1 + len(encoding.features)) + m * (5 * n_folds + 20))
    with quiet_threads(len(encoding.features)):
        for voxels in voxel_batches(recording.n_voxels, bytes_per_voxel, memory_gb):
            if inside[voxels].any():
                value, without, moved = _correlations(encoding, recording, layout, voxels)
                means.add(value[None], without[None], moved[None], inside[voxels])
            progress(voxels.stop, recording.n_voxels)
    (r,), (variance,), _ = means.values()
    reach = half_width(variance, m, level)
    names = {"subject": encoding.subject, "space": encoding.space, "region": list(regions)}
    columns = {
        "n_voxels": means.count.astype(int),
        "r": r,
        "se": np.sqrt(variance),
        "low": r - reach,
        "high": r + reach,
    }
    table = pd.DataFrame({**names, **columns})
    if significance is None:
        return table
    p, null = _under_permutations(significance, encoding, list(regions))
    return table.assign(p=p, q=false_discovery_rate(p), null=null)


def _under_permutations(significance: Significance, encoding: Encoding, names: list[str]) -> tuple[Floats, Floats]:
    """P of these regions, and the mean of their null, from permutations of the same encoding."""
    if (significance.subject, significance.space) != (encoding.subject, encoding.space):
        raise InputError(
            f"the significance is of {significance.subject}, {significance.space}, the encoding of "
            f"{encoding.subject}, {encoding.space}",
            remedy="give the significance of this encoding",
        )
    known = significance.regions.set_index("region")[["p", "null"]]
    missing = [name for name in names if name not in known.index]
    if missing:
        raise InputError(
            f"the regions {cut_short(missing)} were not tested",
            source=f"the significance of {encoding.subject}, {encoding.space}",
            remedy="give the same rois to encoding_significance",
        )
    p, null = known.loc[names].to_numpy(np.float64).T
    return p, null


def named_regions(
    recording: Recording, rois: Mapping[str, NDArray[np.bool_]] | None
) -> Mapping[str, NDArray[np.bool_]]:
    """The regions asked for, or those of the recording, checked."""
    regions = recording.rois if rois is None else rois
    source = recording.source or recording.subject
    if not regions:
        raise InputError("there are no regions", source=source, remedy="give rois, or a recording that has some")
    return checked_regions(regions, recording.n_voxels, source=source)


def region_tests(differences: Sequence[EncodingDifference]) -> pd.DataFrame:
    """The tests of single people as one table, for :func:`compare_group`.

    Parameters
    ----------
    differences
        From :func:`compare_encodings`, one per person and other space, the reference being `first` in all.

    Returns
    -------
    DataFrame with columns ``subject``, ``region``, ``space`` (the other), ``reference``, ``n_voxels``,
    ``difference``, ``low``, ``high``, ``p`` and ``q`` (over the regions of one person and pair); without the row of
    all voxels.
    """
    if not differences:
        raise InputError("there are no comparisons to test regions by", remedy="give one per person and pair of spaces")
    references = sorted({difference.first for difference in differences})
    if len(references) > 1:
        raise InputError(
            f"the comparisons have different references, {cut_short(references)}",
            remedy="compare one space with each other one, as the first",
        )
    tables = []
    for difference in differences:
        table = difference.regions.drop(index="all").reset_index()
        table.insert(0, "subject", difference.subject)
        table.insert(2, "space", difference.second)
        table.insert(3, "reference", difference.first)
        tables.append(table)
    columns = ["subject", "region", "space", "reference", "n_voxels", "difference", "low", "high", "p", "q"]
    return pd.concat(tables, ignore_index=True)[columns]


def _correlations(
    encoding: Encoding, recording: Recording, layout: RunLayout, voxels: slice
) -> tuple[Floats, Floats, Floats]:
    """Pooled r of every voxel, (n_voxels,), without each run, (n_runs, ..), with each moved, (n_runs, n_folds, ..)."""
    y = recording.responses[layout.rows, voxels].astype(np.float64)
    x = held_out_predictions(encoding, layout, voxels)
    y -= y.mean(axis=0)
    x -= x.mean(axis=0)
    n = np.broadcast_to(layout.sizes[:, None], (len(layout), y.shape[1]))
    squares = [layout.products(a, b) for a, b in ((y, y), (x, x), (y, x))]
    moments = np.stack([n, layout.sums(y), layout.sums(x), *squares])
    whole = moments.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        value, without = _pearson(whole, whole)[0], _pearson(whole - moments, whole)
        _, _, _, yy, xx, yx = whole[:, 0]
        drift = layout.drift(layout.design_of(encoding), affine_models(encoding, voxels), y - x * (yx / xx))
        moved = value + drift / np.sqrt(yy * xx)
    return value, without, moved


def _pearson(moments: Floats, whole: Floats) -> Floats:
    """Pearson r from the moments (6, ..., n_voxels); NaN where either is constant beside its spread over all trials."""
    n, y, x, yy, xx, yx = moments
    spread_y, spread_x = yy - y**2 / n, xx - x**2 / n
    flat = (spread_y <= _ROUNDING * whole[3]) | (spread_x <= _ROUNDING * whole[4])
    r: Floats = np.where(flat, np.nan, (yx - y * x / n) / np.sqrt(spread_y * spread_x))
    return r
