"""Volumes in: NIfTI series or estimates, a mask, tables of what was shown."""

from __future__ import annotations

import itertools
import logging
import os
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._events import read_events, read_trial_table
from affectome.neural.recordings._recording import Recording, VolumeGrid
from affectome.neural.recordings._timed_runs import (
    CutOff,
    Estimate,
    TimedRun,
    agreed_tr,
    check_estimate,
    only_usable,
    per_run,
    run_confounds,
    run_sessions,
    timed_recording,
    varies,
)
from affectome.neural.recordings._trial_estimates import EstimateOptions

__all__ = ["OpenImage", "open_image", "read_mask", "read_nifti", "read_series", "repetition_time", "volume_grid"]

logger = logging.getLogger(__name__)

Image = str | os.PathLike[str] | Any  # a path, or an image of nibabel
Table = str | os.PathLike[str] | pd.DataFrame
#: Places that differ by less than this share of a voxel are the same.
_SAME_PLACE = 0.01
#: A mask of which more than this share falls on empty voxels may be mirrored.
_SUSPICIOUS = 0.05


def read_nifti(
    bold: Image | Sequence[Image],
    events: Table | Sequence[Table],
    *,
    subject: str,
    mask: Image | None = None,
    estimate: Estimate = "window",
    tr: float | None = None,
    confounds: Table | Sequence[Table] | None = None,
    session: int | Sequence[int] = 1,
    label_column: str = "trial_type",
    ignore: Collection[str] = (),
    space: str | None = None,
    cut_off: CutOff = "refuse",
    **options: Unpack[EstimateOptions],
) -> Recording:
    """Read a person's runs from NIfTI.

    Parameters
    ----------
    bold
        One 4-D image per run (paths, or images of nibabel), all on one grid.
    events
        What was shown, one table per run (see :func:`read_events`); with ``estimate="none"`` one row per volume.
    subject
        Name of the person.
    mask
        3-D image on the grid of `bold`, two values, 0 outside. None: every voxel that varies in every run, air
        included; ``nilearn.masking.compute_epi_mask(bold)`` gives one of the brain.
    estimate
        How a response comes about: ``"window"``, ``"lsa"``, ``"lss"`` (see :func:`estimate_trials`), or ``"none"``,
        where the volumes are responses already, one per trial.
    tr
        Seconds from one volume to the next; None: what the header says. A header that says 0 or 1 s, as programs
        write that do not know, is not believed, and one that contradicts `tr` is refused.
    confounds
        One table per run, one row per volume, every column a nuisance series.
    session
        Of each run, or of all.
    label_column, ignore
        See :func:`read_events`.
    space
        Name of the space, as BIDS spells it; None: the person's own.
    cut_off
        Trials whose window lies outside the run: ``"refuse"``, or ``"drop"`` and name them in the log.
    **options
        Further keywords of :func:`estimate_trials`: `delay`, `window`, `baseline`, `hrf_model`, `noise_model`,
        `drift_model`, `high_pass`, `drift_order`, `others`, `slice_time_ref`.

    Returns
    -------
    Recording
        Trials by run and onset; voxels of the mask that are constant or not finite in some run are left out, and the
        log says how many. Geometry is a :class:`VolumeGrid`.

    Raises
    ------
    InputError
        Where a file cannot be read to its end, images differ in grid or orientation, a mask is mirrored, tables do
        not fit.

    Notes
    -----
    Volumes are read one at a time, voxels of the mask kept as float32. Memory: all responses, the series of one run
    (4 bytes x volumes x voxels) and one volume.

    Examples
    --------
    >>> import nibabel, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> bold = nibabel.Nifti1Image(rng.normal(100, 1, (3, 3, 2, 20)).astype(np.float32), np.eye(4))
    >>> events = pd.DataFrame({"onset": [2.0, 18.0], "duration": [6.0, 6.0], "trial_type": ["joy", "awe"]})
    >>> read_nifti(bold, events, subject="sub-01", tr=2.0, baseline="percent")
    <Recording sub-01: 2 trials of 2 stimuli in 1 runs, 18 voxels>
    """
    check_estimate(estimate, cut_off, options)
    given = bold if isinstance(bold, (list, tuple)) else [bold]
    images = [open_image(image, called=f"the image of run {number}") for number, image in enumerate(given, start=1)]
    tables = per_run(events, len(images), "tables of events")
    sessions = run_sessions(session, len(images))
    grid = volume_grid(images, [] if mask is None else [mask], space=space, name=subject)
    source = cut_short([image.name for image in images], 2)
    if estimate == "none":
        refused = [*options, *(name for name, value in (("confounds", confounds), ("tr", tr)) if value is not None)]
        if refused:
            raise InputError(f"{refused[0]} has no meaning where responses are estimated already", remedy="drop it")
        numbered = enumerate(zip(tables, sessions, strict=True), start=1)
        trials = [
            read_trial_table(table, label_column=label_column, run=number, session=of, source=f"table {number}")
            for number, (table, of) in numbered
        ]
        return _estimated(images, trials, grid, subject=subject, source=source)
    nuisance = run_confounds(confounds, len(images))
    runs = [
        TimedRun(
            name=image.name,
            read=partial(read_series, image, grid.ijk),
            events=read_events(table, label_column=label_column, ignore=ignore, source=f"the events of {image.name}"),
            tr=repetition_time(image, tr),
            confounds=series,
            session=of,
        )
        for image, table, series, of in zip(images, tables, nuisance, sessions, strict=True)
    ]
    return timed_recording(
        runs, grid, subject=subject, source=source, method=estimate, cut_off=cut_off, options=options
    )


@dataclass(frozen=True, eq=False)
class OpenImage:
    """A 4-D image of which nothing but the header is read yet."""

    data: Any  # nibabel's array or proxy, (x, y, z, n_scans)
    affine: NDArray[np.float64]
    shape: tuple[int, ...]
    header: Any
    name: str


def open_image(image: Image, *, dimensions: int = 4, called: str = "the image") -> OpenImage:
    """Open an image and check how many dimensions it has."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    opened: Any = image
    if isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        try:
            # Kept open, so that volumes of a compressed file are read in one go from front to back.
            opened = nibabel.load(name, keep_file_open=True)
        except ImageFileError as error:
            raise InputError("is no NIfTI image", source=name, remedy="give a .nii or .nii.gz file") from error
        except OSError as error:
            raise unreadable(name, error) from error
        except (EOFError, zlib.error) as error:
            raise _cut_off_file(name) from error
    else:
        name = opened.get_filename() or called
    shape = tuple(int(size) for size in opened.shape)
    if dimensions == 3 and len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != dimensions:
        what = "one volume over time" if dimensions == 4 else "one volume"
        raise InputError(
            f"has {len(shape)} dimensions {shape}, not {dimensions} ({what})", source=name, remedy="give another image"
        )
    return OpenImage(opened.dataobj, np.asarray(opened.affine, np.float64), shape, opened.header, name)


def read_volume(image: OpenImage, scan: int | None = None) -> NDArray[np.float32]:
    """One volume, (x, y, z)."""
    try:
        values = image.data[..., scan] if scan is not None else np.asanyarray(image.data).reshape(image.shape[:3])
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise _cut_off_file(image.name) from error
    return np.asarray(values, np.float32)


def _cut_off_file(name: str) -> InputError:
    return InputError("cannot be read to its end; the file is cut off or damaged", source=name, remedy="copy it anew")


def read_series(
    image: OpenImage, ijk: NDArray[np.int32], into: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Series of some voxels, (n_scans, n_voxels), `into` an array where one is given."""
    series = np.empty((image.shape[3], len(ijk)), np.float32) if into is None else into
    places = tuple(ijk.T)
    for scan, row in enumerate(series):
        row[:] = read_volume(image, scan)[places]
        if not np.isfinite(row).any():
            raise InputError(
                "holds no finite value in the mask",
                source=image.name,
                where=f"volume {scan + 1}",
                remedy="repair the image or leave the run out",
            )
    return series


def repetition_time(image: OpenImage, given: float | None) -> float:
    """Seconds between volumes, by the header and by what is said beside it."""
    zooms = image.header.get_zooms()
    unit = image.header.get_xyzt_units()[1] if hasattr(image.header, "get_xyzt_units") else "unknown"
    said = float(zooms[3]) * {"msec": 1e-3, "usec": 1e-6}.get(unit, 1.0) if len(zooms) > 3 else 0.0
    return agreed_tr(said, given, image.name)


def volume_grid(images: Sequence[OpenImage], masks: Sequence[Image], *, space: str | None, name: str) -> VolumeGrid:
    """Voxels inside all masks on the grid of the images; without masks those that vary in the first image."""
    first = images[0]
    shape = (first.shape[0], first.shape[1], first.shape[2])
    for other in images[1:]:
        if other.shape[:3] != shape or not _same_places(other.affine, first.affine, shape):
            raise InputError(
                f"lies on another grid than {first.name}: {_grid_text(other)} instead of {_grid_text(first)}",
                source=other.name,
                remedy="resample the runs to one grid, or read them as recordings of their own",
            )
    inside = _shared_mask(masks, first, name) if masks else _varying(first, first.shape[3])
    if not inside.any():
        problem = "the masks of the runs share no voxel" if masks else "no voxel varies over time"
        raise InputError(problem, source=name if masks else first.name, remedy="check the images")
    return VolumeGrid(np.argwhere(inside).astype(np.int32), first.affine, shape, space)


def _shared_mask(masks: Sequence[Image], bold: OpenImage, name: str) -> NDArray[np.bool_]:
    """Voxels inside every mask; how many some mask lacks is logged."""
    inside = any_mask = read_mask(masks[0], bold)
    for mask in masks[1:]:
        other = read_mask(mask, bold)
        inside, any_mask = inside & other, any_mask | other
    lost = int(any_mask.sum() - inside.sum())
    if lost:
        logger.warning(
            "%s: %d of %d voxels lie outside the mask of some run and are left out.", name, lost, any_mask.sum()
        )
    if inside.any():
        _refuse_mirrored(inside, bold)
    return inside


def read_mask(mask: Image, bold: OpenImage) -> NDArray[np.bool_]:
    """A mask on the grid of an image, or a sentence that says how the two differ."""
    image = open_image(mask, dimensions=3, called="the mask")
    if image.shape != bold.shape[:3] or not _same_places(image.affine, bold.affine, image.shape):
        both = f"{_grid_text(image)} against {_grid_text(bold)} of {bold.name}"
        if _same_grid_turned(image, bold):
            raise InputError(
                f"the mask lies on the same grid in another orientation: {both}",
                source=image.name,
                remedy="turn it with nilearn.image.resample_to_img(mask, bold, interpolation='nearest')",
            )
        raise InputError(
            f"the mask lies on another grid: {both}",
            source=image.name,
            remedy="resample it with nilearn.image.resample_to_img(mask, bold, interpolation='nearest')",
        )
    values = read_volume(image)
    levels = np.unique(values)
    if len(levels) > 2 or not np.isfinite(values).all() or (len(levels) == 2 and levels[0] != 0):
        raise InputError(
            f"the mask has the values {cut_short([f'{level:g}' for level in levels])}, not 0 and one other",
            source=image.name,
            remedy="threshold it",
        )
    if not values.any():
        raise InputError("the mask is empty", source=image.name, remedy="give a mask with at least one voxel")
    return np.asarray(values != 0)


def _varying(image: OpenImage, n_scans: int) -> NDArray[np.bool_]:
    """Which voxels are finite and change within the first volumes, (x, y, z)."""
    low = high = read_volume(image, 0)
    for scan in range(1, n_scans):
        volume = read_volume(image, scan)
        low, high = np.minimum(low, volume), np.maximum(high, volume)
    return np.asarray(np.isfinite(low) & np.isfinite(high) & (high > low))


def _refuse_mirrored(inside: NDArray[np.bool_], bold: OpenImage) -> None:
    """Refuse a mask that falls on empty voxels unless it is mirrored: its header then tells another story."""
    still = ~_varying(bold, min(5, bold.shape[3]))
    lost = int(still[inside].sum())
    if lost <= _SUSPICIOUS * inside.sum():
        return
    for axes in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in (1, 2, 3)):
        mirrored = int(still[np.flip(inside, axes)].sum())
        if mirrored < lost / 5:
            raise InputError(
                f"the mask holds {lost} voxels without signal, and {mirrored} where its axes "
                f"{', '.join('ijk'[axis] for axis in axes)} are mirrored",
                source=bold.name,
                remedy="check that its data fit its header; where they do, take voxels without signal out of the mask",
            )


def _same_places(one: NDArray[np.float64], other: NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Whether no voxel lies further than a hundredth of its size apart; corners move furthest."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    apart = np.abs(corners @ (one - other).T[:, :3]).max()
    return bool(apart < _SAME_PLACE * np.linalg.norm(other[:3, :3], axis=0).min())


def _same_grid_turned(one: OpenImage, other: OpenImage) -> bool:
    """Whether two images have the same places once their axes run the same way."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    turned = []
    for image in (one, other):
        shape, orientation = image.shape[:3], io_orientation(image.affine)
        if np.isnan(orientation).any():
            return False
        size = tuple(int(shape[axis]) for axis in np.argsort(orientation[:, 0]))
        turned.append((image.affine @ inv_ornt_aff(orientation, shape), size))
    return turned[0][1] == turned[1][1] and _same_places(turned[0][0], turned[1][0], turned[0][1])


def _grid_text(image: OpenImage) -> str:
    """Shape, orientation and affine of an image in words."""
    from nibabel.orientations import aff2axcodes

    rows = " / ".join(" ".join(f"{value:.5g}" for value in row) for row in image.affine[:3])
    codes = "".join(code or "?" for code in aff2axcodes(image.affine))
    return f"shape {'×'.join(map(str, image.shape[:3]))}, orientation {codes}, affine {rows}"


def _estimated(
    images: Sequence[OpenImage], tables: Sequence[pd.DataFrame], grid: VolumeGrid, *, subject: str, source: str
) -> Recording:
    """A recording of volumes that are responses already."""
    for image, table in zip(images, tables, strict=True):
        if image.shape[3] != len(table):
            raise InputError(
                f"has {image.shape[3]} volumes, and its table {len(table)} rows",
                source=image.name,
                remedy="give one row per volume, in their order",
            )
    responses = np.empty((sum(map(len, tables)), len(grid)), np.float32)
    first = 0
    for image, table in zip(images, tables, strict=True):
        last = first + len(table)
        read_series(image, grid.ijk, into=responses[first:last])
        first = last
    trials = pd.concat(tables, ignore_index=True)
    return only_usable(responses, varies(responses), trials, grid, subject=subject, source=source)
