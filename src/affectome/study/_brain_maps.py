"""Maps and pictures of the brain, as where the voxels lie allows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affectome.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from affectome.neural import EncodingDifference, Recording, SurfaceMesh, VolumeGrid, WinnerMap

logger = logging.getLogger(__name__)

__all__ = ["SIGNIFICANT", "MapFolder", "brain_figure", "brain_view", "contrast_figures"]

#: q of a voxel that maps show in full.
SIGNIFICANT = 0.05


class MapFolder:
    """The maps of a stage, in ``<folder>/maps``; `files` are what was written, relative to the results."""

    def __init__(
        self, out: Path, folder: str, place: Recording | VolumeGrid | SurfaceMesh, *, space: str | None = None
    ) -> None:
        self.out, self.folder, self.place, self.space = out, f"{folder}/maps", place, space
        self.files: list[str] = []

    def write(
        self,
        statistic: str,
        values: Any,
        description: str,
        *,
        names: Sequence[str] | None = None,
        facts: Mapping[str, Any] | None = None,
        space: str | None = None,
        subject: str | None = None,
    ) -> None:
        """Write a map, or several under names."""
        from affectome.neural import map_files, write_map

        path = write_map(
            self.out / self.folder, self.place, values, statistic=statistic, description=description, names=names,
            facts=facts, space=space or self.space, subject=subject,
        )  # fmt: skip
        self.files += [f"{self.folder}/{file.name}" for file in map_files(path)]


def brain_figure(
    values: Any,
    geometry: VolumeGrid | SurfaceMesh | None,
    label: str,
    significant: Any,
    *,
    title: str,
    diverging: bool = False,
) -> Figure:
    """The picture that where the voxels lie allows: a surface, a glass brain, slices, or sorted values."""
    from affectome.neural import SurfaceMesh
    from affectome.plotting import plot_glass_brain, plot_slices, plot_surface, plot_voxel_values

    if geometry is None:
        return plot_voxel_values(values, label, significant=significant, title=title)
    drawn: dict[str, Any] = {"significant": significant, "title": title, "diverging": diverging}
    if isinstance(geometry, SurfaceMesh):
        return plot_surface(values, geometry, label, **drawn)
    if (geometry.space or "").startswith("MNI"):
        return plot_glass_brain(values, geometry, label, **drawn)
    return plot_slices(values, geometry, label, **drawn)


def contrast_figures(
    geometry: VolumeGrid | SurfaceMesh | None,
    won: WinnerMap,
    differences: Sequence[EncodingDifference],
    labels: Mapping[str, str],
) -> dict[str, Figure]:
    """The best space of every voxel, and where one is better than another; none where voxels have no place."""
    from affectome.neural import SurfaceMesh
    from affectome.plotting import plot_difference_map, plot_winner_map

    if geometry is None:
        return {}
    on: Any = "surface" if isinstance(geometry, SurfaceMesh) else "slices"
    figures = {"winner": plot_winner_map(won, geometry, labels=labels, on=on, title=won.subject)}
    for found in differences:
        first, second = (labels.get(name, name) for name in (found.first, found.second))
        title = f"{found.subject}: {first} minus {second}"
        figures[f"difference_{found.second}"] = plot_difference_map(found, geometry, labels=labels, on=on, title=title)
    return figures


def brain_view(
    out: Path,
    folder: str,
    values: Any,
    geometry: VolumeGrid | SurfaceMesh | None,
    label: str,
    *,
    significant: Any,
    title: str,
) -> list[str]:
    """Write ``<folder>/view.html``, a map to turn or to click through; nothing where voxels have no place.

    Where nothing is significant every voxel is shown.
    """
    from affectome.report import write_brain_view

    if geometry is None:
        return []
    marked = significant if np.any(significant) else None
    try:
        write_brain_view(out / folder / "view.html", values, geometry, label, significant=marked, title=title)
    except InputError as error:  # a volume too large for a page
        logger.warning("There is no page to click through for %s: %s", title, error)
        return []
    return [f"{folder}/view.html"]
