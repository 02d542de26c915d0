"""Maps out: NIfTI for volumes, GIFTI for surfaces, a table where voxels have no place."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome._files import atomic_path, make_folder, read_json, write_json
from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.neural.maps._names import map_stem
from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid

__all__ = ["Place", "place_of", "write_map"]

#: Whose voxels a map is of: a recording, or (for a group) a geometry alone.
Place = Recording | VolumeGrid | SurfaceMesh

Floats = NDArray[np.float32]


def write_map(
    folder: str | os.PathLike[str],
    place: Place,
    values: ArrayLike,
    *,
    statistic: str,
    description: str,
    units: str = "",
    subject: str | None = None,
    space: str | None = None,
    names: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a map, or several that belong together, as a file that other programs open.

    Voxels of a volume become a compressed NIfTI file, vertices a pair of GIFTI files (``hemi-L``, ``hemi-R``), columns
    of unknown place a table (TSV). Beside it stands a JSON file that says what the numbers are. Names follow
    BIDS: ``sub-01_space-MNI152NLin2009cAsym_stat-r_desc-mllm_statmap.nii.gz``, where ``space`` is that of the
    brain (left out for the person's own) and ``desc`` the space that was asked of it. BIDS has no final rule for
    statistical maps; ``stat`` and ``statmap`` are of its draft (extension proposal 41), and nilearn writes them too.

    Parameters
    ----------
    folder
        Made where it does not exist.
    place : Recording, VolumeGrid or SurfaceMesh
        Where the values lie; a geometry alone for a group.
    values : array of shape (n_voxels,) or (n_maps, n_voxels)
        Stored as float32; NaN where there is none. Several maps become the volumes of one file.
    statistic
        What the number is, in a word: ``"r"``, ``"p"``, ``"weights"``.
    description
        What it is, in a sentence.
    units
        Units of the values; empty where they have none.
    subject
        Whose map; by default the recording's, and for a geometry alone a group's (no ``sub`` in the name).
    space
        The space of features that the map was made with.
    names
        Of the maps, where there are several.
    facts
        What else the JSON file says: the null and what was permuted, the correction and over what, the level.

    Returns
    -------
    Path
        Of the NIfTI file, of the left GIFTI file, or of the table; :func:`read_map` reads it back.

    Raises
    ------
    InputError
        When values do not fit the voxels or are infinite, names are missing or given twice, two voxels have one
        place, or a file of that name holds another map.
    EnvironmentFailure
        When the folder cannot be written or the disk is full; no half file is left.

    Notes
    -----
    Outside the recording's voxels a volume or mesh is NaN, which tells "not measured" from zero. The codes of the
    NIfTI header say 4 (MNI) where the space's name begins with MNI152, else 2 (aligned). The q-form, which cannot
    hold shears, is set where it equals the s-form.
    """
    owner, geometry = place_of(place)
    n_voxels = place.n_voxels if isinstance(place, Recording) else len(place)
    maps = _checked_values(values, n_voxels)
    labels = _checked_names(names, maps)
    if not description.strip():
        raise InputError("the map has no description", source="description", remedy="say what the number is")
    who = owner if subject is None else subject
    entities: dict[str, Any] = {
        "subject": who,
        "grid_space": None if geometry is None else geometry.space,
        "statistic": statistic,
        "space": space,
    }
    target = make_folder(folder) / map_stem(hemisphere=None, **entities)
    sidecar = {
        "Description": description,
        "Statistic": statistic,
        "Units": units,
        "Subject": who,
        "FeatureSpace": space,
        "Space": "native" if entities["grid_space"] is None else entities["grid_space"],
        "Maps": labels,
        "NumberOfVoxels": n_voxels,
        **_checked_facts(facts or {}),
        "GeneratedBy": _generated_by(),
    }
    _refuse_another_map(target, sidecar)
    if isinstance(geometry, VolumeGrid):
        first = _write_volume(target, geometry, maps, statistic)
    elif isinstance(geometry, SurfaceMesh):
        first = _write_surfaces(target.parent, geometry, maps, labels, entities)
    else:
        first = _write_table(target, maps, labels)
    write_json(_with_extension(target, ".json"), sidecar)
    return first


def place_of(place: Place) -> tuple[str | None, VolumeGrid | SurfaceMesh | None]:
    """Whose voxels they are, and where they lie; every voxel in a place of its own."""
    owner, geometry = (place.subject, place.geometry) if isinstance(place, Recording) else (None, place)
    if geometry is None:
        return owner, None
    if isinstance(geometry, VolumeGrid):
        if np.any(geometry.ijk < 0) or np.any(geometry.ijk >= np.array(geometry.shape)):
            raise InputError(
                "a voxel lies outside its volume", source=owner or "geometry", remedy="correct its indices"
            )
        places = np.ravel_multi_index(tuple(geometry.ijk.T), geometry.shape)
    else:
        sizes = np.where(geometry.right, geometry.mesh_sizes[1], geometry.mesh_sizes[0])
        if np.any(geometry.vertices < 0) or np.any(geometry.vertices >= sizes):
            raise InputError("a vertex lies outside its mesh", source=owner or "geometry", remedy="correct its number")
        places = geometry.vertices + np.where(geometry.right, geometry.mesh_sizes[0], 0)
    shared = len(places) - len(np.unique(places))
    if shared:
        raise InputError(
            f"{shared} voxels lie where another does", source=owner or "geometry", remedy="keep one voxel per place"
        )
    return owner, geometry


def _checked_values(values: ArrayLike, n_voxels: int) -> Floats:
    given = np.asarray(values)
    if given.ndim not in (1, 2) or given.shape[-1] != n_voxels or 0 in given.shape:
        raise InputError(
            f"the values have the shape {given.shape} for {n_voxels} voxels",
            source="values",
            remedy="give one value per voxel, or maps × voxels",
        )
    with np.errstate(over="ignore"):
        maps: Floats = given.astype(np.float32)
    infinite = int(np.isinf(maps).sum())
    if infinite:
        raise InputError(f"{infinite} values are infinite as float32", source="values", remedy="make them NaN")
    return maps


def _checked_names(names: Sequence[str] | None, maps: Floats) -> list[str] | None:
    if names is None:
        if maps.ndim == 2:
            raise InputError(f"the {len(maps)} maps have no names", source="names", remedy="name each")
        return None
    if maps.ndim == 1 or len(names) != len(maps):
        raise InputError(
            f"{len(names)} names are given for {len(maps) if maps.ndim == 2 else 'a single map'}",
            source="names",
            remedy="give one per map, and none for values of a single map",
        )
    check_unique(list(names), source="names")
    return [str(name) for name in names]


def _checked_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    taken = {"Description", "Statistic", "Units", "Subject", "FeatureSpace", "Space", "Maps", "NumberOfVoxels"}
    double = taken & set(facts)
    if double:
        raise InputError(
            f"the facts name {cut_short(sorted(double))}", source="facts", remedy="leave it out: it is set"
        )
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in facts.items()}
    try:
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the facts cannot be written as JSON ({error})", source="facts", remedy="use texts and finite numbers"
        ) from error
    return plain


def _generated_by() -> list[dict[str, str]]:
    from affectome import __version__

    return [{"Name": "affectome", "Version": __version__}]


def _refuse_another_map(target: Path, sidecar: Mapping[str, Any]) -> None:
    """A file system that takes MLLM and mllm for one name must not lose one of two maps."""
    path = _with_extension(target, ".json")
    if not path.exists():
        return
    there = read_json(path)
    differing = [key for key in ("Subject", "FeatureSpace", "Statistic") if there.get(key) != sidecar[key]]
    if differing:
        key = differing[0]
        raise InputError(
            f"holds another map ({key} '{there.get(key)}', not '{sidecar[key]}')",
            source=path,
            remedy="choose another folder or name",
        )


def _with_extension(target: Path, extension: str) -> Path:
    return target.with_name(target.name + extension)


def _write_volume(target: Path, grid: VolumeGrid, maps: Floats, statistic: str) -> Path:
    import nibabel

    if maps.ndim == 1:
        volume = grid.volume(maps)
    else:
        volume = np.full((*grid.shape, len(maps)), np.nan, np.float32)
        volume[tuple(grid.ijk.T)] = maps.T
    image = nibabel.Nifti1Image(volume, grid.affine)
    code = 4 if (grid.space or "").startswith("MNI152") else 2
    image.set_sform(grid.affine, code)
    image.set_qform(grid.affine, code)
    if not np.allclose(image.get_qform(), grid.affine, atol=1e-3):
        image.set_qform(None, 0)
    image.header.set_xyzt_units("mm")
    image.header["intent_name"] = statistic.encode("ascii", "replace")[:15]
    path = _with_extension(target, ".nii.gz")
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
    return path


def _write_surfaces(
    folder: Path, mesh: SurfaceMesh, maps: Floats, labels: Sequence[str] | None, entities: Mapping[str, Any]
) -> Path:
    import nibabel
    from nibabel.gifti.gifti import GiftiDataArray, GiftiMetaData

    names = [str(entities["statistic"])] if labels is None else labels
    sides = [mesh.hemispheres(values) for values in np.atleast_2d(maps)]
    paths = [folder / f"{map_stem(hemisphere=letter, **entities)}.func.gii" for letter in "LR"]
    with ExitStack() as files:  # neither hemisphere is renamed before both are written
        temporary = [files.enter_context(atomic_path(path)) for path in paths]
        for k, structure in enumerate(("CortexLeft", "CortexRight")):
            image = nibabel.GiftiImage(meta=GiftiMetaData(AnatomicalStructurePrimary=structure))
            for name, side in zip(names, sides, strict=True):
                meta = GiftiMetaData(Name=name)
                image.add_gifti_data_array(
                    GiftiDataArray(side[k], intent="NIFTI_INTENT_NONE", datatype="float32", meta=meta)
                )
            temporary[k].write_bytes(image.to_bytes())
    return paths[0]


def _write_table(target: Path, maps: Floats, labels: Sequence[str] | None) -> Path:
    """Numbers of more digits than float32 has, so that it comes back bit for bit."""
    columns = ["value"] if labels is None else list(labels)
    table = pd.DataFrame(np.atleast_2d(maps).T.astype(np.float64), columns=columns)
    path = _with_extension(target, ".tsv")
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index_label="voxel", na_rep="n/a", lineterminator="\n")
    return path
