"""Spaces on disk: Parquet with its history inside, or a plain CSV/TSV table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from affectome._files import atomic_path, check_output, write_parquet
from affectome._tables import read_indexed_table
from affectome.spaces._space import as_space

#: Extensions that a space can be written with.
SPACE_FORMATS = (".parquet", ".csv", ".tsv")


def read_space(path: str | os.PathLike[str], *, id_column: str = "id") -> pd.DataFrame:
    """Read a space from a CSV, TSV or Parquet table: one row per stimulus, an id column, numbers.

    How the space was made, where the file says it, is in ``frame.attrs``.

    Raises
    ------
    InputError
        Naming file, row and remedy: no such file, no id column, a repeated id, a missing or
        non-numeric value.
    """
    table = read_indexed_table(path, id_column=id_column)
    space = as_space(table, source=path)
    space.attrs = {key: value for key, value in table.attrs.items() if key not in ("affectome_schema", "kind")}
    return space


def write_space(path: str | os.PathLike[str], space: pd.DataFrame, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a space; `metadata` (how it was made) is kept inside a Parquet file.

    A CSV or TSV file holds the numbers alone.
    """
    import pyarrow as pa

    check_output(path, SPACE_FORMATS)
    checked = as_space(space)
    suffix = Path(path).suffix.lower()
    if suffix == ".parquet":
        write_parquet(path, pa.Table.from_pandas(checked), {**(metadata or {}), "kind": "space"})
    else:
        with atomic_path(path) as temporary:
            checked.to_csv(temporary, sep="," if suffix == ".csv" else "\t", lineterminator="\n")
