"""What figures, tables and stages are called on the page; the words are in words.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["figure_words", "stage_title", "table_words"]


#: Stages of one system, whose name is no part of their title.
_OF_SYSTEM = ("answers", "accuracy", "ceiling", "rsm", "needed", "reproducibility", "people")


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(files("affectome.report").joinpath("words.toml").read_text("utf-8"))


def stage_title(stage: str, labels: Mapping[str, str], people: Collection[str]) -> str:
    """What a stage did, in a few words, and for which space."""
    kind, words = _kind(stage), stage.split("/")
    where = {"interpretation": "analyses", "gap": "gap", "gap_scores": "gap"}.get(words[0], "stages")
    title = str(_words()[where].get(kind, _spoken(kind)))
    if where != "stages" or words[0] in _OF_SYSTEM:
        return title  # whose it is, the heading above it says
    further = [word for word in words[1:] if word not in people and word not in kind.split("/")]
    told = [{"beyond_controls": "controls held constant"}.get(word, labels.get(word, word)) for word in further]
    return ", ".join([title, *told])


def figure_words(stage: str, name: str, labels: Mapping[str, str]) -> tuple[str, str]:
    """Alternative text and caption of a figure, with the space it is about."""
    kind = _kind(stage)
    for place, told in _words()["figures"].items():
        (where, pattern), alt, caption = place.rsplit("/", 1), told["alt"], told["caption"]
        if where == kind and (pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))):
            other = name.removeprefix(pattern[:-1]).removeprefix("_") if pattern.endswith("_*") else ""
            return _with(alt, stage, other, labels), f"{labels.get(other, other)}: {caption}" if other else caption
    return _with(f"{_spoken(name)}.", stage, "", labels), ""


def table_words(name: str, labels: Mapping[str, str]) -> str:
    """What a row of a table is; of a table of one space, with what that is called."""
    known = _words()["tables"]
    if name in known:
        return str(known[name])
    where, _, last = name.rpartition("/")
    told = str(known.get(last, _spoken(last)))
    return f"{told}, {labels[where]}" if where in labels else told


def _kind(stage: str) -> str:
    """The word of a stage's name that says what it does."""
    words = stage.split("/")
    if words[0] == "gap_scores":
        return "choices" if words[-1] == "choices" else "person"
    if words[0] in ("interpretation", "gap"):
        return words[-1]
    if words[0] in ("comparison", "rsa", "reliability"):
        return "/".join(words[1:3]) if words[1] == "people" else words[1]
    return words[0]


def _with(alt: str, stage: str, other: str, labels: Mapping[str, str]) -> str:
    """An alternative text that begins with what the figure is of."""
    words = [word for word in stage.split("/")[1:] if word != _kind(stage) and word not in ("together", "people")]
    told = [labels.get(word, word) for word in (*words, other) if word]
    return f"{', '.join(dict.fromkeys(told))}. {alt}" if told else alt


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()
