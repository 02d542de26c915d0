"""Looks a stimulus set over before anything is asked or paid for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError
from affectome.stimuli._frames import probe_clip
from affectome.stimuli._set import StimulusSet

__all__ = ["CheckReport", "check_stimuli"]


@dataclass(frozen=True, eq=False)
class CheckReport:
    """What a stimulus set holds, and what is odd about it.

    Attributes
    ----------
    n_stimuli, n_captions, n_videos : int
    spaces : dict from name to (number of features, smallest value, largest value)
    warnings : tuple of str
        Full sentences; none of them stops an analysis.
    """

    n_stimuli: int
    n_captions: int
    n_videos: int
    spaces: dict[str, tuple[int, float, float]]
    warnings: tuple[str, ...]


def _opens(path: Path) -> bool:
    """Whether a clip can be opened; without PyAV nobody can tell, and it is not held against the clip."""
    try:
        probe_clip(path)
    except InputError:
        return False
    except EnvironmentFailure:
        return True
    return True


def check_stimuli(stimuli: StimulusSet) -> CheckReport:
    """Count what is there and look for what usually is a mistake.

    Faults that make a set unusable (a repeated id, a missing number, a video that does not exist) were already
    refused when it was read. Here: stimuli without caption or video where others have one, empty clips,
    clips that cannot be opened, identical rows and constant columns in a space.
    """
    warnings: list[str] = []
    without_caption = [i for i in stimuli.ids if not stimuli.captions[i]]
    if without_caption and len(without_caption) < len(stimuli):
        warnings.append(f"{len(without_caption)} stimuli have no caption, others do ({cut_short(without_caption)}).")
    without_video = [i for i in stimuli.ids if i not in stimuli.videos]
    if without_video and stimuli.videos:
        warnings.append(f"{len(without_video)} stimuli have no video, others do ({cut_short(without_video)}).")
    absent = [i for i, path in stimuli.videos.items() if not path.is_file()]
    if absent:
        warnings.append(f"{len(absent)} videos are not where they should be ({cut_short(absent)}).")
    empty = [i for i, path in stimuli.videos.items() if path.is_file() and path.stat().st_size == 0]
    if empty:
        warnings.append(f"{len(empty)} videos are empty files ({cut_short(empty)}).")
    broken = [i for i in stimuli.videos if i not in (*absent, *empty) and not _opens(stimuli.videos[i])]
    if broken:
        warnings.append(f"{len(broken)} videos cannot be opened ({cut_short(broken)}).")
    summary: dict[str, tuple[int, float, float]] = {}
    for name, space in stimuli.spaces.items():
        values = space.to_numpy()
        summary[name] = (space.shape[1], float(values.min()), float(values.max()))
        twins = space.index[space.duplicated(keep=False)]
        if len(twins):
            warnings.append(f"{len(twins)} stimuli of '{name}' share their values with another ({cut_short(twins)}).")
        constant = space.columns[np.ptp(values, axis=0) == 0]
        if len(constant):
            warnings.append(f"{len(constant)} columns of '{name}' are constant ({cut_short(constant)}).")
    return CheckReport(
        n_stimuli=len(stimuli),
        n_captions=sum(len(texts) for texts in stimuli.captions.values()),
        n_videos=len(stimuli.videos),
        spaces=summary,
        warnings=tuple(warnings),
    )
