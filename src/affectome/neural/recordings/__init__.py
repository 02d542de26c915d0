"""fMRI in: one form for all recordings, whatever file they come from."""

from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid

__all__ = [
    "Recording",
    "SurfaceMesh",
    "VolumeGrid",
]
