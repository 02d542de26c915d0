"""The stages of all people: regions, maps in a common space, how well people predict each other, a map to turn."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.study._brain import GROUP, BrainReading
from affectome.study._brain_maps import SIGNIFICANT, MapFolder, brain_figure, brain_view
from affectome.study._brain_paths import folder_of, leading_regions, read_tables, voxel_table, voxels_of
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.neural import GroupMap, Recording, SubjectCeiling

logger = logging.getLogger(__name__)

__all__ = ["across_stage", "average_stage", "group_stage", "view_stage"]


def group_stage(
    reading: BrainReading, what: str = "Held-out r", *, beyond_controls: bool = False, ceiling: str | None = None
) -> Stage:
    """Regions over people, and spaces against each other.

    `what` is the score, as figures call it. With `beyond_controls` it is the partial one of the same tables. `ceiling`
    is the file of an earlier stage that holds how well people agree: ``region``, ``lower``, ``upper``.
    """
    asked, parts = reading.asked, ("beyond_controls",) if beyond_controls else ()
    folder = folder_of(reading, GROUP, *parts)
    people, several = list(asked.recordings), len(asked.spaces) > 1
    reads = [folder_of(reading, who, space, "regions.csv") for who in people for space in asked.spaces]
    tests_of = [folder_of(reading, who, "between", "tests.csv") for who in people] if several else []

    def run(progress: Progress) -> Written:
        from affectome.neural import compare_group
        from affectome.plotting import plot_region_bars

        scores = read_tables(reading, reads)
        tests = read_tables(reading, tests_of) if several else None
        if beyond_controls:
            scores = _partial(scores)
            # Differences of partial rank correlations have no test in one person.
            tests = _partial(tests) if tests is not None and "partial_difference" in tests else None
        if scores.empty:
            logger.warning("The recordings have no regions, so that nothing is said of regions over people.")
            return Written({"scores": scores}, {}, {"n_people": len(people), "regions": [], "comparisons": []})
        found = compare_group(
            scores, reference=asked.first, tests=tests, level=asked.level, seed=asked.seed_of("group")
        )
        bracket = None if ceiling is None else _bracket(reading, ceiling)
        regions = found.regions if bracket is None else _shares_of(bracket, found.regions)
        of_first = regions[regions["space"] == asked.first]
        drawn = None if bracket is None else bracket.rename(columns={"lower": "low", "upper": "high"})
        bars = plot_region_bars(
            scores, found, labels=asked.called, ylabel=what, ceiling=drawn, stars=None if several else ""
        )
        return Written(
            {"scores": scores, "regions": regions, "comparisons": found.comparisons},
            {"regions": bars},
            {"n_people": len(people), "reference": asked.first, "correction": found.correction,
             "best_regions": leading_regions(of_first, "mean"), "regions": regions.to_dict("records"),
             "comparisons": found.comparisons.to_dict("records"),
             **({"controls": list(asked.controls)} if beyond_controls else {})},
        )  # fmt: skip

    return written_stage(
        "/".join(("group", *parts)), asked.out, folder, run, tables=("scores",),
        parameters={"reference": asked.first, "level": asked.level, "seed": asked.seed, "people": people,
                    **asked.called_otherwise(*asked.spaces)},
        reads=[*reads, *tests_of, *([] if ceiling is None else [ceiling])], version=2,
    )  # fmt: skip


def _partial(table: pd.DataFrame) -> pd.DataFrame:
    """Scores, or differences, with the controls held constant under the names of those without; no p where none is."""
    kept = table[[name for name in ("subject", "region", "space", "reference", "n_voxels") if name in table]]
    beyond = table[[name for name in table if str(name).startswith("partial_")]]
    return kept.join(beyond.rename(columns=lambda name: name.removeprefix("partial_")))


def _bracket(reading: BrainReading, ceiling: str) -> pd.DataFrame | None:
    """How well people agree, by region; None where they could not be compared."""
    table = read_tables(reading, [ceiling]).set_index("region")[["lower", "upper"]]
    return None if table.empty else table


def _shares_of(bracket: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Mean scores as shares of both ends, where these are above 0; they are not clipped."""
    known = bracket.where(bracket > 0).reindex(regions["region"])
    shares = {f"share_of_{end}": regions["mean"].to_numpy() / known[end].to_numpy() for end in ("lower", "upper")}
    return regions.assign(ceiling_lower=bracket["lower"].reindex(regions["region"]).to_numpy(),
                          ceiling_upper=bracket["upper"].reindex(regions["region"]).to_numpy(), **shares)  # fmt: skip


def average_stage(reading: BrainReading, space: str, what: str = "held-out r") -> Stage:
    """Mean r of every voxel over people, and in how many it is significant, where they share a space of the brain."""
    asked, folder = reading.asked, folder_of(reading, GROUP, space)
    people = list(asked.recordings)

    def run(progress: Progress) -> Written:
        from affectome.neural import average_maps, common_geometry

        places = [reading.place(who) for who in people]
        try:
            common_geometry(places)
        except InputError as error:
            logger.info("There is no mean map over people: %s", error)
            return Written({}, {}, {"common": False, "why": str(error)})
        tables = {who: voxel_table(reading, who, space) for who in people}
        found = average_maps(
            {who: table["r"].to_numpy() for who, table in tables.items()},
            places,
            significant={who: (table["q"] < SIGNIFICANT).to_numpy() for who, table in tables.items()},
        )
        assert found.n_significant is not None  # asked for
        maps = MapFolder(asked.out, folder, found.geometry, space=space)
        _write_means(maps, found, what)
        label, title = f"Mean {what} of {len(people)} people", f"{asked.label(space)}, {len(people)} people"
        somebody = found.n_significant > 0
        columns = ("mean", "sd", "n_defined", "n_significant")
        table = pd.DataFrame({name: getattr(found, name) for name in columns}).rename_axis("voxel")
        figures = {
            "mean_r": brain_figure(found.mean, found.geometry, label, somebody, title=title),
            "people": brain_figure(
                found.n_significant.astype(float), found.geometry, "People in whom it is significant", None, title=title
            ),
        }
        view = brain_view(asked.out, folder, found.mean, found.geometry, label, significant=somebody, title=title)
        told = {
            "common": True,
            "n_people": len(people),
            "n_voxels": len(found.mean),
            "largest_mean": float(np.nanmax(found.mean, initial=-1.0)),
            "n_somebody": int(somebody.sum()),
            "n_everybody": int((found.n_significant == len(people)).sum()),
        }
        return Written({"average": table}, figures, told, [*maps.files, *view])

    return written_stage(
        f"average/{space}", asked.out, folder, run, tables=(),
        parameters={"people": people, **asked.called_otherwise(space)},
        files=_files_of_all(reading), reads=[voxels_of(reading, who, space) for who in people],
    )  # fmt: skip


def _write_means(maps: MapFolder, found: GroupMap, what: str) -> None:
    facts = {"People": list(found.subjects)}
    maps.write("meanr", found.mean, f"Mean over people of {what}.", facts=facts)
    maps.write(
        "people", found.n_significant, "People in whom the voxel is significant (q < .05 over voxels of the person).",
        facts=facts,
    )  # fmt: skip


def _files_of_all(reading: BrainReading) -> list[Any]:
    asked = reading.asked
    return [path for who in asked.recordings for path in asked.files(who, *asked.spaces, *asked.controls)]


def across_stage(reading: BrainReading) -> Stage:
    """How well people predict each other, region by region, where they saw the same stimuli."""
    asked, folder = reading.asked, folder_of(reading, GROUP, "ceiling")
    people = list(asked.recordings)

    def run(progress: Progress) -> Written:
        from affectome.neural import across_subject_ceiling

        means = []
        for done, who in enumerate(people):
            means.append(_region_means(reading.person(who).recording))
            progress(done + 1, len(people), detail=who)
        shared = [name for name in means[0].rois if all(name in one.rois for one in means)] if means else []
        if not shared:
            return Written({}, {}, {"n_regions": 0})
        try:
            found = across_subject_ceiling(means, regions=shared, level=asked.level)
        except InputError as error:  # too few stimuli that all saw
            logger.info("There is no ceiling over people: %s", error)
            return Written({}, {}, {"n_regions": 0})
        best = int(np.nanargmax(found.lower)) if np.isfinite(found.lower).any() else 0
        told = {
            "n_regions": len(shared),
            "n_stimuli": found.n_stimuli,
            "region": shared[best],
            "lower": float(found.lower[best]),
            "upper": float(found.upper[best]),
            "n_significant": int((found.q < SIGNIFICANT).sum()),
        }
        return Written({"regions": _ceiling_table(found)}, {}, told)

    return written_stage(
        "across", asked.out, folder, run, tables=(), parameters={**asked.parameters(), "people": people},
        files=_files_of_all(reading), reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def _region_means(recording: Recording) -> Recording:
    """The recording with a single column per region, the mean of its voxels; few enough to keep for everybody."""
    known = np.isfinite(recording.responses).all(axis=0)
    masks = {name: roi & known for name, roi in recording.rois.items() if (roi & known).any()}
    if not masks:
        return replace(recording.select_voxels(np.arange(1)), geometry=None, rois={})
    means = [recording.responses[:, roi].mean(axis=1, dtype=np.float64) for roi in masks.values()]
    own = dict(zip(masks, np.eye(len(masks), dtype=bool), strict=True))
    responses = np.column_stack(means).astype(np.float32)
    return replace(recording, responses=responses, geometry=None, rois=own)


def _ceiling_table(found: SubjectCeiling) -> pd.DataFrame:
    assert found.names is not None and found.by_subject is not None  # of regions
    columns = {name: getattr(found, name) for name in ("lower", "low", "high", "upper", "p", "q")}
    table = pd.DataFrame(columns, index=pd.Index(found.names, name="region"))
    each: pd.DataFrame = table.join(found.by_subject.T.add_prefix("r "))
    return each


def view_stage(reading: BrainReading, subject: str, space: str, what: str = "Held-out r") -> Stage:
    """A page of one person's map to turn or to click through."""
    asked, folder = reading.asked, folder_of(reading, subject, space)

    def run(progress: Progress) -> Written:
        table = voxel_table(reading, subject, space)
        significant = (table["q"] < SIGNIFICANT).to_numpy()
        written = brain_view(
            asked.out, folder, table["r"].to_numpy(), reading.place(subject).geometry, what,
            significant=significant, title=f"{subject}: {asked.label(space)}",
        )  # fmt: skip
        return Written({}, {}, {"view": written[0] if written else None}, written)

    return written_stage(
        f"view/{subject}/{space}", asked.out, folder, run, tables=(), parameters=asked.called_otherwise(space),
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=[voxels_of(reading, subject, space)],
    )  # fmt: skip
