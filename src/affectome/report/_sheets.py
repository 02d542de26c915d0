"""Tables as they go into the page: their first rows, and the whole file to keep where it is small."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

__all__ = ["Preview", "previews"]

_ROWS, _COLUMNS, _LETTERS = 8, 12, 200  # that are shown
_WHOLE = 120_000  # bytes of a file that is put into the page
_TOGETHER = 2_500_000  # of all of them


@dataclass(frozen=True, eq=False)
class Preview:
    """The beginning of a table.

    Attributes
    ----------
    columns : tuple of str
    rows : tuple of tuple of str
    numeric : tuple of bool
        Whether a column holds numbers.
    told : str
        How much of the table that is.
    address : str or None
        The whole file as a data address; None where it is too large.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    told: str
    address: str | None


def previews(folder: Path, paths: Sequence[str]) -> dict[str, Preview]:
    """The beginning of every table, and of small ones the whole; files that are not there are left out.

    Parameters
    ----------
    folder
        The results.
    paths
        CSV files relative to it, those first that matter most.
    """
    left, found = _TOGETHER, {}
    for path in dict.fromkeys(paths):
        file = folder / path
        if not file.is_file():
            continue
        size = file.stat().st_size
        whole = size <= min(_WHOLE, left)
        if whole:
            left -= size
        found[path] = _preview(file, whole)
    return found


def _preview(file: Path, whole: bool) -> Preview:
    table = pd.read_csv(file, dtype=str, keep_default_na=False, nrows=None if whole else _ROWS)
    shown = table.iloc[:_ROWS, :_COLUMNS]
    numeric = tuple(_is_numeric(shown[name]) for name in shown)
    rows = tuple(
        tuple(_number(cell) if known else _text(cell) for cell, known in zip(row, numeric, strict=True))
        for row in shown.itertuples(index=False, name=None)
    )
    address = f"data:text/csv;base64,{base64.b64encode(file.read_bytes()).decode()}" if whole else None
    return Preview(tuple(map(str, shown.columns)), rows, numeric, _told(file, table, whole), address)


def _told(file: Path, table: pd.DataFrame, whole: bool) -> str:
    """How much there is, where that is more than is shown."""
    rows = f"{len(table):,} row{'s' if len(table) != 1 else ''}" if whole else f"{file.stat().st_size / 1e6:.1f} MB"
    shown = []
    if not whole or len(table) > _ROWS:
        shown.append(f"the first {_ROWS} are shown")
    if table.shape[1] > _COLUMNS:
        shown.append(f"{_COLUMNS} of {table.shape[1]} columns")
    return ", ".join([rows, *shown])


def _is_numeric(cells: pd.Series[str]) -> bool:
    known = [cell for cell in cells if cell != ""]
    return bool(known) and bool(pd.to_numeric(pd.Series(known), errors="coerce").notna().all())


def _number(cell: str) -> str:
    """A number with four digits that count."""
    if cell == "":
        return "–"
    value = float(cell)
    return cell if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}".replace("-", "−")


def _text(cell: str) -> str:
    return cell if len(cell) <= _LETTERS else f"{cell[:_LETTERS]}…"
