"""Recordings as a NumPy array with a table of trials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.neural.recordings._check import settle_missing
from affectome.neural.recordings._grid import grid_from_coordinates
from affectome.neural.recordings._join import distinct_runs
from affectome.neural.recordings._recording import Recording, VolumeGrid

__all__ = ["read_arrays"]

PathLike = str | os.PathLike[str]

_BLOCK_VALUES = 2**20


def read_arrays(
    responses: PathLike,
    trials: PathLike,
    *,
    coordinates: PathLike | pd.DataFrame | None = None,
    subject: str | None = None,
    space: str | None = None,
    nan: Literal["raise", "drop voxels"] = "raise",
) -> Recording:
    r"""Read responses from an ``.npy`` file and what was shown from a table.

    Parameters
    ----------
    responses : path
        ``.npy`` of shape (n_trials, n_voxels), any kind of number. Memory-mapped and turned into float32 by blocks.
    trials : path
        CSV, TSV or Parquet with one row per trial in their order: ``stimulus`` (kept as text, letter for letter),
        ``run``, and optionally ``session`` and others. Where two sessions use the same number for a run, runs are
        numbered anew; the number of the table stays in ``run_in_session``.
    coordinates : path or DataFrame, optional
        One row per voxel: ``x``, ``y``, ``z`` in millimetres, and optionally ``i``, ``j``, ``k``, the places in the
        volume (see :func:`grid_from_coordinates`).
    subject
        Name of the person; by default the name of the file.
    space
        Name of the space of the coordinates.
    nan
        Missing responses (NaN or infinite) are refused, naming run and voxels, or their voxels left out.

    Raises
    ------
    InputError
        Naming file, place and remedy.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> np.save(f"{folder.name}/sub-01.npy", np.eye(2))
    >>> _ = Path(folder.name, "sub-01.csv").write_text("stimulus,run\n0001,1\n0002,2\n")
    >>> read_arrays(f"{folder.name}/sub-01.npy", f"{folder.name}/sub-01.csv")
    <Recording sub-01: 2 trials of 2 stimuli in 2 runs, 2 voxels>
    >>> folder.cleanup()
    """
    table = _read_trials(trials)
    values = _read_responses(responses)
    if len(values) != len(table):
        raise InputError(
            f"has {len(table)} rows for the {len(values)} trials of {Path(responses).name}",
            source=trials,
            remedy="give one row per trial, in their order",
        )
    recording = Recording(
        subject=subject or Path(responses).stem,
        responses=values,
        trials=distinct_runs(table),
        geometry=None if coordinates is None else _read_grid(coordinates, values.shape[1], space),
        source=os.fspath(responses),
    )
    return settle_missing(recording, nan)


def _read_responses(path: PathLike) -> NDArray[np.float32]:
    if Path(path).is_dir():
        raise InputError("is a folder", source=path, remedy="name the .npy file in it")
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        raise InputError(
            "is no whole .npy file of numbers", source=path, remedy="write it again with numpy.save"
        ) from error
    if not isinstance(held, np.ndarray):
        held.close()
        raise InputError("is an .npz archive", source=path, remedy="save the one array with numpy.save")
    if held.ndim != 2 or held.dtype.kind not in "fiub" or 0 in held.shape:
        raise InputError(
            f"holds an array of shape {held.shape} and type {held.dtype}",
            source=path,
            remedy="save trials × voxels, as numbers, at least one each",
        )
    values = np.empty(held.shape, np.float32)
    at_once = max(1, _BLOCK_VALUES // held.shape[1])
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused as missing
        for start in range(0, len(held), at_once):
            values[start : start + at_once] = held[start : start + at_once]
    return values


def _read_trials(path: PathLike) -> pd.DataFrame:
    table = read_table(path, text_columns=("stimulus",))
    missing = [name for name in ("stimulus", "run") if name not in table.columns]
    if missing:
        raise InputError(
            f"has no column '{missing[0]}'", source=path, remedy=f"add it (the table has {cut_short(table.columns)})"
        )
    if "session" not in table.columns:
        table["session"] = 1
    for name in ("run", "session"):
        table[name] = _whole(table[name], path)
    blank = np.flatnonzero(table["stimulus"].isna() | (table["stimulus"].str.strip() == ""))
    if len(blank):
        raise InputError("the stimulus is empty", source=path, where=f"row {blank[0] + 1}", remedy="say what was shown")
    return table


def _whole(column: pd.Series[Any], path: PathLike) -> NDArray[np.int64]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers == np.round(numbers))))
    if len(wrong):
        raise InputError(
            f"the {column.name} is '{column.iloc[wrong[0]]}', not a whole number",
            source=path,
            where=f"row {wrong[0] + 1}",
            remedy="number runs and sessions",
        )
    return numbers.astype(np.int64)


def _read_grid(coordinates: PathLike | pd.DataFrame, n_voxels: int, space: str | None) -> VolumeGrid | None:
    if isinstance(coordinates, pd.DataFrame):
        table, source = coordinates, "the coordinates"
    else:
        table, source = read_table(coordinates, text_columns=()), os.fspath(coordinates)
    missing = [axis for axis in "xyz" if axis not in table.columns]
    if missing:
        raise InputError(f"has no column '{missing[0]}'", source=source, remedy="give x, y and z in millimetres")
    if len(table) != n_voxels:
        raise InputError(
            f"has {len(table)} rows for {n_voxels} voxels",
            source=source,
            remedy="give one row per voxel, in their order",
        )
    places = table.apply(pd.to_numeric, errors="coerce")
    indices = places[list("ijk")].to_numpy(np.float64) if set("ijk") <= set(table.columns) else None
    return grid_from_coordinates(places[list("xyz")].to_numpy(np.float64), indices, source=source, space=space)
