"""Triplets on disk: our Parquet, and the odd-last text and .npy files of other SPoSE programs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from affectome._files import atomic_path, check_output, read_parquet, unreadable, write_parquet
from affectome.errors import InputError
from affectome.triplets._set import (
    TripletSet,
    check_choice,
    check_indices,
    check_probabilities,
    stimulus_ids,
)

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

__all__ = ["read_triplets", "triplet_table", "write_triplets"]

#: Extensions that triplets can be written with.
TRIPLET_FORMATS = (".parquet", ".npy", ".txt")
_TEXT = (".txt", ".csv", ".tsv", "")
_WHOLE = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_PROBABILITIES = ("p_a", "p_b", "p_c")


def read_triplets(path: str | os.PathLike[str], *, stimuli: int | Sequence[str] | None = None) -> TripletSet:
    """Read trials from Parquet, or from an odd-last text or ``.npy`` file.

    Parameters
    ----------
    path
        ``.parquet`` as :func:`write_triplets` makes it (columns ``a, b, c, choice``, optionally ``p_a, p_b,
        p_c`` and ``block``); ``.npy`` of shape (n, 3); ``.txt``, ``.csv`` or ``.tsv`` with three 0-based
        indices a line. In the last two the odd one stands last, so the slots that were shown are lost.
    stimuli
        Ids, or the number of stimuli, where the file does not say; by default the highest index
        plus one.

    Raises
    ------
    InputError
        Naming file and row: an empty or cut file, a torn line, an index out of range, a stimulus
        twice in a triplet, a missing column.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        return _read_own(source, stimuli)
    if suffix == ".npy":
        rows = _read_npy(source)
    elif suffix in _TEXT:
        rows = _read_text(source)
    else:
        raise InputError(f"'{suffix}' is no triplet format", source=source, remedy="use .parquet, .npy or .txt")
    if rows.shape[:1] == (0,):
        raise _empty(source)
    n_known = None if stimuli is None else len(stimulus_ids(stimuli))
    _refuse_count_from_one(rows, n_known, source)
    rows = check_indices(rows, n_known, source=source)
    if n_known is None:
        _refuse_stray_index(rows, source)
    ids = stimulus_ids(int(rows.max()) + 1 if stimuli is None else stimuli)
    choice = np.full(len(rows), 2, np.int8)
    return TripletSet(rows, ids=ids, choice=choice, metadata={"order_shown": "unknown", "imported_from": source.name})


def _refuse_count_from_one(rows: NDArray[Any], n_known: int | None, source: Path) -> None:
    """Indices 1..n are those of MATLAB and R; read as they stand they would shift every stimulus by one."""
    if rows.ndim != 2 or rows.shape[1] != 3 or rows.dtype.kind not in "iuf" or rows.min() != 1:
        return
    highest = rows.max()
    if n_known is not None and highest == n_known:
        raise InputError(
            f"its indices run from 1 to {n_known}, the number of stimuli, and seem to be counted from 1",
            source=source,
            remedy="subtract 1 from every index",
        )
    if n_known is None:
        logger.warning(
            "%s: its indices run from 1 to %d; if they are counted from 1, subtract 1 from each of them.",
            source,
            int(highest),
        )


def _refuse_stray_index(rows: NDArray[np.int32], source: Path) -> None:
    """An index far beyond the others is a slip, and would cost memory for every stimulus below it."""
    highest, different = int(rows.max()), len(np.unique(rows))
    if highest >= 1000 + 10 * different:
        row = int(rows.max(axis=1).argmax()) + 1
        raise InputError(
            f"the stimulus index {highest} is far beyond the {different} stimuli of the file",
            source=source,
            where=f"row {row}",
            remedy="correct it, or say how many stimuli there are",
        )


def _empty(source: Path) -> InputError:
    return InputError("holds no triplets", source=source, remedy="give it at least one row")


def _read_own(source: Path, stimuli: int | Sequence[str] | None) -> TripletSet:
    table, metadata = read_parquet(source)
    for name in ("a", "b", "c"):
        if name not in table.column_names:
            raise InputError(
                f"has no column '{name}'",
                source=source,
                remedy=f"a triplet table has a, b, c and choice (this one has {', '.join(table.column_names[:8])})",
            )
    if metadata.get("kind", "triplets") != "triplets":
        raise InputError(f"holds a {metadata['kind']}, not triplets", source=source, remedy="give a triplet file")
    if table.num_rows == 0:
        raise _empty(source)
    ids = metadata.pop("ids", None)
    if ids is not None and not isinstance(ids, list):
        raise InputError("has damaged affectome metadata", source=source, remedy="write it again")
    if stimuli is not None:
        given = stimulus_ids(stimuli)
        known = given if ids is None else tuple(ids)
        if len(known) != len(given) or (known != given and not isinstance(stimuli, (int, np.integer))):
            raise InputError(
                f"was made for {len(known)} other stimuli than the {len(given)} given",
                source=source,
                remedy="leave them out",
            )
        ids = list(known)

    def column(name: str) -> NDArray[Any]:
        values: NDArray[Any] = table.column(name).to_numpy()
        whole = values.dtype.kind in "iu" or (values.dtype.kind == "f" and name in _PROBABILITIES)
        if not whole:
            raise InputError(
                f"the column '{name}' has cells that are no whole number", source=source, remedy="mend them"
            )
        return values

    rows = np.column_stack([column("a"), column("b"), column("c")])
    rows = check_indices(rows, None if ids is None else len(ids), source=source)
    n = len(rows)
    probabilities = None
    if set(_PROBABILITIES) <= set(table.column_names):
        probabilities = check_probabilities(
            np.column_stack([column(name) for name in _PROBABILITIES]), n, source=source
        )
    return TripletSet(
        rows,
        ids=stimulus_ids(int(rows.max()) + 1) if ids is None else ids,
        choice=check_choice(column("choice"), n, source=source) if "choice" in table.column_names else None,
        probabilities=probabilities,
        block=column("block") if "block" in table.column_names else None,
        metadata={key: value for key, value in metadata.items() if key not in ("affectome_schema", "kind")},
    )


def _read_npy(source: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(source, allow_pickle=False)
    except FileNotFoundError as error:
        raise unreadable(source, error) from error
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(
            "is not a whole .npy array, or it was cut short", source=source, remedy="write it again"
        ) from error
    return array


def _read_text(source: Path) -> NDArray[Any]:
    try:
        with open(source, "rb") as handle:
            first = next((line for line in handle if line.strip() and not line.lstrip().startswith(b"#")), b"")
            handle.seek(0, os.SEEK_END)
            size = handle.tell()
            if size == 0:
                raise _empty(source)
            handle.seek(size - 1)
            torn = handle.read(1) not in b"\r\n"
    except OSError as error:
        raise unreadable(source, error) from error
    if not first:
        raise _empty(source)
    separator = "," if b"," in first else None
    try:
        rows = np.loadtxt(source, dtype=np.float64, delimiter=separator, ndmin=2, encoding="utf-8-sig")
    except (ValueError, OverflowError) as error:
        raise _bad_line(source, separator) or InputError(
            f"cannot be parsed ({error})", source=source, remedy="give three indices a line"
        ) from error
    if rows.shape[1] != 3 and len(rows):
        raise _bad_line(source, separator) or InputError(
            "has no three columns", source=source, remedy="give three a line"
        )
    if torn:  # "10 11 1" may be the beginning of "10 11 15"
        raise InputError(
            "the last line does not end with a line break and may be torn",
            source=source,
            where=f"row {len(rows)}",
            remedy="complete it, or add the line break if it is whole",
        )
    return rows


def _bad_line(source: Path, separator: str | None) -> InputError | None:
    """The first line that is not three whole numbers."""
    with open(source, encoding="utf-8-sig", errors="replace") as handle:
        for number, line in enumerate(handle, start=1):
            text = line.strip()
            parts = text.split(separator)
            if not text or text.startswith("#"):
                continue
            if len(parts) != 3 or not all(_WHOLE.fullmatch(part.strip()) for part in parts):
                shown = text if len(text) <= 40 else text[:37] + "..."
                return InputError(
                    f"'{shown}' is not three stimulus indices"
                    + ("" if line.endswith("\n") else " (the last line is torn)"),
                    source=source,
                    where=f"row {number}",
                    remedy="complete or delete the line",
                )
    return None


def write_triplets(path: str | os.PathLike[str], trials: TripletSet) -> None:
    """Write trials; Parquet keeps everything, ``.txt`` and ``.npy`` the answered trials odd-last.

    The log says what an odd-last file has no room for: unanswered trials, probabilities, blocks, the order shown.

    Raises
    ------
    InputError
        For an unknown extension, or when an odd-last file would be empty since nothing is answered.
    EnvironmentFailure
        When the place cannot be written.
    """
    target = Path(path)
    check_output(target, TRIPLET_FORMATS)
    suffix = target.suffix.lower()
    if suffix == ".parquet":
        _write_own(target, trials)
        return
    rows = trials.odd_last()
    if len(rows) == 0:
        raise InputError(
            "no trial is answered, and an odd-last file holds answers only", source=target, remedy="use .parquet"
        )
    if len(rows) < len(trials):
        logger.warning("%d unanswered trials are not in %s.", len(trials) - len(rows), target)
    soft = [
        name for name, kept in (("probabilities", trials.probabilities), ("blocks", trials.block)) if kept is not None
    ]
    if soft:
        logger.warning("The %s are not in %s, which holds choices alone.", " and ".join(soft), target)
    logger.info("%s does not keep the order in which the stimuli were shown, nor their ids.", target)
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        if suffix == ".npy":
            np.save(handle, rows)
        else:
            _write_text(handle, rows)


def _write_text(handle: BinaryIO, rows: NDArray[np.int32]) -> None:
    """Three numbers a line by spaces; Arrow writes millions in a moment."""
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table({str(slot): np.ascontiguousarray(rows[:, slot]) for slot in range(3)})
    csv.write_csv(table, handle, csv.WriteOptions(include_header=False, delimiter=" "))


def _write_own(target: Path, trials: TripletSet) -> None:
    write_parquet(target, triplet_table(trials), {**trials.metadata, "kind": "triplets", "ids": list(trials.ids)})


def triplet_table(trials: TripletSet) -> pa.Table:
    """The columns of a triplet file, without its metadata."""
    import pyarrow as pa

    columns: dict[str, NDArray[Any]] = dict(zip("abc", trials.triplets.T, strict=True))
    columns["choice"] = trials.choice
    if trials.probabilities is not None:
        columns.update(zip(_PROBABILITIES, trials.probabilities.T, strict=True))
    if trials.block is not None:
        columns["block"] = trials.block
    return pa.table({name: np.ascontiguousarray(values) for name, values in columns.items()})
