"""Spaces: stimuli x named features. Ratings, embeddings and network features are all spaces.

A space is a :class:`pandas.DataFrame` of float32 with unique text ids as its index and unique
text column names. Every comparison in affectome is between two spaces, or a space and a brain.
"""

from affectome.spaces._align import Alignment, align, rows_for
from affectome.spaces._geometry import METRICS, Metric, paired_similarity, similarity, similarity_coordinates
from affectome.spaces._io import SPACE_FORMATS, read_space, write_space
from affectome.spaces._space import STANDARDISATIONS, Standardisation, as_space, concatenate, standardise

__all__ = [
    "METRICS",
    "SPACE_FORMATS",
    "STANDARDISATIONS",
    "Alignment",
    "Metric",
    "Standardisation",
    "align",
    "as_space",
    "concatenate",
    "paired_similarity",
    "read_space",
    "rows_for",
    "similarity",
    "similarity_coordinates",
    "standardise",
    "write_space",
]
