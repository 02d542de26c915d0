"""The stages that compare geometries: every centre and every region of one person, all spaces in one pass."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.study._brain import Brain, BrainReading, Person
from affectome.study._brain_maps import SIGNIFICANT, MapFolder, brain_figure
from affectome.study._brain_paths import folder_of, leading_regions
from affectome.study._engine import Stage
from affectome.study._searched import (
    difference_table,
    facts_of,
    on_voxels,
    regression_table,
    write_difference_maps,
    write_space_maps,
)
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from affectome.neural import SurfaceMesh, VolumeGrid
    from affectome.neural.searchlight import CentreProfile, Neighbourhoods, Searchlight

logger = logging.getLogger(__name__)

__all__ = ["Searching", "person_regions", "region_rsa_stage", "searched_centres", "searchlight_stage"]

ModelMetric = Literal["correlation", "cosine", "dot", "euclidean", "sqeuclidean"]


@dataclass(frozen=True)
class Searching:
    """How geometries are compared; see :func:`affectome.neural.searchlight.searchlight`.

    Parameters
    ----------
    radius, unit
        Of spheres, or in mm of discs on a surface.
    statistic, brain_metric, within_run, units
        Of the comparison.
    metric
        Of stimuli in every space and control, or by their names; those not named have ``"correlation"``.
    test
        Permutations in closed form, or drawn within runs.
    intervals
        Whether scores of centres get intervals, and spaces are held against the reference; without, a pass takes half
        the time or less, and nothing is tested beyond controls.
    backend
        ``"numpy"``, or torch on a GPU (``"torch_cuda"``) or the processor; equal to rounding.
    n_jobs
        Processes; they change nothing.
    """

    radius: float = 3.0
    unit: Literal["voxel", "mm"] = "voxel"
    statistic: Literal["pearson", "spearman"] = "pearson"
    metric: ModelMetric | Mapping[str, ModelMetric] = "correlation"
    brain_metric: Literal["correlation", "cosine", "euclidean", "sqeuclidean"] = "correlation"
    within_run: Literal["exclude", "include"] = "exclude"
    units: Literal["stimulus", "run"] = "stimulus"
    test: Literal["closed", "drawn"] = "closed"
    intervals: bool = True
    backend: Literal["numpy", "torch", "torch_cuda"] = "numpy"
    n_jobs: int = 1

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise InputError(f"a radius of {self.radius:g} holds no voxel", remedy="use one above 0")

    def parameters(self) -> dict[str, Any]:
        """What decides a result."""
        return {name: value for name, value in asdict(self).items() if name not in ("backend", "n_jobs")}

    def of_patterns(self) -> dict[str, Any]:
        """What of it decides a result that no space has a part in."""
        kept = ("radius", "unit", "brain_metric", "within_run")
        return {name: value for name, value in self.parameters().items() if name in kept}

    def metrics(self, asked: Brain) -> dict[str, ModelMetric]:
        """Of every space and control."""
        named = [*asked.spaces, *asked.controls]
        if isinstance(self.metric, str):
            return dict.fromkeys(named, self.metric)
        unknown = [name for name in self.metric if name not in named]
        if unknown:
            raise InputError(
                f"a metric is given for '{unknown[0]}', which is no space and no control",
                remedy=f"choose among {cut_short(named)}",
            )
        return {name: self.metric.get(name, "correlation") for name in named}


def searchlight_stage(reading: BrainReading, subject: str, how: Searching) -> Stage:
    """Every centre of one person: maps of r, p and q of every space, and of the reference minus each other."""
    asked, folder = reading.asked, folder_of(reading, subject)
    others = [space for space in asked.spaces if space != asked.first and how.intervals]
    chunks = f"{folder}/.chunks"

    def run(progress: Progress) -> Written:
        person = reading.person(subject)
        place = person.recording.geometry
        if place is None:
            raise InputError(
                "its voxels have no place", source=person.recording.source, remedy="give coordinates, or regions alone"
            )
        around = searched_centres(place, how)
        found = _compared(person, how, around, intervals=how.intervals, chunks=chunks, progress=progress)
        n_voxels = person.recording.n_voxels
        maps = MapFolder(asked.out, folder, person.recording)
        tables = {f"{space}/voxels": on_voxels(found, space, n_voxels) for space in found.spaces}
        for space in found.spaces:
            write_space_maps(maps, found, space, n_voxels)
        for pair in range(len(found.pairs)):
            write_difference_maps(maps, found, pair, n_voxels)
        if found.pairs:
            tables["between/voxels"] = difference_table(found)
        together = regression_table(found)
        if together is not None:
            tables["regression/voxels"] = together
        figures = _maps_of_spaces(person, found, how) | _maps_of_pairs(person, found)
        peak = _peak(person, found, how)
        if peak is not None:
            tables |= {"profile/stimuli": peak.carried.rename_axis("stimulus").to_frame("carried")}
            tables |= {"profile/pairs": peak.pairs, "profile/scores": peak.scores}
            figures["profile"] = _profile_figure(peak, subject, asked.first)
        shutil.rmtree(asked.out / chunks, ignore_errors=True)  # what is in them is in the maps now
        return Written(tables, figures, facts_of(found), maps.files)

    named = [f"{space}/voxels" for space in (*asked.spaces, *asked.controls)]
    return written_stage(
        f"searchlight/{subject}", asked.out, folder, run,
        tables=[*named, "between/voxels"] if others else named,
        figures=[
            *(f"r_{space}" for space in asked.spaces),
            *(f"{kind}_{other}" for other in others for kind in ("difference", "scatter")),
        ],
        parameters=_parameters(reading, how), files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=asked.reads(*asked.spaces, *asked.controls), version=2,
    )  # fmt: skip


def region_rsa_stage(reading: BrainReading, subject: str, how: Searching) -> Stage:
    """Every region of one person as one neighbourhood: scores with intervals, and tests against the reference."""
    asked, folder = reading.asked, folder_of(reading, subject)

    def run(progress: Progress) -> Written:
        person = reading.person(subject)
        around = person_regions(person)
        if around is None:
            empty = _without_regions([*asked.spaces, *asked.controls])
            return Written(empty, {}, {"reference": asked.first, "best_regions": []})
        found = _compared(person, how, around, intervals=True, chunks=None, progress=progress)
        scores = found.table().rename(columns={"parcel": "region"})
        tables = {
            f"{space}/regions": scores[scores["space"] == space].assign(subject=subject) for space in found.spaces
        }
        if found.pairs:
            tables["between/tests"] = difference_table(found).assign(subject=subject)
        together = regression_table(found)
        if together is not None:
            tables["regression/regions"] = together.assign(subject=subject)
        best = leading_regions(tables[f"{asked.first}/regions"], "r")
        return Written(tables, {}, {"reference": asked.first, "best_regions": best})

    named = [f"{space}/regions" for space in (*asked.spaces, *asked.controls)]
    return written_stage(
        f"regions/{subject}", asked.out, folder, run,
        tables=[*named, "between/tests"] if len(asked.spaces) > 1 else named,
        parameters=_parameters(reading, how), files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=asked.reads(*asked.spaces, *asked.controls), version=2,
    )  # fmt: skip


def person_regions(person: Person) -> Neighbourhoods | None:
    """The regions with enough voxels; None, and a sentence, where there is none."""
    from affectome.neural.searchlight import parcel_neighbourhoods

    if not person.recording.rois:
        return None
    try:
        return parcel_neighbourhoods(person.recording.rois)
    except InputError as error:
        logger.warning("%s: nothing is said of regions: %s", person.subject, error)
        return None


def _without_regions(spaces: Sequence[str]) -> dict[str, pd.DataFrame]:
    scores = pd.DataFrame(columns=["region", "space", "n_voxels", "r", "p", "q", "low", "high", "subject"])
    tests = pd.DataFrame(columns=["region", "space", "difference", "low", "high", "p", "q", "subject", "reference"])
    return {"between/tests": tests, **{f"{space}/regions": scores for space in spaces}}


def _parameters(reading: BrainReading, how: Searching) -> dict[str, Any]:
    asked = reading.asked
    return {
        **asked.parameters(),
        **how.parameters(),
        "metric": how.metrics(asked),
        "reference": asked.first,
        "spaces": list(asked.spaces),
        "controls": list(asked.controls),
    }


def searched_centres(place: VolumeGrid | SurfaceMesh, how: Searching) -> Neighbourhoods:
    """Spheres, or discs on a surface."""
    from affectome.neural import SurfaceMesh
    from affectome.neural.searchlight import disc_neighbourhoods, sphere_neighbourhoods

    if isinstance(place, SurfaceMesh):
        return disc_neighbourhoods(place, how.radius)
    return sphere_neighbourhoods(place, how.radius, unit=how.unit)


def _compared(
    person: Person, how: Searching, around: Neighbourhoods, *, intervals: bool, chunks: str | None, progress: Progress
) -> Searchlight:
    from affectome.neural.searchlight import searchlight

    asked, controls = person.asked, tuple(person.controls)
    others = [space for space in asked.spaces if space != asked.first and intervals]
    tested = controls if intervals and how.statistic == "pearson" else ()
    found = searchlight(
        person.recording, {**person.spaces, **person.controls}, around, metric=how.metrics(asked),
        statistic=how.statistic, brain_metric=how.brain_metric, within_run=how.within_run, units=how.units,
        test=how.test, n_permutations=asked.n_permutations, permute_within=asked.within,
        differences=[(asked.first, other) for other in others], intervals=intervals, controls=tested, level=asked.level,
        seed=asked.seed_of("searchlight", person.subject), n_jobs=how.n_jobs, memory_gb=asked.memory_gb,
        backend=how.backend, resume=None if chunks is None else asked.out / chunks, progress=progress,
    )  # fmt: skip
    return _beyond(found, controls) if controls and not tested else found


def _beyond(found: Searchlight, controls: tuple[str, ...]) -> Searchlight:
    """With partial correlations, which have no interval here."""
    partial = found.partial(controls)
    return replace(found, controls=controls, partial_r=partial.reindex(columns=list(found.spaces)).to_numpy(np.float64))


def _maps_of_spaces(person: Person, found: Searchlight, how: Searching) -> dict[str, Figure]:
    figures, name = {}, f"{how.statistic.capitalize()} r"
    for space in person.spaces:
        values = on_voxels(found, space, person.recording.n_voxels)
        figures[f"r_{space}"] = _map(person, values["r"], values["q"], name, space)
        if "partial_r" in values:
            title = f"{space} beyond {', '.join(found.controls)}"
            figures[f"partial_{space}"] = _map(
                person, values["partial_r"], values.get("partial_q"), f"{name}, controls held constant", title
            )
    return figures


def _map(person: Person, values: pd.Series[float], q: pd.Series[float] | None, label: str, what: str) -> Figure:
    significant = None if q is None else (q < SIGNIFICANT).to_numpy()
    return brain_figure(
        values.to_numpy(), person.recording.geometry, label, significant, title=f"{person.subject}: {what}"
    )


def _maps_of_pairs(person: Person, found: Searchlight) -> dict[str, Figure]:
    """Where the reference is better than another space, and both centre by centre."""
    from affectome.neural import SurfaceMesh, centre_pair
    from affectome.plotting import plot_difference_map, plot_voxel_scatter

    figures: dict[str, Figure] = {}
    place, n_voxels = person.recording.geometry, person.recording.n_voxels
    assert place is not None  # else there would be no centres
    on: Literal["surface", "slices"] = "surface" if isinstance(place, SurfaceMesh) else "slices"
    for k, (first, other) in enumerate(found.pairs):
        assert found.difference_q is not None  # of pairs
        pair = centre_pair(found, first, other, n_voxels=n_voxels)
        sure = found.on_voxels(found.difference_q[:, k], n_voxels) < SIGNIFICANT
        title = f"{person.subject}: {first} minus {other}, where they differ (FDR .05)"
        figures[f"difference_{other}"] = plot_difference_map(pair, place, on=on, significant=sure, title=title)
        figures[f"scatter_{other}"] = plot_voxel_scatter(pair, title=person.subject)
    return figures


def _peak(person: Person, found: Searchlight, how: Searching) -> CentreProfile | None:
    """What is in the centre with the largest r of the reference; None where no r is defined."""
    from affectome.neural import centre_profile, patterns

    r = found.r[:, found.of_space(person.asked.first)]
    if not np.isfinite(r).any():
        return None
    runs: Literal["keep", "ignore"] = "keep" if how.within_run == "exclude" else "ignore"
    given = patterns(person.recording, next(iter(person.spaces.values())).index, runs=runs)
    named = {**person.spaces, **person.controls}
    around = found.neighbourhoods[int(np.nanargmax(r))]
    return centre_profile(
        given, named, around, metric=how.metrics(person.asked), brain_metric=how.brain_metric,
        within_run=how.within_run, level=person.asked.level,
    )  # fmt: skip


def _profile_figure(peak: CentreProfile, subject: str, reference: str) -> Figure:
    from affectome.plotting import plot_centre_profile

    title = f"{subject}: the centre with the largest r of {reference}\n(too high, for it was chosen by it)"
    return plot_centre_profile(peak, title=title)
