"""Figures as they go into the page: as they are, or smaller where there are too many for one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Picture", "fitting_pictures"]

#: What is tried in turn where pictures are too large together: palette colours, then a smaller width too.
_NARROW = 900
_DOTS_PER_PIXEL = 2  # figures are written at twice the resolution at which a page shows them


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure as a data address, with the size in pixels at which a page shows it."""

    address: str
    width: int
    height: int


def fitting_pictures(folder: Path, paths: Sequence[str], budget: int) -> dict[str, Picture]:
    """Pictures that fit a page together.

    Tried in this order until they fit: the files as they are; in 256 colours; and at a width of 900 pixels at most.
    If that is too much, those that come last are left out, one after the other.

    Parameters
    ----------
    folder
        The results.
    paths
        PNG files relative to it, those first that matter most.
    budget
        Characters that their addresses may have together.

    Returns
    -------
    dict from path to Picture
        Without those that were left out, and without files that are not there.
    """
    contents = {path: (folder / path).read_bytes() for path in dict.fromkeys(paths) if (folder / path).is_file()}
    sizes = {path: _size(content) for path, content in contents.items()}
    steps: list[Callable[[bytes], bytes]] = [lambda content: _repainted(content, None)]
    steps.append(lambda content: _repainted(content, _NARROW))
    kept = _first(contents, 8 * budget)  # none becomes so small that more of them could fit
    for step in steps:
        if _characters(kept) <= budget:
            break
        kept = {path: min(content, step(contents[path]), key=len) for path, content in kept.items()}
    kept = _first(kept, budget)
    return {
        path: Picture(f"data:image/png;base64,{base64.b64encode(content).decode()}", *sizes[path])
        for path, content in kept.items()
    }


def _size(content: bytes) -> tuple[int, int]:
    """Width and height on the page; those of the file stand at bytes 16 to 24 of every PNG."""
    width, height = (int.from_bytes(content[k : k + 4], "big") for k in (16, 20))
    return max(1, round(width / _DOTS_PER_PIXEL)), max(1, round(height / _DOTS_PER_PIXEL))


def _characters(contents: Mapping[str, bytes]) -> int:
    """Length of the addresses of some pictures."""
    return sum(4 * -(-len(content) // 3) + 22 for content in contents.values())


def _first(contents: Mapping[str, bytes], budget: int) -> dict[str, bytes]:
    """As many of the first as the budget allows."""
    kept: dict[str, bytes] = {}
    left = budget
    for path, content in contents.items():
        left -= _characters({path: content})
        if left < 0:
            break
        kept[path] = content
    return kept


def _repainted(content: bytes, width: int | None) -> bytes:
    """A PNG in 256 colours on white, at most so many pixels wide."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as opened:
        drawn = opened.convert("RGBA")
    ground = Image.new("RGBA", drawn.size, "white")
    flat = Image.alpha_composite(ground, drawn).convert("RGB")
    if width is not None and flat.width > width:
        flat = flat.resize((width, max(1, round(flat.height * width / flat.width))), Image.Resampling.LANCZOS)
    painted = io.BytesIO()
    flat.quantize(256, dither=Image.Dither.NONE).save(painted, format="PNG")
    return painted.getvalue()
