"""Reads a results folder and writes the page."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from affectome._files import atomic_path, check_output, read_json
from affectome.errors import InputError
from affectome.report._gallery import ComponentCard, render_gallery
from affectome.report._page import Picture, Results, render_page

if TYPE_CHECKING:
    from affectome.stimuli import Thumbnail

__all__ = ["write_gallery", "write_report"]


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
            pictures={name: _picture(path) for name, path in _picture_files(folder, summary).items()},
            captions={name: _captions(folder, name) for name in summary["systems"]},
        )
    )
    target = folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return target


def write_gallery(
    path: str | os.PathLike[str],
    cards: Sequence[ComponentCard],
    *,
    title: str = "Components",
    thumbnails: Mapping[str, Thumbnail] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """Write one HTML page with a card per component: name, facts, ratings, words and strongest stimuli.

    Everything is inside the one file: pictures, word clouds, styles. It loads nothing and runs no script, can be used
    from the keyboard, and reads well on a phone, in the dark and on paper. All text is escaped. A blurred thumbnail is
    shown as it is: what lies beneath is not in the file, and a note says how many there are.

    Parameters
    ----------
    path
        An ``.html`` file.
    cards : sequence of ComponentCard
    title
    thumbnails : mapping from id to Thumbnail, optional
        As :func:`affectome.stimuli.thumbnails` makes them; without, captions alone.
    notes
        Sentences below the title, for example where labels were made from the space itself.
    seed
        Moves the words of the clouds about.

    Returns
    -------
    Path of the page.

    Raises
    ------
    InputError
        For no card, a component that appears twice, or a table that lacks a column.
    EnvironmentFailure
        When the page cannot be written, or a card has a cloud and the extra ``words`` is not installed.

    Examples
    --------
    >>> import tempfile, pandas as pd
    >>> ratings = pd.DataFrame({"r": [0.71], "ci_low": [0.66], "ci_high": [0.75]}, index=["Joy"])
    >>> card = ComponentCard("component 01", "Joyful animals", {"share of all weights": "6.1%"}, ratings)
    >>> write_gallery(tempfile.mkdtemp() + "/gallery.html", [card]).name
    'gallery.html'
    """
    check_output(path, (".html",))
    page = render_gallery(cards, title, thumbnails or {}, notes, seed)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _picture_files(folder: Path, summary: Mapping[str, Any]) -> dict[str, Path]:
    """Pictures that the page shows, by name, as far as they are there."""
    files = {path.stem: path for path in sorted((folder / "figures").glob("*.png"))}
    meaning = folder / "interpretation"
    for name in summary["systems"]:
        of_system = meaning / name / "figures"
        files[f"{name}_ratings"], files[f"{name}_map"] = of_system / "correlations.png", of_system / "map.png"
    of_all = meaning / ("together" if "together" in summary else next(iter(summary["systems"]))) / "figures"
    files["categories"], files["component_sizes"] = of_all / "categories.png", of_all / "components.png"
    for name in summary.get("brain", {}).get("encode", {}):
        files[f"brain_{name.replace('/', '_')}"] = folder / f"neural/{name}/figures/r.png"
    files["brain_group"] = folder / "neural/group/figures/regions.png"
    return {name: path for name, path in files.items() if path.is_file()}


def _picture(path: Path) -> Picture:
    content = path.read_bytes()
    # Width and height stand at bytes 16 to 24 of every PNG.
    width, height = (int.from_bytes(content[k : k + 4], "big") for k in (16, 20))
    return Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height)


def _captions(folder: Path, system: str) -> list[dict[str, Any]]:
    path = folder / f"interpretation/{system}/top_stimuli.csv"
    if not path.is_file():
        return []
    rows = pd.read_csv(path, dtype={"component": str, "id": str, "caption": str}, keep_default_na=False)
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
