"""How every figure looks: sizes in journal columns, text of at least 7 pt, colours that all readers can tell apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from affectome._files import atomic_path

__all__ = ["COLUMN_WIDTH", "PAGE_WIDTH", "OKABE_ITO", "house_style", "save_figure", "system_colours"]

#: Widths of one column and of the page, in inches (89 and 183 mm).
COLUMN_WIDTH = 3.5
PAGE_WIDTH = 7.2

#: Eight colours that readers with any colour vision can tell apart (Okabe & Ito 2008), strongest first.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

#: Systems of the paper keep their colour in every figure of every study.
_KNOWN = {
    "human_category": OKABE_ITO[0],
    "human_dimension": OKABE_ITO[4],
    "language": OKABE_ITO[2],
    "llm": OKABE_ITO[3],
    "mllm": OKABE_ITO[1],
}

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.parse_math": False,  # a rating called "$" is a name
    "svg.fonttype": "none",
    "svg.hashsalt": "affectome",
    "pdf.fonttype": 42,
    "figure.dpi": 100,
    "savefig.dpi": 200,
}


def system_colours(systems: Sequence[str]) -> dict[str, str]:
    """One colour per system, the same in every figure of a study.

    Examples
    --------
    >>> system_colours(["mine", "mllm"])
    {'mine': '#0072B2', 'mllm': '#D55E00'}
    """
    taken = {_KNOWN[name] for name in systems if name in _KNOWN}
    free = [colour for colour in OKABE_ITO if colour not in taken] or list(OKABE_ITO)
    new = [name for name in systems if name not in _KNOWN]
    given = {name: free[k % len(free)] for k, name in enumerate(new)}
    return {name: _KNOWN.get(name) or given[name] for name in systems}


def legible_colour(colour: str) -> str:
    """The colour, darkened until small text in it stands out from white by 4.5 to 1 (WCAG 2).

    Examples
    --------
    >>> legible_colour("#0072B2"), legible_colour("#E69F00")
    ('#0072b2', '#9e6d00')
    """
    rgb = np.array(to_rgb(colour))
    for darker in np.linspace(1, 0, 201):
        part = darker * rgb
        linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5:
            break
    red, green, blue = part.tolist()
    return to_hex((red, green, blue))


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the style to the figures made inside; matplotlib's global settings are left alone."""
    with mpl.rc_context(cast(Any, _STYLE)):
        yield


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a fresh figure that no window manager knows of."""
    if ax is not None:
        return ax
    return Figure(figsize=size, layout="constrained").add_subplot()


def figure_of(ax: Axes) -> Figure:
    """The figure that holds these axes."""
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def save_figure(
    figure: Figure, folder: str | os.PathLike[str], name: str, formats: Sequence[str] = ("png", "svg")
) -> list[Path]:
    """Write a figure in several formats; the same figure gives the same bytes."""
    written = []
    for suffix in formats:
        path = Path(folder) / f"{name}.{suffix}"
        metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
        with atomic_path(path) as temporary, house_style():
            figure.savefig(temporary, format=suffix, metadata=metadata, bbox_inches="tight")
        written.append(path)
    return written
