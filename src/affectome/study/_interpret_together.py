"""The stages that hold spaces against each other."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from affectome._progress import Progress
from affectome.comparison import SpaceComparison, compare_choices, compare_geometry, compare_rsa, match_clusters
from affectome.errors import InputError
from affectome.interpretation import (
    affective_graph,
    compare_profiles,
    score_type_rules,
    top_stimuli,
)
from affectome.study._engine import Stage
from affectome.study._interpret_space import CATEGORY_TABLES, category_summary, category_tables, leading_stimuli
from affectome.study._interpretation import FOLDER, Interpretation, Reading, reading_stage
from affectome.study._written import Written

__all__ = ["together_analyses", "together_stages"]

_ROSES = 3


def together_analyses(asked: Interpretation) -> list[str]:
    """The comparisons that were asked for, as far as there are ratings for them; the longest begin first."""
    if len(asked.spaces) < 2:
        raise InputError("there is one space", remedy="name at least two to compare")
    wanted = asked.wanted(TOGETHER_ANALYSES)
    possible = [name for name in wanted if asked.ratings or name not in NEED_RATINGS]
    possible = [name for name in possible if name != "types" or asked.dimensions is not None]
    lost = [name for name in asked.only if name not in possible]
    if lost:
        needed = "two families of ratings" if asked.ratings else "ratings"
        raise InputError(f"{lost[0]} needs {needed}", remedy="give --ratings, once for each table")
    return possible


def together_stages(reading: Reading) -> list[Stage]:
    """The stages of these comparisons."""
    return [stage for name in together_analyses(reading.asked) for stage in TOGETHER_ANALYSES[name](reading)]


def _agreement_stage(
    reading: Reading, name: str, compute: Callable[[Progress], SpaceComparison], matrix: str
) -> list[Stage]:
    """A stage about pairs of spaces: table, differences, the matrix of one statistic and all of them as intervals."""

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_agreements, plot_comparison_matrix

        result = compute(progress)
        figures = {f"{name}_matrix": plot_comparison_matrix(result, matrix), name: plot_agreements(result, matrix)}
        summary = {
            statistic: [
                {"first": first, "second": second, "value": value, "ci_low": low, "ci_high": high}
                for (first, second), value, low, high in result.rows(statistic)[
                    ["value", "ci_low", "ci_high"]
                ].itertuples(name=None)
            ]
            for statistic in result.statistics
        }
        return Written({name: result.table, f"{name}_differences": result.differences}, figures, summary)

    return [
        reading_stage(
            reading, name, FOLDER, run, tables=(name, f"{name}_differences"), figures=(f"{name}_matrix", name),
            files=reading.files(*reading.spaces), parameters={"metrics": reading.metrics()},
        )
    ]  # fmt: skip


def _rsa(reading: Reading) -> list[Stage]:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_rsa(reading.spaces, metric=reading.metrics(), **reading.drawn("rsa"), progress=progress)

    return _agreement_stage(reading, "rsa", compute, "pearson")


def _geometry(reading: Reading) -> list[Stage]:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_geometry(reading.spaces, **reading.drawn("geometry"), progress=progress)

    return _agreement_stage(reading, "geometry", compute, "cka")


def _choices(reading: Reading) -> list[Stage]:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_choices(reading.spaces, metric=reading.metrics(), **reading.drawn("choices"), progress=progress)

    return _agreement_stage(reading, "choices", compute, "agreement")


def _shares(reading: Reading) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rating_maps, plot_shares_above

        shares = {name: reading.shares(name, progress) for name in reading.spaces}
        maps = {name: reading.rating_map(name, progress) for name in reading.spaces}
        tables = {
            "shares_above": pd.concat({name: found.table for name, found in shares.items()}, names=["space"]),
            "rating_maps": pd.concat({name: found.families for name, found in maps.items()}, names=["space"]),
            "spread": pd.concat({name: found.spread for name, found in maps.items()}, names=["space"]),
        }
        return Written(tables, {"shares_above": plot_shares_above(shares), "rating_maps": plot_rating_maps(maps)}, {})

    tables = ("shares_above", "rating_maps", "spread")
    return [_of_ratings(reading, "shares", run, tables, ("shares_above", "rating_maps"))]


def _types(reading: Reading) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_types

        types = {name: reading.types(name, progress) for name in reading.spaces}
        asked = reading.asked
        rules = score_type_rules(
            reading.ratings,
            categories=str(asked.categories),
            dimensions=str(asked.dimensions),
            n_permutations=asked.n_permutations,
            seed=reading.seed("rules"),
        )
        table = pd.concat({name: found.shares for name, found in types.items()}, names=["space"])
        summary = {name: found.shares["share"].to_dict() for name, found in types.items()}
        return Written(
            {"type_shares": table, "type_rules": rules.scores}, {"types": plot_component_types(types)}, summary
        )

    if reading.asked.dimensions is None:
        return []
    return [_of_ratings(reading, "types", run, ("type_shares", "type_rules"), ("types",))]


def _categories(reading: Reading) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_category_structure, plot_silhouettes

        found = reading.category_structure(progress)
        figures = {"categories": plot_category_structure(found), "silhouettes": plot_silhouettes(found)}
        return Written(
            category_tables(found), figures, {name: category_summary(found, name) for name in reading.spaces}
        )

    return [_of_ratings(reading, "categories", run, CATEGORY_TABLES, ("categories", "silhouettes"))]


def _clusters(reading: Reading) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_upset

        # The communities that `run` finds; matching looks at neither their chance nor their stability.
        graphs = {
            name: affective_graph(space, n_permutations=1, n_subsamples=2, seed=reading.seed("graph", name))
            for name, space in reading.spaces.items()
        }
        found = match_clusters(
            graphs,
            reading.ratings,
            n_permutations=reading.asked.n_permutations,
            seed=reading.seed("clusters"),
            progress=progress,
        )
        n_spaces = found.membership.sum(axis=1)
        return Written(
            {"cluster_matches": found.matches, "shared_clusters": found.clusters},
            {"clusters": plot_upset(found)},
            {
                "n_clusters": len(found.clusters),
                "in_all_spaces": int((n_spaces == len(graphs)).sum()),
                "in_one_space": int((n_spaces == 1).sum()),
            },
        )

    return [_of_ratings(reading, "clusters", run, ("cluster_matches", "shared_clusters"), ("clusters",))]


def _prediction(reading: Reading) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_predictions

        found = reading.predictions(progress)
        lacking = {name: [str(i) for i in found.lacking.index[found.lacking[name]]] for name in found.lacking}
        return Written(
            {"prediction": found.table, "lacking": found.lacking.rename_axis("rating")},
            {"prediction": plot_predictions(found)},
            {"reference": found.reference, "margin": found.margin, "lacking": lacking},
        )

    return [_of_ratings(reading, "prediction", run, ("prediction", "lacking"), ("prediction",))]


def _profiles(reading: Reading) -> list[Stage]:
    """For the strongest stimuli of the reference, where the next space sees something else in them."""
    first = reading.reference
    second = next(name for name in reading.spaces if name != first)

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rose_difference

        strongest = top_stimuli(reading.spaces[first])
        shown = leading_stimuli(strongest, _ROSES)
        found = compare_profiles(
            {name: reading.spaces[name] for name in (first, second)},
            reading.ratings[str(reading.asked.categories)],
            shown,
            seed=reading.seed("profiles"),
            progress=progress,
        )
        return Written({"profile_difference": found.difference}, {"roses": plot_rose_difference(found)}, {})

    return [_of_ratings(reading, "profiles", run, ("profile_difference",), ("roses",))]


def _of_ratings(
    reading: Reading,
    name: str,
    run: Callable[[Progress], Written],
    tables: tuple[str, ...],
    figures: tuple[str, ...],
) -> Stage:
    return reading_stage(
        reading, name, FOLDER, run, tables=tables, figures=figures, files=reading.files(*reading.spaces),
        parameters={"reference": reading.reference},
    )  # fmt: skip


#: Comparisons, those that take longest first, so that no processor waits for one at the end.
TOGETHER_ANALYSES: dict[str, Callable[[Reading], list[Stage]]] = {
    "categories": _categories,
    "clusters": _clusters,
    "types": _types,
    "prediction": _prediction,
    "rsa": _rsa,
    "choices": _choices,
    "geometry": _geometry,
    "shares": _shares,
    "profiles": _profiles,
}
NEED_RATINGS = frozenset(TOGETHER_ANALYSES) - {"rsa", "geometry", "choices"}
