"""fMRI in: one form for all recordings, whatever file they come from."""

from affectome.neural.recordings._arrays import read_arrays
from affectome.neural.recordings._bdpy import read_bdpy
from affectome.neural.recordings._bdpy_write import write_bdpy
from affectome.neural.recordings._bids import CONFOUND_SETS, read_bids
from affectome.neural.recordings._check import RecordingCheck, check_recording
from affectome.neural.recordings._events import read_events
from affectome.neural.recordings._grid import grid_from_coordinates
from affectome.neural.recordings._join import join_recordings, standardise_runs
from affectome.neural.recordings._labels import LabelMatch, average_repeats, drop_duplicates, match_stimuli
from affectome.neural.recordings._read import read_recording
from affectome.neural.recordings._recording import Recording, SurfaceMesh, VolumeGrid
from affectome.neural.recordings._surfaces import read_gifti
from affectome.neural.recordings._trial_estimates import estimate_trials
from affectome.neural.recordings._volumes import read_nifti

__all__ = [
    "CONFOUND_SETS",
    "LabelMatch",
    "Recording",
    "RecordingCheck",
    "SurfaceMesh",
    "VolumeGrid",
    "average_repeats",
    "check_recording",
    "drop_duplicates",
    "estimate_trials",
    "grid_from_coordinates",
    "join_recordings",
    "match_stimuli",
    "read_arrays",
    "read_bdpy",
    "read_bids",
    "read_events",
    "read_gifti",
    "read_nifti",
    "read_recording",
    "standardise_runs",
    "write_bdpy",
]
