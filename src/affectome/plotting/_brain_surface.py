"""A hemisphere seen from a side: which face of the mesh each pixel shows, found once and coloured often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural import SurfaceMesh, VolumeGrid
from affectome.plotting._lettering import ink

__all__ = ["SURFACES", "VIEWS", "SurfaceCanvas", "load_mesh"]

#: Vertices of a hemisphere of fsaverage5, which are also the first ones of fsaverage6 and of fsaverage.
FSAVERAGE5 = 10_242
_FINER = {"fsaverage5": FSAVERAGE5, "fsaverage6": 40_962, "fsaverage": 163_842}
SURFACES = ("inflated", "pial", "white_matter", "flat")
#: What points right and what points up in the picture, and towards the reader, of the left hemisphere.
VIEWS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "lateral": ((0, -1, 0), (0, 0, 1)),
    "medial": ((0, 1, 0), (0, 0, 1)),
    "dorsal": ((1, 0, 0), (0, 1, 0)),
    "ventral": ((-1, 0, 0), (0, 1, 0)),
    "anterior": ((-1, 0, 0), (0, 0, 1)),
    "posterior": ((1, 0, 0), (0, 0, 1)),
    "flat": ((1, 0, 0), (0, 1, 0)),
}
_PIXEL = 0.55  # mm; 390 pixels across an inflated hemisphere
_GREYS = (0.88, 0.76)  # gyri and sulci where nothing is drawn
_LABEL, _GAP = 0.17, 0.06  # inches

Mesh = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]


@lru_cache(maxsize=8)
def load_mesh(surface: str, right: bool) -> Mesh:
    """Coordinates (mm), faces and sulcal depth of a hemisphere of fsaverage5, which comes with nilearn."""
    from nilearn.datasets import load_fsaverage, load_fsaverage_data

    side = "right" if right else "left"
    mesh = load_fsaverage("fsaverage5")[surface].parts[side]
    depth = load_fsaverage_data("fsaverage5", mesh_type="inflated", data_type="sulcal").data.parts[side]
    return mesh.coordinates, mesh.faces, depth


@lru_cache(maxsize=64)
def _standard_picture(surface: str, right: bool, view: str) -> NDArray[np.int32]:
    coordinates, faces, _ = load_mesh(surface, right)
    return picture(coordinates, faces, view, right=right)


def picture(coordinates: NDArray[np.float32], faces: NDArray[np.int32], view: str, *, right: bool) -> NDArray[np.int32]:
    """The face that each pixel shows, -1 where none: orthographic, the nearest of those that look at the reader.

    Faces are drawn from far to near in colours that spell their number, and the picture is read back.
    """
    across, up = (np.array(axis) for axis in VIEWS[view])
    if right and view in ("lateral", "medial"):
        across = -across
    placed = coordinates @ np.stack([across, up, np.cross(across, up)], 1)
    corners = placed[faces]
    sides = corners[:, 1:, :2] - corners[:, :1, :2]
    area = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]
    shown = np.flatnonzero((area > 0) | (view == "flat"))  # faces of the mesh turn counter-clockwise seen from outside
    shown = shown[np.argsort(corners[shown, :, 2].mean(1), kind="stable")]
    low, high = placed[:, :2].min(0) - _PIXEL, placed[:, :2].max(0) + _PIXEL
    pixels = np.ceil((high - low) / _PIXEL).astype(int)
    figure = Figure(figsize=tuple(np.nextafter(pixels / 100, np.inf)), dpi=100)  # matplotlib may round pixels down
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    ax = figure.add_axes((0, 0, 1, 1), xlim=(low[0], low[0] + pixels[0] * _PIXEL),
                         ylim=(low[1], low[1] + pixels[1] * _PIXEL))  # fmt: skip
    ax.axis("off")
    number = shown + 1
    colours = np.stack([number >> 16, number >> 8 & 255, number & 255], 1) / 255
    ax.add_collection(PolyCollection(list(corners[shown, :, :2]), facecolors=colours, edgecolors=colours,
                                     linewidths=0.4, antialiaseds=False), autolim=False)  # fmt: skip
    figure.patch.set_facecolor("black")
    canvas.draw()
    read = np.asarray(canvas.buffer_rgba())[..., :3].astype(np.int32)
    found: NDArray[np.int32] = (read[..., 0] << 16) + (read[..., 1] << 8) + read[..., 2] - 1
    return found


@dataclass(frozen=True, eq=False)
class SurfaceCanvas:
    """Both hemispheres of fsaverage5, each from the same sides; its places are the left, then the right vertices.

    Attributes
    ----------
    geometry : SurfaceMesh or VolumeGrid
        Of the values. A volume is read between the white and the pial surface.
    surface : str
    views : sequence of str
    """

    geometry: SurfaceMesh | VolumeGrid
    surface: str = "inflated"
    views: Sequence[str] = ("lateral", "medial")

    def __post_init__(self) -> None:
        if self.surface not in SURFACES:
            raise InputError(f"there is no surface '{self.surface}'", remedy="use one of " + ", ".join(SURFACES))
        unknown = [view for view in self.views if view not in VIEWS or view == "flat"]
        if unknown or not self.views:
            raise InputError(f"there is no view '{''.join(unknown[:1])}' of a hemisphere",
                             remedy="use one of " + ", ".join(list(VIEWS)[:-1]))  # fmt: skip
        space = self.geometry.space or "the person's own"
        if isinstance(self.geometry, VolumeGrid) and not space.startswith("MNI"):
            raise InputError(f"a volume in the space '{space}' cannot be drawn on fsaverage5",
                             remedy="give a volume in an MNI152 space, or draw slices")  # fmt: skip
        if isinstance(self.geometry, SurfaceMesh) and _FINER.get(space) not in set(self.geometry.mesh_sizes):
            raise InputError(f"a mesh of {self.geometry.mesh_sizes[0]:,} vertices in the space '{space}' is not drawn",
                             remedy="resample it to fsaverage5, fsaverage6 or fsaverage")  # fmt: skip

    @property
    def _panels(self) -> list[tuple[bool, str]]:
        """Hemisphere and view of each panel, from left to right: the outer sides lie outside."""
        views = ["flat"] if self.surface == "flat" else list(self.views)
        return [(False, view) for view in views] + [(True, view) for view in views[::-1]]

    def places(self, maps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Maps (n_maps, n_voxels) on the vertices (n_maps, 2 × 10,242), NaN where there is no value."""
        if isinstance(self.geometry, SurfaceMesh):
            sides = [self.geometry.hemispheres(values) for values in maps]
            return np.array([np.concatenate([side[:FSAVERAGE5] for side in pair]) for pair in sides], np.float64)
        return _projected(self.geometry, maps)

    def height(self, width: float) -> float:
        """Inches that the canvas takes at this width."""
        rows, scale = self._layout(width)
        return float(sum(max(found.shape[0] for *_, found in row) * scale + _LABEL for row in rows))

    def _layout(self, width: float) -> tuple[list[list[tuple[bool, str, NDArray[np.int32]]]], float]:
        """Panels in a row, or a row per hemisphere where their names need the room; inches per pixel."""
        panels = [(*panel, _standard_picture(self.surface, *panel)) for panel in self._panels]
        half = len(panels) // 2
        for rows in ([panels], [panels[:half], panels[half:][::-1]]):
            pixels = max(sum(found.shape[1] for *_, found in row) for row in rows)
            scale = (width - _GAP * (len(rows[0]) - 1)) / pixels
            if all(found.shape[1] * scale > ink(_named(right, view), 7)[0] / 72 for right, view, found in panels):
                break
        return rows, scale

    def draw(self, figure: Figure, left: float, bottom: float, width: float, rgba: NDArray[np.float64]) -> None:
        """Draw the places in these colours over the folds of the brain."""
        rows, scale = self._layout(width)
        across, up = figure.get_size_inches()
        for row in rows[::-1]:
            tallest, x = max(found.shape[0] for *_, found in row) * scale, left
            for right, view, found in row:
                size = (found.shape[1] * scale, found.shape[0] * scale)
                low = bottom + _LABEL + (tallest - size[1]) / 2
                ax = figure.add_axes((x / across, low / up, size[0] / across, size[1] / up))
                ax.imshow(self._coloured(found, rgba, right), interpolation="antialiased", aspect="auto")
                ax.axis("off")
                figure.text((x + size[0] / 2) / across, (bottom + 0.03) / up, _named(right, view), fontsize=7,
                            ha="center", va="bottom", color="0.3")  # fmt: skip
                x += size[0] + _GAP
            bottom += tallest + _LABEL

    def vertex_colours(self, rgba: NDArray[np.float64], right: bool) -> NDArray[np.float64]:
        """RGB of the vertices of a hemisphere, over its folds."""
        depth = load_mesh(self.surface, right)[2]
        own = rgba[FSAVERAGE5:] if right else rgba[:FSAVERAGE5]
        folds = np.where(depth > 0, _GREYS[1], _GREYS[0])[:, None]
        colours: NDArray[np.float64] = folds * (1 - own[:, 3:]) + own[:, :3] * own[:, 3:]
        return colours

    def _coloured(self, found: NDArray[np.int32], rgba: NDArray[np.float64], right: bool) -> NDArray[np.float32]:
        painted = self.vertex_colours(rgba, right)[load_mesh(self.surface, right)[1]].mean(1)
        image = np.ones((*found.shape, 4), np.float32)
        image[..., :3] = np.where(found[..., None] >= 0, painted[found], to_rgb("white"))
        image[..., 3] = found >= 0
        return image


def _named(right: bool, view: str) -> str:
    return ("Right" if right else "Left") + ("" if view == "flat" else f", {view}")


def _projected(grid: VolumeGrid, maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over depths between white and pial surface of the trilinear values of those voxels that have one.

    Weights and weighted values are both projected, so that a voxel without a value takes nothing from its neighbours;
    a vertex has a value where voxels with one have at least half of the weight.
    """
    import warnings

    from nibabel import Nifti1Image
    from nilearn.datasets import load_fsaverage
    from nilearn.surface import vol_to_surf

    known = ~np.isnan(maps)
    layers = [grid.volume(values, fill=0) for values in (*np.where(known, maps, 0), *known)]
    image, mesh = Nifti1Image(np.stack(layers, -1), grid.affine), load_fsaverage("fsaverage5")
    sides = []
    for side in ("left", "right"):
        with warnings.catch_warnings():  # of vertices that lie outside the volume
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            texture = vol_to_surf(image, mesh["pial"].parts[side], inner_mesh=mesh["white_matter"].parts[side])
        total, weight = texture[:, : len(maps)].T, texture[:, len(maps) :].T
        with np.errstate(invalid="ignore", divide="ignore"):
            sides.append(np.where(weight >= 0.5, total / weight, np.nan))
    return np.concatenate(sides, 1)
