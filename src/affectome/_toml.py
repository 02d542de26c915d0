"""TOML files: read with the environment filled in, checked, and one clear line for every fault."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from affectome.errors import InputError

__all__ = ["Table", "checked", "read_toml"]


class Table(BaseModel):
    """A table of a TOML file: unknown keys are faults, types are taken strictly."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


M = TypeVar("M", bound=BaseModel)


def read_toml(
    path: str | os.PathLike[str],
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read a TOML file; ``${NAME}`` and ``${NAME:-default}`` in texts take their value from the environment.

    `overrides` are values by dotted key (``"triplets.train"``) that stand in place of the file's; None takes the key,
    or the table, out.

    Raises
    ------
    InputError
        When there is no such file, it is no TOML, a variable is not set, or a key to take out is not there.
    """
    source = Path(path)
    try:
        content = tomllib.loads(source.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError("there is no such file", source=source, remedy="check the path") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=source, remedy="give a TOML file") from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", source=source, remedy="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not valid TOML ({error})", source=source, remedy="correct that line") from error
    except RecursionError as error:
        raise InputError("is nested too deeply", source=source, remedy="write it flat") from error
    for key, value in (overrides or {}).items():
        _override(content, key, value, source)
    expanded: dict[str, Any] = _expand(content, os.environ if environment is None else environment, source, ())
    return expanded


def checked(
    model: type[M],
    content: Mapping[str, Any],
    source: str | os.PathLike[str],
    *,
    variants: Mapping[str, type[BaseModel]] | None = None,
) -> M:
    """The content as a model, or one line for every unknown key and wrong value.

    `variants` are the tables that the keys ``judge`` and ``cluster`` may hold, by their kind.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _explain(error, Path(source), model, variants or {}) from error


def _override(content: dict[str, Any], key: str, value: Any, source: Path) -> None:
    """Put a value in the place of a dotted key, or take the key out."""
    *tables, last = key.split(".")
    if not all((*tables, last)):
        raise InputError(f"'{key}' is no key", source=source, remedy="write table.key")
    place = content
    for depth, table in enumerate(tables, start=1):
        inside = place.get(table) if value is None else place.setdefault(table, {})
        if inside is None:
            raise _nothing_to_remove(tables[:depth], place, source)
        if not isinstance(inside, dict):
            raise InputError(
                f"[{'.'.join(tables[:depth])}] is no table, so there is no '{key}'",
                source=source,
                remedy="correct the key",
            )
        place = inside
    if value is not None:
        place[last] = value
    elif last in place:
        del place[last]
    else:
        raise _nothing_to_remove([*tables, last], place, source)


def _nothing_to_remove(key: list[str], place: Mapping[str, Any], source: Path) -> InputError:
    near = difflib.get_close_matches(key[-1], place, n=1)
    remedy = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(place)}"
    return InputError(f"there is no '{'.'.join(key)}' to leave out", source=source, remedy=remedy)


_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def _expand(value: Any, variables: Mapping[str, str], source: Path, where: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, variables, source, (*where, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, variables, source, where) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        # As in a shell, an empty variable takes the default too.
        found = variables.get(name) or default
        if found is None:
            raise InputError(
                f"the environment variable {name} is not set",
                source=source,
                where=_key(where, {}),
                remedy=f"set it, or write ${{{name}:-default}}",
            )
        return found

    return _VARIABLE.sub(fill, value)


#: Keys that hold one of several tables, told apart by their ``kind``.
_VARIED = ("judge", "cluster")


def _key(where: tuple[str | int, ...], variants: Mapping[str, Any]) -> str:
    where = tuple(part for k, part in enumerate(where) if not (part in variants and k and where[k - 1] in _VARIED))
    table, last = where[:-1], where[-1]
    return f"[{'.'.join(map(str, table))}] {last}" if table else f"[{last}]"


def _explain(
    error: ValidationError, source: Path, model: type[BaseModel], variants: Mapping[str, type[BaseModel]]
) -> InputError:
    """One clear line per fault."""
    faults = error.errors(include_url=False)
    lines = [_line(fault, model, variants) for fault in faults]
    if len(faults) == 1:
        where, problem, remedy = lines[0]
        return InputError(problem, source=source, where=where, remedy=remedy)
    listed = "".join(f"\n  {where}: {problem}; {remedy}" for where, problem, remedy in lines)
    return InputError(f"has {len(faults)} faults:{listed}", source=source)


def _line(fault: Any, model: type[BaseModel], variants: Mapping[str, type[BaseModel]]) -> tuple[str, str, str]:
    where = tuple(part for part in fault["loc"] if part != "[key]")
    kind, given = fault["type"], fault.get("input")
    if kind == "extra_forbidden":
        known = _fields(where[:-1], model, variants)
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else f"the known keys are {', '.join(known)}"
        return _key(where, variants), "the key is unknown", remedy
    if kind == "missing":
        return _key(where, variants), "the key is missing", "add it"
    if kind == "union_tag_not_found":
        return _key((*where, "kind"), variants), "the key is missing", "add it"
    if kind == "union_tag_invalid":
        kinds = str(fault["ctx"]["expected_tags"]).replace("'", "")
        return _key((*where, "kind"), variants), f"'{fault['ctx']['tag']}' is not known", f"choose among {kinds}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    shown = given if isinstance(given, (str, int, float, bool)) else type(given).__name__
    return _key(where, variants), f"{shown!r} is not accepted: {message}", "correct the value"


def _fields(where: tuple[str | int, ...], table: Any, variants: Mapping[str, type[BaseModel]]) -> list[str]:
    """Keys that the table at this place knows."""
    model = table
    for part in where:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        elif part in variants:  # pydantic names the kind of judge in the place of a fault
            model = variants[str(part)]
        else:  # a table of tables: any name leads to its value type
            model = model.__args__[1]
        optional = [kind for kind in getattr(model, "__args__", ()) if kind is not type(None)]
        if len(optional) == 1:
            model = optional[0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return list(model.model_fields)
