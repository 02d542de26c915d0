"""Who answers. Every judge takes a batch of questions and gives choices, and probabilities where it has them."""

from affectome.judges._features import FeatureJudge
from affectome.judges._io import model_identity
from affectome.judges._protocol import Answers, Judge, ask
from affectome.judges._sentences import encode_captions

__all__ = ["Answers", "FeatureJudge", "Judge", "ask", "encode_captions", "model_identity"]
