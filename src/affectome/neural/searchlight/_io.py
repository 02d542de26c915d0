"""What a searchlight leaves on disk: neighbourhoods, finished chunks of centres, results."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from affectome._files import SCHEMA, atomic_path, check_schema, unreadable
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import Neighbourhoods

__all__ = ["cached", "content_key", "read_arrays_file", "write_arrays_file"]

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
