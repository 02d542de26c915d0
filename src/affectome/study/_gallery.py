"""The gallery of a space, put together from what earlier stages wrote."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from affectome.interpretation import TopStimuli, describe_components
from affectome.report import ComponentCard, write_gallery
from affectome.stimuli import Thumbnail
from affectome.study._interpretation import Reading

__all__ = ["card_files", "space_gallery", "with_clouds", "word_weights"]

_SHOWN = 6  # ratings, terms and words of a card
_CLOUDED = {"rating": "ratings", "term": "terms", "word": "words of captions"}


def with_clouds() -> bool:
    """Whether the extra that lays out word clouds is installed."""
    return find_spec("wordcloud") is not None


def card_files(reading: Reading, space: str) -> list[str]:
    """The tables that a gallery reads, as far as they were asked for."""
    place = reading.place(space)
    correlations = [f"{place}/correlations.csv"] if reading.asked.does("correlations") else []
    evidence = [f"{place}/evidence.csv"] if reading.reads_names(space) else []
    return [*reading.reads_names(space), *evidence, *correlations]


def word_weights(reading: Reading, space: str) -> dict[str, pd.Series[float]]:
    """Per component, what it follows: ratings, terms and words with a positive value, each kind on its own scale."""
    evidence = _read(reading, space, "evidence")
    clouds: dict[str, pd.Series[float]] = {}
    for component in map(str, reading.spaces[space].columns):
        mine = evidence[(evidence["component"] == component) & (evidence["value"] > 0)]
        scaled = mine["value"] / mine.groupby("kind")["value"].transform("max")
        weights = pd.Series(scaled.to_numpy(float), index=mine["item"].to_numpy(str))
        clouds[component] = weights.groupby(level=0).max().sort_values(ascending=False, kind="stable")
    return clouds


def space_gallery(reading: Reading, space: str, strongest: TopStimuli, pictures: Mapping[str, Thumbnail]) -> None:
    """Write ``gallery.html`` into the folder of a space."""
    points = reading.spaces[space]
    sizes = describe_components(points).to_dict("index")
    names = reading.component_names(space)
    tables = {name: _read(reading, space, name) for name in ("names", "evidence", "correlations")}
    cards = [
        ComponentCard(
            component=component,
            name=names.get(component, ""),
            facts=_facts(sizes[component]),
            ratings=_ratings(tables["correlations"], component),
            terms=_strongest(tables["evidence"], component, "term", "r"),
            words=_strongest(tables["evidence"], component, "word", "log-odds"),
            clouds=_clouds(tables["evidence"], component) if with_clouds() else {},
            stimuli=strongest.of(component),
            notes=_notes(tables["names"], component),
        )
        for component in map(str, points.columns)
    ]
    circular = reading.circular(space)
    notes = [f"The choices behind this space were made from the ratings {', '.join(circular)}: that components follow "
             "them checks the method and is no finding."] if circular else []  # fmt: skip
    write_gallery(
        reading.asked.out / reading.place(space) / "gallery.html",
        cards,
        title=f"Components of {reading.label(space)}",
        thumbnails=pictures,
        notes=notes,
        seed=reading.seed("clouds", space),
    )


def _read(reading: Reading, space: str, name: str) -> pd.DataFrame:
    """A table of an earlier stage; empty where that was not asked for."""
    path = f"{reading.place(space)}/{name}.csv"
    if path not in card_files(reading, space):
        return pd.DataFrame({"component": [], "kind": [], "value": [], "item": []})
    text = dict.fromkeys(("component", "rating", "item", "kind", "family", "name"), str)
    return pd.read_csv(
        reading.asked.out / path,
        dtype=text,
        keep_default_na=False,
        na_values={"value": [""], "r": [""]},
    )


def _facts(size: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "share of all weights": f"{100 * size['share']:.1f}%",
        "present in": f"{100 * size['present']:.0f}% of stimuli",
        "largest weight": f"{size['largest']:.2f}",
        "sparsity (Hoyer)": f"{size['hoyer']:.2f}",
    }


def _ratings(table: pd.DataFrame, component: str) -> pd.DataFrame | None:
    if "rating" not in table:
        return None
    mine = table[table["component"] == component].set_index("rating")
    numbers = mine[["r", "ci_low", "ci_high", "q"]].apply(pd.to_numeric, errors="coerce")
    order = np.argsort(-numbers["r"].abs().fillna(-1).to_numpy(), kind="stable")[:_SHOWN]
    shown: pd.DataFrame = numbers.assign(family=mine["family"]).iloc[order].dropna(subset=["r"])
    return shown


def _items(table: pd.DataFrame, component: str, kind: str) -> pd.Series[float]:
    """The evidence of one kind about a component, item by item."""
    mine = table[(table["component"] == component) & (table["kind"] == kind)]
    return pd.Series(pd.to_numeric(mine["value"]).to_numpy(float), index=mine["item"].to_numpy(str))


def _strongest(table: pd.DataFrame, component: str, kind: str, unit: str) -> pd.Series[float] | None:
    items = _items(table, component, kind).head(_SHOWN)
    return None if items.empty else items.rename(unit)


def _clouds(table: pd.DataFrame, component: str) -> dict[str, pd.Series[float]]:
    items = {label: _items(table, component, kind) for kind, label in _CLOUDED.items()}
    return {label: values[values > 0] for label, values in items.items() if (values > 0).any()}


def _notes(table: pd.DataFrame, component: str) -> list[str]:
    if "stability" not in table:
        return []
    row = table[table["component"] == component].iloc[0]
    notes = [f"The name comes back in {100 * float(row['stability']):.0f}% of subsamples of 80% of the stimuli."]
    if row.get("rule_name", row["name"]) != row["name"]:
        notes.append(f"Named by {row['model']}; by rule: {row['rule_name']}.")
    return notes
