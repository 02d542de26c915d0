"""The stages that say what the components of each system mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from affectome._files import write_json
from affectome._progress import Progress
from affectome._tables import write_csv
from affectome.interpretation import (
    CategoryLabels,
    NearestCentroid,
    classify_categories,
    column_shuffled,
    correlate_components,
    describe_components,
    project_tsne,
    top_categories,
    typical_captions,
)
from affectome.spaces import standardise
from affectome.stimuli import HORIKAWA_DUPLICATES, N_VIDEOS, video_id
from affectome.study._engine import Stage
from affectome.study._stages import STIMULI, Plan

__all__ = ["meaning_stages"]


def meaning_stages(plan: Plan) -> list[Stage]:
    """Sizes, captions, ratings, categories and maps, as far as the study asks for them."""
    table = plan.study.interpretation
    stages: list[Stage] = []
    for name in plan.study.systems:
        stages.append(_components(plan, name))
        if table.ratings:
            stages.append(_ratings(plan, name))
        if table.categories is not None:
            stages += [_categories(plan, name), _map(plan, name)]
    if table.categories is not None:
        stages.append(_rating_spaces(plan))
    return stages


def _components(plan: Plan, name: str) -> Stage:
    n = plan.study.interpretation.captions
    outputs = (f"interpretation/{name}_components.csv", f"interpretation/{name}_captions.csv")

    def run(progress: Progress) -> Mapping[str, Any]:
        space = plan.space(name)
        sizes = describe_components(space)
        shown = typical_captions(space, plan.stimuli().captions, n=n)
        write_csv(plan.results / outputs[0], sizes)
        rows = [(component, *vars(item).values()) for component, items in shown.items() for item in items]
        write_csv(
            plan.results / outputs[1], pd.DataFrame(rows, columns=["component", "id", "weight", "caption"]), index=False
        )
        return {"sizes": sizes.round(6).reset_index().to_dict("records"), "mean_hoyer": float(sizes["hoyer"].mean())}

    return Stage(f"components/{name}", run, outputs, {"n": n}, reads=(STIMULI, f"spaces/{name}.parquet"))


def _ratings(plan: Plan, name: str) -> Stage:
    table, label = plan.study.interpretation, plan.study.label(name)
    circular = plan.judged_space(name) in table.ratings
    outputs = (f"interpretation/{name}_ratings.csv", f"figures/{name}_ratings.png", f"figures/{name}_ratings.svg")

    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.plotting import plot_rating_correlations, save_figure

        ratings = {key: plan.space(key) for key in table.ratings}
        result = correlate_components(plan.space(name), ratings)
        tidy = pd.concat({"r": result.r.stack(), "p": result.p.stack(), "q": result.q.stack()}, axis=1)
        tidy.index.names = ["component", "rating"]
        tidy.insert(0, "family", [result.family[rating] for _, rating in tidy.index])
        write_csv(plan.results / outputs[0], tidy)
        figure = plot_rating_correlations(result, title=f"{label}: components and ratings", alpha=table.alpha)
        save_figure(figure, plan.results / "figures", f"{name}_ratings")
        components = [
            {
                "name": component,
                "top_ratings": [
                    {"rating": rating, "r": round(r, 4), "q": float(result.q[rating][component])} for rating, r in top
                ],
            }
            for component, top in result.top_ratings(3, table.alpha).items()
        ]
        return {"judged_from_these_ratings": circular, "components": components}

    parameters = {"ratings": table.ratings, "alpha": table.alpha, "label": label, "circular": circular}
    reads = tuple(f"spaces/{key}.parquet" for key in (name, *table.ratings))
    return Stage(f"interpretation/{name}", run, outputs, parameters, reads=reads)


def _labels(plan: Plan) -> CategoryLabels:
    table = plan.study.interpretation
    assert table.categories is not None
    return top_categories(plan.space(table.categories), ties=table.ties, seed=plan.seed("ties"))


def _left_out(plan: Plan) -> Sequence[str]:
    """Clips that the scanner study found to be duplicates; known for the one dataset that has them."""
    if not plan.study.interpretation.drop_duplicates or plan.study.stimuli.dataset != "cowen-keltner-2017":
        return ()
    return [video_id(number) for number in HORIKAWA_DUPLICATES if number <= N_VIDEOS]


def _category_parameters(plan: Plan) -> dict[str, Any]:
    keys = {"categories", "ties", "top", "most_common", "drop_duplicates", "permutations"}
    return {
        **plan.study.interpretation.model_dump(include=keys),
        "seed": plan.seed("categories"),
        "ties_seed": plan.seed("ties"),
    }


def _as_summary(result: NearestCentroid) -> dict[str, Any]:
    facts = {key: value for key, value in vars(result).items() if key != "classes"}
    classes = result.classes.reset_index()
    return {**facts, "classes": [{**row, "value": round(row["value"], 4)} for row in classes.to_dict("records")]}


def _classify_twice(plan: Plan, space: pd.DataFrame, labels: CategoryLabels) -> dict[str, Any]:
    """Over all categories, and over the commonest ones alone."""
    table = plan.study.interpretation

    def classify(most_common: int | None) -> dict[str, Any]:
        result = classify_categories(
            space,
            labels.labels,
            top=table.top,
            most_common=most_common,
            exclude=_left_out(plan),
            n_permutations=table.permutations,
            seed=plan.seed("categories"),
        )
        return _as_summary(result)

    return {
        **classify(None),
        "most_common": classify(table.most_common),
        "ties": labels.ties,
        "n_tied": labels.n_tied,
        "empty_categories": list(labels.empty),
    }


def _categories(plan: Plan, name: str) -> Stage:
    path = f"interpretation/{name}_categories.json"
    circular = plan.judged_space(name) == plan.study.interpretation.categories

    def run(progress: Progress) -> Mapping[str, Any]:
        summary = {**_classify_twice(plan, plan.space(name), _labels(plan)), "circular": circular}
        write_json(plan.results / path, summary)
        return summary

    parameters = {**_category_parameters(plan), "circular": circular}
    reads = (f"spaces/{name}.parquet", f"spaces/{plan.study.interpretation.categories}.parquet")
    return Stage(f"categories/{name}", run, (path,), parameters, reads=reads)


def _rating_spaces(plan: Plan) -> Stage:
    """The same classification of the ratings themselves: a check of the loader and of the procedure."""
    table = plan.study.interpretation
    names = list(dict.fromkeys([*table.ratings, str(table.categories)]))
    path = "interpretation/rating_spaces.json"

    def run(progress: Progress) -> Mapping[str, Any]:
        labels, found = _labels(plan), {}
        for name in names:
            space = plan.space(name)
            if name == table.categories:
                shuffled = column_shuffled(space, seed=plan.seed("shuffle"))
                again = top_categories(shuffled, ties=table.ties, seed=plan.seed("ties"))
                found[name] = {
                    **_classify_twice(plan, space, labels),
                    "circular": True,
                    "column_shuffled": _classify_twice(plan, shuffled, again),
                }
            else:  # features of different units are brought onto one scale
                found[name] = {**_classify_twice(plan, standardise(space, "zscore"), labels), "circular": False}
        write_json(plan.results / path, found)
        return found

    parameters = {**_category_parameters(plan), "names": names, "shuffle": plan.seed("shuffle")}
    return Stage("rating_spaces", run, (path,), parameters, reads=tuple(f"spaces/{name}.parquet" for name in names))


def _map(plan: Plan, name: str) -> Stage:
    table, label = plan.study.interpretation, plan.study.label(name)
    outputs = (f"interpretation/{name}_map.csv", f"figures/{name}_map.png", f"figures/{name}_map.svg")
    seed = plan.seed("map", name)

    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.plotting import plot_map, save_figure

        projection = project_tsne(plan.space(name), perplexity=table.perplexity, seed=seed)
        labels = _labels(plan).labels
        write_csv(plan.results / outputs[0], projection.coordinates.join(labels))
        save_figure(
            plot_map(projection, labels, title=f"{label}: t-SNE by category"), plan.results / "figures", f"{name}_map"
        )
        return {key: value for key, value in vars(projection).items() if key != "coordinates"}

    settings = table.model_dump(include={"categories", "ties", "perplexity"})
    parameters = {**settings, "label": label, "seed": seed, "ties_seed": plan.seed("ties")}
    reads = (f"spaces/{name}.parquet", f"spaces/{table.categories}.parquet")
    return Stage(f"map/{name}", run, outputs, parameters, reads=reads)
