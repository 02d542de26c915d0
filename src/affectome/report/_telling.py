"""Numbers and names as sentences and tables of a page say them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Labels", "counted", "interval", "joined", "known", "labels_of", "number", "p_text", "percent", "small"]


class Labels(dict[str, str]):
    """What systems are called; a space that is no system goes by its name."""

    def __missing__(self, name: str) -> str:
        return name


def labels_of(summary: Mapping[str, Any]) -> Labels:
    """What the systems of a summary are called."""
    return Labels({name: system["label"] for name, system in summary["systems"].items()})


def number(value: float, digits: int = 3) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def known(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else number(value, digits)


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f}%".replace("-", "−")


def small(value: float) -> str:
    """A probability that may be tiny."""
    if value == 0:
        return "< 1e-300"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def p_text(value: float | None, name: str = "p") -> str:
    """A probability with its name."""
    if value is None:
        return f"{name} undefined"
    return f"{name} {small(value)}" if value == 0 else f"{name} = {small(value)}"


def interval(row: Mapping[str, Any], digits: int | None = 3, low: str = "ci_low", high: str = "ci_high") -> str:
    """The ends of an interval in brackets; in percent where `digits` is None; empty where it is undefined."""
    ends = row.get(low), row.get(high)
    if any(end is None for end in ends):
        return ""
    told = [percent(end) if digits is None else number(end, digits) for end in ends if end is not None]
    return f"[{told[0]}, {told[1]}]"


def joined(words: Iterable[str]) -> str:
    """Words in a row, as a sentence lists them."""
    told = list(words)
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def counted(n: int, word: str) -> str:
    """A number of things."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"
