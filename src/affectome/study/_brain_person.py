"""The stages of one person: every space in every voxel, spaces against each other, and how well any could do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.study._brain import BrainReading, Person
from affectome.study._brain_maps import SIGNIFICANT, MapFolder, brain_figure, contrast_figures
from affectome.study._brain_paths import (
    folder_of,
    kept_encoding,
    leading_regions,
    predicted_by_any,
    voxel_table,
    voxels_of,
)
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from affectome.neural import Encoding, EncodingDifference, Significance, WinnerMap

__all__ = ["between_stage", "ceiling_stage", "encoding_stage"]


def encoding_stage(reading: BrainReading, subject: str, space: str) -> Stage:
    """Predict every voxel of a person from a space, and test it."""
    asked, folder = reading.asked, folder_of(reading, subject, space)

    def run(progress: Progress) -> Written:
        from affectome.neural import encoding_significance, write_encoding
        from affectome.neural.statistics._tails import FEWEST
        from affectome.plotting import plot_alphas, plot_p_values

        person = reading.person(subject)
        found = person.encode(space, progress)
        write_encoding(asked.out / folder / "encoding.npz", found)
        tested = encoding_significance(
            found, person.recording, **asked.blocked(), penalties=asked.penalties, memory_gb=asked.memory_gb,
            tail="gpd" if asked.n_permutations >= FEWEST else "empirical",
            seed=asked.seed_of("permutations", subject), progress=progress,
        )  # fmt: skip
        regions = _region_table(person, found, tested, progress)
        values = {"r": found.r, "r2": found.r2, "p": tested.p, "q": tested.q, "pfamily": tested.p_family}
        maps = MapFolder(asked.out, folder, person.recording, space=space)
        _write_maps(maps, found, tested, values)
        title = f"{subject}: {space}"
        return Written(
            {"regions": regions, "voxels": pd.DataFrame(values).rename_axis("voxel"), "counts": tested.table},
            {
                "r": brain_figure(
                    found.r, person.recording.geometry, "Held-out r", tested.q < SIGNIFICANT, title=title
                ),
                "alphas": plot_alphas(found, title=title),
                "p": plot_p_values(tested.p, title=title),
            },
            {**_facts(person, found, tested), "best_regions": leading_regions(regions, "r")},
            maps.files,
        )

    return written_stage(
        f"encode/{subject}/{space}", asked.out, folder, run, tables=("regions", "voxels", "counts"),
        figures=("r", "alphas", "p"), others=("encoding.npz",), parameters=asked.parameters(),
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
        version=2,
    )  # fmt: skip


def _region_table(person: Person, found: Encoding, tested: Significance, progress: Progress) -> pd.DataFrame:
    from affectome.neural import region_scores

    if not person.recording.rois:
        columns = ["subject", "space", "region", "n_voxels", "r", "low", "high", "p", "q"]
        return pd.DataFrame(columns=columns)
    return region_scores(found, person.recording, significance=tested, level=person.asked.level, progress=progress)


def _facts(person: Person, found: Encoding, tested: Significance) -> dict[str, Any]:
    defined = np.isfinite(found.r)
    return {
        "n_trials": len(found.rows),
        "n_runs": int(person.recording.trials["run"].iloc[found.rows].nunique()),
        "n_voxels": len(found.r),
        "n_undefined": int((~defined).sum()),
        "n_regions": len(person.recording.rois),
        "median_r": float(np.median(found.r[defined])) if defined.any() else np.nan,
        "largest_r": float(found.r[defined].max()) if defined.any() else np.nan,
        "n_significant": int((tested.q < SIGNIFICANT).sum()),
        "n_family": int((tested.p_family < SIGNIFICANT).sum()),
        "smallest_p": tested.smallest_p,
        "null": tested.null,
        "at_lowest_alpha": found.edges[0],
        "at_highest_alpha": found.edges[1],
    }


def _write_maps(maps: MapFolder, found: Encoding, tested: Significance, values: dict[str, Any]) -> None:
    told = {
        "r": "Pearson correlation of responses and pooled held-out predictions.",
        "r2": "Held-out R2 against the training mean of each fold.",
        "p": "One-sided p of r.",
        "q": "Benjamini-Hochberg q of p over all voxels with an r.",
        "pfamily": "p of r against the largest r over voxels (family-wise).",
    }
    facts = {"Null": tested.null, "Permutations": tested.n_permutations}
    for name, of_voxels in values.items():
        maps.write(name, of_voxels, told[name], facts=facts if name not in ("r", "r2") else {})
    maps.write(
        "weights", found.weights, "Mean over outer folds of the weight of each component, of unit variance in the "
        "training trials.", names=found.features,
    )  # fmt: skip


def between_stage(reading: BrainReading, subject: str) -> Stage:
    """The spaces of one person against the reference, and the best of each voxel."""
    asked = reading.asked
    folder = folder_of(reading, subject, "between")
    others = [space for space in asked.spaces if space != asked.first]

    def run(progress: Progress) -> Written:
        from affectome.neural import compare_encodings, read_encoding, region_tests, winner_map
        from affectome.plotting import plot_voxel_scatter

        person = reading.person(subject)
        known = {name: read_encoding(asked.out / kept_encoding(reading, subject, name)) for name in asked.spaces}
        differences = [
            compare_encodings(known[asked.first], known[other], person.recording, level=asked.level, progress=progress)
            for other in others
        ]
        won = winner_map(list(known.values()), mask=predicted_by_any(reading, subject))
        maps = MapFolder(asked.out, folder, person.recording)
        _write_contrasts(maps, won, differences)
        tables = {
            "tests": region_tests(differences),
            "all_voxels": pd.concat([found.regions.loc[["all"]].assign(space=found.second) for found in differences]),
            "winners": won.shares(person.recording.rois),
        }
        figures = {f"scatter_{found.second}": plot_voxel_scatter(found, labels=asked.called) for found in differences}
        figures |= contrast_figures(person.recording.geometry, won, differences, asked.called)
        told = {found.second: found.regions.loc["all"].to_dict() for found in differences}
        return Written(tables, figures, {"reference": asked.first, "against": told}, maps.files)

    return written_stage(
        f"between/{subject}", asked.out, folder, run, tables=("tests", "all_voxels", "winners"),
        figures=[f"scatter_{other}" for other in others],
        parameters={**asked.parameters(), "reference": asked.first, "spaces": list(asked.spaces),
                    **asked.called_otherwise(*asked.spaces)},
        files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=[kept_encoding(reading, subject, name) for name in asked.spaces]
        + [voxels_of(reading, subject, name) for name in asked.spaces],
        version=2,
    )  # fmt: skip


def _write_contrasts(maps: MapFolder, won: WinnerMap, differences: list[EncodingDifference]) -> None:
    maps.write(
        "winner", won.winner, "Place in Spaces, from 0, of the space with the largest held-out r, in voxels that any "
        "of them predicts (q < .05).", facts={"Spaces": list(won.spaces)},
    )  # fmt: skip
    for found in differences:
        pair = f"{found.first} minus {found.second}"
        facts = {"Null": found.null}
        maps.write(
            "difference", found.voxels["difference"], "Held-out r, correlated within folds, of the first minus that of "
            "the second space.", space=pair,
        )  # fmt: skip
        maps.write(
            "q", found.voxels["q"], "Benjamini-Hochberg q of the two-sided p of the difference, over all voxels.",
            space=pair, facts=facts,
        )  # fmt: skip


def ceiling_stage(reading: BrainReading, subject: str) -> Stage:
    """How well any model could predict a person, where stimuli were repeated."""
    asked, folder = reading.asked, folder_of(reading, subject, "ceiling")

    def run(progress: Progress) -> Written:
        from affectome.neural import explainable_variance, summarise_regions

        single, n_averaged = reading.person(subject).single_trials()
        n_repeated = int((single.trials["stimulus"].value_counts() > 1).sum())
        if n_repeated < 2:
            return Written({}, {}, {"n_repeated": n_repeated})
        found = explainable_variance(single, n_averaged=n_averaged, level=asked.level)
        reached = {f"r/ceiling {space}": _reached(reading, subject, space, found) for space in asked.spaces}
        values = {name: getattr(found, name) for name in ("ev", "low", "high", "p", "q", "ceiling")}
        voxels = pd.DataFrame({**values, **reached}).rename_axis("voxel")
        summarised = voxels[["ev", "ceiling", *reached]]
        tables = {"voxels": voxels}
        if single.rois:
            tables["regions"] = summarise_regions(summarised, single.rois)
        maps = MapFolder(asked.out, folder, single)
        _write_ceilings(maps, values, n_averaged)
        label = "Explainable variance of single trials"
        figure = brain_figure(found.ev, single.geometry, label, found.q < SIGNIFICANT, title=subject)
        known = found.q < SIGNIFICANT
        told = {
            "n_repeated": n_repeated,
            "repeats": found.repeats,
            "n_averaged": n_averaged,
            "n_voxels": single.n_voxels,
            "n_significant": int(known.sum()),
            "median_ceiling": float(np.median(found.ceiling[known])) if known.any() else np.nan,
        }
        return Written(tables, {"ev": figure}, told, maps.files)

    return written_stage(
        f"ceiling/{subject}", asked.out, folder, run, tables=(),
        parameters={**asked.parameters(), "spaces": list(asked.spaces)},
        files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=[voxels_of(reading, subject, name) for name in asked.spaces],
    )  # fmt: skip


def _reached(reading: BrainReading, subject: str, space: str, found: Any) -> Any:
    from affectome.neural import normalised_scores

    return normalised_scores(voxel_table(reading, subject, space)["r"].to_numpy(), found)


def _write_ceilings(maps: MapFolder, values: dict[str, Any], n_averaged: int) -> None:
    null = {"Null": "Stimuli make no difference."}
    maps.write("ev", values["ev"], "Share of the variance of single trials that the stimuli account for.")
    maps.write(
        "ceiling", values["ceiling"], "The largest r that any model could reach.", facts={"Averaged": n_averaged}
    )
    maps.write("q", values["q"], "Benjamini-Hochberg q of the F test of the explainable variance.", facts=null)
