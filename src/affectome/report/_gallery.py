"""What the gallery of components says, and in which words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from affectome._tables import check_unique
from affectome.errors import InputError
from affectome.report._telling import percent
from affectome.report._templates import page_template

if TYPE_CHECKING:
    from affectome.plotting import PlacedWord
    from affectome.stimuli import Thumbnail

__all__ = ["ComponentCard", "render_gallery"]

_CLOUD = (220.0, 150.0)  # the browser draws its 7 points some 11 pixels high


@dataclass(frozen=True, eq=False)
class ComponentCard:
    """What is known of one component, as plain data. Whatever is left empty is left out of the page.

    Attributes
    ----------
    component : str
        Its name in the space, unique in a gallery.
    name : str
        What it is about, in a few words.
    facts : mapping from label to text
        For example ``{"share of all weights": "6.1%"}``.
    ratings : DataFrame indexed by rating
        Columns ``r`` and, where known, ``ci_low``, ``ci_high``, ``q`` and ``family``; strongest first.
    terms, words : Series from text to number, strongest first
        Free-response terms, and distinctive words of captions. The name of the Series says what the number is.
    clouds : mapping from label to a Series from word to weight
        One word cloud each, see :func:`affectome.plotting.lay_out_words`.
    stimuli : DataFrame indexed by rank
        Columns ``id``, ``weight``, ``share`` and ``caption``, as :meth:`TopStimuli.of` gives them.
    notes : sequence of str
        Sentences, for example that the name was made from these very ratings.
    """

    component: str
    name: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    ratings: pd.DataFrame | None = None
    terms: pd.Series[float] | None = None
    words: pd.Series[float] | None = None
    clouds: Mapping[str, pd.Series[float]] = field(default_factory=dict)
    stimuli: pd.DataFrame | None = None
    notes: Sequence[str] = ()


def render_gallery(
    cards: Sequence[ComponentCard],
    title: str,
    thumbnails: Mapping[str, Thumbnail],
    notes: Sequence[str],
    seed: int,
) -> str:
    """The whole page as text; every name, caption and id is escaped."""
    if not cards:
        raise InputError("the gallery has no components", remedy="give at least one card")
    check_unique([card.component for card in cards], source="the gallery")
    shown = {str(name) for card in cards if card.stimuli is not None for name in _column(card, "id")}
    pictures = {name: thumbnail for name, thumbnail in thumbnails.items() if name in shown}
    return page_template("gallery.html.j2", number=_number, percent=percent).render(
        title=title,
        notes=notes,
        cards=[_filled(card, seed) for card in cards],
        cloud=_CLOUD,
        pictures={name: _picture(thumbnail) for name, thumbnail in pictures.items()},
        strips=any(thumbnail.width > 2.5 * thumbnail.height for thumbnail in pictures.values()),
        n_shown=len(shown),
        n_blurred=sum(thumbnail.blurred for thumbnail in pictures.values()),
        n_missing=sum(bool(thumbnail.problem) for thumbnail in pictures.values()),
    )


def _filled(card: ComponentCard, seed: int) -> dict[str, Any]:
    """A card as the template reads it: lists and dictionaries of text and numbers."""
    return {
        "component": card.component,
        "name": card.name,
        "facts": dict(card.facts),
        "ratings": _ratings(card),
        "lists": [
            (label, "" if values.name is None else str(values.name), [(str(k), float(v)) for k, v in values.items()])
            for label, values in (("Free-response terms", card.terms), ("Distinctive words of captions", card.words))
            if values is not None and len(values)
        ],
        "clouds": {label: words for label, weights in card.clouds.items() if (words := _cloud(weights, seed))},
        "stimuli": _stimuli(card),
        "notes": list(card.notes),
    }


def _ratings(card: ComponentCard) -> list[dict[str, Any]]:
    if card.ratings is None:
        return []
    _column(card, "r", "ratings")
    filled = card.ratings.reindex(columns=["r", "ci_low", "ci_high", "q", "family"])
    return [{"rating": str(name), **_defined(row)} for name, row in zip(filled.index, _records(filled), strict=True)]


def _stimuli(card: ComponentCard) -> list[dict[str, Any]]:
    if card.stimuli is None:
        return []
    for name in ("id", "weight"):
        _column(card, name)
    filled = card.stimuli.reindex(columns=["id", "weight", "share", "caption"])
    return [
        {**_defined(row), "rank": rank, "id": str(row["id"])}
        for rank, row in zip(filled.index, _records(filled), strict=True)
    ]


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _defined(row: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row, None where they hold nothing."""
    return {key: None if pd.isna(value) or value == "" else value for key, value in row.items()}


def _column(card: ComponentCard, name: str, table: str = "stimuli") -> pd.Series[Any]:
    frame: pd.DataFrame = getattr(card, table)
    if name not in frame.columns:
        raise InputError(
            f"the {table} of '{card.component}' have no column '{name}'",
            source="the gallery",
            remedy=f"add it (they have {', '.join(map(str, frame.columns))})",
        )
    return frame[name]


def _cloud(weights: pd.Series[float], seed: int) -> list[PlacedWord]:
    from affectome.plotting._word_cloud import lay_out_words, legible

    if not (legible(weights) & (weights != 0)).any():
        return []
    return lay_out_words(weights, *_CLOUD, max_words=25, seed=seed)


def _picture(thumbnail: Thumbnail) -> dict[str, Any]:
    return {
        "address": f"data:image/jpeg;base64,{base64.b64encode(thumbnail.jpeg).decode()}",
        "width": thumbnail.width,
        "height": thumbnail.height,
        "blurred": thumbnail.blurred,
        "problem": thumbnail.problem,
    }


def _number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")
