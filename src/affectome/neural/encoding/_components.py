"""Where in the brain each component of a space weighs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._masks import checked_mask, checked_regions
from affectome.neural.encoding._result import Encoding
from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid

__all__ = ["ComponentMaps", "component_maps", "kept_voxels"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ComponentMaps:
    """Weights of every component in every voxel of one person, scaled to -1 .. 1.

    Attributes
    ----------
    subject, space : str
    features : tuple of str
        The components.
    weights : float32 array of shape (n_features, n_voxels)
        Weight over the largest absolute weight of the component; NaN in voxels left out.
    scale : float array of shape (n_features,)
        That largest absolute weight, in units of the response per s.d. of the component.
    kept : bool array of shape (n_voxels,)
        Voxels that were not left out.
    profiles : DataFrame, index the components, columns the regions
        Mean scaled weight over the kept voxels of a region; NaN where it has none.
    n_voxels : Series, index the regions
        Kept voxels of each.
    geometry : VolumeGrid, SurfaceMesh or None
    """

    subject: str
    space: str
    features: tuple[str, ...]
    weights: NDArray[np.float32]
    scale: NDArray[np.float64]
    kept: NDArray[np.bool_]
    profiles: pd.DataFrame
    n_voxels: pd.Series[int]
    geometry: VolumeGrid | SurfaceMesh | None

    def select_voxels(self, voxels: NDArray[np.bool_] | NDArray[np.intp]) -> ComponentMaps:
        """Only these voxels, for example those that all people have; scale and profiles stay those of all."""
        return replace(
            self,
            weights=self.weights[:, voxels],
            kept=self.kept[voxels],
            geometry=None if self.geometry is None else self.geometry.select(voxels),
        )

    def table(self) -> pd.DataFrame:
        """One row per component and region: subject, space, component, region, weight, n_voxels."""
        n_components, n_regions = self.profiles.shape
        return pd.DataFrame(
            {
                "subject": self.subject,
                "space": self.space,
                "component": np.repeat(self.profiles.index.to_numpy(), n_regions),
                "region": np.tile(self.profiles.columns.to_numpy(), n_components),
                "weight": self.profiles.to_numpy().ravel(),
                "n_voxels": np.tile(self.n_voxels.to_numpy(), n_components),
            }
        )


def component_maps(
    encoding: Encoding,
    recording: Recording,
    *,
    mask: NDArray[np.bool_] | None = None,
    rois: Mapping[str, NDArray[np.bool_]] | None = None,
) -> ComponentMaps:
    r"""Scale the weights of an encoding to maps, and average them in regions.

    Parameters
    ----------
    encoding, recording
        The recording that was encoded.
    mask : bool array of shape (n_voxels,), optional
        Voxels to show, usually those predicted significantly. By default all that have an r.
    rois : mapping from region to bool array of shape (n_voxels,)
        By default the regions of the recording; without any, there are no profiles.

    Returns
    -------
    ComponentMaps

    Notes
    -----
    .. math:: m_{cv} = w_{cv} / \max_{u \in \mathrm{kept}} |w_{cu}|

    with w the mean over folds of the coefficients on features of unit variance. A map says where a component weighs
    more than elsewhere, not whether it weighs more than another component: for that there is `scale`. The scale is
    that of one voxel; correlations of maps (:func:`component_consistency`) do not depend on it. Nothing is tested
    here. Weights of correlated components share what either could explain, and ridge pulls all towards 0.

    Examples
    --------
    >>> from affectome.neural.encoding._result import FoldModel
    >>> trials = pd.DataFrame({"stimulus": list("ab"), "run": [1, 2], "session": [1, 1]})
    >>> rois = {"V1": np.array([True, True, False])}
    >>> recording = Recording("sub-01", np.eye(2, 3, dtype="float32"), trials, rois=rois)
    >>> weights, none = np.array([[0.5, -1.0, 2.0]], "float32"), np.empty((0, 3), "float32")
    >>> encoding = Encoding("sub-01", "mllm", ("Joy",), np.arange(2), np.ones((2, 1), "float32"), np.arange(2),
    ...                     np.ones(3), none, np.ones(1), none, (0, 0), weights, ())  # stands for encode(...)
    >>> found = component_maps(encoding, recording)
    >>> found.weights.tolist(), found.profiles.loc["Joy", "V1"].item()
    ([[0.25, -0.5, 1.0]], -0.125)
    """
    kept = kept_voxels(encoding, recording, mask)
    source = recording.source or recording.subject
    regions = checked_regions(recording.rois if rois is None else rois, len(kept), source=source)
    given = encoding.weights.astype(np.float64)
    scale = np.abs(given[:, kept]).max(axis=1)
    silent_ones = [name for name, largest in zip(encoding.features, scale, strict=True) if largest == 0]
    if silent_ones:
        logger.warning(
            "%d components of '%s' weigh nothing in any voxel of %s: %s.",
            len(silent_ones), encoding.space, encoding.subject, cut_short(silent_ones),
        )  # fmt: skip
    weights = given / np.where(scale == 0, 1.0, scale)[:, None]
    weights[:, ~kept] = np.nan
    inside = {name: roi & kept for name, roi in regions.items()}
    profiles = np.full((len(weights), len(regions)), np.nan)
    for place, roi in enumerate(inside.values()):
        if roi.any():
            profiles[:, place] = weights[:, roi].mean(axis=1)
    names = pd.Index(list(regions), name="region", dtype=object)
    return ComponentMaps(
        subject=encoding.subject,
        space=encoding.space,
        features=encoding.features,
        weights=weights.astype(np.float32),
        scale=scale,
        kept=kept,
        profiles=pd.DataFrame(profiles, index=pd.Index(encoding.features, name="component"), columns=names),
        n_voxels=pd.Series([int(roi.sum()) for roi in inside.values()], index=names, name="n_voxels", dtype=int),
        geometry=recording.geometry,
    )


def kept_voxels(encoding: Encoding, recording: Recording, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Voxels of the mask that have an r and weights."""
    n_voxels = recording.n_voxels
    if encoding.subject != recording.subject or encoding.weights.shape[1] != n_voxels:
        raise InputError(
            f"the encoding by {encoding.space} is of {encoding.subject} with {encoding.weights.shape[1]} voxels, "
            f"the recording of {recording.subject} with {n_voxels}",
            source=recording.source or recording.subject,
            remedy="give the recording that was encoded",
        )
    kept: NDArray[np.bool_] = np.isfinite(encoding.r) & np.isfinite(encoding.weights).all(axis=0)
    kept &= checked_mask(mask, n_voxels, source=recording.source or recording.subject)
    if not kept.any():
        raise InputError(
            "no voxel is left to map",
            source=recording.source or recording.subject,
            remedy="give a mask that holds a voxel that is predicted",
        )
    return kept
