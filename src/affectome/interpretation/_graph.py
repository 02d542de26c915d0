"""The affective graph: which components of a space go together, and whether more than by chance."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectome._progress import Progress, silent
from affectome._resampling import check_permutations, percentile_interval, permutation_p
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._communities import (
    Floats,
    Labels,
    agreement,
    best_partition,
    edge_weights,
    modularity,
    overlap,
    page_ranks,
    partition,
    rewired,
    rotated,
    subsample_rows,
)
from affectome.interpretation._correlations import correlate_components, unit_columns
from affectome.spaces import as_space

logger = logging.getLogger(__name__)

__all__ = ["AffectiveGraph", "ClusterProfiles", "affective_graph", "cluster_profiles", "name_profiles"]

RESTARTS = 3  # runs of Louvain per subsample, the best kept
_THRESHOLDS = (0.1, 0.2, 0.3)
_FEWEST = 10  # stimuli, so that a subsample of them still has a correlation


@dataclass(frozen=True, eq=False)
class AffectiveGraph:
    """Components of a space as a graph, and its communities.

    Attributes
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
        What the graph was made from.
    correlations : DataFrame of shape (n_components, n_components)
        Pearson r over stimuli; 0 where a component is constant.
    edges : DataFrame, index ``edge``
        ``source``, ``target``, ``r``, and ``recurrence``: share of subsamples in which r is above the threshold.
        Strongest first.
    components : DataFrame, index ``component``
        ``name``, ``cluster``, ``pagerank`` (weighted by r; sums to 1, and a component without an edge keeps what the
        random jumps give it), ``degree`` (edges), ``strength`` (summed r of its edges).
    clusters : DataFrame, index ``cluster``
        The communities, by summed PageRank, then size: ``size``, ``members``, ``pagerank``, ``jaccard`` (overlap with
        the most similar community of a subsample, averaged; Hennig 2007 calls .75 stable and .5 dissolved) and
        ``recurrence`` (share of subsamples that hold a community overlapping by more than 1/2).
    modularity : float
        Of the communities; NaN without edges.
    chance : DataFrame, index ``null`` (``rewired``, ``rotated``)
        ``modularity`` (of one run of Louvain, the statistic of the test), ``null_mean``, ``null_low``, ``null_high``
        (middle 95% of the null), and ``p``. See Notes of :func:`affective_graph`.
    seed_agreement, subsample_agreement : float
        Adjusted Rand index: mean over pairs of seeds; mean of a subsample's communities with those reported.
    seed_coassignment, subsample_coassignment : DataFrame of shape (n_components, n_components)
        Share of seeds, or of subsamples, that put two components together.
    subsamples : DataFrame, index ``statistic``
        Edges, components without an edge, communities and modularity: their ``value``, and ``lowest`` and ``highest``
        over the subsamples.
    sensitivity : DataFrame, index ``threshold``
        The same at other thresholds, with ``agreement`` (adjusted Rand index with the communities reported).
    threshold, resolution, subsample : float
    n_stimuli, n_seeds, n_subsamples, n_permutations : int
    """

    space: pd.DataFrame
    correlations: pd.DataFrame
    edges: pd.DataFrame
    components: pd.DataFrame
    clusters: pd.DataFrame
    modularity: float
    chance: pd.DataFrame
    seed_agreement: float
    subsample_agreement: float
    seed_coassignment: pd.DataFrame
    subsample_coassignment: pd.DataFrame
    subsamples: pd.DataFrame
    sensitivity: pd.DataFrame
    threshold: float
    resolution: float
    subsample: float
    n_stimuli: int
    n_seeds: int
    n_subsamples: int
    n_permutations: int

    def members(self) -> dict[str, list[str]]:
        """The components of every cluster, in the order of the space."""
        return {
            str(name): [str(c) for c in self.components.index[self.components["cluster"] == name]]
            for name in self.clusters.index
        }


@dataclass(frozen=True, eq=False)
class ClusterProfiles:
    """How every cluster of a graph follows the ratings.

    Attributes
    ----------
    profiles : DataFrame of shape (n_clusters, n_ratings)
        Mean over members, weighted by PageRank, of the Pearson r of component and rating.
    names : Series, index ``cluster``
        The ratings followed most, ``low`` before those followed inversely; no name comes twice.
    family : Series, index the ratings
        Which rating space each came from.
    """

    profiles: pd.DataFrame
    names: pd.Series[str]
    family: pd.Series[str]


def affective_graph(
    space: pd.DataFrame,
    *,
    threshold: float = 0.2,
    resolution: float = 1.0,
    n_seeds: int = 100,
    n_subsamples: int = 100,
    subsample: float = 0.8,
    n_permutations: int = 1000,
    seed: int,
    names: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> AffectiveGraph:
    """Make a graph of the components that correlate, and find its communities.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    threshold
        Two components whose Pearson r over stimuli is above it have an edge of weight r. Negative correlations make
        no edge.
    resolution
        Of modularity; above 1 communities are smaller.
    n_seeds
        Runs of Louvain; the partition of highest modularity is kept (ties: the commoner one).
    n_subsamples, subsample
        Random subsets of the stimuli, drawn without replacement, and the share of stimuli in each. Everything is done
        again in each. A share of .8 moves a correlation by half its standard error over new stimuli, .5 by all of it.
    n_permutations
        Random graphs per null.
    seed
    names
        What components are called in figures; by default their column.
    progress

    Returns
    -------
    AffectiveGraph

    Raises
    ------
    InputError
        For fewer than two components or ten stimuli, and for settings out of range.

    Notes
    -----
    Any graph splits into communities, and the fewer its edges the higher its modularity. Two nulls, two questions,
    each p = (b + 1) / (n_permutations + 1) with b the random graphs of at least the observed modularity, one run of
    Louvain for every graph and for the observed one; neither corrected for the other:

    ``rewired``
        Null: any graph in which every component has as many edges as here is as likely as any other, and weights lie
        on edges at random. Correlation is nearly transitive, so this null can be false where nothing but shared
        variance is there.
    ``rotated``
        Null: the correlation matrix has its spectrum, but its eigenvectors point in no particular direction. Components
        are turned at random and as many highest correlations become edges. This keeps the transitivity of correlations;
        read it first. Turned correlations are scaled to length one again, which levels their spectrum a little, so that
        p is approximate: of 1,250 simulated spaces of twelve arbitrary directions with variances 1, 1/2, .. 1/12, p was
        at most .05 in .07 and at most .10 in .13; with three large variances in .03 and .09.

    There is no interval: communities are not smooth in the data, and a bootstrap repeats stimuli, which alone moves
    correlations across the threshold.

    Examples
    --------
    >>> from affectome.simulation import simulate_emotions
    >>> space = simulate_emotions(60, 4, seed=0).planted
    >>> twins = space.add_suffix(" again") + 0.1
    >>> graph = affective_graph(space.join(twins), n_permutations=19, n_subsamples=5, n_seeds=5, seed=1)
    >>> graph.clusters["size"].tolist()
    [2, 2, 2, 2]
    """
    weights_of = _checked(space, threshold, resolution, n_seeds, n_subsamples, subsample)
    check_permutations(n_permutations)
    for_seeds, for_rows, for_restarts, *for_chance = np.random.SeedSequence(seed).spawn(5)
    unit = unit_columns(weights_of, constant=0.0)
    correlations = unit.T @ unit
    weights = edge_weights(correlations, threshold)
    runs = for_seeds.generate_state(n_seeds).tolist()
    found, counts = best_partition(weights, resolution, runs)
    pagerank = page_ranks(weights)
    labels = _ordered(found, pagerank)
    total = n_subsamples + 2 * n_permutations
    rows = subsample_rows(len(space), subsample, n_subsamples, for_rows)
    drawn = list(_resampled(weights_of, rows, threshold, resolution, for_restarts, total, progress))
    parts = [part for _, part in drawn]
    chance = _chance(correlations, weights, resolution, n_permutations, runs[0], for_chance, n_subsamples, progress)
    components, clusters = _tables(space, weights, labels, pagerank, parts, names or {})
    value = pd.Series(_describe(weights, labels, resolution))
    over = pd.DataFrame([_describe(part_weights, part, resolution) for part_weights, part in drawn])
    index = components.index

    def square(values: Floats) -> pd.DataFrame:
        return pd.DataFrame(values, index=index, columns=index.rename(None))

    return AffectiveGraph(
        space=space,
        correlations=square(correlations),
        edges=_edges(weights, np.mean([part > 0 for part, _ in drawn], axis=0), index),
        components=components,
        clusters=clusters,
        modularity=float(value["modularity"]),
        chance=chance,
        seed_agreement=_pairwise(counts),
        subsample_agreement=float(np.mean([agreement(labels, part) for part in parts])),
        seed_coassignment=square(_together([np.array(part) for part in counts], list(counts.values()))),
        subsample_coassignment=square(_together(parts, [1] * len(parts))),
        subsamples=pd.DataFrame({"value": value, "lowest": over.min(), "highest": over.max()}).rename_axis("statistic"),
        sensitivity=_sensitivity(correlations, threshold, resolution, runs, labels),
        threshold=float(threshold),
        resolution=float(resolution),
        subsample=float(subsample),
        n_stimuli=len(space),
        n_seeds=n_seeds,
        n_subsamples=n_subsamples,
        n_permutations=n_permutations,
    )


def _checked(
    space: pd.DataFrame, threshold: float, resolution: float, n_seeds: int, n_subsamples: int, subsample: float
) -> Floats:
    """Refuse what makes no graph; the weights of the space as float64."""
    as_space(space, source="the space")  # refuses what is no space
    values = space.to_numpy(np.float64)
    n, k = values.shape
    if k < 2:
        raise InputError("one component makes no graph", source="the space", remedy="give it at least two")
    if n < _FEWEST:
        raise InputError(f"{n} stimuli are too few for a graph of components", remedy=f"give at least {_FEWEST}")
    if not 0 <= threshold < 1 or not resolution > 0:
        raise InputError(
            f"threshold={threshold} and resolution={resolution} make no communities",
            remedy="use 0 <= threshold < 1 and resolution > 0",
        )
    if n_seeds < 2 or n_subsamples < 1 or not 0.5 <= subsample < 1:
        raise InputError(
            f"n_seeds={n_seeds}, n_subsamples={n_subsamples} and subsample={subsample} show no stability",
            remedy="use n_seeds >= 2, n_subsamples >= 1 and 0.5 <= subsample < 1",
        )
    constant = space.columns[np.ptp(values, axis=0) == 0]
    if len(constant):
        logger.warning("%d components are constant and stay without an edge: %s.", len(constant), cut_short(constant))
    return values


def _ordered(labels: Labels, pagerank: Floats) -> Labels:
    """Communities numbered by summed PageRank, then size, then first member."""
    numbers = np.arange(labels.max() + 1)
    share = np.bincount(labels, weights=pagerank)
    first = np.array([np.flatnonzero(labels == number)[0] for number in numbers])
    order = np.lexsort((first, -np.bincount(labels), -share.round(9)))
    rank = np.empty_like(numbers)
    rank[order] = numbers
    return rank[labels]


def _resampled(
    values: Floats,
    rows: list[Labels],
    threshold: float,
    resolution: float,
    stream: np.random.SeedSequence,
    total: int,
    progress: Progress,
) -> Iterator[tuple[Floats, Labels]]:
    runs = stream.generate_state(RESTARTS * len(rows)).reshape(-1, RESTARTS).tolist()
    for done, (kept, seeds) in enumerate(zip(rows, runs, strict=True), start=1):
        unit = unit_columns(values[kept], constant=0.0)
        weights = edge_weights(unit.T @ unit, threshold)
        yield weights, best_partition(weights, resolution, seeds)[0]
        progress(done, total, detail="subsamples")


def _chance(
    correlations: Floats,
    weights: Floats,
    resolution: float,
    count: int,
    run: int,
    streams: Sequence[np.random.SeedSequence],
    before: int,
    progress: Progress,
    nulls: Sequence[str] = ("rewired", "rotated"),
) -> pd.DataFrame:
    """Modularity of one run of Louvain here and in random graphs of either kind."""
    n_edges = int((weights > 0).sum()) // 2
    columns = ["modularity", "null_mean", "null_low", "null_high", "p"]
    table = pd.DataFrame(np.nan, index=pd.Index(nulls, name="null"), columns=columns)
    if n_edges == 0:
        return table
    observed = modularity(weights, partition(weights, resolution, run), resolution)
    for place, (null, stream) in enumerate(zip(nulls, streams, strict=True)):
        for_graphs, for_runs = stream.spawn(2)
        rng = np.random.default_rng(for_graphs)
        graphs = rewired(weights, count, rng) if null == "rewired" else rotated(correlations, n_edges, count, rng)
        draws = np.empty(count)
        for draw, (graph, own) in enumerate(zip(graphs, for_runs.generate_state(count).tolist(), strict=True)):
            draws[draw] = modularity(graph, partition(graph, resolution, own), resolution)
            progress(
                before + place * count + draw + 1, before + len(nulls) * count, detail=f"modularity of {null} graphs"
            )
        interval = percentile_interval(draws, 0.95)
        table.loc[null] = [observed, draws.mean(), *interval, float(permutation_p(observed, draws))]
    return table


def _describe(weights: Floats, labels: Labels, resolution: float) -> dict[str, float]:
    return {
        "n_edges": float((weights > 0).sum() // 2),
        "n_isolated": float((weights.sum(axis=0) == 0).sum()),
        "n_clusters": float(labels.max() + 1),
        "modularity": modularity(weights, labels, resolution),
    }


def _tables(
    space: pd.DataFrame,
    weights: Floats,
    labels: Labels,
    pagerank: Floats,
    parts: list[Labels],
    names: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = [str(name) for name in space.columns]
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise InputError(f"the names are for components that are not there ({cut_short(unknown)})", source="names")
    digits = len(str(labels.max() + 1))
    called = pd.Index(
        [f"cluster {number + 1:0{max(2, digits)}d}" for number in range(labels.max() + 1)], name="cluster"
    )
    components = pd.DataFrame(
        {
            "name": [str(names.get(column, column)) for column in columns],
            "cluster": called[labels],
            "pagerank": pagerank,
            "degree": (weights > 0).sum(axis=0),
            "strength": weights.sum(axis=0),
        },
        index=pd.Index(columns, name="component"),
    )
    best = np.array([overlap(labels, part).max(axis=1) for part in parts])  # (n_subsamples, n_clusters)
    clusters = pd.DataFrame(
        {
            "size": np.bincount(labels),
            "members": [", ".join(components.index[labels == number]) for number in range(len(called))],
            "pagerank": np.bincount(labels, weights=pagerank),
            "jaccard": best.mean(axis=0),
            "recurrence": (best > 0.5).mean(axis=0),
        },
        index=called,
    )
    return components, clusters


def _edges(weights: Floats, recurrence: Floats, index: pd.Index) -> pd.DataFrame:
    first, second = np.nonzero(np.triu(weights, 1))
    order = np.argsort(-weights[first, second], kind="stable")
    first, second = first[order], second[order]
    return pd.DataFrame(
        {
            "source": index[first],
            "target": index[second],
            "r": weights[first, second],
            "recurrence": recurrence[first, second],
        },
        index=pd.RangeIndex(1, len(first) + 1, name="edge"),
    )


def _together(parts: list[Labels], counts: list[int]) -> Floats:
    return np.average([part[:, None] == part for part in parts], axis=0, weights=counts)


def _pairwise(counts: Mapping[tuple[int, ...], int]) -> float:
    """Mean adjusted Rand index over pairs of runs, each distinct pair of partitions computed once."""
    parts, times = [np.array(part) for part in counts], list(counts.values())
    runs = sum(times)
    total = sum(n * (n - 1) / 2 for n in times)
    for i in range(len(parts)):
        total += sum(times[i] * times[j] * agreement(parts[i], parts[j]) for j in range(i))
    return float(total / (runs * (runs - 1) / 2))


def _sensitivity(
    correlations: Floats, threshold: float, resolution: float, runs: list[int], reported: Labels
) -> pd.DataFrame:
    rows = {}
    for level in sorted({*_THRESHOLDS, float(threshold)}):
        weights = edge_weights(correlations, level)
        labels = best_partition(weights, resolution, runs)[0]
        rows[level] = _describe(weights, labels, resolution) | {"agreement": agreement(labels, reported)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("threshold")


def cluster_profiles(
    graph: AffectiveGraph, ratings: Mapping[str, pd.DataFrame], *, n_ratings: int = 2
) -> ClusterProfiles:
    """Describe and name the clusters of a graph by the ratings that their components follow.

    Parameters
    ----------
    graph : AffectiveGraph
    ratings : mapping from family ("category", "dimension", ...) to DataFrame
        Each over the stimuli of the graph's space.
    n_ratings
        Ratings in a name; more where a name would come twice.

    Returns
    -------
    ClusterProfiles

    Notes
    -----
    Descriptive: nothing is tested. Where the space was learned from choices made with these ratings, the names are
    circular: they say which rating went in, and are no finding.
    """
    found = correlate_components(graph.space, ratings)
    r = found.r.dropna(axis=1, how="all").fillna(0.0)
    profiles = cluster_weights(graph) @ r.to_numpy(np.float64)
    table = pd.DataFrame(profiles, index=graph.clusters.index, columns=r.columns)
    return ClusterProfiles(table, name_profiles(table, n_ratings=n_ratings), found.family[r.columns])


def cluster_weights(graph: AffectiveGraph) -> Floats:
    """PageRank of every component within its cluster, summing to 1; (n_clusters, n_components)."""
    inside = graph.components["cluster"].to_numpy() == graph.clusters.index.to_numpy()[:, None]
    shares = inside * graph.components["pagerank"].to_numpy(np.float64)
    weights: Floats = shares / shares.sum(axis=1, keepdims=True)
    return weights


def name_profiles(profiles: pd.DataFrame, *, n_ratings: int = 2) -> pd.Series[str]:
    """Name every row of a table by the columns of largest absolute value; a name that comes twice gets longer.

    Examples
    --------
    >>> table = pd.DataFrame([[0.6, -0.3], [0.5, 0.4]], index=["a", "b"], columns=["Joy", "control"])
    >>> name_profiles(table, n_ratings=1).tolist()
    ['Joy, low control', 'Joy, control']
    """
    values = profiles.to_numpy(np.float64)
    order = np.argsort(-np.abs(values), axis=1, kind="stable")

    def parts(row: int) -> list[str]:
        return [("low " if values[row, k] < 0 else "") + str(profiles.columns[k]) for k in order[row, : lengths[row]]]

    lengths = np.full(len(values), max(1, n_ratings))
    while True:
        same = pd.Series([frozenset(parts(row)) for row in range(len(values))]).duplicated(keep=False).to_numpy()
        if not (same & (lengths < values.shape[1])).any():
            break
        lengths[same] += 1
    names = pd.Series([", ".join(parts(row)) for row in range(len(values))], profiles.index, dtype=object)
    turn = names.groupby(names).cumcount()
    return names.where(turn == 0, names + " (" + (turn + 1).astype(str) + ")").rename("name")
