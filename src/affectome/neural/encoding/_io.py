"""Encodings on disk, so that what was fitted once can be compared, mapped and looked at again."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from affectome._files import SCHEMA, atomic_path, check_schema, unreadable
from affectome.errors import InputError
from affectome.neural.encoding._result import Encoding, FoldModel

__all__ = ["read_encoding", "write_encoding"]


def write_encoding(path: str | os.PathLike[str], encoding: Encoding) -> Path:
    """Write an encoding, without its predictions, which its models give again.

    Parameters
    ----------
    path
        A ``.npz`` file.
    encoding : Encoding

    Raises
    ------
    InputError
        Where the extension is another.
    EnvironmentFailure
        When the file cannot be written; nothing is left of it.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise InputError(f"has the extension '{target.suffix}'", source=target, remedy="use .npz")
    held = {item.name: getattr(encoding, item.name) for item in fields(Encoding)}
    models, _ = held.pop("models"), held.pop("predictions")
    arrays: dict[str, Any] = {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
    facts = {name: value for name, value in held.items() if isinstance(value, str | tuple)}
    for part in fields(FoldModel):
        parts = [getattr(model, part.name) for model in models]
        if all(one is not None for one in parts):
            arrays[f"models.{part.name}"] = np.stack(parts)
    text = json.dumps({"affectome_schema": SCHEMA, **facts}).encode()
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, facts=np.frombuffer(text, np.uint8), **arrays)
    return target


def read_encoding(path: str | os.PathLike[str]) -> Encoding:
    """Read what :func:`write_encoding` wrote.

    Raises
    ------
    InputError
        When there is no such file, it is cut short or something else, or a newer affectome wrote it.
    """
    source = Path(path)
    try:
        with open(source, "rb") as handle, np.load(handle, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files if name != "facts"}
            facts = json.loads(stored["facts"].tobytes())
        check_schema(facts, source)
        del facts["affectome_schema"]
        parts = [part for part in (item.name for item in fields(FoldModel)) if f"models.{part}" in arrays]
        models = zip(*(arrays.pop(f"models.{part}") for part in parts), strict=True)
        lists: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()
        }
        built = tuple(FoldModel(**dict(zip(parts, model, strict=True))) for model in models)
        return Encoding(**lists, **arrays, models=built)
    except InputError:
        raise
    except (BadZipFile, ValueError, KeyError, EOFError, TypeError) as error:
        raise InputError(
            "is not a whole encoding, or it was cut short", source=source, remedy="write it again"
        ) from error
    except OSError as error:
        raise unreadable(source, error) from error
