"""fMRI in: one form for all recordings, whatever file they come from."""

from affectome.neural.recordings._arrays import read_arrays
from affectome.neural.recordings._bdpy import read_bdpy
from affectome.neural.recordings._bdpy_write import write_bdpy
from affectome.neural.recordings._check import RecordingCheck, check_recording
from affectome.neural.recordings._grid import grid_from_coordinates
from affectome.neural.recordings._join import join_recordings, standardise_runs
from affectome.neural.recordings._labels import LabelMatch, average_repeats, drop_duplicates, match_stimuli
from affectome.neural.recordings._read import read_recording
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid

__all__ = [
    "LabelMatch",
    "Recording",
    "RecordingCheck",
    "SurfaceMesh",
    "VolumeGrid",
    "average_repeats",
    "check_recording",
    "drop_duplicates",
    "grid_from_coordinates",
    "join_recordings",
    "match_stimuli",
    "read_arrays",
    "read_bdpy",
    "read_recording",
    "standardise_runs",
    "write_bdpy",
]
