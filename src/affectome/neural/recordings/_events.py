"""When what was shown: events.tsv files and tables of trials, checked row by row."""

from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short, read_table
from affectome.errors import InputError

__all__ = ["read_events", "read_trial_table"]

_UNKNOWN = {"", "n/a", "nan"}


def read_events(
    events: str | os.PathLike[str] | pd.DataFrame,
    *,
    label_column: str = "trial_type",
    ignore: Collection[str] = (),
    source: str | None = None,
) -> pd.DataFrame:
    """Read what was shown in one run.

    Parameters
    ----------
    events
        An events file (tab-separated, as BIDS has it, or CSV), or the table itself: ``onset`` and ``duration`` in
        seconds from the first volume, and the column of labels.
    label_column
        Which column says what was shown (``"trial_type"``, ``"stim_file"``, ``"stimulus"``).
    ignore
        Labels that are no trials (``"rest"``, ``"fixation"``, ``"n/a"``); their rows are left out, and in a model
        they count as baseline.
    source
        What messages call the table where it is no file.

    Returns
    -------
    DataFrame
        By onset (rows at the same onset keep their order): ``stimulus`` (text), ``onset``, ``duration`` (seconds;
        NaN where the file says n/a) and the file's other columns.

    Raises
    ------
    InputError
        For a missing column, an onset that is no number, a negative duration, an empty label, no trial at all.

    Examples
    --------
    >>> table = pd.DataFrame({"onset": [12.0, 2.0, 6.0], "duration": [4, 4, 6], "trial_type": ["b", "a", "rest"]})
    >>> read_events(table, ignore=["rest"])
      stimulus  onset  duration
    0        a    2.0       4.0
    1        b   12.0       4.0
    """
    table, name = _table(events, label_column, source)
    for column in ("onset", "duration", label_column):
        if column not in table.columns:
            raise InputError(
                f"has no column '{column}'",
                source=name,
                remedy=f"add it, or name that of labels by label_column (the table has {cut_short(table.columns, 12)})",
            )
    labels = _labels(table[label_column], ignore, name)
    kept = ~labels.isin(list(ignore))
    if not kept.any():
        raise InputError("holds no trial", source=name, remedy="give one row per presentation, or ignore fewer labels")
    seconds = pd.DataFrame(
        {
            "onset": _seconds(table["onset"], kept, name, unknown=False),
            "duration": _seconds(table["duration"], kept, name, unknown=True),
        },
        index=table.index,
    )
    negative = np.flatnonzero((seconds["duration"] < 0) & kept)
    if len(negative):
        raise InputError("the duration is negative", source=name, where=f"row {negative[0] + 1}", remedy="correct it")
    rest = table.drop(columns=["onset", "duration", label_column, "stimulus"], errors="ignore")
    read = pd.concat([labels.rename("stimulus"), seconds, rest], axis=1)[kept]
    return read.sort_values("onset", kind="stable", ignore_index=True)


def read_trial_table(
    table: str | os.PathLike[str] | pd.DataFrame,
    *,
    label_column: str = "trial_type",
    run: int = 1,
    session: int = 1,
    source: str | None = None,
) -> pd.DataFrame:
    """Read what each row of responses that are estimated already belongs to, in their order.

    Parameters
    ----------
    table
        One row per trial: the column of labels; ``run`` and ``session`` where there are several.
    label_column, source
        As in :func:`read_events`.
    run, session
        Taken where the table does not say.

    Returns
    -------
    DataFrame
        ``stimulus``, ``run``, ``session`` and the file's other columns.
    """
    frame, name = _table(table, label_column, source)
    if label_column not in frame.columns:
        raise InputError(
            f"has no column '{label_column}'",
            source=name,
            remedy=f"add it, or name that of labels by label_column (the table has {cut_short(frame.columns, 12)})",
        )
    if frame.empty:
        raise InputError("holds no trial", source=name, remedy="give one row per trial")
    columns = {"stimulus": _labels(frame[label_column], (), name)}
    for column, default in (("run", run), ("session", session)):
        given = frame[column] if column in frame.columns else pd.Series(default, index=frame.index)
        numbers = pd.to_numeric(given, errors="coerce")
        wrong = np.flatnonzero(~(numbers == numbers.round()))
        if len(wrong):
            raise InputError(
                f"the {column} is '{given.iloc[wrong[0]]}', not a whole number",
                source=name,
                where=f"row {wrong[0] + 1}",
                remedy="number them",
            )
        columns[column] = numbers.astype(np.int64)
    rest = frame.drop(columns=[label_column, "stimulus", "run", "session"], errors="ignore")
    return pd.concat([pd.DataFrame(columns, index=frame.index), rest], axis=1).reset_index(drop=True)


def _table(
    table: str | os.PathLike[str] | pd.DataFrame, label_column: str, source: str | None
) -> tuple[pd.DataFrame, str]:
    """The table and what messages call it."""
    if isinstance(table, pd.DataFrame):
        return table.reset_index(drop=True), source or "the table of events"
    return read_table(table, text_columns=(label_column, "onset", "duration")), os.fspath(table)


def _labels(column: pd.Series, ignore: Collection[str], source: str) -> pd.Series:
    """Labels as text; one that is missing is refused unless it is ignored."""
    missing = column.isna()
    text = column.astype(str).str.strip()
    text[missing] = "n/a"
    unknown = np.flatnonzero(text.str.lower().isin(_UNKNOWN) & ~text.isin(list(ignore)))
    if len(unknown):
        raise InputError(
            f"the {column.name} is '{text.iloc[unknown[0]]}'",
            source=source,
            where=f"row {unknown[0] + 1}",
            remedy="say what was shown, or put that label among those to ignore",
        )
    return text


def _seconds(column: pd.Series, kept: pd.Series, source: str, *, unknown: bool) -> NDArray[np.float64]:
    """Seconds of every row; NaN for n/a where that may be `unknown`; a fault in a row that is `kept` is refused."""
    values: NDArray[np.float64] = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    text = column.astype(str).str.strip()
    fine = np.isfinite(values) | (text.str.lower().isin(_UNKNOWN).to_numpy() if unknown else False)
    wrong = np.flatnonzero(~fine & kept.to_numpy())
    if len(wrong):
        raise InputError(
            f"the {column.name} is '{text.iloc[wrong[0]]}', not a number of seconds",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy="correct it",
        )
    return values
