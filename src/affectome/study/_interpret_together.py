"""The stages that hold spaces against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from affectome._progress import Progress
from affectome.comparison import SpaceComparison, compare_choices, compare_geometry, compare_rsa, match_clusters
from affectome.errors import InputError
from affectome.interpretation import (
    affective_graph,
    category_structure,
    compare_profiles,
    describe_components,
    score_type_rules,
    top_stimuli,
)
from affectome.spaces import standardise
from affectome.study._engine import Stage
from affectome.study._interpret_space import (
    CATEGORY_SETTINGS,
    CATEGORY_TABLES,
    category_summary,
    category_tables,
    leading_stimuli,
    type_summary,
)
from affectome.study._interpretation import DRAWN, FOLDER, FOUND, Interpretation, Reading, reading_stage
from affectome.study._written import Written

__all__ = ["together_analyses", "together_stages"]

_ROSES = 3


def together_analyses(asked: Interpretation) -> list[str]:
    """The comparisons that were asked for, as far as there are ratings for them; the longest begin first."""
    if len(asked.spaces) < 2:
        raise InputError("there is one space", remedy="name at least two to compare")
    return asked.wanted(TOGETHER_ANALYSES)


def together_stages(reading: Reading) -> list[Stage]:
    """The stages of these comparisons."""
    return [TOGETHER_ANALYSES[name](reading) for name in together_analyses(reading.asked)]


def _components(reading: Reading) -> Stage:
    """How weights are spread over components, one line per space."""

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_sizes

        sizes = {name: describe_components(space) for name, space in reading.spaces.items()}
        table = pd.concat(sizes, names=["space"])
        summary = {name: {"n_components": len(one)} for name, one in sizes.items()}
        return Written({"components": table}, {"components": plot_component_sizes(sizes, reading.labels())}, summary)

    return _stage(reading, "components", run, ("components",), ("components",), (), ())


def _agreement_stage(reading: Reading, name: str, compute: Callable[[Progress], SpaceComparison], matrix: str) -> Stage:
    """A stage about pairs of spaces: table, differences, the matrix of one statistic and all of them as intervals."""

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_agreements, plot_comparison_matrix

        result, labels = compute(progress), reading.labels()
        figures = {
            f"{name}_matrix": plot_comparison_matrix(result, matrix, labels, alpha=reading.asked.alpha),
            name: plot_agreements(result, matrix, labels),
        }
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

    return _stage(reading, name, run, (name, f"{name}_differences"), (f"{name}_matrix", name), FOUND, (),
                  {"metrics": reading.metrics()})  # fmt: skip


def _rsa(reading: Reading) -> Stage:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_rsa(reading.spaces, metric=reading.metrics(), **reading.drawn("rsa"), progress=progress)

    return _agreement_stage(reading, "rsa", compute, "pearson")


def _geometry(reading: Reading) -> Stage:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_geometry(reading.spaces, **reading.drawn("geometry"), progress=progress)

    return _agreement_stage(reading, "geometry", compute, "cka")


def _choices(reading: Reading) -> Stage:
    def compute(progress: Progress) -> SpaceComparison:
        return compare_choices(reading.spaces, metric=reading.metrics(), **reading.drawn("choices"), progress=progress)

    return _agreement_stage(reading, "choices", compute, "agreement")


def _shares(reading: Reading) -> Stage:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rating_maps, plot_shares_above

        shares = {name: reading.shares(name, progress) for name in reading.spaces}
        maps = {name: reading.rating_map(name, progress) for name in reading.spaces}
        tables = {
            "shares_above": pd.concat({name: found.table for name, found in shares.items()}, names=["space"]),
            "rating_maps": pd.concat({name: found.families for name, found in maps.items()}, names=["space"]),
            "spread": pd.concat({name: found.spread for name, found in maps.items()}, names=["space"]),
        }
        labels = reading.labels()
        figures = {
            "shares_above": plot_shares_above(shares, labels),
            "rating_maps": plot_rating_maps(maps, labels),
        }
        summary = {
            name: {
                "diagonal": found.families["diagonal"].to_dict(),
                "ratings_followed": _with_interval(found.families, "ratings_followed"),
                "components_in_variance": found.spread.loc["components_in_variance"].to_dict(),
            }
            for name, found in maps.items()
        }
        return Written(tables, figures, summary)

    tables = ("shares_above", "rating_maps", "spread")
    return _stage(reading, "shares", run, tables, ("shares_above", "rating_maps"), ("ratings", *DRAWN), reading.ratings)


def _with_interval(families: pd.DataFrame, column: str) -> Mapping[Any, Mapping[Any, float]]:
    """A measure of every family with its interval."""
    columns = {column: "value", f"{column}_low": "ci_low", f"{column}_high": "ci_high"}
    return families[list(columns)].rename(columns=columns).to_dict("index")


def _types(reading: Reading) -> Stage:
    asked = reading.asked

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_types

        types = {name: reading.types(name, progress) for name in reading.spaces}
        rules = score_type_rules(
            reading.ratings,
            categories=reading.categories,
            dimensions=reading.dimensions,
            tau=asked.tau,
            alpha=asked.alpha,
            n_permutations=asked.n_permutations,
            seed=reading.seed("rules"),
        )
        tables = {
            "type_shares": pd.concat({name: found.shares for name, found in types.items()}, names=["space"]),
            "type_shares_by_tau": pd.concat({name: found.by_tau for name, found in types.items()}, names=["space"]),
            "type_rules": rules.scores,
        }
        return Written(
            tables,
            {"types": plot_component_types(types, reading.labels())},
            {name: type_summary(found) for name, found in types.items()},
        )

    tables = ("type_shares", "type_shares_by_tau", "type_rules")
    families = (reading.categories, reading.dimensions)
    return _stage(reading, "types", run, tables, ("types",), ("categories", "dimensions", "tau", *FOUND), families)


def _categories(reading: Reading) -> Stage:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_category_structure, plot_silhouettes

        found, labels = reading.category_structure(progress), reading.labels()
        figures = {
            "categories": plot_category_structure(found, labels),
            "silhouettes": plot_silhouettes(found, labels),
        }
        return Written(
            category_tables(found), figures, {name: category_summary(found, name) for name in reading.spaces}
        )

    return _stage(reading, "categories", run, CATEGORY_TABLES, ("categories", "silhouettes"), CATEGORY_SETTINGS,
                  (reading.categories,))  # fmt: skip


def _ratings(reading: Reading) -> Stage:
    """The ratings themselves by nearest centroid: what the procedure gives where nothing was learned.

    Features of different units are brought onto one scale; the family that the labels are made from stays as it is.
    """
    family = reading.categories

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_category_structure

        spaces = {
            name: ratings if name == family else standardise(ratings, "zscore")
            for name, ratings in reading.ratings.items()
        }
        found = category_structure(
            spaces,
            {family: reading.ratings[family]},
            family=family,
            methods=("centroid",),
            circular=(family,),
            **reading.classified(),
            **reading.drawn("categories"),
            progress=progress,
        )
        summary = {name: category_summary(found, name) for name in spaces}
        shuffled = found.baseline.to_dict("index")
        summary[family]["column_shuffled"] = {
            average: shuffled["all", "centroid", average, found.top] for average in ("plain", "balanced")
        }
        tables = {"rating_accuracy": found.scores, "rating_shuffled": found.baseline}
        return Written(tables, {"rating_accuracy": plot_category_structure(found)}, summary)

    return _stage(reading, "ratings", run, ("rating_accuracy", "rating_shuffled"), ("rating_accuracy",),
                  ("ratings", *CATEGORY_SETTINGS), reading.ratings)  # fmt: skip


def _clusters(reading: Reading) -> Stage:
    asked = reading.asked

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
            n_permutations=asked.n_permutations,
            alpha=asked.alpha,
            seed=reading.seed("clusters"),
            progress=progress,
        )
        n_spaces = found.membership.sum(axis=1)
        return Written(
            {"cluster_matches": found.matches, "shared_clusters": found.clusters},
            {"clusters": plot_upset(found, reading.labels())},
            {
                "n_clusters": len(found.clusters),
                "in_all_spaces": int((n_spaces == len(graphs)).sum()),
                "in_one_space": int((n_spaces == 1).sum()),
            },
        )

    return _stage(reading, "clusters", run, ("cluster_matches", "shared_clusters"), ("clusters",),
                  ("ratings", "n_permutations", "alpha"), reading.ratings)  # fmt: skip


def _prediction(reading: Reading) -> Stage:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_predictions

        found = reading.predictions(progress)
        lacking = {name: [str(i) for i in found.lacking.index[found.lacking[name]]] for name in found.lacking}
        return Written(
            {"prediction": found.table, "lacking": found.lacking.rename_axis("rating")},
            {"prediction": plot_predictions(found, reading.labels())},
            {"reference": found.reference, "margin": found.margin, "lacking": lacking},
        )

    return _stage(reading, "prediction", run, ("prediction", "lacking"), ("prediction",),
                  ("ratings", "reference", *FOUND), reading.ratings)  # fmt: skip


def _profiles(reading: Reading) -> Stage:
    """For the strongest stimuli of the reference, where the next space sees something else in them."""
    first = reading.reference
    second = next(name for name in reading.spaces if name != first)

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rose_difference

        strongest = top_stimuli(reading.spaces[first])
        shown = leading_stimuli(strongest, _ROSES)
        found = compare_profiles(
            {name: reading.spaces[name] for name in (first, second)},
            reading.ratings[reading.categories],
            shown,
            seed=reading.seed("profiles"),
            progress=progress,
        )
        figure = plot_rose_difference(found, labels=reading.labels())
        return Written({"profile_difference": found.difference}, {"roses": figure}, {"systems": [first, second]})

    return _stage(reading, "profiles", run, ("profile_difference",), ("roses",), ("reference", "categories"),
                  (reading.categories,))  # fmt: skip


def _stage(
    reading: Reading,
    name: str,
    run: Callable[[Progress], Written],
    tables: tuple[str, ...],
    figures: tuple[str, ...],
    uses: Sequence[str],
    ratings: Iterable[str],
    parameters: Mapping[str, Any] | None = None,
) -> Stage:
    """A comparison of all spaces, which reads these families of ratings."""
    return reading_stage(
        reading, name, FOLDER, run, uses=uses, tables=tables, figures=figures,
        files=reading.files(*reading.spaces, ratings=list(ratings)), parameters=parameters,
    )  # fmt: skip


#: Comparisons, those that take longest first, so that no processor waits for one at the end.
TOGETHER_ANALYSES: dict[str, Callable[[Reading], Stage]] = {
    "categories": _categories,
    "clusters": _clusters,
    "types": _types,
    "prediction": _prediction,
    "rsa": _rsa,
    "choices": _choices,
    "geometry": _geometry,
    "ratings": _ratings,
    "shares": _shares,
    "profiles": _profiles,
    "components": _components,
}
