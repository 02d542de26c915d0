"""The slice of Haxby et al. (2001) as a recording, for every test of the brain that wants real fMRI."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from affectome.neural import Recording, VolumeGrid

TR = 2.5
N_RUNS, N_SCANS = 12, 121


def haxby_recording(data: Path, estimate: str = "window") -> Recording:
    """Eight categories in blocks of nine volumes, twelve runs, 530 voxels of one slice.

    ``"window"``: one trial per block (96). ``"volumes"``: one row per volume of a block (864), nothing shifted or
    averaged. The labels of the file are late by the delay of the haemodynamics already: blocks stand out most from
    rest at a shift of 0 volumes (r .58; .50 at -1, .51 at +1). Both have the columns stimulus (category), run,
    session (1), block (0 .. 95, distinct over runs).
    """
    folder = data / "haxby_slice"
    bold = nibabel.load(folder / "bold.nii.gz")
    ijk = np.argwhere(np.asarray(nibabel.load(folder / "mask.nii.gz").dataobj) > 0).astype(np.int32)
    series = np.asarray(bold.dataobj)[tuple(ijk.T)].T.astype(np.float32)
    volumes = haxby_volumes(data)
    grid = VolumeGrid(ijk, bold.affine, bold.shape[:3])
    if estimate == "volumes":
        shown = volumes[volumes["block"] >= 0]
        trials = shown.reset_index(drop=True)
        return Recording("haxby", series[shown.index], trials, grid, source="haxby_slice")
    rows, table = [], []
    for block, scans in volumes[volumes["block"] >= 0].groupby("block"):
        rows.append(series[scans.index].mean(axis=0))
        table.append({**scans.iloc[0].to_dict(), "block": block})
    return Recording("haxby", np.stack(rows), pd.DataFrame(table), grid, source="haxby_slice")


def haxby_volumes(data: Path) -> pd.DataFrame:
    """What was shown in each of the 1,452 volumes: stimulus, run (1 .. 12), session, block (-1 in rest)."""
    said = pd.read_csv(data / "haxby_slice" / "attributes_literal.txt", sep=" ", names=["stimulus", "run"])
    run = said["run"] + 1
    begins = (said["stimulus"] != said["stimulus"].shift()) | (run != run.shift())
    rest = said["stimulus"] == "rest"
    block = (begins & ~rest).cumsum().where(~rest, 0) - 1
    return pd.DataFrame({"stimulus": said["stimulus"], "run": run, "session": 1, "block": block})
