"""Finished parts of a selection on disk, so that a stop loses only what was in progress."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from affectome._files import read_json, write_json
from affectome.errors import InputError
from affectome.triplets import TripletSet

__all__ = ["FinishedPaths", "selection_key"]


def selection_key(trials: TripletSet, settings: dict[str, Any]) -> str:
    """SHA-256 over the ids, the triplets in the order shown, the answers and the settings of a selection."""
    digest = hashlib.sha256(json.dumps([list(trials.ids), settings], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(trials.triplets, "<i4").tobytes())
    digest.update(trials.choice.tobytes())
    if trials.probabilities is not None:
        digest.update(np.ascontiguousarray(trials.probabilities, "<f4").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class FinishedPaths:
    """The scores of one fold and number of components per file, each with the key of its selection.

    Attributes
    ----------
    folder
        Where the files lie.
    key
        Files of another key are of other triplets or settings: they are not read, and written over in time.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> known = FinishedPaths(mkdtemp(), "key")
    >>> known.write((1, 30), pd.DataFrame({"l1": [0.01], "accuracy": [0.9]}))
    >>> list(known.read()), list(FinishedPaths(known.folder, "another key").read())
    ([(1, 30)], [])
    """

    folder: str | os.PathLike[str]
    key: str

    def write(self, path: tuple[int, int], scores: pd.DataFrame) -> None:
        """Keep the scores of a path, (fold, number of components); the file is whole or not there."""
        fold, n_components = path
        content = {"key": self.key, "fold": fold, "n_components": n_components, "scores": scores.to_dict("records")}
        write_json(Path(self.folder) / f"fold-{fold}-components-{n_components}.json", content)

    def read(self) -> dict[tuple[int, int], pd.DataFrame]:
        """All paths of this key; a damaged file counts as none."""
        known = {}
        for file in sorted(Path(self.folder).glob("fold-*-components-*.json")):
            with suppress(InputError, KeyError):
                content = read_json(file)
                if content["key"] == self.key:
                    path = int(content["fold"]), int(content["n_components"])
                    known[path] = pd.DataFrame(content["scores"])
        return known
