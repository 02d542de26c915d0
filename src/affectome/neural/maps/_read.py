"""Maps back in, checked against the voxels they are of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import read_json, unreadable
from affectome._tables import read_table
from affectome.errors import InputError
from affectome.neural.maps._write import Place, place_of
from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.recordings._lattice import lattice_shift

__all__ = ["map_facts", "map_files", "read_map"]

Floats = NDArray[np.float32]


def read_map(path: str | os.PathLike[str], place: Place) -> Floats:
    """Read a map that :func:`write_map` wrote, or any other image of these voxels.

    Parameters
    ----------
    path
        A NIfTI file, either file of a GIFTI pair, or a table.
    place : Recording, VolumeGrid or SurfaceMesh
        Whose values to take; a volume must have the voxels of its grid.

    Returns
    -------
    float32 array of shape (n_voxels,) or (n_maps, n_voxels)
        As it was written, bit for bit.

    Raises
    ------
    InputError
        When the file is damaged, or has another grid, mesh or number of voxels.
    """
    source = Path(path)
    _, geometry = place_of(place)
    name = source.name.lower()
    if not source.exists():
        raise InputError("there is no such file", source=source, remedy="check the path")
    if name.endswith((".nii", ".nii.gz")) and isinstance(geometry, VolumeGrid):
        return _read_volume(source, geometry)
    if name.endswith(".gii") and isinstance(geometry, SurfaceMesh):
        return _read_surfaces(source, geometry)
    if name.endswith(".tsv") and isinstance(place, Recording) and geometry is None:
        return _read_table(source, place.n_voxels)
    kinds: dict[type, str] = {VolumeGrid: "voxels of a volume", SurfaceMesh: "vertices of a surface"}
    raise InputError(
        f"is no map of {kinds.get(type(geometry), 'columns without a place')}",
        source=source,
        remedy="give .nii.gz for a volume, .gii for a surface, .tsv for columns without a place",
    )


def map_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the JSON file beside a map says of it."""
    return read_json(_facts_file(Path(path)))


def map_files(path: str | os.PathLike[str]) -> list[Path]:
    """Every file of a map: the image, or both hemispheres, or the table, and the JSON file beside it."""
    source = Path(path)
    if source.name.endswith(".gii"):
        images = [_hemisphere(source, letter) for letter in "LR"]
        return [*images, _facts_file(source)]
    return [source, _facts_file(source)]


def _facts_file(source: Path) -> Path:
    stem = source.name
    for extension in (".nii.gz", ".nii", ".func.gii", ".gii", ".tsv"):
        stem = stem.removesuffix(extension)
    stem = stem.replace("_hemi-L", "").replace("_hemi-R", "")
    stem = stem.removeprefix("hemi-L_").removeprefix("hemi-R_")
    return source.with_name(f"{stem}.json")


def _hemisphere(path: Path, letter: str) -> Path:
    return path.with_name(path.name.replace("hemi-L_", f"hemi-{letter}_").replace("hemi-R_", f"hemi-{letter}_"))


def _read_volume(path: Path, grid: VolumeGrid) -> Floats:
    image = _load(path)
    shift = lattice_shift(grid, image.affine) if image.ndim in (3, 4) else None
    if shift is None or image.shape[:3] != grid.shape or np.any(shift):
        raise InputError("has another grid than the recording", source=path, remedy="give the map of these voxels")
    try:
        volume = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as error:
        raise _cut_short(path) from error
    found = volume[tuple(grid.ijk.T)]
    values: Floats = np.ascontiguousarray(found.T, dtype=np.float32)
    return values


def _read_surfaces(path: Path, mesh: SurfaceMesh) -> Floats:
    sides = []
    for letter, size in zip("LR", mesh.mesh_sizes, strict=True):
        here = _hemisphere(path, letter)
        if not here.exists():
            raise InputError("one hemisphere of the map is not there", source=here, remedy="copy both")
        arrays = [array.data for array in getattr(_load(here), "darrays", [])]
        if not arrays or any(array.shape != (size,) for array in arrays):
            raise InputError(f"is no map of {size} vertices", source=here, remedy="give the map of this mesh")
        sides.append(np.stack(arrays).astype(np.float32))
    if len(sides[0]) != len(sides[1]):
        raise InputError("the hemispheres hold different numbers of maps", source=path, remedy="write them again")
    values = np.empty((len(sides[0]), len(mesh)), np.float32)
    for side, chosen in zip(sides, (~mesh.right, mesh.right), strict=True):
        values[:, chosen] = side[:, mesh.vertices[chosen]]
    return values if _is_series(path) else values[0]


def _is_series(path: Path) -> bool:
    """Whether a pair of files holds a list of maps, which one list of length one must stay."""
    try:
        return map_facts(path).get("Maps") is not None
    except InputError:  # of other origin
        return len(getattr(_load(path), "darrays", [])) > 1


def _read_table(path: Path, n_voxels: int) -> Floats:
    table = read_table(path)
    if "voxel" not in table.columns or len(table) != n_voxels:
        raise InputError(f"is no map of {n_voxels} voxels", source=path, remedy="give the map of this recording")
    columns = table.drop(columns="voxel").replace("n/a", "nan")
    try:
        values: Floats = columns.astype(np.float64).to_numpy().T.astype(np.float32)
    except ValueError as error:
        raise InputError(f"holds a value that is no number ({error})", source=path, remedy="correct it") from error
    return values[0] if list(columns.columns) == ["value"] else values


def _load(path: Path) -> Any:
    import nibabel

    try:
        return nibabel.load(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # the readers raise whatever a damaged file makes them stumble over
        raise _cut_short(path) from error


def _cut_short(path: Path) -> InputError:
    return InputError("is no whole image; it was cut short or is damaged", source=path, remedy="write or copy it again")
