"""Planted truth: simulated stimuli, ratings, captions and judges, for the demo, the tutorials and the tests."""

from affectome.simulation._emotions import SimulatedEmotions, simulate_emotions
from affectome.simulation._io import write_simulated_tables
from affectome.simulation._recovery import Recovery, match_components

__all__ = ["Recovery", "SimulatedEmotions", "match_components", "simulate_emotions", "write_simulated_tables"]
