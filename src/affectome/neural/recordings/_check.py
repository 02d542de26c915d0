"""What is in a recording, and whether it can be analysed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._labels import LabelMatch, compare_labels
from affectome.neural.recordings._recording import Recording, VolumeGrid

logger = logging.getLogger(__name__)

__all__ = ["RecordingCheck", "check_recording", "refuse_missing", "settle_missing"]

_BLOCK_VALUES = 2**22


@dataclass(frozen=True, eq=False)
class RecordingCheck:
    """Facts about a recording, and what to look at before it is analysed.

    Attributes
    ----------
    subject, source : str
    n_trials, n_stimuli, n_voxels : int
        Stimuli are counted as the recording names them, before matching.
    runs : DataFrame, index run
        ``session``, ``n_trials``, ``n_stimuli``, ``missing_voxels`` (voxels with a NaN or infinite response in the
        run), ``constant_voxels`` (the same response in all trials of the run).
    regions : DataFrame, index region
        ``n_voxels``, 0 for an empty region.
    repeats : DataFrame, index n_trials
        ``n_stimuli`` that are shown in so many trials.
    n_across_runs : int
        Stimuli shown in more than one run.
    missing_voxels, constant_voxels : int
        Over all trials: voxels with any NaN or infinite response; voxels with one response throughout.
    geometry : str
        Kind, voxel size in mm and space, in words.
    labels : LabelMatch or None
        Where ids were given and any trial matched.
    warnings : tuple of str
        Sentences; empty where nothing stands out.
    """

    subject: str
    source: str
    n_trials: int
    n_stimuli: int
    n_voxels: int
    runs: pd.DataFrame
    regions: pd.DataFrame
    repeats: pd.DataFrame
    n_across_runs: int
    missing_voxels: int
    constant_voxels: int
    geometry: str
    labels: LabelMatch | None
    warnings: tuple[str, ...]

    def facts(self) -> pd.DataFrame:
        """The facts as a table, index ``fact``, one column ``value``."""
        index = pd.Index([name for name, _ in self._rows()], name="fact")
        return pd.DataFrame({"value": [value for _, value in self._rows()]}, index=index)

    def _rows(self) -> list[tuple[str, str]]:
        lengths = self.runs["n_trials"]
        sessions = self.runs["session"].nunique()
        full = self.regions[self.regions["n_voxels"] > 0]["n_voxels"]
        rows = [
            ("trials", f"{self.n_trials}"),
            ("stimuli", f"{self.n_stimuli}, {self.n_across_runs} of them in more than one run"),
            ("repeats", _repeats_in_words(self.repeats)),
            ("sessions", f"{sessions}"),
            ("runs", f"{len(self.runs)} of {_range(lengths)} trials"),
            (
                "voxels",
                f"{self.n_voxels}, {self.constant_voxels} constant, {self.missing_voxels} with missing responses",
            ),
            ("places", self.geometry),
            ("regions", f"{len(full)} of {_range(full)} voxels" if len(full) else "none"),
        ]
        if self.labels is not None:
            match = self.labels
            rows.append(
                (
                    "labels",
                    f"{match.n_matched} of {self.n_trials} trials match {len(match.matched['id'].unique())} stimuli"
                    f" by {_RULES[match.rule]}; {_not_shown(len(match.unshown))}",
                )
            )
        return rows

    def __str__(self) -> str:
        lines = [f"{self.subject} ({self.source})" if self.source else self.subject]
        lines += [f"  {name + ':':<10} {value}" for name, value in self._rows()]
        lines += [f"  ! {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _not_shown(count: int) -> str:
    return "all stimuli are shown" if not count else f"{count} {'is' if count == 1 else 'are'} not shown"


_RULES = {"table": "the table of labels", "id": "id", "number": "number"}


def check_recording(recording: Recording, ids: Sequence[str] | None = None) -> RecordingCheck:
    """Look through a recording.

    Parameters
    ----------
    recording : Recording
        Missing responses are allowed and counted.
    ids : sequence of str, optional
        Stimuli that are known; says how the labels match (:func:`match_stimuli`).

    Returns
    -------
    RecordingCheck
        Printed, a report of at most 25 lines.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["1", "2", "1", "3"], "run": [1, 1, 2, 2], "session": 1})
    >>> there = Recording("sub-01", np.arange(8, dtype=np.float32).reshape(4, 2), trials)
    >>> print(check_recording(there, ["0001", "0002"]))
    sub-01
      trials:    4
      stimuli:   3, 1 of them in more than one run
      repeats:   2 stimuli once, 1 twice
      sessions:  1
      runs:      2 of 2 trials
      voxels:    2, 0 constant, 0 with missing responses
      places:    not given
      regions:   none
      labels:    3 of 4 trials match 2 stimuli by number; all stimuli are shown
      ! The places of the voxels are not given, so no map can be drawn.
      ! 1 trial shows no known stimulus and drops out (labels 3).
    """
    trials = recording.trials
    runs, missing, constant = _look_at_runs(recording)
    regions = pd.DataFrame(
        {"n_voxels": [int(mask.sum()) for mask in recording.rois.values()]},
        index=pd.Index(list(recording.rois), name="region"),
    )
    times = trials["stimulus"].value_counts()
    repeats = times.value_counts().sort_index().rename("n_stimuli").rename_axis("n_trials").to_frame()
    labels, label_warnings = _look_at_labels(recording, ids)
    check = RecordingCheck(
        subject=recording.subject,
        source=recording.source,
        n_trials=len(trials),
        n_stimuli=len(times),
        n_voxels=recording.n_voxels,
        runs=runs,
        regions=regions,
        repeats=repeats,
        n_across_runs=int((trials.groupby("stimulus")["run"].nunique() > 1).sum()),
        missing_voxels=missing,
        constant_voxels=constant,
        geometry=_geometry_in_words(recording),
        labels=labels,
        warnings=(),
    )
    return replace(check, warnings=(*_warnings(check, located=recording.geometry is not None), *label_warnings))


def _warnings(check: RecordingCheck, *, located: bool) -> Iterator[str]:
    runs = check.runs
    if len(runs) < 2:
        yield "There is a single run, so folds by run are impossible."
    if runs["n_trials"].min() < 2:
        short = runs.index[runs["n_trials"] < 2]
        yield f"Runs {cut_short(short)} have a single trial and cannot be standardised."
    elif runs["n_trials"].nunique() > 1 and runs["n_trials"].min() < runs["n_trials"].median() / 2:
        short = runs.index[runs["n_trials"] < runs["n_trials"].median() / 2]
        yield f"Runs {cut_short(short)} have less than half the trials of the usual run; were they stopped?"
    broken = runs[runs["missing_voxels"] > 0]
    if len(broken):
        said = [f"{run} ({count} voxels)" for run, count in broken["missing_voxels"].items()]
        yield f"Responses are missing (NaN or infinite) in runs {cut_short(said)}; drop these voxels or runs."
    if check.constant_voxels:
        yield f"{check.constant_voxels} of {check.n_voxels} voxels are constant; their correlations are undefined."
    still = runs[(runs["constant_voxels"] > check.constant_voxels) & (runs["n_trials"] > 1)]
    if len(still):
        said = [f"{run} ({count})" for run, count in still["constant_voxels"].items()]
        yield f"More voxels are constant within runs {cut_short(said)}."
    if not located:
        yield "The places of the voxels are not given, so no map can be drawn."
    empty = check.regions.index[check.regions["n_voxels"] == 0]
    if len(empty):
        yield f"{'1 region has' if len(empty) == 1 else f'{len(empty)} regions have'} no voxel: {cut_short(empty)}."


def _look_at_runs(recording: Recording) -> tuple[pd.DataFrame, int, int]:
    """Table of runs; voxels with missing responses and constant ones over all trials."""
    trials, n_voxels = recording.trials, recording.n_voxels
    lowest, highest = np.full(n_voxels, np.inf, np.float32), np.full(n_voxels, -np.inf, np.float32)
    missing = np.zeros(n_voxels, bool)
    rows = []
    for run in np.unique(trials["run"]):
        indices = np.flatnonzero(trials["run"] == run)
        low, high, broken = _extremes(recording.responses, indices)
        here = trials.iloc[indices]
        rows.append(
            {
                "run": run,
                "session": here["session"].iloc[0],
                "n_trials": len(indices),
                "n_stimuli": here["stimulus"].nunique(),
                "missing_voxels": int(broken.sum()),
                "constant_voxels": int(((low == high) & ~broken).sum()),
            }
        )
        lowest, highest, missing = np.minimum(lowest, low), np.maximum(highest, high), missing | broken
    constant = int(((lowest == highest) & ~missing).sum())
    return pd.DataFrame(rows).set_index("run"), int(missing.sum()), constant


def _extremes(
    responses: NDArray[np.float32], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Least and largest response of each voxel in these trials, and whether any is NaN or infinite."""
    low = np.full(responses.shape[1], np.inf, np.float32)
    high = np.full(responses.shape[1], -np.inf, np.float32)
    at_once = max(1, _BLOCK_VALUES // responses.shape[1])
    for start in range(0, len(rows), at_once):
        block = responses[rows[start : start + at_once]]
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    return low, high, ~(np.isfinite(low) & np.isfinite(high))


def _look_at_labels(recording: Recording, ids: Sequence[str] | None) -> tuple[LabelMatch | None, list[str]]:
    if ids is None:
        return None, []
    try:
        _, match = compare_labels(recording, ids)
    except InputError as error:
        return None, [f"{error.problem[0].upper()}{error.problem[1:]}."]
    if not match.n_unmatched:
        return match, []
    trials = "1 trial shows" if match.n_unmatched == 1 else f"{match.n_unmatched} trials show"
    verb = "drops" if match.n_unmatched == 1 else "drop"
    named = cut_short(match.unmatched["label"].tolist())
    return match, [f"{trials} no known stimulus and {verb} out (labels {named})."]


def _geometry_in_words(recording: Recording) -> str:
    grid = recording.geometry
    if grid is None:
        return "not given"
    space = f"space {grid.space}" if grid.space else "the person's own space"
    if isinstance(grid, VolumeGrid):
        from nibabel.affines import voxel_sizes

        sizes = " × ".join(f"{size:.3g}" for size in voxel_sizes(grid.affine))
        return f"a volume of {' × '.join(map(str, grid.shape))} voxels of {sizes} mm, {space}"
    left, right = int((~grid.right).sum()), int(grid.right.sum())
    return f"a surface, {left} of {grid.mesh_sizes[0]} vertices left, {right} of {grid.mesh_sizes[1]} right, {space}"


def _range(counts: pd.Series[int]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _repeats_in_words(repeats: pd.DataFrame, most: int = 4) -> str:
    words = {1: "once", 2: "twice"}
    said = [
        f"{stimuli} {'stimuli ' if position == 0 else ''}{words.get(times, f'{times} times')}"
        for position, (times, stimuli) in enumerate(zip(repeats.index.tolist(), repeats["n_stimuli"], strict=True))
    ]
    return (
        ", ".join(said) if len(said) <= most else f"{', '.join(said[:most])}, others up to {repeats.index.max()} times"
    )


def refuse_missing(recording: Recording) -> None:
    """Refuse a recording with NaN or infinite responses, naming run and voxels."""
    missing = missing_by_run(recording)
    if missing:
        raise missing_error(missing, recording.source or recording.subject)


def settle_missing(recording: Recording, nan: Literal["raise", "drop voxels"]) -> Recording:
    """Refuse missing responses, or leave out the voxels that have any (this copies the rest)."""
    if nan not in ("raise", "drop voxels"):
        raise InputError(f"nan is '{nan}'", remedy="choose raise or drop voxels")
    missing = missing_by_run(recording)
    if not missing:
        return recording
    source = recording.source or recording.subject
    if nan == "raise":
        raise missing_error(missing, source)
    broken = np.logical_or.reduce(list(missing.values()))
    if broken.all():
        raise InputError(
            f"all {len(broken)} voxels have missing responses (in runs {cut_short(list(map(str, missing)))})",
            source=source,
            remedy="leave these runs out",
        )
    logger.warning(
        "%s: %d of %d voxels are left out, whose responses are missing in some trial.",
        source,
        broken.sum(),
        len(broken),
    )
    return recording.select_voxels(~broken)


def missing_by_run(recording: Recording) -> dict[int, NDArray[np.bool_]]:
    """For each run with missing responses, which voxels have them."""
    runs = recording.trials["run"].to_numpy()
    found: dict[int, NDArray[np.bool_]] = {}
    at_once = max(1, _BLOCK_VALUES // recording.n_voxels)
    for start in range(0, len(runs), at_once):
        broken = ~np.isfinite(recording.responses[start : start + at_once])
        for row in np.flatnonzero(broken.any(axis=1)):
            run = int(runs[start + row])
            found[run] = found.get(run, False) | broken[row]
    return dict(sorted(found.items()))


def missing_error(missing: dict[int, NDArray[np.bool_]], source: str) -> InputError:
    """What a user is told about missing responses."""
    run, voxels = next(iter(missing.items()))
    others = f", and {len(missing) - 1} more runs have such voxels" if len(missing) > 1 else ""
    return InputError(
        f"the responses of {int(voxels.sum())} of {len(voxels)} voxels are NaN or infinite{others}",
        source=source,
        where=f"run {run}",
        remedy='leave those voxels out with nan="drop voxels", or leave the run out',
    )
