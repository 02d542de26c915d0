"""The papers behind the methods: cited where a method ran, listed in the order in which they are cited."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Citations", "Reference"]


class Reference(NamedTuple):
    """A paper: how it is cited, how it is listed, and where it is."""

    short: str
    full: str
    address: str | None = None


@cache
def _references() -> Mapping[str, Reference]:
    """Every paper that methods cite, by its key."""
    listed = files("affectome.report").joinpath("references.toml").read_text("utf-8")
    return {key: Reference(**paper) for key, paper in tomllib.loads(listed).items()}


class Citations:
    """Cites papers by their keys and remembers which."""

    def __init__(self) -> None:
        self._cited: dict[str, Reference] = {}

    def __call__(self, *keys: str) -> str:
        """The citation of some papers, in brackets."""
        self._cited |= {key: _references()[key] for key in keys}
        return f"({'; '.join(_references()[key].short for key in keys)})"

    @property
    def listed(self) -> list[Reference]:
        """What was cited, in the order of the first time."""
        return list(self._cited.values())
