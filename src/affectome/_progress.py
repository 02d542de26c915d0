"""How long work says how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


class Progress(Protocol):
    """A callable told how much is done: ``progress(3, 40, detail="objective 0.41")``."""

    def __call__(self, done: int, total: int, /, *, detail: str = "") -> None: ...


def silent(done: int, total: int, /, *, detail: str = "") -> None:
    """Hear progress and say nothing."""
