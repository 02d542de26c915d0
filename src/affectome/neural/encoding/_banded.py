"""Bands of features with a penalty each: what is given, and the weightings among which every voxel chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from affectome._fold_sums import Band
from affectome._tables import cut_short
from affectome.errors import InputError

__all__ = ["band_weightings", "check_bands", "weighted_band"]

_CONCENTRATIONS = (0.1, 1.0)  # of the Dirichlet: nearly one band alone, and anything alike

Columns = Sequence[Any] | NDArray[Any]


def check_bands(bands: Mapping[str, Columns], features: Sequence[Any]) -> NDArray[np.intp]:
    """The band of each feature, as a place in `bands`; every feature must lie in exactly one.

    Parameters
    ----------
    bands : mapping from band name to features
    features : names of all features
    """
    if not bands:
        raise InputError("there are no bands", source="bands", remedy="name at least one, or leave bands out")
    place = {name: k for k, name in enumerate(features)}
    band_of = np.full(len(place), -1, np.intp)
    for k, (band, columns) in enumerate(bands.items()):
        if len(columns) == 0:
            raise InputError("it has no columns", source="bands", where=f"band '{band}'", remedy="leave it out")
        unknown = [c for c in columns if c not in place]
        if unknown:
            raise InputError(
                f"the features lack {len(unknown)} of its columns ({cut_short(unknown)})",
                source="bands",
                where=f"band '{band}'",
                remedy=f"name columns of the space ({cut_short([str(f) for f in features], 3)})",
            )
        places = np.array([place[c] for c in columns])
        twice = [c for c in columns if band_of[place[c]] >= 0] or _repeated(columns)
        if twice:
            raise InputError(
                f"{len(twice)} of its columns lie in a band already ({cut_short(twice)})",
                source="bands",
                where=f"band '{band}'",
                remedy="give every feature to one band",
            )
        band_of[places] = k
    left = [f for f, band in zip(features, band_of, strict=True) if band < 0]
    if left:
        raise InputError(
            f"{len(left)} features lie in no band ({cut_short(left)})",
            source="bands",
            remedy="give every feature to one band, or drop it from the space",
        )
    return band_of


def _repeated(columns: Columns) -> list[Any]:
    seen: set[Any] = set()
    return [c for c in columns if c in seen or seen.add(c)]  # type: ignore[func-returns-value]


def band_weightings(n_bands: int, weightings: int | ArrayLike, seed: int | None) -> NDArray[np.float64]:
    """Weights of the bands among which every voxel chooses, (n_weightings, n_bands).

    Parameters
    ----------
    weightings
        A number: equal weights, each band nearly alone, and the rest drawn from Dirichlet distributions of
        concentration 0.1 and 1 in turn; each row averages 1. An array: these rows as they are.
    seed
        Of the draws.
    """
    if not isinstance(weightings, (int, np.integer)):
        given = np.atleast_2d(np.asarray(weightings, np.float64))
        if given.ndim != 2 or given.shape[1] != n_bands or not len(given):
            raise InputError(
                f"weightings of the shape {np.shape(weightings)} are given for {n_bands} bands",
                remedy="give one row per weighting and one column per band",
            )
        if not np.isfinite(given).all() or (given < 0).any() or (given.max(axis=1) <= 0).any():
            raise InputError(
                "a weighting of the bands is negative, not finite or all 0", remedy="give weights of at least 0"
            )
        return given
    fixed = np.vstack([np.full((1, n_bands), 1 / n_bands), np.eye(n_bands) * 0.98 + 0.01])
    if weightings < 1:
        raise InputError(f"weightings={weightings} leaves nothing to choose from", remedy="use at least 1")
    n_drawn = max(0, int(weightings) - len(fixed))
    if n_drawn and seed is None:
        raise InputError("weightings of the bands are drawn without a seed", remedy="give seed=")
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.dirichlet(np.full(n_bands, _CONCENTRATIONS[k % 2])) for k in range(n_drawn)]).reshape(
        n_drawn, n_bands
    )
    # A weight of 1e-6 of the mean is as good as none, and keeps its penalty finite.
    rows = np.maximum(np.vstack([fixed, drawn])[: int(weightings)], 1e-6)
    weights: NDArray[np.float64] = rows / rows.mean(axis=1, keepdims=True)
    return weights


def weighted_band(band_of: NDArray[np.intp], weights: NDArray[np.float64]) -> Band:
    """All features, each multiplied by the root of its band's weight: its penalty becomes alpha / weight."""
    return Band(np.arange(len(band_of)), np.sqrt(weights[band_of]))
