"""Stage records, the summary and the provenance on disk."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectome._files import read_json, write_json
from affectome.errors import InputError

if TYPE_CHECKING:
    from affectome.study._engine import StageRecord
    from affectome.study._schema import Study

__all__ = ["json_value", "read_record", "settings_of", "write_provenance", "write_record", "write_summary"]

_VERSIONED = (
    "affectome",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "numba",
    "matplotlib",
    "torch",
    "sentence-transformers",
)


def write_record(path: Path, record: StageRecord) -> None:
    """Keep what a stage did; written last, so that a record means its outputs are whole."""
    content = asdict(record)
    del content["reused"]
    write_json(path, content)


def read_record(path: Path) -> StageRecord:
    """Read a record; it comes back marked as reused."""
    from affectome.study._engine import StageRecord

    content = read_json(path)
    kinds: dict[str, Any] = {
        "name": str,
        "key": str,
        "outputs": dict,
        "summary": dict,
        "seconds": (int, float),
        "finished": str,
        "affectome_version": str,
    }
    wrong = [name for name, kind in kinds.items() if not isinstance(content.get(name), kind)]
    if wrong:
        raise InputError(f"has no sound '{wrong[0]}'", source=path, remedy="delete it")
    if not isinstance(content.setdefault("warnings", []), list):
        raise InputError("has no sound 'warnings'", source=path, remedy="delete it")
    known = {item.name: content[item.name] for item in fields(StageRecord) if item.name != "reused"}
    return StageRecord(**known, reused=True)


def write_summary(path: Path, content: Mapping[str, Any]) -> None:
    """Write summary.json, the numbers a reader or a program looks for first."""
    write_json(path, content)


def write_provenance(
    path: Path,
    study: Study,
    source: Path,
    records: Sequence[StageRecord],
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Write provenance.json: the resolved study, the software, and what each stage read and wrote."""
    installed = {}
    for name in _VERSIONED:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    write_json(
        path,
        {
            "study_file": str(source),
            "overrides": dict(overrides or {}),
            "study": study.model_dump(mode="json"),
            "software": {"python": sys.version.split()[0], **installed},
            "platform": {"system": platform.platform(), "machine": platform.machine()},
            "stages": [
                {
                    "name": record.name,
                    "key": record.key,
                    "seconds": record.seconds,
                    "finished": record.finished,
                    "affectome_version": record.affectome_version,
                    "reused": record.reused,
                    "outputs": dict(record.outputs),
                }
                for record in records
            ],
        },
    )


def settings_of(asked: object, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Everything that was asked for, and by which software it is answered, as JSON values."""
    from affectome import __version__

    given = {name: json_value(value) for name, value in vars(asked).items() if name not in without}
    return {**given, "software": {"affectome": __version__, "python": sys.version.split()[0]}}


def json_value(value: Any) -> Any:
    """What JSON can hold: keys and paths are text, tuples lists, NumPy scalars numbers, and what is undefined null."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
