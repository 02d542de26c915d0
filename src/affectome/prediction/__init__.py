"""From features of stimuli to their place in a space: learning it, how accurate it is, and new stimuli."""

from affectome.prediction._accuracy import PredictionAccuracy, prediction_accuracy
from affectome.prediction._agreement import PlacedChoices, SimilarityAgreement
from affectome.prediction._bands import join_features
from affectome.prediction._io import PREDICTOR_FORMATS, read_predictor, write_predictor
from affectome.prediction._predictor import PlacedStimuli, SpacePredictor
from affectome.prediction._ridge import ALPHAS

__all__ = [
    "ALPHAS",
    "PREDICTOR_FORMATS",
    "PlacedChoices",
    "PlacedStimuli",
    "PredictionAccuracy",
    "SimilarityAgreement",
    "SpacePredictor",
    "join_features",
    "prediction_accuracy",
    "read_predictor",
    "write_predictor",
]
