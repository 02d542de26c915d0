"""Spaces held against each other: how alike their geometries, their choices and their clusters are."""

from affectome.comparison._clusters import ClusterMatches, match_clusters, upset_counts

__all__ = [
    "ClusterMatches",
    "match_clusters",
    "upset_counts",
]
