"""Where the geometry of a space is that of brain patterns: representational similarity in every neighbourhood."""

from affectome.neural.searchlight._ceilings import GeometryCeiling, geometry_ceiling, run_halves
from affectome.neural.searchlight._centre_pair import CentrePair, centre_pair
from affectome.neural.searchlight._geodesic import disc_neighbourhoods
from affectome.neural.searchlight._inputs import ModelGeometry, Neighbourhoods, Patterns
from affectome.neural.searchlight._io import read_searchlight, write_searchlight
from affectome.neural.searchlight._kendall import KendallScorer, KendallScores
from affectome.neural.searchlight._models import dense_geometry, model_geometry
from affectome.neural.searchlight._neighbourhoods import parcel_neighbourhoods, sphere_neighbourhoods
from affectome.neural.searchlight._patterns import patterns
from affectome.neural.searchlight._pearson import PearsonSums, pearson_sums
from affectome.neural.searchlight._profile import CentreProfile, centre_profile
from affectome.neural.searchlight._regression import RegressionRSA, partial_rsa, regression_rsa
from affectome.neural.searchlight._result import Searchlight
from affectome.neural.searchlight._searchlight import searchlight
from affectome.neural.searchlight._spearman import SpearmanScorer, SpearmanScores

__all__ = [
    "CentrePair",
    "CentreProfile",
    "GeometryCeiling",
    "KendallScorer",
    "KendallScores",
    "ModelGeometry",
    "Neighbourhoods",
    "Patterns",
    "PearsonSums",
    "RegressionRSA",
    "Searchlight",
    "SpearmanScorer",
    "SpearmanScores",
    "centre_pair",
    "centre_profile",
    "dense_geometry",
    "disc_neighbourhoods",
    "geometry_ceiling",
    "model_geometry",
    "parcel_neighbourhoods",
    "partial_rsa",
    "patterns",
    "pearson_sums",
    "read_searchlight",
    "regression_rsa",
    "run_halves",
    "searchlight",
    "sphere_neighbourhoods",
    "write_searchlight",
]
