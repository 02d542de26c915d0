"""What every command shares: options, messages, exit codes, progress."""

from __future__ import annotations

import functools
import glob
import json
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from affectome._progress import Progress, silent
from affectome.errors import AffectomeError, EnvironmentFailure, InputError, Interrupted

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Cluster",
    "Jobs",
    "about",
    "Json",
    "LogFile",
    "Out",
    "Quiet",
    "command",
    "expanded",
    "files_by_name",
    "interval",
    "left_out_ids",
    "listed_ids",
    "null_if_undefined",
    "number",
    "one_of",
    "p_value",
    "print_json",
    "records",
    "stage_progress",
    "start_logging",
    "work_progress",
]

P = ParamSpec("P")
R = TypeVar("R")

Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no information on stderr, only warnings.")]
Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable line last.")]
LogFile = Annotated[Path | None, typer.Option("--log-file", help="Also write the log to this file.", metavar="FILE")]
Out = Annotated[Path | None, typer.Option("--out", help="Results folder; 'results' beside the study file by default.")]
Cluster = Annotated[
    Path | None,
    typer.Option("--cluster", help="File with a table [cluster]: its workers do the parts.", metavar="FILE"),
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Threads; all by default. The numbers stay the same.")]

BUG, BAD_INPUT, ENVIRONMENT, PARTLY, INTERRUPTED = 1, 2, 3, 4, 130


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into one sentence on stderr and an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            code = _interrupted()
        except InputError as error:
            _complain(f"Error: {error}")
            code = BAD_INPUT
        except EnvironmentFailure as error:
            _complain(f"Error: {error}")
            code = ENVIRONMENT
        except (Interrupted, AffectomeError) as error:
            _complain(f"Stopped: {error}")
            code = PARTLY
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:  # whatever is left is our own mistake
            if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C while a compiled function begins
                code = _interrupted()
            else:
                _complain(
                    f"Error: affectome failed in a way that it should not ({type(error).__name__}: {error}). "
                    f"The details are in {_write_traceback()}; please report them."
                )
                code = BUG
        raise SystemExit(code)

    return run


def _interrupted() -> int:
    _complain(
        "Interrupted; files that were finished are kept and the same command goes on from there; a fit begins again."
    )
    return INTERRUPTED


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Name the file in a fault that does not say which one it is about."""
    try:
        yield
    except InputError as error:
        if error.source is None or not Path(error.source).suffix:
            error.source = str(path)
        raise


def expanded(names: Sequence[str], suffix: str) -> list[Path]:
    """Files that are named, lie in a named folder, or match a quoted pattern, in order and each once."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            here = sorted(path.glob(f"*{suffix}"))
        elif any(sign in name for sign in "*?[") and not path.exists():
            here = sorted(Path(match) for match in glob.glob(name))  # noqa: PTH207 - a pattern may be absolute
        else:
            here = [path]
        if not here:
            raise InputError(f"names no {suffix} file", source=name, remedy="correct the folder or the pattern")
        found += here
    return list(dict.fromkeys(found))


def listed_ids(path: Path) -> list[str]:
    """The ids of a text file, one a line."""
    from affectome._files import unreadable
    from affectome._tables import check_unique

    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", source=path, remedy="save it as UTF-8") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise InputError("holds no ids", source=path, remedy="give one id a line")
    check_unique(ids, source=path)
    return ids


def left_out_ids(path: Path | None) -> tuple[str, ...]:
    """The ids of a file of those to leave out; none without one."""
    return () if path is None else tuple(listed_ids(path))


def files_by_name(what: str, names: list[str], paths: list[Path], *, remedy: str) -> dict[str, Path]:
    """Files by their names, which must differ."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two {what} are called '{twice}'", remedy=remedy)
    return dict(zip(names, paths, strict=True))


def one_of(option: str, given: str, known: tuple[str, ...]) -> Any:
    """The value of an option that has only a few."""
    if given not in known:
        raise InputError(f"{option} cannot be '{given}'", remedy=f"choose {', '.join(known)}")
    return given


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a word where it is not defined."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def p_value(value: float | None) -> str:
    """``p = ...``, or that it is smaller than can be written."""
    if value is None:
        return "p undefined"
    return "p < .0001" if value < 1e-4 else f"p = {value:.4f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval, where it has one."""
    if low is None or high is None:
        return f"{number(value)} (no interval)"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


def _write_traceback() -> str:
    text = traceback.format_exc()
    logging.getLogger("affectome").debug("%s", text)
    try:
        handle, name = tempfile.mkstemp(prefix=f"affectome-{time.strftime('%Y%m%d-%H%M%S')}-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8") as log:
            log.write(text)
    except OSError:
        print(text, file=sys.stderr)
        return "the lines above"
    return name


def _log_warning(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
    """A warning as one log line, without the place in the code that raised it."""
    level = logging.WARNING if issubclass(category, UserWarning) else logging.DEBUG
    logging.getLogger("affectome").log(level, "%s", " ".join(str(message).split()))


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever stderr is at the moment, which tests and notebooks exchange."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        pass


def start_logging(quiet: bool, log_file: Path | None) -> None:
    """Send the log to stderr (warnings only when quiet) and, in full, to a file where one is asked for."""
    root = logging.getLogger("affectome")
    root.setLevel(logging.DEBUG)
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    screen = _Stderr()
    # With a live display, information is shown by the display itself.
    screen.setLevel(logging.WARNING if quiet or sys.stderr.isatty() else logging.INFO)
    screen.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    root.addHandler(screen)
    warnings.showwarning = _log_warning
    if log_file is not None:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            lines = logging.FileHandler(log_file, encoding="utf-8")
        except OSError as error:
            raise EnvironmentFailure(
                f"cannot be written ({error.strerror})", source=log_file, remedy="choose another --log-file"
            ) from error
        lines.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(lines)


def print_json(content: Mapping[str, Any]) -> None:
    """One line on stdout."""
    print(json.dumps(content, ensure_ascii=False, allow_nan=False), flush=True)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON values."""
    return [{str(key): null_if_undefined(value) for key, value in row.items()} for row in frame.to_dict("records")]


def null_if_undefined(value: Any) -> Any:
    """What is undefined is null: JSON knows no NaN."""
    return None if isinstance(value, float) and value != value else value


@contextmanager
def stage_progress(quiet: bool) -> Iterator[Callable[[str, str], Progress]]:
    """A display of stages: live bars on a terminal; without one the log lines of the engine have to do."""
    if quiet or not sys.stderr.isatty():
        yield lambda name, state: silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        running: list[Any] = []

        def begin(name: str, state: str) -> Progress:
            for task in running:
                bars.update(task, completed=bars.tasks[task].total or 1, total=bars.tasks[task].total or 1)
            running.clear()
            task = bars.add_task(
                name, total=None if state == "running" else 1, detail="" if state == "running" else "up to date"
            )
            running.append(task)

            def report(done: int, total: int, /, *, detail: str = "") -> None:
                bars.update(task, completed=done, total=total, detail=detail)

            return report

        yield begin
        begin("done", "reused")


@contextmanager
def work_progress(name: str, quiet: bool) -> Iterator[Progress]:
    """The display of one piece of work."""
    with stage_progress(quiet) as begin:
        yield begin(name, "running")
