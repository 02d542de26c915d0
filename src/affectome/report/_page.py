"""What the page of a study says, section by section."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from affectome.report._exhibits import Exhibit, exhibits
from affectome.report._findings import findings
from affectome.report._gap_findings import gap_claims
from affectome.report._methods import methods
from affectome.report._pictures import Picture
from affectome.report._sheets import Preview
from affectome.report._telling import known, labels_of, number, percent, small
from affectome.report._templates import page_template

__all__ = ["Results", "exhibits_of", "render_page"]

#: Sections of figures and tables: what they are called.
_HEADINGS = {
    "questions": "Questions and answers",
    "behavior": "Behaviour",
    "meaning": "What the spaces mean",
    "brain": "The brain",
    "gap": "The gap",
}


@dataclass(frozen=True, eq=False)
class Results:
    """What a results folder holds.

    Attributes
    ----------
    summary, provenance : dict
        The content of the two JSON files.
    pictures : dict from path to Picture
        Figures that fit the page.
    tables : dict from path to Preview
    captions : dict from system to rows (component, id, weight, caption)
    """

    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    tables: Mapping[str, Preview] = field(default_factory=dict)
    captions: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def exhibits_of(summary: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[Exhibit]:
    """Figures and tables of a study: what all systems have in common first, what single persons have last."""
    people = _people(summary)
    found = exhibits(provenance["stages"], labels_of(summary), people)
    order = {name: place for place, name in enumerate(_HEADINGS)}

    def place(one: Exhibit) -> tuple[int, bool, bool]:
        alone = one.section == "behavior" and one.about in summary["systems"]
        return order[one.section], alone, one.about.split(":")[0] in people

    return sorted(found, key=place)


def render_page(results: Results) -> str:
    """The whole page as text; every name and caption is escaped."""
    summary, provenance = results.summary, results.provenance
    filters: dict[str, Callable[..., Any]] = {
        "number": number,
        "known": known,
        "percent": percent,
        "small": small,
        "address": quote,
    }
    labels = labels_of(summary)
    return page_template("page.html.j2", **filters).render(
        summary=summary,
        provenance=provenance,
        pictures=results.pictures,
        tables=results.tables,
        labels=labels,
        asked=any(system["judge"]["kind"] != "answers" for system in summary["systems"].values()),
        findings=findings(summary),
        methods=methods(summary, provenance),
        sections=_sections(exhibits_of(summary, provenance)),
        headings=_HEADINGS,
        people=_people(summary),
        slots={name: s["slot_bias"] for name, s in summary["systems"].items() if s.get("slot_bias")},
        slot_priors={name: s.get("slot_prior") for name, s in summary["systems"].items()},
        claims=gap_claims(summary),
        components={name: _components(system) for name, system in summary["systems"].items()},
        captions={name: _by_component(rows) for name, rows in results.captions.items()},
        warned=_warned(summary["warnings"]),
        settings=json.dumps(provenance["study"], indent=2, ensure_ascii=False),
    )


def _people(summary: Mapping[str, Any]) -> set[str]:
    """Persons who were recorded."""
    return {name.split("/")[0] for name in summary.get("brain", {}).get("encode", {})}


def _warned(warnings: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Every sentence of warning once, with the stages that warned."""
    found: dict[str, list[str]] = {}
    for stage, sentences in warnings.items():
        for sentence in sentences:
            stages = found.setdefault(sentence.removeprefix(f"{stage}: "), [])
            if stage not in stages:
                stages.append(stage)
    return found


def _sections(found: Sequence[Exhibit]) -> dict[str, dict[str, list[Exhibit]]]:
    """Exhibits by section, and in it by what they are about; sections that hold nothing are there, too."""
    sections: dict[str, dict[str, list[Exhibit]]] = {name: {} for name in _HEADINGS}
    for one in found:
        sections[one.section].setdefault(one.about, []).append(one)
    return sections


def _components(system: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every component with its size, its name and the ratings that it follows, where these were asked for."""
    done = system["interpretation"]
    names, tops = done.get("names", {}).get("names", {}), done.get("correlations", {}).get("top_ratings", {})
    return [
        {**row, "name": names.get(row["component"], ""), "ratings": tops.get(row["component"], [])}
        for row in done.get("components", {}).get("sizes", [])
    ]


def _by_component(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["component"], []).append(row)
    return grouped
