"""Learning the geometry behind odd-one-out choices."""

from affectome.embedding._choices import choice_probabilities, predicted_choice, shared_hits
from affectome.embedding._components import component_names, kept_components
from affectome.embedding._consensus import Consensus, consensus_embedding
from affectome.embedding._io import WEIGHT_OUTPUTS, WeightRows, Weights, read_weights, write_weights
from affectome.embedding._model import is_device
from affectome.embedding._placement import Placement, place_stimuli
from affectome.embedding._reproducibility import Reproducibility, component_reproducibility
from affectome.embedding._runs import fit_seeds
from affectome.embedding._selection import Selection, Setting, select_embedding
from affectome.embedding._spose import SPoSE
from affectome.embedding._vice import VICE

__all__ = [
    "WEIGHT_OUTPUTS",
    "Consensus",
    "Placement",
    "Reproducibility",
    "SPoSE",
    "VICE",
    "Selection",
    "Setting",
    "WeightRows",
    "Weights",
    "choice_probabilities",
    "component_names",
    "component_reproducibility",
    "consensus_embedding",
    "fit_seeds",
    "is_device",
    "kept_components",
    "place_stimuli",
    "predicted_choice",
    "read_weights",
    "select_embedding",
    "shared_hits",
    "write_weights",
]
