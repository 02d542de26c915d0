"""Which recordings there are, and how each is read: files by themselves, or a recordings.toml that says more."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.neural import Recording

__all__ = ["RecordingSource", "found_recordings", "recording_sources"]

Kind = Literal["bdpy", "arrays", "nifti", "bids", "gifti"]

#: Parameters of the readers that are paths; what a file says of them is meant from the folder of that file.
_PATHS: dict[Kind | None, frozenset[str]] = {
    None: frozenset({"path"}),
    "bdpy": frozenset({"path"}),
    "arrays": frozenset({"responses", "trials", "coordinates"}),
    "nifti": frozenset({"bold", "events", "mask", "confounds"}),
    "bids": frozenset({"derivatives", "raw"}),
    "gifti": frozenset({"left", "right", "events", "confounds"}),
}


class _RecordingsFile(Table):
    """recordings.toml."""

    kind: Kind = Field(description="Which reader.")
    options: dict[str, Any] = Field(default_factory=dict, description="Parameters of the reader, for everyone.")
    subjects: dict[str, str | list[str] | dict[str, Any]] = Field(
        min_length=1, description="Files of each person: one, several, or the reader's parameters by name."
    )


@dataclass(frozen=True, eq=False)
class RecordingSource:
    """The recording of one person, not read yet.

    Attributes
    ----------
    subject : str
    kind : str
        Which reader; None leaves that to the extension.
    given : dict
        The reader's parameters.
    """

    subject: str
    kind: Kind | None
    given: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Recording:
        """The recording, whole."""
        from affectome import neural

        if self.kind is None:
            return neural.read_recording(self.given["path"], subject=self.subject)
        return _reader(self.kind)(**{"subject": self.subject, **self.given})

    def files(self) -> tuple[Path, ...]:
        """What it is read from, as far as that is named."""
        named = [value for key, value in self.given.items() if key in _PATHS[self.kind]]
        flat = [item for value in named for item in (value if isinstance(value, list) else [value])]
        there = [Path(item) for item in flat if isinstance(item, str | os.PathLike) and Path(item).exists()]
        return tuple(file for path in there for file in (_of_person(path, self.subject) if path.is_dir() else [path]))


def _of_person(folder: Path, subject: str) -> list[Path]:
    """The files of a person in a BIDS folder, so that other people's change nothing."""
    name = f"sub-{subject.removeprefix('sub-')}"
    return sorted(path for path in folder.rglob(f"{name}_*") if path.is_file())


def found_recordings(path: Path) -> list[Path]:
    """A file as it is; of a folder the recordings in it: HDF5 files, or else ``.npy`` ones."""
    if not path.is_dir():
        return [path]
    for suffix in (".h5", ".hdf5", ".npy"):
        found = sorted(path.glob(f"*{suffix}"))
        if found:
            return found
    raise InputError(
        "holds no .h5, .hdf5 or .npy file", source=path, remedy="say what it is in a recordings.toml, and name that"
    )


def recording_sources(paths: Sequence[Path]) -> dict[str, RecordingSource]:
    """The people in these files, by name.

    Parameters
    ----------
    paths
        Recordings (bdpy HDF5, or ``.npy`` with the table of its trials beside it), each of one person who is called
        by the file's name, or recordings.toml files.
    """
    found: dict[str, RecordingSource] = {}
    for path in paths:
        sources = _from_file(path) if path.suffix == ".toml" else [_by_itself(path)]
        for source in sources:
            if source.subject in found:
                raise InputError(
                    f"two recordings are called '{source.subject}'",
                    source=path,
                    remedy="rename one, or join the sessions of one person in a recordings.toml",
                )
            found[source.subject] = source
    return found


def _by_itself(path: Path) -> RecordingSource:
    if not path.exists():
        raise InputError("there is no such file", source=path, remedy="check the path")
    return RecordingSource(path.stem, None, {"path": path})


def _from_file(path: Path) -> list[RecordingSource]:
    table = checked(_RecordingsFile, read_toml(path), path)
    known = [name for name in inspect.signature(_reader(table.kind)).parameters if name != "subject"]
    folder = path.resolve().parent
    shared = _placed(table.options, folder, table.kind)
    _check_names(table.options, known, path, "[options]")
    sources = []
    for subject, files in table.subjects.items():
        own = files if isinstance(files, dict) else {known[0]: files}
        _check_names(own, known, path, f"[subjects.{subject}]")
        sources.append(RecordingSource(subject, table.kind, {**shared, **_placed(own, folder, table.kind)}))
    return sources


def _check_names(given: Mapping[str, Any], known: Sequence[str], path: Path, where: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean '{near[0]}'?" if near else f"the known keys are {', '.join(known)}"
            raise InputError("the key is unknown", source=path, where=f"{where} {name}", remedy=remedy)


def _placed(given: Mapping[str, Any], folder: Path, kind: Kind) -> dict[str, Any]:
    """The parameters, with paths as seen from the folder of the file."""

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(item) for item in value]
        return folder / Path(value).expanduser() if isinstance(value, str) else value

    return {name: place(value) if name in _PATHS[kind] else value for name, value in given.items()}


def _reader(kind: Kind) -> Callable[..., Recording]:
    from affectome import neural

    readers: dict[Kind, Callable[..., Recording]] = {
        "bdpy": neural.read_bdpy,
        "arrays": neural.read_arrays,
        "nifti": neural.read_nifti,
        "bids": neural.read_bids,
        "gifti": neural.read_gifti,
    }
    return readers[kind]
