"""Communities of a weighted graph, and graphs that have them by chance alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "agreement",
    "best_partition",
    "edge_weights",
    "modularity",
    "overlap",
    "page_ranks",
    "partition",
    "random_rotations",
    "rewired",
    "rotated",
    "subsample_rows",
]

Floats = NDArray[np.float64]
Labels = NDArray[np.intp]

_SWAPS = 10  # tried per edge on the way to the hub and from it
_SAME = 1e-9  # partitions whose modularity differs by less are tied


def subsample_rows(n: int, share: float, count: int, stream: np.random.SeedSequence) -> list[Labels]:
    """Rows of `count` random subsets of this share of n stimuli, each drawn without replacement."""
    rng, kept = np.random.default_rng(stream), round(share * n)
    return [np.sort(rng.choice(n, kept, replace=False)) for _ in range(count)]


def edge_weights(correlations: Floats, threshold: float) -> Floats:
    """Correlations above the threshold, 0 elsewhere and on the diagonal."""
    weights = np.where(correlations > threshold, correlations, 0.0)
    np.fill_diagonal(weights, 0.0)
    return weights


def _graph(weights: Floats) -> Any:
    """A networkx graph whose nodes are numbers, so that no order depends on how text is hashed."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(len(weights)))
    first, second = np.nonzero(np.triu(weights, 1))
    graph.add_weighted_edges_from(zip(first.tolist(), second.tolist(), weights[first, second].tolist(), strict=True))
    return graph


def partition(weights: Floats, resolution: float, seed: int) -> Labels:
    """One run of Louvain: the community of every node, numbered by its first node."""
    import networkx as nx

    found = nx.community.louvain_communities(_graph(weights), resolution=resolution, seed=seed)
    labels = np.empty(len(weights), np.intp)
    for number, nodes in enumerate(sorted(found, key=min)):
        labels[list(nodes)] = number
    return labels


def modularity(weights: Floats, labels: Labels, resolution: float) -> float:
    """Modularity of Newman for weighted graphs; NaN where there is no edge."""
    total = weights.sum()
    if total == 0:
        return np.nan
    strength = weights.sum(axis=0)
    together = labels[:, None] == labels
    return float(((weights - resolution * np.outer(strength, strength) / total) * together).sum() / total)


def best_partition(weights: Floats, resolution: float, seeds: Sequence[int]) -> tuple[Labels, Counter[tuple[int, ...]]]:
    """The partition of highest modularity over the seeds, and how often each partition came.

    Ties go to the partition that came more often, then to the one that sorts first.
    """
    counts = Counter(tuple(partition(weights, resolution, seed).tolist()) for seed in seeds)
    scored = {labels: np.nan_to_num(modularity(weights, np.array(labels), resolution)) for labels in counts}
    highest = max(scored.values())
    tied = [labels for labels, score in scored.items() if score > highest - _SAME]
    return np.array(min(tied, key=lambda labels: (-counts[labels], labels)), np.intp), counts


def page_ranks(weights: Floats) -> Floats:
    """Weighted PageRank (damping .85) of every node; a node without an edge shares the random jumps equally."""
    import networkx as nx

    if not weights.any():
        return np.full(len(weights), 1 / len(weights))
    ranks = nx.pagerank(_graph(weights))
    return np.array([ranks[node] for node in range(len(weights))])


def agreement(first: Labels, second: Labels) -> float:
    """Adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first, second))


def overlap(first: Labels, second: Labels) -> Floats:
    """Jaccard index of every community of one partition with every one of another; (n_first, n_second)."""
    a = (first == np.arange(first.max() + 1)[:, None]).astype(np.float64)
    b = (second == np.arange(second.max() + 1)[:, None]).astype(np.float64)
    both = a @ b.T
    jaccard: Floats = both / (a.sum(axis=1)[:, None] + b.sum(axis=1) - both)
    return jaccard


def rewired(weights: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Random graphs in which every node keeps its number of edges; (count, k, k).

    Double edge swaps, refused where they would make a loop or a second edge, are a reversible chain whose stationary
    law is uniform over the simple graphs with these degrees. All draws start from one hub that the same chain reached
    from the graph given, so that under the null they and the graph are exchangeable given the hub, mixed or not
    (Besag & Clifford 1989). The weights are dealt to the new edges at random.
    """
    edges = np.argwhere(np.triu(weights, 1) > 0)  # (n_edges, 2)
    steps = _SWAPS * len(edges)
    hub = _swapped(edges[None], len(weights), steps, rng)
    drawn = _swapped(np.repeat(hub, count, axis=0), len(weights), steps, rng)
    dealt = rng.permuted(np.repeat(weights[tuple(edges.T)][None], count, axis=0), axis=1)
    graphs = np.zeros((count, *weights.shape))
    draw = np.arange(count)[:, None]
    graphs[draw, drawn[..., 0], drawn[..., 1]] = dealt
    graphs[draw, drawn[..., 1], drawn[..., 0]] = dealt
    return graphs


def _swapped(edges: NDArray[np.int64], n_nodes: int, steps: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Chains of double edge swaps side by side; edges of shape (n_chains, n_edges, 2)."""
    edges, chain = edges.copy(), np.arange(len(edges))
    if edges.shape[1] < 2:
        return edges
    adjacent = np.zeros((len(edges), n_nodes, n_nodes), bool)
    adjacent[chain[:, None], edges[..., 0], edges[..., 1]] = True
    adjacent |= adjacent.transpose(0, 2, 1)
    for _ in range(steps):
        one = rng.integers(edges.shape[1], size=len(edges))
        two = (one + rng.integers(1, edges.shape[1], size=len(edges))) % edges.shape[1]
        turn = rng.integers(2, size=len(edges))
        a, b = edges[chain, one].T
        c, d = edges[chain, two, turn], edges[chain, two, 1 - turn]
        fits = (a != d) & (c != b) & (a != c) & (b != d) & ~adjacent[chain, a, d] & ~adjacent[chain, c, b]
        at, (a, b, c, d) = chain[fits], (end[fits] for end in (a, b, c, d))
        for left, right, there in ((a, b, False), (c, d, False), (a, d, True), (c, b, True)):
            adjacent[at, left, right] = adjacent[at, right, left] = there
        edges[at, one[fits]] = np.stack([a, d], axis=1)
        edges[at, two[fits]] = np.stack([c, b], axis=1)
    return edges


def random_rotations(size: int, count: int, rng: np.random.Generator) -> Floats:
    """Orthogonal matrices from the Haar measure; (count, size, size)."""
    q, r = np.linalg.qr(rng.normal(size=(count, size, size)))
    rotations: Floats = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return rotations


def rotated(correlations: Floats, n_edges: int, count: int, rng: np.random.Generator) -> Floats:
    """Graphs from correlations with the same spectrum and eigenvectors of no particular direction; (count, k, k).

    The components are turned at random, correlated again, and their `n_edges` highest correlations (fewer, where fewer
    are positive) become edges: as many as there were, since modularity depends on how many there are.
    """
    k = len(correlations)
    turns = random_rotations(k, count, rng)
    mixed = turns.transpose(0, 2, 1) @ correlations @ turns
    spread = np.sqrt(np.diagonal(mixed, axis1=1, axis2=2))
    mixed /= np.maximum(spread[:, :, None] * spread[:, None, :], np.finfo(float).tiny)
    upper = np.triu_indices(k, 1)
    pairs = mixed[:, *upper]
    lowest = np.sort(pairs, axis=1)[:, -n_edges, None]
    graphs = np.zeros_like(mixed)
    graphs[:, *upper] = np.where((pairs >= lowest) & (pairs > 0), pairs, 0.0)
    both: Floats = graphs + graphs.transpose(0, 2, 1)
    return both
