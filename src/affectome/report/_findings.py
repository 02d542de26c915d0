"""What a study found of choices and of meaning, in sentences; each from a test or an interval, with its correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affectome.report._brain_findings import brain_findings, geometry_findings
from affectome.report._gap_findings import gap_findings
from affectome.report._telling import counted, interval, joined, labels_of, number, p_text, percent

__all__ = ["Finding", "findings"]

_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Finding:
    """A question of the summary, and the sentences that answer it.

    Attributes
    ----------
    question : str
    sentences : tuple of str
    how : str
        From which tests, and after which correction.
    """

    question: str
    sentences: tuple[str, ...]
    how: str


def findings(summary: Mapping[str, Any]) -> list[Finding]:
    """The summary of a study, question by question; questions that were not asked are left out."""
    level = 100 * next(iter(summary["systems"].values())).get("held_out_accuracy", {}).get("level", 0.95)
    told = [
        Finding(
            "Which space predicts behaviour?",
            (*_own_choices(summary), *_people(summary)),
            f"In brackets: {level:g}% bootstrap intervals over triplets, stimuli and fit taken as fixed. Chance is "
            "33.3%. Each system is scored on its own held-out choices, so that a judge that errs more has less to "
            "predict.",
        ),
        Finding("Which space predicts the brain?", *brain_findings(summary)),
        Finding("Whose geometry is in the brain?", *geometry_findings(summary)),
        Finding("Is there a gap between behaviour and brain?", *gap_findings(summary)),
        Finding(
            "How sure are the spaces?",
            tuple(_sureness(summary)),
            "Similarities: bootstrap interval over stimuli, p from permuted stimuli. Components found again: p for "
            "each component, against the best of unrelated ones. Weights needed: interval over triplets.",
        ),
        Finding(
            "Do systems choose alike?",
            tuple(_agreement(summary)),
            f"Share of the same held-out triplets, with {level:g}% bootstrap intervals over triplets; chance 33.3%.",
        ),
        Finding(
            "What do the spaces mean?",
            tuple(_meaning(summary)),
            "Correlations and predictions: Benjamini-Hochberg over the table of a system. Types: in brackets their "
            "range over subsamples of stimuli. Categories: leave-one-out, p from permuted labels.",
        ),
    ]
    return [one for one in told if one.sentences]


def _own_choices(summary: Mapping[str, Any]) -> list[str]:
    """How well each space predicts the choices it was learned from, best first."""
    scored = [system for system in summary["systems"].values() if "held_out_accuracy" in system]
    return [_of_system(system) for system in sorted(scored, key=lambda s: -s["held_out_accuracy"]["value"])]


def _of_system(system: Mapping[str, Any]) -> str:
    score = system["held_out_accuracy"]
    sentence = (
        f"{system['label']}: {counted(system['n_components'], 'component')} predict {percent(score['value'])} of "
        f"held-out choices {interval(score, None)}"
    )
    if "ceiling" in system:
        ends = system["ceiling"]
        told = f"{percent(ends['lower']['value'])} to {percent(ends['upper']['value'])}"
        sentence += f" under a ceiling of {told if ends['lower']['value'] < 1 else '100%, for it never errs'}"
    return f"{sentence}."


def _sureness(summary: Mapping[str, Any]) -> list[str]:
    """Whether similarities bear a space out, its components come back, and how many it takes."""
    sentences = []
    for system in summary["systems"].values():
        told = [sentence for tell in (_similar, _found_again, _needed) if (sentence := tell(system))]
        if told:
            sentences.append(f"{system['label']}: {' '.join(told)}")
    return sentences


def _similar(system: Mapping[str, Any]) -> str:
    found = system.get("rsm")
    if not found or found["value"] is None:
        return ""
    return (
        f"similarities of {found['n_stimuli']} validation stimuli, measured and predicted, correlate by "
        f"{number(found['value'])} {interval(found)} ({p_text(found['p'])})."
    )


def _found_again(system: Mapping[str, Any]) -> str:
    """How many components of the first seed other seeds find again."""
    found = system.get("reproducibility")
    if not found:
        return ""
    own = {row["form"]: row for row in found["summary"] if row["run"] == found["reference"]}
    matched, halves = own["best_match"], own["split_half"]
    n, told = matched["n_components"], ""
    if matched["share_significant"] is not None:
        told = (
            f"{round(n * matched['share_significant'])} of {n} more surely than the best of unrelated ones (p < "
            f"{_threshold(1 - found.get('level', 0.95))}), "
        )
    kept = round(n * halves["share_above_half"])
    return (
        f"Components found again from {counted(len(found['runs']) - 1, 'other seed')}: {told}{kept} of {n} with a "
        f"split-half r above .5 (median {number(halves['median'])})."
    )


def _needed(system: Mapping[str, Any]) -> str:
    found = system.get("components_needed", {})
    if found.get("value") is None:
        return ""
    k = int(found["value"])
    which = "largest weight of each stimulus keeps" if k == 1 else f"{k} largest weights of each stimulus keep"
    return f"The {which} {100 * found['share']:g}% of the accuracy {interval(found, 0)}."


def _people(summary: Mapping[str, Any]) -> list[str]:
    """How often systems name the odd one that people name, and which do so more often."""
    found = summary.get("people")
    if not found:
        return []
    labels, who = labels_of(summary), found["label"]
    models = sorted((row for row in found["table"] if row["kind"] == "model"), key=lambda row: -row["agreement"])
    told = [f"{labels[row['name']]} in {percent(row['agreement'])} {interval(row, None)}" for row in models]
    sentence = f"The odd one that {who} name is named by {joined(told)} of their triplets"
    if found.get("ceiling"):
        ends = found["ceiling"]
        sentence += (
            f"; by a model as good as they could be predicted, {percent(ends['lower'])} to {percent(ends['upper'])}"
        )
    sentences = [f"{sentence}."]
    for row in found.get("differences") or []:
        first, second = labels[row["first"]], labels[row["second"]]
        if row["ci_low"] is None or row["ci_low"] <= 0 <= row["ci_high"]:
            continue
        more, less = (first, second) if row["value"] > 0 else (second, first)
        size = {
            "ci_low": min(abs(row["ci_low"]), abs(row["ci_high"])),
            "ci_high": max(abs(row["ci_low"]), abs(row["ci_high"])),
        }
        sentences.append(
            f"{more} chooses as {who} do more often than {less}, by {percent(abs(row['value']))} of triplets "
            f"{interval(size, None)}; intervals of pairs are not corrected for their number."
        )  # fmt: skip
    return sentences


def _agreement(summary: Mapping[str, Any]) -> list[str]:
    if "agreement" not in summary:
        return []
    labels = labels_of(summary)
    pairs = sorted(summary["agreement"]["pairs"], key=lambda pair: -pair["value"])
    return [
        f"{labels[pair['first']]} and {labels[pair['second']]} choose the same odd one in {percent(pair['value'])} "
        f"{interval(pair, None)} of triplets."
        for pair in pairs
    ]


# What spaces mean


def _meaning(summary: Mapping[str, Any]) -> list[str]:
    sentences = []
    for system in summary["systems"].values():
        told = [sentence for tell in (_follows, _predicts, _types, _categories) if (sentence := tell(system))]
        if told:
            sentences.append(f"{system['label']}: {' '.join(told)}")
    return sentences + _shared_geometry(summary)


def _follows(system: Mapping[str, Any]) -> str:
    """How many components follow any rating, and whether that is a finding at all."""
    found = system["interpretation"].get("correlations")
    if not found:
        return ""
    alpha = found.get("alpha", _SIGNIFICANT)
    following = sum(any(top["q"] < alpha for top in tops) for tops in found["top_ratings"].values())
    families = [
        f"{name} {number(value)}" for name, value in found["diagonal"].items() if isinstance(value, (int, float))
    ]
    sentence = f"{following} of {found['n_components']} components follow a rating (q < {_threshold(alpha)})"
    if families:
        sentence += f"; r of components with the rating matched to them on other stimuli: {joined(families)}"
    if found["circular"]:
        sentence += (
            f". Its choices were made from {joined(found['circular'])}: that they are found again checks the method "
            "and is no finding"
        )
    return f"{sentence}."


def _predicts(system: Mapping[str, Any]) -> str:
    found = system["interpretation"].get("prediction")
    if not found:
        return ""
    threshold = _threshold(found.get("alpha", _SIGNIFICANT))
    return f"{found['n_predicted']} of {counted(found['n_ratings'], 'rating')} are predicted from it (q < {threshold})."


def _threshold(alpha: float) -> str:
    """A level as sentences write it: .05."""
    return f"{alpha:.4g}".removeprefix("0")


def _types(system: Mapping[str, Any]) -> str:
    found = system["interpretation"].get("types")
    if not found:
        return ""
    ranges = {kind: {"ci_low": low, "ci_high": high} for kind, (low, high) in found["stability"].items()}
    told = [
        f"{percent(share)} {kind} {interval(ranges[kind], None)}" for kind, share in found["shares"].items() if share
    ]
    return f"Types by unique variance: {joined(told)}." if told else ""


def _categories(system: Mapping[str, Any]) -> str:
    of_system = system["interpretation"].get("categories")
    if not of_system:
        return ""
    found = of_system["centroid"]["all"]
    circular = (
        " Its choices were made from these very categories, so this is circular." if of_system["circular"] else ""
    )
    return (
        f"{percent(found['value'])} {interval(found, None)} of stimuli lie near their own category (among the "
        f"{of_system['top']} nearest of {found['n_classes']} centroids; {percent(found['balanced'])} balanced over "
        f"categories; always naming the commonest gives {percent(found['prior'])}, permuted labels up to "
        f"{percent(found['null_high'])}, {p_text(found['p'])}).{circular}"
    )


def _shared_geometry(summary: Mapping[str, Any]) -> list[str]:
    pairs = summary.get("together", {}).get("rsa", {}).get("pearson", [])
    labels = labels_of(summary)
    told = [
        f"{labels[pair['first']]} and {labels[pair['second']]} {number(pair['value'])} {interval(pair)}"
        for pair in sorted(pairs, key=lambda pair: -pair["value"])
    ]
    return [f"Geometries of pairs of systems correlate by {joined(told)}, intervals over stimuli."] if told else []
