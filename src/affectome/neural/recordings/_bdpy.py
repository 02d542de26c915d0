"""Recordings in the HDF5 layout of bdpy (and of BrainDecoderToolbox2 before it)."""

from __future__ import annotations

import fnmatch
import logging
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._bdpy_file import ABSENT, OTHER, BdpyFile, open_bdpy
from affectome.neural.recordings._check import settle_missing
from affectome.neural.recordings._grid import grid_from_coordinates
from affectome.neural.recordings._join import check_same_voxels, join_trials, refuse_copies
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid

logger = logging.getLogger(__name__)

__all__ = ["PLACE_KEYS", "TRIAL_COLUMNS", "read_bdpy"]

PathLike = str | os.PathLike[str]
Regions = bool | str | Collection[str]

#: Keys that say where a voxel lies: no regions, even where all their values are 0 or 1.
PLACE_KEYS = frozenset(f"{kind}_{axis}" for kind in ("voxel", "vertex") for axis in (*"xyzijk", "index"))
#: Columns that bdpy writes with a capital.
TRIAL_COLUMNS = {"Block": "block", "Label": "label", "Run": "run", "Session": "session"}

_BRAIN_KEYS = ("VoxelData", "VertexData")
_SIDES = ("VertexLeft", "VertexRight")


def read_bdpy(
    path: PathLike | Sequence[PathLike],
    *,
    subject: str | None = None,
    label_column: str = "stimulus_name",
    run_column: str = "Run",
    session_column: str = "Session",
    rois: Regions = True,
    voxels: str | None = None,
    space: str | None = None,
    nan: Literal["raise", "drop voxels"] = "raise",
) -> Recording:
    """Read a recording that bdpy wrote.

    Parameters
    ----------
    path : path, or several
        HDF5 with ``dataset`` and ``metadata``, or ``dataSet`` and ``metaData``; MATLAB 7.3 files too, which hold the
        same transposed. Several files are sessions of one person, in their order: numbers of sessions and runs are
        made distinct (see :func:`join_recordings`).
    subject
        Name of the person; otherwise what the header says, the ``sub-`` part of the file's name, or that name.
    label_column, run_column, session_column
        Keys of the columns that say what was shown, and when. Without a column ``Session`` all is one session.
    rois
        True: every region of the file. A text: those whose name fits this pattern (``"hcp180_r_*"``). Names: these.
        False: none.
    voxels
        Key that marks the columns to read, a region for example. By default ``VoxelData``, or ``VertexData`` in a
        recording on a surface.
    space
        Name of the space the voxels lie in, where the file does not say it.
    nan
        Missing responses (NaN or infinite) are refused, naming run and voxels, or their voxels left out.

    Returns
    -------
    Recording
        Labels that ``vmap`` spells out are that text, others the whole number as text (``"17"``), absent ones
        ``"n/a"``. Other keys that mark one column are further columns of ``trials``. A region is a key that is 0 or 1
        over the voxels and marks no other column. Geometry: the volume from ``voxel_x``, ``_y``, ``_z`` and
        ``voxel_i``, ``_j``, ``_k`` (:func:`grid_from_coordinates`), the surface from ``VertexLeft``, ``VertexRight``
        and ``vertex_index``; None where these keys are absent.

    Raises
    ------
    InputError
        Naming file, place and remedy.

    Notes
    -----
    The responses are read in blocks of 4 MB straight into float32; the file is never held as float64, and peak memory
    stays below 1.3 times the float32 array (with ``nan="drop voxels"`` and voxels to drop, it is twice the array).

    Examples
    --------
    >>> import tempfile
    >>> from affectome.neural import Recording, read_bdpy, write_bdpy
    >>> trials = pd.DataFrame({"stimulus": ["17", "3"], "run": [1, 2], "session": [1, 1]})
    >>> there = Recording("sub-01", np.ones((2, 4), np.float32), trials, rois={"V1": np.arange(4) < 2})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_bdpy(f"{folder}/sub-01.h5", there)
    ...     again = read_bdpy(f"{folder}/sub-01.h5")
    >>> again, again.trials["stimulus"].tolist(), again.rois["V1"].tolist()
    (<Recording sub-01: 2 trials of 2 stimuli in 2 runs, 4 voxels>, ['17', '3'], [True, True, False, False])
    """
    files = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if not files:
        raise InputError("no file is given", remedy="give at least one")
    _refuse_twice(files)
    wanted = _Wanted(label_column, run_column, session_column, rois, voxels, space)
    heads = [_read_head(file, wanted) for file in files]
    name = subject or _subject_of(heads)
    for head in heads[1:]:
        check_same_voxels(heads[0].without_responses(name), head.without_responses(name))
    responses = np.empty((sum(len(head.trials) for head in heads), int(heads[0].columns.sum())), np.float32)
    parts = np.split(responses, np.cumsum([len(head.trials) for head in heads])[:-1])  # views
    for part, head in zip(parts, heads, strict=True):
        with open_bdpy(head.source) as file:
            file.fill(part, head.columns)
    refuse_copies(parts, [head.source for head in heads])
    recording = Recording(
        subject=name,
        responses=responses,
        trials=join_trials([head.trials for head in heads]),
        geometry=heads[0].geometry,
        rois=heads[0].rois,
        source=", ".join(head.source for head in heads),
    )
    return settle_missing(recording, nan)


@dataclass(frozen=True)
class _Wanted:
    """What the caller asked for."""

    label_column: str
    run_column: str
    session_column: str
    rois: Regions
    voxels: str | None
    space: str | None


@dataclass(frozen=True, eq=False)
class _Head:
    """All of a file but the responses; `columns` are those to read."""

    source: str
    subject: str | None
    trials: pd.DataFrame
    columns: NDArray[np.bool_]
    geometry: VolumeGrid | SurfaceMesh | None
    rois: dict[str, NDArray[np.bool_]]

    def without_responses(self, subject: str) -> Recording:
        """A recording with zeros that take no memory, for checks of everything else."""
        empty = np.broadcast_to(np.float32(0), (len(self.trials), int(self.columns.sum())))
        return Recording(subject, empty, self.trials, self.geometry, self.rois, self.source)


def _refuse_twice(files: Sequence[PathLike]) -> None:
    seen: dict[str, int] = {}
    for position, file in enumerate(files, start=1):
        real = os.path.realpath(file)
        if real in seen:
            raise InputError(f"is given twice, as file {seen[real]} and {position}", source=file, remedy="give it once")
        seen[real] = position


def _subject_of(heads: Sequence[_Head]) -> str:
    stated = {head.subject for head in heads if head.subject}
    names = stated or {_subject_in_name(head.source) for head in heads}
    if len(names) > 1:
        raise InputError(
            f"the files are of different people ({cut_short(sorted(names))}) by their headers or names",
            source=heads[0].source,
            remedy="give files of one person, or say whose they are with subject=",
        )
    return names.pop()


def _subject_in_name(source: str) -> str:
    entity = re.search(r"sub-[0-9A-Za-z]+", Path(source).name)
    return entity.group() if entity else Path(source).stem


def _read_head(path: PathLike, wanted: _Wanted) -> _Head:
    with open_bdpy(path) as file:
        codes, numbers = file.metadata(PLACE_KEYS)
        brain, columns = _brain_columns(file, codes == 1, wanted.voxels)
        places = {key: values[columns] for key, values in numbers.items()}
        regions, singles = _sort_keys(file, codes, brain, columns)
        return _Head(
            source=os.fspath(path),
            subject=file.header_text("subject"),
            trials=_read_trials(file, singles, wanted),
            columns=columns,
            geometry=_read_geometry(file, places, regions, wanted.space),
            rois=_chosen_regions(file, regions, wanted.rois),
        )


def _brain_columns(
    file: BdpyFile, marked: NDArray[np.bool_], voxels: str | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """All columns that hold the brain, and those of them to read."""
    present = [key for key in _BRAIN_KEYS if key in file.keys]
    key = voxels or next(iter(present), _BRAIN_KEYS[0])
    if key not in file.keys:
        raise InputError(
            f"its metadata has no key '{key}', which marks the voxels",
            source=file.source,
            remedy=f"name the key with voxels= (it has {cut_short(list(file.keys))})",
        )
    columns = marked[file.keys[key]]
    if not columns.any():
        raise InputError(
            f"the key '{key}' marks no column, so there is no voxel to read",
            source=file.source,
            remedy="choose another key with voxels=",
        )
    brain = marked[file.keys[present[0]]] if present else columns
    return brain | columns, columns


def _sort_keys(
    file: BdpyFile, codes: NDArray[np.int8], brain: NDArray[np.bool_], columns: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, int]]:
    """Regions by key; the column of each key that marks a single one beside the brain."""
    regions: dict[str, NDArray[np.bool_]] = {}
    singles: dict[str, int] = {}
    for key, row in file.keys.items():
        if key in _BRAIN_KEYS or key in PLACE_KEYS:
            continue
        code = codes[row]
        marked = np.flatnonzero((code == 1) & ~brain)
        if len(marked) == 1:
            singles[key] = int(marked[0])
        over_brain = code[brain]
        if not len(marked) and (over_brain != OTHER).all() and (over_brain != ABSENT).any():
            regions[key] = code[columns] == 1
    return regions, singles


def _chosen_regions(
    file: BdpyFile, regions: dict[str, NDArray[np.bool_]], rois: Regions
) -> dict[str, NDArray[np.bool_]]:
    regions = {name: mask for name, mask in regions.items() if name not in _SIDES}
    if isinstance(rois, bool):
        return regions if rois else {}
    names = fnmatch.filter(regions, rois) if isinstance(rois, str) else list(rois)
    absent = [name for name in names if name not in regions]
    if absent or not names:
        what = (
            f"no region fits '{rois}'"
            if isinstance(rois, str)
            else f"there is no region {cut_short(absent) or 'named'}"
        )
        raise InputError(
            what,
            source=file.source,
            remedy=f"choose among {cut_short(list(regions))}" if regions else "read it without regions",
        )
    return {name: regions[name] for name in names}


def _read_geometry(
    file: BdpyFile, places: dict[str, NDArray[np.float64]], regions: dict[str, NDArray[np.bool_]], space: str | None
) -> VolumeGrid | SurfaceMesh | None:
    stated = file.geometry_header()
    space = space or stated.get("space")
    millimetres, indices = (_stacked(places, axes) for axes in ("xyz", "ijk"))
    if millimetres is not None:
        grid = grid_from_coordinates(millimetres, indices, source=file.source, space=space)
        return _as_stated(grid, millimetres, indices, stated)
    if "vertex_index" in places and all(side in regions for side in _SIDES):
        vertices, right = places["vertex_index"], regions["VertexRight"]
        if not np.isfinite(vertices).all():
            raise InputError(
                f"{int((~np.isfinite(vertices)).sum())} vertices have no vertex_index",
                source=file.source,
                remedy="leave these vertices out",
            )
        found = [int(vertices[side].max(initial=-1)) + 1 for side in (~right, right)]
        left_size, right_size = stated.get("mesh_sizes", found)
        return SurfaceMesh(vertices.astype(np.int32), right, (int(left_size), int(right_size)), space)
    logger.warning("%s: it does not say where its voxels lie (voxel_x, voxel_y, voxel_z).", file.source)
    return None


def _stacked(places: dict[str, NDArray[np.float64]], axes: str) -> NDArray[np.float64] | None:
    keys = [f"voxel_{axis}" for axis in axes]
    return np.column_stack([places[key] for key in keys]) if all(key in places for key in keys) else None


def _as_stated(
    grid: VolumeGrid | None,
    millimetres: NDArray[np.float64],
    indices: NDArray[np.float64] | None,
    stated: dict[str, Any],
) -> VolumeGrid | None:
    """The affine and size of the volume as we wrote them, where they still fit the voxels."""
    if indices is None or "affine" not in stated or "shape" not in stated:
        return grid
    affine, shape = np.array(stated["affine"], np.float64), tuple(int(size) for size in stated["shape"])
    away = np.abs(indices @ affine[:3, :3].T + affine[:3, 3] - millimetres)
    if away.max() > 1e-3 or (indices < 0).any() or (indices >= shape).any():
        return grid
    space = stated.get("space") if grid is None else grid.space
    return VolumeGrid(indices.astype(np.int32), affine, (shape[0], shape[1], shape[2]), space)


def _read_trials(file: BdpyFile, singles: dict[str, int], wanted: _Wanted) -> pd.DataFrame:
    """The table of trials: what was asked for first, then every other key that marks one column."""

    def column(key: str, what: str) -> NDArray[np.float64]:
        if key not in singles:
            known = f"choose among {cut_short(list(singles))}" if singles else "no key marks a single column"
            raise InputError(f"it has no column '{key}', which says the {what}", source=file.source, remedy=known)
        return file.column(singles[key])

    table: dict[str, Any] = {
        "stimulus": _as_labels(file, wanted.label_column, column(wanted.label_column, "stimulus")),
        "run": _as_whole(file, wanted.run_column, column(wanted.run_column, "run")),
    }
    if wanted.session_column in singles or wanted.session_column != "Session":
        table["session"] = _as_whole(file, wanted.session_column, column(wanted.session_column, "session"))
    else:
        table["session"] = np.ones(file.n_trials, np.int64)
    used = {wanted.label_column, wanted.run_column, wanted.session_column}
    for key, place in singles.items():
        name = TRIAL_COLUMNS.get(key, key)
        if key not in used and name not in table:
            values = file.column(place)
            table[name] = _as_labels(file, key, values) if file.vmap(key) else _as_numbers(values)
    return pd.DataFrame(table)


def _as_numbers(values: NDArray[np.float64]) -> NDArray[Any]:
    whole = np.isfinite(values).all() and np.all(values == np.round(values)) and np.abs(values).max() < 2**53
    return values.astype(np.int64) if whole else values


def _as_whole(file: BdpyFile, key: str, values: NDArray[np.float64]) -> NDArray[np.int64]:
    wrong = np.flatnonzero(~(np.isfinite(values) & (values == np.round(values))))
    if len(wrong):
        raise InputError(
            f"the column '{key}' holds {values[wrong[0]]}, which is no whole number",
            source=file.source,
            where=f"trial {wrong[0] + 1}",
            remedy="choose the column that numbers runs or sessions",
        )
    return values.astype(np.int64)


def _as_labels(file: BdpyFile, key: str, values: NDArray[np.float64]) -> list[str]:
    """Text of each label: from the vmap where there is one, else the whole number."""
    texts = file.vmap(key)
    numbers = [float(one) for one in np.unique(values[~np.isnan(values)])]
    for number in numbers:
        if (number not in texts) if texts else not (np.isfinite(number) and number == np.round(number)):
            row = int(np.flatnonzero(values == number)[0])
            listed = f"has no text in vmap ({len(texts)} labels from {min(texts):g} to {max(texts):g})" if texts else ""
            raise InputError(
                f"the label {number:g} of '{key}' {listed or 'is no whole number'}",
                source=file.source,
                where=f"trial {row + 1}",
                remedy="choose the right label column or complete the vmap",
            )
    spelt = {number: texts[number] if texts else str(int(number)) for number in numbers}
    return ["n/a" if np.isnan(value) else spelt[float(value)] for value in values]
