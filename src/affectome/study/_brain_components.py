"""The stages that ask of all people where the components of a space lie, and along which few of them voxels differ."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.study._brain import GROUP, BrainReading
from affectome.study._brain_maps import MapFolder
from affectome.study._brain_paths import folder_of, kept_encoding
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.neural import ComponentMaps, Consistency, Recording

logger = logging.getLogger(__name__)

__all__ = ["consistency_stage", "weights_stage"]

_FEWEST = 3  # regions, below which profiles over them say nothing
_PERMUTATIONS = 200  # of whole recordings, at most
_SHOWN = 10  # principal components


def consistency_stage(reading: BrainReading, space: str) -> Stage:
    """Whether components lie in the same places in all people: by region, and by voxel in a common space."""
    asked, folder = reading.asked, folder_of(reading, GROUP, space)
    people = list(asked.recordings)

    def run(progress: Progress) -> Written:
        from affectome.neural import component_maps, read_encoding
        from affectome.plotting import plot_component_consistency, plot_component_profiles

        maps, places = [], [reading.place(who) for who in people]
        for done, (who, place) in enumerate(zip(people, places, strict=True)):
            maps.append(component_maps(read_encoding(asked.out / kept_encoding(reading, who, space)), place))
            progress(done + 1, len(people), detail=who)
        found = _by_region(reading, space, maps), _by_voxel(reading, space, maps, places)
        tables, figures = {"weights": pd.concat([one.table() for one in maps])}, {}
        told: dict[str, Any] = {}
        profiles = pd.concat([one.profiles for one in maps]).groupby(level=0, sort=False).mean()
        if not profiles.empty:
            tables["profiles"] = profiles
            figures["profiles"] = plot_component_profiles(profiles, "Mean weight over people")
        for one in found:
            if one is None:
                continue
            suffix = "" if one.by == "region" else "_voxels"
            tables |= {f"consistency{suffix}": one.table, f"pairs{suffix}": one.pairs}
            figures[f"consistency{suffix}"] = plot_component_consistency(one)
            told[f"by_{one.by}"] = {
                "r": one.r, "p": one.p, "accuracy": one.accuracy, "chance": one.chance,
                "p_accuracy": one.p_accuracy, "by": one.by, "places": one.places, "null": one.null,
            }  # fmt: skip
        first: dict[str, Any] = next(iter(told.values()), {})
        return Written(tables, figures, {**first, **told})

    files = [path for who in people for path in asked.files(who, *asked.spaces, *asked.controls)]
    return written_stage(
        f"consistency/{space}", asked.out, folder, run, tables=("weights",),
        parameters={**asked.parameters(), "people": people}, files=files,
        reads=[kept_encoding(reading, who, space) for who in people], version=2,
    )  # fmt: skip


def _by_region(reading: BrainReading, space: str, maps: list[ComponentMaps]) -> Consistency | None:
    from affectome.neural import component_consistency

    asked = reading.asked
    shared = set.intersection(*({str(name) for name, n in one.n_voxels.items() if n > 0} for one in maps))
    if len(shared) < _FEWEST or len(maps[0].features) < 2:
        logger.info("%s: %d regions are too few to compare people by.", space, len(shared))
        return None
    seed = asked.seed_of("consistency", space)
    return component_consistency(maps, n_permutations=asked.n_permutations, level=asked.level, seed=seed)


def _by_voxel(
    reading: BrainReading, space: str, maps: list[ComponentMaps], places: list[Recording]
) -> Consistency | None:
    from affectome.neural import common_geometry, component_consistency

    asked = reading.asked
    try:
        _, columns = common_geometry(places)
    except InputError as error:
        logger.info("%s: people are not compared by voxel: %s", space, error)
        return None
    if len(maps[0].features) < 2:
        return None
    here = [one.select_voxels(chosen) for one, chosen in zip(maps, columns, strict=True)]
    seed = asked.seed_of("consistency by voxel", space)
    return component_consistency(here, by="voxel", n_permutations=asked.n_permutations, level=asked.level, seed=seed)


def weights_stage(reading: BrainReading, space: str) -> Stage:
    """Along which few directions of a space voxels differ, and whether people share them."""
    asked, folder = reading.asked, folder_of(reading, GROUP, space)
    people = list(asked.recordings)

    def run(progress: Progress) -> Written:
        from affectome.neural import read_encoding, weight_components
        from affectome.plotting import plot_component_profiles

        encodings = [read_encoding(asked.out / kept_encoding(reading, who, space)) for who in people]
        if len(encodings[0].features) < 2:
            return Written({}, {}, {"retained": None})
        masks = {who: _taken(reading, who, len(one.rows)) for who, one in zip(people, encodings, strict=True)}
        found = weight_components(
            encodings, _OneAfterTheOther(reading, people), n_components=_SHOWN, masks=masks,
            n_permutations=min(asked.n_permutations, _PERMUTATIONS), blocks=asked.blocks,
            block_length=asked.block_length, within=asked.within, seed=asked.seed_of("weights", space),
            progress=progress,
        )  # fmt: skip
        files: list[str] = []
        for who, scores in found.scores.items():
            maps = MapFolder(asked.out, folder, reading.place(who), space=space)
            maps.write(
                "pcscores", scores, "Weights of one ridge along the principal components of the weights of all people.",
                names=list(found.loadings.columns),
            )  # fmt: skip
            files += maps.files
        tables = {"pc_loadings": found.loadings, "pc_table": found.table, "pc_held_out": found.held_out}
        figures = {"pc_loadings": plot_component_profiles(found.loadings, "Loading", limit=1.0)}
        told = {
            "retained": found.retained,
            "share": found.table["share"].iloc[0],
            "null_share": found.table["null"].iloc[0],
            "p": found.table["p"].iloc[0],
            "n_voxels": {who: int(mask.sum()) for who, mask in masks.items()},
            "n_permutations": found.n_permutations,
            "null": found.null,
        }
        return Written(tables, figures, told, files)

    files = [path for who in people for path in asked.files(who, *asked.spaces, *asked.controls)]
    parameters = {**asked.parameters(), "people": people, "memory_gb": asked.memory_gb}
    return written_stage(
        f"weights/{space}", asked.out, folder, run, tables=(), parameters=parameters, files=files,
        reads=[kept_encoding(reading, who, space) for who in people],
    )  # fmt: skip


def _taken(reading: BrainReading, subject: str, n_trials: int) -> Any:
    """Voxels of any region, or all; every k-th of them where everybody's responses would not fit the memory."""
    asked, place = reading.asked, reading.place(subject)
    mask = np.any([*place.rois.values()], axis=0) if place.rois else np.ones(place.n_voxels, bool)
    fitting = asked.memory_gb * 1e9 / len(asked.recordings) / (8 * n_trials)  # float32, and as much again at work
    step = int(np.ceil(mask.sum() / max(fitting, 1)))
    if step > 1:
        logger.info("%s: every %dth voxel is taken for the principal components, to fit the memory.", subject, step)
    taken = np.zeros(place.n_voxels, bool)
    taken[np.flatnonzero(mask)[::step]] = True
    return taken


class _OneAfterTheOther(Sequence["Recording"]):
    """The recordings of people, each in memory while it is looked at."""

    def __init__(self, reading: BrainReading, people: Sequence[str]) -> None:
        self.reading, self.people = reading, people

    def __len__(self) -> int:
        return len(self.people)

    def __iter__(self) -> Iterator[Recording]:
        return (self.reading.person(who).recording for who in self.people)

    @overload
    def __getitem__(self, index: int) -> Recording: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Recording]: ...
    def __getitem__(self, index: int | slice) -> Recording | Sequence[Recording]:
        if isinstance(index, slice):
            return _OneAfterTheOther(self.reading, self.people[index])
        return self.reading.person(self.people[index]).recording
