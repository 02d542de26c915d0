"""What a searchlight leaves on disk: neighbourhoods, finished chunks of centres, results."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from affectome._files import SCHEMA, atomic_path, check_schema, unreadable
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import Neighbourhoods
from affectome.neural.searchlight._result import Searchlight

__all__ = ["cached", "content_key", "read_arrays_file", "read_searchlight", "write_arrays_file", "write_searchlight"]

logger = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[Any]]


def content_key(*parts: str | NDArray[Any]) -> str:
    """Name for what these decide: equal content, equal name; 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"text {part}\n".encode())
        else:
            digest.update(f"{part.dtype.str} {part.shape}\n".encode())
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]


def cached(folder: str | os.PathLike[str] | None, key: str, make: Callable[[], Neighbourhoods]) -> Neighbourhoods:
    """What `make` gives, from the folder where it was made before; a damaged file is made anew."""
    if folder is None:
        return make()
    path = Path(folder) / f"neighbourhoods-{key}.npz"
    if path.is_file():
        try:
            return _neighbourhoods(*read_arrays_file(path))
        except (InputError, KeyError) as error:
            logger.warning("%s is made anew: %s", path, error)
    made = make()
    arrays: dict[str, NDArray[Any]] = {"starts": made.starts, "voxels": made.voxels}
    if made.centres is not None:
        arrays["centres"] = made.centres
    facts = {"radius": made.radius, "unit": made.unit, "n_left_out": made.n_left_out}
    write_arrays_file(path, arrays, facts)
    return made


def _neighbourhoods(arrays: Arrays, facts: Mapping[str, Any]) -> Neighbourhoods:
    return Neighbourhoods(
        arrays["starts"],
        arrays["voxels"],
        arrays.get("centres"),
        radius=float(facts["radius"]),
        unit=facts["unit"],
        n_left_out=int(facts["n_left_out"]),
    )


def write_searchlight(path: str | os.PathLike[str], found: Searchlight) -> Path:
    """Write what a searchlight found, with its neighbourhoods.

    Parameters
    ----------
    path
        A ``.npz`` file.
    found : Searchlight

    Raises
    ------
    InputError
        Where the extension is another.
    EnvironmentFailure
        When the file cannot be written; nothing is left of it.
    """
    held = {item.name: getattr(found, item.name) for item in fields(Searchlight) if item.name != "neighbourhoods"}
    around = found.neighbourhoods
    parts = {f"neighbourhoods.{item.name}": getattr(around, item.name) for item in fields(Neighbourhoods)}
    known = {name: value for name, value in {**held, **parts}.items() if value is not None}
    arrays = {name: value for name, value in known.items() if isinstance(value, np.ndarray)}
    return write_arrays_file(path, arrays, {name: value for name, value in known.items() if name not in arrays})


def read_searchlight(path: str | os.PathLike[str]) -> Searchlight:
    """Read what :func:`write_searchlight` wrote.

    Raises
    ------
    InputError
        When there is no such file, it is cut short or something else, or a newer affectome wrote it.
    """
    arrays, facts = read_arrays_file(path)
    parts: dict[str, Any] = {name: _tuples(value) for name, value in {**arrays, **facts}.items()}
    prefix = "neighbourhoods."
    around = {name.removeprefix(prefix): parts.pop(name) for name in list(parts) if name.startswith(prefix)}
    try:
        return Searchlight(neighbourhoods=Neighbourhoods(**around), **parts)
    except TypeError as error:
        raise InputError("is no searchlight", source=path, remedy="give a file of write_searchlight") from error


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def write_arrays_file(path: str | os.PathLike[str], arrays: Arrays, facts: Mapping[str, Any]) -> Path:
    """Write named arrays and JSON facts as one ``.npz``, whole or not at all."""
    target = Path(path)
    if target.suffix != ".npz":
        raise InputError(f"has the extension '{target.suffix}'", source=target, remedy="use .npz")
    text = json.dumps({"affectome_schema": SCHEMA, **facts}).encode()
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        # The name of an array may not be that of an argument of savez, so each gets a prefix.
        np.savez(handle, facts=np.frombuffer(text, np.uint8), **{f"array.{k}": v for k, v in arrays.items()})  # type: ignore[arg-type]
    return target


def read_arrays_file(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`write_arrays_file` wrote: the arrays and the facts."""
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as stored:
            arrays = {name.removeprefix("array."): stored[name] for name in stored.files if name != "facts"}
            facts = json.loads(stored["facts"].tobytes())
    except (BadZipFile, ValueError, KeyError, EOFError) as error:
        raise InputError("is not whole, or it was cut short", source=path, remedy="delete it") from error
    except OSError as error:
        raise unreadable(path, error) from error
    check_schema(facts, path)
    del facts["affectome_schema"]
    return arrays, facts
