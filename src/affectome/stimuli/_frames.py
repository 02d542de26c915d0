"""Frames of a clip at documented moments, through PyAV (extra ``video``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectome._files import unreadable
from affectome.errors import EnvironmentFailure, InputError

__all__ = ["ClipFacts", "encode_jpeg", "probe_clip", "sample_frames"]

_MISSING = 0.1  # share of a clip that may be missing at its end before it counts as cut short


@dataclass(frozen=True)
class ClipFacts:
    """What a clip says of itself.

    Attributes
    ----------
    width, height : int
        Pixels, before any rotation.
    duration : float or None
        Seconds; None where the file does not say.
    fps : float or None
        Mean frames per second.
    """

    width: int
    height: int
    duration: float | None
    fps: float | None


def probe_clip(path: str | os.PathLike[str]) -> ClipFacts:
    """Open a clip and read its header, without decoding it.

    Raises
    ------
    InputError
        When it is no video, or cannot be read.
    EnvironmentFailure
        When PyAV is not installed.
    """
    with _opened(path) as (container, stream):
        rate = stream.average_rate
        return ClipFacts(
            stream.width, stream.height, _stated_duration(container, stream), float(rate) if rate else None
        )


def sample_frames(
    path: str | os.PathLike[str], n_frames: int = 8, *, longest_side: int | None = 336
) -> NDArray[np.uint8]:
    r"""Take frames of a clip, evenly over its duration.

    The rule: the clip is cut into `n_frames` equal parts, and of each the frame is taken that is on screen in its
    middle, at

    .. math:: t_k = \frac{k + 1/2}{n} T, \quad k = 0 \ldots n - 1

    A clip with fewer frames than parts, or a picture, repeats some.

    Parameters
    ----------
    path
        Any file FFmpeg reads: mp4, mov, webm, gif, a single picture ...
    n_frames
    longest_side
        Larger frames are scaled down to it, their sides rounded to even pixels; smaller ones stay. None: never scaled.

    Returns
    -------
    uint8 array of shape (n_frames, height, width, 3), RGB

    Raises
    ------
    InputError
        When the file is no video, holds no frame, or is cut short.
    EnvironmentFailure
        When PyAV is not installed.
    """
    if n_frames < 1 or (longest_side is not None and longest_side < 2):
        raise InputError(f"n_frames={n_frames} with longest_side={longest_side} makes no frames", remedy="raise them")
    with _opened(path) as (container, stream):
        stated = _stated_duration(container, stream)
        if stated is None:
            times = [time for time, _ in _decoded(path, container)]
    if stated is None:
        # The last frame stays as long as frames do on average; a picture has no duration at all.
        stated = (times[-1] - times[0]) * len(times) / max(1, len(times) - 1) if times else 0.0
    wanted = (np.arange(n_frames) + 0.5) / n_frames * stated
    taken: list[NDArray[np.uint8]] = []
    shown, at, step = None, 0.0, 0.0
    with _opened(path) as (container, _):
        for time, frame in _decoded(path, container):
            if shown is not None:
                step = time - at
                ended = int(np.searchsorted(wanted, time))  # moments before this frame belong to the one before it
                if ended > len(taken):
                    taken += [_picture(shown, longest_side)] * (ended - len(taken))
                if ended == n_frames:
                    break
            shown, at = frame, time
        if shown is None:
            raise InputError("holds no frame", source=path, remedy="replace the clip")
        if len(taken) < n_frames:
            if wanted[-1] > at + step + _MISSING * stated:
                raise InputError(
                    f"says it lasts {stated:.2f} s and ends after {at + step:.2f} s: it is cut short or damaged",
                    source=path,
                    remedy="copy it again",
                )
            taken += [_picture(shown, longest_side)] * (n_frames - len(taken))
    return np.stack(taken)


def encode_jpeg(frame: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A frame as a JPEG file.

    Parameters
    ----------
    frame : uint8 array of shape (height, width, 3), RGB; even sides
    quality
        1 to 100; the encoder's quantiser runs from 31 down to 2 along it.
    """
    av = _av()
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise InputError(f"a frame has shape {frame.shape} and type {frame.dtype}", remedy="give uint8 (h, w, 3)")
    if not 1 <= quality <= 100:
        raise InputError(f"the JPEG quality {quality} is not within 1 and 100", remedy="use 90")
    height, width = frame.shape[:2]
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj420p", Fraction(1, 1)
    encoder.qmin = encoder.qmax = round(31 - (quality - 1) * 29 / 99)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format="yuvj420p")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in (*encoder.encode(picture), *encoder.encode(None)))


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise EnvironmentFailure(
            "reading videos needs PyAV", remedy='install it with: pip install "affectome[video]"'
        ) from error
    return av


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """A clip and its video stream; a file that is none is named."""
    av = _av()
    if not Path(path).is_file():
        raise unreadable(path, FileNotFoundError())
    try:
        container = av.open(os.fspath(path))
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"is no video that can be read ({reason})", source=path, remedy="replace the clip") from error
    with container:
        if not container.streams.video:
            raise InputError("holds no video", source=path, remedy="replace the clip")
        yield container, container.streams.video[0]


def _stated_duration(container: Any, stream: Any) -> float | None:
    """Seconds the file says it lasts; None for a picture, and for formats whose header does not tell."""
    if stream.frames == 1 or container.format.name == "image2" or container.format.name.endswith("_pipe"):
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1e6  # microseconds, by FFmpeg's definition


def _decoded(path: str | os.PathLike[str], container: Any) -> Iterator[tuple[float, Any]]:
    """Frames with their seconds after the first one; what is damaged at the end ends the clip."""
    av = _av()
    first: float | None = None
    try:
        for frame in container.decode(video=0):
            time = float(frame.time or 0.0)
            first = time if first is None else first
            yield time - first, frame
    except av.error.FFmpegError as error:
        if first is None:
            raise InputError(f"cannot be decoded ({error.strerror})", source=path, remedy="replace the clip") from error


def _picture(frame: Any, longest_side: int | None) -> NDArray[np.uint8]:
    """A frame as RGB, upright and not too large, with even sides."""
    longest = max(frame.width, frame.height)
    scale = 1.0 if longest_side is None else min(1.0, longest_side / longest)
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (frame.width, frame.height))
    made: NDArray[np.uint8] = frame.reformat(width=width, height=height, format="rgb24").to_ndarray()
    turned = round(float(getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(made, turned)) if turned else made
