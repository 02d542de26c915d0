"""Maps of a space for looking at; nothing is computed from their coordinates but how far to trust them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome.errors import EnvironmentFailure, InputError
from affectome.interpretation._classification import labelled_points
from affectome.spaces import as_space

__all__ = ["Projection", "category_prototypes", "map_agreement", "project_many", "project_tsne", "project_umap"]

_DENSE = 4096  # stimuli up to which UMAP looks at all distances
_FEWEST = 10
_ITERATIONS = 500  # twice as many raise trustworthiness by less than .003 on 2,185 stimuli
_ANGLE = 0.8  # of the Barnes-Hut tree: 0.5, as slow again by half, gives the same trustworthiness to .003


@dataclass(frozen=True, eq=False)
class Projection:
    """A space in two dimensions.

    Attributes
    ----------
    coordinates : DataFrame of shape (n_stimuli, 2)
        Columns ``x``, ``y``; their units mean nothing.
    trustworthiness : float
        One minus a penalty for neighbours on the map that are none in the space, by their rank there (Venna & Kaski
        2001), 0..1, at `n_neighbors`; 1 is a faithful map, 0.5 about what a random one gets.
    perplexity : float
        Of t-SNE; NaN for UMAP.
    n_neighbors : int
    seed : int
    continuity : float
        The same with map and space exchanged: a penalty for neighbours in the space that the map has torn apart.
    method : str
        ``"t-SNE"`` or ``"UMAP"``.
    setting : str
        What the method was told, for a caption: ``"perplexity 30"`` or ``"15 neighbours, min. distance 0.1"``.
    """

    coordinates: pd.DataFrame
    trustworthiness: float
    perplexity: float
    n_neighbors: int
    seed: int
    continuity: float = np.nan
    method: str = "t-SNE"
    setting: str = ""

    @property
    def caption(self) -> str:
        """Method, setting and how faithful the map is, in one line."""
        setting = self.setting or f"perplexity {self.perplexity:g}"
        torn = "" if np.isnan(self.continuity) else f", continuity {self.continuity:.3f}"
        return f"{self.method}, {setting}, trustworthiness {self.trustworthiness:.3f}{torn}"


def project_tsne(space: pd.DataFrame, *, perplexity: float = 30.0, n_neighbors: int = 15, seed: int) -> Projection:
    """Map a space by t-SNE, started from its principal components.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Distances are Euclidean on the features as they are.
    perplexity
        Reduced to a third of the stimuli where there are few.
    n_neighbors
        Neighbourhood in which trustworthiness and continuity are measured.
    seed

    Notes
    -----
    500 iterations of the Barnes-Hut approximation at angle 0.8, on one thread, so that the map does not depend on the
    number of processors: a gradient summed in another order is another map after some hundred steps.
    """
    return project_many({"space": space}, perplexities=(perplexity,), n_neighbors=n_neighbors, seed=seed, n_jobs=1)[
        "space", float(perplexity)
    ]


def project_many(
    spaces: Mapping[str, pd.DataFrame],
    *,
    perplexities: Sequence[float] = (10, 30, 100),
    n_neighbors: int = 15,
    n_jobs: int = 2,
    seed: int,
    progress: Progress = silent,
) -> dict[tuple[str, float], Projection]:
    """Map several spaces by t-SNE, each at several perplexities; every map as :func:`project_tsne` makes it.

    What looks like a cluster at one perplexity alone is one of the method: small ones split clouds, large ones join
    them.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
    perplexities
    n_neighbors
        Neighbourhood in which trustworthiness and continuity are measured; the ranking of neighbours in a space is made
        once for all of its maps.
    n_jobs
        Maps made at the same time. It changes no map.
    seed
        Every map starts from it.
    progress

    Returns
    -------
    mapping from (name, perplexity asked for) to Projection
    """
    if n_jobs < 1:
        raise InputError(f"n_jobs={n_jobs} makes no map", remedy="use n_jobs >= 1")
    if not spaces or not perplexities:
        raise InputError("there is nothing to map", remedy="give at least one space and one perplexity")
    for perplexity in perplexities:
        if not perplexity > 1:
            raise InputError(f"a perplexity of {perplexity} is no neighbourhood", remedy="use one above 1")
    checked = {name: _checked(space, name) for name, space in spaces.items()}
    ranks = {name: _neighbour_ranks(values) for name, (_, values) in checked.items()}
    keys = [(name, float(perplexity)) for name in checked for perplexity in perplexities]

    def draw(key: tuple[str, float]) -> Projection:
        name, perplexity = key
        index, values = checked[name]
        used = min(perplexity, (len(values) - 1) / 3)
        drawn = _tsne(values, used, seed)
        found = _judged(index, drawn, ranks[name], n_neighbors, seed)
        return replace(found, perplexity=float(used), setting=f"perplexity {used:g}")

    maps: dict[tuple[str, float], Projection] = {}
    with _one_blas_thread(), ThreadPoolExecutor(min(n_jobs, len(keys))) as pool:
        for key, made in zip(keys, pool.map(draw, keys), strict=True):
            maps[key] = made
            progress(len(maps), len(keys), detail=f"{key[0]}, perplexity {key[1]:g}")
    return maps


def project_umap(
    space: pd.DataFrame,
    *,
    umap_neighbors: int = 15,
    min_dist: float = 0.1,
    n_neighbors: int = 15,
    seed: int,
) -> Projection:
    """Map a space by UMAP (McInnes et al. 2018), seeded and therefore on one thread.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Distances are Euclidean on the features as they are.
    umap_neighbors
        Neighbours that UMAP keeps together, fewer where there are few stimuli; the counterpart of a perplexity.
    min_dist
        How close UMAP may pack points, 0..1.
    n_neighbors
        Neighbourhood in which trustworthiness and continuity are measured.
    seed

    Raises
    ------
    EnvironmentFailure
        Without the extra ``maps``.

    Notes
    -----
    500 epochs up to 10,000 stimuli, as umap-learn has it: on 2,185 stimuli, 200 save 1.5 s a map and lose up to .005 of
    the mean trustworthiness over three seeds and .008 of a single one.
    """
    if umap_neighbors < 2 or not 0 <= min_dist <= 1:
        raise InputError(
            f"umap_neighbors={umap_neighbors} and min_dist={min_dist} make no map",
            remedy="use at least 2 neighbours and a distance between 0 and 1",
        )
    index, values = _checked(space, "the space")
    used = min(umap_neighbors, len(values) - 1)
    reducer = _umap()
    with warnings.catch_warnings():
        # umap-learn says that a seed costs parallelism, and that few stimuli have a simple graph.
        warnings.filterwarnings("ignore", message="n_jobs value .* overridden", category=UserWarning)
        warnings.filterwarnings("ignore", message="k >= N for N \\* N square matrix", category=RuntimeWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
        warnings.filterwarnings("ignore", message="using precomputed metric", category=UserWarning)
        settings = {"n_neighbors": used, "min_dist": min_dist, "random_state": seed % 2**32, "n_jobs": 1}
        if len(values) <= _DENSE:
            from scipy.spatial.distance import pdist, squareform

            # The same distances from the features would be computed by a Python call for each pair.
            drawn = reducer(metric="precomputed", **settings).fit_transform(squareform(pdist(values)))
        else:
            drawn = reducer(**settings).fit_transform(values.astype(np.float32))
        drawn = np.asarray(drawn, np.float64)
    found = _judged(index, drawn, _neighbour_ranks(values), n_neighbors, seed)
    setting = f"{used} neighbours, min. distance {min_dist:g}"
    return replace(found, perplexity=np.nan, method="UMAP", setting=setting)


def map_agreement(first: Projection, second: Projection, *, n_neighbors: int = 15) -> float:
    """Mean share of the nearest neighbours of a stimulus on one map that are among those on the other.

    Two maps of the same space that share few neighbours show their method, not the space. Unrelated maps of n stimuli
    share ``n_neighbors / (n - 1)``.
    """
    ids = first.coordinates.index
    if not ids.sort_values().equals(second.coordinates.index.sort_values()):
        raise InputError("the maps hold different stimuli", remedy="compare maps of the same stimuli")
    k = min(n_neighbors, len(ids) - 1)
    near = [
        _neighbour_ranks(one.coordinates.loc[ids].to_numpy(np.float64)) <= k for one in (first, second)
    ]  # rank 0 is the stimulus itself
    shared = (near[0] & near[1]).sum(axis=1) - 1
    return float(shared.mean() / k)


def category_prototypes(
    space: pd.DataFrame,
    labels: pd.Series[str],
    *,
    most_common: int | None = None,
    exclude: Sequence[str] = (),
) -> pd.DataFrame:
    """The stimulus of each category that lies nearest to the category's centroid, in the space and not on a map.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    labels, most_common, exclude
        As in :func:`classify`; a category of one stimulus has no prototype.

    Returns
    -------
    DataFrame, index categories by falling number of stimuli
        ``id``, ``distance`` to the centroid (Euclidean, in units of the space), ``spread`` (root mean square distance
        of the category's stimuli to it) and ``n``. Of stimuli as near, the first id.

    Examples
    --------
    >>> space = pd.DataFrame({"c": [0.0, 1.0, 2.5, 9.0, 9.0]}, index=list("vwxyz"))
    >>> labels = pd.Series(["Joy", "Joy", "Joy", "Awe", "Awe"], index=list("vwxyz"))
    >>> category_prototypes(space, labels)["id"].to_dict()
    {'Joy': 'w', 'Awe': 'y'}
    """
    data = labelled_points(space, labels, most_common=most_common, exclude=exclude, fewest=1)
    rows = []
    for code, name in enumerate(data.names):
        here = data.order[data.member == code]
        distance = np.linalg.norm(data.points[here] - data.points[here].mean(axis=0), axis=1)
        best = int(distance.argmin())
        spread = float(np.sqrt((distance**2).mean()))
        rows.append((name, data.ids[here[best]], float(distance[best]), spread, len(here)))
    return pd.DataFrame(rows, columns=["category", "id", "distance", "spread", "n"]).set_index("category")


def _checked(space: pd.DataFrame, name: str) -> tuple[pd.Index, NDArray[np.float64]]:
    if len(space) < _FEWEST:
        raise InputError(f"{len(space)} stimuli make no map", remedy="give at least ten")
    values = as_space(space, source=name).to_numpy(dtype=np.float64)
    if not np.ptp(values, axis=0).any():
        raise InputError("all stimuli lie at the same place", source=name, remedy="give a space that tells them apart")
    return space.index, values


def _tsne(values: NDArray[np.float64], perplexity: float, seed: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    start = "pca" if values.shape[1] > 1 else "random"
    with threadpool_limits(1, user_api="openmp"):  # of this thread, which makes this map
        model = TSNE(perplexity=perplexity, init=start, angle=_ANGLE, max_iter=_ITERATIONS, random_state=seed % 2**32)
        drawn: NDArray[np.float64] = model.fit_transform(values).astype(np.float64)
    return drawn


def _umap() -> Callable[..., Any]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
            from umap import UMAP
    except ImportError as error:
        raise EnvironmentFailure(
            "a map by UMAP needs umap-learn, which is not installed", remedy='run pip install "affectome[maps]"'
        ) from error
    reducer: Callable[..., Any] = UMAP
    return reducer


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def _neighbour_ranks(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Rank of every stimulus among the neighbours of every other, (n, n): 0 for itself, 1 for the nearest."""
    from scipy.spatial.distance import cdist

    distance = cdist(values, values, "sqeuclidean")
    np.fill_diagonal(distance, -1)
    order = np.argsort(distance, axis=1, kind="stable")
    ranks = np.empty(order.shape, np.int32)
    np.put_along_axis(ranks, order, np.arange(len(values), dtype=np.int32)[None], axis=1)
    return ranks


def _judged(
    index: pd.Index, drawn: NDArray[np.float64], ranks: NDArray[np.int32], n_neighbors: int, seed: int
) -> Projection:
    """A map with its trustworthiness and continuity, against the neighbour ranks of its space."""
    n = len(drawn)
    k = min(n_neighbors, (n - 1) // 2)
    if k < 1:
        raise InputError(f"n_neighbors={n_neighbors} is no neighbourhood", remedy="use n_neighbors >= 1")
    on_map = _neighbour_ranks(drawn)
    worst = n * k * (2 * n - 3 * k - 1) / 2
    near, near_on_map = (ranks >= 1) & (ranks <= k), (on_map >= 1) & (on_map <= k)
    intruders = np.maximum(ranks[near_on_map] - k, 0).sum(dtype=np.int64)
    lost = np.maximum(on_map[near] - k, 0).sum(dtype=np.int64)
    return Projection(
        coordinates=pd.DataFrame(drawn, index=index, columns=["x", "y"]),
        trustworthiness=float(1 - intruders / worst),
        perplexity=np.nan,
        n_neighbors=k,
        seed=seed,
        continuity=float(1 - lost / worst),
    )
