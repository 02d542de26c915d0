"""An HDF5 file in the layout of bdpy, read a piece at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["ABSENT", "GEOMETRY_HEADER", "OTHER", "BdpyFile", "open_bdpy"]

#: What we add to the header: affine, shape and space as JSON, which the layout has no place for.
GEOMETRY_HEADER = "affectome_geometry"
#: Codes of metadata that are neither 0 nor 1: NaN, and any other number.
ABSENT, OTHER = -1, 2
_BLOCK_BYTES = 2**22
_CACHE_BYTES = 2**20  # every chunk is read once, so keeping them is of no use


@contextmanager
def open_bdpy(path: str | os.PathLike[str]) -> Iterator[BdpyFile]:
    """Open a file and check that dataset and metadata fit each other.

    Raises
    ------
    InputError
        Where it cannot be read, is no HDF5, was cut short, or lacks a part.
    """
    import h5py

    source = os.fspath(path)
    if Path(source).is_dir():
        raise InputError("is a folder", source=source, remedy="name the HDF5 file in it")
    try:
        with open(source, "rb") as handle:
            start = handle.read(10)
    except OSError as error:
        raise unreadable(source, error) from error
    if not h5py.is_hdf5(source):
        old = start.startswith(b"MATLAB 5.0")
        remedy = "save it in MATLAB with the option -v7.3" if old else "give a file that bdpy wrote"
        raise InputError("is no HDF5 file", source=source, remedy=remedy)
    try:
        file = h5py.File(source, "r", rdcc_nbytes=_CACHE_BYTES)
    except OSError as error:
        raise _damaged(source, error) from error
    with file:
        yield BdpyFile(file, source)


def _damaged(source: str, error: OSError, what: str = "") -> InputError:
    short = "truncated" in str(error)
    problem = "was cut short" if short else f"is damaged{what} ({' '.join(str(error).split())})"
    return InputError(problem, source=source, remedy="copy or download it again")


class BdpyFile:
    """Dataset (trials × columns), metadata (keys × columns), vmap and header of an open file.

    MATLAB writes both tables transposed and keys as references to arrays of characters; that is undone here.
    """

    def __init__(self, file: Any, source: str) -> None:
        self.source = source
        self._file = file
        self._dataset = self._part(("dataSet", "dataset"), ("responses", "a table of numbers"))
        group = next((name for name in ("metaData", "metadata") if name in file), None)
        if group is None:
            raise self._fault("it has no 'metadata' or 'metaData'", "give a file that bdpy wrote")
        self._value = self._part((f"{group}/value",), ("metadata", "a table of numbers"))
        self.keys = self._read_keys(group)
        self._check_sizes()

    def _fault(self, problem: str, remedy: str) -> InputError:
        return InputError(problem, source=self.source, remedy=remedy)

    def _part(self, names: tuple[str, ...], described: tuple[str, str]) -> Any:
        """A table of numbers under one of these names."""
        import h5py

        name = next((one for one in names if one in self._file), None)
        if name is None:
            sought = " or ".join(f"'{one}'" for one in reversed(names))
            raise self._fault(
                f"it has no {sought}, which holds the {described[0]}",
                "give a file that bdpy wrote",
            )
        found = self._file[name]
        if not isinstance(found, h5py.Dataset) or found.ndim != 2 or found.dtype.kind not in "fiub":
            shape = f"of shape {found.shape} and type {found.dtype}" if isinstance(found, h5py.Dataset) else "a group"
            raise self._fault(f"its '{name}' is {shape}, not {described[1]}", "give a file that bdpy wrote")
        return found

    def _read_keys(self, group: str) -> dict[str, int]:
        """Row of the metadata for each key, the first where a key is there twice."""
        import h5py

        name = f"{group}/key"
        if name not in self._file:
            raise self._fault(f"it has no '{name}', which names the metadata", "give a file that bdpy wrote")
        held = self._file[name]
        self._transposed = bool(isinstance(held, h5py.Dataset) and h5py.check_ref_dtype(held.dtype))
        if isinstance(held, h5py.Dataset) and (self._transposed or held.dtype.kind in "SOU"):
            texts = np.asarray(held[()]).ravel().tolist()
            if self._transposed:
                texts = ["".join(map(chr, np.asarray(self._file[one][()]).ravel())) for one in texts]
            keys: dict[str, int] = {}
            for row, text in enumerate(texts):
                keys.setdefault(_as_text(text).strip(), row)
            self._n_keys = len(texts)
            return keys
        kind = f"of type {held.dtype}" if isinstance(held, h5py.Dataset) else "a group"
        raise self._fault(f"its '{name}' is {kind}, not a list of texts", "write the names of the keys as text")

    def _check_sizes(self) -> None:
        n_keys, n_columns = self._shape(self._value)
        if self.n_trials == 0 or self.n_columns == 0:
            raise self._fault(f"its dataset is empty ({self.n_trials} × {self.n_columns})", "write it again")
        if n_columns != self.n_columns:
            raise self._fault(
                f"its dataset has {self.n_columns} columns, its metadata describes {n_columns}",
                "write both from one source again",
            )
        if n_keys != self._n_keys:
            raise self._fault(f"its metadata has {self._n_keys} keys and {n_keys} rows of values", "write it again")

    def _shape(self, table: Any) -> tuple[int, int]:
        first, second = table.shape
        return (second, first) if self._transposed else (first, second)

    @property
    def n_trials(self) -> int:
        return self._shape(self._dataset)[0]

    @property
    def n_columns(self) -> int:
        return self._shape(self._dataset)[1]

    def metadata(self, exact: Collection[str]) -> tuple[NDArray[np.int8], dict[str, NDArray[np.float64]]]:
        """Everything the metadata says, in one pass.

        Parameters
        ----------
        exact
            Keys whose numbers are wanted as they are.

        Returns
        -------
        int8 array of shape (n_keys, n_columns)
            1 and 0 where the value is that, :data:`ABSENT` where it is NaN, :data:`OTHER` for any other number. As
            numbers the table could be a third of the responses.
        dict from key to float array of shape (n_columns,)
            Of the keys in `exact`.
        """
        codes = np.empty((self._n_keys, self.n_columns), np.int8)
        wanted = {key: row for key, row in self.keys.items() if key in exact}
        numbers = {key: np.empty(self.n_columns) for key in wanted}
        for rows, span, block in self._blocks(self._value, slice(0, self.n_columns)):
            code = np.where(np.isnan(block), ABSENT, OTHER).astype(np.int8)
            code[block == 0], code[block == 1] = 0, 1
            codes[rows, span] = code
            for key, row in wanted.items():
                if rows.start <= row < rows.stop:
                    numbers[key][span] = block[row - rows.start]
        return codes, numbers

    def column(self, index: int) -> NDArray[np.float64]:
        """One column over all trials."""
        try:
            held = self._dataset[index] if self._transposed else self._dataset[:, index]
        except OSError as error:
            raise _damaged(self.source, error, " in its dataset") from error
        return np.asarray(held, np.float64)

    def fill(self, target: NDArray[np.float32], columns: NDArray[np.bool_]) -> None:
        """Read the chosen columns of all trials into `target`, a few megabytes at a time."""
        place = np.cumsum(columns) - 1  # of each chosen column in the target
        span = np.flatnonzero(columns)[[0, -1]]
        for rows, part, block in self._blocks(self._dataset, slice(int(span[0]), int(span[1]) + 1), columns):
            chosen = columns[part]
            first = int(place[part][chosen][0])
            into = target[rows, first : first + int(chosen.sum())]
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as missing
                into[...] = block if chosen.all() else block[:, chosen]

    def _blocks(
        self, table: Any, span: slice, columns: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """Pieces of a table (rows, columns, content), each chunk of the file in one piece only.

        Pieces without any of `columns` are passed over.
        """
        n_rows = self._shape(table)[0]
        chunks = table.chunks or (1, table.shape[1])  # a table in one piece is read along the file
        tall, wide = chunks[::-1] if self._transposed else chunks
        start = span.start // wide * wide
        height, width = _piece(tall, wide, n_rows, span.stop - start, _BLOCK_BYTES // table.dtype.itemsize)
        for top in range(0, n_rows, height):
            rows = slice(top, min(top + height, n_rows))
            for left in range(start, span.stop, width):
                part = slice(left, min(left + width, span.stop))
                if columns is not None and not columns[part].any():
                    continue
                try:
                    block = table[part, rows].T if self._transposed else table[rows, part]
                except OSError as error:
                    where = f" in '{table.name.lstrip('/')}', rows {rows.start + 1} to {rows.stop}"
                    raise _damaged(self.source, error, where) from error
                yield rows, part, block

    @cached_property
    def _vmap_keys(self) -> set[str]:
        return set(self._file["vmap"]) if "vmap" in self._file else set()

    def vmap(self, key: str) -> dict[float, str]:
        """Text of each value of a key; empty where the file has none."""
        if key not in self._vmap_keys:
            return {}
        texts: dict[float, str] = {}
        for number, held in self._file["vmap"][key].items():
            try:
                texts[float(number)] = _as_text(held[()])
            except (ValueError, TypeError, AttributeError) as error:
                raise self._fault(
                    f"the vmap of '{key}' says '{number}', which is no number with a text", "repair the vmap"
                ) from error
        return texts

    def header_text(self, name: str) -> str | None:
        """An entry of the header that is a text."""
        if "header" not in self._file or name not in self._file["header"]:
            return None
        held = self._file["header"][name][()]
        return _as_text(held) if isinstance(held, (bytes, str)) else None

    def geometry_header(self) -> dict[str, Any]:
        """What we wrote about the geometry; empty in files of others."""
        text = self.header_text(GEOMETRY_HEADER)
        if text is None:
            return {}
        try:
            stated = json.loads(text)
        except ValueError as error:
            raise self._fault(f"its header '{GEOMETRY_HEADER}' is no JSON", "write the recording again") from error
        return stated if isinstance(stated, dict) else {}


def _piece(tall: int, wide: int, n_rows: int, n_columns: int, budget: int) -> tuple[int, int]:
    """Size of a piece: whole chunks of tall × wide, first along the rows, about `budget` numbers."""
    width = min(max(budget // tall // wide, 1) * wide, n_columns)
    height = min(max(budget // width // tall, 1) * tall, n_rows)
    return height, width


def _as_text(held: Any) -> str:
    if isinstance(held, bytes):
        return held.decode("utf-8", errors="backslashreplace")
    if isinstance(held, str):
        return held
    raise TypeError(f"{cut_short([type(held).__name__])} is no text")
