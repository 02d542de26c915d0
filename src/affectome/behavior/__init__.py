"""Does a space predict choices, do systems choose alike, and how well could anything?"""

from affectome.behavior._accuracy import Accuracy, ExplainedAccuracy, explained_accuracy, held_out_accuracy
from affectome.behavior._agreement import Agreement, choice_agreement
from affectome.behavior._ceiling import CeilingEstimates, NoiseCeiling, guessing_modal, noise_ceiling
from affectome.behavior._consistency import Consistency, choice_consistency
from affectome.behavior._retention import ComponentsNeeded, RSMByComponents, components_needed, rsm_by_components
from affectome.behavior._rsm import MeasuredRSM, RSMReliability, measured_rsm, predicted_rsm, rsm_reliability
from affectome.behavior._rsm_agreement import PairCorrelation, RSMAgreement, rsm_agreement, rsm_order

__all__ = [
    "Accuracy",
    "Agreement",
    "CeilingEstimates",
    "ComponentsNeeded",
    "Consistency",
    "ExplainedAccuracy",
    "MeasuredRSM",
    "NoiseCeiling",
    "PairCorrelation",
    "RSMAgreement",
    "RSMByComponents",
    "RSMReliability",
    "choice_agreement",
    "choice_consistency",
    "components_needed",
    "explained_accuracy",
    "guessing_modal",
    "held_out_accuracy",
    "measured_rsm",
    "noise_ceiling",
    "predicted_rsm",
    "rsm_agreement",
    "rsm_by_components",
    "rsm_order",
    "rsm_reliability",
]
