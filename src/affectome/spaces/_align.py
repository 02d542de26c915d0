"""Bring spaces onto the same stimuli in the same order, and say what was lost on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces._space import as_space

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Spaces over one list of stimuli.

    Attributes
    ----------
    spaces
        The spaces, all with `ids` as their index, in the order of the first.
    ids
        The stimuli they share.
    dropped
        For each space, the ids it had and the others lack.
    """

    spaces: tuple[pd.DataFrame, ...]
    ids: tuple[str, ...]
    dropped: tuple[tuple[str, ...], ...]


def align(
    *spaces: pd.DataFrame, how: Literal["exact", "intersect"] = "exact", names: Sequence[str] | None = None
) -> Alignment:
    """Bring spaces onto the same stimuli, in the order of the first.

    Parameters
    ----------
    *spaces : DataFrame
        At least one space.
    how
        ``"exact"`` raises unless all hold the same ids; ``"intersect"`` keeps the shared ones, and
        logs and reports which ids dropped.
    names
        Names of the spaces for messages; by default their positions.

    Raises
    ------
    InputError
        Naming the ids that do not match, or when nothing is shared.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"Joy": [1.0, 2.0]}, index=["x", "y"])
    >>> b = pd.DataFrame({"Awe": [3.0, 4.0]}, index=["y", "z"])
    >>> align(a, b, how="intersect").dropped
    (('x',), ('z',))
    """
    if how not in ("exact", "intersect"):
        raise InputError(f"'{how}' is no way to align", remedy="choose exact or intersect")
    if not spaces:
        raise InputError("there is no space to align", remedy="give at least one")
    labels = list(names) if names is not None else [f"space {k + 1}" for k in range(len(spaces))]
    for label, space in zip(labels, spaces, strict=True):
        as_space(space, source=label)  # refuses what is no space; the numbers come back as they were given
    sets = [set(space.index) for space in spaces]
    shared = set.intersection(*sets)
    dropped = tuple(tuple(i for i in space.index if i not in shared) for space in spaces)
    if how == "exact" and any(dropped):
        # A union hides who lacks what: name the first space that has ids which another lacks.
        at = next(k for k, names_lost in enumerate(dropped) if names_lost)
        other = next(k for k, have in enumerate(sets) if not have.issuperset(dropped[at]))
        lost = [i for i in dropped[at] if i not in sets[other]]
        raise InputError(
            f"{len(lost)} of its ids are not in {labels[other]} ({cut_short(lost)})",
            source=labels[at],
            remedy='make the ids match, or keep only the shared ones with how="intersect"',
        )
    ids = tuple(i for i in spaces[0].index if i in shared)
    if not ids:
        examples = " and ".join(f"'{space.index[0]}' in {label}" for space, label in zip(spaces, labels, strict=True))
        raise InputError(f"the spaces share no stimulus ids ({examples})", remedy="make the ids match")
    for label, names_lost in zip(labels, dropped, strict=True):
        if names_lost:
            logger.warning(
                "%d of the stimuli of %s are not in every space and were dropped: %s.",
                len(names_lost),
                label,
                cut_short(names_lost),
            )
    return Alignment(tuple(space.loc[list(ids)] for space in spaces), ids, dropped)


def rows_for(space: pd.DataFrame, ids: Sequence[str], *, name: str = "the space") -> pd.DataFrame:
    """The rows of a space for these stimuli, in this order; every one of them must be there.

    Unlike :func:`align` the space may hold other stimuli too.
    """
    checked = as_space(space, source=name)
    known = set(checked.index)
    missing = [i for i in ids if i not in known]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(ids)} stimuli are not in it ({cut_short(missing)})",
            source=name,
            remedy=f"make the ids match (it has {cut_short(checked.index, 3)})",
        )
    return checked.loc[list(ids)]
