"""What a searchlight is given: patterns of one person, neighbourhoods of voxels, and the geometry of spaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BrainMetric", "Correlations", "ModelGeometry", "ModelMetric", "Neighbourhoods", "Patterns"]

ModelMetric = Literal["correlation", "cosine", "dot", "euclidean", "sqeuclidean"]
BrainMetric = Literal["correlation", "cosine", "euclidean", "sqeuclidean"]


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Which voxels belong to each centre, in compressed rows.

    Attributes
    ----------
    starts : int64 array of shape (n_centres + 1,)
        The voxels of centre c are ``voxels[starts[c] : starts[c + 1]]``.
    voxels : int32 array
        Columns of the responses, ascending within a centre.
    centres : int32 array of shape (n_centres,) or None
        The voxel at each centre; None for parcels, which have none.
    names : tuple of str
        Of parcels; empty for spheres and discs.
    radius : float
        0 for parcels.
    unit : "voxel", "mm" or ""
    n_left_out : int
        Centres or parcels that had too few voxels.
    """

    starts: NDArray[np.int64]
    voxels: NDArray[np.int32]
    centres: NDArray[np.int32] | None = None
    names: tuple[str, ...] = ()
    radius: float = 0.0
    unit: Literal["voxel", "mm", ""] = ""
    n_left_out: int = 0

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, centre: int) -> NDArray[np.int32]:
        return self.voxels[self.starts[centre] : self.starts[centre + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[centre] for centre in range(len(self)))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Voxels of each centre, (n_centres,)."""
        return np.diff(self.starts)


@dataclass(frozen=True, eq=False)
class Patterns:
    """One response pattern per stimulus.

    Attributes
    ----------
    subject : str
    ids : tuple of str
        The stimuli, n of them.
    responses : float32 array of shape (n, n_voxels)
    run : intp array of shape (n,) or None
        The run that each stimulus was shown in, as codes 0 .. n_runs - 1, so that pairs within a run can be left out;
        None where pairs within runs count like all others.
    """

    subject: str
    ids: tuple[str, ...]
    responses: NDArray[np.float32]
    run: NDArray[np.intp] | None = None


@dataclass(frozen=True, eq=False)
class ModelGeometry:
    """Similarities (or negative dissimilarities) of stimuli in one space.

    Attributes
    ----------
    name : str
    metric : str
    factors : float64 array of shape (n, k) or None
        The similarity of stimuli i and j is ``sum_k signs[k] factors[i, k] factors[j, k]``. None for a dense geometry.
    signs : float64 array of shape (k,) or None
        +1 or -1.
    dense : float32 array of shape (n, n) or None
        Similarities, where they are not of low rank.
    """

    name: str
    metric: str
    factors: NDArray[np.float64] | None = None
    signs: NDArray[np.float64] | None = None
    dense: NDArray[np.float32] | None = None


class Correlations(Protocol):
    """Correlations over the same pairs of stimuli: of every centre with every model, and of the models."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names."""

    @property
    def n_pairs(self) -> int:
        """Pairs of stimuli that count."""

    @property
    def r(self) -> NDArray[np.float64]:
        """(n_centres, n_models)."""

    @property
    def model_r(self) -> NDArray[np.float64]:
        """(n_models, n_models)."""
