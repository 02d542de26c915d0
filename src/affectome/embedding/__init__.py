"""Learning the geometry behind odd-one-out choices."""

from affectome.embedding._choices import choice_probabilities, predicted_choice, shared_hits
from affectome.embedding._components import component_names, kept_components
from affectome.embedding._io import WEIGHT_OUTPUTS, WeightRows, Weights, read_weights, write_weights
from affectome.embedding._spose import SPoSE

__all__ = [
    "WEIGHT_OUTPUTS",
    "SPoSE",
    "WeightRows",
    "Weights",
    "choice_probabilities",
    "component_names",
    "kept_components",
    "predicted_choice",
    "read_weights",
    "shared_hits",
    "write_weights",
]
