"""What a study found of brains, in sentences. A region or a person without a corrected effect is not named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from affectome.report._telling import Labels, counted, interval, joined, known, labels_of, number, p_text, percent

__all__ = ["brain_findings", "geometry_findings"]

_SIGNIFICANT = 0.05
_OVER_PEOPLE = (
    "A region is named where more people show it than chance would give (p from the binomial, Benjamini-Hochberg over "
    "regions and spaces, q < .05). In brackets: t interval over people, descriptive. “At least”: 95% bound of "
    "Bayesian prevalence."
)


def brain_findings(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The sentences, and from which tests they are."""
    brain = summary.get("brain")
    if brain is None:
        return (), ""
    labels = labels_of(summary)
    group = brain.get("group") or {}
    if group.get("regions"):
        sentences = _headline(group, labels, "predicts") + _regions(group, labels, "mean held-out r", "predicted by")
        how = f"Tests of each person: permutation, every fold fitted anew. {_OVER_PEOPLE} {_spoken(group)}"
    else:
        sentences = _single_people(brain, labels)
        how = (
            "Permutation tests within the person, every fold fitted anew; Benjamini-Hochberg over regions, or over "
            "voxels, of a person and a space. Nothing is said of other people."
        )
    sentences += _beyond_controls(brain, labels) + _places(brain, labels)
    return tuple(sentences), how.strip()


def geometry_findings(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Regions whose geometry follows a space, over people, also with the controls held constant; and the tests."""
    labels, groups = labels_of(summary), _geometries(summary)
    sentences = []
    for group in groups:
        controls = group.get("controls")
        held = f"With {joined(labels[one] for one in controls)} held constant: " if controls else ""
        told = _headline(group, labels, "is closer") + _regions(group, labels, "mean r", "followed by")
        sentences += [f"{held}{sentence}" for sentence in told]
    if not sentences:
        return (), ""
    how = (
        "Correlation of similarities of patterns in a region with those of a space. Tests of each person: "
        f"permutation of stimuli; with controls, and between spaces, the jackknife over stimuli. {_OVER_PEOPLE} "
        f"{_spoken(groups[0])}"
    )
    return tuple(sentences), how


def _geometries(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = summary.get("brain", {}).get("rsa", {})
    return [group for name, group in found.items() if name.startswith("group") and group.get("regions")]


def _spoken(group: Mapping[str, Any]) -> str:
    return f"Spaces against each other: {group['correction']}" if group.get("correction") else ""


def _headline(group: Mapping[str, Any], labels: Labels, verb: str) -> list[str]:
    """Which of two spaces is better, and where; nothing for pairs of which neither is surely so anywhere."""
    found: dict[tuple[str, str], list[str]] = {}
    named = _named(group)
    for row in group["comparisons"]:
        for first, second in ((row["reference"], row["space"]), (row["space"], row["reference"])):
            if _is_better(row, first) and first in named.get(row["region"], ()):
                found.setdefault((first, second), []).append(row["region"])
    how = "better than" if verb == "predicts" else "than"
    return [f"{labels[first]} {verb} {how} {labels[second]} in {joined(regions)}."
            for (first, second), regions in found.items()]  # fmt: skip


def _named(group: Mapping[str, Any]) -> dict[str, list[str]]:
    """Spaces with an effect in more people than chance would give, by region."""
    found: dict[str, list[str]] = {}
    for row in group["regions"]:
        if _surely(row.get("q_nobody")):
            found.setdefault(row["region"], []).append(row["space"])
    return found


def _is_better(row: Mapping[str, Any], first: str) -> bool:
    return _surely(row.get("q_above" if first == row["reference"] else "q_below"))


def _regions(group: Mapping[str, Any], labels: Labels, score: str, verb: str) -> list[str]:
    """Regions in which a space has an effect in more people than chance would give, strongest first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in group["regions"]:
        if _surely(row.get("q_nobody")):
            found.setdefault(row["region"], []).append(row)
    sentences = []
    for region, rows in sorted(found.items(), key=lambda item: -max(row["mean"] for row in item[1])):
        told = [_space(row, labels, score) for row in sorted(rows, key=lambda row: -row["mean"])]
        named = {row["space"] for row in rows}
        better = [
            text for row in group["comparisons"] if row["region"] == region and (text := _better(row, labels, named))
        ]
        sentences.append(f"{region} is {verb} {' and by '.join(told)}{''.join(better)}.")
    n_regions = len({row["region"] for row in group["regions"]})
    if not sentences:
        return [f"None of {counted(n_regions, 'region')} is {verb} any space in more people than chance would give."]
    if len(found) < n_regions:
        rest = n_regions - len(found)
        sentences.append(f"In {rest} of {counted(n_regions, 'region')} nothing is found.")
    return sentences


def _space(row: Mapping[str, Any], labels: Labels, score: str) -> str:
    ends = interval(row, low="low", high="high")
    return (
        f"{labels[row['space']]} ({score} {number(row['mean'])}{' ' + ends if ends else ''}, in "
        f"{row['n_significant']:.0f} of {row['n_subjects']} people, at least {percent(row['prevalence_bound'])} of "
        f"people, {p_text(row['q_nobody'], 'q')})"
    )


def _better(row: Mapping[str, Any], labels: Labels, named: Iterable[str]) -> str:
    """Which of two spaces is better in a region, where more people show it than chance would give."""
    for first, second, count, q, sign in (
        (row["reference"], row["space"], row.get("n_above"), row.get("q_above"), 1),
        (row["space"], row["reference"], row.get("n_below"), row.get("q_below"), -1),
    ):
        if _surely(q) and first in named:  # better than nothing, and not only less bad
            size = sign * row["difference"] if row.get("difference") is not None else None
            return (
                f"; {labels[first]} better than {labels[second]} in {count:.0f} of {row['n_tested']:.0f} (difference "
                f"{known(size)}, {p_text(q, 'q')})"
            )
    return ""


def _surely(q: float | None) -> bool:
    return q is not None and q < _SIGNIFICANT


def _single_people(brain: Mapping[str, Any], labels: Labels) -> list[str]:
    sentences = []
    for name, found in brain.get("encode", {}).items():
        who, space = name.split("/")[:2]
        regions = [row for row in found.get("best_regions", []) if _surely(row.get("q"))]
        if regions:
            told = [f"{row['region']} (r = {number(row['r'])} {interval(row, low='low', high='high')}, "
                    f"{p_text(row['q'], 'q')})" for row in regions]  # fmt: skip
            sentences.append(f"{who}: {labels[space]} predicts {joined(told)}.")
        if found["n_significant"]:
            sentences.append(
                f"{who}: {labels[space]} predicts {found['n_significant']:,} of {found['n_voxels']:,} voxels (q < "
                f".05); {found['n_family']:,} of them family-wise."
            )
    return sentences or ["Nothing is predicted by any space."]


def _places(brain: Mapping[str, Any], labels: Labels) -> list[str]:
    """Spaces whose components lie in the same places in different people, after Bonferroni over spaces."""
    tested = {space: found for space, found in brain.get("consistency", {}).items() if found.get("p") is not None}
    sentences = []
    for space, found in tested.items():
        p = min(1.0, found["p"] * len(tested))
        if _surely(p):
            where = "regions" if found["by"] == "region" else "places"
            sentences.append(
                f"Components of {labels[space]} lie in the same {where} in different people (mean r "
                f"{number(found['r'])}, {p_text(p)} after Bonferroni over {counted(len(tested), 'space')})."
            )
    return sentences


def _beyond_controls(brain: Mapping[str, Any], labels: Labels) -> list[str]:
    """In how many people a space explains something beyond the controls, over all voxels of a person."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name, row in brain.get("comparison", {}).items():
        kind, *where = name.split("/")
        if kind == "beyond_controls":
            found.setdefault(where[-1], []).append(row)
    threshold = _SIGNIFICANT / max(1, sum(map(len, found.values())))
    sentences = []
    for space, rows in found.items():
        sure = [row for row in rows if row.get("p") is not None and row["p"] < threshold]
        if sure:
            controls = joined(labels[name] for name in sure[0]["controls"])
            mean = sum(row["unique"] for row in rows) / len(rows)
            sentences.append(
                f"{labels[space]} explains variance beyond {controls} in {len(sure)} of {len(rows)} people, over all "
                f"voxels (mean R2 {number(mean, 4)}; p < .05 after Bonferroni over people and spaces)."
            )
    if found and not sentences:
        sentences.append("Beyond the controls no space explains variance over all voxels of anybody (Bonferroni).")
    return sentences
