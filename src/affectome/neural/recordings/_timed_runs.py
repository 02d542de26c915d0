"""Time series of several runs, with when what was shown, made into the trials of one person."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.recordings._trial_estimates import EstimateOptions, Method, estimate_trials, trials_outside

__all__ = [
    "CutOff",
    "Estimate",
    "TimedRun",
    "agreed_tr",
    "check_estimate",
    "only_usable",
    "per_run",
    "timed_recording",
    "varies",
]

logger = logging.getLogger(__name__)

#: How responses come about; ``"none"``: the rows of the file are responses already.
Estimate = Literal["window", "lsa", "lss", "none"]
#: What happens to trials that the run does not hold.
CutOff = Literal["refuse", "drop"]
#: Seconds from volume to volume that a header may say and be believed; 1 s is also what is written by default.
_SHORTEST_TR, _LONGEST_TR = 0.05, 30.0
_OWN_COLUMNS = ("stimulus", "run", "session", "onset", "duration")


@dataclass(frozen=True, eq=False)
class TimedRun:
    """One run: its series is read when its turn comes."""

    name: str
    read: Callable[[], NDArray[np.float32]]  # (n_scans, n_voxels)
    events: pd.DataFrame
    tr: float
    confounds: pd.DataFrame | None = None
    session: int = 1
    slice_time_ref: float | None = None  # taken where the options say nothing
    said: Mapping[str, object] = field(default_factory=dict)  # further columns of its trials


def check_estimate(estimate: str, cut_off: str, options: EstimateOptions, *, of: object = Estimate) -> None:
    """Refuse names that are none."""
    for name, value, known in (("estimate", estimate, get_args(of)), ("cut_off", cut_off, get_args(CutOff))):
        if value not in known:
            raise InputError(f"{name} is '{value}'", remedy=f"choose among {', '.join(known)}")
    foreign = [name for name in options if name not in EstimateOptions.__annotations__]
    if foreign:
        raise InputError(
            f"estimate_trials has no option {cut_short(foreign)}",
            remedy=f"choose among {', '.join(EstimateOptions.__annotations__)}",
        )


def per_run(given: object, n_runs: int, what: str) -> list[Any]:
    """One entry per run: what is no list is a list of one."""
    listed = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(listed) != n_runs:
        raise InputError(f"{len(listed)} {what} are given for {n_runs} runs", remedy="give one per run, in their order")
    return listed


def run_sessions(session: int | Sequence[int], n_runs: int) -> list[int]:
    """Session of every run, given one for all or one each."""
    one = isinstance(session, (int, np.integer))
    return [int(value) for value in per_run([session] * n_runs if one else session, n_runs, "sessions")]


def run_confounds(confounds: object, n_runs: int) -> list[pd.DataFrame | None]:
    """Nuisance series of every run."""
    if confounds is None:
        return [None] * n_runs
    return [_confound_table(table) for table in per_run(confounds, n_runs, "tables of confounds")]


def _confound_table(table: str | os.PathLike[str] | pd.DataFrame) -> pd.DataFrame:
    return table if isinstance(table, pd.DataFrame) else read_table(table, text_columns=())


def agreed_tr(said: float, given: float | None, source: str) -> float:
    """Seconds between volumes: what the file says, where it can be believed, and what the user says, agree."""
    believable = _SHORTEST_TR <= said <= _LONGEST_TR and said != 1.0
    if given is None:
        if believable:
            return round(said, 6)
        raise InputError(
            f"says {said:g} s from volume to volume, as programs write that do not know it",
            source=source,
            remedy="give tr, in seconds",
        )
    if believable and abs(said - given) > 1e-3 * given:
        raise InputError(
            f"says {said:g} s from volume to volume, and tr is {given:g}",
            source=source,
            remedy="find out which is right; leave tr out, or correct the header",
        )
    return float(given)


def timed_recording(
    runs: Sequence[TimedRun],
    geometry: VolumeGrid | SurfaceMesh,
    *,
    subject: str,
    source: str,
    method: Method,
    cut_off: CutOff,
    options: EstimateOptions,
) -> Recording:
    """Estimate the trials of all runs, each run by itself, one series in memory at a time.

    Runs are numbered in their order. Voxels that are constant or not finite in some run are left out.
    """
    responses = np.full((sum(len(run.events) for run in runs), len(geometry)), np.nan, np.float32)
    usable = np.ones(len(geometry), np.bool_)
    shown: list[pd.DataFrame] = []
    first = 0
    for run in runs:
        series, settings = run.read(), options
        if run.slice_time_ref is not None:
            settings = EstimateOptions(**{"slice_time_ref": run.slice_time_ref, **options})
        if len(series) < 2:
            raise InputError(
                f"holds {len(series)} volumes, which are no series", source=run.name, remedy="leave it out"
            )
        fine = varies(series)
        if not fine.any():
            raise InputError("every voxel is constant or not finite", source=run.name, remedy="leave this run out")
        usable &= fine
        shown.append(_held(run, len(series), cut_off, settings))
        last = first + len(shown[-1])
        responses[first:last, fine] = estimate_trials(
            series if fine.all() else series[:, fine],
            shown[-1],
            tr=run.tr,
            method=method,
            confounds=run.confounds,
            source=run.name,
            **settings,
        )
        first = last
    responses = responses[:first]
    return only_usable(responses, usable, _trial_table(runs, shown), geometry, subject=subject, source=source)


def only_usable(
    responses: NDArray[np.float32],
    usable: NDArray[np.bool_],
    trials: pd.DataFrame,
    geometry: VolumeGrid | SurfaceMesh,
    *,
    subject: str,
    source: str,
) -> Recording:
    """The recording without the voxels that are not usable; how many is logged."""
    place = "voxels" if isinstance(geometry, VolumeGrid) else "vertices"
    lost = int((~usable).sum())
    if lost == len(usable):
        raise InputError(
            f"each of {lost} {place} is constant or not finite in some run", source=source, remedy="check the mask"
        )
    if lost:
        logger.warning(
            "%s: %d of %d %s are constant or not finite in at least one run and are left out.",
            source, lost, len(usable), place,
        )  # fmt: skip
        responses, geometry = responses[:, usable], geometry.select(usable)
    return Recording(subject, responses, trials, geometry, source=source)


def varies(series: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which voxels are finite and not constant; minimum and maximum are NaN or infinite where one value is."""
    low, high = series.min(axis=0), series.max(axis=0)
    return np.asarray(np.isfinite(low) & np.isfinite(high) & (high > low))


_TIMING = ("delay", "window", "slice_time_ref")


def _held(run: TimedRun, n_scans: int, cut_off: CutOff, options: EstimateOptions) -> pd.DataFrame:
    """Events of the run without those beyond its ends, where they are to be dropped."""
    if cut_off == "refuse":
        return run.events
    timing: dict[str, Any] = {name: value for name, value in options.items() if name in _TIMING}
    outside = trials_outside(run.events, n_scans, tr=run.tr, **timing)
    if outside.all():
        raise InputError("the run ends before its first trial", source=run.name, remedy="leave this run out")
    if outside.any():
        names = run.events.loc[outside, "stimulus"].tolist()
        logger.warning("%s: %d trials lie outside the run: %s.", run.name, len(names), cut_short(names))
    return run.events[~outside].reset_index(drop=True)


def _trial_table(runs: Sequence[TimedRun], shown: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One row per trial of all runs."""
    tables = []
    for number, (run, events) in enumerate(zip(runs, shown, strict=True), start=1):
        rest = events.drop(columns=[name for name in (*_OWN_COLUMNS, *run.said) if name in events.columns])
        own = {"run": number, "session": run.session, **run.said}
        place = pd.DataFrame({name: [value] * len(events) for name, value in own.items()})
        tables.append(pd.concat([events[["stimulus"]], place, events[["onset", "duration"]], rest], axis=1))
    return pd.concat(tables, ignore_index=True)
