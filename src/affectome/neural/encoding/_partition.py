"""What several spaces explain of the same voxels: each alone, and which of it they share."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._progress import Progress, silent
from affectome._resampling import check_level, false_discovery_rate
from affectome.errors import InputError
from affectome.neural.encoding._controls import join_spaces
from affectome.neural.encoding._encode import encode
from affectome.neural.encoding._folds import SharedStimuli, outer_folds
from affectome.neural.encoding._result import Encoding
from affectome.neural.encoding._run_sums import (
    Estimates,
    Floats,
    RegionMeans,
    RunLayout,
    affine_models,
    check_same_trials,
    held_out_predictions,
    region_masks,
    run_layout,
    run_variance,
    voxel_batches,
)
from affectome.neural.encoding._solvers import Precision, Solver, quiet_threads
from affectome.neural.recordings import Recording

__all__ = ["UniqueVariance", "VariancePartition", "partition_variance", "unique_variance"]

logger = logging.getLogger(__name__)

_AT_ONCE = 2**14  # voxels encoded at once: progress is told after each model of these

Subset = tuple[str, ...]


class EncodeSettings(TypedDict, total=False):
    """Settings of :func:`encode` that all models of a partition share."""

    n_folds: int
    folds: str | ArrayLike
    alphas: ArrayLike
    shared_stimuli: SharedStimuli
    weightings: int | ArrayLike
    precision: Precision
    backend: str
    solver: Solver


@dataclass(frozen=True, eq=False)
class VariancePartition:
    """Held-out variance that a set of spaces explains, cut into what is unique to each and what they share.

    Attributes
    ----------
    subject : str
    spaces : tuple of str
    models : DataFrame of n_voxels rows
        Held-out R2 of the model of every subset of the spaces; columns ``"a"``, ``"b"``, ``"a + b"`` ...
    parts : DataFrame of n_voxels rows
        The variance that exactly these spaces explain: ``"only a"`` (unique), ``"a & b"`` (shared by these and no
        other) ... They add up to the R2 of the joint model, the last column of `models`. None is clipped: a part below
        0 is sampling noise, or suppression (together the spaces explain more than the sum).
    members : dict from column of `models` and `parts` to tuple of str
        The spaces it names.
    p, q : DataFrames of n_voxels rows, columns the spaces
        One-sided p that a space explains nothing beyond all others, and Benjamini-Hochberg over the voxels of the mask
        for each space.
    regions : DataFrame, index (region, part), ``"all"`` first
        Means over the voxels of the mask: ``kind`` (``"model"`` or ``"part"``), ``n_voxels``, ``r2``, ``se``, ``low``,
        ``high``, ``share_negative`` (of voxels), and for unique parts ``p`` (one-sided) and ``q`` (Benjamini-Hochberg
        over regions and spaces; ``"all"`` is not among them).
    n_runs : int
    level : float
        Coverage the intervals aim at, each by itself.
    """

    subject: str
    spaces: tuple[str, ...]
    models: pd.DataFrame
    parts: pd.DataFrame
    members: dict[str, Subset]
    p: pd.DataFrame
    q: pd.DataFrame
    regions: pd.DataFrame
    n_runs: int
    level: float


@dataclass(frozen=True, eq=False)
class UniqueVariance:
    """Held-out variance that a space explains beyond a set of controls.

    Attributes
    ----------
    subject, space : str
    controls : tuple of str
    voxels : DataFrame of n_voxels rows
        ``r2_controls``, ``r2_joint``, ``unique`` (their difference, never clipped), ``se``, ``low``, ``high``, ``p``
        (one-sided), ``q`` (Benjamini-Hochberg over the voxels of the mask).
    regions : DataFrame, index region (``"all"`` first)
        Means over the voxels of the mask, and ``n_voxels``, ``share_negative``; ``q`` over regions without ``"all"``.
    n_runs : int
    level : float
    """

    subject: str
    space: str
    controls: tuple[str, ...]
    voxels: pd.DataFrame
    regions: pd.DataFrame
    n_runs: int
    level: float


def partition_variance(
    spaces: Mapping[str, pd.DataFrame],
    recording: Recording,
    *,
    max_spaces: int = 5,
    mask: NDArray[np.bool_] | None = None,
    level: float = 0.95,
    seed: int,
    memory_gb: float = 4.0,
    progress: Progress = silent,
    **settings: Unpack[EncodeSettings],
) -> VariancePartition:
    r"""Cut the held-out variance of every voxel into what each space explains alone and what spaces share.

    One model per non-empty subset of the spaces, all on the same trials and folds; models of several spaces are banded
    (a penalty per space), so that a wide space does not drown a narrow one. With :math:`R^2(T)` of the model of T, and
    :math:`R^2(\emptyset) = 0`, what exactly the spaces of S explain is

    .. math:: \sum_{T \subseteq S} (-1)^{|T| + 1} R^2(\bar S \cup T)

    where :math:`\bar S` are the spaces outside S.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        Two or more. Trials are those whose stimulus all of them have.
    recording : Recording
        Its ``rois`` are summarised.
    max_spaces
        There are 2^k - 1 models; more spaces than this are refused.
    mask : bool array of shape (n_voxels,), optional
        Voxels that corrections and regions are about. Choose it without these spaces.
    level
    seed
        Of the weightings of bands that are tried, the same for all voxels.
    memory_gb
        Bounds the voxels taken at once; it changes nothing but rounding.
    **settings
        ``n_folds``, ``folds``, ``alphas``, ``shared_stimuli``, ``weightings``, ``precision``, ``backend``, ``solver``,
        as in :func:`encode`.
    progress
        Told after every model.

    Returns
    -------
    VariancePartition

    Raises
    ------
    InputError
        For fewer than two spaces or too many, spaces that share no stimulus, runs that lie in two folds, or fewer than
        five runs; and as :func:`encode`.

    Notes
    -----
    R2 is against the training mean of each fold, and pooled over trials before it is divided, in float64.

    Interval: t with n_runs - 1 degrees of freedom. Variance: delete-one-run jackknife of the pooled R2 with the fitted
    models held fixed, plus the noise of fitting that it cannot see; see ``docs/partition.md``. It is about what *these
    models* would explain in other runs, not what models fitted to more data would. The same holds for region means,
    whose voxels are never counted as independent.

    Null of `p`: the space, given all others, does not lower the squared error in new runs. Test: one-sided t of its
    unique part with that standard error. Nothing is permuted: shuffling the rows of a space would also break its
    relation to the other spaces, and flipping signs of gains per run misses that errors of different folds share their
    training runs, with false positives of up to .12 at .05 in theory.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(240)]
    >>> a, b = (pd.DataFrame(rng.normal(size=(240, 2)), index=ids) for _ in "ab")
    >>> responses = (a @ np.ones((2, 3)) + rng.normal(size=(240, 3))).to_numpy(np.float32)
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(240) // 20, "session": 1})
    >>> recording = Recording("sub-01", responses, trials)
    >>> found = partition_variance({"a": a, "b": b}, recording, alphas=[1.0, 10.0], weightings=3, seed=0)
    >>> found.regions.loc["all", "r2"].round(2).to_dict()
    {'a': 0.64, 'b': -0.01, 'a + b': 0.64, 'only a': 0.65, 'only b': -0.0, 'a & b': -0.01}
    """
    if len(spaces) < 2 or len(spaces) > max_spaces:
        raise InputError(
            f"{len(spaces)} spaces cannot be partitioned",
            remedy=f"give 2 to {max_spaces}, or raise max_spaces (there is a model for every subset)",
        )
    names = tuple(spaces)
    subsets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    models = [" + ".join(subset) for subset in subsets]
    cells = [f"only {subset[0]}" if len(subset) == 1 else " & ".join(subset) for subset in subsets]
    weights = np.vstack([np.eye(len(subsets)), _inclusion_exclusion(names, subsets)])
    inside = region_masks(recording, mask)
    found = _explained(spaces, subsets, weights, recording, inside, level, seed, memory_gb, settings, progress)
    n, unique = len(subsets), slice(len(subsets), len(subsets) + len(names))
    p = pd.DataFrame(found.voxels.p[unique].T, columns=list(names))
    q = p.where(inside["all"], axis=0).apply(false_discovery_rate, raw=True)
    kind = {**dict.fromkeys(models, "model"), **dict.fromkeys(cells, "part")}
    regions = _region_table(found, inside.columns, kind, unique)
    _say_negative(found.negative[n:, 0], cells, recording.subject)
    return VariancePartition(
        recording.subject,
        names,
        pd.DataFrame(found.voxels.value[:n].T, columns=models),
        pd.DataFrame(found.voxels.value[n:].T, columns=cells),
        dict(zip(kind, [*subsets, *subsets], strict=True)),
        p,
        q,
        regions,
        found.n_runs,
        level,
    )


def unique_variance(
    space: pd.DataFrame,
    controls: Mapping[str, pd.DataFrame],
    recording: Recording,
    *,
    name: str,
    mask: NDArray[np.bool_] | None = None,
    level: float = 0.95,
    seed: int,
    memory_gb: float = 4.0,
    progress: Progress = silent,
    **settings: Unpack[EncodeSettings],
) -> UniqueVariance:
    """Measure what a space explains beyond controls, such as vision, semantics and motion.

    Two models on the same trials and folds, both banded (a penalty per space): all controls, and all controls with the
    space. Their difference in held-out R2 is the unique variance of the space.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    controls : mapping from name to DataFrame
        At least one.
    recording : Recording
    name
        Of the space.
    mask, level, seed, memory_gb, progress, **settings
        As in :func:`partition_variance`.

    Returns
    -------
    UniqueVariance

    Notes
    -----
    Null, test and interval are those of a unique part in :func:`partition_variance`; the correction is
    Benjamini-Hochberg over the voxels of the mask, and over regions. Beyond *these* controls and *linearly*: a space
    can be unique because a control was measured with noise, or shrunk too much.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(240)]
    >>> a, b = (pd.DataFrame(rng.normal(size=(240, 2)), index=ids) for _ in "ab")
    >>> responses = (a @ np.ones((2, 3)) + rng.normal(size=(240, 3))).to_numpy(np.float32)
    >>> trials = pd.DataFrame({"stimulus": ids, "run": np.arange(240) // 20, "session": 1})
    >>> recording = Recording("sub-01", responses, trials)
    >>> found = unique_variance(a, {"b": b}, recording, name="a", alphas=[1.0, 10.0], weightings=3, seed=0)
    >>> found.regions.loc["all", ["r2_controls", "r2_joint", "unique"]].round(2).tolist()
    [-0.01, 0.64, 0.65]
    """
    if not controls:
        raise InputError("there are no controls", remedy="give at least one, or use encode")
    if name in controls:
        raise InputError(f"a control is called {name}, as the space is", remedy="rename one of them")
    others = tuple(controls)
    weights = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])  # of the two models
    inside = region_masks(recording, mask)
    spaces, subsets = {name: space, **controls}, [others, (name, *others)]
    found = _explained(spaces, subsets, weights, recording, inside, level, seed, memory_gb, settings, progress)
    voxels, regions = _unique_table(found.voxels), _unique_table(found.regions)
    voxels["q"] = false_discovery_rate(voxels["p"].where(inside["all"]))
    regions["q"] = np.append(np.nan, false_discovery_rate(regions["p"].iloc[1:]))
    regions = regions.set_axis(inside.columns.rename("region"), axis=0)
    regions = regions.assign(n_voxels=found.count, share_negative=found.negative[2])
    _say_negative(found.negative[2:, 0], ["the unique part"], recording.subject)
    return UniqueVariance(recording.subject, name, others, voxels, regions, found.n_runs, level)


def _inclusion_exclusion(names: Subset, subsets: Sequence[Subset]) -> Floats:
    """What exactly the spaces of each subset explain, as sums of the R2 of the models; (n_subsets, n_subsets)."""
    place = {frozenset(subset): k for k, subset in enumerate(subsets)}
    weights = np.zeros((len(subsets), len(subsets)))
    for row, cell in enumerate(subsets):
        outside = frozenset(names) - frozenset(cell)
        for size in range(len(cell) + 1):
            for inside in combinations(cell, size):
                model = outside | frozenset(inside)
                if model:
                    weights[row, place[model]] += (-1.0) ** (size + 1)
    return weights


@dataclass(frozen=True, eq=False)
class _Explained:
    """Weighted sums of the R2 of models: per voxel (n_statistics, n_voxels), and means per region."""

    voxels: Estimates
    regions: Estimates
    negative: Floats  # share of the voxels of a region
    count: NDArray[np.intp]  # voxels of a region
    n_runs: int


def _explained(
    spaces: Mapping[str, pd.DataFrame],
    subsets: Sequence[Subset],
    weights: Floats,
    recording: Recording,
    inside: pd.DataFrame,
    level: float,
    seed: int,
    memory_gb: float,
    settings: EncodeSettings,
    progress: Progress,
) -> _Explained:
    """Fit the model of every subset, and sum their R2 with these weights (n_statistics, n_models)."""
    check_level(level)
    joint, bands = join_spaces(spaces)
    columns = [[column for name in subset for column in bands[name]] for subset in subsets]
    fold = outer_folds(recording, settings.get("folds", "runs"), settings.get("n_folds", 6))
    n_folds, n_runs = int(fold.max()) + 1, recording.trials["run"].nunique()
    n_coefficients = sum(map(len, columns))
    held = 4.0 * (len(fold) + (n_folds + 1) * n_coefficients + 8 * n_folds * len(subsets))  # of each voxel encoded
    sums = n_runs * (1 + n_folds) * (len(subsets) + 1 + 4 * len(weights))
    at_work = 8.0 * (len(fold) * 8 + 3 * n_folds * (1 + len(joint.columns)) + sums)  # of each voxel summed
    batches = list(voxel_batches(recording.n_voxels, held, memory_gb / 4, most=_AT_ONCE))
    means: RegionMeans | None = None
    values, variances = [], []
    for k, voxels in enumerate(batches):
        part = recording.select_voxels(np.arange(voxels.start, voxels.stop)) if len(batches) > 1 else recording
        encodings: list[Encoding] = []
        for subset, features in zip(subsets, columns, strict=True):
            name = " + ".join(subset)
            chosen = {band: bands[band] for band in subset} if len(subset) > 1 else None
            encodings.append(
                encode(joint[features], part, name=name, bands=chosen, seed=seed, memory_gb=memory_gb / 2, **settings)
            )
            check_same_trials(encodings[0], encodings[-1])
            progress(k * len(subsets) + len(encodings), len(batches) * len(subsets), detail=name)
        layout, regions = run_layout(encodings[0], part), inside.iloc[voxels].to_numpy()
        if means is None:
            means = RegionMeans(len(weights), len(layout), len(encodings[0].models), inside.shape[1])
        with quiet_threads(len(joint.columns)):
            for tile in voxel_batches(part.n_voxels, at_work, memory_gb / 4):
                value, without, moved = _shares(encodings, part, layout, weights, tile)
                means.add(value, without, moved, regions[tile])
                values.append(value)
                variances.append(run_variance(np.moveaxis(without, 1, 0), np.moveaxis(moved, 0, 2), value))
    assert means is not None  # every recording has voxels
    mean, variance, negative = means.values()
    return _Explained(
        Estimates.over_runs(np.hstack(values), np.hstack(variances), means.n_runs, level),
        Estimates.over_runs(mean, variance, means.n_runs, level),
        negative,
        means.count.astype(np.intp),
        means.n_runs,
    )


def _shares(
    encodings: Sequence[Encoding], recording: Recording, layout: RunLayout, weights: Floats, voxels: slice
) -> tuple[Floats, Floats, Floats]:
    """Weighted sums of R2, with each run left out, with each run moved; (n_statistics, [runs, [folds,]] n_voxels)."""
    y = recording.responses[layout.rows, voxels].astype(np.float64)
    base = encodings[-1].training_means(voxels).astype(np.float64)  # (n_folds, V)
    about = y - base[layout.fold]
    total = layout.products(about, about)  # (n_runs, V)
    residual = y - held_out_predictions(encodings[-1], layout, voxels)  # of the model with all spaces
    still = layout.drift(np.empty((len(y), 0)), base[:, None], residual)
    gains, drifts = [], []
    for encoding in encodings:
        error = y - held_out_predictions(encoding, layout, voxels)
        gains.append(total - layout.products(error, error))
        drift = layout.drift(layout.design_of(encoding), affine_models(encoding, voxels), residual)
        drifts.append(2 * (drift - still))
    gain = np.tensordot(weights, np.stack(gains), axes=1)  # (n_statistics, n_runs, V)
    drift = np.tensordot(weights, np.stack(drifts), axes=1)  # (n_statistics, n_runs, n_folds, V)
    denominator = total.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = gain.sum(axis=1) / denominator
        without = (gain.sum(axis=1, keepdims=True) - gain) / (denominator - total)
        moved = value[:, None, None] + drift / denominator
    flat = np.ptp(y, axis=0) == 0
    value[:, flat] = np.nan
    return value, without, moved


def _region_table(found: _Explained, names: pd.Index, kind: Mapping[str, str], unique: slice) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([names, list(kind)], names=["region", "part"])
    of = found.regions
    p = np.full_like(of.p, np.nan)
    p[unique] = of.p[unique]
    q = np.full_like(p, np.nan)
    q[:, 1:] = false_discovery_rate(p[:, 1:])
    columns = {"r2": of.value, "se": of.se, "low": of.low, "high": of.high, "share_negative": found.negative}
    table = pd.DataFrame({name: values.T.ravel() for name, values in {**columns, "p": p, "q": q}.items()}, index=index)
    table.insert(0, "kind", list(kind.values()) * len(names))
    table.insert(1, "n_voxels", np.repeat(found.count, len(kind)))
    return table


def _unique_table(of: Estimates) -> pd.DataFrame:
    values = dict(zip(("r2_controls", "r2_joint", "unique"), of.value, strict=True))
    return pd.DataFrame({**values, "se": of.se[2], "low": of.low[2], "high": of.high[2], "p": of.p[2]})


def _say_negative(share: Floats, names: Sequence[str], subject: str) -> None:
    """Log in how many voxels a part is below 0, since nothing is clipped."""
    shown = [f"{name} ({value:.0%})" for name, value in zip(names, share, strict=True) if value > 0]
    if shown:
        logger.info(
            "%s: parts below 0 (noise of sampling, or suppression) are kept; in these shares of the voxels: %s.",
            subject,
            ", ".join(shown),
        )
