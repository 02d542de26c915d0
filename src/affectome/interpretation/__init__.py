"""What the components of a space mean."""

from affectome.interpretation._captions import TopStimuli, TypicalCaption, top_stimuli, typical_captions
from affectome.interpretation._categories import (
    CategoryLabels,
    NearestCentroid,
    classify_categories,
    column_shuffled,
    top_categories,
)
from affectome.interpretation._components import describe_components
from affectome.interpretation._correlations import RatingCorrelations, correlate_components
from affectome.interpretation._projection import Projection, project_tsne

__all__ = [
    "CategoryLabels",
    "NearestCentroid",
    "Projection",
    "RatingCorrelations",
    "TopStimuli",
    "TypicalCaption",
    "classify_categories",
    "column_shuffled",
    "correlate_components",
    "describe_components",
    "project_tsne",
    "top_categories",
    "top_stimuli",
    "typical_captions",
]
