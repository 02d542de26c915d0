"""Small pictures of stimuli for figures and pages, blurred beyond recognition unless asked otherwise."""

from __future__ import annotations

import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.errors import AffectomeError, InputError
from affectome.stimuli._frames import _av, sample_frames
from affectome.stimuli._set import StimulusSet

__all__ = ["Thumbnail", "thumbnails"]

logger = logging.getLogger(__name__)

#: Pictures that need no video library.
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_CELLS = (4, 3)  # all that is left of a blurred frame: columns and rows of mean colours,
_STEP = 16  # each channel rounded to one of 256 / 16 levels: 4 x 3 x 3 x 4 = 144 bits
_QUALITY = 80
_WORKERS = 4  # threads that decode; which of them decodes a clip changes nothing


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A small picture of one stimulus, as a JPEG file in memory.

    Attributes
    ----------
    id : str
    jpeg : bytes
        A whole file without metadata. A grey tile that says why, where there is no picture.
    width, height : int
        Pixels.
    blurred : bool
        Whether only a few mean colours are left of the picture.
    problem : str
        Why there is no picture (``"no clip"``, ``"clip missing"``, ``"clip unreadable"``); empty where there is one.
    """

    id: str
    jpeg: bytes
    width: int
    height: int
    blurred: bool
    problem: str


def thumbnails(
    stimuli: StimulusSet,
    ids: Sequence[str],
    *,
    frames: int = 1,
    width: int = 160,
    blur: bool | Collection[str] | Literal["all"] = "all",
    progress: Progress = silent,
) -> dict[str, Thumbnail]:
    """Make small pictures of stimuli from their clips, or from the pictures that they are.

    Emotional stimuli are often explicit, violent, or show people who did not agree to be on someone's web page. So
    everything is blurred by default, and whoever wants to see (and show) the stimuli says so.

    Parameters
    ----------
    stimuli : StimulusSet
        Its ``videos`` name the clips.
    ids : sequence of str
        An id may be named several times; its clip is decoded once.
    frames
        Frames per clip, side by side: 1, from the middle, or 3, from the middle of each third (see
        :func:`sample_frames`). A stimulus that is a picture is shown once.
    width
        Widest a frame may be, in pixels; its height is at most three quarters of that. Smaller frames stay.
    blur
        ``"all"`` (or True); False: none; or the ids to blur. An id that no stimulus has is refused, so that a misspelt
        one never leaves a picture sharp.
    progress
        Told after every clip.

    Returns
    -------
    dict from id to Thumbnail, in the order of first mention; empty for no ids

    Raises
    ------
    InputError
        For ids that are unknown, or a size that makes no picture.
    EnvironmentFailure
        When there are clips and PyAV is not installed (extra ``video``).

    Notes
    -----
    A blurred frame is a function of 12 mean colours (4 columns, 3 rows) with 16 levels per channel: 144 bits. All
    else is gone before the file is made; nothing sharp lies beneath. A clip that is missing or cannot be read gives a
    grey tile that says so, and all of them together one warning in the log. The same files give the same bytes with
    the same versions of Pillow and FFmpeg.
    """
    from PIL import Image  # noqa: F401  # loaded before threads start

    wanted = _checked_ids(stimuli, ids)
    hidden = _blurred_ids(stimuli, blur)
    if frames not in (1, 3) or not 16 <= width <= 1024:
        raise InputError(
            f"frames={frames} of width {width} make no thumbnail", remedy="use 1 or 3 frames, 16 to 1,024 pixels wide"
        )
    clips = [stimuli.videos.get(name) for name in wanted]
    if any(clip is not None and not _is_picture(clip) for clip in clips):
        _av()  # or every clip would look damaged

    def make(name: str) -> Thumbnail:
        return _thumbnail(name, stimuli.videos.get(name), frames, width, name in hidden)

    made: dict[str, Thumbnail] = {}
    with ThreadPoolExecutor(min(_WORKERS, os.cpu_count() or 1)) as pool:
        for done, thumbnail in enumerate(pool.map(make, wanted), start=1):
            made[thumbnail.id] = thumbnail
            progress(done, len(wanted), detail=thumbnail.id)
    _warn_of_missing(made)
    return made


def _checked_ids(stimuli: StimulusSet, ids: Sequence[str]) -> list[str]:
    wanted = list(dict.fromkeys(str(name) for name in ids))
    _refuse_unknown(stimuli, wanted, "thumbnails are wanted of")
    return wanted


def _blurred_ids(stimuli: StimulusSet, blur: bool | Collection[str]) -> Collection[str]:
    if isinstance(blur, bool):
        return set(stimuli.ids) if blur else set()
    if blur == "all":
        return set(stimuli.ids)
    if isinstance(blur, str):
        raise InputError(f"blur is the text '{blur}'", remedy='give "all", False, or a list of ids')
    hidden = {str(name) for name in blur}
    _refuse_unknown(stimuli, sorted(hidden), "to be blurred are")
    return hidden


def _refuse_unknown(stimuli: StimulusSet, ids: Sequence[str], what: str) -> None:
    known = set(stimuli.ids)
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise InputError(
            f"{what} {len(unknown)} unknown ids ({cut_short(unknown)})", source=stimuli.source, remedy="correct them"
        )


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _PICTURES


def _thumbnail(name: str, path: Path | None, frames: int, width: int, blurred: bool) -> Thumbnail:
    """One stimulus; whatever is wrong with its file becomes a tile that says so."""
    box = (width, 3 * width // 4)
    problem = "no clip" if path is None else "" if path.is_file() else "clip missing"
    if path is not None and not problem:
        try:
            shown = [_fitted(frame, box) for frame in _frames(path, frames, width)]
            image = _side_by_side([_without_detail(frame) if blurred else frame for frame in shown])
            return Thumbnail(name, _jpeg(image), image.width, image.height, blurred, "")
        except _unreadable_errors():
            problem = "clip unreadable"
    image = _grey_tile((box[0] * frames, box[1]), problem)
    return Thumbnail(name, _jpeg(image), image.width, image.height, False, problem)


def _unreadable_errors() -> tuple[type[Exception], ...]:
    from PIL import Image

    # Decoders raise these for files that are damaged in ways their headers do not tell.
    return (AffectomeError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def _frames(path: Path, frames: int, width: int) -> list[Any]:
    """Frames as images, upright, in RGB; twice as large as needed, so that what shrinks them can be careful."""
    from PIL import Image, ImageOps

    if not _is_picture(path):
        return [Image.fromarray(frame) for frame in sample_frames(path, frames, longest_side=2 * width)]
    with Image.open(path) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGBA")
    ground = Image.new("RGBA", upright.size, "white")  # what is transparent
    return [Image.alpha_composite(ground, upright).convert("RGB")]


def _fitted(image: Any, box: tuple[int, int]) -> Any:
    from PIL import Image

    scale = min(1.0, box[0] / image.width, box[1] / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def _without_detail(image: Any) -> Any:
    """The picture that its cells alone determine."""
    return _from_cells(_cells(image), image.size)


def _cells(image: Any) -> NDArray[np.uint8]:
    """Levels of the mean colours of 4 x 3 cells: uint8 of shape (3, 4, 3), 0 to 15."""
    from PIL import Image

    means = np.asarray(image.resize(_CELLS, Image.Resampling.BOX), np.uint8)
    return means // np.uint8(_STEP)


def _from_cells(cells: NDArray[np.uint8], size: tuple[int, int]) -> Any:
    from PIL import Image

    colours = Image.fromarray((cells * _STEP + _STEP // 2).astype(np.uint8))
    return colours.resize(size, Image.Resampling.BICUBIC)


def _side_by_side(images: Sequence[Any]) -> Any:
    from PIL import Image

    if len(images) == 1:
        return images[0]
    strip = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), "white")
    left = 0
    for image in images:
        strip.paste(image, (left, 0))
        left += image.width
    return strip


def _grey_tile(size: tuple[int, int], text: str) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    tile = Image.new("RGB", size, (217, 217, 217))
    font = ImageFont.load_default(size=max(8, size[1] // 8))
    ImageDraw.Draw(tile).multiline_text(
        (size[0] / 2, size[1] / 2), text.replace(" ", "\n"), fill=(64, 64, 64), font=font, anchor="mm", align="center"
    )
    return tile


def _jpeg(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def _warn_of_missing(made: dict[str, Thumbnail]) -> None:
    without = [thumbnail for thumbnail in made.values() if thumbnail.problem]
    if without:
        reasons = Counter(thumbnail.problem for thumbnail in without)
        logger.warning(
            "%d of %d stimuli have no picture (%s): %s.",
            len(without),
            len(made),
            ", ".join(f"{reason} {count} times" if count > 1 else reason for reason, count in sorted(reasons.items())),
            cut_short([thumbnail.id for thumbnail in without]),
        )
