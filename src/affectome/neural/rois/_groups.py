"""Groups of regions: which areas belong together, and their union as one mask."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from affectome._tables import cut_short
from affectome._toml import Table, checked, read_toml
from affectome.errors import InputError
from affectome.neural.recordings import Recording
from affectome.neural.rois._hcp import HCP_GROUPS, SUBCORTICAL
from affectome.neural.rois._names import AreaName, Side, area_name

__all__ = ["Groups", "group_members", "group_regions", "read_region_groups"]

logger = logging.getLogger(__name__)

#: ``"hcp"``: the cortical groups; ``"subcortical"``; ``"paper"``: both; a mapping from group to members; a TOML file.
Groups = Literal["hcp", "subcortical", "paper"] | Mapping[str, Sequence[str]] | str | os.PathLike[str]

_BUILT_IN: Mapping[str, Mapping[str, Sequence[str]]] = {
    "hcp": HCP_GROUPS,
    "subcortical": SUBCORTICAL,
    "paper": {**HCP_GROUPS, **SUBCORTICAL},
}


def group_regions(
    recording: Recording,
    groups: Groups = "hcp",
    *,
    hemispheres: Literal["together", "apart"] = "together",
    skip_missing: bool = False,
) -> Recording:
    """Add groups of regions to a recording, each the union of its members.

    A member is the name of an area, without prefixes and side (``"TPOJ1"`` finds ``hcp180_r_lh.L_TPOJ1_ROI`` and
    ``hcp180_r_rh.R_TPOJ1_ROI``), a whole name, an area with its side (``"L_TPOJ1"``), or a pattern (``"TPOJ*"``).
    Case counts only where two spellings differ by nothing else. Spellings of one member may stand between bars
    (``"Accumbens|nuc_accum"``): the first that the recording has counts. Groups may overlap.

    Parameters
    ----------
    recording
    groups
        ``"hcp"`` (:data:`HCP_GROUPS`), ``"subcortical"`` (:data:`SUBCORTICAL`), ``"paper"`` (both), a mapping from
        group to members, or the path of a TOML file (:func:`read_region_groups`).
    hemispheres
        ``"apart"``: two groups each, ``"TPJ left"`` and ``"TPJ right"``, of the members whose name says that side.
    skip_missing
        Leave out groups without any voxel, instead of refusing them.

    Returns
    -------
    Recording
        With the masks of the groups after those it had; :func:`group_members` says what was found.

    Raises
    ------
    InputError
        When a group has no member or no voxel in the recording, or its name is that of another region.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    >>> rois = {
    ...     "hcp180_r_lh.L_EC_ROI": np.array([True, False, False]),
    ...     "hcp180_r_rh.R_H_ROI": np.array([False, False, True]),
    ... }
    >>> recording = Recording("sub-01", np.zeros((1, 3), np.float32), trials, rois=rois)
    >>> group_regions(recording, {"MTC": ["EC", "H"]}).rois["MTC"]
    array([ True, False,  True])
    """
    found = _find(recording, groups, hemispheres)
    table = _member_table(recording, found)
    _report(table, recording, skip_missing)
    masks = dict(recording.rois)
    for name, members in found.items():
        if not table.at[name, "n_voxels"]:
            continue
        mask = np.logical_or.reduce([recording.rois[key] for member in members for key in member.found])
        if name in masks and not np.array_equal(masks[name], mask):
            raise InputError(
                f"the group '{name}' has the name of a region with other voxels",
                source=recording.source or recording.subject,
                remedy="rename the group",
            )
        masks[name] = mask
    return replace(recording, rois=masks)


def group_members(
    recording: Recording, groups: Groups = "hcp", *, hemispheres: Literal["together", "apart"] = "together"
) -> pd.DataFrame:
    """What a recording has of the members of each group.

    Where a recording names the side of its regions, a member is expected in both hemispheres unless one mask of it
    names no side (or `hemispheres` is ``"apart"``), and each counts one half.

    Returns
    -------
    DataFrame, index the groups, with columns

        ``n_members``, ``n_found`` (halves for one hemisphere), ``share`` (of the members, 0..1), ``missing``
        (their names, separated by commas), ``n_voxels``

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> trials = pd.DataFrame({"stimulus": ["a"], "run": [1], "session": [1]})
    >>> rois = {"hcp180_r_lh.L_EC_ROI": np.ones(3, bool)}
    >>> recording = Recording("sub-01", np.zeros((1, 3), np.float32), trials, rois=rois)
    >>> group_members(recording, {"MTC": ["EC", "H"]})
           n_members  n_found  share        missing  n_voxels
    group
    MTC            2      0.5   0.25  EC (right), H         3
    """
    return _member_table(recording, _find(recording, groups, hemispheres))


def read_region_groups(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Read groups of regions from a TOML file.

    .. code-block:: toml

        [groups]
        TPJ = ["TPOJ1", "TPOJ2", "TPOJ3"]
        temporal = ["TE*", "STS*"]

    Raises
    ------
    InputError
        With one line for every fault: unknown keys, members that are no text, empty groups, members named twice.
    """
    return _checked_groups(checked(_GroupFile, read_toml(path), path).groups, os.fspath(path))


class _GroupFile(Table):
    groups: dict[str, list[str]]


class _Member(NamedTuple):
    """A member of a group, the names of its regions in a recording, and the sides that are missing."""

    name: str
    found: list[str]
    missing: list[Side]


def _groups(groups: Groups) -> Mapping[str, Sequence[str]]:
    if isinstance(groups, Mapping):
        return _checked_groups(groups, "groups")
    if isinstance(groups, str) and groups in _BUILT_IN:
        return _BUILT_IN[groups]
    if os.fspath(groups).lower().endswith(".toml"):
        return read_region_groups(groups)
    raise InputError(
        f"there are no groups named '{groups}'",
        source="groups",
        remedy=f"use one of {', '.join(_BUILT_IN)}, a mapping, or the path of a TOML file",
    )


def _checked_groups(groups: Mapping[str, Sequence[str]], source: str) -> dict[str, tuple[str, ...]]:
    """The same groups, or one line for every fault."""
    faults = [] if groups else ["[groups]: there is no group; name at least one"]
    for name, members in groups.items():
        where = f"[groups] {name}"
        if not name.strip():
            faults.append(f"{where}: a group has no name; give it one")
        if isinstance(members, str):
            faults.append(f'{where}: the members are one text; write a list, ["{members}"]')
            continue
        if not members or not all(member.strip() for member in members):
            faults.append(f"{where}: {'a member has no name' if members else 'there is no member'}; name the areas")
        twice = [member for member, count in Counter(members).items() if count > 1]
        if twice:
            faults.append(f"{where}: {cut_short(twice)} is named twice; name every member once")
    if len(faults) == 1:
        where, _, rest = faults[0].partition(": ")
        problem, _, remedy = rest.partition("; ")
        raise InputError(problem, source=source, where=where, remedy=remedy)
    if faults:
        raise InputError(f"has {len(faults)} faults:" + "".join(f"\n  {fault}" for fault in faults), source=source)
    return {name: tuple(members) for name, members in groups.items()}


def _find(recording: Recording, groups: Groups, hemispheres: Literal["together", "apart"]) -> dict[str, list[_Member]]:
    """The members of every group, or of its two sides."""
    if hemispheres not in ("together", "apart"):
        raise InputError(f"hemispheres is '{hemispheres}'", remedy="use 'together' or 'apart'")
    if not recording.rois:
        raise InputError(
            "the recording has no regions",
            source=recording.source or recording.subject,
            remedy="read it with its regions, or add them from a label image",
        )
    regions = {name: area_name(name) for name in recording.rois}
    named = _groups(groups)
    if hemispheres == "together":
        both: tuple[Side, ...] = ("left", "right") if any(region.side for region in regions.values()) else ()
        return {group: [_member(name, regions, both) for name in members] for group, members in named.items()}
    found: dict[str, list[_Member]] = {}
    sides: tuple[Side, ...] = ("left", "right")
    for group, members in named.items():
        for side in sides:
            here = {name: region for name, region in regions.items() if region.side == side}
            found[f"{group} {side}"] = [_member(name, here, (side,)) for name in members]
    return found


def _member(name: str, regions: Mapping[str, AreaName], sides: tuple[Side, ...]) -> _Member:
    for spelling in name.split("|"):
        found = _matches(spelling, regions)
        if found:
            there = {regions[key].side for key in found}
            asked = area_name(spelling).side
            expected = () if None in there else (asked,) if asked else sides
            return _Member(name, found, [side for side in expected if side not in there])
    return _Member(name, [], list(sides))


def _matches(spelling: str, regions: Mapping[str, AreaName]) -> list[str]:
    """Regions of this name: as a whole, else by their area, letter for letter before any case."""
    area, side = area_name(spelling)
    if spelling in regions and side:
        return [spelling]
    for fold in (str, str.casefold):
        wanted = fold(area)
        found = [
            name
            for name, region in regions.items()
            if side in (None, region.side)
            and (fnmatchcase(fold(region.area), wanted) or fnmatchcase(fold(name), fold(spelling)))
        ]
        if found:
            # The group OFC, added before, must not stand in for the area OFC.
            sided = {regions[name].area for name in found if regions[name].side}
            return [name for name in found if regions[name].side or regions[name].area not in sided]
    return []


def _member_table(recording: Recording, found: Mapping[str, Sequence[_Member]]) -> pd.DataFrame:
    rows = []
    for members in found.values():
        halves = [0.0 if not member.found else 0.5 if member.missing else 1.0 for member in members]
        mask = np.zeros(recording.n_voxels, bool)
        for key in (key for member in members for key in member.found):
            mask |= recording.rois[key]
        missing = [
            f"{member.name} ({member.missing[0]})" if member.found else member.name
            for member, half in zip(members, halves, strict=True)
            if half < 1
        ]
        rows.append((len(members), sum(halves), sum(halves) / len(members), ", ".join(missing), int(mask.sum())))
    columns = ["n_members", "n_found", "share", "missing", "n_voxels"]
    return pd.DataFrame(rows, index=pd.Index(list(found), name="group"), columns=columns)


def _report(table: pd.DataFrame, recording: Recording, skip_missing: bool) -> None:
    """Name the groups that are not there, and those that are there in part."""
    source = recording.source or recording.subject
    empty = table.index[table["n_voxels"] == 0]
    if len(empty) and (not skip_missing or len(empty) == len(table)):
        group = empty[0]
        lost = "no member" if table.at[group, "n_found"] == 0 else "no voxel"
        more = f" (as have {len(empty) - 1} more: {cut_short(empty[1:])})" if len(empty) > 1 else ""
        raise InputError(
            f"the group '{group}' has {lost} in this recording{more}",
            source=source,
            where=f"regions {cut_short(list(recording.rois), 3)}",
            remedy="correct its members, or leave such groups out"
            if len(empty) < len(table)
            else "use groups of the regions that the recording has, or its own regions",
        )
    if len(empty):
        logger.warning(
            "%s: %d groups are left out, for they have no voxel here: %s.", source, len(empty), cut_short(empty)
        )
    partly = [
        f"{group} has {100 * share:.0f}% of its members (not {cut_short(missing.split(', '), 3)})"
        for group, share, missing in table.loc[table["n_voxels"] > 0, ["share", "missing"]].itertuples()
        if share < 1
    ]
    if partly:
        logger.warning("%s: groups are there in part: %s.", source, "; ".join(partly))
