"""Clusters of components that several spaces share, and those that one has alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from affectome._progress import Progress, silent
from affectome._resampling import check_permutations, false_discovery_rate, permutation_p
from affectome._seeds import named_seed
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation import AffectiveGraph, cluster_profiles
from affectome.interpretation._communities import (
    best_partition,
    edge_weights,
    overlap,
    page_ranks,
    random_rotations,
    subsample_rows,
)
from affectome.interpretation._correlations import unit_columns
from affectome.interpretation._graph import (
    RESTARTS,
    cluster_weights,
    name_profiles,
)
from affectome.spaces import align

__all__ = ["ClusterMatches", "match_clusters", "upset_counts"]

Floats = NDArray[np.float64]
Pair = tuple[str, str]
MatchNull = Literal["both", "unrelated"]


@dataclass(frozen=True, eq=False)
class ClusterMatches:
    """Clusters of several spaces matched by how they follow the ratings.

    Attributes
    ----------
    matches : DataFrame, index ``match``
        Every cluster of the smaller space of each pair, with the cluster of the other it was matched to: ``space_a``,
        ``cluster_a``, ``members_a``, ``space_b``, ``cluster_b``, ``members_b``, ``congruence`` (-1 to 1),
        ``p_unrelated``, ``p_directions``, ``p`` (by `null`), ``q`` (Benjamini-Hochberg of p over the matches of one
        pair of spaces), and ``recurrence``, ``congruence_low``, ``congruence_high``: the share of subsamples of the
        stimuli in which both clusters came back and were matched, and the range of their congruence there. By p, then
        congruence.
    clusters : DataFrame, index ``shared_cluster``
        What is shared and what is not: ``name``, ``n_spaces``, ``spaces``, one column of cluster and members per space
        (``in <space>``, empty where it has none), ``links`` and ``possible_links`` (pairs of its spaces that match
        directly, of those there are), and of these links the lowest ``congruence``, largest ``q`` and lowest
        ``recurrence`` (NaN for a cluster that one space has alone). By number of spaces, then the first space's order.
    membership : DataFrame of bool, index ``shared_cluster``, columns the spaces
    profiles : DataFrame, index (``space``, ``cluster``), columns the ratings
        As :func:`affectome.interpretation.cluster_profiles` gives them.
    names : Series, index (``space``, ``cluster``)
    null : str
        Which p counts.
    alpha : float
        A match with q below it is shared.
    n_stimuli, n_permutations, n_subsamples : int
    """

    matches: pd.DataFrame
    clusters: pd.DataFrame
    membership: pd.DataFrame
    profiles: pd.DataFrame
    names: pd.Series[str]
    null: MatchNull
    alpha: float
    n_stimuli: int
    n_permutations: int
    n_subsamples: int


def match_clusters(
    graphs: Mapping[str, AffectiveGraph],
    ratings: Mapping[str, pd.DataFrame],
    *,
    n_permutations: int = 1000,
    n_subsamples: int = 100,
    subsample: float = 0.8,
    null: MatchNull = "both",
    alpha: float = 0.05,
    seed: int,
    progress: Progress = silent,
) -> ClusterMatches:
    """Match the clusters of spaces by their rating profiles, and say which are shared.

    Parameters
    ----------
    graphs : mapping from space to :class:`~affectome.interpretation.AffectiveGraph`
        At least two, over the same stimuli.
    ratings : mapping from family to DataFrame
        Over the same stimuli.
    n_permutations
        Draws of each null.
    n_subsamples, subsample
        Random subsets of the stimuli (without replacement) on which graphs, communities, profiles and matching are
        made again, and the share of stimuli in each.
    null
        What a match must beat to count: ``"both"`` nulls of the Notes (p is the larger), or ``"unrelated"`` alone,
        which asks less.
    alpha
        False discovery rate at which a match counts as shared.
    seed
    progress

    Returns
    -------
    ClusterMatches

    Notes
    -----
    The profile of a cluster is its PageRank-weighted mean correlation with every rating. Similarity of two profiles is
    Tucker's congruence (their cosine), which stays as it is when a dimension is turned round (control, lack of
    control). Each pair of spaces is matched one to one so that the summed congruence is highest.

    Ratings are correlated, so permuting *them* would make any two clusters on the pleasant side significant. Two nulls
    that leave them as they are:

    ``p_unrelated``
        Null: one space has nothing to do with the ratings and the other space. Its stimuli are permuted (all components
        together, so that its clusters stay).
    ``p_directions``
        Null: the clusters of one space span what they span, but their directions in it are arbitrary. Its profiles, at
        length one, are mixed by a random rotation. This knows how few affective axes profiles vary along, and needs no
        cluster of more than one component. A space with one cluster cannot be tested.

    Either way everything is matched again in every draw, and a cluster's congruence with its match is held against
    that with its match in the draws: p = (b + 1) / (n_permutations + 1). Each null is drawn for either space of the
    pair, and the larger p counts. The cluster followed through the draws is that of the space with fewer: as each of
    those has its match in the table, nothing is selected before the correction. That is made within each pair of
    spaces: what two spaces share does not depend on which others were compared, and pairs are not corrected for each
    other.

    The two nulls are not the same claim. Unrelated rejected: both clusters follow the ratings, in similar ways.
    Directions rejected as well: more alike than arbitrary directions of the same two spaces would be. Two simulated
    spaces of the same information along arbitrary directions had p_unrelated <= .05 in .16 of their matches.

    A cluster "alone" in its space found no match; that is no evidence that the others lack it.

    Shared clusters join the significant matches, smallest p first, never two clusters of one space.
    """
    check_permutations(n_permutations)
    if null not in get_args(MatchNull):
        raise InputError(f"'{null}' is no null of a match", remedy="choose both or unrelated")
    if n_subsamples < 1 or not 0.5 <= subsample < 1 or not 0 < alpha < 1:
        raise InputError(
            f"n_subsamples={n_subsamples}, subsample={subsample} and alpha={alpha} make no match",
            remedy="use n_subsamples >= 1, 0.5 <= subsample < 1 and 0 < alpha < 1",
        )
    names = list(graphs)
    if len(names) < 2:
        raise InputError("one space has nothing to be matched with", remedy="give the graphs of at least two")
    graphs = _aligned(graphs)
    described = {name: cluster_profiles(graph, ratings) for name, graph in graphs.items()}
    profiles = {name: unit_rows(found.profiles.to_numpy(np.float64)) for name, found in described.items()}
    for_unrelated, for_rows, for_restarts = np.random.SeedSequence(seed).spawn(3)
    pairs = list(combinations(names, 2))
    steps = n_permutations + len(pairs) + n_subsamples

    rated = _rated(ratings, graphs[names[0]].space.index)

    def tell(done: int, total: int, /, *, detail: str = "") -> None:
        progress(done, steps, detail=detail)

    scores = {
        name: cluster_weights(graph) @ unit_columns(graph.space.to_numpy(np.float64), constant=0.0).T
        for name, graph in graphs.items()
    }
    permuted = permuted_profiles(scores, rated, n_permutations, for_unrelated, tell)
    tables = []
    for done, pair in enumerate(pairs, start=1):
        rng = np.random.default_rng(named_seed(seed, "directions", *pair))  # no pair depends on what else is compared
        tables.append(_tested(pair, graphs, profiles, permuted, n_permutations, null, rng))
        progress(n_permutations + done, steps, detail="directions rotated")
    matches = pd.concat(tables, ignore_index=True)

    rows = subsample_rows(len(rated), subsample, n_subsamples, for_rows)
    again = _recurrence(matches, graphs, rated, rows, for_restarts, steps, progress)
    matches = pd.concat([matches, again], axis=1).sort_values(
        ["p", "congruence"], ascending=[True, False], kind="stable"
    )
    matches.index = pd.RangeIndex(1, len(matches) + 1, name="match")

    table = pd.concat({name: found.profiles for name, found in described.items()}, names=["space", "cluster"])
    called = pd.concat({name: found.names for name, found in described.items()}, names=["space", "cluster"])
    clusters, membership = _shared(graphs, matches[matches["q"] < alpha], table)
    return ClusterMatches(
        matches, clusters, membership, table, called, null, float(alpha), len(rated), n_permutations, n_subsamples
    )


def _aligned(graphs: Mapping[str, AffectiveGraph]) -> Mapping[str, AffectiveGraph]:
    from dataclasses import replace

    names = [f"the space '{name}'" for name in graphs]
    spaces = align(*(graph.space for graph in graphs.values()), names=names).spaces
    return {name: replace(graph, space=space) for (name, graph), space in zip(graphs.items(), spaces, strict=True)}


def unit_rows(profiles: Floats) -> Floats:
    """Profiles of length one; a profile of nothing but zeros stays."""
    length = np.linalg.norm(profiles, axis=-1, keepdims=True)
    unit: Floats = np.divide(profiles, length, out=np.zeros_like(profiles), where=length > 0)
    return unit


def _rated(ratings: Mapping[str, pd.DataFrame], ids: pd.Index) -> Floats:
    """Ratings that vary, each centred and of length one, in the order of the ids."""
    columns = np.column_stack([frame.loc[ids].to_numpy(np.float64) for frame in ratings.values()])
    unit = unit_columns(columns, constant=0.0)
    return unit[:, unit.any(axis=0)]


def permuted_profiles(
    scores: Mapping[str, Floats],
    rated: Floats,
    count: int,
    stream: np.random.SeedSequence,
    tell: Progress = silent,
) -> dict[str, Floats]:
    """Profiles of every space's clusters, at length one, with the stimuli permuted; (count, n_clusters, n_ratings).

    `scores` holds a row per cluster, a column per stimulus. One permutation serves all spaces: only one space of a pair
    is permuted at a time.
    """
    stacked, rng = np.concatenate(list(scores.values())), np.random.default_rng(stream)
    drawn = np.empty((count, len(stacked), rated.shape[1]))
    for draw in range(count):
        np.matmul(stacked, rated[rng.permutation(len(rated))], out=drawn[draw])
        tell(draw + 1, count, detail="stimuli permuted")
    ends = np.cumsum([len(rows) for rows in scores.values()])[:-1]
    return {name: unit_rows(part) for name, part in zip(scores, np.split(drawn, ends, axis=1), strict=True)}


def rotated_congruences(congruence: Floats, within: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Congruence of every cluster of one space with the other space's profiles mixed by random rotations.

    Parameters
    ----------
    congruence : array of shape (n, m)
        Of the clusters of one space with those of the other, whose profiles are mixed.
    within : array of shape (m, m)
        Of the clusters of the other space with each other.

    Returns
    -------
    array of shape (count, n, m)
    """
    turns = random_rotations(len(within), count, rng)
    length = np.sqrt(np.einsum("bij,bij->bi", turns @ within, turns))  # (count, m): of the mixed profiles
    mixed = congruence @ turns.transpose(0, 2, 1)
    length = np.broadcast_to(length[:, None, :], mixed.shape)
    turned: Floats = np.divide(mixed, length, out=np.zeros_like(mixed), where=length > 1e-12)
    return turned


def assigned(congruence: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """One-to-one matching of highest summed congruence: rows and columns."""
    rows, columns = linear_sum_assignment(-congruence)
    return rows, columns


def matched_congruences(draws: Floats, side: int) -> Floats:
    """Congruence of every cluster of one side (0 rows, 1 columns) with its match in every draw; -1 without one."""
    found = np.full((len(draws), draws.shape[1 + side]), -1.0)
    for draw, congruence in enumerate(draws):
        places = assigned(congruence)
        found[draw, places[side]] = congruence[places]
    return found


def match_p(
    congruence: Floats,
    permuted: tuple[Floats, Floats],
    within: tuple[Floats, Floats],
    count: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Match clusters one to one: rows, columns, and the p of each match under either null.

    Parameters
    ----------
    congruence : array of shape (n, m)
    permuted : arrays of shape (count, n, m)
        Congruences with the stimuli permuted of the second space, and of the first.
    within : arrays of shape (n, n) and (m, m)
        Congruences within the first space, and within the second.
    """
    places = assigned(congruence)
    matched = congruence[places]
    turned = (
        rotated_congruences(congruence, within[1], count, rng),
        rotated_congruences(congruence.T, within[0], count, rng).transpose(0, 2, 1),
    )
    # A cluster is followed through the draws. Of two spaces of unequal size that is the cluster of the smaller one,
    # which always has a match: the others in the table are selected for having one, which a draw does not know.
    n, m = congruence.shape
    sides = (0, 1) if n == m else (0, 0) if n < m else (1, 1)
    unrelated, directions = (
        np.stack(
            [
                permutation_p(matched, matched_congruences(part, side)[:, places[side]])
                for part, side in zip(draws, sides, strict=True)
            ]
        ).max(axis=0)
        for draws in (permuted, turned)
    )
    return *places, unrelated, directions


def _tested(
    pair: Pair,
    graphs: Mapping[str, AffectiveGraph],
    profiles: Mapping[str, Floats],
    permuted: Mapping[str, Floats],
    count: int,
    null: MatchNull,
    rng: np.random.Generator,
) -> pd.DataFrame:
    a, b = (profiles[name] for name in pair)
    drawn = (a @ permuted[pair[1]].transpose(0, 2, 1), permuted[pair[0]] @ b.T)
    rows, columns, unrelated, directions = match_p(a @ b.T, drawn, (a @ a.T, b @ b.T), count, rng)
    clusters = [graphs[name].clusters.iloc[at] for name, at in zip(pair, (rows, columns), strict=True)]
    sides = {
        f"{field}_{side}": values
        for side, name, table in zip("ab", pair, clusters, strict=True)
        for field, values in (("space", name), ("cluster", table.index), ("members", table["members"].to_numpy()))
    }
    p = unrelated if null == "unrelated" else np.maximum(unrelated, directions)
    q = false_discovery_rate(p)
    tests = {"p_unrelated": unrelated, "p_directions": directions, "p": p, "q": q}
    return pd.DataFrame(sides | {"congruence": (a @ b.T)[rows, columns]} | tests)


def _recurrence(
    matches: pd.DataFrame,
    graphs: Mapping[str, AffectiveGraph],
    rated: Floats,
    rows: list[NDArray[np.intp]],
    stream: np.random.SeedSequence,
    steps: int,
    progress: Progress,
) -> pd.DataFrame:
    """How often each match comes back when everything is done again on part of the stimuli."""
    found = np.full((len(rows), len(matches)), np.nan)  # congruence where a match came back
    runs = stream.generate_state(RESTARTS * len(rows) * len(graphs)).reshape(len(rows), len(graphs), RESTARTS).tolist()
    keys = list(matches[["space_a", "cluster_a", "space_b", "cluster_b"]].itertuples(index=False, name=None))
    pairs = sorted({(a, b) for a, _, b, _ in keys})
    together = np.column_stack([*(graph.space.to_numpy(np.float64) for graph in graphs.values()), rated])
    ends = np.cumsum([graph.space.shape[1] for graph in graphs.values()])
    for draw, (kept, seeds) in enumerate(zip(rows, runs, strict=True)):
        unit = unit_columns(together[kept], constant=0.0)
        r = np.split(unit.T @ unit, ends)[:-1]  # per space, its components with everything
        parts = {
            name: _subsampled_profiles(graph, rows_of[:, end - len(rows_of) : end], rows_of[:, ends[-1] :], own)
            for (name, graph), rows_of, end, own in zip(graphs.items(), r, ends, seeds, strict=True)
        }
        joined: dict[tuple[str, str, str, str], float] = {}
        for a, b in pairs:
            congruence = parts[a][0] @ parts[b][0].T
            for i, j in zip(*assigned(congruence), strict=True):
                if i in parts[a][1] and j in parts[b][1]:
                    joined[a, parts[a][1][i], b, parts[b][1][j]] = congruence[i, j]
        found[draw] = [joined.get(key, np.nan) for key in keys]
        progress(steps - len(rows) + draw + 1, steps, detail="subsamples")
    back = ~np.isnan(found)
    low, high = (np.where(back.any(axis=0), edge, np.nan) for edge in (
        np.where(back, found, np.inf).min(axis=0), np.where(back, found, -np.inf).max(axis=0),
    ))  # fmt: skip
    return pd.DataFrame({"recurrence": back.mean(axis=0), "congruence_low": low, "congruence_high": high})


def _subsampled_profiles(
    graph: AffectiveGraph, correlations: Floats, with_ratings: Floats, seeds: Sequence[int]
) -> tuple[Floats, dict[int, str]]:
    """Profiles of the communities on part of the stimuli, and which cluster of the whole each one is."""
    weights = edge_weights(correlations, graph.threshold)
    labels = best_partition(weights, graph.resolution, seeds)[0]
    inside = (labels == np.arange(labels.max() + 1)[:, None]) * page_ranks(weights)
    profiles = unit_rows(inside / inside.sum(axis=1, keepdims=True) @ with_ratings)
    whole = graph.clusters.index.get_indexer(pd.Index(graph.components["cluster"]))
    similar = overlap(whole, labels)  # more than 1/2 at most once per row and column
    return profiles, {int(there): str(graph.clusters.index[here]) for here, there in np.argwhere(similar > 0.5)}


def _shared(
    graphs: Mapping[str, AffectiveGraph], links: pd.DataFrame, profiles: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clusters joined by the links (sorted by p), at most one per space."""
    group = {(space, cluster): {space: cluster} for space, graph in graphs.items() for cluster in graph.clusters.index}
    for a, cluster_a, b, cluster_b in links[["space_a", "cluster_a", "space_b", "cluster_b"]].itertuples(index=False):
        one, other = group[a, cluster_a], group[b, cluster_b]
        if one is not other and not one.keys() & other.keys():
            joined = one | other
            for key in joined.items():
                group[key] = joined
    unique = list({id(found): found for found in group.values()}.values())
    unique.sort(key=lambda found: -len(found))  # stable: within a size, the order of spaces and of their clusters
    index = pd.Index([f"shared {k + 1:02d}" if len(f) > 1 else f"alone {k + 1:02d}" for k, f in enumerate(unique)])
    mean = [unit_rows(profiles.loc[list(found.items())].to_numpy(np.float64)).mean(axis=0) for found in unique]
    table = pd.DataFrame({"name": name_profiles(pd.DataFrame(mean, index, profiles.columns)).to_numpy()}, index)
    table["n_spaces"] = [len(found) for found in unique]
    table["spaces"] = [", ".join(space for space in graphs if space in found) for found in unique]
    for space, graph in graphs.items():
        described = {str(c): f"{c}: {row}" for c, row in graph.clusters["members"].items()} | {"": ""}
        table[f"in {space}"] = [described[found.get(space, "")] for found in unique]
    inside = [
        [
            found.get(a) == cluster_a and found.get(b) == cluster_b
            for a, cluster_a, b, cluster_b in links[["space_a", "cluster_a", "space_b", "cluster_b"]].itertuples(
                index=False
            )
        ]
        for found in unique
    ]
    own = [links[np.array(mask, bool)] for mask in inside]
    table["links"] = [len(rows) for rows in own]
    table["possible_links"] = table["n_spaces"] * (table["n_spaces"] - 1) // 2
    table["congruence"] = [rows["congruence"].min() for rows in own]
    table["q"] = [rows["q"].max() for rows in own]
    table["recurrence"] = [rows["recurrence"].min() for rows in own]
    membership = pd.DataFrame({space: [space in found for found in unique] for space in graphs}, index)
    return table.rename_axis("shared_cluster"), membership.rename_axis("shared_cluster")


def upset_counts(membership: pd.DataFrame) -> pd.Series[int]:
    """Count the rows of every combination of sets.

    Parameters
    ----------
    membership : DataFrame of bool, rows x sets
        Which sets each row belongs to.

    Returns
    -------
    Series of int, named ``count``, indexed by one level of bool per set
        Combinations that occur, most rows first, then fewest sets, then the order of the sets. Rows in no set count as
        a combination of their own.

    Examples
    --------
    >>> found = pd.DataFrame({"llm": [True, True, False], "mllm": [True, True, True]})
    >>> upset_counts(found)
    llm    mllm
    True   True    2
    False  True    1
    Name: count, dtype: int64
    """
    if membership.shape[0] == 0 or membership.shape[1] == 0:
        raise InputError("there is no membership to count", remedy="give at least one row and one set")
    wrong = [str(name) for name, kind in membership.dtypes.items() if kind != np.dtype(bool)]
    if wrong:
        raise InputError(f"membership is True or False, and these columns hold other values: {cut_short(wrong)}")
    counts = membership.value_counts(sort=False)
    keys = [tuple(key) for key in counts.index]
    order = sorted(range(len(keys)), key=lambda k: (-counts.iloc[k], sum(keys[k]), [not inside for inside in keys[k]]))
    return counts.iloc[order]
