"""From trials to one response pattern per stimulus."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.neural.recordings import Recording
from affectome.neural.searchlight._inputs import Patterns

__all__ = ["patterns"]

logger = logging.getLogger(__name__)

_FEWEST = 4  # stimuli: three make three pairs, whose correlation says nothing
_BLOCK = 2**24  # responses looked at at once


def patterns(
    recording: Recording,
    ids: Sequence[str] | pd.Index[str] | None = None,
    *,
    average: bool = True,
    runs: Literal["keep", "ignore"] = "keep",
) -> Patterns:
    """One response pattern per stimulus of a recording, and the run it was shown in.

    Parameters
    ----------
    recording : Recording
        Responses to single trials, scaled within runs where runs differ in level (``standardise_runs``).
    ids : sequence of str, or the index of a space; optional
        The stimuli wanted, in this order; by default all that were shown, in the order of their first trials. Those
        that were never shown are left out, and the log names them.
    average
        True: the mean over the presentations of a stimulus. False: every presentation is a row of its own, its id
        repeated, in the order of the trials.
    runs
        ``"keep"``: the run of each row, so that pairs within a run can be left out. ``"ignore"``: none, and pairs
        within a run count like all others.

    Returns
    -------
    Patterns

    Raises
    ------
    InputError
        With fewer than four rows, or one run while runs are kept; where a response is NaN or infinite; where the
        presentations of one stimulus lie in several runs and are to be averaged: a mean over runs shares the noise of
        each of them, so that no pair is free of common noise and none can be left out for it. Then take
        ``average=False``, or ``runs="ignore"`` and say so with the result.

    Notes
    -----
    Responses that are shown once, and used in the order of the recording, are not copied. Means are taken in float64
    and stored as float32. No pattern is subtracted here: a pattern that all stimuli share brings all their correlations
    close to 1, and what is left of them is then the difference of small numbers. ``standardise_runs`` takes the mean of
    every voxel in every run off, and with it that pattern.

    Examples
    --------
    >>> trials = pd.DataFrame({"stimulus": list("abcdab"), "run": [1, 1, 2, 2, 1, 1], "session": 1})
    >>> recording = Recording("sub-01", np.arange(12, dtype=np.float32).reshape(6, 2), trials)
    >>> made = patterns(recording)
    >>> made.ids, made.run.tolist(), made.responses[0].tolist()
    (('a', 'b', 'c', 'd'), [0, 0, 1, 1], [4.0, 5.0])
    """
    if runs not in ("keep", "ignore"):
        raise InputError(f"runs='{runs}' is no choice", remedy="choose keep or ignore")
    source = recording.source or recording.subject
    shown = recording.trials["stimulus"].astype(str)
    wanted = _wanted(shown, ids, source)
    trials = np.flatnonzero(shown.isin(set(wanted)).to_numpy())
    _check_finite(recording, trials)
    stimulus = shown.iloc[trials].to_numpy(str)
    run = recording.trials["run"].to_numpy()[trials]
    if average:
        responses, first = _means(recording, trials, stimulus, wanted)
        names = tuple(wanted)
        if runs == "keep":
            _check_one_run_each(stimulus, run, source)
            run = run[first]
    else:
        responses, names = _rows(recording.responses, trials), tuple(stimulus.tolist())
    if len(names) < _FEWEST:
        raise InputError(f"{len(names)} patterns make no geometry", source=source, remedy=f"give at least {_FEWEST}")
    _warn_of_constant(responses, source)
    return Patterns(recording.subject, names, responses, _codes(run, source) if runs == "keep" else None)


def _wanted(shown: pd.Series[str], ids: Sequence[str] | pd.Index[str] | None, source: str) -> list[str]:
    """The stimuli that are asked for and were shown."""
    known = list(dict.fromkeys(shown))
    if ids is None:
        return known
    asked = [str(one) for one in ids]
    check_unique(asked, source="the stimuli asked for")
    there = set(known)
    wanted = [one for one in asked if one in there]
    if not wanted:
        example = f"'{known[0]}' here, '{asked[0]}' there" if asked else "none is asked for"
        raise InputError(f"it shows none of the stimuli ({example})", source=source, remedy="make the ids match")
    unshown = [one for one in asked if one not in there]
    if unshown:
        logger.warning(
            "%s: %d stimuli were never shown and are left out: %s.", source, len(unshown), cut_short(unshown)
        )
    others = sorted(there - set(asked))
    if others:
        logger.warning(
            "%s: the trials of %d stimuli that were not asked for are left out: %s.",
            source,
            len(others),
            cut_short(others),
        )
    return wanted


def _rows(responses: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """These rows; all of them in their order are the responses themselves."""
    if len(rows) == len(responses) and np.array_equal(rows, np.arange(len(rows))):
        return responses
    chosen: NDArray[np.float32] = responses[rows]
    return chosen


def _means(
    recording: Recording, trials: NDArray[np.intp], stimulus: NDArray[np.str_], wanted: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Mean response to each stimulus, and the place among `trials` of its first presentation."""
    of = pd.Index(wanted).get_indexer(pd.Index(stimulus))
    order = np.argsort(of, kind="stable")
    begins = np.searchsorted(of[order], np.arange(len(wanted)))
    first = order[begins]
    means = _rows(recording.responses, trials[first])
    counts = np.diff(np.r_[begins, len(order)])
    if counts.max() > 1 and np.shares_memory(means, recording.responses):
        means = means.copy()
    for k in np.flatnonzero(counts > 1):
        shown = trials[order[begins[k] : begins[k] + counts[k]]]
        means[k] = recording.responses[shown].mean(axis=0, dtype=np.float64)
    return means, first


def _check_one_run_each(stimulus: NDArray[np.str_], run: NDArray[np.int64], source: str) -> None:
    runs_of = pd.Series(run).groupby(stimulus).nunique()
    several = list(runs_of[runs_of > 1].index)
    if several:
        raise InputError(
            f"{len(several)} stimuli were shown in more than one run ({cut_short(several)}), and a mean over runs "
            "shares the noise of each",
            source=source,
            remedy='let all pairs count, those within a run too (within_run="include"), or keep presentations apart',
        )


def _codes(run: NDArray[np.int64], source: str) -> NDArray[np.intp]:
    """Runs numbered from 0 in their order."""
    known, codes = np.unique(run, return_inverse=True)
    if len(known) < 2:
        raise InputError(
            f"all patterns come from run {known[0]}, so that no pair lies between runs",
            source=source,
            remedy='record more runs, or let all pairs count, those within a run too (within_run="include")',
        )
    return codes.astype(np.intp)


def _check_finite(recording: Recording, trials: NDArray[np.intp]) -> None:
    """Refuse responses that are no numbers, saying where."""
    step = max(1, _BLOCK // recording.n_voxels)
    for start in range(0, len(trials), step):
        part = trials[start : start + step]
        finite = np.isfinite(recording.responses[part])
        if not finite.all():
            row = int(np.flatnonzero(~finite.all(axis=1))[0])
            bad = np.flatnonzero(~finite[row])
            raise InputError(
                f"{len(bad)} voxels are NaN or infinite (the first is voxel {bad[0]})",
                source=recording.source or recording.subject,
                where=f"trial {part[row]} (run {recording.trials['run'].iloc[part[row]]})",
                remedy="leave out these trials or voxels (select_trials, select_voxels)",
            )


def _warn_of_constant(responses: NDArray[np.float32], source: str) -> None:
    constant = np.flatnonzero((responses == responses[0]).all(axis=0))
    if len(constant):
        logger.warning(
            "%s: %d voxels answer all stimuli alike (the first is voxel %d) and tell none apart; leave them out "
            "(select_voxels) before neighbourhoods are made.",
            source,
            len(constant),
            constant[0],
        )
