"""Spaces held against each other: how alike their geometries, their choices and their clusters are."""

from affectome.comparison._choices import ChoiceComparison, compare_choices
from affectome.comparison._clusters import ClusterMatches, match_clusters, upset_counts
from affectome.comparison._geometry import GeometryComparison, compare_geometry
from affectome.comparison._matrix import SpaceComparison
from affectome.comparison._rsa import RSAComparison, compare_rsa

__all__ = [
    "ChoiceComparison",
    "ClusterMatches",
    "GeometryComparison",
    "RSAComparison",
    "SpaceComparison",
    "compare_choices",
    "compare_geometry",
    "compare_rsa",
    "match_clusters",
    "upset_counts",
]
