"""Does a space predict the brain: recordings, regions, encoding, statistics, maps."""

from affectome.neural.recordings import Recording, SurfaceMesh, VolumeGrid

__all__ = [
    "Recording",
    "SurfaceMesh",
    "VolumeGrid",
]
