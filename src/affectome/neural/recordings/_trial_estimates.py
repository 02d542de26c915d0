"""From a time series to one response per trial: average over a window, or a general linear model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal, TypedDict, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["Baseline", "EstimateOptions", "Method", "estimate_trials", "trials_outside"]

logger = logging.getLogger(__name__)

Method = Literal["window", "lsa", "lss"]
Baseline = Literal["none", "percent", "z"]
HrfModel = Literal["glover", "spm"]
NoiseModel = Literal["ols", "ar1"]
DriftModel = Literal["cosine", "polynomial", "none"]
Others = Literal["one", "label"]
Floats = NDArray[np.float64]

#: Voxels computed at once; a fixed number, so that a response does not depend on what else is in the file.
_BLOCK = 4096
#: A trial with less than this share of its own variance left beside the others is not told apart from them.
_OWN = 1e-6


class EstimateOptions(TypedDict, total=False):
    """Keywords of :func:`estimate_trials` that a reader of recordings passes on."""

    delay: float
    window: float | None
    baseline: Baseline
    hrf_model: HrfModel
    noise_model: NoiseModel
    drift_model: DriftModel | None
    high_pass: float
    drift_order: int
    others: Others
    slice_time_ref: float


def estimate_trials(
    series: NDArray[np.floating],
    events: pd.DataFrame,
    *,
    tr: float,
    method: Method = "window",
    delay: float = 4.0,
    window: float | None = None,
    baseline: Baseline = "none",
    confounds: pd.DataFrame | None = None,
    hrf_model: HrfModel = "glover",
    noise_model: NoiseModel = "ols",
    drift_model: DriftModel | None = None,
    high_pass: float = 0.01,
    drift_order: int = 1,
    others: Others = "one",
    slice_time_ref: float = 0.5,
    source: str = "the run",
) -> NDArray[np.float32]:
    r"""Estimate the response to every trial of one run.

    Parameters
    ----------
    series : array of shape (n_scans, n_voxels)
        One run, finite.
    events : DataFrame
        One row per trial: ``stimulus``, ``onset``, ``duration`` in seconds (see :func:`read_events`).
    tr
        Seconds from one volume to the next.
    method
        ``"window"``: the mean of the volumes taken while the trial, shifted by `delay`, was shown. ``"lsa"`` (least
        squares, all): one linear model with a regressor per trial. ``"lss"`` (least squares, separate): a linear
        model per trial, the other trials together in one regressor.
    delay
        Seconds of haemodynamic delay. It moves the window; a linear model has its own (`hrf_model`).
    window
        Seconds taken in place of every trial's duration; None: the durations of `events`.
    baseline
        ``"none"``: units of the series. ``"percent"``: percent of the voxel's mean over the run. ``"z"``: standard
        deviations of the voxel's series over the run, nuisance removed. Windows are then measured from the mean
        over the run.
    confounds : DataFrame of n_scans rows, optional
        Nuisance series.
    hrf_model
        Haemodynamic response, by nilearn's name.
    noise_model
        ``"ols"``, or ``"ar1"``: prewhitened by nilearn, per voxel (slow with ``"lss"``: one model per trial).
    drift_model
        ``"cosine"`` (all that is slower than `high_pass`, in Hz), ``"polynomial"`` (up to `drift_order`) or
        ``"none"``. None: cosine in linear models, none in windows.
    others
        With ``"lss"``: the other trials in one regressor (``"one"``), or in one per label (``"label"``).
    slice_time_ref
        When within its TR a volume is taken to be measured, from 0 to 1; 0.5 is the middle.
    source
        What messages call the run.

    Returns
    -------
    float32 array of shape (n_trials, n_voxels)
        In the order of `events`.

    Raises
    ------
    InputError
        Where the series is not finite, a trial lies outside the run, or trials cannot be told apart.

    Notes
    -----
    With times :math:`t_k = (k + s)\,TR`, :math:`s` `slice_time_ref`, the window of a trial is
    :math:`W = \{k : o + d \le t_k < o + l + d\}` for onset :math:`o`, length :math:`l`, delay :math:`d`, and its
    response :math:`\frac{1}{|W|}\sum_{k \in W} y_k`. Confounds and drift are then regressed out of the whole run
    first, its mean kept: where trials follow each other without pause, a model with a mean per window would leave
    nothing to estimate a drift from. In linear models trials, confounds and drift are fitted together.

    Every ordinary least-squares estimate is a fixed sum over the volumes, :math:`\hat\beta = R y`. For LSS, by the
    theorem of Frisch, Waugh and Lovell, row :math:`t` of :math:`R` is :math:`u_t / u_t'u_t`, where :math:`u_t` is
    what is left of the trial's regressor beside all others of its model; so all models cost one matrix product.

    Computed in float64, 4,096 voxels at a time. No value of another run enters.

    References
    ----------
    Mumford et al. 2012, NeuroImage 59, 2636 (LSA, LSS).

    Examples
    --------
    >>> series = np.array([[0.0], [0.0], [0.0], [4.0], [6.0], [0.0]])
    >>> events = pd.DataFrame({"stimulus": ["joy"], "onset": [2.0], "duration": [4.0]})
    >>> estimate_trials(series, events, tr=2.0, delay=4.0)
    array([[5.]], dtype=float32)
    """
    _check_choices(
        method=(method, Method),
        baseline=(baseline, Baseline),
        hrf_model=(hrf_model, HrfModel),
        noise_model=(noise_model, NoiseModel),
        others=(others, Others),
        drift_model=(drift_model or "none", DriftModel),
    )
    _check_numbers(tr, delay, high_pass, slice_time_ref)
    _check_series(series, baseline, source)
    outside = trials_outside(events, len(series), tr=tr, delay=delay, window=window, slice_time_ref=slice_time_ref)
    if outside.any():
        raise InputError(
            f"no volume was taken in the window of {_named(events, outside)} (the run ends at {len(series) * tr:g} s)",
            source=source,
            remedy="leave such trials out, or check tr, delay and the durations",
        )
    shown = pd.DataFrame({"onset": events["onset"], "duration": _lengths(events, window, source)})
    times: Floats = (np.arange(len(series), dtype=np.float64) + slice_time_ref) * tr
    drift = drift_model or ("none" if method == "window" else "cosine")
    nuisance = _nuisance(times, confounds, drift, high_pass, drift_order, source)
    if method == "window":
        weights = _window_weights(shown, times, delay, events, source)
        weights -= (weights @ nuisance) @ nuisance.T
        return _weighted(series, weights, nuisance, baseline, level=baseline == "none")
    trials = _regressors(shown, times, hrf_model)
    beside = None if method == "lsa" else _others(trials, events["stimulus"].astype(str).tolist(), others)
    weights, lost = _joint_weights(trials, nuisance) if beside is None else _own_weights(trials, beside, nuisance)
    if lost.any():
        raise InputError(
            f"the model cannot tell {_named(events, lost)} from the other trials and the nuisance "
            f"({len(trials)} volumes, {len(lost)} trials, {nuisance.shape[1]} nuisance series)",
            source=source,
            remedy="leave out one of two trials at the same moment, take fewer confounds, or method 'window' or 'lss'",
        )
    if noise_model == "ols":
        return _weighted(series, weights, nuisance, baseline, level=False)
    return _prewhitened(series, trials, beside, nuisance, baseline)


def trials_outside(
    events: pd.DataFrame,
    n_scans: int,
    *,
    tr: float,
    delay: float = 4.0,
    window: float | None = None,
    slice_time_ref: float = 0.5,
) -> NDArray[np.bool_]:
    """Which trials the run does not hold: no volume was taken from onset + delay to the end of the delayed trial.

    A trial shorter than a TR may fall between two volumes; it is outside only where no volume at all follows (or
    precedes) it, and a window without volumes is refused by :func:`estimate_trials`.

    Returns
    -------
    bool array of shape (n_trials,)
    """
    length = events["duration"].to_numpy(np.float64) if window is None else np.full(len(events), float(window))
    begins = events["onset"].to_numpy(np.float64) + delay
    last = (n_scans - 1 + slice_time_ref) * tr
    outside: NDArray[np.bool_] = (begins > last) | (begins + np.nan_to_num(length) < slice_time_ref * tr)
    return outside


def _check_choices(**given: tuple[str, object]) -> None:
    for name, (value, known) in given.items():
        if value not in get_args(known):
            raise InputError(f"{name} is '{value}'", remedy=f"choose among {', '.join(get_args(known))}")


def _check_numbers(tr: float, delay: float, high_pass: float, slice_time_ref: float) -> None:
    if not (np.isfinite(tr) and tr > 0):
        raise InputError(f"tr is {tr}", remedy="give the seconds from one volume to the next")
    if not np.isfinite(delay):
        raise InputError(f"delay is {delay}", remedy="give seconds")
    if not (np.isfinite(high_pass) and high_pass > 0):
        raise InputError(f"high_pass is {high_pass}", remedy="give a frequency in Hz above 0, or drift_model='none'")
    if not 0 <= slice_time_ref <= 1:
        raise InputError(f"slice_time_ref is {slice_time_ref}", remedy="give a share of the TR from 0 to 1")


def _check_series(series: NDArray[np.floating], baseline: Baseline, source: str) -> None:
    """Finite, more than one volume, and what the baseline needs of every voxel."""
    if series.ndim != 2 or len(series) < 2 or series.shape[1] == 0:
        raise InputError(f"the series has the shape {series.shape}", source=source, remedy="give volumes × voxels")
    wrong = np.concatenate([~np.isfinite(block).all(axis=0) for block in _blocks(series)])
    problem, remedy = "are not finite in some volume", "leave them out"
    if baseline == "percent" and not wrong.any():
        wrong = np.concatenate([block.mean(axis=0, dtype=np.float64) <= 0 for block in _blocks(series)])
        problem = "have no mean above 0 that a change could be a percentage of"
        remedy = "take baseline 'z' or 'none', or a narrower mask"
    if baseline == "z" and not wrong.any():
        wrong = np.concatenate([np.ptp(block, axis=0) == 0 for block in _blocks(series)])
        problem = "are constant and have no z"
    if wrong.any():
        raise InputError(
            f"{wrong.sum()} of {len(wrong)} voxels {problem}",
            source=source,
            where=f"column {int(np.argmax(wrong)) + 1}",
            remedy=remedy,
        )


def _blocks(series: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """Some voxels at a time, (n_scans, at most 4,096)."""
    for first in range(0, series.shape[1], _BLOCK):
        yield series[:, first : first + _BLOCK]


def _named(events: pd.DataFrame, chosen: NDArray[np.bool_]) -> str:
    """Trials by label and onset, the first few."""
    rows = events[chosen]
    return cut_short(
        [f"'{label}' at {onset:g} s" for label, onset in zip(rows["stimulus"], rows["onset"], strict=True)]
    )


def _lengths(events: pd.DataFrame, window: float | None, source: str) -> Floats:
    """Seconds that each trial lasts for the estimate."""
    if window is not None:
        if not (np.isfinite(window) and window > 0):
            raise InputError(f"window is {window}", remedy="give seconds above 0")
        return np.full(len(events), float(window))
    lengths: Floats = events["duration"].to_numpy(np.float64)
    if np.isnan(lengths).any():
        raise InputError(
            f"the duration of {_named(events, np.isnan(lengths))} is n/a",
            source=source,
            remedy="give window, the seconds to take for all",
        )
    return lengths


def _nuisance(
    times: Floats, confounds: pd.DataFrame | None, drift: DriftModel, high_pass: float, order: int, source: str
) -> Floats:
    """Orthonormal basis (n_scans, q) of the constant, the drift and the confounds."""
    from nilearn.glm.first_level import make_first_level_design_matrix

    columns = [np.ones((len(times), 1))]
    if drift != "none":
        n_series = order if drift == "polynomial" else 2 * high_pass * len(times) * (times[1] - times[0])
        _check_room(n_series, len(times), source)
        design = make_first_level_design_matrix(times, drift_model=drift, high_pass=high_pass, drift_order=order)
        columns.append(design.drop(columns="constant").to_numpy(np.float64))
    if confounds is not None:
        columns.append(_finite_confounds(confounds, len(times), source))
    stacked = np.column_stack(columns)
    stacked[:, 1:] -= stacked[:, 1:].mean(axis=0)
    length = np.linalg.norm(stacked, axis=0)
    u, s, _ = np.linalg.svd(stacked / np.where(length == 0, 1.0, length), full_matrices=False)
    basis: Floats = u[:, s > s[0] * 1e-8]
    _check_room(basis.shape[1], len(times), source)
    return basis


def _check_room(n_nuisance: float, n_scans: int, source: str) -> None:
    """Refuse as much nuisance as there are volumes."""
    if n_nuisance >= n_scans - 1:
        raise InputError(
            f"{n_nuisance:.0f} nuisance series leave nothing of {n_scans} volumes",
            source=source,
            remedy="take fewer confounds, or a lower high_pass or drift_order",
        )


def _finite_confounds(confounds: pd.DataFrame, n_scans: int, source: str) -> Floats:
    if len(confounds) != n_scans:
        raise InputError(
            f"{len(confounds)} rows of confounds are given for {n_scans} volumes",
            source=source,
            remedy="give one row per volume",
        )
    values: Floats = confounds.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    row, column = (np.argwhere(~np.isfinite(values)).tolist() or [[-1, -1]])[0]
    if row >= 0:
        raise InputError(
            f"the confound '{confounds.columns[column]}' is '{confounds.iloc[row, column]!s}'",
            source=source,
            where=f"row {row + 1}",
            remedy="fill it in, or leave that confound out",
        )
    return values


def _window_weights(shown: pd.DataFrame, times: Floats, delay: float, events: pd.DataFrame, source: str) -> Floats:
    """Averaging over the volumes of each delayed trial, (n_trials, n_scans)."""
    begins = shown["onset"].to_numpy(np.float64)[:, None] + delay
    # An onset and a volume at the same moment must meet whatever the last bit of their sums is.
    inside = (times >= begins - 1e-6) & (times < begins + shown["duration"].to_numpy()[:, None] - 1e-6)
    empty = ~inside.any(axis=1)
    if empty.any():
        raise InputError(
            f"no volume was taken in the window of {_named(events, empty)}",
            source=source,
            remedy="give a longer window, or leave such trials out",
        )
    shared = inside[:, inside.sum(axis=0) > 1].any(axis=1)
    if shared.any():
        logger.warning(
            "%s: the windows of %d of %d trials share volumes; method 'lss' tells such trials apart.",
            source, shared.sum(), len(shared),
        )  # fmt: skip
    weights: Floats = inside / inside.sum(axis=1, keepdims=True)
    return weights


def _regressors(shown: pd.DataFrame, times: Floats, hrf_model: HrfModel) -> Floats:
    """What each trial alone would do to the series, (n_scans, n_trials)."""
    from nilearn.glm.first_level import compute_regressor

    earliest = min(-24.0, float(shown["onset"].min()) - times[0] - 1)
    columns = [
        compute_regressor(([onset], [length], [1.0]), hrf_model, times, min_onset=earliest)[0][:, 0]
        for onset, length in zip(shown["onset"], shown["duration"], strict=True)
    ]
    return np.column_stack(columns)


def _others(trials: Floats, labels: list[str], others: Others) -> list[Floats]:
    """For each trial the regressors of the other trials in its own model, (n_scans, k)."""
    groups = np.array(labels if others == "label" else ["all"] * len(labels))
    sums = {name: trials[:, groups == name].sum(axis=1) for name in dict.fromkeys(groups)}
    return [
        np.column_stack([total - trials[:, row] if name == groups[row] else total for name, total in sums.items()])
        for row in range(len(groups))
    ]


def _own_weights(trials: Floats, beside: list[Floats], nuisance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Row of each trial in the least-squares solution of its own model (n_trials, n_scans); which trials have none."""
    weights, lost = np.zeros(trials.T.shape), np.zeros(trials.shape[1], np.bool_)
    clean = _without(nuisance, trials)
    spread = trials.var(axis=0) * len(trials)
    for row, others in enumerate(beside):
        rest = _without(nuisance, others)
        own = clean[:, row] - rest @ np.linalg.lstsq(rest, clean[:, row], rcond=1e-10)[0]
        energy = own @ own
        lost[row] = not energy > _OWN * spread[row]
        weights[row] = 0.0 if lost[row] else own / energy
    return weights, lost


def _joint_weights(trials: Floats, nuisance: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Rows of the trials in the least-squares solution of one model (n_trials, n_scans); which trials have none."""
    spread = np.sqrt(trials.var(axis=0) * len(trials))
    scaled = _without(nuisance, trials) / np.where(spread == 0, 1.0, spread)
    u, s, vt = np.linalg.svd(scaled, full_matrices=True)
    present = np.zeros(len(vt), np.bool_)
    present[: len(s)] = s**2 > _OWN * s[0] ** 2
    lost: NDArray[np.bool_] = (np.abs(vt[~present]) > 1e-3).any(axis=0)
    if lost.any():
        return np.zeros(trials.T.shape), lost
    return (vt.T / s @ u[:, : len(s)].T) / spread[:, None], lost


def _without(nuisance: Floats, values: Floats) -> Floats:
    """What the nuisance leaves of the values."""
    left: Floats = values - nuisance @ (nuisance.T @ values)
    return left


def _weighted(
    series: NDArray[np.floating], weights: Floats, nuisance: Floats, baseline: Baseline, *, level: bool
) -> NDArray[np.float32]:
    """Weights (n_trials, n_scans) times the series about its mean, in the units asked for, the mean back at `level`."""
    responses = np.empty((len(weights), series.shape[1]), np.float32)
    for first in range(0, series.shape[1], _BLOCK):
        columns = slice(first, first + _BLOCK)
        block = series[:, columns].astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        found = weights @ block / _units(block, mean, nuisance, baseline)
        responses[:, columns] = found + mean if level else found
    return responses


def _units(centred: Floats, mean: Floats, nuisance: Floats, baseline: Baseline) -> Floats:
    """What one unit of the response is in units of the series, (n_voxels,)."""
    if baseline == "percent":
        return mean / 100
    if baseline == "none":
        return np.ones_like(mean)
    spread: Floats = _without(nuisance, centred).std(axis=0)
    return spread


def _prewhitened(
    series: NDArray[np.floating], trials: Floats, beside: list[Floats] | None, nuisance: Floats, baseline: Baseline
) -> NDArray[np.float32]:
    """Estimates of nilearn's AR(1) models: all trials in one, or one model per trial where `beside` is given."""
    designs = [trials] if beside is None else [np.column_stack([trials[:, [k]], rest]) for k, rest in enumerate(beside)]
    responses = np.empty((trials.shape[1], series.shape[1]), np.float32)
    for first in range(0, series.shape[1], _BLOCK):
        columns = slice(first, first + _BLOCK)
        block = series[:, columns].astype(np.float64)
        mean = block.mean(axis=0)
        block -= mean
        n_own = trials.shape[1] if beside is None else 1
        found = np.concatenate([_ar1(block, np.column_stack([design, nuisance]))[:n_own] for design in designs])
        responses[:, columns] = found / _units(block, mean, nuisance, baseline)
    return responses


def _ar1(block: Floats, design: Floats) -> Floats:
    """Coefficients of a model with AR(1) noise, (n_regressors, n_voxels)."""
    from nilearn.glm.first_level import run_glm

    labels, results = run_glm(block, design, noise_model="ar1")
    found = np.empty((design.shape[1], block.shape[1]))
    for label, result in results.items():
        found[:, labels == label] = result.theta
    return found
