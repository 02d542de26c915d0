"""A simulated world as the files a user would have."""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from affectome._files import atomic_path, write_json
from affectome.errors import InputError
from affectome.neural import Recording, VolumeGrid
from affectome.simulation._bold import SimulatedRun, simulate_bold
from affectome.simulation._emotions import SimulatedEmotions
from affectome.spaces import write_space
from affectome.stimuli import write_stimuli

__all__ = ["write_simulated_recordings", "write_simulated_tables"]


def write_simulated_tables(simulated: SimulatedEmotions, folder: str | os.PathLike[str]) -> None:
    """Write ``stimuli.csv`` (ids and captions) and one CSV table per space."""
    write_stimuli(Path(folder) / "stimuli.csv", simulated.stimuli)
    for name, space in simulated.stimuli.spaces.items():
        write_space(Path(folder) / f"{name}.csv", space)


def write_simulated_recordings(
    recordings: Sequence[Recording],
    folder: str | os.PathLike[str],
    *,
    layout: Literal["bdpy", "fmriprep"] = "bdpy",
    seed: int = 0,
) -> list[Path]:
    """Write recordings as a lab would have them.

    Parameters
    ----------
    recordings
        For ``"fmriprep"`` with places in a volume.
    folder
    layout
        ``"bdpy"``: one HDF5 file per person. ``"fmriprep"``: a dataset with ``derivatives/fmriprep``: runs, events,
        confounds and brain masks, the time series simulated around the responses.
    seed
        Of the noise of the time series.

    Returns
    -------
    list of Path
        The files, or for ``"fmriprep"`` the folders, of the people.
    """
    from affectome.neural import write_bdpy

    if layout == "bdpy":
        return [Path(write_bdpy(Path(folder) / f"{one.subject}.h5", one)) for one in recordings]
    if layout != "fmriprep":
        raise InputError(f"there is no layout '{layout}'", remedy="choose bdpy or fmriprep")
    seeds = np.random.SeedSequence(seed).generate_state(len(recordings))
    return [_write_dataset(one, Path(folder), int(own)) for one, own in zip(recordings, seeds, strict=True)]


def _write_dataset(recording: Recording, folder: Path, seed: int) -> Path:
    grid = recording.geometry
    if not isinstance(grid, VolumeGrid):
        raise InputError("its voxels have no place in a volume", source=recording.subject, remedy="use layout='bdpy'")
    derivatives = folder / "derivatives" / "fmriprep"
    for place, name, kind in ((folder, "Simulated emotions", "raw"), (derivatives, "fMRIPrep-like", "derivative")):
        write_json(place / "dataset_description.json", {"Name": name, "BIDSVersion": "1.10.0", "DatasetType": kind})
    for run in simulate_bold(recording, seed=seed):
        name = f"{recording.subject}_task-emotion_run-{run.run}"
        _write_events(folder / recording.subject / "func" / f"{name}_events.tsv", run)
        _write_run(derivatives / recording.subject / "func", name, run, grid)
    return derivatives / recording.subject


def _write_events(path: Path, run: SimulatedRun) -> None:
    with atomic_path(path) as temporary:
        run.events.to_csv(temporary, sep="\t", index=False)


def _write_run(folder: Path, name: str, run: SimulatedRun, grid: VolumeGrid) -> None:
    stem = f"{name}_space-{grid.space or 'native'}"
    volumes = np.zeros((*grid.shape, len(run.series)), np.float32)
    volumes[tuple(grid.ijk.T)] = run.series.T
    _write_image(folder / f"{stem}_desc-preproc_bold.nii.gz", volumes, grid, run.repetition_time)
    inside = grid.volume(np.ones(len(grid)), fill=0).astype(np.uint8)
    _write_image(folder / f"{stem}_desc-brain_mask.nii.gz", inside, grid, None)
    write_json(
        folder / f"{stem}_desc-preproc_bold.json", {"RepetitionTime": run.repetition_time, "TaskName": "emotion"}
    )
    with atomic_path(folder / f"{name}_desc-confounds_timeseries.tsv") as temporary:
        temporary.write_text(_as_confounds(_drift_regressors(len(run.series))), "utf-8")


def _drift_regressors(n_scans: int) -> NDArray[np.float64]:
    """The slow waves that fMRIPrep calls cosine00 and cosine01."""
    time = (np.arange(n_scans) + 0.5) / n_scans
    return np.stack([np.cos(np.pi * time), np.cos(2 * np.pi * time)], axis=1)


def _as_confounds(columns: NDArray[np.float64]) -> str:
    lines = ["\t".join(f"cosine{k:02d}" for k in range(columns.shape[1]))]
    lines += ["\t".join(f"{value:.6f}" for value in row) for row in columns]
    return "\n".join(lines) + "\n"


def _write_image(path: Path, values: NDArray[np.generic], grid: VolumeGrid, repetition_time: float | None) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(values, grid.affine)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time is not None:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time))
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
