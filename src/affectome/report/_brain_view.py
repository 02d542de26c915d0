"""A map of the brain to turn and to click through, in one HTML page that loads nothing."""

from __future__ import annotations

import base64
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.colors import Colormap, Normalize, to_hex
from numpy.typing import ArrayLike, NDArray

from affectome._files import atomic_path, check_output
from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._brain_maps import sayings
from affectome.plotting._brain_paint import checked_values, paint, value_scale
from affectome.plotting._brain_slices import Anatomy
from affectome.plotting._brain_surface import FSAVERAGE5, SurfaceCanvas, load_mesh
from affectome.report._templates import page_template

if TYPE_CHECKING:
    import os

__all__ = ["write_brain_view"]

_APART = 46.0  # mm that each inflated hemisphere is moved outwards, so that they do not touch
_VIEWER = 700  # pixels across the slices
_LARGEST = 60_000_000  # characters of the viewer of slices
#: What nilearn says while it looks for how dark its template is, and of maps that are full, or hold nothing.
_ANNOUNCED = (
    "Warning: 'partition' will ignore the 'mask'",
    "Threshold given was",
    "The given float value must not exceed",
    "Given img is empty",
)


def write_brain_view(
    path: str | os.PathLike[str],
    values: ArrayLike,
    geometry: VolumeGrid | SurfaceMesh,
    label: str,
    *,
    on: Literal["slices", "surface"] | None = None,
    background: Anatomy | None = None,
    significant: ArrayLike | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    title: str = "Map of the brain",
) -> Path:
    """Write one HTML page that shows a map on slices to click through, or on an inflated surface to turn.

    Everything is inside the one file and it loads nothing, which a content security policy enforces. All text is
    escaped. Slices are nilearn's viewer; the surface is drawn by the browser (WebGL), and the number under the pointer
    is read out.

    Parameters
    ----------
    path
        An ``.html`` file.
    values : float array of shape (n_voxels,)
        NaN: no value.
    geometry : VolumeGrid or SurfaceMesh
    label
        What the values are, with their unit.
    on
        By default slices of a volume and the surface of a surface; ``"surface"`` also takes a volume in an MNI152
        space, see :func:`affectome.plotting.plot_surface`.
    background : image with ``affine`` and ``get_fdata()``
        Below slices; by default the MNI152 template in an MNI space, else light grey where voxels were recorded.
    significant : bool array of shape (n_voxels,)
        Other voxels are not drawn on slices, and faded on the surface.
    threshold, limits, diverging
        As in :func:`affectome.plotting.plot_slices`.
    title

    Returns
    -------
    Path of the page.

    Raises
    ------
    InputError
        Where the values do not fit the geometry, or the volume is too large for a page.
    EnvironmentFailure
        When the page cannot be written.

    Notes
    -----
    A page of a surface has about 1 MB. One of slices grows with the volume that surrounds the voxels: under 1 MB for
    the MNI152 template at 2 mm.
    """
    check_output(path, (".html",))
    numbers, marks = checked_values(values, len(geometry), significant)
    cmap, norm = value_scale(numbers, limits, diverging=diverging)
    if threshold is not None and not threshold >= 0:
        raise InputError(f"the threshold is {threshold:g}", remedy="give a number of at least 0, of the absolute value")
    chosen = on or ("slices" if isinstance(geometry, VolumeGrid) else "surface")
    note = sayings(numbers, marks, threshold)
    if chosen == "surface":
        canvas = SurfaceCanvas(geometry)
        body = _surface(canvas, numbers, marks, threshold, cmap, norm)
    elif chosen == "slices" and isinstance(geometry, VolumeGrid):
        shown = numbers if marks is None else np.where(marks, numbers, np.nan)
        body = _slices(geometry, shown, background, threshold, cmap, norm)
        note = note.replace("(others faded)", "(others not shown)")
    else:
        raise InputError(f"a surface is not drawn on '{chosen}'", remedy="use on='surface'")
    page = page_template("brain_view.html.j2").render(title=title, label=label, note=note, **body)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _surface(
    canvas: SurfaceCanvas,
    numbers: NDArray[np.float64],
    marks: NDArray[np.bool_] | None,
    threshold: float | None,
    cmap: Colormap,
    norm: Normalize,
) -> dict[str, Any]:
    placed = canvas.places(numbers[None] if marks is None else np.stack([numbers, marks.astype(float)]))
    kept = None if marks is None else np.nan_to_num(placed[1]) >= 0.5
    rgba = paint(placed[0], cmap, norm, significant=kept, threshold=threshold)
    sides = []
    for right in (False, True):
        coordinates, faces, _ = load_mesh("inflated", right)
        moved = coordinates + np.array([_APART if right else -_APART, 0, 0], np.float32)
        colours = np.rint(255 * canvas.vertex_colours(rgba, right)).astype(np.uint8)
        own = placed[0, FSAVERAGE5:] if right else placed[0, :FSAVERAGE5]
        sides.append({"name": "Right" if right else "Left", "positions": _packed(moved.astype("<f4")),
                      "faces": _packed(faces.astype("<u2")), "colours": _packed(colours),
                      "values": _packed(own.astype("<f4"))})  # fmt: skip
    stops = ", ".join(to_hex(cmap(k)) for k in np.linspace(0, 1, 9))
    low, high = (f"{end:.3g}".replace("-", "−") for end in (norm.vmin or 0.0, norm.vmax or 0.0))
    return {"frame": "", "sides": sides, "stops": stops, "low": low, "high": high}


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _slices(
    geometry: VolumeGrid,
    shown: NDArray[np.float64],
    background: Anatomy | None,
    threshold: float | None,
    cmap: Colormap,
    norm: Normalize,
) -> dict[str, Any]:
    """The viewer of nilearn of slices, with nothing in it that is fetched."""
    from nibabel import Nifti1Image
    from nilearn import plotting

    if int(np.prod(geometry.shape)) > _LARGEST // 4:
        raise InputError(f"a volume of {' × '.join(map(str, geometry.shape))} voxels is too large for a page",
                         remedy="resample the map to 2 mm, or draw it with plot_slices")  # fmt: skip
    standard = (geometry.space or "").startswith("MNI")
    below: Any = background if background is not None else "MNI152" if standard else _recorded(geometry)
    filled = np.nan_to_num(shown)
    filled[np.abs(filled) < (threshold or 0)] = 0
    volume = Nifti1Image(geometry.volume(filled, fill=0), geometry.affine)
    symmetric = bool(np.isclose(norm.vmin or 0.0, -(norm.vmax or 0.0)))
    with warnings.catch_warnings():
        for known in _ANNOUNCED:
            warnings.filterwarnings("ignore", known, UserWarning)
        view = plotting.view_img(
            volume, bg_img=below, cmap=cmap, symmetric_cmap=symmetric, vmax=norm.vmax,
            vmin=None if symmetric else norm.vmin, threshold=1e-9, black_bg=False,
            resampling_interpolation="nearest", width_view=_VIEWER)  # fmt: skip
    inner = re.sub(r"<link[^>]*>", "", view.html)  # an icon from a server
    if named := re.search(r"div_viewer-([0-9a-f]{32})", inner):  # drawn anew for every page; here a page holds one
        inner = inner.replace(named[1], "brain")
    if len(inner) > _LARGEST:
        raise InputError(f"the page would have {len(inner) / 1e6:.0f} MB", remedy="resample the map to 2 mm")
    return {"frame": inner, "width": int(view.width) + 40, "height": int(view.height) + 40}


def _recorded(geometry: VolumeGrid) -> Any:
    """Where voxels were recorded, as an image that the viewer shows light grey on white.

    The viewer's own empty background is memory that nobody has set. This one is straight and isotropic, which the
    viewer would make of it with black edges.
    """
    from nibabel import Nifti1Image
    from nibabel.affines import voxel_sizes
    from nilearn.image import resample_img

    grey = geometry.volume(np.full(len(geometry), 0.95), fill=1)
    straight = np.eye(3) * voxel_sizes(geometry.affine).min()
    return resample_img(Nifti1Image(grey, geometry.affine), target_affine=straight, interpolation="nearest",
                        fill_value=1.0)  # fmt: skip
