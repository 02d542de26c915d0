"""From the labels of a recording to stimulus ids; repeats and duplicates."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.neural.recordings._recording import Recording

logger = logging.getLogger(__name__)

__all__ = ["LabelMatch", "average_repeats", "compare_labels", "drop_duplicates", "match_stimuli"]

Rule = Literal["table", "id", "number"]

_NUMBERED = re.compile(r"(?:.*[/\\])?(\d+)(?:\.[A-Za-z]\w*)?")  # 17, 0017, 0017.mp4, clips/0017.mp4


@dataclass(frozen=True, eq=False)
class LabelMatch:
    """How the labels of a recording became stimulus ids.

    Attributes
    ----------
    rule : "table", "id" or "number"
        The one rule that was used for every trial (see :func:`match_stimuli`).
    matched : DataFrame
        One row per label that has an id: ``label``, ``id``, ``n_trials``.
    unmatched : DataFrame
        One row per label that has none, whose trials were dropped: ``label``, ``n_trials``, ``first_row`` (row of the
        recording before matching, from 0).
    unshown : tuple of str
        Ids that no trial shows.
    """

    rule: Rule
    matched: pd.DataFrame
    unmatched: pd.DataFrame
    unshown: tuple[str, ...]

    @property
    def n_matched(self) -> int:
        """Trials that have an id."""
        return int(self.matched["n_trials"].sum())

    @property
    def n_unmatched(self) -> int:
        """Trials that were dropped."""
        return int(self.unmatched["n_trials"].sum())


def match_stimuli(
    recording: Recording, ids: Sequence[str], *, labels: Mapping[str, str] | None = None
) -> tuple[Recording, LabelMatch]:
    """Replace the labels of a recording by stimulus ids and drop the trials that have none.

    Parameters
    ----------
    recording : Recording
    ids : sequence of str
        The stimuli that are known, each once.
    labels : mapping from label to id, optional
        Where given, nothing else is tried.

    Returns
    -------
    Recording
        Only trials with an id; in the column ``stimulus`` the id, in ``label`` (replaced where there is one) the text
        of the file.
    LabelMatch

    Raises
    ------
    InputError
        Where no trial matches; where the rule would be numbers and a label is the number of two ids; where an id is
        given twice.

    Notes
    -----
    One rule holds for the whole recording, never a mixture: the one of these that gives most trials an id, the
    earlier where two give as many. (The first that matches *any* would not do: of the labels 1 .. 2196 and the ids
    0001 .. 2185, those from 1000 are equal letter for letter.)

    1. ``table``: the label is in `labels`.
    2. ``id``: the label is an id, letter for letter.
    3. ``number``: label and id read as the same whole number, leading zeros, folders and the extension of a file
       dropped (``17``, ``0017`` and ``clips/0017.mp4`` are one number).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["17", "2", "99"], "run": [1, 1, 2], "session": 1})
    >>> there = Recording("sub-01", np.zeros((3, 5), np.float32), trials)
    >>> matched, report = match_stimuli(there, ["0002", "0017", "0018"])
    >>> matched.trials["stimulus"].tolist(), report.rule, report.unmatched["label"].tolist(), report.unshown
    (['0017', '0002'], 'number', ['99'], ('0018',))
    """
    found, match = compare_labels(recording, ids, labels)
    if match.n_unmatched:
        logger.warning(
            "%s: %d trials are dropped, whose labels are no stimulus (%s).",
            recording.source or recording.subject,
            match.n_unmatched,
            cut_short(match.unmatched["label"].tolist()),
        )
    renamed = replace(recording, trials=recording.trials.assign(stimulus=found, label=recording.trials["stimulus"]))
    has_id = found.notna().to_numpy()
    return (renamed if has_id.all() else renamed.select_trials(has_id)), match


def compare_labels(
    recording: Recording, ids: Sequence[str], labels: Mapping[str, str] | None = None
) -> tuple[pd.Series[str], LabelMatch]:
    """Id of each trial, NaN where it has none, and the account (see :func:`match_stimuli`)."""
    known = [str(one) for one in ids]
    if not known:
        raise InputError("no stimulus ids are given", remedy="give at least one")
    check_unique(known, source="the stimulus ids")
    shown = recording.trials["stimulus"].astype(str)
    rule, mapping = _mapping(shown, known, labels, recording)
    found = shown.map(mapping)
    has_id = found.notna().to_numpy()
    rows = pd.DataFrame({"label": shown, "id": found, "row": np.arange(len(shown))})
    matched = rows[has_id].groupby(["label", "id"], sort=False).size().rename("n_trials").reset_index()
    unmatched = rows[~has_id].groupby("label", sort=False)["row"].agg(n_trials="size", first_row="first").reset_index()
    appeared = set(matched["id"])
    return found, LabelMatch(rule, matched, unmatched, tuple(one for one in known if one not in appeared))


def _mapping(
    shown: pd.Series[str], known: Sequence[str], labels: Mapping[str, str] | None, recording: Recording
) -> tuple[Rule, dict[str, str]]:
    """The rule that gives most trials an id, and the ids it gives."""
    exact, distinct = set(known), shown.unique().tolist()
    rule: Rule
    if labels is not None:
        rule, mapping = "table", {one: str(labels[one]) for one in distinct if str(labels.get(one)) in exact}
    else:
        rule, mapping = "id", {one: one for one in distinct if one in exact}
        if len(mapping) < len(distinct):
            numbered, unclear = _by_number(distinct, known)
            if shown.isin([*numbered, *unclear]).sum() > shown.isin(list(mapping)).sum():
                _refuse_unclear(unclear)
                rule, mapping = "number", numbered
    if mapping:
        return rule, mapping
    table = "" if labels is None else f"; the table of labels begins {cut_short(list(labels), 3)}"
    raise InputError(
        f"none of its {len(distinct)} labels ({cut_short(distinct, 3)}) is one of the {len(known)} stimulus ids"
        f" ({cut_short(known, 3)}){table}",
        source=recording.source or recording.subject,
        remedy="choose another label column or give a table from label to id",
    )


def _by_number(shown: Sequence[str], known: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The id of each label that is its number; the ids of those labels that are the number of several."""
    ids: dict[int, list[str]] = {}
    for one in known:
        number = _number(one)
        if number is not None:
            ids.setdefault(number, []).append(one)
    mapping: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    for label in shown:
        number = _number(label)
        same = [] if number is None else ids.get(number, [])
        if len(same) == 1:
            mapping[label] = same[0]
        elif same:
            unclear[label] = same
    return mapping, unclear


def _refuse_unclear(unclear: Mapping[str, Sequence[str]]) -> None:
    for label, same in unclear.items():
        raise InputError(
            f"the ids {cut_short(same)} are all the number of the label {label}, which could be any",
            source="the stimulus ids",
            remedy="give a table from label to id",
        )


def _number(text: str) -> int | None:
    numbered = _NUMBERED.fullmatch(text.strip())
    return None if numbered is None else int(numbered.group(1))


def drop_duplicates(
    recording: Recording, duplicates: Collection[str] | Collection[int] | Mapping[str, str]
) -> Recording:
    """Leave out stimuli that repeat others, or give them the name of what they repeat.

    Parameters
    ----------
    recording : Recording
    duplicates : collection of stimuli (a number is taken as its text), or mapping from stimulus to the one it repeats
        A collection drops the trials of these stimuli; a mapping keeps the trials and renames their stimulus, so that
        they count as repeats (see :func:`average_repeats`).

    Raises
    ------
    InputError
        Where no trial shows any of them, nothing would be left, or a mapping leads to a stimulus that is itself a
        duplicate.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["1", "2", "2186"], "run": [1, 1, 2], "session": 1})
    >>> there = Recording("sub-01", np.zeros((3, 5), np.float32), trials)
    >>> drop_duplicates(there, [2186, 2187]).trials["stimulus"].tolist()
    ['1', '2']
    >>> drop_duplicates(there, {"2186": "1"}).trials["stimulus"].tolist()
    ['1', '2', '1']
    """
    source = recording.source or recording.subject
    if isinstance(duplicates, str):
        raise InputError("duplicates is a single text", remedy="give a list of stimuli")
    named = {str(one) for one in duplicates}
    shown = recording.trials["stimulus"].astype(str)
    repeats = shown.isin(named).to_numpy()
    if not repeats.any():
        raise InputError(
            f"none of the {len(named)} duplicates ({cut_short(sorted(named), 3)}) is shown in any trial",
            source=source,
            remedy=f"name them as the recording does (it has {cut_short(shown.unique().tolist(), 3)})",
        )
    if isinstance(duplicates, Mapping):
        kept = {str(one): str(other) for one, other in duplicates.items()}
        chained = [one for one, other in kept.items() if other in named]
        if chained:
            raise InputError(
                f"{cut_short(chained)} repeat a stimulus that is itself a duplicate",
                source="the duplicates",
                remedy="name the stimulus that is kept",
            )
        return replace(recording, trials=recording.trials.assign(stimulus=shown.map(lambda one: kept.get(one, one))))
    if repeats.all():
        raise InputError("every trial shows a duplicate", source=source, remedy="name fewer duplicates")
    return recording.select_trials(~repeats)


def average_repeats(recording: Recording, within: Literal["run", "session", "recording"] = "recording") -> Recording:
    """One row per stimulus: the mean of its trials.

    Parameters
    ----------
    recording : Recording
    within
        Trials are averaged only with trials of the same run, of the same session, or with all.

    Returns
    -------
    Recording
        Rows in the order in which the stimuli first appear. All columns of the trials, ``run`` included, are those of
        the *first* averaged trial; ``n_averaged`` counts the trials in the mean, and in a recording that was averaged
        before, weighs them.

    Notes
    -----
    Averaged over runs, a row holds noise of runs other than the one it names. No stimulus is then in two folds, but
    folds by run no longer keep the noise of a run on one side.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a", "b", "a"], "run": [1, 1, 2], "session": 1})
    >>> there = Recording("sub-01", np.array([[1.0], [5.0], [3.0]], np.float32), trials)
    >>> averaged = average_repeats(there)
    >>> averaged.responses.tolist(), averaged.trials["n_averaged"].tolist()
    ([[2.0], [5.0]], [2, 1])
    """
    keys = {"run": ["stimulus", "run"], "session": ["stimulus", "session"], "recording": ["stimulus"]}
    if within not in keys:
        raise InputError(f"within is '{within}'", remedy="choose run, session or recording")
    trials = recording.trials
    counts = trials["n_averaged"].to_numpy(np.int64) if "n_averaged" in trials.columns else np.ones(len(trials), int)
    group = trials.groupby(keys[within], sort=False).ngroup().to_numpy()
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    averaged = np.empty((len(members), recording.n_voxels), np.float32)
    for row, of_one in enumerate(members):
        weights = counts[of_one] / counts[of_one].sum()
        averaged[row] = weights @ recording.responses[of_one].astype(np.float64)
    table = trials.iloc[[of_one[0] for of_one in members]].reset_index(drop=True)
    table["n_averaged"] = [int(counts[of_one].sum()) for of_one in members]
    return replace(recording, responses=averaged, trials=table)
