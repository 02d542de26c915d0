"""A simulated world as the files a user would have."""

from __future__ import annotations

import os
from pathlib import Path

from affectome.simulation._emotions import SimulatedEmotions
from affectome.spaces import write_space
from affectome.stimuli import write_stimuli

__all__ = ["write_simulated_tables"]


def write_simulated_tables(simulated: SimulatedEmotions, folder: str | os.PathLike[str]) -> None:
    """Write ``stimuli.csv`` (ids and captions) and one CSV table per space."""
    write_stimuli(Path(folder) / "stimuli.csv", simulated.stimuli)
    for name, space in simulated.stimuli.spaces.items():
        write_space(Path(folder) / f"{name}.csv", space)
