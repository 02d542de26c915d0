"""A stage whose analysis leaves tables, figures and a few numbers behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from affectome._files import make_folder
from affectome._progress import Progress
from affectome._tables import write_csv
from affectome.study._engine import Stage
from affectome.study._io import json_value

__all__ = ["Written", "written_stage"]

#: Formats of every figure: to look at, to print, to edit.
FORMATS = ("png", "pdf", "svg")


@dataclass(frozen=True, eq=False)
class Written:
    """What an analysis leaves behind: tables and figures by name, what the summary says, and files it wrote itself.

    `files` are relative to the results folder.
    """

    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Any]
    summary: Mapping[str, Any]
    files: Sequence[str] = ()


def written_stage(
    name: str,
    out: Path,
    folder: str,
    run: Callable[[Progress], Written],
    *,
    tables: Sequence[str],
    figures: Sequence[str] = (),
    others: Sequence[str] = (),
    parameters: Mapping[str, Any],
    files: Sequence[Path] = (),
    reads: Sequence[str] = (),
    version: int = 1,
    complete: Callable[[Mapping[str, Any]], bool] = lambda summary: True,
) -> Stage:
    """A stage that writes ``<folder>/<table>.csv`` and ``<folder>/figures/<figure>`` in every format.

    `others` are files of the folder that `run` always writes itself. What else comes back depends on the data: further
    tables, figures and files, which the summary lists as ``files``.
    """
    outputs = [f"{folder}/{table}.csv" for table in tables]
    outputs += [f"{folder}/figures/{figure}.{suffix}" for figure in figures for suffix in FORMATS]
    outputs += [f"{folder}/{other}" for other in others]

    def work(progress: Progress) -> Mapping[str, Any]:
        from affectome.plotting import save_figure

        place = make_folder(out / folder / "figures")
        found = run(progress)
        for table in [*tables, *(name for name in found.tables if name not in tables)]:
            content = found.tables[table]
            labelled = any(level is not None for level in content.index.names)
            write_csv(out / f"{folder}/{table}.csv", content, index=labelled)
        for figure in [*figures, *(name for name in found.figures if name not in figures)]:
            save_figure(found.figures[figure], place, figure, FORMATS)
        told = {str(key): json_value(value) for key, value in found.summary.items()}
        further = [f"{folder}/{table}.csv" for table in found.tables if table not in tables]
        further += [f"{folder}/figures/{n}.{suffix}" for n in found.figures if n not in figures for suffix in FORMATS]
        further += found.files
        return {**told, "files": further} if further else told

    return Stage(name, work, tuple(outputs), parameters, tuple(files), tuple(reads), version, complete, _further)


def _further(summary: Mapping[str, Any]) -> Sequence[str]:
    return tuple(summary.get("files", ()))
