"""Where one space predicts better than another, and which of several predicts best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._brain_maps import Canvas, draw_panels
from affectome.plotting._brain_paint import PatchLegend, SquareLegend, checked_values, difference_colours, two_coloured
from affectome.plotting._brain_slices import SliceCanvas
from affectome.plotting._brain_surface import SurfaceCanvas
from affectome.plotting._style import PAGE_WIDTH, system_colours

if TYPE_CHECKING:
    from affectome.neural.encoding import EncodingDifference, WinnerMap
    from affectome.neural.searchlight import CentrePair

__all__ = ["brain_canvas", "plot_difference_map", "plot_winner_map"]

On = Literal["slices", "surface"]


def brain_canvas(geometry: VolumeGrid | SurfaceMesh, on: str, given: Mapping[str, Any]) -> Canvas:
    """What a map is drawn on: slices of a volume, or the surface."""
    if on == "surface":
        return SurfaceCanvas(geometry, **given)
    if on != "slices" or isinstance(geometry, SurfaceMesh):
        raise InputError(f"a {'surface' if isinstance(geometry, SurfaceMesh) else 'volume'} is not drawn on '{on}'",
                         remedy="use on='surface', or on='slices' for a volume")  # fmt: skip
    return SliceCanvas(geometry, **given)


def plot_difference_map(
    result: EncodingDifference | CentrePair,
    geometry: VolumeGrid | SurfaceMesh,
    labels: Mapping[str, str] | None = None,
    *,
    on: On = "slices",
    significant: ArrayLike | None = None,
    limit: float | None = None,
    top: float | None = None,
    title: str | None = None,
    width: float = PAGE_WIDTH,
    **drawn: Any,
) -> Figure:
    """Draw where a space scores higher than another, densest where the better one scores well.

    The hue goes from the colour of the second space over grey to that of the first, by the difference of their r
    (held-out, or of a searchlight); how dense it is follows the larger r of the two, so that a difference where neither
    is related to anything stays pale.

    Parameters
    ----------
    result : EncodingDifference, or CentrePair
        Of :func:`affectome.neural.compare_encodings`, or of :func:`affectome.neural.centre_pair` with ``n_voxels``.
    geometry : VolumeGrid or SurfaceMesh
        Of the recording.
    labels
        What spaces are called; by default their names.
    on : "slices" or "surface"
    significant : bool array of shape (n_voxels,)
        Other voxels are not drawn; such as ``result.voxels["q"] < 0.05``, of a searchlight its ``difference_q``.
    limit, top
        Difference of the full hue, and r from which it is fully dense; by default the largest difference of the map and
        half of its largest r.
    title
    width
        Inches.
    **drawn
        ``axis``, ``n_slices``, ``cuts``, ``background``, ``columns`` as in :func:`plot_slices`, or ``surface``,
        ``views`` as in :func:`plot_surface`.

    Returns
    -------
    matplotlib Figure
    """
    table = result.voxels
    difference, marks = checked_values(table["difference"], len(geometry), significant)
    best = np.fmax(table["r_first"].to_numpy(np.float64), table["r_second"].to_numpy(np.float64))
    if marks is not None:
        difference = np.where(marks, difference, np.nan)
    canvas = brain_canvas(geometry, on, drawn)
    limit = limit or float(np.nanmax(np.abs(difference), initial=0)) or 1.0
    top = top or float(np.nanmax(best, initial=0)) / 2 or 1.0
    colours = system_colours([result.first, result.second])
    names = [(labels or {}).get(name, name) for name in (result.second, result.first)]
    cmap = two_coloured(colours[result.second], colours[result.first])
    placed = canvas.places(np.stack([difference, best]))
    legend = SquareLegend(cmap, limit, top, f"Difference in r\n← {names[0]}\n{names[1]} →", "Larger r")
    note = ""
    if marks is not None:
        n, known = int((marks & ~np.isnan(table["difference"])).sum()), int(table["difference"].notna().sum())
        note = f"drawn: {n:,} significant of {known:,} voxels" if n else f"none of {known:,} voxels is significant"
    rgba = difference_colours(placed[0], placed[1], cmap, limit, top)
    return draw_panels(canvas, [("", rgba)], legend, title=title, note=note, width=width)


def plot_winner_map(
    result: WinnerMap,
    geometry: VolumeGrid | SurfaceMesh,
    labels: Mapping[str, str] | None = None,
    *,
    on: On = "slices",
    title: str | None = None,
    width: float = PAGE_WIDTH,
    **drawn: Any,
) -> Figure:
    """Draw which space predicts each voxel best, in the colour of the space; the legend gives shares of voxels.

    Parameters
    ----------
    result : WinnerMap
        Of :func:`affectome.neural.winner_map`; voxels without a winner stay grey.
    geometry : VolumeGrid or SurfaceMesh
        Of the recording. On a surface read from a volume, a vertex has the space that most of its voxels have.
    labels
        What spaces are called; by default their names.
    on, title, width, **drawn
        As in :func:`plot_difference_map`.

    Returns
    -------
    matplotlib Figure
    """
    winner, _ = checked_values(result.winner, len(geometry))
    canvas, colours = brain_canvas(geometry, on, drawn), system_colours(list(result.spaces))
    each: NDArray[np.float64] = np.where(np.isnan(winner), np.nan, winner == np.arange(len(result.spaces))[:, None])
    placed = canvas.places(each)
    rgba = np.zeros((placed.shape[1], 4))
    known = ~np.isnan(placed[0])
    paints = np.array([to_rgb(colour) for colour in colours.values()])
    rgba[known, :3], rgba[known, 3] = paints[np.argmax(placed[:, known], 0)], 1
    shares = result.shares().loc[["all"]].iloc[0].to_dict()
    names = [(labels or {}).get(space, space) for space in result.spaces]
    if shares["n_voxels"]:
        names = [f"{name}, {shares[space]:.0%}" for name, space in zip(names, result.spaces, strict=True)]
    legend = PatchLegend(list(colours.values()), names, "Best, share of voxels")
    note = f"{int(shares['n_voxels']):,} of {len(winner):,} voxels have a winner"
    return draw_panels(canvas, [("", rgba)], legend, title=title, note=note, width=width)
