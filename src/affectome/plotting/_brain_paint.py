"""From a number per place of the brain to a colour, and the legends that say what the colours mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.plotting._lettering import drawable, drawable_lines, ink

__all__ = ["BarLegend", "Legend", "PatchLegend", "SquareLegend", "checked_values", "difference_colours", "paint",
           "two_coloured", "value_scale"]  # fmt: skip

#: How dense the largest value is drawn that is not significant; smaller ones in proportion to how far they are from the
#: bottom or middle of the scale, so that noise is no veil.
FADED = 0.3
#: What a place is painted that was recorded and has no value.
UNKNOWN = "0.86"


def checked_values(
    values: ArrayLike, n_voxels: int, significant: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """One value (NaN: none) and one mark per voxel, or a sentence that says what does not fit."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (n_voxels,):
        raise InputError(f"the map has the shape {numbers.shape}, its geometry holds {n_voxels:,} voxels",
                         remedy="give one value per voxel, NaN where there is none")  # fmt: skip
    if np.isinf(numbers).any():
        raise InputError(f"{np.isinf(numbers).sum():,} values of the map are infinite", remedy="set them to NaN")
    if significant is None:
        return numbers, None
    marks = np.asarray(significant)
    if marks.shape != numbers.shape or marks.dtype != np.bool_:
        raise InputError(f"the significant voxels are given as {marks.dtype} of the shape {marks.shape}",
                         remedy=f"give {n_voxels:,} bools, one per voxel")  # fmt: skip
    return numbers, marks


def value_scale(
    values: NDArray[np.float64], limits: tuple[float, float] | None, *, diverging: bool
) -> tuple[Colormap, Normalize]:
    """Colours from the lowest to the highest value: symmetric about 0 in two hues, or from 0 up in one.

    Without `limits` a diverging scale ends at the largest absolute value, a sequential one at the largest.
    """
    if limits is None:
        known = values[~np.isnan(values)]
        top = float(np.max(np.abs(known) if diverging else known, initial=0)) or 1.0
        limits = (-top if diverging else 0.0, top)
    low, high = limits
    if not (np.isfinite(limits).all() and low < high):
        raise InputError(f"the colours are to run from {low:g} to {high:g}", remedy="give a lower and a higher number")
    if diverging and not np.isclose(low, -high):
        raise InputError(f"a diverging scale from {low:g} to {high:g} has no 0 in its middle",
                         remedy="give limits (-a, a), or diverging=False")  # fmt: skip
    if diverging:
        return mpl.colormaps["RdBu_r"], Normalize(low, high)
    inferno = mpl.colormaps["inferno"](np.linspace(0.08, 0.93, 256))  # neither black nor white, which surround the map
    return LinearSegmentedColormap.from_list("inferno within", inferno), Normalize(low, high)


def paint(
    values: NDArray[np.float64],
    cmap: Colormap,
    norm: Normalize,
    *,
    significant: NDArray[np.bool_] | None = None,
    threshold: float | None = None,
) -> NDArray[np.float64]:
    """RGBA of every place: see-through where there is no value or it is below the threshold, faded where not marked."""
    rgba = np.asarray(cmap(norm(np.nan_to_num(values))), np.float64)
    if significant is not None:
        low, high = float(norm.vmin or 0), float(norm.vmax or 0)
        distance = np.abs(np.nan_to_num(values)) / high if low == -high else norm(np.nan_to_num(values))
        rgba[~significant, 3] = FADED * np.clip(distance, 0, 1)[~significant]
    with np.errstate(invalid="ignore"):
        hidden = np.isnan(values) | (np.abs(values) < (threshold or 0))
    rgba[hidden] = (1, 1, 1, 0)
    return rgba


def two_coloured(low: str, high: str) -> Colormap:
    """From one colour over light grey to another."""
    return LinearSegmentedColormap.from_list("two", [to_rgb(low), (0.93, 0.93, 0.93), to_rgb(high)])


def difference_colours(
    difference: NDArray[np.float64], best: NDArray[np.float64], cmap: Colormap, limit: float, top: float
) -> NDArray[np.float64]:
    """RGBA: the hue says which is better and by how much, how dense it is says how well the better one predicts."""
    rgba = np.asarray(cmap(Normalize(-limit, limit)(np.nan_to_num(difference))), np.float64)
    rgba[..., 3] = np.clip(np.nan_to_num(best) / top, 0, 1)
    rgba[np.isnan(difference) | np.isnan(best)] = (1, 1, 1, 0)
    return rgba


class Legend(Protocol):
    """Stands at the right of the maps."""

    @property
    def width(self) -> float:
        """Inches that it takes."""

    @property
    def height(self) -> float:
        """Inches that it needs at least."""

    def draw(self, figure: Figure, left: float, middle: float, room: float) -> None:
        """Put it at `left` inches, around the height `middle`, at most `room` inches high."""


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Any:
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


@dataclass(frozen=True)
class BarLegend:
    """One colour bar with what it measures."""

    cmap: Colormap
    norm: Normalize
    label: str
    extend: str = "neither"

    @property
    def width(self) -> float:
        lines = drawable_lines(self.label).count("\n") + 1
        return 0.62 + 0.16 * lines

    @property
    def height(self) -> float:
        return 0.8

    def draw(self, figure: Figure, left: float, middle: float, room: float) -> None:
        height = min(room - 0.2, 1.6)  # the outermost numbers reach beyond it
        ax = _axes(figure, left + 0.08, middle - height / 2, 0.11, height)
        bar = figure.colorbar(ScalarMappable(self.norm, self.cmap), cax=ax, extend=self.extend)
        bar.set_label(drawable_lines(self.label))
        bar.outline.set_linewidth(0.4)
        bar.ax.locator_params(nbins=max(2, int(height / 0.3)))
        bar.ax.tick_params(length=2, pad=2)


@dataclass(frozen=True)
class PatchLegend:
    """One patch of colour per category."""

    colours: Sequence[str]
    names: Sequence[str]
    title: str = ""

    @property
    def width(self) -> float:
        longest = max(ink(drawable(line), 7)[0] for line in [*self.names, self.title])
        return 0.45 + longest / 72

    @property
    def height(self) -> float:
        return 0.1 + 0.18 * (len(self.names) + bool(self.title))

    def draw(self, figure: Figure, left: float, middle: float, room: float) -> None:
        across, up = figure.get_size_inches()
        handles = [Patch(facecolor=colour, edgecolor="0.3", linewidth=0.4) for colour in self.colours]
        figure.legend(handles, [drawable(name) for name in self.names], title=drawable(self.title) or None,
                      title_fontsize=7, loc="center left", bbox_to_anchor=(left / across, middle / up), frameon=False,
                      handlelength=1, handletextpad=0.5, borderpad=0, borderaxespad=0.4)  # fmt: skip


@dataclass(frozen=True)
class SquareLegend:
    """Two directions: across the difference, upwards how well the better one predicts."""

    cmap: Colormap
    limit: float
    top: float
    across: str
    upwards: str

    @property
    def width(self) -> float:
        longest = max(ink(drawable(line), 7)[0] for line in self.across.split("\n")) / 72
        return max(1.5, 1.05 + longest / 2)

    @property
    def height(self) -> float:
        return 1.5

    def draw(self, figure: Figure, left: float, middle: float, room: float) -> None:
        side = 0.8
        ax = _axes(figure, left + 0.55, middle - side / 2 + 0.28, side, side)
        difference, best = np.meshgrid(np.linspace(-self.limit, self.limit, 33), np.linspace(0, self.top, 33))
        ax.set_facecolor(UNKNOWN)  # as below the map
        ax.imshow(difference_colours(difference, best, self.cmap, self.limit, self.top), origin="lower",
                  extent=(-self.limit, self.limit, 0, self.top), aspect="auto", interpolation="nearest")  # fmt: skip
        ax.set_xticks([-self.limit, 0, self.limit], labels=[f"−{self.limit:.2g}", "0", f"+{self.limit:.2g}"])
        ax.set_yticks([0, self.top], labels=["0", f"{self.top:.2g}"])
        ax.tick_params(length=2, pad=2)
        ax.set_xlabel(drawable_lines(self.across), fontsize=7)
        ax.set_ylabel(drawable_lines(self.upwards), fontsize=7)
