"""Who answers. Every judge takes a batch of questions and gives choices, and probabilities where it has them."""

from affectome.judges._config import read_judge
from affectome.judges._features import FeatureJudge
from affectome.judges._io import model_identity
from affectome.judges._local import LocalJudge
from affectome.judges._prices import Prices
from affectome.judges._prompts import PROMPTS, Prompt, load_prompt
from affectome.judges._protocol import Answers, Judge, Reply, ask
from affectome.judges._sentences import encode_captions

__all__ = [
    "PROMPTS",
    "Answers",
    "FeatureJudge",
    "Judge",
    "LocalJudge",
    "Prices",
    "Prompt",
    "Reply",
    "ask",
    "encode_captions",
    "load_prompt",
    "model_identity",
    "read_judge",
]
