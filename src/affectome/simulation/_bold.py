"""What a scanner would have recorded: the responses of simulated people as time series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.neural import Recording

__all__ = ["SimulatedRun", "simulate_bold"]


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """One run of the scanner.

    Attributes
    ----------
    run : int
    series : float32 array of shape (n_scans, n_voxels)
        About 100; a response of 1 is a peak of `signal` percent.
    events : DataFrame
        Columns onset, duration (s) and stimulus.
    repetition_time : float
        Seconds between scans.
    """

    run: int
    series: NDArray[np.float32]
    events: pd.DataFrame
    repetition_time: float


def simulate_bold(
    recording: Recording,
    *,
    repetition_time: float = 2.0,
    duration: float = 4.0,
    gap: float = 4.0,
    signal: float = 1.0,
    noise: float = 0.5,
    drift: float = 1.0,
    seed: int,
) -> tuple[SimulatedRun, ...]:
    """Turn the responses of each trial into the time series behind them.

    Parameters
    ----------
    recording : Recording
        Its responses are the amplitudes, its rows the trials in the order they were shown.
    repetition_time, duration, gap
        Seconds between scans, of each presentation, and between presentations.
    signal, noise, drift
        Percent of the mean: the peak of a response of 1, the s.d. of white noise, the amplitude of a slow wave
        with one cycle per run and a phase for each voxel.
    seed

    Returns
    -------
    tuple of SimulatedRun

    Notes
    -----
    Amplitudes are carried by the canonical (SPM) haemodynamic response to a presentation, scaled to a peak of 1.
    """
    if min(repetition_time, duration) <= 0 or gap < 0 or noise < 0:
        raise InputError("times and noise must not be negative", remedy="use a repetition time and durations above 0")
    from nilearn.glm.first_level import compute_regressor

    rng = np.random.default_rng(seed)
    runs = []
    for run, rows in recording.trials.groupby("run", sort=True):
        onsets = 2 * repetition_time + np.arange(len(rows)) * (duration + gap)
        n_scans = int(np.ceil((onsets[-1] + duration + 16) / repetition_time))  # until the last response is over
        times = (np.arange(n_scans) + 0.5) * repetition_time
        carriers = [
            compute_regressor(np.array([[onset], [duration], [1.0]]), "spm", times)[0][:, 0] for onset in onsets
        ]
        design = np.stack(carriers, axis=1)
        design /= np.abs(design).max()
        series = 100 + signal * (design @ recording.responses[rows.index])
        phase = rng.uniform(0, 2 * np.pi, recording.n_voxels)
        series += drift * np.sin(2 * np.pi * np.arange(n_scans)[:, None] / n_scans + phase)
        series += noise * rng.normal(size=series.shape)
        events = pd.DataFrame({"onset": onsets, "duration": duration, "stimulus": rows["stimulus"].to_numpy()})
        runs.append(SimulatedRun(int(str(run)), series.astype(np.float32), events, repetition_time))
    return tuple(runs)
