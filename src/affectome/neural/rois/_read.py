"""Regions from whatever file they are in."""

from __future__ import annotations

import os
import re
from pathlib import Path

from affectome.errors import InputError
from affectome.neural.recordings import Recording
from affectome.neural.rois._groups import group_regions
from affectome.neural.rois._images import Labels, regions_from_image
from affectome.neural.rois._surfaces import regions_from_surface

__all__ = ["read_regions"]

_LEFT = re.compile(r"(?<![A-Za-z0-9])(lh|hemi-L|L)(?![A-Za-z0-9])")
_RIGHT = {"lh": "rh", "hemi-L": "hemi-R", "L": "R"}


def read_regions(
    path: str | os.PathLike[str],
    recording: Recording,
    *,
    labels: Labels | None = None,
    threshold: float | None = None,
    resample: bool = False,
) -> Recording:
    """Add regions to a recording from a file, read as its extension says.

    ``.nii`` and ``.nii.gz`` are label images (:func:`regions_from_image`; a ``.tsv`` of the same name gives the names
    where `labels` does not); ``.gii`` and ``.annot`` surface atlases (:func:`regions_from_surface`; give the left file,
    the right one has ``rh`` for ``lh``, ``hemi-R`` for ``hemi-L`` or ``R`` for ``L``); ``.toml`` groups of the regions
    the recording has (:func:`group_regions`).

    Parameters
    ----------
    path
    recording
    labels, threshold, resample
        For label images alone.

    Raises
    ------
    InputError
        When the extension is another, the right hemisphere is not there, or as the readers say.
    """
    source = Path(path)
    name = source.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        beside = source.with_name(source.name[: name.rindex(".nii")] + ".tsv")
        names = beside if labels is None and beside.exists() else labels
        return regions_from_image(recording, source, names, threshold=threshold, resample=resample)
    if labels is not None or threshold is not None or resample:
        raise InputError(
            "labels, threshold and resampling are for label images", source=source, remedy="leave them out"
        )
    if name.endswith(".toml"):
        return group_regions(recording, source)
    if name.endswith((".gii", ".annot")):
        return regions_from_surface(recording, source, _other_hemisphere(source))
    raise InputError(
        f"has the extension '{source.suffix}'",
        source=source,
        remedy="give regions as .nii, .nii.gz, .label.gii, .annot or .toml",
    )


def _other_hemisphere(left: Path) -> Path:
    found = _LEFT.search(left.name)
    if not found:
        raise InputError(
            "does not say in its name that it is the left hemisphere",
            source=left,
            remedy="name the pair with lh and rh, hemi-L and hemi-R, or L and R",
        )
    right = left.with_name(left.name[: found.start()] + _RIGHT[found[1]] + left.name[found.end() :])
    if not right.exists():
        raise InputError("the right hemisphere is not there", source=right, remedy="put it beside the left one")
    return right
