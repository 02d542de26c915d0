"""Slices through a volume as it was recorded: no voxel is resampled, left is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural import VolumeGrid
from affectome.plotting._brain_paint import UNKNOWN

__all__ = ["AXES", "Anatomy", "SliceCanvas"]

#: Which axis of the volume, once it points right, forwards and up, is cut.
AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
_WORDS = ("x", "y", "z")
_BRAIN = np.array([[-74, -108, -72], [74, 76, 84]], float)  # mm, what the template of MNI152 fills
_LABEL, _GAP, _LETTER = 0.17, 0.05, 0.14  # inches
_FULL = 0.2  # slices with less of the voxels of the fullest one are not among the evenly spread


class Anatomy(Protocol):
    """An image with its affine, such as nibabel reads."""

    affine: Any

    def get_fdata(self) -> Any:
        """Its values, (x, y, z)."""


@dataclass(frozen=True, eq=False)
class SliceCanvas:
    """Slices of a volume side by side; its places are the voxels.

    Attributes
    ----------
    geometry : VolumeGrid
    axis : str
        What is cut: ``"axial"``, ``"coronal"`` or ``"sagittal"``.
    n_slices : int
        How many, spread evenly over those that hold a fifth of the voxels of the fullest; fewer where there are fewer.
    cuts : sequence of float or None
        Where instead, in millimetres.
    background : Anatomy or None
        What lies below; by default the MNI152 template in an MNI space, else grey where voxels were recorded.
    columns : int or None
        Slices side by side; by default all up to ten, or rows of up to eight.
    """

    geometry: VolumeGrid
    axis: str = "axial"
    n_slices: int = 8
    cuts: Sequence[float] | None = None
    background: Anatomy | None = None
    columns: int | None = None

    def __post_init__(self) -> None:
        if self.axis not in AXES:
            raise InputError(f"a volume has no slices '{self.axis}'", remedy="use one of " + ", ".join(AXES))
        if self.n_slices < 1 or (self.cuts is not None and not len(self.cuts)) or (self.columns or 1) < 1:
            raise InputError("no slice is to be drawn", remedy="ask for at least one")
        if not len(self.geometry):
            raise InputError("the geometry holds no voxel", remedy="draw a map that has some")

    @cached_property
    def _turned(self) -> tuple[NDArray[np.intp], NDArray[np.float64], tuple[int, ...]]:
        """Voxels, affine and shape once the axes point right, forwards and up, as closely as flips allow."""
        from nibabel.orientations import inv_ornt_aff, io_orientation

        turn = io_orientation(self.geometry.affine)
        if np.isnan(turn).any():
            raise InputError("the affine of the volume has an axis without length", remedy="repair its header")
        order = np.argsort(turn[:, 0])
        shape = np.array(self.geometry.shape)
        flipped = np.where(turn[:, 1] < 0, shape - 1 - self.geometry.ijk, self.geometry.ijk)
        return (flipped[:, order].astype(np.intp), self.geometry.affine @ inv_ornt_aff(turn, self.geometry.shape),
                tuple(int(size) for size in shape[order]))  # fmt: skip

    @property
    def n_shown(self) -> int:
        """How many slices are drawn."""
        return len(self._chosen)

    @property
    def _plane(self) -> tuple[int, int]:
        """Axes that run to the right and upwards in the picture."""
        cut = AXES[self.axis]
        return tuple(k for k in range(3) if k != cut)  # type: ignore[return-value]

    @property
    def _standard(self) -> bool:
        return (self.geometry.space or "").startswith("MNI")

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """Millimetres of a voxel along the turned axes."""
        sizes: NDArray[np.float64] = np.linalg.norm(self._turned[1][:3, :3], axis=0)
        return sizes

    @cached_property
    def _chosen(self) -> list[int]:
        """Which slices."""
        places, affine, shape = self._turned
        cut = AXES[self.axis]
        held, counts = np.unique(places[:, cut], return_counts=True)
        held = held[counts >= _FULL * counts.max()]
        if self.cuts is None:
            n = min(self.n_slices, len(held))
            steps = (np.arange(n) + 0.5) / n * len(held)  # the middles of n equal parts
            return [int(held[int(step)]) for step in steps]
        centre = np.repeat((np.array(shape)[None] - 1) / 2, shape[cut], 0)
        centre[:, cut] = np.arange(shape[cut])
        heights = (centre @ affine[:3, :3].T + affine[:3, 3])[:, cut]
        wanted = np.asarray(self.cuts, float)
        outside = (wanted < heights.min() - self._sizes[cut]) | (wanted > heights.max() + self._sizes[cut])
        if outside.any():
            raise InputError(f"there is no slice at {_WORDS[cut]} = {wanted[outside][0]:g} mm",
                             remedy=f"the volume reaches from {heights.min():g} to {heights.max():g} mm")  # fmt: skip
        return [int(np.argmin(np.abs(heights - place))) for place in wanted]

    @cached_property
    def _window(self) -> NDArray[np.float64]:
        """Lowest and highest place that is shown, in the picture's directions, in voxels: all that was recorded."""
        places, affine, _ = self._turned
        low, high = places.min(0) - 1.0, places.max(0) + 1.0
        if self._standard:
            corners = (_BRAIN - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
            low, high = np.minimum(low, corners.min(0)), np.maximum(high, corners.max(0))
        return np.stack([low, high])[:, list(self._plane)]

    def places(self, maps: NDArray[np.float64]) -> NDArray[np.float64]:
        """The maps themselves: places are voxels."""
        return maps

    def _layout(self, width: float) -> tuple[int, int, float, float]:
        """Columns, rows, and the width and height of a slice in inches."""
        n = len(self._chosen)
        columns = min(n, self.columns or (n if n <= 10 else -(-n // -(-n // 8))))
        across, up = np.diff(self._window, axis=0)[0] * self._sizes[list(self._plane)]
        one = (width - 2 * _LETTER - _GAP * (columns - 1)) / columns
        tallest = 2.6  # inches: a single slice need not fill the page
        if one * up / across > tallest:
            one = tallest * across / up
        return columns, -(-n // columns), one, one * up / across

    def height(self, width: float) -> float:
        """Inches that the canvas takes at this width."""
        _, rows, _, up = self._layout(width)
        return rows * (up + _LABEL) + _LETTER

    def draw(self, figure: Figure, left: float, bottom: float, width: float, rgba: NDArray[np.float64]) -> None:
        """Draw the voxels in these colours over the background."""
        columns, rows, one, up = self._layout(width)
        total = figure.get_size_inches()
        spare = (width - columns * one - (columns - 1) * _GAP) / 2
        for number, chosen in enumerate(self._chosen):
            row, column = divmod(number, columns)
            x, y = left + spare + column * (one + _GAP), bottom + (rows - 1 - row) * (up + _LABEL) + _LABEL
            ax = figure.add_axes((x / total[0], y / total[1], one / total[0], up / total[1]))
            self._draw_slice(ax, chosen, rgba)
            ends = (column == 0, column == columns - 1 or number == len(self._chosen) - 1, number == 0)
            self._write_letters(ax, *ends)
            figure.text((x + one / 2) / total[0], (y - _LABEL + 0.03) / total[1], self._named(chosen), fontsize=7,
                        ha="center", va="bottom", color="0.3")  # fmt: skip

    def _named(self, chosen: int) -> str:
        cut = AXES[self.axis]
        _, affine, shape = self._turned
        if not self._standard:
            return f"slice {chosen + 1} of {shape[cut]}"
        return f"{_WORDS[cut]} = {affine[cut, cut] * chosen + affine[cut, 3]:.0f}".replace("-", "−")

    def _draw_slice(self, ax: Axes, chosen: int, rgba: NDArray[np.float64]) -> None:
        (places, _, shape), (right, up) = self._turned, self._plane
        here = places[:, AXES[self.axis]] == chosen
        image = np.ones((shape[up], shape[right], 4))
        image[..., 3] = 0
        image[places[here, up], places[here, right]] = rgba[here]
        size = self._sizes[[right, up]]
        extent = (-0.5 * size[0], (shape[right] - 0.5) * size[0], -0.5 * size[1], (shape[up] - 0.5) * size[1])
        recorded = np.zeros((*image.shape[:2], 4))
        recorded[places[here, up], places[here, right]] = (*to_rgb(UNKNOWN), 1)
        self._draw_background(ax, chosen, recorded, extent)
        ax.imshow(image, origin="lower", extent=extent, interpolation="nearest", gid="map")
        low, high = self._window * size
        ax.set_xlim(low[0], high[0])
        ax.set_ylim(low[1], high[1])
        ax.axis("off")

    def _write_letters(self, ax: Axes, first: bool, last: bool, top: bool) -> None:
        right, up = self._plane
        look: dict[str, Any] = {"fontsize": 7, "color": "0.3", "transform": ax.transAxes}
        for wanted, x, y, letter, across, upright in (
            (first, 0.0, 0.5, _LETTERS[right][0], "right", "center"),
            (last, 1.0, 0.5, _LETTERS[right][1], "left", "center"),
            (top, 0.5, 1.0, _LETTERS[up][1], "center", "bottom"),
        ):
            if wanted:
                ax.text(x, y, letter, ha=across, va=upright, **look)

    def _draw_background(
        self, ax: Axes, chosen: int, recorded: NDArray[np.float64], extent: tuple[float, float, float, float]
    ) -> None:
        if self._anatomy is None:
            ax.imshow(recorded, origin="lower", extent=extent, interpolation="nearest", gid="recorded")
            return
        size = self._sizes[list(self._plane)]
        low, high = self._window * size
        ax.imshow(self._greys[chosen], origin="lower", extent=(low[0], high[0], low[1], high[1]),
                  interpolation="bilinear", gid="background")  # fmt: skip

    @cached_property
    def _anatomy(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Values and affine of what lies below."""
        anatomy = self.background
        if anatomy is None and self._standard:
            anatomy = _template()
        if anatomy is None:
            return None
        values = np.nan_to_num(np.asarray(anatomy.get_fdata(), np.float64))
        if values.ndim != 3:
            raise InputError(f"the background has {values.ndim} dimensions", remedy="give an image of three")
        return values, np.asarray(anatomy.affine, np.float64)

    @cached_property
    def _greys(self) -> dict[int, NDArray[np.float64]]:
        """The background of every slice, made once for all maps; light, so that colours stand out."""
        assert self._anatomy is not None
        bright = float(np.percentile(self._anatomy[0], 99.5)) or 1.0
        made = {}
        for chosen in set(self._chosen):
            values = self._sampled(*self._anatomy, chosen)
            made[chosen] = np.ones((*values.shape, 4))
            made[chosen][..., :3] = (0.45 + 0.5 * np.clip(values / bright, 0, 1))[..., None]
            made[chosen][..., 3] = values > 0.02 * bright
        return made

    def _sampled(self, values: NDArray[np.float64], affine: NDArray[np.float64], chosen: int) -> NDArray[np.float64]:
        """The background at every millimetre of the window of a slice, 0 outside."""
        from scipy.ndimage import map_coordinates

        right, up = self._plane
        low, high = self._window
        steps = [np.arange(a + 0.5 / size, b, 1 / size) for a, b, size in
                 zip(low, high, self._sizes[[right, up]], strict=True)]  # fmt: skip
        points = np.empty((len(steps[1]), len(steps[0]), 3))
        points[..., right], points[..., up] = np.meshgrid(*steps)
        points[..., AXES[self.axis]] = chosen
        back = np.linalg.inv(affine) @ self._turned[1]
        found = points @ back[:3, :3].T + back[:3, 3]
        sampled: NDArray[np.float64] = map_coordinates(values, np.moveaxis(found, -1, 0), order=1)
        return sampled


def _template() -> Anatomy:
    from nilearn.datasets import load_mni152_template

    anatomy: Anatomy = load_mni152_template(resolution=1)
    return anatomy
