"""What the components of a space mean."""

from affectome.interpretation._captions import TopStimuli, TypicalCaption, top_stimuli, typical_captions
from affectome.interpretation._categories import CategoryLabels, column_shuffled, top_categories
from affectome.interpretation._category_structure import CategoryStructure, category_structure
from affectome.interpretation._classification import (
    CategoryScore,
    Classifier,
    NearestCentroid,
    classify,
    classify_categories,
    shuffled_baseline,
)
from affectome.interpretation._components import describe_components
from affectome.interpretation._correlations import RatingCorrelations, correlate_components
from affectome.interpretation._gradient import (
    CategoryGradients,
    GradientLine,
    category_gradients,
    gradient_references,
)
from affectome.interpretation._graph import AffectiveGraph, ClusterProfiles, affective_graph, cluster_profiles
from affectome.interpretation._names import ComponentNames, name_components
from affectome.interpretation._naming_prompt import ParsedName, adopt_names, naming_prompts, parse_name
from affectome.interpretation._prediction import (
    PredictionComparison,
    RatingPrediction,
    compare_predictions,
    predict_ratings,
)
from affectome.interpretation._profiles import (
    ProfileDifference,
    StimulusProfiles,
    compare_profiles,
    stimulus_profiles,
)
from affectome.interpretation._projection import (
    Projection,
    category_prototypes,
    map_agreement,
    project_many,
    project_tsne,
    project_umap,
)
from affectome.interpretation._rating_map import RatingMap, describe_rating_map
from affectome.interpretation._rating_shares import SharesAbove, shares_above
from affectome.interpretation._silhouette import Silhouette, silhouette
from affectome.interpretation._terms import TermCorrelations, term_correlations
from affectome.interpretation._types import (
    TYPES,
    ComponentTypes,
    TypeRuleScores,
    component_types,
    score_type_rules,
)
from affectome.interpretation._words import STOP_WORDS, DistinctiveWords, WordCounts, count_words, distinctive_words

__all__ = [
    "gradient_references",
    "AffectiveGraph",
    "CategoryGradients",
    "CategoryLabels",
    "GradientLine",
    "CategoryScore",
    "CategoryStructure",
    "Classifier",
    "ClusterProfiles",
    "ComponentNames",
    "ComponentTypes",
    "DistinctiveWords",
    "NearestCentroid",
    "ParsedName",
    "PredictionComparison",
    "ProfileDifference",
    "Projection",
    "RatingCorrelations",
    "RatingMap",
    "RatingPrediction",
    "STOP_WORDS",
    "SharesAbove",
    "Silhouette",
    "StimulusProfiles",
    "TYPES",
    "TermCorrelations",
    "TopStimuli",
    "TypeRuleScores",
    "TypicalCaption",
    "WordCounts",
    "adopt_names",
    "affective_graph",
    "category_gradients",
    "category_prototypes",
    "category_structure",
    "classify",
    "classify_categories",
    "cluster_profiles",
    "column_shuffled",
    "compare_predictions",
    "compare_profiles",
    "component_types",
    "correlate_components",
    "count_words",
    "describe_components",
    "describe_rating_map",
    "distinctive_words",
    "map_agreement",
    "name_components",
    "naming_prompts",
    "parse_name",
    "predict_ratings",
    "project_many",
    "project_tsne",
    "project_umap",
    "score_type_rules",
    "shares_above",
    "shuffled_baseline",
    "silhouette",
    "stimulus_profiles",
    "term_correlations",
    "top_categories",
    "top_stimuli",
    "typical_captions",
]
