"""What a study found of the gap between behaviour and brain: each claim with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectome.report._telling import Labels, counted, interval, known, labels_of, p_text

__all__ = ["gap_claims", "gap_findings"]

_OPEN = ("undecided", "too few people")
_MEASURES = {"choices": "choices of", "encoding": "encoding in", "rsa": "geometry in",
             "rsa_beyond_controls": "geometry beyond the controls in"}  # fmt: skip


def gap_findings(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The claims of the headline place, and how they are tested; one without a verdict is counted and not told."""
    found = summary.get("gap", {}).get("claims")
    if not found or not found["claims"]:
        return (), ""
    claims, labels, shown = found["claims"], _labels(summary), _shown(found)
    told = [_claim(row, labels) for row in shown if row["verdict"] not in _OPEN]
    still_open = sum(row["verdict"] in _OPEN for row in shown)
    if still_open:
        told.append(
            f"{still_open} of {counted(len(shown), 'claim')} {'stays' if still_open == 1 else 'stay'} open: "
            "undecided, or too few people."
        )
    if len(shown) < len(claims):
        told.append(f"{counted(len(claims) - len(shown), 'claim')} about other places: see the table of claims.")
    how = (
        f"{found['rule']} {found['correction']} In brackets: jackknife intervals of the difference. “Matched”: every "
        "space cut to the same number of principal components."
    )
    return tuple(told), how


def gap_claims(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The same claims as rows of a table, also those that stay open."""
    found = summary.get("gap", {}).get("claims")
    labels = _labels(summary)
    return [
        {
            "spaces": f"{labels[row['first']]} − {labels[row['second']]}",
            "measure": _measured(row, labels),
            "size": "matched" if row["matched"] else "full",
            "difference": f"{known(row['difference'])} {interval(row)}".strip(),
            "people": f"{row['n_above']:.0f} / {row['n_below']:.0f} of {row['n_subjects']:.0f}"
            if row.get("n_subjects")
            else "–",
            "q": p_text(row["q"], "q").removeprefix("q = ").removeprefix("q "),
            "verdict": f"{labels[row['first' if (row['difference'] or 0) > 0 else 'second']]} above"
            if row["verdict"] not in _OPEN
            else row["verdict"],
        }
        for row in (_shown(found) if found else [])
    ]


def _labels(summary: Mapping[str, Any]) -> Labels:
    """With those whose choices are predicted."""
    labels = labels_of(summary)
    labels.setdefault("people", summary.get("people", {}).get("label", "people"))
    return labels


def _shown(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Claims about choices and about the headline place."""
    return [row for row in found["claims"] if row["measure"] == "choices" or row["where"] == found["headline"]]


def _measured(row: Mapping[str, Any], labels: Labels) -> str:
    where = "all voxels" if row["where"] == "all" else labels[row["where"]]
    return f"{_MEASURES.get(row['measure'], row['measure'])} {where}"


def _claim(row: Mapping[str, Any], labels: Labels) -> str:
    positive = (row["difference"] or 0) > 0
    above, below = (row["first"], row["second"]) if positive else (row["second"], row["first"])
    size = None if row["difference"] is None else abs(row["difference"])
    sign = 1 if positive else -1
    ends = sorted(sign * row[end] for end in ("ci_low", "ci_high") if row[end] is not None)
    bounds = f" {interval({'ci_low': ends[0], 'ci_high': ends[1]})}" if len(ends) == 2 else ""
    people = ""
    if row.get("n_subjects"):
        n = row["n_above"] if positive else row["n_below"]
        people = f", in {n:.0f} of {row['n_subjects']:.0f} people"
    matched = ", matched" if row["matched"] else ""
    return (
        f"{labels[above]} above {labels[below]} ({_measured(row, labels)}{matched}: "
        f"difference {known(size)}{bounds}{people}, {p_text(row['q'], 'q')})."
    )
