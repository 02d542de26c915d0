"""Maps of a space for looking at; nothing is computed from their coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectome.errors import InputError

__all__ = ["Projection", "project_tsne"]

_SMALL = 1000


@dataclass(frozen=True, eq=False)
class Projection:
    """A space in two dimensions.

    Attributes
    ----------
    coordinates : DataFrame of shape (n_stimuli, 2)
        Columns ``x``, ``y``; their units mean nothing.
    trustworthiness : float
        Share of neighbours on the map that are neighbours in the space (Venna & Kaski 2001), 0..1, at
        `n_neighbors`; 1 is a faithful map.
    perplexity : float
    n_neighbors : int
    seed : int
    """

    coordinates: pd.DataFrame
    trustworthiness: float
    perplexity: float
    n_neighbors: int
    seed: int


def project_tsne(space: pd.DataFrame, *, perplexity: float = 30.0, n_neighbors: int = 15, seed: int) -> Projection:
    """Map a space by t-SNE, started from its principal components.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    perplexity
        Reduced to a third of the stimuli where there are few.
    n_neighbors
        Neighbourhood in which trustworthiness is measured.
    seed
    """
    from sklearn.manifold import TSNE, trustworthiness
    from threadpoolctl import threadpool_limits

    n = len(space)
    if n < 10:
        raise InputError(f"{n} stimuli make no map", remedy="give at least ten")
    values = space.to_numpy(dtype=np.float64)
    used = min(perplexity, (n - 1) / 3)
    neighbours = min(n_neighbors, (n - 1) // 2)
    start = "pca" if values.shape[1] > 1 else "random"
    # Threads gain nothing on a small map, and on a busy machine they wait for each other.
    with threadpool_limits(1 if n < _SMALL else None):
        map_ = TSNE(perplexity=used, init=start, random_state=seed % 2**32).fit_transform(values)
    return Projection(
        coordinates=pd.DataFrame(map_, index=space.index, columns=["x", "y"]),
        trustworthiness=float(trustworthiness(values, map_, n_neighbors=neighbours)),
        perplexity=float(used),
        n_neighbors=neighbours,
        seed=seed,
    )
