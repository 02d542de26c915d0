"""Motion energy of clips: what moves where, how fast and in which direction (extra ``motion``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.errors import EnvironmentFailure, InputError
from affectome.spaces import as_space
from affectome.stimuli._frames import probe_clip, sample_frames
from affectome.stimuli._set import StimulusSet
from affectome.stimuli._thumbnails import _PICTURES

__all__ = ["motion_energy"]

logger = logging.getLogger(__name__)

Clip = str | os.PathLike[str] | NDArray[Any]
Floats = NDArray[np.float64]

_CHUNK = 1500  # frames that go through the filters at once
_FILTERS = 64  # filters made at once
_DECODED = 4  # frames are decoded at this many times the size wanted, then averaged down


def motion_energy(
    videos: StimulusSet | Mapping[str, Clip],
    *,
    fps: int = 15,
    size: tuple[int, int] = (72, 128),
    spatial_frequencies: Sequence[float] = (0, 2, 4, 8, 16),
    temporal_frequencies: Sequence[float] = (0, 2, 4),
    directions: Sequence[float] = (0, 45, 90, 135, 180, 225, 270, 315),
    statistics: Sequence[Literal["mean", "sd"]] = ("mean",),
    progress: Progress = silent,
) -> pd.DataFrame:
    r"""Describe clips by the motion energy in them, a control for what a brain sees before it feels.

    Frames become luminance (CIE L*, 0 to 100) on one canvas and go through a pyramid of Gabor filters in space and
    time, each in quadrature:

    .. math:: e_{ft} = \log(\sqrt{s_{ft}^2 + c_{ft}^2} + 10^{-5})

    A feature is the mean of one filter over the frames of a clip, or their standard deviation.

    Parameters
    ----------
    videos : StimulusSet, or mapping from id to clip
        A clip is a file, or an array of frames at `fps`: uint8 of shape (n_frames, height, width, 3), or luminance
        (0 to 100) of shape (n_frames, height, width). A picture counts as a clip without motion.
    fps
        Frames per second that are looked at, at even moments (see :func:`sample_frames`).
    size : (height, width)
        Of the canvas, in pixels. A clip of another shape is fitted into its middle; the rest is filled with the mean
        luminance of the clip.
    spatial_frequencies
        Cycles per height of the canvas; at most half its pixels.
    temporal_frequencies
        Hz; at most half of `fps`. At 0 Hz opposite directions are one filter.
    directions
        Degrees: 0 is motion to the right, 90 upwards.
    statistics
        ``"mean"``, ``"sd"``, or both.
    progress
        Told after every batch of clips.

    Returns
    -------
    DataFrame of float32, ids × filters
        A column is called after its statistic, where there are two, then cycles, Hz, direction, centre (from the left
        and the top) and s.d. of its Gaussian, in heights of the canvas. ``attrs`` holds the settings.

    Raises
    ------
    InputError
        For settings that no filter can have, clips that are missing or cannot be read, or stimuli without a clip.
    EnvironmentFailure
        Where pymoten is not installed, or PyAV for files.

    Notes
    -----
    The mean luminance of a clip is removed for all filters but those of 0 cycles, which measure it. A filter looks at
    2/3 of a second. Every clip is held at its first and at its last frame for that long, so that its beginning and end
    are no motion; a clip that is shorter than a filter is described by what little moves in it, and logged. No clip
    influences another, and nothing is drawn: the same frames give the same numbers but for rounding. Nothing is
    standardised either: that belongs inside a training fold.

    References
    ----------
    Adelson & Bergen (1985), JOSA A 2; Nishimoto, Vu, Naselaris, Benjamini, Yu & Gallant (2011), Current Biology 21.
    The filters are those of pymoten (Nunez-Elizalde).

    Examples
    --------
    >>> x, t = np.arange(64) / 36, np.arange(20)[:, None, None] / 15
    >>> to_the_right = np.broadcast_to(50 + 40 * np.cos(2 * np.pi * (2 * x - 4 * t)), (20, 36, 64))
    >>> small = {"size": (36, 64), "spatial_frequencies": (2,), "directions": (0, 180)}
    >>> motion_energy({"grating": to_the_right}, **small).loc["grating"].idxmax()
    '2 cycles 4 Hz 0° at (0.889, 0.500) width 0.300'
    """
    clips = _clips(videos)
    pyramid = _pyramid(fps, size, spatial_frequencies, temporal_frequencies, directions)
    asked = list(dict.fromkeys(statistics))
    if not asked or set(asked) - {"mean", "sd"}:
        raise InputError(f"statistics={tuple(statistics)} is not known", remedy='choose "mean", "sd", or both')
    window = int(pyramid.definition.filter_temporal_width)
    rows: list[NDArray[np.float32]] = []
    short: list[str] = []
    for names, chunk in _chunks(clips, fps, size):
        short += [name for name, frames in zip(names, chunk, strict=True) if len(frames) < window]
        for energy in _energies(pyramid, chunk, window):
            parts = {"mean": energy.mean(axis=0), "sd": energy.std(axis=0)}
            rows.append(np.concatenate([parts[name] for name in asked]).astype(np.float32))
        progress(len(rows), len(clips), detail=names[-1])
    if short:
        logger.warning(
            "%d clips are shorter than the %.2f s that a filter looks at, and were held at both ends: %s.",
            len(short),
            window / fps,
            cut_short(short),
        )
    columns = [f"{name} {label}" if len(asked) > 1 else label for name in asked for label in _labels(pyramid)]
    space = as_space(pd.DataFrame(np.stack(rows), index=pd.Index(list(clips), name="id"), columns=columns))
    space.attrs = {"kind": "motion energy", "fps": fps, "size": list(size), "window_frames": window}
    return space


def _clips(videos: StimulusSet | Mapping[str, Clip]) -> dict[str, Clip]:
    if isinstance(videos, StimulusSet):
        without = [name for name in videos.ids if name not in videos.videos]
        if without:
            raise InputError(
                f"{len(without)} stimuli have no clip ({cut_short(without)})",
                source=videos.source,
                remedy="add their videos, or select the stimuli that have one",
            )
        return {name: videos.videos[name] for name in videos.ids}
    if not videos:
        raise InputError("there are no clips", remedy="give at least one")
    return {str(name): clip for name, clip in videos.items()}


def _pyramid(
    fps: int,
    size: tuple[int, int],
    spatial_frequencies: Sequence[float],
    temporal_frequencies: Sequence[float],
    directions: Sequence[float],
) -> Any:
    try:
        import moten
    except ImportError as error:
        raise EnvironmentFailure(
            "motion energy needs pymoten", remedy='install it with: pip install "affectome[motion]"'
        ) from error
    if int(fps) != fps or fps < 3 or len(size) != 2 or min(size) < 8:
        raise InputError(
            f"fps={fps} and size={tuple(size)} make no motion energy",
            remedy="use a whole number of at least 3 frames per second, and at least 8 × 8 pixels",
        )
    for what, values, limit in (
        ("spatial_frequencies", spatial_frequencies, min(size) / 2),
        ("temporal_frequencies", temporal_frequencies, fps / 2),
    ):
        if not len(values) or min(values) < 0 or max(values) > limit:
            raise InputError(
                f"{what}={tuple(values)} cannot be seen with {size[0]} × {size[1]} pixels at {fps} frames per second",
                remedy=f"give values from 0 to {limit:g}",
            )
    if not len(directions) or not max(spatial_frequencies):
        raise InputError("there is nothing to filter for", remedy="give a direction and a spatial frequency above 0")
    return moten.pyramids.MotionEnergyPyramid(
        stimulus_vhsize=(int(size[0]), int(size[1])),
        stimulus_fps=int(fps),
        spatial_frequencies=list(spatial_frequencies),
        temporal_frequencies=list(temporal_frequencies),
        spatial_directions=list(directions),
    )


def _labels(pyramid: Any) -> list[str]:
    return [
        f"{f['spatial_freq']:g} cycles {f['temporal_freq']:g} Hz {f['direction']:g}° "
        f"at ({f['centerh']:.3f}, {f['centerv']:.3f}) width {f['spatial_env']:.3f}"
        for f in pyramid.filters
    ]


def _chunks(
    clips: Mapping[str, Clip], fps: int, size: tuple[int, int]
) -> Iterator[tuple[list[str], list[NDArray[np.float32]]]]:
    """Clips as luminance, as many at once as fill a chunk."""
    names: list[str] = []
    chunk: list[NDArray[np.float32]] = []
    for name, clip in clips.items():
        names.append(name)
        chunk.append(_canvas(_luminance(name, clip, fps, size), size))
        if sum(map(len, chunk)) >= _CHUNK:
            yield names, chunk
            names, chunk = [], []
    if chunk:
        yield names, chunk


def _energies(pyramid: Any, chunk: Sequence[NDArray[np.float32]], window: int) -> Iterator[Floats]:
    """Energy (n_frames, n_filters) of each clip, its frames backwards; between clips lie frames in which nothing moves.

    Pymoten convolves: a filter that is drawn as moving to the right answers to motion to the left. Backwards, what
    moves to the right meets the filter called 0 degrees.
    """
    cyclic = np.array([f["spatial_freq"] > 0 for f in pyramid.filters])
    energy = np.empty((sum(len(frames) + 2 * window for frames in chunk), len(cyclic)))
    for chosen in (cyclic, ~cyclic):
        # Gabors that the canvas cuts off would answer to mean luminance; only filters of 0 cycles are meant to.
        level = [frames.mean() if chosen is cyclic else 0.0 for frames in chunk]
        padding = ((window, window), (0, 0), (0, 0))
        held = [np.pad(f[::-1] - mean, padding, mode="edge") for f, mean in zip(chunk, level, strict=True)]
        filters = [f for f, wanted in zip(pyramid.filters, chosen, strict=True) if wanted]
        if filters:
            energy[:, chosen] = pyramid.project_stimulus_batched(
                np.concatenate(held, dtype=np.float64), filters=filters, batch_size=_FILTERS, dtype="float64"
            )
    end = 0
    for frames in chunk:
        start = end + window
        end = start + len(frames) + window
        yield energy[start : start + len(frames)]


def _luminance(name: str, clip: Clip, fps: int, size: tuple[int, int]) -> Floats:
    """Luminance (n_frames, height, width) of a clip, as large as it comes."""
    if isinstance(clip, np.ndarray):
        if clip.ndim == 4 and clip.shape[3] == 3 and clip.dtype == np.uint8 and len(clip):
            return _lightness(clip)
        if clip.ndim == 3 and len(clip) and np.issubdtype(clip.dtype, np.number) and np.isfinite(clip).all():
            return clip.astype(np.float64)
        raise InputError(
            f"the frames have the shape {clip.shape} and the type {clip.dtype}",
            source=name,
            remedy="give uint8 (n_frames, height, width, 3) or finite luminance (n_frames, height, width)",
        )
    duration = probe_clip(clip).duration
    if duration is None and Path(clip).suffix.lower() not in _PICTURES:
        raise InputError("does not say how long it lasts", source=clip, remedy="convert it to mp4")
    n_frames = max(1, round((duration or 0.0) * fps))
    return _lightness(sample_frames(clip, n_frames, longest_side=_DECODED * max(size)))


def _lightness(frames: NDArray[np.uint8]) -> Floats:
    """CIE 1976 L* of sRGB frames, 0 to 100."""
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)[frames]
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness: Floats = np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)
    return lightness


def _canvas(frames: Floats, size: tuple[int, int]) -> NDArray[np.float32]:
    """Frames fitted into the canvas, surrounded by their mean."""
    from PIL import Image

    height, width = frames.shape[1:]
    scale = min(size[0] / height, size[1] / width)
    fitted = max(1, round(height * scale)), max(1, round(width * scale))
    canvas = np.full((len(frames), *size), frames.mean(), np.float32)
    top, left = (size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2
    for shown, frame in zip(canvas, frames.astype(np.float32), strict=True):
        image = Image.fromarray(frame)
        if fitted != (height, width):
            image = image.resize(fitted[::-1], Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
        shown[top : top + fitted[0], left : left + fitted[1]] = np.asarray(image)
    return canvas
