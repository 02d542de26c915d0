"""A recording from any file that is known, by its name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._recording import Recording

__all__ = ["read_recording"]

PathLike = str | os.PathLike[str]

_TABLES = (".csv", ".tsv", ".parquet")


def read_recording(path: PathLike | Sequence[PathLike], **options: Any) -> Recording:
    """Read a recording with the reader that its name calls for.

    Parameters
    ----------
    path : path, or several of one kind
        What each kind is read by, and what several mean:

        - ``.h5``, ``.hdf5``, ``.mat``: :func:`read_bdpy`; several are sessions of one person.
        - ``.npy``: :func:`read_arrays`, with the table of the same name beside it (``sub-01.npy``, ``sub-01.csv``).
        - ``.nii``, ``.nii.gz``: :func:`read_nifti`; several are runs.
        - a folder: :func:`read_bids`.
    **options
        Go to that reader.

    Raises
    ------
    InputError
        Where the name is of no known kind, kinds are mixed, an option is not one of that reader, or one it needs is
        absent.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    if not paths:
        raise InputError("no file is given", remedy="give at least one")
    kinds = {_kind(one): one for one in paths}
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise InputError(
            f"is of another kind than {Path(first).name}", source=second, remedy="give files of one kind at a time"
        )
    kind = next(iter(kinds))
    if kind == "bdpy":
        from affectome.neural.recordings._bdpy import read_bdpy

        return _called(read_bdpy, paths, options)
    if kind == "nifti":
        from affectome.neural.recordings._volumes import read_nifti

        return _called(read_nifti, paths if len(paths) > 1 else paths[0], options)
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} paths are given, of a kind that is read one at a time",
            source=paths[0],
            remedy="read each and join them with join_recordings",
        )
    if kind == "folder":
        from affectome.neural.recordings._bids import read_bids

        return _called(read_bids, paths[0], options)
    from affectome.neural.recordings._arrays import read_arrays

    trials = options.pop("trials", None) or _table_beside(Path(paths[0]))
    return _called(read_arrays, paths[0], {"trials": trials, **options})


def _called(reader: Any, path: Any, options: dict[str, Any]) -> Recording:
    parameters = list(inspect.signature(reader).parameters.values())[1:]
    named = [each for each in parameters if each.kind is not inspect.Parameter.VAR_KEYWORD]
    foreign = [name for name in options if name not in {each.name for each in named}]
    if foreign and len(named) == len(parameters):
        raise InputError(
            f"{reader.__name__} has no option {cut_short(foreign)}",
            remedy=f"choose among {', '.join(each.name for each in named)}",
        )
    lacking = [each.name for each in named if each.default is inspect.Parameter.empty and each.name not in options]
    if lacking:
        raise InputError(f"{reader.__name__} needs {' and '.join(lacking)} too", remedy=f"give {lacking[0]}=")
    recording: Recording = reader(path, **options)
    return recording


def _kind(path: PathLike) -> str:
    name = Path(path).name.lower()
    if Path(path).is_dir():
        return "folder"
    if not Path(path).exists():
        raise InputError("there is no such file", source=path, remedy="check the path")
    if name.endswith((".h5", ".hdf5", ".mat")):
        return "bdpy"
    if name.endswith((".nii", ".nii.gz")):
        return "nifti"
    if name.endswith(".npy"):
        return "arrays"
    if name.endswith(".gii"):
        raise InputError(
            "is one hemisphere of a surface", source=path, remedy="read both with read_gifti(left, right, events, ...)"
        )
    raise InputError(
        "is of no known kind of recording",
        source=path,
        remedy="give .h5, .hdf5 or .mat (bdpy), .npy with a table beside it, .nii or .nii.gz, or a BIDS folder",
    )


def _table_beside(path: Path) -> Path:
    for suffix in _TABLES:
        if path.with_suffix(suffix).exists():
            return path.with_suffix(suffix)
    raise InputError(
        f"there is no table of trials {path.stem}.csv beside it",
        source=path,
        remedy="add one with the columns stimulus and run, or name it with trials=",
    )
