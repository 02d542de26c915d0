"""Stages that run only when what they depend on has changed.

The key of a stage is a hash of its name and version, its parameters, the content of the files it
reads, and the content of what the stages before it wrote. A stage whose record has the same key and whose outputs
are unchanged on disk is not run. Times and paths are in no key: moving a study re-runs nothing. While a stage runs, a
note beside the records says so.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from affectome import __version__
from affectome._files import file_digest, held_lock, make_folder, read_json, write_json
from affectome._progress import Progress
from affectome.errors import AffectomeError, EnvironmentFailure, InputError, Interrupted
from affectome.study._io import read_record, write_record

logger = logging.getLogger(__name__)

__all__ = ["Stage", "StageOutputs", "StageRecord", "StageState", "Unmade", "locked", "run_stages", "stage_states"]

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
        Input files, also such as earlier stages wrote; a folder stands for the files in it.
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
    warnings : sequence of str
        What it warned of when it ran.
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
    warnings: Sequence[str] = ()
    reused: bool = False


class Unmade(InputError):
    """A stage cannot run, for what it reads was left out before it."""


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
    failed: dict[str, AffectomeError] | None = None,
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
        Where given, a stage that its data do not allow, or that stopped before its end on purpose, is put here with
        the reason, and the others go on without it and without what reads from it; by default the first such stage
        ends the run.
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
        absent = _absent(stage, written, results)
        if absent and failed:  # what it reads was never written, since an earlier stage failed
            failed[stage.name] = Unmade(f"needs {absent[0]}, which could not be made")
            continue
        key = _key(stage, written, digests, results)
        record = _finished(stage, key, results)
        if record is None:
            logger.info("Stage %s runs.", stage.name)
            listener = progress(stage.name, "running")
            start = time.perf_counter()
            try:
                with _noted(stage, results), _warnings() as warned:
                    summary = stage.run(listener)
            except (InputError, Interrupted) as error:
                if failed is None:
                    raise
                logger.warning("Stage %s is left out: %s", stage.name, error)
                failed[stage.name] = error
                continue
            seconds = time.perf_counter() - start
            outputs = {name: file_digest(results / name) for name in (*stage.outputs, *stage.more(summary))}
            now = datetime.now(UTC).isoformat(timespec="seconds")
            record = StageRecord(stage.name, key, outputs, dict(summary), round(seconds, 3), now, __version__, warned)
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
        ``"done"``; ``"running"``; ``"stale"``, when it ran but something it depends on has changed; ``"open"``, when
        it never finished; ``"waiting"``, when a stage before it has to run first.
    seconds : float or None
        How long it took when it last ran, or how long it has been running.
    """

    name: str
    state: str
    seconds: float | None


def stage_states(stages: Sequence[Stage], results: Path, *, known: StageOutputs | None = None) -> list[StageState]:
    """Say what a run would do, without doing it.

    `known` is what earlier calls learnt of outputs: of stages that are done, and of those that are not.
    """
    known = StageOutputs() if known is None else known
    digests: dict[Path, str] = {}
    running = _running(results)
    states = []
    for stage in stages:
        place = _place(results, stage.name)
        if stage.name in running:
            states.append(StageState(stage.name, "running", max(0.0, time.time() - running[stage.name])))
        elif _waits(stage, known, results):
            states.append(StageState(stage.name, "waiting", None))
        else:
            record = _finished(stage, _key(stage, known.written, digests, results), results)
            if record is not None:
                known.written.update(record.outputs)
                known.records.append(record)
                states.append(StageState(stage.name, "done", record.seconds))
                continue
            states.append(StageState(stage.name, "stale" if place.is_file() else "open", None))
        known.pending.update(stage.outputs)
    return states


@dataclass(frozen=True, eq=False)
class StageOutputs:
    """What is known of the files of stages.

    Attributes
    ----------
    written : dict from relative path to SHA-256
        Outputs that are as they should be.
    pending : set of relative paths
        Outputs that a run would make, or make again.
    records : list of StageRecord
        Of stages that are done, in their order.
    """

    written: dict[str, str] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    records: list[StageRecord] = field(default_factory=list)


def _waits(stage: Stage, known: StageOutputs, results: Path) -> bool:
    named = [*stage.reads, *_files_inside(stage, results)]
    return any(path in known.pending for path in named) or bool(_absent(stage, known.written, results))


def _absent(stage: Stage, written: Mapping[str, str], results: Path) -> list[str]:
    """What a stage reads of the results folder and no stage wrote."""
    lacking = [path for path in stage.reads if path not in written]
    named = _files_inside(stage, results)
    return lacking + [path for path in named if path not in written and not (results / path).exists()]


def _files_inside(stage: Stage, results: Path) -> list[str]:
    """The input files of a stage that lie in the results folder."""
    return [path for path in (_inside(results, file) for file in stage.files) if path is not None]


def _inside(results: Path, path: Path) -> str | None:
    """The path from the results folder on, where it lies there."""
    return path.relative_to(results).as_posix() if path.is_relative_to(results) else None


def _place(results: Path, name: str) -> Path:
    return results / STATE / "stages" / f"{name.replace('/', '.')}.json"


@contextmanager
def _noted(stage: Stage, results: Path) -> Iterator[None]:
    """Leave a note for others while a stage runs."""
    note = make_folder(results / STATE / "running") / _place(results, stage.name).name
    write_json(note, {"stage": stage.name, "since": time.time()})
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What affectome warns of meanwhile, each sentence once."""
    said: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() not in said:
                said.append(record.getMessage())

    keeping = Keeping(logging.WARNING)
    logging.getLogger("affectome").addHandler(keeping)
    try:
        yield said
    finally:
        logging.getLogger("affectome").removeHandler(keeping)


def _running(results: Path) -> dict[str, float]:
    """Stages that run now, and since when; notes that a killed run left are of no account."""
    notes = sorted((results / STATE / "running").glob("*.json"))
    if not notes:
        return {}
    try:
        with locked(results):
            return {}
    except EnvironmentFailure:  # somebody is at work
        found = []
        for note in notes:
            with suppress(AffectomeError):  # gone since
                found.append(read_json(note))
        return {note["stage"]: note["since"] for note in found}


def _key(stage: Stage, written: Mapping[str, str], digests: dict[Path, str], results: Path) -> str:
    content = {
        "name": stage.name,
        "version": stage.version,
        "parameters": stage.parameters,
        "files": [written.get(str(_inside(results, path))) or _digest(path, digests) for path in stage.files],
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
