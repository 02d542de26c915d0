"""From a space to every voxel: ridge with nested cross-validation, and what several spaces share."""

from affectome.neural.encoding._result import Encoding, FoldModel

__all__ = ["Encoding", "FoldModel"]
