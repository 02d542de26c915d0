"""What every stage of a study left to look at: its figures and tables, and the section of the page they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from affectome.report._words import figure_words, stage_title, table_words

__all__ = ["SECTIONS", "Exhibit", "Figure", "Sheet", "exhibits"]

#: Sections of the page in the order in which they are read, by the folder of the results that fills them.
SECTIONS = {
    "collection": "questions",
    "behavior": "behavior",
    "figures": "behavior",
    "interpretation": "meaning",
    "neural": "brain",
    "gap": "gap",
}


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of a stage.

    Attributes
    ----------
    path : str
        Its PNG, relative to the results folder.
    others : tuple of str
        The same figure in other formats.
    alt, caption : str
        What it shows, for those who do not see it and for those who do.
    """

    path: str
    others: tuple[str, ...]
    alt: str
    caption: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table of a stage: its CSV, relative to the results folder, and what its rows are."""

    path: str
    caption: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True, eq=False)
class Exhibit:
    """What one stage left to look at.

    Attributes
    ----------
    stage : str
    section : str
        A value of :data:`SECTIONS`.
    about : str
        The name of the system, or the person or comparison, that it is about: the heading above it.
    title : str
    figures : tuple of Figure
    tables : tuple of Sheet
    pages : tuple of str
        Pages to leaf through, relative to the results folder.
    """

    stage: str
    section: str
    about: str
    title: str
    figures: tuple[Figure, ...]
    tables: tuple[Sheet, ...]
    pages: tuple[str, ...]


def exhibits(
    stages: Iterable[Mapping[str, Any]], labels: Mapping[str, str], people: Iterable[str] = ()
) -> list[Exhibit]:
    """Everything that the stages of a provenance wrote to be looked at, each file once.

    Parameters
    ----------
    stages
        As provenance.json lists them: ``name``, and ``outputs`` by path.
    labels
        What systems are called.
    people
        Persons who were recorded.
    """
    known, found = set(people), []
    for stage in stages:
        paths = [str(path) for path in stage["outputs"]]
        section = next((SECTIONS[top] for path in paths if (top := path.split("/")[0]) in SECTIONS), None)
        if section is None:
            continue
        name = str(stage["name"])
        figures = tuple(_figure(path, paths, name, labels) for path in paths if path.endswith(".png"))
        tables = tuple(
            Sheet(path, table_words(_told_name(path, labels), labels)) for path in paths if path.endswith(".csv")
        )
        pages = tuple(path for path in paths if path.endswith(".html"))
        if figures or tables or pages:
            about = _about(name, section, labels, known)
            title = stage_title(name, labels, known)
            found.append(Exhibit(name, section, about, title, figures, tables, pages))
    return found


def _figure(path: str, paths: Iterable[str], stage: str, labels: Mapping[str, str]) -> Figure:
    others = tuple(path[:-3] + suffix for suffix in ("pdf", "svg") if path[:-3] + suffix in set(paths))
    alt, caption = figure_words(stage, PurePosixPath(path).stem, labels)
    return Figure(path, others, alt, caption)


def _told_name(path: str, labels: Mapping[str, str]) -> str:
    """Name of a table without its extension; below a person, with the space or the folder that says what it is."""
    parts = PurePosixPath(path).with_suffix("").parts
    if parts[0] != "neural" or parts[1:2] == ("group",):
        return parts[-1]
    kept = [part for part in parts[-2:-1] if part in ("between", "regression", "profile") or part in labels]
    return "/".join([*kept, parts[-1]])


def _about(stage: str, section: str, labels: Mapping[str, str], people: set[str]) -> str:
    """The heading that a stage stands below."""
    words = stage.split("/")
    if section == "meaning":
        return "Systems side by side" if "together" in words else words[1]
    person = next((word for word in words if word in people), None)
    if section == "brain":
        kind = {"comparison": "shared and unique", "rsa": "geometry", "reliability": "reliability"}.get(words[0])
        who = person or "All people"
        return f"{who}: {kind}" if kind else who
    if section == "behavior":
        return next((word for word in words[1:] if word in labels), "Systems side by side")
    return person or ""
