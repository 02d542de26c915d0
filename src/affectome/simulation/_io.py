"""A simulated world as the files a user would have."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from affectome._files import atomic_path
from affectome.simulation._emotions import SimulatedEmotions
from affectome.spaces import write_space

__all__ = ["write_simulated_tables"]


def write_simulated_tables(simulated: SimulatedEmotions, folder: str | os.PathLike[str]) -> None:
    """Write ``stimuli.csv`` (ids and captions) and one CSV table per space."""
    captions = pd.DataFrame.from_dict(dict(simulated.stimuli.captions), orient="index")
    captions.columns = [f"caption_{k + 1}" for k in range(captions.shape[1])]
    captions.index.name = "id"
    with atomic_path(Path(folder) / "stimuli.csv") as temporary:
        captions.to_csv(temporary, lineterminator="\n")
    for name, space in simulated.stimuli.spaces.items():
        write_space(Path(folder) / f"{name}.csv", space)
