"""Stages that run only when what they depend on has changed.

The key of a stage is a hash of its name and version, its parameters, the content of the files it
reads, and the content of what the stages before it wrote. A stage whose record has the same key and whose outputs
are unchanged on disk is not run. Times and paths are in no key: moving a study re-runs nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectome import __version__
from affectome._files import file_digest, held_lock, make_folder
from affectome._progress import Progress
from affectome.errors import AffectomeError, InputError
from affectome.study._io import read_record, write_record

logger = logging.getLogger(__name__)

__all__ = ["Stage", "StageRecord", "StageState", "locked", "run_stages", "stage_states"]

STATE = ".affectome"


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a study.

    Attributes
    ----------
    name
        Unique, for example ``"embedding/human_category"``.
    run
        Does the work, writes `outputs`, returns what the summary says of it (JSON values).
    outputs
        Files it writes, relative to the results folder.
    parameters
        JSON values that decide the result.
    files
        Input files outside the results folder; a folder stands for the files in it.
    reads
        Outputs of earlier stages that it reads.
    version
        Raised when the same inputs would now give another result.
    complete
        Whether a summary tells of finished work; what is not complete is kept, and done again by the next run.
    more
        Outputs beside `outputs` whose names only the work decides, as its summary tells them.
    """

    name: str
    run: Callable[[Progress], Mapping[str, Any]]
    outputs: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    reads: tuple[str, ...] = ()
    version: int = 1
    complete: Callable[[Mapping[str, Any]], bool] = lambda summary: True
    more: Callable[[Mapping[str, Any]], Sequence[str]] = lambda summary: ()


@dataclass(frozen=True, eq=False)
class StageRecord:
    """What is known of a finished stage.

    Attributes
    ----------
    name, key : str
    outputs : dict from relative path to SHA-256
    summary : dict
        What the stage returned.
    seconds : float
        How long it ran when it ran.
    finished : str
        UTC time, ISO 8601.
    affectome_version : str
        Release that computed it.
    reused : bool
        Whether this run found it done.
    """

    name: str
    key: str
    outputs: Mapping[str, str]
    summary: Mapping[str, Any]
    seconds: float
    finished: str
    affectome_version: str
    reused: bool = False


def locked(results: Path) -> AbstractContextManager[None]:
    """Hold the results folder against a second run."""
    return held_lock(
        make_folder(results / STATE) / "lock",
        source=results,
        busy="another affectome run is using this results folder",
        remedy="wait for it, or choose another --out",
    )


def run_stages(
    stages: Sequence[Stage],
    results: Path,
    *,
    progress: Callable[[str, str], Progress],
    failed: dict[str, InputError] | None = None,
    earlier: Sequence[StageRecord] = (),
) -> list[StageRecord]:
    """Run the stages in order, skipping what is done.

    Parameters
    ----------
    stages
        In an order in which each comes after those it needs.
    results
        The results folder, locked by the caller.
    progress
        Called with a stage's name and ``"running"`` or ``"reused"``; returns what the stage reports to.
    failed
        Where given, a stage that its data do not allow is put here with the reason, and the others go on without it
        and without what reads from it; by default the first such stage ends the run.
    earlier
        Stages that this run finished already and that these may read from.

    Returns
    -------
    list of StageRecord
    """
    digests: dict[Path, str] = {}
    written = {path: digest for record in earlier for path, digest in record.outputs.items()}
    records = []
    for stage in stages:
        absent = [path for path in stage.reads if path not in written]
        if absent and failed:  # what it reads was never written, since an earlier stage failed
            failed[stage.name] = InputError(f"needs {absent[0]}, which could not be made")
            continue
        key = _key(stage, written, digests)
        record = _finished(stage, key, results)
        if record is None:
            logger.info("Stage %s runs.", stage.name)
            listener = progress(stage.name, "running")
            start = time.perf_counter()
            try:
                summary = stage.run(listener)
            except InputError as error:
                if failed is None:
                    raise
                logger.warning("Stage %s is left out: %s", stage.name, error)
                failed[stage.name] = error
                continue
            seconds = time.perf_counter() - start
            outputs = {name: file_digest(results / name) for name in (*stage.outputs, *stage.more(summary))}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = StageRecord(stage.name, key, outputs, dict(summary), round(seconds, 3), now, __version__)
            if stage.complete(summary):
                write_record(_place(results, stage.name), record)
            else:
                _place(results, stage.name).unlink(missing_ok=True)
        else:
            logger.info("Stage %s is up to date.", stage.name)
            progress(stage.name, "reused")
        written.update(record.outputs)
        records.append(record)
    return records


@dataclass(frozen=True, eq=False)
class StageState:
    """Where a stage stands.

    Attributes
    ----------
    name : str
    state : str
        ``"done"``; ``"stale"``, when it ran but something it depends on has changed; ``"open"``, when it
        never finished; ``"waiting"``, when a stage before it has to run first.
    seconds : float or None
        How long it took when it last ran.
    """

    name: str
    state: str
    seconds: float | None


def stage_states(stages: Sequence[Stage], results: Path) -> list[StageState]:
    """Say what a run would do, without doing it."""
    digests: dict[Path, str] = {}
    written: dict[str, str] = {}
    states = []
    for stage in stages:
        ran = _place(results, stage.name).is_file()
        if any(path not in written for path in stage.reads):
            states.append(StageState(stage.name, "waiting", None))
            continue
        record = _finished(stage, _key(stage, written, digests), results)
        if record is not None:
            written.update(record.outputs)
            states.append(StageState(stage.name, "done", record.seconds))
        else:
            states.append(StageState(stage.name, "stale" if ran else "open", None))
    return states


def _place(results: Path, name: str) -> Path:
    return results / STATE / "stages" / f"{name.replace('/', '.')}.json"


def _key(stage: Stage, written: Mapping[str, str], digests: dict[Path, str]) -> str:
    content = {
        "name": stage.name,
        "version": stage.version,
        "parameters": stage.parameters,
        "files": [_digest(path, digests) for path in stage.files],
        "reads": {path: written[path] for path in stage.reads},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _digest(path: Path, digests: dict[Path, str]) -> str:
    """Content of a file; of a folder, names, sizes and times of its files (clips are too large to hash each time)."""
    if path not in digests:
        if path.is_dir():
            listing = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in path.iterdir() if p.is_file())
            digests[path] = hashlib.sha256(json.dumps(listing).encode()).hexdigest()
        else:
            digests[path] = file_digest(path)
    return digests[path]


def _finished(stage: Stage, key: str, results: Path) -> StageRecord | None:
    """The record of a stage that need not run again."""
    place = _place(results, stage.name)
    if not place.is_file():
        return None
    try:
        record = read_record(place)
    except AffectomeError as error:
        logger.warning("The record of stage %s is damaged, so it runs again: %s", stage.name, error)
        return None
    if record.key != key or set(record.outputs) != {*stage.outputs, *stage.more(record.summary)}:
        return None
    for name, digest in record.outputs.items():
        path = results / name
        if not path.is_file() or file_digest(path) != digest:
            logger.warning("%s was changed or removed, so stage %s runs again.", path, stage.name)
            return None
    return record
