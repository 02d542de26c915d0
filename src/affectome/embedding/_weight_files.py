"""The matrices in weight files of the SPoSE and VICE programs, as they stand there."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError

__all__ = ["WEIGHT_FORMATS", "Matrix", "read_matrix"]


@dataclass(frozen=True, eq=False)
class Matrix:
    """One weight matrix as its file has it.

    Attributes
    ----------
    values : float64 array of shape (rows, columns)
    scale : float64 array of the same shape, or None
        Posterior standard deviations.
    rows
        What a row is, where the layout says it.
    name
        What the file calls the matrix; empty where it has no name.
    ids, names
        Stimuli and components, where the file holds them.
    """

    values: NDArray[np.float64]
    scale: NDArray[np.float64] | None = None
    rows: Literal["stimuli", "components"] | None = None
    name: str = ""
    ids: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Layout:
    """Names under which one program stores means and deviations."""

    values: str
    scale: str | None
    rows: Literal["stimuli", "components"] | None
    log_scale: bool = False


# Pruned parameters come before those with every component of the start. What `pruned_q_var` and `q_var` hold is
# multiplied with the standard normal noise of that program: deviations, whatever the name says.
_ARRAYS = (
    _Layout("pruned_loc", "pruned_scale", "stimuli"),
    _Layout("pruned_q_mu", "pruned_q_var", "stimuli"),
    _Layout("pruned_weights", None, "stimuli"),
    _Layout("loc", "scale", "stimuli"),
    _Layout("W_loc", "W_scale", "stimuli"),
    _Layout("q_mu", "q_var", "stimuli"),
)
# A linear layer over one-hot stimuli keeps its weights components x stimuli. Under the name fc.weight one program
# does so and another the other way round.
_TENSORS = (
    _Layout("mu.mu.weight", "sigma.logsigma.weight", "components", log_scale=True),
    _Layout("q_mu.weight", "q_logvar.weight", "components", log_scale=True),
    _Layout("q_mu.q_mu", "q_logvar.q_logvar", "stimuli", log_scale=True),
    _Layout("fc.weight", None, None),
)
_TEXT = (".txt", ".csv", ".tsv")
_CHECKPOINTS = (".pt", ".pth", ".tar")
#: Extensions that weights can be read from.
WEIGHT_FORMATS = (*_TEXT, ".npy", ".npz", *_CHECKPOINTS, ".mat")


def read_matrix(source: Path, key: str | None = None) -> Matrix:
    """Read the weights of a file; `key` names one array of those that it holds."""
    suffix = source.suffix.lower()
    if suffix not in WEIGHT_FORMATS:
        raise InputError(
            f"has the extension '{source.suffix}', which no weight file has",
            source=source,
            remedy=f"use one of {', '.join(WEIGHT_FORMATS)}",
        )
    if not source.exists():
        raise InputError("there is no such file", source=source, remedy="check the path")
    if key is not None and (suffix in _TEXT or suffix == ".npy"):
        raise InputError(f"holds one array without a name, not '{key}'", source=source, remedy="leave the key out")
    if suffix in _TEXT:
        return Matrix(_numbers(_read_text(source), source))
    if suffix == ".npy":
        return Matrix(_numbers(_read_npy(source), source))
    if suffix == ".npz":
        return _read_npz(source, key)
    if suffix == ".mat":
        return _chosen(_read_mat(source), _ARRAYS, key, source)
    return _chosen(_read_checkpoint(source), _TENSORS, key, source)


def _numbers(array: NDArray[Any], source: Path, what: str = "the weights") -> NDArray[np.float64]:
    """A matrix of finite numbers, or the place of the first that is none."""
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        kind = f"have shape {array.shape}" if array.dtype.kind in "fiu" else "are not numbers"
        raise InputError(f"{what} {kind}", source=source, remedy="give a matrix of stimuli x components")
    if array.size == 0:
        raise InputError("holds no weights", source=source, remedy="give at least one stimulus and one component")
    values = array.astype(np.float64)
    with np.errstate(over="ignore"):
        wrong = np.argwhere(~np.isfinite(values.astype(np.float32)))  # the largest float32 is larger in its own digits
    if len(wrong):
        row, column = (int(k) for k in wrong[0])
        raise InputError(
            f"a number of {what} is {values[row, column]:g}",
            source=source,
            where=f"row {row + 1}, column {column + 1}",
            remedy="train to the end, or mend the file; weights are finite numbers",
        )
    return values


def _read_text(source: Path) -> NDArray[np.float64]:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(source, error) from error
    except UnicodeDecodeError as error:
        raise InputError("is not text", source=source, remedy="give the file its own extension") from error
    lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1)]
    lines = [(k, line) for k, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError("holds no weights", source=source, remedy="give it one line per stimulus")
    separator = "," if "," in lines[0][1] else None
    width = len(lines[0][1].split(separator))
    rows = []
    for number, line in lines:
        cells = line.split(separator)
        if len(cells) != width:
            raise InputError(
                f"has {len(cells)} numbers where the first row has {width}",
                source=source,
                where=f"row {number}",
                remedy="complete or delete the row; the file may be cut short",
            )
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError as error:
            shown = line if len(line) <= 40 else line[:37] + "..."
            raise InputError(
                f"'{shown}' is not a row of numbers",
                source=source,
                where=f"row {number}",
                remedy="delete header and names; ids are given beside the file",
            ) from error
    if text[-1] not in "\r\n":  # "0.12 0.1" may be the beginning of "0.12 0.173"
        raise InputError(
            "the last line does not end with a line break and may be torn",
            source=source,
            where=f"row {lines[-1][0]}",
            remedy="complete it, or add the line break if it is whole",
        )
    return np.array(rows)


def _whole(load: Callable[[], Any], source: Path, kind: str) -> Any:
    """What `load` reads, or a sentence about a file that is cut short or holds Python objects."""
    try:
        return load()
    except OSError as error:
        raise unreadable(source, error) from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        if "allow_pickle" in str(error):
            raise InputError(
                "holds Python objects, which could run code when they are read, or is no array at all",
                source=source,
                remedy="save the numbers alone, for example with numpy.save",
            ) from error
        raise InputError(
            f"is not a whole {kind}, or it was cut short", source=source, remedy="copy it again"
        ) from error


def _opened(source: Path) -> BinaryIO:
    try:
        return open(source, "rb")
    except OSError as error:
        raise unreadable(source, error) from error


def _read_npy(source: Path) -> NDArray[Any]:
    with _opened(source) as handle:
        array = _whole(lambda: np.load(handle, allow_pickle=False), source, ".npy array")
    if not isinstance(array, np.ndarray):
        raise InputError("is an .npz archive", source=source, remedy="rename it to .npz")
    return array


class _Archive(Mapping[str, Any]):
    """The members of an .npz file, each read when it is asked for: objects beside the weights are never touched."""

    def __init__(self, archive: Any, source: Path) -> None:
        self._archive, self._source = archive, source

    def __getitem__(self, name: str) -> Any:
        return _whole(lambda: self._archive[name], self._source, ".npz archive")

    def __contains__(self, name: object) -> bool:  # the inherited one would read the member
        return name in self._archive.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.files)

    def __len__(self) -> int:
        return len(self._archive.files)


def _read_npz(source: Path, key: str | None) -> Matrix:
    with _opened(source) as handle:
        archive = _whole(lambda: np.load(handle, allow_pickle=False), source, ".npz archive")
        if isinstance(archive, np.ndarray):
            raise InputError("is a single .npy array", source=source, remedy="rename it to .npy")
        members = _Archive(archive, source)
        matrix = _chosen(members, _ARRAYS, key, source)
        ids, names = (_labels(members, name, source) for name in ("ids", "components"))
    return Matrix(matrix.values, matrix.scale, matrix.rows, matrix.name, ids, names)


def _labels(members: Mapping[str, Any], name: str, source: Path) -> tuple[str, ...] | None:
    if name not in members:
        return None
    labels = members[name]
    if labels.dtype.kind != "U" or labels.ndim != 1:
        raise InputError(f"the array '{name}' is no list of names", source=source, remedy="leave it out of the file")
    return tuple(labels.tolist())


def _read_mat(source: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(os.fspath(source))
    except NotImplementedError as error:
        raise InputError("is a MATLAB 7.3 file", source=source, remedy="save it with the option '-v7'") from error
    except (MatReadError, ValueError, TypeError, EOFError, zlib.error, OSError) as error:
        raise InputError("is not a whole MATLAB file", source=source, remedy="copy or save it again") from error
    arrays = {name: array for name, array in content.items() if not name.startswith("__")}
    return {name: array for name, array in arrays.items() if array.dtype.kind in "fiu" and array.ndim == 2}


def _read_checkpoint(source: Path) -> dict[str, Any]:
    """The matrices of a state dict; objects other than tensors and plain values are refused, not run."""
    import pickle

    try:
        import torch
    except ImportError as error:
        raise EnvironmentFailure(
            "reading a checkpoint needs torch", source=source, remedy='install it with: pip install "affectome[local]"'
        ) from error
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            "holds Python objects beside its tensors, which could run code when they are read",
            source=source,
            remedy="load it where it was made and save model.state_dict() alone",
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, OSError) as error:
        raise InputError("is not a whole torch checkpoint", source=source, remedy="copy or save it again") from error
    state = content
    for name in ("model_state_dict", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            state = content[name]
            break
    tensors = state.items() if isinstance(state, dict) else [("tensor", state)]
    return {
        str(name): tensor.float().numpy()
        for name, tensor in tensors
        if isinstance(tensor, torch.Tensor) and tensor.ndim == 2
    }


def _chosen(arrays: Mapping[str, Any], layouts: tuple[_Layout, ...], key: str | None, source: Path) -> Matrix:
    """The weights among the arrays of a file: the named one, a known one, or the only one."""
    for layout in layouts:
        found = _full_name(arrays, layout.values)
        if found is None or key not in (None, found, layout.values):
            continue
        values = _numbers(arrays[found], source, f"'{found}'")
        scale = None if layout.scale is None else _full_name(arrays, layout.scale)
        deviations = None if scale is None else _deviations(arrays[scale], layout, values, scale, source)
        return Matrix(values, deviations, layout.rows, found)
    if key is None and len(arrays) == 1:
        key = next(iter(arrays))
    if key is None or key not in arrays:
        listed = cut_short(list(arrays)) if arrays else "none"
        raise InputError(
            "has no array that is known to hold weights" if key is None else f"has no array '{key}'",
            source=source,
            remedy=f"name one of its arrays as the key ({listed})",
        )
    return Matrix(_numbers(arrays[key], source, f"'{key}'"), name=key)


def _full_name(arrays: Mapping[str, Any], name: str) -> str | None:
    """The name in the file; wrappers of a model put their own before it."""
    return next((full for full in arrays if full == name or full.endswith("." + name)), None)


def _deviations(
    array: NDArray[Any], layout: _Layout, values: NDArray[np.float64], name: str, source: Path
) -> NDArray[np.float64]:
    if layout.log_scale:
        with np.errstate(over="ignore"):
            array = np.exp(np.asarray(array, np.float64))
    scale = _numbers(array, source, f"'{name}'")
    if scale.shape != values.shape or (scale < 0).any():
        what = "negative numbers" if scale.shape == values.shape else f"shape {scale.shape} beside {values.shape}"
        raise InputError(f"the deviations '{name}' have {what}", source=source, remedy="save the parameters again")
    return scale
