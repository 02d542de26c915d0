"""Tables with an id column, read so that every fault is named by file, row and remedy."""

from __future__ import annotations

import csv
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectome._files import atomic_path, read_parquet, unreadable
from affectome.errors import InputError

__all__ = [
    "check_unique",
    "cut_short",
    "numeric_columns",
    "read_indexed_table",
    "read_table",
    "row_name",
    "write_csv",
]

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}


def read_table(
    path: str | os.PathLike[str], *, text_columns: Sequence[str] = ("id",), repeated_columns: bool = False
) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table.

    Columns in `text_columns` stay text, letter for letter (``0001`` keeps its zeros, ``NA`` is a
    name); other columns are numbers where every cell is one. A byte-order mark is ignored.
    A column name that appears twice is refused, or, with `repeated_columns`, its second column
    becomes ``name.1``.
    """
    source = Path(path)
    if not source.exists():
        raise InputError("there is no such file", source=source, remedy="check the path")
    if source.suffix.lower() == ".parquet":
        table, metadata = read_parquet(source)
        frame: pd.DataFrame = table.to_pandas()
        frame.attrs.update(metadata)
        if frame.index.name is not None:
            frame = frame.reset_index()
        for name in set(text_columns).intersection(frame.columns):  # before version 3, pandas spells what is missing
            frame[name] = frame[name].astype(str).where(frame[name].notna())
        return frame
    separator = _SEPARATORS.get(source.suffix.lower())
    if separator is None:
        known = ", ".join([*_SEPARATORS, ".parquet"])
        raise InputError(
            f"has the extension '{source.suffix}', which is none of {known}",
            source=source,
            remedy="convert or rename it",
        )
    header = _read_header(source, separator)
    for name, count in Counter(header).items():
        if count > 1 and not repeated_columns:
            raise InputError(f"the column '{name}' appears {count} times", source=source, remedy="rename one of them")
    try:
        with warnings.catch_warnings():
            # pandas only warns where the first rows are longer than the header, and drops the surplus.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                source,
                sep=separator,
                dtype={name: str for name in text_columns if name in header},
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
                low_memory=False,
            )
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"a row has more cells than the {len(header)} of the header", source=source, remedy="repair that row"
        ) from error
    except pd.errors.ParserError as error:
        raise InputError(f"cannot be parsed ({_one_line(error)})", source=source, remedy="repair that line") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from error


def _read_header(source: Path, separator: str) -> list[str]:
    try:
        with open(source, encoding="utf-8-sig", newline="") as handle:
            header = next((row for row in csv.reader(handle, delimiter=separator) if row), [])
    except csv.Error as error:
        raise InputError(f"has a header that cannot be read ({error})", source=source, remedy="shorten it") from error
    except OSError as error:
        raise unreadable(source, error) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(source, error) from error
    if not header:
        raise InputError("is empty", source=source, remedy="give it a header line and one line per stimulus")
    return header


def _not_utf8(source: Path, error: UnicodeDecodeError) -> InputError:
    return InputError(f"is not UTF-8 text ({error.reason})", source=source, remedy="save it as UTF-8")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("Error tokenizing data. ").rstrip(".")


def read_indexed_table(
    path: str | os.PathLike[str],
    *,
    id_column: str = "id",
    text_columns: Sequence[str] = (),
    repeated_columns: bool = False,
) -> pd.DataFrame:
    """Read a table and make its `id_column` the index: text, present and unique in every row."""
    frame = read_table(path, text_columns=(id_column, *text_columns), repeated_columns=repeated_columns)
    if id_column not in frame.columns:
        raise InputError(
            f"has no column '{id_column}'",
            source=path,
            remedy=f"add it or name the id column (the table has {cut_short(frame.columns)})",
        )
    if frame.empty:
        raise InputError("holds no rows", source=path, remedy="give it one line per stimulus")
    ids = frame[id_column]
    blank = np.flatnonzero(ids.isna() | (ids.astype(str).str.strip() == ""))
    if len(blank):
        raise InputError(f"the {id_column} is empty", source=path, where=f"row {blank[0] + 1}", remedy="give it an id")
    check_unique(ids.tolist(), source=path)
    return frame.set_index(id_column)


def check_unique(ids: Sequence[str], *, source: str | os.PathLike[str] | None) -> None:
    """Refuse ids that appear twice, naming both rows."""
    first: dict[str, int] = {}
    for row, name in enumerate(ids, start=1):
        if name in first:
            raise InputError(
                f"the id '{name}' was already used in row {first[name]}",
                source=source,
                where=f"row {row}",
                remedy="rename or delete one of the two rows",
            )
        first[name] = row


def numeric_columns(frame: pd.DataFrame, *, source: str | os.PathLike[str] | None) -> pd.DataFrame:
    """Turn every column into finite float32 numbers, or name the first cell that is none."""
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for name in frame.columns:
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused below
            values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64).astype(np.float32)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            row = int(wrong[0])
            cell = frame[name].iloc[row]
            text = str(cell).strip()
            what = "is missing" if text == "" or text.lower() == "nan" else f"is '{text}', not a finite number"
            raise InputError(
                f"the value in column '{name}' {what}",
                source=source,
                where=row_name(frame.index, row),
                remedy="fill it in, or remove the row or the column",
            )
        columns[str(name)] = values
    return pd.DataFrame(columns, index=frame.index)


def row_name(index: pd.Index, row: int) -> str:
    """Say which row, counted from 1 below the header, and whose."""
    return f"row {row + 1} (id {index[row]})"


def cut_short(names: Sequence[str] | pd.Index, most: int = 5) -> str:
    """The first few names, and how many follow."""
    shown = ", ".join(str(name) for name in list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def write_csv(path: str | os.PathLike[str], table: pd.DataFrame, *, index: bool = True) -> None:
    """Write a table as CSV, whole or not at all, the same bytes on every platform."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=index, lineterminator="\n")
