"""Which trials are held out together, and what a model may learn from when they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._fold_sums import Splits
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings import Recording

__all__ = ["NestedSplits", "SharedStimuli", "nested_splits", "outer_folds"]

logger = logging.getLogger(__name__)

SharedStimuli = Literal["drop", "allow", "raise"]
SHARED: tuple[str, ...] = ("drop", "allow", "raise")
_LEAST_TRIALS = 3  # fewer training trials have no variance to learn from


@dataclass(frozen=True, eq=False)
class NestedSplits:
    """Outer folds, the folds inside each, and what sharing of stimuli cost.

    Attributes
    ----------
    splits : Splits
    fold : intp array of shape (n,)
        Outer fold of each trial, 0 .. n_folds - 1.
    learned : bool array of shape (n_folds, n)
        Trials that the model of each outer fold is trained on.
    n_dropped : intp array of shape (n_folds,)
        Trials of other folds that were kept out of it because the held-out fold has their stimulus.
    """

    splits: Splits
    fold: NDArray[np.intp]
    learned: NDArray[np.bool_]
    n_dropped: NDArray[np.intp]


def outer_folds(recording: Recording, folds: str | ArrayLike, n_folds: int) -> NDArray[np.intp]:
    """The outer fold of every trial of a recording, numbered from 0.

    ``"runs"``: contiguous groups of runs in the order of their numbers, whose sizes differ by at most one; another
    text: a column of the trials; otherwise one fold per trial.
    """
    source = recording.source or recording.subject
    run = recording.trials["run"].to_numpy()
    if isinstance(folds, str) and folds == "runs":
        runs, code = np.unique(run, return_inverse=True)
        if n_folds < 3:
            raise InputError(f"n_folds={n_folds} leaves no fold to choose alpha on", remedy="use at least 3")
        if len(runs) < n_folds:
            raise InputError(
                f"{len(runs)} runs cannot fill {n_folds} folds", source=source, remedy=f"use n_folds <= {len(runs)}"
            )
        of_run = np.searchsorted(np.arange(1, n_folds) * len(runs) // n_folds, np.arange(len(runs)), side="right")
        return of_run[code].astype(np.intp)
    if isinstance(folds, str):
        if folds not in recording.trials.columns:
            raise InputError(
                f"the trials have no column '{folds}'",
                source=source,
                remedy=f"name one of {cut_short(recording.trials.columns)}",
            )
        labels = recording.trials[folds].to_numpy()
    else:
        labels = np.asarray(folds)
        if labels.shape != run.shape:
            raise InputError(
                f"folds of the shape {labels.shape} are given for {len(run)} trials", remedy="give one per trial"
            )
    names, fold = np.unique(labels, return_inverse=True)
    if len(names) < 3:
        raise InputError(f"{len(names)} folds leave none to choose alpha on", source=source, remedy="use at least 3")
    pairs = np.unique(np.column_stack([np.unique(run, return_inverse=True)[1], fold]), axis=0)
    n_parted = int((np.bincount(pairs[:, 0]) > 1).sum())
    if n_parted:
        logger.warning(
            "%s: %d runs lie in several folds; trials of one run share noise, which can pass for prediction.",
            recording.subject,
            n_parted,
        )
    return fold.reshape(-1).astype(np.intp)


def nested_splits(
    fold: NDArray[np.intp], stimulus: NDArray[np.object_], shared: SharedStimuli, *, source: str
) -> NestedSplits:
    """Each fold held out in turn, and inside it each of the others.

    With ``"drop"`` a training set lacks the trials whose stimulus is shown in the fold held out from it, and a trial
    whose stimulus the outer fold has takes no part in that fold's choice of alpha.
    """
    if shared not in SHARED:
        raise InputError(f"shared_stimuli='{shared}' is not known", remedy=f"choose {', '.join(SHARED)}")
    codes, fold = np.unique(fold, return_inverse=True)
    fold = fold.reshape(-1)
    n_folds = len(codes)
    names, stimulus_code = np.unique(stimulus.astype(str), return_inverse=True)
    shown = np.zeros((len(names), n_folds), bool)
    shown[stimulus_code, fold] = True
    several = np.flatnonzero(shown.sum(axis=1) > 1)
    if shared == "raise" and len(several):
        raise InputError(
            f"{len(several)} stimuli are shown in several folds ({cut_short(list(names[several]))})",
            source=source,
            remedy='drop their trials from training with shared_stimuli="drop", or say "allow"',
        )
    if shared == "allow":
        shown[:] = False
    # Trials that a model may not see when a fold is held out: those of the fold, and those that show its stimuli.
    hidden = [(fold == f) | shown[stimulus_code, f] for f in range(n_folds)]
    learned = np.array([~mask for mask in hidden])
    inner = []
    for f in range(n_folds):
        others = [g for g in range(n_folds) if g != f]
        inner.append([(~(hidden[f] | hidden[g]), (fold == g) & ~hidden[f]) for g in others])
        least = min(int(train.sum()) for train, _ in inner[f])
        if least < _LEAST_TRIALS:
            raise InputError(
                f"with fold {f + 1} of {n_folds} and another held out, {least} training trials are left whose "
                "stimulus neither of them shows",
                source=source,
                remedy='where stimuli repeat by design, say shared_stimuli="allow"; else use other folds',
            )
    dropped = np.array([int((hidden[f] & (fold != f)).sum()) for f in range(n_folds)], np.intp)
    if dropped.any():
        logger.info(
            "%s: between %d and %d trials per fold were kept out of training, since the held-out fold shows their "
            "stimulus too.",
            source,
            dropped.min(),
            dropped.max(),
        )
    return NestedSplits(Splits.from_masks(list(learned), inner), fold, learned, dropped)
