"""Does a component lie in the same places in other people."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from affectome._resampling import (
    check_level,
    check_permutations,
    false_discovery_rate,
    permutation_p,
    warn_of_resolution,
)
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.neural.encoding._components import ComponentMaps
from affectome.neural.recordings import SurfaceMesh, VolumeGrid

__all__ = ["Consistency", "component_consistency"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

_FEWEST_PLACES = 3


@dataclass(frozen=True, eq=False)
class Consistency:
    """How alike the maps of each component are over people.

    Attributes
    ----------
    table : DataFrame, index component
        ``r`` (mean correlation over pairs of people), ``low``, ``high``, ``p`` (one-sided), ``q`` (Benjamini-Hochberg
        over components), ``identified`` (share of people whose map of this component is most like the mean map that
        the others have of it, among their maps of all components). NaN for a component that is flat in somebody.
    pairs : DataFrame
        ``component``, ``first``, ``second``, ``r``.
    r, p : float
        Mean over components, and its p.
    accuracy, chance, p_accuracy : float
        Share identified over all components and people, 1 / n_components, and its p.
    smallest_p : float
        The least that p of a component can be: 1 / (n_permutations + 1), or where there are fewer assignments,
        n_components ** -n_subjects.
    by : "region" or "voxel"
    places : int
        Regions or voxels that the correlations go over.
    subjects : tuple of str
    level : float
        Coverage the intervals aim at, each by itself.
    n_permutations : int
    """

    table: pd.DataFrame
    pairs: pd.DataFrame
    r: float
    p: float
    accuracy: float
    chance: float
    p_accuracy: float
    smallest_p: float
    by: Literal["region", "voxel"]
    places: int
    subjects: tuple[str, ...]
    level: float
    n_permutations: int

    @property
    def null(self) -> str:
        """The null hypothesis, as a sentence."""
        return (
            "A component's map in one person is no more like its map in another than like the other's map of any "
            "component (names of components are exchangeable, within each person)."
        )


def component_consistency(
    maps: Sequence[ComponentMaps],
    *,
    by: Literal["region", "voxel"] = "region",
    regions: Sequence[str] | None = None,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int,
) -> Consistency:
    """Correlate every component's maps between people.

    Parameters
    ----------
    maps
        One per person, of the same space.
    by
        ``"region"``: profiles over regions, which need no common space. ``"voxel"``: maps over the voxels that all
        people kept, in a common space and over the same voxels (:func:`common_geometry`,
        :meth:`ComponentMaps.select_voxels`).
    regions
        Which to take; by default all in which everybody has a voxel. Choose ones that do not overlap: a group and its
        areas count twice.
    n_permutations
    level
        Coverage of the intervals.
    seed
        Of the permutations.

    Returns
    -------
    Consistency

    Notes
    -----
    **Null.** Which map belongs to which component is exchangeable in every person. The names are permuted in each
    person independently, whole maps at once. Places are *not* permuted: neighbouring voxels and regions are alike, so
    that maps over permuted places vary too little and chance looks like consistency. Maps that all components share
    (a region with a strong signal) stay under this permutation, so that only what is the component's own counts.
    One-sided, p = (b + 1) / (n_permutations + 1).

    **Correction.** Benjamini-Hochberg over components. A permutation may give a component the maps that another has
    in everybody, as consistent as its own; where all are consistent, p is therefore of the order of
    n_components ** (1 - n_subjects), which is little with five people and too much with two.

    **Interval.** Of the mean correlation over pairs of people of the same kind: jackknife over people on Fisher's z, t
    with n_subjects - 1 degrees of freedom; NaN with two people. Regions, or voxels, are taken as they are. With five
    people it is wide and approximate.

    Everybody saw the same stimuli, so that correlated components blur each other alike in everybody. Where components
    correlate, consistent maps may be of a neighbouring component; look at `identified`.
    """
    check_level(level)
    check_permutations(n_permutations)
    values, components = _stacked(maps, by, regions)
    units = _unit(values)
    defined: NDArray[np.bool_] = np.asarray(np.isfinite(units).all(axis=(0, 2)))
    flat = [name for name, known in zip(components, defined, strict=True) if not known]
    if flat:
        logger.warning("%d components are flat in somebody and have no consistency: %s.", len(flat), cut_short(flat))
    if defined.sum() < 2:
        raise InputError(
            f"{defined.sum()} components have a map in everybody, and a null needs others",
            remedy="give a space with at least two",
        )
    n, k = len(maps), int(defined.sum())
    products = _products(units[:, defined])
    r, accurate = _pair_means(products), _identified(products)
    nulls, hits = _permuted(products, n_permutations, seed)
    low, high = _interval(products, level)
    p = permutation_p(r, nulls)
    smallest = max(1 / (n_permutations + 1), float(k) ** -n)
    warn_of_resolution(p, n_permutations, of="components")
    columns = {"r": r, "low": low, "high": high, "p": p, "q": false_discovery_rate(p), "identified": accurate.mean(0)}
    index = pd.Index(components, name="component")
    return Consistency(
        table=pd.DataFrame(columns, index=index[defined]).reindex(index),
        pairs=_pair_table(products, index[defined], [one.subject for one in maps]),
        r=float(r.mean()),
        p=float(permutation_p(r.mean(), nulls.mean(axis=1))),
        accuracy=float(accurate.mean()),
        chance=1 / k,
        p_accuracy=float(permutation_p(accurate.mean(), hits)),
        smallest_p=smallest,
        by=by,
        places=values.shape[2],
        subjects=tuple(one.subject for one in maps),
        level=level,
        n_permutations=n_permutations,
    )


def _stacked(
    maps: Sequence[ComponentMaps], by: Literal["region", "voxel"], regions: Sequence[str] | None
) -> tuple[Floats, list[str]]:
    """Maps of all people over the same places, (n_subjects, n_components, n_places), and the components."""
    if len(maps) < 2:
        raise InputError(f"{len(maps)} person has nobody to be consistent with", remedy="give the maps of at least two")
    first = maps[0]
    subjects = [one.subject for one in maps]
    if len(set(subjects)) < len(subjects):
        raise InputError(f"there are two maps of {max(subjects, key=subjects.count)}", remedy="give one per person")
    for other in maps[1:]:
        if (other.space, other.features) != (first.space, first.features):
            raise InputError(
                f"the maps of {first.subject} are of {first.space} with {len(first.features)} components, those of "
                f"{other.subject} of {other.space} with {len(other.features)}, or in another order",
                remedy="give maps of one space",
            )
    values = _by_region(maps, regions) if by == "region" else _by_voxel(maps)
    if values.shape[2] < _FEWEST_PLACES:
        raise InputError(
            f"{values.shape[2]} {by}s with a value in everybody are too few to correlate",
            remedy=f"give at least {_FEWEST_PLACES}",
        )
    return values, list(first.features)


def _by_region(maps: Sequence[ComponentMaps], regions: Sequence[str] | None) -> Floats:
    shared = [name for name in maps[0].profiles.columns if all(name in one.profiles.columns for one in maps)]
    missing = [] if regions is None else [name for name in regions if name not in shared]
    if missing:
        raise InputError(f"not everybody has the regions {cut_short(missing)}", remedy="leave them out")
    chosen = shared if regions is None else list(regions)
    values = np.stack([one.profiles[chosen].to_numpy(np.float64) for one in maps])
    filled: NDArray[np.bool_] = np.isfinite(values).all(axis=(0, 1))
    if not filled.all():
        empty = [name for name, known in zip(chosen, filled, strict=True) if not known]
        logger.info("%d regions are empty in somebody and left out: %s.", len(empty), cut_short(empty))
    return values[:, :, filled]


def _by_voxel(maps: Sequence[ComponentMaps]) -> Floats:
    for other in maps[1:]:
        if not _same_places(maps[0].geometry, other.geometry):
            raise InputError(
                f"the voxels of {maps[0].subject} and {other.subject} are not the same places of a common space",
                remedy="take those that all people have (common_geometry, select_voxels), or compare by region",
            )
    everywhere = np.logical_and.reduce([one.kept for one in maps])
    return np.stack([one.weights[:, everywhere].astype(np.float64) for one in maps])


def _same_places(a: VolumeGrid | SurfaceMesh | None, b: VolumeGrid | SurfaceMesh | None) -> bool:
    if isinstance(a, VolumeGrid) and isinstance(b, VolumeGrid):
        alike = np.array_equal(a.ijk, b.ijk) and a.shape == b.shape and np.allclose(a.affine, b.affine, atol=1e-4)
    elif isinstance(a, SurfaceMesh) and isinstance(b, SurfaceMesh):
        alike = np.array_equal(a.vertices, b.vertices) and np.array_equal(a.right, b.right)
    else:
        return False
    return alike and a.space is not None and a.space == b.space


def _unit(values: Floats) -> Floats:
    """Maps centred over places and of unit length; NaN where one is flat."""
    centred = values - values.mean(axis=2, keepdims=True)
    length = np.linalg.norm(centred, axis=2, keepdims=True)
    flat = length <= 1e-9 * np.abs(values).max(axis=2, keepdims=True)
    units: Floats = np.where(flat, np.nan, centred / np.where(flat, 1.0, length))
    return units


def _products(units: Floats) -> Floats:
    """Correlation of any two maps of any two people, (n_subjects, n_components, n_subjects, n_components)."""
    n, k, places = units.shape
    stacked = units.reshape(n * k, places)
    products: Floats = (stacked @ stacked.T).reshape(n, k, n, k)
    return products


def _pair_means(products: Floats) -> Floats:
    """Mean over pairs of people of each component's correlation, (n_components,)."""
    n = len(products)
    same = np.einsum("sctc->stc", products)
    means: Floats = same[np.triu_indices(n, 1)].mean(axis=0)
    return means


def _identified(products: Floats) -> NDArray[np.bool_]:
    """Whether a map is most like the same component in the mean map of the others, (n_subjects, n_components)."""
    n, k = products.shape[:2]
    found = np.empty((n, k), np.bool_)
    same = np.einsum("sctc->stc", products)
    for person in range(n):
        others = np.arange(n) != person
        length = np.sqrt(same[np.ix_(others, others)].sum(axis=(0, 1)))
        likeness = products[person][:, others].sum(axis=1) / np.where(length > 0, length, np.inf)
        found[person] = likeness.argmax(axis=1) == np.arange(k)
    return found


def _permuted(products: Floats, n_permutations: int, seed: int) -> tuple[Floats, Floats]:
    """Means over pairs (n_permutations, n_components) and share identified (n_permutations,) under permuted names."""
    n, k = products.shape[:2]
    flat = products.reshape(n * k, n * k)
    rng = np.random.default_rng(seed)
    means, hits = np.empty((n_permutations, k)), np.empty(n_permutations)
    for draw in range(n_permutations):
        names = rng.permuted(np.tile(np.arange(k), (n, 1)), axis=1) + k * np.arange(n)[:, None]
        renamed = flat[np.ix_(names.ravel(), names.ravel())].reshape(n, k, n, k)
        means[draw], hits[draw] = _pair_means(renamed), _identified(renamed).mean()
    return means, hits


def _interval(products: Floats, level: float) -> tuple[Floats, Floats]:
    """Jackknife over people of the mean correlation, on Fisher's z."""
    n = len(products)
    value = np.arctanh(np.clip(_pair_means(products), -1 + 1e-12, 1 - 1e-12))
    if n < 3:
        return np.full(len(value), np.nan), np.full(len(value), np.nan)
    without = np.empty((n, len(value)))
    for person in range(n):
        rest = np.arange(n) != person
        without[person] = np.arctanh(np.clip(_pair_means(products[rest][:, :, rest]), -1 + 1e-12, 1 - 1e-12))
    error = np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    reach = stats.t.ppf((1 + level) / 2, n - 1) * error
    return np.tanh(value - reach), np.tanh(value + reach)


def _pair_table(products: Floats, components: pd.Index, subjects: list[str]) -> pd.DataFrame:
    rows = [
        (name, subjects[s], subjects[t], float(products[s, place, t, place]))
        for place, name in enumerate(components)
        for s, t in itertools.combinations(range(len(subjects)), 2)
    ]
    return pd.DataFrame(rows, columns=["component", "first", "second", "r"])
