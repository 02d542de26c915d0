"""How wide text is in the font of our figures, so that it can be fitted before it is drawn."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import cache, lru_cache

from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import TextToPath

__all__ = ["FONT", "REPLACEMENT", "drawable", "drawable_lines", "font_file", "ink", "shortened", "wrapped"]

#: The font of the house style, which comes with matplotlib.
FONT = "DejaVu Sans"
#: Stands for a character that the font lacks.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_measure = TextToPath()
_WORD = re.compile(r"[^ /]*/+ ?|[^ /]+ ?")  # up to where a line may end


@cache
def font_file() -> str:
    """Path of the font."""
    return str(findfont(FontProperties(family=FONT)))


@cache
def _known_characters() -> frozenset[int]:
    return frozenset(get_font(font_file()).get_charmap())


def drawable(text: str) -> str:
    """The text on one line, each character that the font lacks as U+FFFD, and none that only steers the layout."""
    known = _known_characters()
    spaced = " ".join(text.split())
    shown = (c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(c if ord(c) in known else REPLACEMENT for c in shown)


def drawable_lines(text: str) -> str:
    """The same of a text that keeps its lines."""
    return "\n".join(map(drawable, text.split("\n")))


def ink(text: str, size: float) -> tuple[float, float, float]:
    """Width, height and depth below the baseline of text on one line, in points."""
    width, height, depth = _ink_per_point(text)
    return size * width, size * height, size * depth


@lru_cache(maxsize=65_536)
def _ink_per_point(text: str) -> tuple[float, float, float]:
    """Outlines scale with the size, so they are measured once."""
    width, height, depth = _measure.get_text_width_height_descent(
        text, FontProperties(family=FONT, size=1), ismath=False
    )
    return float(width), float(height), float(depth)


def shortened(text: str, width: float, size: float) -> str:
    """As much of the text as fits into `width` points, an ellipsis at its end where some is left out."""
    if not text or ink(text, size)[0] <= width:
        return text
    # Longer beginnings are wider, so the longest that fits is found by halving.
    n = bisect_right(range(1, len(text)), width, key=lambda k: ink(text[:k].rstrip() + "…", size)[0])
    kept, _, cut = text[:n].rpartition(" ")
    whole = text[n : n + 1] in ("", " ") or len(kept) < len(cut)  # a word is cut only where it is most of what is left
    return (text[:n] if whole else kept).rstrip(" ,;:") + "…"


def wrapped(text: str, width: float, size: float, lines: int) -> list[str]:
    """The text in at most `lines` lines of `width` points, broken at spaces and after slashes, … where it goes on."""
    words, made = _WORD.findall(" ".join(text.split())), list[str]()
    while words and len(made) < lines:
        if len(made) == lines - 1:
            made.append(shortened("".join(words).rstrip(), width, size))
            break
        line = words.pop(0)
        while words and ink((line + words[0]).rstrip(), size)[0] <= width:
            line += words.pop(0)
        made.append(shortened(line.rstrip(), width, size))
    return made
