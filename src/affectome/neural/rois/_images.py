"""Regions from a label image, or from one mask per region, on the voxels of a recording."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short, read_table
from affectome.errors import InputError
from affectome.neural.recordings import Recording, VolumeGrid
from affectome.neural.recordings._lattice import lattice_shift

__all__ = ["Labels", "add_regions", "region_labels", "regions_from_image"]

logger = logging.getLogger(__name__)

#: Names of labels: a table with columns ``index`` and ``name`` (as in BIDS; ``label`` and ``value`` are understood
#: too), the path of one, or a mapping.
Labels = pd.DataFrame | Mapping[int, str] | str | os.PathLike[str]

_MNI_CODE = 4


def regions_from_image(
    recording: Recording,
    image: Any,
    labels: Labels | None = None,
    *,
    threshold: float | None = None,
    resample: bool = False,
) -> Recording:
    """Add the regions of a NIfTI image to a recording.

    Parameters
    ----------
    recording
        With a :class:`VolumeGrid`.
    image : path or nibabel image
        Three-dimensional: whole numbers, 0 outside every region. Four-dimensional: one region per volume, counted
        from 1 for `labels`; regions may overlap.
    labels
        Names; without them regions are called ``"label 1"``. Names of labels that the image lacks are ignored.
    threshold
        For four-dimensional images of probabilities: a voxel lies in a region where its value is above it.
    resample
        Take the label whose voxel centre is nearest, where the image has another grid of the same space. Off, its
        voxels must lie where those of the recording do (within 0.1 mm; it may show more or less of the space).

    Returns
    -------
    Recording
        With the new masks after those it had. Labels without a voxel in the recording are named in the log and left
        out.

    Raises
    ------
    InputError
        When the grids or the orientations differ, values are no labels, a label has no name, a name is given twice
        or is that of a region already there, or no voxel of the recording is in any region.

    Examples
    --------
    >>> import nibabel, numpy as np, pandas as pd
    >>> grid = VolumeGrid(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.int32), np.eye(4), (3, 1, 1))
    >>> trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    >>> recording = Recording("sub-01", np.zeros((1, 3), np.float32), trials, grid)
    >>> image = nibabel.Nifti1Image(np.array([1, 1, 2], np.uint8).reshape(3, 1, 1), np.eye(4))
    >>> regions_from_image(recording, image, {1: "V1", 2: "MST"}).rois
    {'V1': array([ True,  True, False]), 'MST': array([False, False,  True])}
    """
    source, loaded = _loaded(image)
    grid = recording.geometry
    if not isinstance(grid, VolumeGrid):
        raise InputError(
            "a label image needs a recording whose voxels have places in a volume",
            source=source,
            remedy="read the recording with its coordinates, or use a surface atlas",
        )
    if loaded.ndim not in (3, 4):
        raise InputError(f"the image has {loaded.ndim} dimensions", source=source, remedy="give three, or four")
    if threshold is not None and loaded.ndim == 3:
        raise InputError("a threshold is for one volume per region", source=source, remedy="leave it out")
    places, inside = _places(loaded, grid, source, resample)
    values = _values(loaded, places, source)
    names = None if labels is None else region_labels(labels)
    masks = _label_masks(values, names, source) if values.ndim == 1 else _mask_set(values, names, threshold, source)
    for mask in masks.values():
        mask &= inside
    return add_regions(recording, masks, source)


def add_regions(recording: Recording, masks: Mapping[str, NDArray[np.bool_]], source: str) -> Recording:
    """The recording with these masks; empty ones are named and left out."""
    empty = [name for name, mask in masks.items() if not mask.any()]
    if len(empty) == len(masks):
        raise InputError(
            f"none of the {recording.n_voxels} voxels of {recording.subject} lies in any of its regions",
            source=source,
            remedy="check that both are in the same space",
        )
    there = [name for name in masks if name in recording.rois]
    if there:
        raise InputError(
            f"the recording already has regions named {cut_short(there)}", source=source, remedy="rename the labels"
        )
    covered = int(np.logical_or.reduce(list(masks.values())).sum())
    logger.info(
        "%s: %d regions hold %d of the %d voxels.", source, len(masks) - len(empty), covered, recording.n_voxels
    )
    if empty:
        logger.warning("%s: %d labels have no voxel in the recording: %s.", source, len(empty), cut_short(empty))
    return replace(recording, rois={**recording.rois, **{name: masks[name] for name in masks if name not in empty}})


def region_labels(labels: Labels) -> dict[int, str]:
    """Names by label, each name once."""
    source = os.fspath(labels) if isinstance(labels, (str, os.PathLike)) else "labels"
    if isinstance(labels, Mapping):
        pairs = [(key, str(name)) for key, name in labels.items()]
    else:
        table = labels if isinstance(labels, pd.DataFrame) else read_table(labels, text_columns=("name", "label"))
        pairs = _table_pairs(table, source)
    blank = [key for key, name in pairs if not name.strip() or name == "nan"]
    if blank:
        raise InputError(f"the label {blank[0]} has no name", source=source, remedy="name it")
    for what, items in (("label", [key for key, _ in pairs]), ("name", [name for _, name in pairs])):
        item, count = Counter(items).most_common(1)[0] if items else ("", 0)
        if count > 1:
            raise InputError(f"the {what} '{item}' is given {count} times", source=source, remedy="rename one of them")
    return dict(pairs)


def _table_pairs(table: pd.DataFrame, source: str) -> list[tuple[int, str]]:
    numbers = next((name for name in ("index", "value") if name in table.columns), None)
    names = next((name for name in ("name", "label") if name in table.columns), None)
    if numbers is None or names is None:
        raise InputError(
            f"has the columns {cut_short(table.columns)}", source=source, remedy="name them 'index' and 'name'"
        )
    whole = pd.to_numeric(table[numbers], errors="coerce")
    wrong = np.flatnonzero(whole.isna() | (whole % 1 != 0))
    if len(wrong):
        raise InputError(
            f"the label '{table[numbers].iloc[wrong[0]]}' is no whole number",
            source=source,
            where=f"row {wrong[0] + 1}",
            remedy="give the value it has in the image",
        )
    return [(int(key), str(name)) for key, name in zip(whole, table[names], strict=True)]


def _loaded(image: Any) -> tuple[str, Any]:
    """What the image is called, and the image."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    if not isinstance(image, (str, os.PathLike)):
        if not hasattr(image, "dataobj") or not hasattr(image, "affine"):
            raise InputError(f"a {type(image).__name__} is no image", remedy="give a path or a nibabel image")
        return str(image.get_filename() or "the label image"), image
    path = Path(image)
    try:
        loaded = nibabel.load(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except ImageFileError as error:
        raise InputError(
            "is no image that nibabel reads, or was cut short", source=path, remedy="give a whole NIfTI image"
        ) from error
    if not hasattr(loaded, "affine"):
        raise InputError("is no volume", source=path, remedy="give a NIfTI image")
    return str(path), loaded


def _values(image: Any, places: NDArray[np.intp], source: str) -> NDArray[Any]:
    """What the image holds at these indices, (n_voxels,) or (n_voxels, n_volumes)."""
    try:
        volume = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError, ImportError) as error:
        raise InputError(
            "cannot be read to its end; the file was cut short or is damaged", source=source, remedy="copy it again"
        ) from error
    values: NDArray[Any] = volume[tuple(places.T)]
    return values


def _places(image: Any, grid: VolumeGrid, source: str, resample: bool) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Indices into the image of each voxel, and whether it lies in the image at all."""
    import nibabel
    from nibabel.affines import voxel_sizes

    shift = lattice_shift(grid, image.affine)
    if shift is not None:
        return _clipped(grid.ijk + shift, image.shape)
    if not resample:
        theirs, ours = ("".join(nibabel.aff2axcodes(affine)) for affine in (image.affine, grid.affine))
        if theirs != ours:
            problem = f"the image is oriented {theirs} and the recording {ours}"
        else:
            sizes = [" × ".join(f"{size:.3g}" for size in voxel_sizes(one)) for one in (image.affine, grid.affine)]
            problem = f"the voxels of the image ({sizes[0]} mm) lie elsewhere than the recording's ({sizes[1]} mm)"
        remedy = "resample it to the recording's grid, taking the nearest voxel (in Python: resample=True)"
        raise InputError(problem, source=source, remedy=remedy)
    if grid.space is None and int(getattr(image, "header", {}).get("sform_code", 0)) == _MNI_CODE:
        raise InputError(
            "the image is in MNI space and the recording in the person's own",
            source=source,
            remedy="bring the atlas into the person's space first",
        )
    exact = (grid.coordinates() - image.affine[:3, 3]) @ np.linalg.inv(image.affine[:3, :3]).T
    return _clipped(np.rint(exact).astype(np.intp), image.shape)


def _clipped(places: NDArray[np.intp], shape: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Indices that are all in the volume, and which were so before."""
    inside = np.all((places >= 0) & (places < np.array(shape[:3])), axis=1)
    return np.where(inside[:, None], places, 0), inside


def _label_masks(values: NDArray[Any], names: Mapping[int, str] | None, source: str) -> dict[str, NDArray[np.bool_]]:
    if not np.all(np.isfinite(values)) or np.any(values != np.rint(values)):
        raise InputError(
            "the image holds values that are no whole numbers",
            source=source,
            remedy="give labels, or probabilities as four dimensions with a threshold",
        )
    here = [int(label) for label in np.unique(values) if label != 0]
    if names is None:
        names = {label: f"label {label}" for label in here}
    unnamed = [label for label in here if label not in names]
    if unnamed:
        raise InputError(
            f"the labels {cut_short(list(map(str, unnamed)))} have no name", source=source, remedy="name them"
        )
    return {name: values == label for label, name in names.items() if label != 0}


def _mask_set(
    values: NDArray[Any], names: Mapping[int, str] | None, threshold: float | None, source: str
) -> dict[str, NDArray[np.bool_]]:
    n_volumes = values.shape[1]
    if names is None:
        names = {k: f"label {k}" for k in range(1, n_volumes + 1)}
    unnamed = [k for k in range(1, n_volumes + 1) if k not in names]
    if unnamed:
        raise InputError(f"the volume {unnamed[0]} of {n_volumes} has no name", source=source, remedy="name it")
    if threshold is None:
        if not np.all((values == 0) | (values == 1)):
            raise InputError(
                "the volumes hold values other than 0 and 1", source=source, remedy="give a threshold between them"
            )
        threshold = 0.5
    return {names[k + 1]: values[:, k] > threshold for k in range(n_volumes)}
