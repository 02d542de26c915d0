"""Maps of the brain: slices, the cortical surface, the glass brain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._brain_paint import BarLegend, Legend, checked_values, paint, value_scale
from affectome.plotting._brain_slices import Anatomy, SliceCanvas
from affectome.plotting._brain_surface import SurfaceCanvas
from affectome.plotting._lettering import drawable, drawable_lines
from affectome.plotting._style import COLUMN_WIDTH, PAGE_WIDTH, house_style

__all__ = ["draw_panels", "plot_glass_brain", "plot_slices", "plot_surface", "sayings"]

_LINE = 0.16  # inches of a line of text
_BEYOND = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}


class Canvas(Protocol):
    """Where maps are drawn."""

    def places(self, maps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps per voxel as maps per place of the canvas."""

    def height(self, width: float) -> float:
        """Inches that it takes at this width."""

    def draw(self, figure: Figure, left: float, bottom: float, width: float, rgba: NDArray[np.float64]) -> None:
        """Draw its places in these colours."""


def draw_panels(
    canvas: Canvas,
    panels: Sequence[tuple[str, NDArray[np.float64]]],
    legend: Legend,
    *,
    title: str | None = None,
    note: str = "",
    width: float = PAGE_WIDTH,
    columns: int = 1,
) -> Figure:
    """Panels of one canvas in rows, each with its name above it; the legend at their right, a note below."""
    one = (width - legend.width - 0.1 * columns) / columns
    name = _LINE if any(text for text, _ in panels) else 0.0
    up = canvas.height(one) + name
    rows = -(-len(panels) // columns)
    head = (_LINE + 0.1) * len(drawable_lines(title).split("\n")) if title else 0.05
    foot = _LINE + 0.02 if note else 0.0
    needed = rows * up + 0.06 * (rows - 1)
    room = max(needed, legend.height)
    with house_style():
        figure = Figure(figsize=(width, head + room + foot + 0.04))
        high = figure.get_size_inches()[1]
        for number, (text, rgba) in enumerate(panels):
            row, column = divmod(number, columns)
            left = 0.05 + column * (one + 0.1)
            bottom = high - head - (room - needed) / 2 - (row + 1) * up - 0.06 * row
            canvas.draw(figure, left, bottom, one, rgba)
            figure.text(left / width, (bottom + up) / high, drawable(text), fontsize=8, va="top", ha="left")
        legend.draw(figure, width - legend.width, foot + 0.02 + room / 2, room)
        if title:
            figure.text(0.05 / width, 1 - 0.04 / high, drawable_lines(title), fontsize=9, va="top", ha="left")
        if note:
            figure.text(0.05 / width, 0.03 / high, note, fontsize=7, va="bottom", ha="left", color="0.35")
    return figure


def sayings(
    values: NDArray[np.float64],
    significant: NDArray[np.bool_] | None,
    threshold: float | None,
    what: str = "voxels",
) -> str:
    """What a reader must know of a map: how much of it is significant, shown, or there at all."""
    known = ~np.isnan(values)
    if not known.any():
        return f"none of {len(values):,} {what} has a value"
    said = []
    if significant is not None:
        n = int((significant & known).sum())
        said.append(f"significant: {n:,} of {known.sum():,} {what}" if n else
                    f"none of {known.sum():,} {what} is significant")  # fmt: skip
    if threshold:
        n = int((np.abs(values[known]) >= threshold).sum())
        said.append(f"|value| ≥ {threshold:g}: {n:,} of {known.sum():,} {what}")
    return "; ".join(said) + (" (others faded)" if significant is not None else "")


def _draw_values(
    canvas: Canvas,
    values: ArrayLike,
    n_voxels: int,
    label: str,
    *,
    significant: ArrayLike | None,
    threshold: float | None,
    limits: tuple[float, float] | None,
    diverging: bool,
    title: str | None,
    width: float,
) -> Figure:
    numbers, marks = checked_values(values, n_voxels, significant)
    if threshold is not None and not threshold >= 0:
        raise InputError(f"the threshold is {threshold:g}", remedy="give a number of at least 0, of the absolute value")
    cmap, norm = value_scale(numbers, limits, diverging=diverging)
    maps = numbers[None] if marks is None else np.stack([numbers, marks.astype(float)])
    placed = canvas.places(maps)
    kept = None if marks is None else np.nan_to_num(placed[1]) >= 0.5
    rgba = paint(placed[0], cmap, norm, significant=kept, threshold=threshold)
    known = numbers[~np.isnan(numbers)]
    scaled = norm(known)
    beyond = _BEYOND[bool((scaled < 0).any()), bool((scaled > 1).any())]
    legend = BarLegend(cmap, norm, label, beyond)
    return draw_panels(canvas, [("", rgba)], legend, title=title, note=sayings(numbers, marks, threshold), width=width)


def plot_slices(
    values: ArrayLike,
    geometry: VolumeGrid,
    label: str,
    *,
    axis: str = "axial",
    n_slices: int = 8,
    cuts: Sequence[float] | None = None,
    background: Anatomy | None = None,
    significant: ArrayLike | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    columns: int | None = None,
    title: str | None = None,
    width: float | None = None,
) -> Figure:
    """Draw a map on slices of its own volume, voxel by voxel.

    Works for any volume: that of the person, a single slice, a standard space. Nothing is resampled but the background.
    Left is left; the letters are those of the nearest axes of the scanner.

    Parameters
    ----------
    values : float array of shape (n_voxels,)
        NaN: no value (grey where the voxel was recorded).
    geometry : VolumeGrid
    label
        What the values are, with their unit, for the colour bar.
    axis : "axial", "coronal" or "sagittal"
    n_slices
        Slices, spread evenly over those with voxels.
    cuts
        Where slices lie instead, in mm.
    background : image with ``affine`` and ``get_fdata()``
        Anatomy below the map, as nibabel reads it; by default the MNI152 template in an MNI space, else light grey
        where voxels were recorded.
    significant : bool array of shape (n_voxels,)
        Other voxels are faded to at most 30% of their colour, the less of it the nearer they are to the bottom or the
        middle of the scale.
    threshold
        Voxels of a smaller absolute value are not drawn.
    limits
        Ends of the colours; by default 0 to the largest value, or symmetric about 0 where `diverging`.
    diverging
        Whether 0 is a middle (differences, weights) or a bottom (r, R2, -log p).
    columns
        Slices side by side; by default all up to ten, or rows of up to eight.
    title
    width
        Inches; by default the page, or a column for one or two slices.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from affectome.neural import VolumeGrid
    >>> grid = VolumeGrid(np.argwhere(np.ones((4, 5, 1))).astype(np.int32), np.diag([3.0, 3, 3, 1]), (4, 5, 1))
    >>> figure = plot_slices(np.linspace(0, 0.4, 20), grid, "Held-out r")
    >>> [text.get_text() for text in figure.texts][0]
    'slice 1 of 1'
    """
    canvas = SliceCanvas(geometry, axis, n_slices, cuts, background, columns)
    return _draw_values(canvas, values, len(geometry), label, significant=significant, threshold=threshold,
                        limits=limits, diverging=diverging, title=title,
                        width=width or (COLUMN_WIDTH if canvas.n_shown <= 2 else PAGE_WIDTH))  # fmt: skip


def plot_surface(
    values: ArrayLike,
    geometry: SurfaceMesh | VolumeGrid,
    label: str,
    *,
    surface: str = "inflated",
    views: Sequence[str] = ("lateral", "medial"),
    significant: ArrayLike | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    title: str | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw a map on both hemispheres of fsaverage5.

    Values on fsaverage5 are drawn as they are; of fsaverage6 and fsaverage, of which fsaverage5 is the coarser part,
    the vertices that it has. A volume in an MNI152 space is read between the white and the pial surface (trilinear,
    mean over depths, of voxels with a value); that is for looking, and imprecise by millimetres in single people.
    Grey is where nothing was measured, darker in the sulci.

    Parameters
    ----------
    values : float array of shape (n_voxels,)
    geometry : SurfaceMesh or VolumeGrid
    label
        What the values are, with their unit, for the colour bar.
    surface : "inflated", "pial", "white_matter" or "flat"
        The flat map of fsaverage5 is cut along the calcarine sulcus and shown whole.
    views : of "lateral", "medial", "dorsal", "ventral", "anterior", "posterior"
        Ignored for the flat map.
    significant, threshold, limits, diverging, title
        As in :func:`plot_slices`.
    width
        Inches.

    Returns
    -------
    matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from affectome.neural import SurfaceMesh
    >>> mesh = SurfaceMesh(np.arange(3, dtype=np.int32), np.zeros(3, bool), (10242, 10242), "fsaverage5")
    >>> figure = plot_surface([0.1, 0.2, 0.3], mesh, "Held-out r", views=["lateral"])
    >>> [text.get_text() for text in figure.texts][:2]
    ['Left, lateral', 'Right, lateral']
    """
    return _draw_values(SurfaceCanvas(geometry, surface, views), values, len(geometry), label, significant=significant,
                        threshold=threshold, limits=limits, diverging=diverging, title=title,
                        width=width)  # fmt: skip


def plot_glass_brain(
    values: ArrayLike,
    geometry: VolumeGrid,
    label: str,
    *,
    significant: ArrayLike | None = None,
    threshold: float | None = None,
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    title: str | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Draw a map in an MNI152 space through a glass brain: of all voxels behind one another, the largest.

    Parameters
    ----------
    values : float array of shape (n_voxels,)
    geometry : VolumeGrid
        In an MNI152 space.
    label
        What the values are, with their unit, for the colour bar.
    significant : bool array of shape (n_voxels,)
        Other voxels are not drawn, since nothing could lie behind them.
    threshold, limits, diverging, title, width
        As in :func:`plot_slices`.

    Returns
    -------
    matplotlib Figure
    """
    import warnings

    from nibabel import Nifti1Image
    from nilearn import plotting

    if not (geometry.space or "").startswith("MNI"):
        raise InputError(f"a volume in the space '{geometry.space or 'of the person'}' has no glass brain",
                         remedy="give one in an MNI152 space, or draw slices")  # fmt: skip
    numbers, marks = checked_values(values, len(geometry), significant)
    cmap, norm = value_scale(numbers, limits, diverging=diverging)
    shown = np.where(np.nan_to_num(np.abs(numbers)) >= (threshold or 0), np.nan_to_num(numbers), 0)
    if marks is not None:
        shown[~marks] = 0
    head, foot, legend = 0.26 if title else 0.05, _LINE + 0.02, BarLegend(cmap, norm, label)
    body = (width - legend.width) * 0.29
    with house_style():
        figure = Figure(figsize=(width, head + body + foot))
        box = (0, foot / (head + body + foot), 1 - legend.width / width, body / (head + body + foot))
        image = Nifti1Image(geometry.volume(shown, fill=0), geometry.affine)
        with warnings.catch_warnings():  # a map may hold nothing to show
            warnings.filterwarnings("ignore", "empty mask", UserWarning)
            drawn = plotting.plot_glass_brain(
                image, display_mode="lyrz", figure=figure, axes=box, colorbar=False, annotate=False, plot_abs=False,
                threshold=1e-9, cmap=cmap, vmin=norm.vmin, vmax=norm.vmax, symmetric_cbar=False, alpha=0.6)  # fmt: skip
        drawn.annotate(size=7, positions=False)
        legend.draw(figure, width - legend.width, foot + body / 2, body)
        if title:
            figure.text(0.05 / width, 1 - 0.04 / (head + body + foot), drawable_lines(title), fontsize=9, va="top")
        note = sayings(numbers, marks, threshold).replace("(others faded)", "(others not shown)")
        figure.text(0.05 / width, 0.03 / (head + body + foot), note, fontsize=7, va="bottom", color="0.35")
    return figure
