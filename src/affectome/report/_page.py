"""What the page says, and in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from affectome.report._templates import page_template, percent

__all__ = ["Picture", "Results", "render_page"]

_SIGNIFICANT = 0.05


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
    classified = _classified(summary)
    return page_template("page.html.j2", number=_number, known=_known, percent=percent, small=_small).render(
        summary=summary,
        provenance=results.provenance,
        pictures=results.pictures,
        asked=any(system["judge"]["kind"] != "answers" for system in summary["systems"].values()),
        slots={name: s["slot_bias"] for name, s in summary["systems"].items() if s.get("slot_bias")},
        slot_priors={name: s.get("slot_prior") for name, s in summary["systems"].items()},
        models={name: _model(s["judge"].get("described")) for name, s in summary["systems"].items()},
        captions={name: _by_component(rows) for name, rows in results.captions.items()},
        labels={name: system["label"] for name, system in summary["systems"].items()},
        classified=classified,
        findings=[*_findings(summary, classified), *_brain_findings(summary)],
        settings=json.dumps(results.provenance["study"], indent=2, ensure_ascii=False),
        ratings=_ratings_by_component(summary),
        brain_labels=_Labels({name: system["label"] for name, system in summary["systems"].items()}),
    )


class _Labels(dict[str, str]):
    """What systems are called; a space that is no system goes by its name."""

    def __missing__(self, name: str) -> str:
        return name


def _by_component(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["component"], []).append(row)
    return grouped


def _ratings_by_component(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The strongest ratings of every component, where components were correlated with ratings."""
    return {
        name: system["interpretation"].get("correlations", {}).get("top_ratings", {})
        for name, system in summary["systems"].items()
    }


def _classified(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What classifying by category found of each system, where that was done."""
    return {
        name: system["interpretation"]["categories"]
        for name, system in summary["systems"].items()
        if "categories" in system["interpretation"]
    }


def _findings(summary: Mapping[str, Any], classified: Mapping[str, Mapping[str, Any]]) -> list[str]:
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
    for name, of_system in classified.items():
        found = of_system["centroid"]["all"]
        circular = (
            " Its choices were made from these very categories, so this is circular." if of_system["circular"] else ""
        )
        sentences.append(
            f"{systems[name]['label']}: {percent(found['value'])} of stimuli lie near their own category "
            f"(among the {of_system['top']} nearest of {found['n_classes']} centroids, leave-one-out; "
            f"{percent(found['balanced'])} balanced over categories; "
            f"always naming the commonest gives {percent(found['prior'])}, "
            f"permuted labels up to {percent(found['null_high'])}, p = {_small(found['p'])}).{circular}"
        )
    return sentences


def _brain_findings(summary: Mapping[str, Any]) -> list[str]:
    """Regions that a space predicts in anybody, strongest first, and what each does better than another."""
    group = summary.get("brain", {}).get("group")
    if not group or not group["regions"]:
        return []
    labels = _Labels({name: system["label"] for name, system in summary["systems"].items()})
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in group["regions"]:
        if (row.get("q_nobody") or 1) < _SIGNIFICANT:
            found.setdefault(row["region"], []).append(row)
    sentences = []
    for region, rows in sorted(found.items(), key=lambda item: -max(row["mean"] for row in item[1])):
        told = [
            f"{labels[row['space']]} (mean held-out r {row['mean']:.3f}, in {row['n_significant']:.0f} of "
            f"{row['n_subjects']} people)"
            for row in sorted(rows, key=lambda row: -row["mean"])
        ]
        better = [text for row in group["comparisons"] if row["region"] == region and (text := _better(row, labels))]
        sentences.append(f"Brain, {region}: predicted by {' and by '.join(told)}{''.join(better)}.")
    return sentences or ["Brain: no region is predicted by any space."]


def _better(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Which of two spaces predicts better in a region, where somebody shows it more often than chance would."""
    for first, second, count, q in (
        (row["reference"], row["space"], row.get("n_above"), row.get("q_above")),
        (row["space"], row["reference"], row.get("n_below"), row.get("q_below")),
    ):
        if q is not None and q < _SIGNIFICANT:
            return f"; {labels[first]} better than {labels[second]} in {count:.0f} of {row['n_tested']:.0f}"
    return ""


def _model(described: Any) -> str | None:
    """The model behind some answers, where their file says it; it may say anything."""
    return str(described["model"]) if isinstance(described, Mapping) and described.get("model") else None


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}"


def _known(value: float | None, digits: int) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def _small(value: float) -> str:
    """A probability that may be tiny."""
    if value == 0:
        return "< 1e-300"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
