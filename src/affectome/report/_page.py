"""What the page says, and in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affectome.report._templates import page_template, percent

__all__ = ["Picture", "Results", "render_page"]


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure as a data address, with its size in pixels."""

    address: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Results:
    """What a results folder holds.

    Attributes
    ----------
    summary, provenance : dict
        The content of the two JSON files.
    pictures : dict from figure name to Picture
    captions : dict from system to rows (component, id, weight, caption)
    """

    summary: Mapping[str, Any]
    provenance: Mapping[str, Any]
    pictures: Mapping[str, Picture]
    captions: Mapping[str, Sequence[Mapping[str, Any]]]


def render_page(results: Results) -> str:
    """The whole page as text; every name and caption is escaped."""
    summary = results.summary
    top_key = next((key for s in summary["systems"].values() for key in s if key.endswith("_nearest_centroid")), None)
    return page_template("page.html.j2", number=_number, percent=percent, small=_small).render(
        summary=summary,
        provenance=results.provenance,
        pictures=results.pictures,
        asked=any(system["judge"]["kind"] != "answers" for system in summary["systems"].values()),
        slots={name: s["slot_bias"] for name, s in summary["systems"].items() if s.get("slot_bias")},
        slot_priors={name: s.get("slot_prior") for name, s in summary["systems"].items()},
        models={name: _model(s["judge"].get("described")) for name, s in summary["systems"].items()},
        captions={name: _by_component(rows) for name, rows in results.captions.items()},
        labels={name: system["label"] for name, system in summary["systems"].items()},
        top_key=top_key,
        findings=_findings(summary, top_key),
        settings=json.dumps(results.provenance["study"], indent=2, ensure_ascii=False),
        ratings=_ratings_by_component(summary),
    )


def _by_component(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["component"], []).append(row)
    return grouped


def _ratings_by_component(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: {row["name"]: row["top_ratings"] for row in system.get("interpretation", {}).get("components", [])}
        for name, system in summary["systems"].items()
    }


def _findings(summary: Mapping[str, Any], top_key: str | None) -> list[str]:
    """The answers in sentences, each with its interval."""
    systems = summary["systems"]
    ranked = sorted(systems.values(), key=lambda s: -s["held_out_accuracy"]["value"])
    sentences = []
    for system in ranked:
        score = system["held_out_accuracy"]
        sentences.append(
            f"{system['label']}: {system['n_components']} components predict {percent(score['value'])} of held-out "
            f"choices ({100 * score['level']:g}% interval {percent(score['ci_low'])} to "
            f"{percent(score['ci_high'])}; chance 33.3%)."
        )
    if "agreement" in summary:
        names = {name: system["label"] for name, system in systems.items()}
        pairs = sorted(summary["agreement"]["pairs"], key=lambda pair: -pair["value"])
        told = [f"{names[p['first']]} and {names[p['second']]} on {percent(p['value'])}" for p in pairs]
        sentences.append(f"The same odd one is chosen by {', by '.join(told)} of triplets (chance 33.3%).")
    if top_key is not None:
        for system in ranked:
            found = system[top_key]
            circular = (
                " Its choices were made from these very categories, so this is circular." if found["circular"] else ""
            )
            sentences.append(
                f"{system['label']}: {percent(found['value'])} of stimuli lie near their own category "
                f"(among the {found['top']} nearest of {found['n_classes']} centroids, leave-one-out; "
                f"{percent(found['balanced'])} balanced over categories; "
                f"always naming the commonest gives {percent(found['prior'])}, "
                f"permuted labels up to {percent(found['null_high'])}, p = {_small(found['p'])}).{circular}"
            )
    return sentences


def _model(described: Any) -> str | None:
    """The model behind some answers, where their file says it; it may say anything."""
    return str(described["model"]) if isinstance(described, Mapping) and described.get("model") else None


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _small(value: float) -> str:
    """A probability that may be tiny."""
    if value == 0:
        return "< 1e-300"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
