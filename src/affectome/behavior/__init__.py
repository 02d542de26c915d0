"""Does a space predict choices, do systems choose alike, and how well could anything?"""

from affectome.behavior._accuracy import Accuracy, ExplainedAccuracy, explained_accuracy, held_out_accuracy
from affectome.behavior._agreement import Agreement, choice_agreement
from affectome.behavior._ceiling import CeilingEstimates, NoiseCeiling, guessing_modal, noise_ceiling
from affectome.behavior._consistency import Consistency, choice_consistency
from affectome.behavior._rsm import predicted_rsm

__all__ = [
    "Accuracy",
    "Agreement",
    "CeilingEstimates",
    "Consistency",
    "ExplainedAccuracy",
    "NoiseCeiling",
    "choice_agreement",
    "choice_consistency",
    "explained_accuracy",
    "guessing_modal",
    "held_out_accuracy",
    "noise_ceiling",
    "predicted_rsm",
]
