"""Reads a results folder and writes the page."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pandas as pd

from affectome._files import atomic_path, read_json
from affectome.errors import InputError
from affectome.report._page import Picture, Results, render_page

__all__ = ["write_report"]


def write_report(results: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into the results folder of a study.

    Everything is inside the one file: figures, tables, styles. It loads nothing and runs no script.

    Parameters
    ----------
    results
        A folder that :func:`affectome.study.run_study` filled.

    Returns
    -------
    Path of the page.

    Raises
    ------
    InputError
        When the folder holds no finished study.
    EnvironmentFailure
        When the page cannot be written.
    """
    folder = Path(results)
    if not (folder / "summary.json").is_file():
        raise InputError("holds no finished study", source=folder, remedy="run `affectome study run` into it first")
    summary, provenance = read_json(folder / "summary.json"), read_json(folder / "provenance.json")
    page = render_page(
        Results(
            summary=summary,
            provenance=provenance,
            pictures={path.stem: _picture(path) for path in sorted((folder / "figures").glob("*.png"))},
            captions={name: _captions(folder, name) for name in summary["systems"]},
        )
    )
    target = folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def _picture(path: Path) -> Picture:
    content = path.read_bytes()
    # Width and height stand at bytes 16 to 24 of every PNG.
    width, height = (int.from_bytes(content[k : k + 4], "big") for k in (16, 20))
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height)


def _captions(folder: Path, system: str) -> list[dict[str, Any]]:
    path = folder / f"interpretation/{system}_captions.csv"
    if not path.is_file():
        return []
    rows = pd.read_csv(path, dtype={"component": str, "id": str, "caption": str}, keep_default_na=False)
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
