"""A SQLite file as a journal needs it: found, opened, its faults in plain words, and never on a network disk."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from affectome.errors import EnvironmentFailure, InputError

__all__ = ["connect", "explain", "is_blank", "known_mode", "refuse_network"]

#: Network file systems, on which SQLite's write-ahead log is not safe.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "9p", "afs"}
_NETWORK_FUSE = ("sshfs", "s3fs", "gcsfuse", "glusterfs", "juicefs", "cephfs")


def explain(error: sqlite3.DatabaseError, path: Path, what: str) -> InputError | EnvironmentFailure:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return EnvironmentFailure(
            "is full: the disk has no room left, or the journal reached its limit",
            source=path,
            remedy="make room and give the same command again; every answer before is kept",
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return InputError("is no affectome journal", source=path, remedy="name the journal of a collection")
    if primary == sqlite3.SQLITE_CORRUPT:
        return InputError(
            f"is damaged ({error})", source=path, remedy="restore it from a copy, or start another journal"
        )
    return EnvironmentFailure(f"{what} ({error})", source=path, remedy="check the disk and the permissions")


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    # A reader needs write access too where a log waits to be folded in; mode=rw makes no new file.
    mode = "rwc" if write or not os.access(path, os.W_OK) else "rw"
    if not write and not os.access(path, os.W_OK):
        mode = "ro"
    try:
        return sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            timeout=30.0,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.DatabaseError as error:
        raise explain(error, path, "cannot be opened") from error


def is_blank(path: Path) -> bool:
    """Whether a start was cut off before the journal had any content."""
    if path.stat().st_size == 0:
        return True
    try:
        with closing(connect(path, write=False)) as connection:
            return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)
    except sqlite3.DatabaseError:
        return False


def known_mode(journal_mode: str) -> str:
    mode = journal_mode.lower()
    if mode not in ("wal", "delete", "truncate", "persist"):
        raise InputError(f"the journal mode '{journal_mode}' is unknown", remedy="use wal, delete, truncate or persist")
    return mode


def refuse_network(path: Path) -> None:
    kind = _file_system(path.resolve())
    if kind in _NETWORK or any(name in kind for name in _NETWORK_FUSE):
        raise EnvironmentFailure(
            f"lies on a network file system ({kind}), where SQLite's write-ahead log can lose answers",
            source=path,
            remedy="put the journal on a local disk, or say --journal-mode delete",
        )


def _file_system(path: Path) -> str:
    """Type of the file system that holds a path; empty where the system does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        left, _, right = line.partition(" - ")
        place = left.split()[4].replace("\\040", " ")
        if len(place) >= len(best) and (path == Path(place) or Path(place) in path.parents):
            best, kind = place, right.split()[0]
    return kind
