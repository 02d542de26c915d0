"""What the commands about the brain say: one sentence per finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from affectome.cli._common import interval, number, p_value, print_json
from affectome.errors import InputError, Interrupted

if TYPE_CHECKING:
    from affectome.study import BrainResult

__all__ = ["tell", "told"]


def tell(result: BrainResult, json: bool) -> None:
    """One sentence per finding; what could not be done ends the command with exit code 4."""
    from affectome._tables import cut_short

    for name, found in result.summary.items():
        for line in told(name, found):
            print(line)
    print(f"Results: {result.results}")
    if json:
        left_out = {name: str(error) for name, error in result.failed.items()}
        print_json({"results": str(result.results), "found": result.summary, "left_out": left_out})
    if result.failed and not result.records:
        raise InputError(
            f"none of the analyses could be done ({cut_short(list(result.failed))})", remedy="the reasons stand above"
        )
    if result.failed:
        raise Interrupted(
            f"{len(result.failed)} of the analyses could not be done ({cut_short(list(result.failed))})",
            remedy="the reasons stand above; everything else is written",
        )


def told(stage: str, found: Mapping[str, Any]) -> list[str]:
    """What a stage found, in lines."""
    kind, *where = stage.split("/")
    if kind not in _SENTENCES:  # what kind of analysis it belongs to
        kind, *where = where
    return _SENTENCES[kind](where, found)


def _encoded(where: list[str], found: Mapping[str, Any]) -> list[str]:
    subject, space = where
    lines = [
        f"{subject}, {space}: {found['n_significant']:,} of {found['n_voxels']:,} voxels predicted (FDR .05), "
        f"{found['n_family']:,} family-wise; median r {number(found['median_r'])}, "
        f"largest {number(found['largest_r'])} ({found['n_trials']:,} trials, {found['n_runs']} runs)."
    ]
    if found["best_regions"]:
        lines.append(f"  Regions: {'; '.join(map(_region, found['best_regions']))}.")
    return lines


def _region(row: Mapping[str, Any]) -> str:
    return f"{row['region']} {interval(row['r'], row['low'], row['high'])}"


def _between(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{where[0]}, all voxels: {found['reference']} minus {other} "
        f"{interval(row['difference'], row['low'], row['high'])}, {p_value(row['p'])}."
        for other, row in found["against"].items()
    ]


def _together(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["regions"]:
        return []
    regions = "; ".join(
        f"{row['region']} {number(row['mean'])} (s.d. {number(row['sd'])}{_share(row)})"
        for row in found["best_regions"]
    )
    beyond = f" beyond {', '.join(found['controls'])}" if "controls" in found else ""
    lines = [f"{found['n_people']} people, {found['reference']}{beyond}: {regions}."]
    told = [row for row in found["comparisons"] if row.get("n_above") or row.get("n_below")]
    return lines + [
        f"  {row['region']}{beyond}: {row['reference']} above {row['space']} in {row['n_above']:.0f} of "
        f"{row['n_tested']:.0f} people, below in {row['n_below']:.0f} "
        f"(mean difference {interval(row['difference'], row['low'], row['high'])})."
        for row in told
    ]


def _share(row: Mapping[str, Any]) -> str:
    """Of the noise ceilings, where people could be compared."""
    upper, lower = (row.get(f"share_of_{end}") for end in ("upper", "lower"))
    if upper is None or lower is None or row["mean"] <= 0:
        return ""
    return f"; {100 * upper:.0f} to {100 * lower:.0f}% of the ceiling"


def _components(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"Components of {where[0]} over people, by {kind} ({one['places']}): mean r {number(one['r'])}, "
        f"{p_value(one['p'])}; {100 * one['accuracy']:.0f}% found again (chance {100 * one['chance']:.0f}%)."
        for kind in ("region", "voxel")
        if (one := found.get(f"by_{kind}"))
    ]


def _ceiling(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if "n_significant" not in found:
        return []
    return [
        f"{where[0]}: ceiling from {found['n_repeated']:,} repeated stimuli: {found['n_significant']:,} of "
        f"{found['n_voxels']:,} voxels respond alike (FDR .05), and in half of them no model exceeds "
        f"r {number(found['median_ceiling'])}."
    ]


def _across(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if "region" not in found:
        return []
    return [
        f"People predict each other in {found['n_significant']} of {found['n_regions']} regions (FDR .05), best in "
        f"{found['region']}: r {number(found['lower'])} to {number(found['upper'])}."
    ]


def _average(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["common"]:
        return []
    return [
        f"{where[0]}, mean over {found['n_people']} people: largest r {number(found['largest_mean'])}; "
        f"{found['n_everybody']:,} of {found['n_voxels']:,} voxels significant in everybody, "
        f"{found['n_somebody']:,} in somebody."
    ]


def _directions(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if found["retained"] is None:
        return []
    return [
        f"Weights of {where[0]}: {found['retained']} principal components above chance; the first holds "
        f"{100 * found['share']:.0f}% (chance {100 * found['null_share']:.0f}%), {p_value(found['p'])}."
    ]


def _view(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return []


def _parts(where: list[str], found: Mapping[str, Any]) -> list[str]:
    told = [f"{part} {interval(row['r2'], row['low'], row['high'])}" for part, row in found["all_voxels"].items()]
    return [f"{where[0]}, R2 over all voxels: {'; '.join(told)}."]


def _beyond(where: list[str], found: Mapping[str, Any]) -> list[str]:
    return [
        f"{where[0]}: {where[1]} beyond {', '.join(found['controls'])}: R2 "
        f"{interval(found['unique'], found['low'], found['high'])}, {p_value(found['p'])}."
    ]


def _searched(where: list[str], found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{where[0]}: {found['n_centres']:,} centres of {found['median_voxels']:.0f} voxels, {found['n_stimuli']:,} "
        f"stimuli, {found['n_pairs']:,} pairs."
    ]
    for space, row in found["spaces"].items():
        lines.append(
            f"  {space}: {row['n_significant']:,} centres (FDR .05); median r {number(row['median_r'])}, largest "
            f"{number(row['largest_r'])}{_against(found['against'].get(space), '')}."
        )
    beyond = {space: row for space, row in found["spaces"].items() if "median_partial_r" in row}
    for space, row in beyond.items():
        controls = ", ".join(found["controls"])
        if row["median_partial_r"] is None and row["median_r"] is not None:
            lines.append(f"  {space} beyond {controls}: nothing is left, for the controls determine its similarities.")
            continue
        sure = f"{row['n_beyond']:,} centres (FDR .05); " if "n_beyond" in row else ""
        lines.append(
            f"  {space} beyond {controls}: {sure}median partial r "
            f"{number(row['median_partial_r'])}, largest {number(row['largest_partial_r'])}"
            f"{_against(found['against'].get(space), '_beyond')}."
        )
    return lines


def _against(row: Mapping[str, int] | None, what: str) -> str:
    """In how many centres the reference is above a space, and below."""
    if row is None or f"n_above{what}" not in row:
        return ""
    return f"; the reference above it in {row[f'n_above{what}']:,}, below in {row[f'n_below{what}']:,}"


def _regions(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["best_regions"]:
        return []
    return [f"{where[0]}, {found['reference']} in regions: {'; '.join(map(_region, found['best_regions']))}."]


def _halves(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if not found["n_stimuli"]:
        return []
    lines = []
    if "n_centres" in found:
        lines.append(
            f"{where[0]}, odd against even runs: {found['n_above']:,} of {found['n_centres']:,} centres above 0, with "
            f"their interval; median r {number(found['median_r'])}, largest {number(found['largest_r'])} "
            f"({found['n_stimuli']:,} stimuli in both)."
        )
    if "best_regions" in found:
        lines.append(f"{where[0]}, halves of regions: {'; '.join(map(_region, found['best_regions']))}.")
    return lines


def _people(where: list[str], found: Mapping[str, Any]) -> list[str]:
    if found.get("n_regions"):
        told = "; ".join(
            f"{row['region']} {number(row['lower'])} to {number(row['upper'])}" for row in found["best_regions"]
        )
        return [f"Noise ceilings of {found['n_people']} people, lower to upper: {told}."]
    if found.get("n_centres"):
        return [
            f"People agree in {found['n_above']:,} of {found['n_centres']:,} centres (interval of the lower ceiling "
            f"above 0); its median {number(found['median_r'])}, largest {number(found['largest_r'])}."
        ]
    return []


_SENTENCES: dict[str, Callable[[list[str], Mapping[str, Any]], list[str]]] = {
    "encode": _encoded,
    "between": _between,
    "searchlight": _searched,
    "regions": _regions,
    "group": _together,
    "halves": _halves,
    "people": _people,
    "consistency": _components,
    "ceiling": _ceiling,
    "across": _across,
    "average": _average,
    "weights": _directions,
    "view": _view,
    "partition": _parts,
    "beyond_controls": _beyond,
}
