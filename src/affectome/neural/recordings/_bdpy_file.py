"""An HDF5 file in the layout of bdpy, read a piece at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["GEOMETRY_HEADER", "BdpyFile", "open_bdpy"]

#: What we add to the header: affine, shape and space as JSON, which the layout has no place for.
GEOMETRY_HEADER = "affectome_geometry"
_BLOCK_BYTES = 2**23


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
        file = h5py.File(source, "r")
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

    def metadata(self, key: str) -> NDArray[np.float64]:
        """Values of a key over all columns."""
        row = self.keys[key]
        return self._read(self._value, (slice(None), row) if self._transposed else (row, slice(None)))

    def column(self, index: int) -> NDArray[np.float64]:
        """One column over all trials."""
        return self._read(self._dataset, (index, slice(None)) if self._transposed else (slice(None), index))

    def _read(self, table: Any, place: tuple[Any, Any]) -> NDArray[Any]:
        try:
            return np.asarray(table[place]).astype(np.float64, copy=False)
        except OSError as error:
            raise _damaged(self.source, error, f" in '{table.name.lstrip('/')}'") from error

    def fill(self, target: NDArray[np.float32], columns: NDArray[np.bool_]) -> None:
        """Read the chosen columns of all trials into `target`, a few megabytes at a time."""
        place = np.cumsum(columns) - 1  # of each chosen column in the target
        for rows, span in self._blocks(columns):
            chosen = columns[span]
            if not chosen.any():
                continue
            area = (span, rows) if self._transposed else (rows, span)
            try:
                block = self._dataset[area]
            except OSError as error:
                where = f" in trials {rows.start + 1} to {rows.stop}"
                raise _damaged(self.source, error, where) from error
            block = block.T if self._transposed else block
            first = int(place[span][chosen][0])
            into = target[rows, first : first + int(chosen.sum())]
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as missing
                into[...] = block if chosen.all() else block[:, chosen]

    def _blocks(self, columns: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
        """Pieces of trials × columns between the first and last chosen column, each chunk of the file in one only."""
        chosen = np.flatnonzero(columns)
        n_trials = self.n_trials
        chunks = self._dataset.chunks or (1, self._dataset.shape[1])  # a table in one piece is read by whole rows
        chunk_rows, chunk_columns = chunks[::-1] if self._transposed else chunks
        budget = _BLOCK_BYTES // self._dataset.dtype.itemsize
        start = int(chosen[0]) // chunk_columns * chunk_columns
        width, height = int(chosen[-1]) + 1 - start, n_trials
        if self._transposed:
            height = _multiple(chunk_rows, n_trials, budget // chunk_columns)
            width = _multiple(chunk_columns, width, budget // height)
        else:
            width = _multiple(chunk_columns, width, budget // chunk_rows)
            height = _multiple(chunk_rows, n_trials, budget // width)
        for top in range(0, n_trials, height):
            for left in range(start, int(chosen[-1]) + 1, width):
                yield (
                    slice(top, min(top + height, n_trials)),
                    slice(left, min(left + width, int(chosen[-1]) + 1)),
                )

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
        stated = {} if text is None else json.loads(text)
        return stated if isinstance(stated, dict) else {}


def _multiple(chunk: int, whole: int, at_most: int) -> int:
    """As many whole chunks as fit, at least one."""
    return min(max(at_most // chunk, 1) * chunk, max(whole, 1))


def _as_text(held: Any) -> str:
    if isinstance(held, bytes):
        return held.decode("utf-8")
    if isinstance(held, str):
        return held
    raise TypeError(f"{cut_short([type(held).__name__])} is no text")
