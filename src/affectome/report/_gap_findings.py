"""What a study found of the gap between behaviour and brain: each claim with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from affectome.report._telling import counted, interval, known, labels_of, p_text

__all__ = ["gap_findings"]

_OPEN = ("undecided", "too few people")


def gap_findings(summary: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """The sentences, and from which tests they are; a claim without a verdict is counted and not told."""
    claims = _claims(summary.get("gap", {}))
    if not claims:
        return (), ""
    labels = labels_of(summary)
    told = [_claim(row, labels) for row in claims if row["verdict"] not in _OPEN]
    left = [row for row in claims if row["verdict"] in _OPEN]
    if left:
        many = f"{len(left)} of {counted(len(claims), 'claim')}"
        told.append(f"{many} stay{'s' if len(left) == 1 else ''} open, undecided or with too few people to say.")
    how = (
        "Difference with its jackknife interval; q: Benjamini-Hochberg over the claims; a verdict is stated by the "
        "rule in the methods. “Matched”: every space cut to the same number of principal components."
    )
    return tuple(told), how


def _claims(gap: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = gap.get("claims", {})
    rows: list[Mapping[str, Any]] = found.get("claims", []) if isinstance(found, Mapping) else found
    return rows


def _claim(row: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    first, second = labels[row["first"]], labels[row["second"]]
    above, below = (first, second) if (row["difference"] or 0) > 0 else (second, first)
    size = None if row["difference"] is None else abs(row["difference"])
    ends = sorted(abs(row[end]) for end in ("ci_low", "ci_high") if row[end] is not None)
    bounds = interval({"ci_low": ends[0], "ci_high": ends[1]}) if len(ends) == 2 else ""
    people = ""
    if row.get("n_subjects"):
        n = row["n_above"] if (row["difference"] or 0) > 0 else row["n_below"]
        people = f", in {n:.0f} of {row['n_subjects']:.0f} people"
    matched = ", matched" if row["matched"] else ""
    return (
        f"{above} above {below} ({row['measure']}{', ' + row['where'] if row['where'] else ''}{matched}: difference "
        f"{known(size)} {bounds}{people}, {p_text(row['q'], 'q')})."
    )
