"""The slice of Haxby et al. (2001) as a recording, for every test of the brain that wants real fMRI."""

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from affectome.neural import Recording, read_nifti

TR = 2.5
N_RUNS, N_SCANS = 12, 121
#: Seconds by which the labels of the file are late. A block under nilearn's canonical response fits the twenty most
#: responsive voxels best when it begins 4 s before its label (r .614; .607 at 5 s, .599 at 3 s, .431 at 0 s).
LABELS_LATE = 4.0


def haxby_recording(data: Path, estimate: str = "window", **options: object) -> Recording:
    """Eight categories in blocks of nine volumes, twelve runs, 530 voxels of one slice.

    ``"window"``: one trial per block (96), the mean of the nine volumes that carry its label. ``"lsa"``, ``"lss"``:
    one coefficient per block. ``"volumes"``: one row per volume that carries a label (864), nothing shifted or
    averaged: the labels are late by the delay of the haemodynamics already. All have the columns stimulus (category),
    run (1 .. 12), session (1), block (0 .. 95, distinct over runs). `options` go to :func:`read_nifti`; in windows,
    ``drift_model="polynomial"`` takes the trend of each run out, and categories are told apart better.
    """
    folder = data / "haxby_slice"
    whole, mask = nibabel.load(folder / "bold.nii.gz"), nibabel.load(folder / "mask.nii.gz")
    if estimate == "volumes":
        volumes = haxby_volumes(data)
        shown = volumes[volumes["block"] >= 0]
        series = np.asarray(whole.dataobj)[..., shown.index]
        image = nibabel.Nifti1Image(series, whole.affine)
        return read_nifti(image, shown, subject="haxby", mask=mask, estimate="none", label_column="stimulus")
    return read_nifti(
        haxby_runs(data), haxby_events(data), subject="haxby", mask=mask, estimate=estimate, label_column="stimulus",
        delay=LABELS_LATE,
        **options,
    )  # fmt: skip


def haxby_runs(data: Path) -> list[nibabel.Nifti1Image]:
    """Twelve images of 121 volumes."""
    whole = nibabel.load(data / "haxby_slice" / "bold.nii.gz")
    return [whole.slicer[..., run * N_SCANS : (run + 1) * N_SCANS] for run in range(N_RUNS)]


def haxby_events(data: Path) -> list[pd.DataFrame]:
    """Eight blocks of each run: stimulus, onset and duration in seconds, block."""
    volumes = haxby_volumes(data)
    volumes["onset"] = (volumes.index % N_SCANS) * TR - LABELS_LATE
    blocks = volumes[volumes["block"] >= 0].groupby("block", as_index=False).first()
    return [
        events.assign(duration=9 * TR)[["stimulus", "onset", "duration", "block"]].reset_index(drop=True)
        for _, events in blocks.groupby("run")
    ]


def haxby_volumes(data: Path) -> pd.DataFrame:
    """What was shown in each of the 1,452 volumes: stimulus, run (1 .. 12), session, block (-1 in rest)."""
    said = pd.read_csv(data / "haxby_slice" / "attributes_literal.txt", sep=" ", names=["stimulus", "run"])
    run = said["run"] + 1
    begins = (said["stimulus"] != said["stimulus"].shift()) | (run != run.shift())
    rest = said["stimulus"] == "rest"
    block = (begins & ~rest).cumsum().where(~rest, 0) - 1
    return pd.DataFrame({"stimulus": said["stimulus"], "run": run, "session": 1, "block": block})
