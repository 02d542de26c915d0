"""Reads a results folder and writes the page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from affectome._files import atomic_path, check_output, read_json
from affectome.errors import InputError
from affectome.report._gallery import ComponentCard, render_gallery
from affectome.report._page import Results, exhibits_of, render_page
from affectome.report._pictures import fitting_pictures
from affectome.report._sheets import previews

if TYPE_CHECKING:
    from affectome.stimuli import Thumbnail

__all__ = ["write_gallery", "write_report"]

_LARGEST = 14_900_000  # bytes of the page
_MARKUP = 200  # around a picture


def write_report(results: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into the results folder of a study.

    Summary, what was left out, methods as they ran, then every figure and table that a stage wrote. Everything is
    inside the one file, which loads nothing, runs no script and has less than 15 MB. Of tables it shows the beginning
    and carries small ones whole; where figures are too many for that size, all are drawn in 256 colours, then at a
    width of 900 pixels at most, and then the last figures of the last persons are left out and linked by their path.

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
        When the folder holds no finished study, or one of an earlier release.
    EnvironmentFailure
        When the page cannot be written.
    """
    folder = Path(results)
    if not (folder / "summary.json").is_file():
        raise InputError("holds no finished study", source=folder, remedy="run `affectome study run` into it first")
    summary, provenance = read_json(folder / "summary.json"), read_json(folder / "provenance.json")
    _refuse_older(folder, summary, provenance)
    shown = exhibits_of(summary, provenance)
    found = Results(
        summary=summary,
        provenance=provenance,
        tables=previews(folder, [sheet.path for one in shown for sheet in one.tables]),
        captions={name: _captions(folder, name) for name in summary["systems"]},
    )
    paths = [figure.path for one in shown for figure in one.figures]
    # Without pictures the page links them all, which takes as much room as the markup around a picture.
    pictures = fitting_pictures(folder, paths, _LARGEST - len(render_page(found).encode()) - _MARKUP * len(paths))
    target = folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(render_page(replace(found, pictures=pictures)), encoding="utf-8")
    return target


def _refuse_older(folder: Path, summary: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
    """Refuse a folder whose study lacks what later releases write, and the page is made from."""
    absent = [name for name in ("systems", "stimuli", "triplets", "left_out", "warnings") if name not in summary]
    absent += [name for name in ("study", "stages", "software") if name not in provenance]
    if absent:
        raise InputError(
            f"was filled by an earlier release of affectome, which did not write '{absent[0]}'",
            source=folder,
            remedy="run the study again with `affectome study run`, which redoes only what has changed",
        )


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


def _captions(folder: Path, system: str) -> list[dict[str, Any]]:
    path = folder / f"interpretation/{system}/top_stimuli.csv"
    if not path.is_file():
        return []
    rows = pd.read_csv(path, dtype={"component": str, "id": str, "caption": str}, keep_default_na=False)
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
