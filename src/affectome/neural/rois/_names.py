"""What the name of a region says: the area, and the side it lies on."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

__all__ = ["AreaName", "Side", "area_name", "sided_name"]

Side = Literal["left", "right"]

# Atlas prefixes of the bdpy files of Horikawa 2020.
_ATLAS = re.compile(r"^(hcp180_r_|yeo2011_17_r_|pickatlas_r_w(aal_MNI_V4|TD_(hemisphere|label|brodmann))_)")
_HEMISPHERE = re.compile(r"^([lr]h)[._]")
_LEADING = re.compile(r"^(Left|Right|L|R)[_-]")
_TRAILING = re.compile(r"[_-](Left|Right|L|R)$")


class AreaName(NamedTuple):
    """The area without prefixes, and its side; no side where the mask covers both or does not say."""

    area: str
    side: Side | None


def area_name(name: str) -> AreaName:
    """Read a region's name.

    Examples
    --------
    >>> area_name("hcp180_r_lh.L_TPOJ1_ROI")
    AreaName(area='TPOJ1', side='left')
    >>> area_name("pickatlas_r_waal_MNI_V4_Amygdala_R")
    AreaName(area='Amygdala', side='right')
    >>> area_name("fusiform")
    AreaName(area='fusiform', side=None)
    """
    rest = _ATLAS.sub("", name).removesuffix("_ROI")
    sides: set[Side] = set()
    for pattern in (_HEMISPHERE, _LEADING, _TRAILING):
        found = pattern.search(rest)
        if found and len(found[0]) < len(rest):
            sides.add("left" if found[1][0].lower() == "l" else "right")
            rest = pattern.sub("", rest)
    if len(sides) > 1:  # "lh.R_V1" contradicts itself: it is nobody's left or right
        return AreaName(name, None)
    return AreaName(rest, sides.pop() if sides else None)


def sided_name(name: str, side: Side) -> str:
    """The name of a region of one hemisphere, with the hemisphere in it."""
    return name if area_name(name).side == side else f"{'lh' if side == 'left' else 'rh'}.{name}"
