"""The stages that compare geometries: every centre and every region of one person, all spaces in one pass."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.study._brain import BrainReading, Person
from affectome.study._brain_maps import SIGNIFICANT, MapFolder, brain_figure
from affectome.study._brain_paths import folder_of, leading_regions
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from affectome.neural.searchlight import Neighbourhoods, Searchlight

__all__ = ["Searching", "region_rsa_stage", "searchlight_stage"]


@dataclass(frozen=True)
class Searching:
    """How geometries are compared; see :func:`affectome.neural.searchlight.searchlight`.

    Parameters
    ----------
    radius, unit
        Of spheres, or in mm of discs on a surface.
    statistic, metric, brain_metric, within_run, units
        Of the comparison.
    test
        Permutations in closed form, or drawn within runs.
    intervals
        Whether scores get intervals, and spaces are held against the reference; without, a pass takes half the time
        or less.
    n_jobs
        Processes; they change nothing.
    """

    radius: float = 3.0
    unit: Literal["voxel", "mm"] = "voxel"
    statistic: Literal["pearson", "spearman"] = "pearson"
    metric: Literal["correlation", "cosine", "dot", "euclidean", "sqeuclidean"] = "correlation"
    brain_metric: Literal["correlation", "cosine", "euclidean", "sqeuclidean"] = "correlation"
    within_run: Literal["exclude", "include"] = "exclude"
    units: Literal["stimulus", "run"] = "stimulus"
    test: Literal["closed", "drawn"] = "closed"
    intervals: bool = True
    n_jobs: int = 1

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise InputError(f"a radius of {self.radius:g} holds no voxel", remedy="use one above 0")

    def parameters(self) -> dict[str, Any]:
        """What decides a result."""
        return {name: value for name, value in asdict(self).items() if name != "n_jobs"}


def searchlight_stage(reading: BrainReading, subject: str, how: Searching) -> Stage:
    """Every centre of one person: maps of r, p and q of every space, and of the reference minus each other."""
    asked, folder = reading.asked, folder_of(reading, subject)
    others = [space for space in asked.spaces if space != asked.first and how.intervals]
    chunks = f"{folder}/.chunks"

    def run(progress: Progress) -> Written:
        from affectome.neural import centre_pair
        from affectome.plotting import plot_voxel_scatter

        person = reading.person(subject)
        found = _compared(person, how, _centres(person, how), intervals=how.intervals, chunks=chunks, progress=progress)
        tables, figures, maps = {}, {}, MapFolder(asked.out, folder, person.recording)
        for space in asked.spaces:
            values = _of_space(found, space, person.recording.n_voxels)
            tables[f"{space}/voxels"] = pd.DataFrame(values).rename_axis("voxel")
            _write_maps(maps, values, space, found, how)
            figures[f"r_{space}"] = _figure(person, values["r"], values["q"], f"{how.statistic} r", space)
        for k, (_, other) in enumerate(found.pairs):
            values = _of_pair(found, k, person.recording.n_voxels)
            _write_difference(maps, values, asked.first, other)
            title = f"{asked.first} minus {other}"
            figures[f"difference_{other}"] = _figure(
                person, values["difference"], values["q"], "Difference of r", title, diverging=True
            )
            figures[f"scatter_{other}"] = plot_voxel_scatter(centre_pair(found, asked.first, other), title=subject)
        shutil.rmtree(asked.out / chunks, ignore_errors=True)  # what is in them is in the maps now
        return Written(tables, figures, _facts(found, how), maps.files)

    return written_stage(
        f"searchlight/{subject}", asked.out, folder, run, tables=[f"{space}/voxels" for space in asked.spaces],
        figures=[
            *(f"r_{space}" for space in asked.spaces),
            *(f"{kind}_{other}" for other in others for kind in ("difference", "scatter")),
        ],
        parameters=_parameters(reading, how), files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def region_rsa_stage(reading: BrainReading, subject: str, how: Searching) -> Stage:
    """Every region of one person as one neighbourhood: scores with intervals, and tests against the reference."""
    asked, folder = reading.asked, folder_of(reading, subject)

    def run(progress: Progress) -> Written:
        from affectome.neural.searchlight import parcel_neighbourhoods

        person = reading.person(subject)
        if not person.recording.rois:
            return Written(_without_regions(asked.spaces), {}, {"reference": asked.first, "best_regions": []})
        around = parcel_neighbourhoods(person.recording.rois)
        found = _compared(person, how, around, intervals=True, chunks=None, progress=progress)
        scores = found.table().rename(columns={"parcel": "region"})
        tables = {
            f"{space}/regions": scores[scores["space"] == space].assign(subject=subject) for space in asked.spaces
        }
        if found.pairs:
            tests = found.difference_table().rename(columns={"parcel": "region", "second": "space"})
            tables["between/tests"] = tests.drop(columns="first").assign(subject=subject, reference=asked.first)
        best = leading_regions(tables[f"{asked.first}/regions"], "r")
        return Written(tables, {}, {"reference": asked.first, "best_regions": best})

    named = [f"{space}/regions" for space in asked.spaces]
    return written_stage(
        f"regions/{subject}", asked.out, folder, run,
        tables=[*named, "between/tests"] if len(asked.spaces) > 1 else named,
        parameters=_parameters(reading, how), files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def _without_regions(spaces: Iterable[str]) -> dict[str, pd.DataFrame]:
    scores = pd.DataFrame(columns=["region", "space", "n_voxels", "r", "p", "q", "low", "high", "subject"])
    tests = pd.DataFrame(columns=["region", "space", "difference", "low", "high", "p", "q", "subject", "reference"])
    return {"between/tests": tests, **{f"{space}/regions": scores for space in spaces}}


def _parameters(reading: BrainReading, how: Searching) -> dict[str, Any]:
    asked = reading.asked
    return {**asked.parameters(), **how.parameters(), "reference": asked.first, "spaces": list(asked.spaces)}


def _centres(person: Person, how: Searching) -> Neighbourhoods:
    from affectome.neural import SurfaceMesh
    from affectome.neural.searchlight import disc_neighbourhoods, sphere_neighbourhoods

    place = person.recording.geometry
    if place is None:
        raise InputError(
            "its voxels have no place", source=person.recording.source, remedy="give coordinates, or regions alone"
        )
    if isinstance(place, SurfaceMesh):
        return disc_neighbourhoods(place, how.radius)
    return sphere_neighbourhoods(place, how.radius, unit=how.unit)


def _compared(
    person: Person, how: Searching, around: Neighbourhoods, *, intervals: bool, chunks: str | None, progress: Progress
) -> Searchlight:
    from affectome.neural.searchlight import searchlight

    asked = person.asked
    others = [space for space in asked.spaces if space != asked.first and intervals]
    return searchlight(
        person.recording, person.spaces, around, metric=how.metric, statistic=how.statistic,
        brain_metric=how.brain_metric, within_run=how.within_run, units=how.units, test=how.test,
        n_permutations=asked.n_permutations, permute_within=asked.within,
        differences=[(asked.first, other) for other in others], intervals=intervals, level=asked.level,
        seed=asked.seed_of("searchlight", person.subject), n_jobs=how.n_jobs, memory_gb=asked.memory_gb,
        resume=None if chunks is None else asked.out / chunks, progress=progress,
    )  # fmt: skip


def _of_space(found: Searchlight, space: str, n_voxels: int) -> dict[str, Any]:
    """r, p and q of a space, laid out on the voxels."""
    column = found.of_space(space)
    known = {"r": found.r, "p": found.p, "q": found.q, "low": found.low, "high": found.high, "pfamily": found.p_family}
    return {name: found.on_voxels(values[:, column], n_voxels) for name, values in known.items() if values is not None}


def _of_pair(found: Searchlight, pair: int, n_voxels: int) -> dict[str, Any]:
    known = {"difference": found.difference, "q": found.difference_q}
    return {name: found.on_voxels(values[:, pair], n_voxels) for name, values in known.items() if values is not None}


def _write_maps(maps: MapFolder, values: dict[str, Any], space: str, found: Searchlight, how: Searching) -> None:
    told = {
        "r": f"{how.statistic.capitalize()} correlation of similarities of patterns around the voxel and in the space.",
        "p": "One-sided p of r.",
        "q": "Benjamini-Hochberg q of p over all centres.",
        "pfamily": "p of r against the largest r over centres (family-wise).",
    }
    for name, description in told.items():
        if name in values:
            facts = {"Null": found.null} if name != "r" else {}
            maps.write(name, values[name], description, space=space, facts=facts)


def _write_difference(maps: MapFolder, values: dict[str, Any], first: str, other: str) -> None:
    pair, facts = f"{first} minus {other}", {"Null": "Both spaces are equally related to the patterns there."}
    maps.write("difference", values["difference"], "r of the first minus r of the second space.", space=pair)
    maps.write(
        "q", values["q"], "Benjamini-Hochberg q over centres, two-sided, by the jackknife over stimuli.",
        space=pair, facts=facts,
    )  # fmt: skip


def _figure(person: Person, values: Any, q: Any, label: str, what: str, *, diverging: bool = False) -> Figure:
    title = f"{person.subject}: {what}"
    return brain_figure(values, person.recording.geometry, label, q < SIGNIFICANT, title=title, diverging=diverging)


def _facts(found: Searchlight, how: Searching) -> dict[str, Any]:
    """What the summary says of every space, and of every pair."""
    assert found.q is not None  # asked for
    defined = np.isfinite(found.r)
    spaces = {
        name: {
            "n_significant": int((found.q[:, k] < SIGNIFICANT).sum()),
            "median_r": float(np.median(found.r[defined[:, k], k])) if defined[:, k].any() else np.nan,
            "largest_r": float(np.max(found.r[defined[:, k], k])) if defined[:, k].any() else np.nan,
        }
        for k, name in enumerate(found.spaces)
    }
    pairs = {}
    if found.difference is not None and found.difference_q is not None:
        for k, (_, other) in enumerate(found.pairs):
            sure = found.difference_q[:, k] < SIGNIFICANT
            pairs[other] = {
                "n_above": int((sure & (found.difference[:, k] > 0)).sum()),
                "n_below": int((sure & (found.difference[:, k] < 0)).sum()),
            }
    return {
        "n_centres": len(found.r),
        "n_stimuli": found.n_stimuli,
        "n_pairs": found.n_pairs,
        "median_voxels": float(np.median(found.neighbourhoods.sizes)),
        "statistic": how.statistic,
        "null": found.null,
        "spaces": spaces,
        "against": pairs,
    }
