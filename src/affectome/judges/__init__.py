"""Who answers. Every judge takes a batch of questions and gives choices, and probabilities where it has them."""

from affectome.judges._features import FeatureJudge
from affectome.judges._protocol import Answers, Judge, ask

__all__ = ["Answers", "FeatureJudge", "Judge", "ask"]
