"""What one person's brain answered: trials × voxels, what was shown in each trial, where the voxels lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["Recording", "SurfaceMesh", "VolumeGrid"]


@dataclass(frozen=True, eq=False)
class VolumeGrid:
    """Where the voxels of a recording lie in a volume.

    Attributes
    ----------
    ijk : int32 array of shape (n_voxels, 3)
        Indices into the volume, from 0.
    affine : float array of shape (4, 4)
        From indices to millimetres (RAS+), as in NIfTI.
    shape : tuple of three ints
        Size of the volume.
    space : str or None
        Name of the space, as BIDS spells it (``"MNI152NLin2009cAsym"``); None: the person's own.
    """

    ijk: NDArray[np.int32]
    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    space: str | None = None

    def __len__(self) -> int:
        return len(self.ijk)

    def coordinates(self) -> NDArray[np.float64]:
        """Millimetres of the centres of the voxels, (n_voxels, 3)."""
        return self.ijk @ self.affine[:3, :3].T + self.affine[:3, 3]

    def volume(self, values: ArrayLike, *, fill: float = np.nan) -> NDArray[np.float32]:
        """One value per voxel, laid out in the volume; elsewhere `fill`."""
        filled = np.full(self.shape, fill, np.float32)
        filled[tuple(self.ijk.T)] = np.asarray(values, np.float32)
        return filled

    def select(self, voxels: NDArray[np.bool_] | NDArray[np.intp]) -> VolumeGrid:
        """Only these voxels."""
        return replace(self, ijk=self.ijk[voxels])


@dataclass(frozen=True, eq=False)
class SurfaceMesh:
    """Which vertices of a surface a recording has.

    Attributes
    ----------
    vertices : int32 array of shape (n_voxels,)
        Places in the mesh of the hemisphere, from 0.
    right : bool array of shape (n_voxels,)
        False: left hemisphere.
    mesh_sizes : tuple of two ints
        Vertices of the whole left and right mesh.
    space : str or None
        Name of the mesh, as BIDS spells it (``"fsaverage5"``); None: the person's own.
    """

    vertices: NDArray[np.int32]
    right: NDArray[np.bool_]
    mesh_sizes: tuple[int, int]
    space: str | None = None

    def __len__(self) -> int:
        return len(self.vertices)

    def hemispheres(
        self, values: ArrayLike, *, fill: float = np.nan
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One value per vertex of the recording, laid out on the whole left and right mesh; elsewhere `fill`."""
        given = np.asarray(values, np.float32)
        sides = []
        for size, chosen in zip(self.mesh_sizes, (~self.right, self.right), strict=True):
            filled = np.full(size, fill, np.float32)
            filled[self.vertices[chosen]] = given[chosen]
            sides.append(filled)
        return sides[0], sides[1]

    def select(self, voxels: NDArray[np.bool_] | NDArray[np.intp]) -> SurfaceMesh:
        """Only these vertices."""
        return replace(self, vertices=self.vertices[voxels], right=self.right[voxels])


@dataclass(frozen=True, eq=False)
class Recording:
    """The responses of one person, whatever file they came from.

    Attributes
    ----------
    subject : str
        Name of the person, unique in a study (``"sub-01"``).
    responses : float32 array of shape (n_trials, n_voxels)
        One row per presentation; a voxel is a column, be it of a volume or of a surface.
    trials : DataFrame of n_trials rows
        Index 0 .. n_trials - 1. Columns ``stimulus`` (text: the id, or the label of the file until it is matched),
        ``run`` (whole number, distinct over all sessions), ``session`` (whole number), and whatever else the file
        says (``block``, ``onset`` and ``duration`` in seconds).
    geometry : VolumeGrid, SurfaceMesh or None
        Where the voxels lie; None where the file does not say.
    rois : dict from name to bool array of shape (n_voxels,)
        Regions; they may overlap.
    source : str
        File or folder, for messages.

    Raises
    ------
    InputError
        Where the parts do not fit each other.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a", "b"], "run": [1, 2], "session": [1, 1]})
    >>> Recording("sub-01", np.zeros((2, 5), np.float32), trials)
    <Recording sub-01: 2 trials of 2 stimuli in 2 runs, 5 voxels>
    """

    subject: str
    responses: NDArray[np.float32]
    trials: pd.DataFrame
    geometry: VolumeGrid | SurfaceMesh | None = None
    rois: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        def fault(problem: str, remedy: str) -> InputError:
            return InputError(problem, source=self.source or self.subject, remedy=remedy)

        if self.responses.ndim != 2 or 0 in self.responses.shape:
            raise fault(
                f"the responses have the shape {self.responses.shape}", "give trials × voxels, at least one each"
            )
        n_trials, n_voxels = self.responses.shape
        if len(self.trials) != n_trials:
            raise fault(f"{len(self.trials)} rows describe {n_trials} trials", "give one row per trial, in their order")
        missing = [name for name in ("stimulus", "run", "session") if name not in self.trials.columns]
        if missing:
            raise fault(f"the trials have no column '{missing[0]}'", "add it")
        if self.geometry is not None and len(self.geometry) != n_voxels:
            raise fault(f"places of {len(self.geometry)} voxels are given for {n_voxels}", "give one per voxel")
        wrong = [name for name, roi in self.rois.items() if roi.shape != (n_voxels,) or roi.dtype != np.bool_]
        if wrong:
            raise fault(
                f"the regions {cut_short(wrong)} are no masks over {n_voxels} voxels", "give one bool per voxel"
            )

    def __repr__(self) -> str:
        n_trials, n_voxels = self.responses.shape
        stimuli, runs = self.trials["stimulus"].nunique(), self.trials["run"].nunique()
        return f"<Recording {self.subject}: {n_trials} trials of {stimuli} stimuli in {runs} runs, {n_voxels} voxels>"

    @property
    def n_voxels(self) -> int:
        """Columns of the responses."""
        return int(self.responses.shape[1])

    def select_trials(self, trials: NDArray[np.bool_] | NDArray[np.intp]) -> Recording:
        """Only these trials, numbered anew."""
        return replace(self, responses=self.responses[trials], trials=self.trials.iloc[trials].reset_index(drop=True))

    def select_voxels(self, voxels: NDArray[np.bool_] | NDArray[np.intp]) -> Recording:
        """Only these voxels, with their places and regions."""
        return replace(
            self,
            responses=self.responses[:, voxels],
            geometry=None if self.geometry is None else self.geometry.select(voxels),
            rois={name: roi[voxels] for name, roi in self.rois.items()},
        )
