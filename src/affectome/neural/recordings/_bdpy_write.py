"""Recordings out, in the HDF5 layout of bdpy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import atomic_path
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._bdpy import PLACE_KEYS, TRIAL_COLUMNS
from affectome.neural.recordings._bdpy_file import GEOMETRY_HEADER
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid

__all__ = ["write_bdpy"]

_BLOCK_VALUES = 2**20
_LARGEST_CODE = 10**6  # a label that is a larger number gets a code of its own


def write_bdpy(
    path: str | os.PathLike[str],
    recording: Recording,
    *,
    layout: Literal["dataset", "dataSet"] = "dataset",
    dtype: Literal["float64", "float32"] = "float64",
    label_column: str = "stimulus_name",
) -> Path:
    """Write a recording so that bdpy, and :func:`read_bdpy`, read it.

    Parameters
    ----------
    path
        ``.h5`` file; appears whole or not at all.
    recording : Recording
    layout
        ``"dataset"`` with ``metadata``, or the older ``"dataSet"`` with ``metaData``.
    dtype
        Of the dataset. bdpy itself writes float64; float32 halves the file, rounds onsets to seven digits and loses
        nothing of the responses.
    label_column
        Key under which the stimuli are written. Their text goes to ``vmap``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        Where a region or a column of the trials has a name that the layout needs for something else.
    EnvironmentFailure
        Where the file cannot be written.
    """
    if layout not in ("dataset", "dataSet") or dtype not in ("float64", "float32"):
        raise InputError(
            f"layout is '{layout}' and dtype '{dtype}'", remedy="choose dataset or dataSet, and float64 or float32"
        )
    columns, texts = _coded_columns(recording, label_column)
    rows = _metadata_rows(recording, columns)
    with atomic_path(path) as temporary, _new_file(temporary) as file:
        _write_dataset(file, layout, np.dtype(dtype), recording.responses, columns)
        _write_metadata(
            file, "metadata" if layout == "dataset" else "metaData", rows, recording.n_voxels + len(columns)
        )
        file["header/subject"] = recording.subject.encode()
        if recording.geometry is not None:
            file[f"header/{GEOMETRY_HEADER}"] = json.dumps(_geometry(recording.geometry)).encode()
        vmap = file.create_group("vmap")
        for key, spelt in texts.items():
            labels = vmap.create_group(key)
            for code, text in spelt.items():
                labels[str(code)] = text.encode()
    return Path(path)


@contextmanager
def _new_file(path: Path) -> Iterator[Any]:
    """An HDF5 file to write; a disk that is full as it closes, which HDF5 calls a runtime error, is an OSError."""
    import h5py

    try:
        with h5py.File(path, "w") as file:
            yield file
    except RuntimeError as error:
        raise OSError(" ".join(str(error).split())) from error


def _coded_columns(
    recording: Recording, label_column: str
) -> tuple[dict[str, NDArray[np.float64]], dict[str, dict[float, str]]]:
    """Trial columns as numbers, and the texts of those that are text."""
    spelling = {ours: theirs for theirs, ours in TRIAL_COLUMNS.items()} | {"stimulus": label_column}
    columns: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, dict[float, str]] = {}
    for name in recording.trials.columns:
        key, values = spelling.get(name, str(name)), recording.trials[name]
        if key in columns or "/" in key:
            raise InputError(
                f"the column '{name}' of the trials cannot be written as '{key}'",
                source=recording.source or recording.subject,
                remedy="rename it",
            )
        if name != "stimulus" and pd.api.types.is_numeric_dtype(values):
            columns[key] = values.to_numpy(np.float64)
        else:
            columns[key], texts[key] = _coded(values)
    return columns, texts


def _coded(values: pd.Series[Any]) -> tuple[NDArray[np.float64], dict[float, str]]:
    """A number for each text: the number it reads as where that tells all texts apart, else 1, 2, ..."""
    spelt = values.where(values.notna(), "n/a").astype(str)
    distinct = [text for text in spelt.unique().tolist() if text != "n/a"]
    read = [int(text) for text in distinct if re.fullmatch(r"[0-9]{1,7}", text)]
    own = len(set(read)) == len(distinct) and max(read, default=0) <= _LARGEST_CODE
    codes = {text: float(read[k] if own else k + 1) for k, text in enumerate(distinct)}
    return spelt.map(codes).to_numpy(np.float64), {code: text for text, code in codes.items()}


def _metadata_rows(
    recording: Recording, columns: dict[str, NDArray[np.float64]]
) -> list[tuple[str, str, NDArray[np.float64], slice]]:
    """Key, description, values and the columns they are written to; all other columns are NaN."""
    n_voxels = recording.n_voxels
    brain, data_key = slice(0, n_voxels), "VertexData" if isinstance(recording.geometry, SurfaceMesh) else "VoxelData"
    rows = [(data_key, f"1 = {data_key}", np.ones(n_voxels), brain)]
    for place, key in enumerate(columns, start=n_voxels):
        rows.append((key, f"1 = {key}", np.ones(1), slice(place, place + 1)))
    places = _places(recording.geometry)
    reserved = {data_key, *columns, *places, *PLACE_KEYS}
    clashing = [name for name in recording.rois if name in reserved]
    if clashing:
        raise InputError(
            f"the regions {cut_short(clashing)} are named as columns or coordinates are",
            source=recording.source or recording.subject,
            remedy="rename them",
        )
    rows += [(name, f"1 = {name}", mask.astype(np.float64), brain) for name, mask in recording.rois.items()]
    rows += [(key, key.replace("_", " "), values, brain) for key, values in places.items()]
    return rows


def _places(geometry: VolumeGrid | SurfaceMesh | None) -> dict[str, NDArray[np.float64]]:
    if geometry is None:
        return {}
    if isinstance(geometry, VolumeGrid):
        millimetres = geometry.coordinates()
        return {f"voxel_{axis}": millimetres[:, k] for k, axis in enumerate("xyz")} | {
            f"voxel_{axis}": geometry.ijk[:, k].astype(np.float64) for k, axis in enumerate("ijk")
        }
    return {
        "VertexLeft": (~geometry.right).astype(np.float64),
        "VertexRight": geometry.right.astype(np.float64),
        "vertex_index": geometry.vertices.astype(np.float64),
    }


def _geometry(geometry: VolumeGrid | SurfaceMesh) -> dict[str, Any]:
    if isinstance(geometry, VolumeGrid):
        shape = [int(size) for size in geometry.shape]
        return {"affine": np.asarray(geometry.affine, np.float64).tolist(), "shape": shape, "space": geometry.space}
    return {"mesh_sizes": [int(size) for size in geometry.mesh_sizes], "space": geometry.space}


def _write_dataset(
    file: Any,
    name: str,
    dtype: np.dtype[Any],
    responses: NDArray[np.float32],
    columns: dict[str, NDArray[np.float64]],
) -> None:
    n_trials, n_voxels = responses.shape
    table = file.create_dataset(name, (n_trials, n_voxels + len(columns)), dtype)
    beside = np.column_stack(list(columns.values()))
    at_once = max(1, _BLOCK_VALUES // n_voxels)
    for start in range(0, n_trials, at_once):
        rows = slice(start, start + at_once)
        table[rows] = np.hstack([responses[rows].astype(dtype), beside[rows].astype(dtype)])


def _write_metadata(
    file: Any, group: str, rows: list[tuple[str, str, NDArray[np.float64], slice]], n_columns: int
) -> None:
    file[f"{group}/key"] = [key.encode() for key, _, _, _ in rows]
    file[f"{group}/description"] = [description.encode() for _, description, _, _ in rows]
    table = file.create_dataset(f"{group}/value", (len(rows), n_columns), np.float64, fillvalue=np.nan)
    for row, (_, _, values, columns) in enumerate(rows):
        line = np.full(n_columns, np.nan)
        line[columns] = values
        table[row] = line
