"""What a map is called: the entities of BIDS, in its order."""

from __future__ import annotations

import hashlib
import re

from affectome.errors import InputError

__all__ = ["bids_label", "map_stem"]


def bids_label(name: str) -> str:
    """Letters and digits only, as BIDS wants; different names get different labels.

    Words are joined as in ``humanCategory``; a name that is not a label already ends in six digits of its own.

    Examples
    --------
    >>> bids_label("MLLM")
    'MLLM'
    >>> bids_label("human category")
    'humanCategory50be57'
    """
    if re.fullmatch("[A-Za-z0-9]+", name):
        return name
    words = re.findall("[A-Za-z0-9]+", name)
    joined = "".join([word if k == 0 else word[0].upper() + word[1:] for k, word in enumerate(words)])
    return joined + hashlib.sha256(name.encode()).hexdigest()[:6]


def map_stem(
    *, subject: str | None, hemisphere: str | None, grid_space: str | None, statistic: str, space: str | None
) -> str:
    """Name of a map without extension; entities that are None are left out."""
    names = {
        "sub": subject if subject is None else subject.removeprefix("sub-"),
        "hemi": hemisphere,
        "space": grid_space,
        "stat": statistic,
        "desc": space,
    }
    for entity, name in names.items():
        if name is not None and not name.strip():
            raise InputError(f"the name for '{entity}' is empty", source="map", remedy="give it one")
    return "_".join(
        [f"{entity}-{bids_label(name)}" for entity, name in names.items() if name is not None] + ["statmap"]
    )
