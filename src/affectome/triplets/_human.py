"""Answers of people: one row per trial, as an experiment program writes them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import read_parquet
from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.triplets._set import UNANSWERED, TripletSet, stimulus_ids

logger = logging.getLogger(__name__)

__all__ = ["CHOICE_FORMS", "ChoiceForm", "read_answers"]

ChoiceForm = Literal["auto", "id", "slot", "slot0", "slot1"]
#: Ways in which a table may write the odd one.
CHOICE_FORMS: tuple[str, ...] = get_args(ChoiceForm)

_LETTERS = ("a", "b", "c")
_UNREADABLE = -2
_MEANING = {
    "id": "ids of stimuli",
    "slot": "names of slots",
    "slot0": "slots counted from 0",
    "slot1": "slots counted from 1",
}


def read_answers(
    path: str | os.PathLike[str],
    *,
    stimuli: int | Sequence[str] | None = None,
    participant_column: str | None = "participant",
    slot_columns: Sequence[str] = ("a", "b", "c"),
    choice_column: str = "choice",
    choice: ChoiceForm = "auto",
) -> TripletSet:
    r"""Read the answers of people from a table with one row per trial.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv`` or ``.parquet`` with a header. Other columns (reaction times, sessions) are ignored.
    stimuli : StimulusSet, ids or their number, optional
        Fixes the ids and their order; by default the ids found, sorted.
    participant_column
        Who answered; None where the table does not say.
    slot_columns
        The three columns that hold the ids of the stimuli, in the order shown.
    choice_column
        The odd one; an empty cell is a trial without an answer.
    choice
        How the odd one is written: ``"id"`` (the id of the stimulus), ``"slot"`` (the name of its slot column or, where
        the columns bear other names, the letter a, b or c; in either case), ``"slot0"`` (0, 1, 2) or ``"slot1"``
        (1, 2, 3). ``"auto"`` accepts ids and slot names where exactly one of the four readings fits every answer
        (or all that fit say the same). Numbers are never taken for slots unless told.

    Returns
    -------
    TripletSet
        ``block`` is the number of the participant, counted from 0 in the order of appearance;
        ``metadata["participants"]`` holds their names.

    Raises
    ------
    InputError
        Naming file and row: a missing column, cell or participant, an unknown id, a stimulus shown twice, a choice
        that is not among the three, an empty table; or choices that can be read in more than one way.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> table = pathlib.Path(tempfile.mkdtemp()) / "answers.csv"
    >>> _ = table.write_text("participant,a,b,c,choice\nanna,v3,v1,v2,v1\nben,v1,v2,v3,\n")
    >>> trials = read_answers(table)
    >>> trials.ids, trials.triplets.tolist(), trials.choice.tolist(), trials.metadata["participants"]
    (('v1', 'v2', 'v3'), [[2, 0, 1], [0, 1, 2]], [1, -1], ['anna', 'ben'])
    """
    source = Path(path)
    slots = tuple(str(name) for name in slot_columns)
    needed = [*slots, choice_column] if participant_column is None else [participant_column, *slots, choice_column]
    if len(slots) != 3 or len(set(needed)) != len(needed):
        raise InputError(
            f"the columns {', '.join(needed)} do not name three slots and a choice apart",
            remedy="name three slot columns, one choice column and one participant column, all different",
        )
    if choice not in CHOICE_FORMS:
        raise InputError(f"choice='{choice}' is unknown", remedy=f"choose one of {', '.join(CHOICE_FORMS)}")
    table = _text_table(source, needed)
    block, people = None, {}
    if participant_column is not None:
        block, names = pd.factorize(table[participant_column])
        people = {"participants": [str(name) for name in names]}
        _refuse_blank(table[participant_column], f"the {participant_column}", source)
    ids, shown = _shown(table, slots, stimuli, source)
    answers = _chosen_slots(table[choice_column], shown, ids, slots, choice, source)
    if (answers == UNANSWERED).all():
        logger.warning("%s: no trial is answered.", source)
    _warn_of_copies(table, source)
    return TripletSet(
        shown, ids, answers, block=block, metadata={"order_shown": "known", "imported_from": source.name, **people}
    )


def _text_table(source: Path, needed: Sequence[str]) -> pd.DataFrame:
    """The table with the needed columns as text; a null of a Parquet file is an empty cell."""
    if source.suffix.lower() == ".parquet":
        arrow, metadata = read_parquet(source)
        if metadata.get("kind") == "triplets":
            raise InputError(
                "is a triplet file of affectome already", source=source, remedy="use it as it is (read_triplets)"
            )
        _refuse_absent(arrow.column_names, needed, source)
        flat = [name for name, kind in zip(arrow.column_names, arrow.schema.types, strict=True) if not kind.num_fields]
        frame: pd.DataFrame = arrow.select(flat).to_pandas()
        for name in needed:
            frame[name] = arrow.column(name).cast("string").fill_null("").to_pandas()
    else:
        frame = read_table(source, text_columns=needed)
        _refuse_absent(frame.columns.tolist(), needed, source)
    if frame.empty:
        raise InputError("holds no answers", source=source, remedy="give it one row per trial")
    if not frame[needed[-1]].iloc[-1].strip() and source.suffix.lower() != ".parquet" and not _ends_whole(source):
        raise InputError(
            "the last line has no choice and no line break, and may be torn",
            source=source,
            where=f"row {len(frame)}",
            remedy="complete it, or add the line break if it is whole",
        )
    return frame


def _ends_whole(source: Path) -> bool:
    with open(source, "rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) in b"\r\n"


def _refuse_absent(columns: Sequence[str], needed: Sequence[str], source: Path) -> None:
    for name in needed:
        if name not in columns:
            raise InputError(
                f"has no column '{name}'",
                source=source,
                remedy="name the columns of participant, slots and choice "
                f"(the table has {cut_short([str(c) for c in columns], 8)})",
            )


def _refuse_blank(cells: pd.Series[str], what: str, source: Path) -> None:
    codes, words = pd.factorize(cells)
    blank = np.array([not word.strip() for word in words], bool)
    rows = np.flatnonzero(blank[codes])
    if len(rows):
        raise InputError(f"{what} is missing", source=source, where=f"row {rows[0] + 1}", remedy="fill it in")


def _shown(
    table: pd.DataFrame, slots: Sequence[str], stimuli: int | Sequence[str] | None, source: Path
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The ids, and each trial's three indices into them; shape (n, 3)."""
    coded = []
    for name in slots:
        _refuse_blank(table[name], f"the stimulus in column '{name}'", source)
        coded.append(pd.factorize(table[name]))
    ids = (
        tuple(sorted({str(word) for _, words in coded for word in words})) if stimuli is None else stimulus_ids(stimuli)
    )
    index = pd.Index(ids, dtype=object)
    shown = np.column_stack([index.get_indexer(words.astype(object))[codes] for codes, words in coded]).astype(np.int32)
    unknown = np.flatnonzero((shown < 0).any(axis=1))
    if len(unknown):
        row = int(unknown[0])
        name = slots[int((shown[row] < 0).argmax())]
        raise InputError(
            f"the stimulus '{table[name].iloc[row]}' in column '{name}' is none of the {len(ids)} stimuli",
            source=source,
            where=f"row {row + 1}",
            remedy=f"correct the id (they are {cut_short(ids, 3)})",
        )
    a, b, c = shown.T
    same = np.flatnonzero((a == b) | (a == c) | (b == c))
    if len(same):
        three = ", ".join(ids[i] for i in shown[same[0]])
        raise InputError(
            f"a stimulus is shown twice ({three})",
            source=source,
            where=f"row {same[0] + 1}",
            remedy="correct or delete the row",
        )
    return ids, shown


def _chosen_slots(
    cells: pd.Series[str],
    shown: NDArray[np.int32],
    ids: tuple[str, ...],
    slots: Sequence[str],
    form: ChoiceForm,
    source: Path,
) -> NDArray[np.int8]:
    """Slot of the odd one in every trial, -1 where the cell is empty; shape (n,)."""
    codes, words = pd.factorize(cells)
    answered = np.array([bool(word.strip()) for word in words], bool)[codes]
    if not answered.any():
        return np.full(len(shown), UNANSWERED, np.int8)
    stimulus = pd.Index(ids, dtype=object).get_indexer(words.astype(object))[codes]  # -1 where it is no id
    there = shown == stimulus[:, None]
    readings: dict[ChoiceForm, NDArray[Any]] = {"id": np.where(there.any(axis=1), there.argmax(axis=1), _UNREADABLE)}
    for name, known in _slot_words(slots).items():
        readings[name] = np.array([known.get(str(word).strip().lower(), _UNREADABLE) for word in words])[codes]
    if form == "auto":
        form = _only_reading({name: read[answered] for name, read in readings.items()}, source)
    chosen = readings[form]
    wrong = np.flatnonzero(answered & (chosen < 0))
    if len(wrong):
        row = int(wrong[0])
        three = ", ".join(ids[i] for i in shown[row])
        expected = f"among the three stimuli shown ({three})" if form == "id" else f"one of the {_MEANING[form]}"
        raise InputError(
            f"the choice '{cells.iloc[row]}' is not {expected}",
            source=source,
            where=f"row {row + 1}",
            remedy="correct it, or leave it empty where there was no answer",
        )
    return np.where(answered, chosen, UNANSWERED).astype(np.int8)


def _slot_words(slots: Sequence[str]) -> Mapping[ChoiceForm, Mapping[str, int]]:
    """What may stand for a slot, in lower case, under each reading."""
    names = {name.strip().lower(): slot for slot, name in enumerate(slots)}
    if not set(names) & set(_LETTERS):  # a column called "b" that is shown first must not be taken for the second
        names |= {letter: slot for slot, letter in enumerate(_LETTERS)}
    return {"slot": names, "slot0": {"0": 0, "1": 1, "2": 2}, "slot1": {"1": 0, "2": 1, "3": 2}}


def _only_reading(readings: Mapping[ChoiceForm, NDArray[Any]], source: Path) -> ChoiceForm:
    """The reading of the answered choices that nobody can mistake; refuse where there is none."""
    whole = [name for name, read in readings.items() if (read >= 0).all()]
    named = [name for name in whole if name in ("id", "slot")]
    if named and all(np.array_equal(readings[named[0]], readings[name]) for name in whole):
        return named[0]
    if not whole:  # the nearest reading names the row at fault
        return max(readings, key=lambda name: float((readings[name] >= 0).mean()))
    if named:
        ways = " or as ".join(_MEANING[name] for name in whole)
        problem, possible = f"the choices can be read as {ways}", whole
    else:
        problem, possible = "the choices are numbers that are no ids of stimuli", ["slot0", "slot1"]
    raise InputError(problem, source=source, remedy=f"say which is meant with choice ({' or '.join(possible)})")


def _warn_of_copies(table: pd.DataFrame, source: Path) -> None:
    """Say how many rows are the same as an earlier one in every column."""
    copies = np.flatnonzero(table.duplicated())
    if len(copies):
        logger.warning(
            "%s: %d rows are copies of an earlier row in every column (the first is row %d); they are kept, so delete "
            "them if a trial was written twice.",
            source,
            len(copies),
            copies[0] + 1,
        )
