"""Does a space predict choices, and how well could anything?"""

from affectome.behavior._accuracy import Accuracy, held_out_accuracy
from affectome.behavior._rsm import predicted_rsm

__all__ = ["Accuracy", "held_out_accuracy", "predicted_rsm"]
