"""Discs on a surface: which vertices lie within a distance along the mesh."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._files import unreadable
from affectome._progress import Progress, silent
from affectome.errors import InputError
from affectome.neural.recordings import SurfaceMesh
from affectome.neural.searchlight._inputs import Neighbourhoods
from affectome.neural.searchlight._io import cached, content_key
from affectome.neural.searchlight._neighbourhoods import chosen_centres, smallest_size, told_of_small

__all__ = ["Sheet", "disc_neighbourhoods"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Path = str | os.PathLike[str]
Shape = Path | tuple[ArrayLike, ArrayLike]

_BLOCK = 256  # centres near one another, whose paths are sought together
_FSAVERAGE5 = 10242


class Sheet(NamedTuple):
    """The surface of one hemisphere: coordinates (n, 3) in mm, triangles (n_faces, 3)."""

    coordinates: Floats
    faces: NDArray[np.int64]


def disc_neighbourhoods(
    mesh: SurfaceMesh,
    radius: float,
    *,
    surface: tuple[Shape, Shape] | None = None,
    centres: ArrayLike | None = None,
    min_voxels: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> Neighbourhoods:
    r"""Discs around the vertices of a recording, by the length of the shortest path along edges of the mesh.

    Parameters
    ----------
    mesh : SurfaceMesh
        Of the recording.
    radius : float
        In mm, along the surface.
    surface : (left, right), optional
        Where the vertices lie: for each hemisphere a GIFTI surface (``.surf.gii``), or coordinates (n, 3) in mm and
        triangles (n_faces, 3). Best midway between white matter and pia. By default, where the mesh is fsaverage5, the
        mean of the white and the pial surface of the template that comes with nilearn.
    centres, min_voxels, cache
        As in :func:`sphere_neighbourhoods`; half of a whole disc is half of the largest one here.
    progress
        Told after every block of centres.

    Returns
    -------
    Neighbourhoods
        Never across hemispheres. Paths may cross vertices that the recording lacks (the medial wall); discs hold only
        those it has.

    Raises
    ------
    InputError
        Where the mesh is unknown and no surface is given, a surface has another number of vertices than the mesh or
        faces that name none of them, or the radius reaches no neighbour.

    Notes
    -----
    A path along edges is never shorter than the geodesic. On a plane of equilateral triangles it is longer by

    .. math:: \cos\theta + \sin\theta / \sqrt 3, \qquad 0 \le \theta \le \pi/3

    for a target at the angle :math:`\theta` from an edge: by nothing along an edge, by 15% at worst and 10% on average.
    So a disc is a hexagon inside the true one and has about 0.83 of its area; compare radii between meshes with that
    in mind, not with those of spheres. On fsaverage5 edges are about 3 mm long on average: a radius of 10 mm holds
    some 40 vertices (17 to 86).

    Dijkstra's algorithm (scipy) in the part of the mesh around each block of 256 neighbouring centres.

    Examples
    --------
    >>> row = np.arange(7.0)
    >>> strip = np.column_stack([np.repeat([0.0, 1.0], 7), np.tile(row, 2), np.zeros(14)])
    >>> faces = [[k, k + 1, k + 7] for k in range(6)] + [[k + 1, k + 7, k + 8] for k in range(6)]
    >>> mesh = SurfaceMesh(np.tile(np.arange(14, dtype=np.int32), 2), np.repeat([False, True], 14), (14, 14))
    >>> discs = disc_neighbourhoods(mesh, 2.0, surface=((strip, faces), (strip, faces)), min_voxels=3)
    >>> discs[0].tolist(), discs[14].tolist()
    ([0, 1, 2, 7, 8], [14, 15, 16, 21, 22])
    """
    if not np.isfinite(radius) or radius <= 0:
        raise InputError(f"radius={radius} mm holds nothing", remedy="use a radius above 0")
    sheets = _sheets(mesh, surface)
    columns = chosen_centres(centres, len(mesh))

    def make() -> Neighbourhoods:
        return _discs(mesh, sheets, columns, radius, min_voxels, progress)

    geometry = [part for sheet in sheets for part in sheet]
    key = content_key("disc", mesh.vertices, mesh.right, *geometry, columns, f"{radius} {min_voxels}")
    made = cached(cache, key, make)
    return told_of_small(made, smallest_size(min_voxels, int(made.sizes.max(initial=0))))


def _discs(
    mesh: SurfaceMesh, sheets: Sequence[Sheet], columns: Ints, radius: float, min_voxels: int | None, progress: Progress
) -> Neighbourhoods:
    discs: dict[int, Ints] = {}
    for sheet, is_right in zip(sheets, (False, True), strict=True):
        here = np.flatnonzero(mesh.right == is_right)
        column_of = np.full(len(sheet.coordinates), -1, np.int32)
        column_of[mesh.vertices[here]] = here
        wanted = columns[mesh.right[columns] == is_right]
        for vertices, near, within in _reached(sheet, mesh.vertices[wanted], radius):
            known = column_of[near]
            for vertex, row in zip(vertices, within, strict=True):
                inside = known[row]
                discs[int(column_of[vertex])] = np.sort(inside[inside >= 0])
            progress(len(discs), len(columns), detail="discs")
    largest = max((len(disc) for disc in discs.values()), default=0)
    if largest < 2:
        raise InputError(f"a radius of {radius} mm reaches no neighbour", remedy="use a larger one")
    fewest = smallest_size(min_voxels, largest)
    kept = [int(column) for column in columns if len(discs[int(column)]) >= fewest]
    starts = np.concatenate([[0], np.cumsum([len(discs[column]) for column in kept])]).astype(np.int64)
    voxels = np.concatenate([discs[column] for column in kept]) if kept else np.empty(0, np.int32)
    centres, left_out = np.array(kept, np.int32), len(columns) - len(kept)
    return Neighbourhoods(starts, voxels, centres, radius=float(radius), unit="mm", n_left_out=left_out)


def _reached(sheet: Sheet, wanted: Ints, radius: float) -> Iterator[tuple[Ints, Ints, NDArray[np.bool_]]]:
    """For each block of centres: the centres, the vertices near them, and which of these each one reaches."""
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import cKDTree

    if not len(wanted):
        return
    edges, places = _edges(sheet), cKDTree(sheet.coordinates)
    nearby = cKDTree(sheet.coordinates[wanted]).indices  # leaf by leaf: those that follow one another lie together
    # scipy's limit excludes nothing at the limit itself, but sums of edges round
    limit = radius * (1 + 1e-9)
    for start in range(0, len(wanted), _BLOCK):
        vertices = wanted[nearby[start : start + _BLOCK]]
        middle = sheet.coordinates[vertices].mean(axis=0)
        spread = np.linalg.norm(sheet.coordinates[vertices] - middle, axis=1).max()
        # No path of this length leaves the ball of this radius around its start, so that the rest can be left away.
        near = np.sort(np.asarray(places.query_ball_point(middle, spread + limit + 1e-6), np.int32))
        own = np.searchsorted(near, vertices)
        lengths = dijkstra(edges[near][:, near], directed=False, indices=own, limit=limit)
        yield vertices, near, lengths <= limit


def _edges(sheet: Sheet) -> Any:
    """Sparse matrix (n, n) of the lengths of edges, each once in both directions."""
    from scipy.sparse import csr_array

    n = len(sheet.coordinates)
    pairs = np.sort(np.concatenate([sheet.faces[:, [0, 1]], sheet.faces[:, [1, 2]], sheet.faces[:, [0, 2]]]), axis=1)
    pairs = np.unique(pairs, axis=0).astype(np.int32)  # what graphs of scipy are numbered with
    lengths = np.linalg.norm(sheet.coordinates[pairs[:, 0]] - sheet.coordinates[pairs[:, 1]], axis=1)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return csr_array((np.tile(lengths, 2), (both[:, 0], both[:, 1])), shape=(n, n))


def _sheets(mesh: SurfaceMesh, surface: tuple[Shape, Shape] | None) -> tuple[Sheet, Sheet]:
    sides = (f"the {side} surface" for side in ("left", "right"))
    if surface is None:
        left, right = _template(mesh)
    else:
        left, right = (_sheet(shape, side) for shape, side in zip(surface, sides, strict=True))
    for sheet, size, side in zip((left, right), mesh.mesh_sizes, ("left", "right"), strict=True):
        if len(sheet.coordinates) != size:
            raise InputError(
                f"has {len(sheet.coordinates)} vertices and the mesh of the recording {size}",
                source=f"the {side} surface",
                remedy="give the surface of the recording's own mesh",
            )
    return left, right


def _template(mesh: SurfaceMesh) -> tuple[Sheet, Sheet]:
    """Fsaverage5, midway between white matter and pia; nilearn's own files, nothing is downloaded."""
    if mesh.space not in (None, "fsaverage5") or mesh.mesh_sizes != (_FSAVERAGE5, _FSAVERAGE5):
        raise InputError(
            f"where the vertices of the mesh {mesh.space or 'of the recording'} lie is not known",
            remedy="give surface=(left, right), the GIFTI surfaces of this mesh",
        )
    from nilearn.datasets import load_fsaverage

    template = load_fsaverage("fsaverage5")
    sides = []
    for side in ("left", "right"):
        white, pial = template["white_matter"].parts[side], template["pial"].parts[side]
        middle = (np.asarray(white.coordinates, np.float64) + np.asarray(pial.coordinates, np.float64)) / 2
        sides.append(Sheet(middle, np.asarray(pial.faces, np.int64)))
    return sides[0], sides[1]


def _sheet(shape: Shape, side: str) -> Sheet:
    given = shape if isinstance(shape, tuple) else _read_surface(shape)
    source = side if isinstance(shape, tuple) else os.fspath(shape)
    coordinates, faces = np.asarray(given[0], np.float64), np.asarray(given[1])
    if coordinates.ndim != 2 or coordinates.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(
            f"has coordinates of the shape {coordinates.shape} and faces of the shape {faces.shape}",
            source=source,
            remedy="give three coordinates per vertex and three vertices per face",
        )
    if not np.isfinite(coordinates).all():
        at = int(np.flatnonzero(~np.isfinite(coordinates).all(axis=1))[0])
        raise InputError("a coordinate is no number", source=source, where=f"vertex {at}", remedy="repair the surface")
    if (
        faces.min(initial=0) < 0
        or faces.max(initial=0) >= len(coordinates)
        or not np.issubdtype(faces.dtype, np.integer)
    ):
        raise InputError(
            f"a face names a vertex that is none of the {len(coordinates)}", source=source, remedy="repair the surface"
        )
    return Sheet(coordinates, faces.astype(np.int64))


def _read_surface(path: Path) -> tuple[Any, Any]:
    import nibabel

    try:
        image: Any = nibabel.load(os.fspath(path))
        coordinates, faces = image.agg_data(("pointset", "triangle"))
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # the reader raises whatever a damaged file makes it stumble over
        raise InputError("is no GIFTI surface", source=path, remedy="give a .surf.gii file") from error
    return coordinates, faces
