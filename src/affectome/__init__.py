"""affectome maps affective geometry.

It asks models and people which of three stimuli is the odd one out, learns the space behind the answers, says
what its components mean, and tests which space predicts the brain.

The names below load their module when first used; ``import affectome`` itself is light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AffectomeError": "errors",
    "EnvironmentFailure": "errors",
    "InputError": "errors",
    "Interrupted": "errors",
    "ChatJudge": "judges",
    "Collector": "collection",
    "FeatureJudge": "judges",
    "LocalJudge": "judges",
    "Recording": "neural",
    "VoxelwiseEncoder": "neural",
    "encode": "neural",
    "encode_brain": "study",
    "read_recording": "neural",
    "SPoSE": "embedding",
    "VICE": "embedding",
    "StimulusSet": "stimuli",
    "TripletSet": "triplets",
    "ask": "judges",
    "name_components": "interpretation",
    "match_clusters": "comparison",
    "Interpretation": "study",
    "interpret_spaces": "study",
    "component_types": "interpretation",
    "compare_spaces": "study",
    "compare_rsa": "comparison",
    "compare_predictions": "interpretation",
    "compare_choices": "comparison",
    "category_structure": "interpretation",
    "category_gradients": "interpretation",
    "affective_graph": "interpretation",
    "components_needed": "behavior",
    "component_reproducibility": "embedding",
    "consensus_embedding": "embedding",
    "correlate_components": "interpretation",
    "fit_seeds": "embedding",
    "explained_accuracy": "behavior",
    "held_out_accuracy": "behavior",
    "load_cowen_keltner": "stimuli",
    "load_horikawa_features": "stimuli",
    "load_mind_captioning": "stimuli",
    "measured_rsm": "behavior",
    "on_cluster": "_cluster",
    "noise_ceiling": "behavior",
    "SpacePredictor": "prediction",
    "place_stimuli": "embedding",
    "predicted_rsm": "behavior",
    "prediction_accuracy": "prediction",
    "read_answers": "triplets",
    "read_judge": "judges",
    "read_space": "spaces",
    "read_stimuli": "stimuli",
    "read_triplets": "triplets",
    "read_weights": "embedding",
    "rsm_agreement": "behavior",
    "run_study": "study",
    "sample_triplets": "triplets",
    "select_embedding": "embedding",
    "simulate_emotions": "simulation",
    "split_triplets": "triplets",
    "top_stimuli": "interpretation",
    "write_space": "spaces",
    "write_triplets": "triplets",
    "write_weights": "embedding",
}
_ROOMS = (
    "behavior",
    "collection",
    "comparison",
    "embedding",
    "errors",
    "interpretation",
    "judges",
    "neural",
    "plotting",
    "prediction",
    "simulation",
    "spaces",
    "stimuli",
    "study",
    "triplets",
)

__all__ = [*sorted(_HOME), *_ROOMS, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"affectome.{_HOME[name]}"), name)
    if name in _ROOMS:
        return import_module(f"affectome.{name}")
    raise AttributeError(f"module 'affectome' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
