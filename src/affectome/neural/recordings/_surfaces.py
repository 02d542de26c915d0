"""Surfaces in: a GIFTI file of series per hemisphere and run."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, Unpack
from xml.parsers.expat import ExpatError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.recordings._events import read_events
from affectome.neural.recordings._recording import Recording, SurfaceMesh
from affectome.neural.recordings._timed_runs import (
    CutOff,
    TimedRun,
    agreed_tr,
    check_estimate,
    per_run,
    run_confounds,
    run_sessions,
    timed_recording,
)
from affectome.neural.recordings._trial_estimates import EstimateOptions, Method

__all__ = ["read_gifti", "read_hemispheres", "surface_mesh"]

Path = str | os.PathLike[str]
Table = str | os.PathLike[str] | pd.DataFrame


def read_gifti(
    left: Path | Sequence[Path],
    right: Path | Sequence[Path],
    events: Table | Sequence[Table],
    *,
    subject: str,
    estimate: Method = "window",
    tr: float | None = None,
    confounds: Table | Sequence[Table] | None = None,
    session: int | Sequence[int] = 1,
    label_column: str = "trial_type",
    ignore: Collection[str] = (),
    space: str | None = None,
    cut_off: CutOff = "refuse",
    **options: Unpack[EstimateOptions],
) -> Recording:
    """Read a person's runs from surface files.

    Parameters
    ----------
    left, right
        One GIFTI file (``.func.gii``) per run and hemisphere: a data array per volume, or one of vertices x volumes.
    events
        What was shown, one table per run (see :func:`read_events`).
    subject
        Name of the person.
    estimate
        ``"window"``, ``"lsa"`` or ``"lss"`` (see :func:`estimate_trials`).
    tr
        Seconds from one volume to the next; None: what the files say (``TimeStep``, in milliseconds).
    confounds, session, label_column, ignore, cut_off, **options
        See :func:`read_nifti`.
    space
        Name of the mesh, as BIDS spells it (``"fsaverage5"``); None: the person's own.

    Returns
    -------
    Recording
        Left vertices, then right ones; those that are constant or not finite in some run (the medial wall) are left
        out, and the log says how many. Geometry is a :class:`SurfaceMesh`.

    Raises
    ------
    InputError
        Where a file cannot be read to its end, hemispheres or runs differ in volumes or vertices, tables do not fit.

    Notes
    -----
    A GIFTI file is text and is read whole. Memory: all responses and the series of one run, twice while it is read.

    Examples
    --------
    >>> import tempfile
    >>> from nibabel import GiftiImage, save
    >>> from nibabel.gifti import GiftiDataArray
    >>> folder = tempfile.mkdtemp()
    >>> paths = [f"{folder}/{side}.func.gii" for side in "LR"]
    >>> rng = np.random.default_rng(0)
    >>> for path in paths:
    ...     save(GiftiImage(darrays=[GiftiDataArray(rng.normal(size=9).astype("float32")) for _ in range(12)]), path)
    >>> events = pd.DataFrame({"onset": [2.0, 10.0], "duration": [4.0, 4.0], "trial_type": ["joy", "awe"]})
    >>> read_gifti(*paths, events, subject="sub-01", tr=2.0)
    <Recording sub-01: 2 trials of 2 stimuli in 1 runs, 18 voxels>
    """
    check_estimate(estimate, cut_off, options, of=Method)
    lefts: list[Path] = per_run(left, len(left) if isinstance(left, (list, tuple)) else 1, "files")
    rights = per_run(right, len(lefts), "files of the right hemisphere")
    tables = per_run(events, len(lefts), "tables of events")
    sessions = run_sessions(session, len(lefts))
    nuisance = run_confounds(confounds, len(lefts))
    mesh, said = surface_mesh(lefts[0], rights[0], space=space)
    seconds = agreed_tr(said, tr, os.fspath(lefts[0]))
    runs = [
        TimedRun(
            name=os.fspath(one),
            read=partial(read_hemispheres, one, other, mesh.mesh_sizes, seconds),
            events=read_events(table, label_column=label_column, ignore=ignore, source=f"the events of {one}"),
            tr=seconds,
            confounds=given,
            session=of,
        )
        for one, other, table, given, of in zip(lefts, rights, tables, nuisance, sessions, strict=True)
    ]
    source = cut_short([os.fspath(one) for one in lefts], 2)
    return timed_recording(
        runs, mesh, subject=subject, source=source, method=estimate, cut_off=cut_off, options=options
    )


def surface_mesh(left: Path, right: Path, *, space: str | None) -> tuple[SurfaceMesh, float]:
    """Every vertex of the two meshes, by a run; seconds between volumes as its files say, 0 where they do not."""
    (one, said), (other, _) = _read_hemisphere(left), _read_hemisphere(right)
    sizes = one.shape[1], other.shape[1]
    vertices = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
    return SurfaceMesh(vertices, np.repeat([False, True], sizes), sizes, space), said


def read_hemispheres(left: Path, right: Path, sizes: tuple[int, int], tr: float) -> NDArray[np.float32]:
    """Series of the left and then the right vertices, (n_scans, n_vertices)."""
    sides = []
    for path, size in zip((left, right), sizes, strict=True):
        series, said = _read_hemisphere(path)
        agreed_tr(said, tr, os.fspath(path))
        if series.shape[1] != size:
            raise InputError(
                f"has {series.shape[1]} vertices, and the first run {size}",
                source=path,
                remedy="take all runs on one mesh",
            )
        sides.append(series)
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"has {len(sides[1])} volumes, and the left hemisphere {len(sides[0])}",
            source=right,
            remedy="give the two hemispheres of one run",
        )
    return np.concatenate(sides, axis=1)


def _read_hemisphere(path: Path) -> tuple[NDArray[np.float32], float]:
    """Series of one file (n_scans, n_vertices) and the seconds between volumes as it says, 0 where it does not."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(os.fspath(path))
        arrays = [np.asarray(array.data, np.float32) for array in image.darrays]
    except (ImageFileError, AttributeError) as error:
        raise InputError("is no GIFTI file", source=path, remedy="give a .func.gii file") from error
    except (ExpatError, EOFError, zlib.error, ValueError, gzip.BadGzipFile) as error:
        raise InputError(
            "cannot be read to its end; the file is cut off or damaged", source=path, remedy="copy it anew"
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if len(arrays) == 1 and arrays[0].ndim == 2:
        series = arrays[0].T
    elif len({array.shape for array in arrays}) == 1 and arrays[0].ndim == 1:
        series = np.stack(arrays)
    else:
        shapes = cut_short(sorted({str(array.shape) for array in arrays}))
        raise InputError(
            f"holds {len(arrays)} data arrays of the shapes {shapes}",
            source=path,
            remedy="give one array per volume, or one of vertices × volumes",
        )
    said = str((image.meta or {}).get("TimeStep", "0"))
    try:
        return series, float(said) / 1000
    except ValueError as error:
        raise InputError(f"says a TimeStep of '{said}'", source=path, remedy="correct it") from error
