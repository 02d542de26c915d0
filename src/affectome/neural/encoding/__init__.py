"""From a space to every voxel: ridge with nested cross-validation, and what several spaces share."""

from affectome.neural.encoding._controls import join_spaces, read_control
from affectome.neural.encoding._paired import EncodingDifference, WinnerMap, compare_encodings, winner_map
from affectome.neural.encoding._result import Encoding, FoldModel

__all__ = [
    "Encoding",
    "EncodingDifference",
    "FoldModel",
    "WinnerMap",
    "compare_encodings",
    "join_spaces",
    "read_control",
    "winner_map",
]
