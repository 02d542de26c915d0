"""Regions from a surface atlas: GIFTI labels or FreeSurfer annotations, on the vertices of a recording."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings import Recording, SurfaceMesh
from affectome.neural.rois._images import add_regions
from affectome.neural.rois._names import Side, sided_name

__all__ = ["regions_from_surface"]

#: Names by which atlases mark what is no cortex.
_NOT_CORTEX = {"", "???", "unknown", "medial_wall", "medial wall", "medialwall"}


def regions_from_surface(
    recording: Recording, left: str | os.PathLike[str], right: str | os.PathLike[str]
) -> Recording:
    """Add the regions of a surface atlas to a recording.

    Parameters
    ----------
    recording
        With a :class:`SurfaceMesh`.
    left, right
        One file per hemisphere on the recording's mesh: GIFTI labels (``.label.gii``) or FreeSurfer (``.annot``).

    Returns
    -------
    Recording
        With the new masks after those it had. A name that does not say its side gets ``lh.`` or ``rh.`` before it;
        what an atlas calls unknown or medial wall is no region. Regions without a vertex in the recording are named
        in the log and left out.

    Raises
    ------
    InputError
        When a file is no atlas, has another number of vertices than the mesh, or names two regions alike.
    """
    mesh = recording.geometry
    if not isinstance(mesh, SurfaceMesh):
        raise InputError(
            "a surface atlas needs a recording of surface vertices",
            source=left,
            remedy="use a label image for a recording of voxels",
        )
    masks: dict[str, NDArray[np.bool_]] = {}
    sides: tuple[tuple[Side, str | os.PathLike[str], bool], ...] = (("left", left, False), ("right", right, True))
    for side, path, is_right in sides:
        labels, names = _read_labels(Path(path))
        size = mesh.mesh_sizes[int(is_right)]
        if len(labels) != size:
            raise InputError(
                f"has {len(labels)} vertices and the {side} mesh of the recording {size}",
                source=path,
                remedy="give the atlas on the recording's mesh",
            )
        here = np.full(recording.n_voxels, -1, np.int64)
        chosen = mesh.right == is_right
        here[chosen] = labels[mesh.vertices[chosen]]
        for label, name in names.items():
            full = sided_name(name, side)
            if full in masks:
                raise InputError(f"two labels have the name '{full}'", source=path, remedy="rename one of them")
            masks[full] = here == label
    if not masks:
        raise InputError("names no region", source=left, remedy="give an atlas with a label table")
    return add_regions(recording, masks, f"{os.fspath(left)} and {os.fspath(right)}")


def _read_labels(path: Path) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The label of each vertex, and the names of the labels of cortex."""
    try:
        labels, pairs = _read_annotation(path) if path.suffix.lower() == ".annot" else _read_gifti(path)
    except InputError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # the readers raise whatever a damaged file makes them stumble over
        raise InputError(
            "is no whole surface atlas", source=path, remedy="give GIFTI labels (.label.gii) or an .annot file"
        ) from error
    names = {key: name for key, name in pairs if name.strip().lower() not in _NOT_CORTEX}
    unnamed = sorted(set(np.unique(labels).tolist()) - {key for key, _ in pairs} - {-1, 0})
    if unnamed:
        raise InputError(
            f"the labels {cut_short(list(map(str, unnamed)))} have no name", source=path, remedy="name them"
        )
    if len(set(names.values())) < len(names):
        twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
        raise InputError(f"two labels have the name '{twice}'", source=path, remedy="rename one of them")
    return labels, names


def _read_annotation(path: Path) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    from nibabel.freesurfer.io import read_annot

    labels, _, names = read_annot(path)
    return np.asarray(labels, np.int64), [(k, name.decode("utf-8", "replace")) for k, name in enumerate(names)]


def _read_gifti(path: Path) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    import nibabel

    image = nibabel.load(path)
    if not isinstance(image, nibabel.GiftiImage) or len(image.darrays) != 1:
        raise InputError("is no GIFTI file of one array of labels", source=path, remedy="give a .label.gii file")
    labels = image.darrays[0].data
    if labels.ndim != 1 or np.any(labels != np.rint(labels)):
        raise InputError("holds values that are no labels", source=path, remedy="give a .label.gii file")
    pairs = [(int(label.key), str(label.label or "")) for label in image.labeltable.labels]
    return labels.astype(np.int64), pairs
