"""Whole files or none: temporary name, sync, rename; one schema number in everything we write."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affectome.errors import EnvironmentFailure, InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "SCHEMA",
    "atomic_path",
    "check_output",
    "check_schema",
    "file_digest",
    "held_lock",
    "make_folder",
    "parquet_stream",
    "read_json",
    "read_parquet",
    "unreadable",
    "write_json",
    "write_parquet",
]

#: Version of every file format of this release. Newer files are refused, older ones migrated.
SCHEMA = 1
_KEY = b"affectome"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success sync it and rename it to `path`.

    Raises
    ------
    EnvironmentFailure
        When the folder cannot be written or the disk is full. Nothing is left under
        either name, and a file that stood at `path` before is still whole.
    """
    target = Path(path)
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, (InputError, EnvironmentFailure)):
            raise _unwritable(target, error) from error
        raise


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def _unwritable(path: Path, error: OSError) -> EnvironmentFailure:
    reason = error.strerror or str(error)
    return EnvironmentFailure(
        f"cannot be written ({reason})",
        source=path,
        remedy="check the free space and the permissions, or choose another place",
    )


@contextmanager
def held_lock(lock: Path, *, source: Path, busy: str, remedy: str) -> Iterator[None]:
    """Hold a lock file against other processes; it ends with the process, however that ends.

    `busy` and `remedy` are what the one who comes second is told about `source`.
    """
    from filelock import FileLock, Timeout

    holder = FileLock(lock, timeout=0)
    try:
        holder.acquire()
    except Timeout as error:
        raise EnvironmentFailure(busy, source=source, remedy=remedy) from error
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot be locked ({error.strerror or error})", source=source, remedy="check its permissions"
        ) from error
    try:
        yield
    finally:
        holder.release()


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    try:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    """What a user is told about a file that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return InputError("there is no such file", source=path, remedy="check the path")
    return InputError(
        f"cannot be read ({error.strerror or error})", source=path, remedy="check the path and its permissions"
    )


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write a JSON object with the schema number first."""
    with atomic_path(path) as temporary:
        text = _as_json(content, indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def _as_json(content: Mapping[str, Any], indent: int | None = None) -> str:
    """Text of an object, the schema number first; NumPy scalars become plain numbers."""
    known = {
        "affectome_schema": SCHEMA,
        **{str(key): item for key, item in content.items() if key != "affectome_schema"},
    }
    return json.dumps(known, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object that :func:`write_json` wrote."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise InputError(
            f"is not valid JSON ({error})", source=path, remedy="delete it or restore it from a copy"
        ) from error
    if not isinstance(content, dict):
        raise InputError("is not a JSON object", source=path, remedy="delete it or restore it from a copy")
    check_schema(content, path)
    return content


def check_schema(metadata: Mapping[str, Any], source: str | os.PathLike[str]) -> None:
    """Refuse a file written by a newer affectome."""
    version = metadata.get("affectome_schema", SCHEMA)
    if not isinstance(version, int) or version > SCHEMA:
        raise InputError(
            f"has schema version {version}, and this affectome reads up to {SCHEMA}",
            source=source,
            remedy="install a newer affectome",
        )


def write_parquet(path: str | os.PathLike[str], table: pa.Table, metadata: Mapping[str, Any]) -> None:
    """Write an Arrow table; `metadata` travels inside the file as JSON."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(_labelled(table, metadata), temporary, compression="zstd")


@contextmanager
def parquet_stream(path: str | os.PathLike[str], metadata: Mapping[str, Any]) -> Iterator[Callable[[pa.Table], None]]:
    """Write an Arrow table part by part; the file appears when all parts are there."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        writer: pq.ParquetWriter | None = None

        def write(part: pa.Table) -> None:
            nonlocal writer
            labelled = _labelled(part, metadata)
            if writer is None:
                writer = pq.ParquetWriter(temporary, labelled.schema, compression="zstd")
            writer.write_table(labelled)

        try:
            yield write
        finally:
            if writer is not None:
                writer.close()


def _labelled(table: pa.Table, metadata: Mapping[str, Any]) -> pa.Table:
    header = _as_json(metadata)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: header.encode()})


def read_parquet(path: str | os.PathLike[str]) -> tuple[pa.Table, dict[str, Any]]:
    """Read an Arrow table and our metadata (empty for a Parquet file of other origin)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            "is not a whole Parquet file, or it was cut short", source=path, remedy="write or copy it again"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    header = (table.schema.metadata or {}).get(_KEY)
    try:
        metadata = {} if header is None else json.loads(header)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise InputError("has damaged affectome metadata", source=path, remedy="write or copy it again")
    check_schema(metadata, path)
    return table, metadata


def check_output(path: str | os.PathLike[str], suffixes: Collection[str]) -> None:
    """Refuse an output that could not be written before any work is done for it."""
    target = Path(path)
    if target.suffix.lower() not in suffixes:
        raise InputError(f"has the extension '{target.suffix}'", source=target, remedy=f"use {' or '.join(suffixes)}")
    make_folder(target.parent)
    if target.is_dir():
        raise InputError("is a folder", source=target, remedy="name a file")
    if not os.access(target.parent, os.W_OK):
        raise EnvironmentFailure("is in a folder that cannot be written", source=target, remedy="choose another place")
