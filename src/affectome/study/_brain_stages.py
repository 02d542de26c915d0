"""The stages that hold spaces against recordings: a person and a space, the spaces of a person, all people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affectome._progress import Progress
from affectome.study._brain import GROUP, BrainReading, Person
from affectome.study._engine import Stage
from affectome.study._written import Written, written_stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from affectome.neural import Encoding, Recording, Significance

__all__ = ["encoding_stages", "group_stages", "partition_stages"]

_TOLD = 5  # regions
_SIGNIFICANT = 0.05  # q of a voxel that maps show in full


def encoding_stages(reading: BrainReading, subject: str) -> list[Stage]:
    """Every space in every voxel of one person, then the spaces against each other."""
    stages = [_encoding(reading, subject, space) for space in reading.asked.spaces]
    return [*stages, _between(reading, subject)] if len(reading.asked.spaces) > 1 else stages


def partition_stages(reading: BrainReading, subject: str) -> list[Stage]:
    """What spaces share in one person, and what each adds to the controls."""
    stages = []
    if len(reading.asked.spaces) > 1:
        stages.append(_partition(reading, subject))
    if reading.asked.controls:
        stages += [_beyond_controls(reading, subject, space) for space in reading.asked.spaces]
    return stages


def group_stages(reading: BrainReading) -> list[Stage]:
    """All people together, where there are several."""
    asked = reading.asked
    if len(asked.recordings) < 2:
        return []
    return [_group(reading), *(_components(reading, space) for space in asked.spaces)]


def _folder(reading: BrainReading, *parts: str) -> str:
    return "/".join([reading.asked.prefix, *parts] if reading.asked.prefix else parts)


def _kept(reading: BrainReading, subject: str, space: str) -> str:
    """Where the encoding of a person by a space lies."""
    return _folder(reading, subject, space, "encoding.npz")


def _encoding(reading: BrainReading, subject: str, space: str) -> Stage:
    asked, folder = reading.asked, _folder(reading, subject, space)

    def run(progress: Progress) -> Written:
        from affectome.neural import encoding_significance, write_encoding
        from affectome.plotting import plot_alphas, plot_p_values

        person = reading.person(subject)
        found = person.encode(space, progress)
        write_encoding(asked.out / folder / "encoding.npz", found)
        tested = encoding_significance(
            found, person.recording, **asked.blocked(), memory_gb=asked.memory_gb,
            seed=asked.seed_of("permutations", subject), progress=progress,
        )  # fmt: skip
        regions = _region_table(person, found, tested, progress)
        maps = {"r": found.r, "r2": found.r2, "p": tested.p, "q": tested.q, "pfamily": tested.p_family}
        _write_maps(asked.out / folder / "maps", person.recording, space, found, tested, maps)
        return Written(
            {"regions": regions, "voxels": pd.DataFrame(maps).rename_axis("voxel"), "counts": tested.table},
            {
                "r": _brain_figure(found.r, person.recording, "Held-out r", tested.q < _SIGNIFICANT,
                                   title=f"{subject}: {space}"),
                "alphas": plot_alphas(found, title=f"{subject}: {space}"),
                "p": plot_p_values(tested.p, title=f"{subject}: {space}"),
            },
            {**_facts(person, found, tested), "best_regions": _best(regions)},
        )  # fmt: skip

    # The maps are found by their folder: their names follow BIDS, and depend on where the voxels lie.
    return written_stage(
        f"encode/{subject}/{space}", asked.out, folder, run, tables=("regions", "voxels", "counts"),
        figures=("r", "alphas", "p"), others=("encoding.npz",), parameters=asked.parameters(),
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
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
        "n_significant": int((tested.q < _SIGNIFICANT).sum()),
        "n_family": int((tested.p_family < _SIGNIFICANT).sum()),
        "smallest_p": tested.smallest_p,
        "null": tested.null,
        "at_lowest_alpha": found.edges[0],
        "at_highest_alpha": found.edges[1],
    }


def _best(regions: pd.DataFrame) -> list[dict[str, Any]]:
    leading = regions.sort_values("r", ascending=False, na_position="last").head(_TOLD)
    return [{str(key): value for key, value in row.items()} for row in leading.to_dict("records")]


def _write_maps(
    folder: Any, recording: Recording, space: str, found: Encoding, tested: Significance, maps: Mapping[str, Any]
) -> None:
    from affectome.neural import write_map

    told = {
        "r": "Pearson correlation of responses and pooled held-out predictions.",
        "r2": "Held-out R2 against the training mean of each fold.",
        "p": "One-sided p of r.",
        "q": "Benjamini-Hochberg q of p over all voxels with an r.",
        "pfamily": "p of r against the largest r over voxels (family-wise).",
    }
    facts = {"Null": tested.null, "Permutations": tested.n_permutations}
    for name, values in maps.items():
        known = facts if name not in ("r", "r2") else {}
        write_map(folder, recording, values, statistic=name, description=told[name], space=space, facts=known)
    write_map(
        folder, recording, found.weights, statistic="weights", space=space, names=found.features,
        description="Mean over outer folds of the weight of each component, of unit variance in the training trials.",
    )  # fmt: skip


def _brain_figure(
    values: Any, place: Recording, label: str, significant: Any, *, title: str, diverging: bool = False
) -> Figure:
    """The picture that where the voxels lie allows: a surface, a glass brain, slices, or sorted values."""
    from affectome.neural import SurfaceMesh
    from affectome.plotting import plot_glass_brain, plot_slices, plot_surface, plot_voxel_values

    grid = place.geometry
    if grid is None:
        return plot_voxel_values(values, label, significant=significant, title=title)
    drawn: dict[str, Any] = {"significant": significant, "title": title, "diverging": diverging}
    if isinstance(grid, SurfaceMesh):
        return plot_surface(values, grid, label, **drawn)
    if (grid.space or "").startswith("MNI"):
        return plot_glass_brain(values, grid, label, **drawn)
    return plot_slices(values, grid, label, **drawn)


def _between(reading: BrainReading, subject: str) -> Stage:
    asked = reading.asked
    folder = _folder(reading, subject, "between")
    others = [space for space in asked.spaces if space != asked.first]

    def run(progress: Progress) -> Written:
        from affectome.neural import compare_encodings, read_encoding, region_tests, winner_map
        from affectome.plotting import plot_voxel_scatter

        person = reading.person(subject)
        known = {name: read_encoding(asked.out / _kept(reading, subject, name)) for name in asked.spaces}
        differences = [
            compare_encodings(known[asked.first], known[other], person.recording, level=asked.level, progress=progress)
            for other in others
        ]
        won = winner_map(list(known.values()), mask=_predicted_by_any(reading, subject))
        tables = {
            "tests": region_tests(differences),
            "all_voxels": pd.concat([found.regions.loc[["all"]].assign(space=found.second) for found in differences]),
            "winners": won.shares(person.recording.rois),
        }
        figures = {f"scatter_{found.second}": plot_voxel_scatter(found) for found in differences}
        told = {found.second: found.regions.loc["all"].to_dict() for found in differences}
        return Written(tables, figures, {"reference": asked.first, "against": told})

    return written_stage(
        f"between/{subject}", asked.out, folder, run, tables=("tests", "all_voxels", "winners"),
        figures=[f"scatter_{other}" for other in others],
        parameters={**asked.parameters(), "reference": asked.first, "spaces": list(asked.spaces)},
        files=asked.files(subject, *asked.spaces, *asked.controls),
        reads=[_kept(reading, subject, name) for name in asked.spaces]
        + [_folder(reading, subject, name, "voxels.csv") for name in asked.spaces],
    )  # fmt: skip


def _predicted_by_any(reading: BrainReading, subject: str) -> Any:
    """Voxels that any of the spaces predicts, so that the mask favours none of them."""
    found = None
    for name in reading.asked.spaces:
        table = pd.read_csv(reading.asked.out / _folder(reading, subject, name, "voxels.csv"))
        here = (table["q"] < _SIGNIFICANT).to_numpy()
        found = here if found is None else found | here
    return found


def _partition(reading: BrainReading, subject: str) -> Stage:
    asked, folder = reading.asked, _folder(reading, subject, "partition")

    def run(progress: Progress) -> Written:
        from affectome.neural import partition_variance
        from affectome.plotting import plot_region_partition

        person = reading.person(subject)
        found = partition_variance(
            person.spaces, person.recording, level=asked.level, seed=asked.seed_of("partition", subject),
            memory_gb=asked.memory_gb, progress=progress, **_shared_settings(reading),
        )  # fmt: skip
        voxels = pd.concat([found.models, found.parts, found.q.add_prefix("q only ")], axis=1)
        whole = found.regions.loc["all"]
        return Written(
            {"regions": found.regions, "voxels": voxels.rename_axis("voxel")},
            {"partition": plot_region_partition(found)},
            {"all_voxels": {str(part): dict(row) for part, row in whole.iterrows()}},
        )

    return written_stage(
        f"partition/{subject}", asked.out, folder, run, tables=("regions", "voxels"), figures=("partition",),
        parameters={**asked.parameters(), "spaces": list(asked.spaces)},
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
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


def _beyond_controls(reading: BrainReading, subject: str, space: str) -> Stage:
    asked, folder = reading.asked, _folder(reading, subject, f"beyond_controls_{space}")

    def run(progress: Progress) -> Written:
        from affectome.neural import unique_variance

        person = reading.person(subject)
        found = unique_variance(
            person.spaces[space], person.controls, person.recording, name=space, level=asked.level,
            seed=asked.seed_of("controls", subject), memory_gb=asked.memory_gb, progress=progress,
            **_shared_settings(reading),
        )  # fmt: skip
        figure = _brain_figure(
            found.voxels["unique"].to_numpy(), person.recording, "R2 beyond the controls",
            (found.voxels["q"] < _SIGNIFICANT).to_numpy(), title=f"{subject}: {space}", diverging=True,
        )  # fmt: skip
        return Written(
            {"regions": found.regions, "voxels": found.voxels.rename_axis("voxel")},
            {"unique": figure},
            {"controls": list(found.controls), **{str(k): v for k, v in found.regions.loc["all"].items()}},
        )

    return written_stage(
        f"beyond_controls/{subject}/{space}", asked.out, folder, run, tables=("regions", "voxels"),
        figures=("unique",), parameters={**asked.parameters(), "controls": list(asked.controls)},
        files=asked.files(subject, *asked.spaces, *asked.controls), reads=asked.reads(*asked.spaces, *asked.controls),
    )  # fmt: skip


def _group(reading: BrainReading) -> Stage:
    asked, folder = reading.asked, _folder(reading, GROUP)
    people, several = list(asked.recordings), len(asked.spaces) > 1

    def run(progress: Progress) -> Written:
        from affectome.neural import compare_group
        from affectome.plotting import plot_region_bars

        scores = _read_tables(
            reading, [_folder(reading, who, space, "regions.csv") for who in people for space in asked.spaces]
        )
        tests = (
            _read_tables(reading, [_folder(reading, who, "between", "tests.csv") for who in people])
            if several
            else None
        )
        found = compare_group(
            scores, reference=asked.first, tests=tests, level=asked.level, seed=asked.seed_of("group")
        )
        told = found.regions[found.regions["space"] == asked.first].sort_values("mean", ascending=False).head(_TOLD)
        return Written(
            {"scores": scores, "regions": found.regions, "comparisons": found.comparisons},
            {"regions": plot_region_bars(scores, found)},
            {"n_people": len(people), "reference": asked.first, "correction": found.correction,
             "best_regions": told.to_dict("records"), "regions": found.regions.to_dict("records"),
             "comparisons": found.comparisons.to_dict("records")},
        )  # fmt: skip

    reads = [_folder(reading, who, space, "regions.csv") for who in people for space in asked.spaces]
    if several:
        reads += [_folder(reading, who, "between", "tests.csv") for who in people]
    return written_stage(
        "group", asked.out, folder, run, tables=("scores", "regions", "comparisons"), figures=("regions",),
        parameters={"reference": asked.first, "level": asked.level, "seed": asked.seed, "people": people}, reads=reads,
    )  # fmt: skip


def _read_tables(reading: BrainReading, paths: Sequence[str]) -> pd.DataFrame:
    texts: dict[Any, Any] = dict.fromkeys(("subject", "space", "region", "reference"), str)
    parts = [
        pd.read_csv(reading.asked.out / path, dtype=texts, keep_default_na=False, na_values=[""]) for path in paths
    ]
    return pd.concat(parts, ignore_index=True)


def _components(reading: BrainReading, space: str) -> Stage:
    asked, folder = reading.asked, _folder(reading, GROUP, space)
    people = list(asked.recordings)

    def run(progress: Progress) -> Written:
        from affectome.neural import component_consistency, component_maps, read_encoding
        from affectome.plotting import plot_component_consistency, plot_component_profiles

        maps = []
        for done, who in enumerate(people):
            place = reading.person(who).place()
            maps.append(component_maps(read_encoding(asked.out / _kept(reading, who, space)), place))
            progress(done + 1, len(people), detail=who)
        found = component_consistency(
            maps, n_permutations=asked.n_permutations, level=asked.level, seed=asked.seed_of("consistency", space)
        )
        profiles = pd.concat([one.profiles for one in maps]).groupby(level=0, sort=False).mean()
        return Written(
            {"profiles": profiles, "weights": pd.concat([one.table() for one in maps]), "consistency": found.table,
             "pairs": found.pairs},
            {"profiles": plot_component_profiles(profiles, "Mean weight over people"),
             "consistency": plot_component_consistency(found)},
            {"r": found.r, "p": found.p, "accuracy": found.accuracy, "chance": found.chance,
             "p_accuracy": found.p_accuracy, "by": found.by, "places": found.places, "null": found.null},
        )  # fmt: skip

    files = [path for who in people for path in asked.files(who, *asked.spaces, *asked.controls)]
    return written_stage(
        f"consistency/{space}", asked.out, folder, run, tables=("profiles", "weights", "consistency", "pairs"),
        figures=("profiles", "consistency"), parameters={**asked.parameters(), "people": people}, files=files,
        reads=[_kept(reading, who, space) for who in people],
    )  # fmt: skip
