"""The stages that ask how reliable geometries are: in the halves of a person's runs, and over people."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.study._brain import GROUP, BrainReading
from affectome.study._brain_maps import MapFolder, brain_figure
from affectome.study._brain_paths import folder_of
from affectome.study._brain_searchlight import Searching, person_regions, searched_centres
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.neural.searchlight import GeometryCeiling, Neighbourhoods, Patterns

logger = logging.getLogger(__name__)

__all__ = ["CEILING", "halves_stage", "people_centres_stage", "people_regions_stage", "with_factors"]

#: How well people agree in every region: a file that other stages read.
CEILING = (GROUP, "ceiling", "regions.csv")
_COLUMNS = ["region", "lower", "lower_low", "lower_high", "upper", "upper_low", "upper_high", "reliability"]
_MARKED = "interval above 0 (not corrected)"
_HALF = {
    "r": "Pearson correlation of the similarities of patterns in odd and in even runs.",
    "reliability": "Of both halves together, by Spearman-Brown: 2 r / (1 + r).",
    "ceiling": "The square root of the reliability: what a model without noise reaches on average.",
}
_PEOPLE = {
    "lower": "Mean over people of the correlation of their similarities with the mean of the others.",
    "upper": "Mean over people of the correlation of their similarities with the mean of all.",
    "reliability": "Of the mean of all people, from their mean correlation.",
}


def halves_stage(reading: BrainReading, subject: str, how: Searching, *, centres: bool) -> Stage:
    """How alike the geometries of a person's odd and even runs are, where stimuli come in both."""
    asked, folder = reading.asked, folder_of(reading, subject)

    def run(progress: Progress) -> Written:
        from affectome.neural import geometry_ceiling, run_halves

        person = reading.person(subject)
        try:
            halves = run_halves(person.recording)
        except InputError as error:
            logger.warning("%s: nothing is said of halves: %s", subject, error)
            return Written({}, {}, {"n_stimuli": 0, "why": str(error)})
        told: dict[str, Any] = {"n_stimuli": len(halves["odd"].ids)}
        tables, figures, maps = {}, {}, MapFolder(asked.out, folder, person.recording)
        parcels = person_regions(person)
        if parcels is not None:
            found = geometry_ceiling(halves, parcels, metric=with_factors(how), level=asked.level)
            table = _half_table(found)
            table.insert(0, "region", list(parcels.names))
            tables["regions"] = table.assign(subject=subject)
            told["best_regions"] = table.nlargest(5, "r")[["region", "r", "low", "high"]].to_dict("records")
        if centres and person.recording.geometry is not None:
            spheres = searched_centres(person.recording.geometry, how)
            found = geometry_ceiling(halves, spheres, metric=with_factors(how), level=asked.level, progress=progress)
            voxels = _on_voxels(_half_table(found), spheres, person.recording.n_voxels)
            tables["voxels"] = voxels
            _write(maps, voxels, _HALF)
            above = (voxels["low"] > 0).to_numpy()
            figures["halves"] = brain_figure(
                voxels["r"].to_numpy(), person.recording.geometry, "r of odd and even runs", above,
                title=f"{subject}: geometry in halves of the runs, {_MARKED}", diverging=True,
            )  # fmt: skip
            told |= _of_centres(voxels["r"], len(spheres), int(above.sum()))
        return Written(tables, figures, told, maps.files)

    return written_stage(
        f"halves/{subject}", asked.out, folder, run, tables=(),
        parameters={**_parameters(reading, how), "centres": centres},
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def _half_table(found: GeometryCeiling) -> pd.DataFrame:
    """Of two members the bounds below are their correlation."""
    return pd.DataFrame(
        {
            "r": found.lower,
            "low": found.lower_interval[:, 0],
            "high": found.lower_interval[:, 1],
            "reliability": found.reliability,
            "ceiling": np.sqrt(found.reliability),
        }
    )


def people_regions_stage(reading: BrainReading, how: Searching) -> Stage:
    """How well the geometries of people agree in every region that all of them have; of Pearson correlations alone."""
    asked, folder = reading.asked, folder_of(reading, *CEILING[:-1])

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_geometry_ceilings

        around = _shared_regions(reading) if how.statistic == "pearson" else None
        table = None if around is None else _agreement(reading, around, how, progress)
        if around is None or table is None:
            return Written({"regions": pd.DataFrame(columns=_COLUMNS)}, {}, {"n_regions": 0})
        names = next(iter(around.values())).names
        table.insert(0, "region", list(names))
        best = table.nlargest(5, "lower")[["region", "lower", "upper"]].to_dict("records")
        told = {"n_regions": len(names), "n_people": len(asked.recordings), "best_regions": best}
        title = f"Geometry of {len(asked.recordings)} people"
        return Written({"regions": table}, {"regions": plot_geometry_ceilings(table, title=title)}, told)

    return _of_people("people/regions", reading, how, folder, run, tables=("regions",))


def people_centres_stage(reading: BrainReading, how: Searching) -> Stage:
    """How well the geometries of people agree around every voxel that all of them have."""
    asked, folder = reading.asked, folder_of(reading, *CEILING[:-1])

    def run(progress: Progress) -> Written:
        from affectome.neural import common_geometry

        try:
            place, columns = common_geometry([reading.place(who) for who in asked.recordings])
        except InputError as error:
            logger.info("People are not compared around voxels: %s", error)
            return Written({}, {}, {"n_centres": 0, "why": str(error)})
        spheres = searched_centres(place, how)
        around = {
            who: replace(spheres, voxels=own[spheres.voxels].astype(np.int32))
            for who, own in zip(asked.recordings, columns, strict=True)
        }
        table = _agreement(reading, around, how, progress)
        if table is None:
            return Written({}, {}, {"n_centres": 0})
        voxels = _on_voxels(table, spheres, len(place))
        maps = MapFolder(asked.out, folder, place)
        _write(maps, voxels, _PEOPLE)
        above = (voxels["lower_low"] > 0).to_numpy()
        title = f"Geometry of {len(asked.recordings)} people, each against the mean of the others, {_MARKED}"
        figure = brain_figure(
            voxels["lower"].to_numpy(), place, "Lower ceiling (r)", above, title=title, diverging=True
        )
        told = _of_centres(voxels["lower"], len(spheres), int(above.sum()))
        return Written({"voxels": voxels}, {"lower": figure}, told, maps.files)

    return _of_people("people/centres", reading, how, folder, run, tables=())


def _of_people(
    name: str, reading: BrainReading, how: Searching, folder: str, run: Any, *, tables: Sequence[str]
) -> Stage:
    asked = reading.asked
    files = [path for who in asked.recordings for path in asked.files(who, *asked.spaces, *asked.controls)]
    return written_stage(
        name, asked.out, folder, run, tables=tables,
        parameters={**_parameters(reading, how), "people": list(asked.recordings), "statistic": how.statistic},
        files=files, reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def _parameters(reading: BrainReading, how: Searching) -> dict[str, Any]:
    asked = reading.asked
    return {**asked.parameters(), **how.of_patterns(), "spaces": list(asked.spaces), "controls": list(asked.controls)}


def with_factors(how: Searching) -> Literal["correlation", "cosine", "sqeuclidean"]:
    """The metric of patterns, as far as it has factors."""
    if how.brain_metric == "euclidean":
        raise InputError(
            "Euclidean distances of patterns have no ceiling here", remedy="take their squares (sqeuclidean)"
        )
    return how.brain_metric


def _shared_regions(reading: BrainReading) -> dict[str, Neighbourhoods] | None:
    """The regions that all people have, of everybody; None, and a sentence, where there is none."""
    from affectome.neural.searchlight import parcel_neighbourhoods

    rois = {who: reading.place(who).rois for who in reading.asked.recordings}
    first = next(iter(rois.values()))
    shared = [name for name in first if all(name in own and own[name].sum() >= 3 for own in rois.values())]
    if not shared:
        logger.info("People share no region, and are not compared by region.")
        return None
    return {who: parcel_neighbourhoods({name: own[name] for name in shared}) for who, own in rois.items()}


def _agreement(
    reading: BrainReading, around: Mapping[str, Neighbourhoods], how: Searching, progress: Progress
) -> pd.DataFrame | None:
    """Lower and upper ceiling of every neighbourhood; None, and a sentence, where people cannot be compared.

    Patterns of everybody are needed at once; where they do not fit the memory, of a part of the neighbourhoods at a
    time, for which people are read again.
    """
    from affectome.neural import geometry_ceiling

    asked = reading.asked
    try:
        ids = _shown_to_all(reading)
        tables, n_centres = [], len(next(iter(around.values())))
        parts = _parts(around, len(ids), asked.memory_gb * 1e9)
        for part in parts:
            members, places = {}, {}
            for who in asked.recordings:
                members[who], places[who] = _cut_out(reading, who, around[who], part, ids, how)
            told = _shifted(progress, part.start, n_centres)
            found = geometry_ceiling(members, places, metric=with_factors(how), level=asked.level, progress=told)
            tables.append(found.table().drop(columns="centre"))
    except InputError as error:
        logger.warning("The geometries of people are not compared: %s", error)
        return None
    return pd.concat(tables, ignore_index=True)


def _shifted(progress: Progress, start: int, total: int) -> Progress:
    """What is done of a part, as what is done of all."""

    def told(done: int, of_part: int, *, detail: str = "") -> None:
        progress(start + done, total, detail=detail)

    return told


def _shown_to_all(reading: BrainReading) -> list[str]:
    """Stimuli that everybody saw, in the order of the first person."""
    shown = [
        dict.fromkeys(reading.person(who).recording.trials["stimulus"].astype(str)) for who in reading.asked.recordings
    ]
    shared = [one for one in shown[0] if all(one in other for other in shown[1:])]
    if len(shared) < 4:
        raise InputError(
            f"{len(shared)} stimuli were shown to all {len(shown)} people", remedy="compare people who saw the same"
        )
    missed = sorted(set().union(*shown) - set(shared))
    if missed:
        logger.warning("%d stimuli were not shown to everybody and are left out (%s).", len(missed), cut_short(missed))
    return shared


def _parts(around: Mapping[str, Neighbourhoods], n_stimuli: int, memory: float) -> list[range]:
    """Neighbourhoods in succession whose responses fit the memory, for everybody together."""
    n_centres = len(next(iter(around.values())))
    n_parts = 1
    while True:
        parts = [range(*ends) for ends in zip(*_ends(n_centres, n_parts), strict=True)]
        columns = max(sum(len(np.unique(_inside(own, part))) for own in around.values()) for part in parts)
        if 8 * n_stimuli * columns <= memory or n_parts == n_centres:  # float32, and as much again while it is copied
            return parts
        n_parts = min(2 * n_parts, n_centres)


def _ends(n_centres: int, n_parts: int) -> tuple[list[int], list[int]]:
    cuts = np.linspace(0, n_centres, n_parts + 1).astype(int).tolist()
    return cuts[:-1], cuts[1:]


def _inside(own: Neighbourhoods, part: range) -> Any:
    return own.voxels[own.starts[part.start] : own.starts[part.stop]]


def _cut_out(
    reading: BrainReading, subject: str, own: Neighbourhoods, part: range, ids: list[str], how: Searching
) -> tuple[Patterns, Neighbourhoods]:
    """The patterns of one person over some neighbourhoods, and the neighbourhoods among their columns."""
    from affectome.neural import patterns

    columns, places = np.unique(_inside(own, part), return_inverse=True)
    recording = reading.person(subject).recording.select_voxels(columns)
    runs: Literal["keep", "ignore"] = "keep" if how.within_run == "exclude" else "ignore"
    starts = own.starts[part.start : part.stop + 1] - own.starts[part.start]
    centres = replace(own, starts=starts, voxels=places.astype(np.int32), centres=None, names=())
    return patterns(recording, ids, runs=runs), centres


def _on_voxels(table: pd.DataFrame, spheres: Neighbourhoods, n_voxels: int) -> pd.DataFrame:
    assert spheres.centres is not None  # no parcels
    laid = table.set_index(pd.Index(spheres.centres)).reindex(range(n_voxels))
    return laid.rename_axis("voxel")


def _write(maps: MapFolder, voxels: pd.DataFrame, told: Mapping[str, str]) -> None:
    for name, description in told.items():
        maps.write(name, voxels[name].to_numpy(), description)


def _of_centres(r: pd.Series[float], n_centres: int, n_above: int) -> dict[str, Any]:
    known = r.dropna()
    return {
        "n_centres": n_centres,
        "n_above": n_above,
        "median_r": float(known.median()) if len(known) else np.nan,
        "largest_r": float(known.max()) if len(known) else np.nan,
    }
