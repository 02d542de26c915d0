"""Planted truth: simulated stimuli, ratings, captions, judges and brains, for the demo, the tutorials and the tests."""

from affectome.simulation._bold import SimulatedRun, simulate_bold
from affectome.simulation._emotions import SimulatedEmotions, simulate_emotions
from affectome.simulation._io import write_simulated_recordings, write_simulated_tables
from affectome.simulation._recovery import Recovery, match_components
from affectome.simulation._stand_ins import StandIns, write_stand_ins
from affectome.simulation._subjects import PLACES, SimulatedSubjects, simulate_subjects

__all__ = [
    "PLACES",
    "Recovery",
    "SimulatedEmotions",
    "SimulatedRun",
    "SimulatedSubjects",
    "StandIns",
    "match_components",
    "simulate_bold",
    "simulate_emotions",
    "simulate_subjects",
    "write_simulated_recordings",
    "write_simulated_tables",
    "write_stand_ins",
]
