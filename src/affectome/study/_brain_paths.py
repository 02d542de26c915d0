"""Where stages of people and spaces keep their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.study._brain import BrainReading
from affectome.study._brain_maps import SIGNIFICANT

__all__ = [
    "folder_of",
    "kept_encoding",
    "leading_regions",
    "predicted_by_any",
    "read_tables",
    "voxel_table",
    "voxels_of",
]

_TOLD = 5  # regions that a summary names


def folder_of(reading: BrainReading, *parts: str) -> str:
    """A folder, or a file, of the results."""
    return "/".join([reading.asked.prefix, *parts] if reading.asked.prefix else parts)


def kept_encoding(reading: BrainReading, subject: str, space: str) -> str:
    """Where the encoding of a person by a space lies."""
    return folder_of(reading, subject, space, "encoding.npz")


def voxels_of(reading: BrainReading, subject: str, space: str) -> str:
    """Where r, p and q of every voxel lie."""
    return folder_of(reading, subject, space, "voxels.csv")


def voxel_table(reading: BrainReading, subject: str, space: str) -> pd.DataFrame:
    """What :func:`voxels_of` holds."""
    table: pd.DataFrame = pd.read_csv(reading.asked.out / voxels_of(reading, subject, space))
    return table


def predicted_by_any(reading: BrainReading, subject: str) -> NDArray[np.bool_]:
    """Voxels that any of the spaces predicts, so that the mask favours none of them."""
    each = [voxel_table(reading, subject, name)["q"] < SIGNIFICANT for name in reading.asked.spaces]
    found: NDArray[np.bool_] = np.any(each, axis=0)
    return found


def read_tables(reading: BrainReading, paths: Sequence[str]) -> pd.DataFrame:
    """Tables of several people or spaces, one below the other."""
    texts: dict[Any, Any] = dict.fromkeys(("subject", "space", "region", "reference"), str)
    parts = [
        pd.read_csv(reading.asked.out / path, dtype=texts, keep_default_na=False, na_values=[""]) for path in paths
    ]
    return pd.concat(parts, ignore_index=True)


def leading_regions(table: pd.DataFrame, score: str) -> list[dict[Any, Any]]:
    """The rows of the regions with the largest scores, for a summary."""
    return table.sort_values(score, ascending=False, na_position="last").head(_TOLD).to_dict("records")
