"""What is made of spaces alone, kept for the next searchlight of the process: it is often about the same spaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from affectome.neural.searchlight._io import content_key
from affectome.neural.searchlight._models import stored_geometry

if TYPE_CHECKING:
    from affectome.neural.searchlight._scorers import Asked

__all__ = ["kept"]

Made = TypeVar("Made")

#: By kind, the last that was made, and the content it was made of.
_LAST: dict[str, tuple[str, Any]] = {}


def kept(kind: str, asked: Asked, make: Callable[[], Made]) -> Made:
    """What the spaces and the pairs that count decide: made once for centres and regions, and for people alike.

    Ranking the pairs of five spaces of 2,180 stimuli, and the moments of their ranks, take some 6 s.
    """
    facts = [f"{model.name} {model.metric}" for model in asked.models]
    runs = np.empty(0) if asked.blocks.run is None else asked.blocks.run
    arrays = [part for model in asked.models for part in stored_geometry(model)]
    key = content_key(f"{asked.blocks.n}", *facts, runs, *arrays)
    if kind not in _LAST or _LAST[kind][0] != key:
        _LAST.pop(kind, None)  # its memory is free before the next is made
        _LAST[kind] = key, make()
    made: Made = _LAST[kind][1]
    return made
