"""The stages that cut what spaces explain of one person: shared and unique, and beyond controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from affectome._progress import Progress
from affectome.study._brain import BrainReading
from affectome.study._brain_maps import SIGNIFICANT, MapFolder, brain_figure
from affectome.study._brain_paths import folder_of
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.neural import VariancePartition

__all__ = ["beyond_controls_stage", "partition_stage"]

_UNIQUE = "only "  # how a part is called that a space has for itself


def partition_stage(reading: BrainReading, subject: str) -> Stage:
    """What spaces share in one person, and what is unique to each."""
    asked, folder = reading.asked, folder_of(reading, subject, "partition")

    def run(progress: Progress) -> Written:
        from affectome.neural import partition_variance
        from affectome.plotting import plot_partition_parts, plot_region_partition

        person = reading.person(subject)
        found = partition_variance(
            person.spaces, person.recording, level=asked.level, seed=asked.seed_of("partition", subject),
            memory_gb=asked.memory_gb, progress=progress, **_shared_settings(reading),
        )  # fmt: skip
        voxels = pd.concat([found.models, found.parts, found.q.add_prefix("q only ")], axis=1)
        maps = MapFolder(asked.out, folder, person.recording)
        _write_parts(maps, found)
        figures = {"partition": plot_region_partition(found), "parts": plot_partition_parts(found)}
        for space in found.spaces:
            figures[f"unique_{space}"] = brain_figure(
                found.parts[_UNIQUE + space].to_numpy(), person.recording.geometry, "R2 unique to it",
                (found.q[space] < SIGNIFICANT).to_numpy(), title=f"{subject}: {space}", diverging=True,
            )  # fmt: skip
        whole = found.regions.loc["all"]
        return Written(
            {"regions": found.regions, "voxels": voxels.rename_axis("voxel")},
            figures,
            {"all_voxels": {str(part): dict(row) for part, row in whole.iterrows()}},
            maps.files,
        )

    unique = [f"unique_{space}" for space in asked.spaces]
    return written_stage(
        f"partition/{subject}", asked.out, folder, run, tables=("regions", "voxels"),
        figures=("partition", "parts", *unique), parameters={**asked.parameters(), "spaces": list(asked.spaces)},
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
        version=2,
    )  # fmt: skip


def _write_parts(maps: MapFolder, found: VariancePartition) -> None:
    maps.write(
        "r2", found.models.to_numpy().T, "Held-out R2 of every subset of the spaces.", names=list(found.models.columns)
    )
    maps.write(
        "parts", found.parts.to_numpy().T, "Held-out R2 that exactly these spaces explain: unique to one, or shared.",
        names=list(found.parts.columns),
    )  # fmt: skip
    maps.write(
        "q", found.q.to_numpy().T, "Benjamini-Hochberg q, over voxels, that a space explains nothing beyond the "
        "others.", names=list(found.q.columns), facts={"Null": "The space explains nothing beyond all others."},
    )  # fmt: skip


def beyond_controls_stage(reading: BrainReading, subject: str, space: str) -> Stage:
    """What a space explains of one person beyond the controls."""
    asked, folder = reading.asked, folder_of(reading, subject, f"beyond_controls_{space}")

    def run(progress: Progress) -> Written:
        from affectome.neural import unique_variance

        person = reading.person(subject)
        found = unique_variance(
            person.spaces[space], person.controls, person.recording, name=space, level=asked.level,
            seed=asked.seed_of("controls", subject), memory_gb=asked.memory_gb, progress=progress,
            **_shared_settings(reading),
        )  # fmt: skip
        figure = brain_figure(
            found.voxels["unique"].to_numpy(), person.recording.geometry, "R2 beyond the controls",
            (found.voxels["q"] < SIGNIFICANT).to_numpy(), title=f"{subject}: {space}", diverging=True,
        )  # fmt: skip
        facts = {"Controls": list(found.controls)}
        maps = MapFolder(asked.out, folder, person.recording, space=space)
        maps.write("unique", found.voxels["unique"], "Held-out R2 beyond that of the controls.", facts=facts)
        maps.write(
            "q", found.voxels["q"], "Benjamini-Hochberg q over voxels.",
            facts={**facts, "Null": "The space explains nothing beyond the controls."},
        )  # fmt: skip
        return Written(
            {"regions": found.regions, "voxels": found.voxels.rename_axis("voxel")},
            {"unique": figure},
            {"controls": list(found.controls), **{str(k): v for k, v in found.regions.loc["all"].items()}},
            maps.files,
        )

    return written_stage(
        f"beyond_controls/{subject}/{space}", asked.out, folder, run, tables=("regions", "voxels"),
        figures=("unique",), parameters={**asked.parameters(), "controls": list(asked.controls)},
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
        version=2,
    )  # fmt: skip


def _shared_settings(reading: BrainReading) -> dict[str, Any]:
    from affectome.neural import ALPHAS

    asked = reading.asked
    return {
        "n_folds": asked.n_folds,
        "folds": asked.folds,
        "alphas": ALPHAS if asked.alphas is None else asked.alphas,
        "shared_stimuli": asked.shared_stimuli,
        "backend": asked.backend,
    }
