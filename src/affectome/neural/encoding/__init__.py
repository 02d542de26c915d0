"""From a space to every voxel: ridge with nested cross-validation, and what several spaces share."""

from affectome.neural.encoding._controls import join_spaces, read_control
from affectome.neural.encoding._encode import encode
from affectome.neural.encoding._encoder import VoxelwiseEncoder
from affectome.neural.encoding._io import read_encoding, write_encoding
from affectome.neural.encoding._paired import EncodingDifference, WinnerMap, compare_encodings, winner_map
from affectome.neural.encoding._result import Encoding, FoldModel

__all__ = [
    "Encoding",
    "EncodingDifference",
    "FoldModel",
    "VoxelwiseEncoder",
    "WinnerMap",
    "compare_encodings",
    "encode",
    "join_spaces",
    "read_control",
    "read_encoding",
    "winner_map",
    "write_encoding",
]
