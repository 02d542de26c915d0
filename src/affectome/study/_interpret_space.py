"""The stages that interpret one space: each an analysis with its tables, its figures and what the summary says."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pandas as pd

from affectome._progress import Progress
from affectome._seeds import named_seed
from affectome.errors import InputError
from affectome.interpretation import (
    CategoryStructure,
    ComponentNames,
    TopStimuli,
    adopt_names,
    affective_graph,
    category_gradients,
    category_prototypes,
    cluster_profiles,
    correlate_components,
    describe_components,
    name_components,
    naming_prompts,
    project_many,
    project_umap,
    stimulus_profiles,
    top_categories,
    top_stimuli,
    typical_captions,
)
from affectome.study._engine import Stage
from affectome.study._gallery import card_files, space_gallery, with_clouds, word_weights
from affectome.study._interpretation import Reading, reading_stage
from affectome.study._written import Written

__all__ = ["SPACE_ANALYSES", "space_stages"]

_ROSES = 6  # stimuli
_WORDS = 40  # of a component
_MONTAGE = 5  # components of a page with pictures
_TOLD = 3  # stimuli of a component where captions are all there is to show


def space_stages(reading: Reading, name: str) -> list[Stage]:
    """The analyses of one space that its files allow and that were asked for, names first."""
    wanted = reading.asked.wanted(SPACE_ANALYSES)
    if reading.asked.dimensions is None and reading.asked.only == ("types",):
        raise InputError("types need two families of ratings", remedy="give a second --ratings")
    return [stage for analysis in wanted for stage in SPACE_ANALYSES[analysis](reading, name)]


def _names(reading: Reading, space: str) -> list[Stage]:
    asked = reading.asked
    with_words = reading.captioned()

    def run(progress: Progress) -> Written:
        named = name_components(
            reading.spaces[space],
            reading.ratings,
            terms=reading.terms,
            captions=reading.captions() if with_words else None,
            circular=reading.circular(space),
            bipolar=[] if asked.dimensions is None else [asked.dimensions],
            **reading.drawn("names", space),
            progress=progress,
        )
        table, unanswered = named.table, 0
        if asked.judge is not None:
            adopted, unanswered = _ask_for_names(named, reading, space, progress)
            table = table.assign(**{str(key): adopted[key] for key in adopted})
        words = pd.DataFrame() if named.words is None else named.words.table(_WORDS)
        return Written(
            {"names": table, "evidence": named.evidence_table, **({"words": words} if with_words else {})},
            {},
            {
                "names": {str(key): str(value) for key, value in table["name"].items()},
                "unanswered": unanswered,
                "unnamed": int((named.table["basis"] == "none").sum()),
                "ambiguous": int(named.table["ambiguous"].sum()),
                "median_stability": float(named.table["stability"].median()),
            },
        )

    return [
        reading_stage(
            reading, "names", space, run, tables=("names", "evidence", *(["words"] if with_words else [])),
            files=reading.files(space, terms=True, stimuli=True, judge=True),
            complete=lambda summary: not summary["unanswered"],
        )
    ]  # fmt: skip


def _ask_for_names(named: ComponentNames, reading: Reading, space: str, progress: Progress) -> tuple[pd.DataFrame, int]:
    """Names that a chat model gives from the same evidence, beside those made by rule; and how many it did not give."""
    from affectome.judges import write_texts

    judge = reading.asked.naming_judge(reading.stimuli)
    captions = None if reading.stimuli is None else typical_captions(reading.spaces[space], reading.captions())
    prompts = naming_prompts(named, captions)
    replies = write_texts(judge, prompts, progress=progress)
    texts = {key: reply.text or None for key, reply in replies.items()}
    unanswered = sum(text is None for text in texts.values())
    return adopt_names(named, prompts, texts, model=judge.model), unanswered


def _correlations(reading: Reading, space: str) -> list[Stage]:
    asked = reading.asked

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rating_correlations

        result = correlate_components(
            reading.spaces[space], reading.ratings, level=asked.level, circular=reading.circular(space)
        )
        shares, facts = reading.shares(space, progress), reading.rating_map(space, progress)
        figure = plot_rating_correlations(
            result, names=reading.component_names(space), title=f"{space}: components and ratings"
        )
        return Written(
            {
                "components": describe_components(reading.spaces[space]),
                "correlations": result.table(),
                "shares_above": shares.table,
                "rating_map": facts.families,
                "spread": facts.spread,
            },
            {"correlations": figure},
            {
                "n_components": len(result.r),
                "n_stimuli": result.n_stimuli,
                "circular": list(result.circular),
                "diagonal": facts.families["diagonal"].to_dict(),
                "components_in_variance": float(facts.spread["value"]["components_in_variance"]),
                "top_ratings": {
                    name: [{"rating": rating, "r": r} for rating, r in top]
                    for name, top in result.top_ratings().items()
                },
            },
        )

    return [
        reading_stage(
            reading, "correlations", space, run,
            tables=("components", "correlations", "shares_above", "rating_map", "spread"), figures=("correlations",),
            files=reading.files(space), reads=reading.reads_names(space),
        )
    ]  # fmt: skip


def _types(reading: Reading, space: str) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_types, plot_variance_partition

        result = reading.types(space, progress)
        names = reading.component_names(space)
        return Written(
            {
                "types": result.components,
                "type_shares": result.shares,
                "type_shares_by_minimum": result.by_minimum,
                "type_shares_by_tau": result.by_tau,
            },
            {
                "types": plot_component_types({space: result}),
                "variance_partition": plot_variance_partition(result, names=names, title=space),
            },
            {"shares": result.shares["share"].to_dict(), "minimum": result.minimum},
        )

    if reading.asked.dimensions is None:
        return []
    return [
        reading_stage(
            reading, "types", space, run,
            tables=("types", "type_shares", "type_shares_by_minimum", "type_shares_by_tau"),
            figures=("types", "variance_partition"), files=reading.files(space), reads=reading.reads_names(space),
        )
    ]  # fmt: skip


def _prediction(reading: Reading, space: str) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_predictions

        found = reading.predictions(progress)
        result = found.predictions[space]
        return Written(
            {"predicted_ratings": result.ratings, "predicted_components": result.components},
            {"prediction": plot_predictions(found, title=space)},
            {
                "median_r_of_ratings": float(result.ratings["r"].median()),
                "median_r2_of_components": float(result.components["r2"].median()),
            },
        )

    return [
        reading_stage(
            reading, "prediction", space, run, tables=("predicted_ratings", "predicted_components"),
            figures=("prediction",), files=reading.files(space),
        )
    ]  # fmt: skip


def _categories(reading: Reading, space: str) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_category_structure, plot_confusion, plot_silhouettes

        found = reading.category_structure(progress)
        centroid = found.details[space, "all", "centroid"]
        figures = {
            "categories": plot_category_structure(found),
            "confusion": plot_confusion(centroid, title=space),
            "silhouettes": plot_silhouettes(found, title=space),
        }
        summary = {**category_summary(found, space), "n_tied": found.labels.n_tied, "empty": list(found.labels.empty)}
        tables = {**category_tables(found), "category_confusion": centroid.confusion.rename_axis("category")}
        return Written(tables, figures, summary)

    return [
        reading_stage(
            reading, "categories", space, run, tables=(*CATEGORY_TABLES, "category_confusion"),
            figures=("categories", "confusion", "silhouettes"), files=reading.files(space),
        )
    ]  # fmt: skip


CATEGORY_TABLES = ("category_accuracy", "category_shuffled", "category_ties", "silhouettes", "category_classes")


def category_tables(found: CategoryStructure) -> dict[str, pd.DataFrame]:
    """The tables of a category structure by their names on disk."""
    frames = (found.scores, found.baseline, found.ties, found.silhouettes, found.classes)
    return dict(zip(CATEGORY_TABLES, frames, strict=True))


def category_summary(found: CategoryStructure, space: str) -> dict[str, Any]:
    """The headline of one space: nearest centroid over all categories and over the commonest."""
    scores = {
        categories: score.headline() for (name, categories, method), score in found.details.items()
        if name == space and method == "centroid"
    }  # fmt: skip
    circular = bool(found.scores["circular"][found.scores.index.get_level_values("space") == space].any())
    silhouette = float(found.silhouettes["value"][space, "plain"])
    return {"circular": circular, "top": found.top, "silhouette": silhouette, "centroid": scores}


def _maps(reading: Reading, space: str) -> list[Stage]:
    with_umap = find_spec("umap") is not None

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_map, plot_maps

        points, ratings = reading.spaces[space], reading.ratings[str(reading.asked.categories)]
        # Ties as in the other analyses of categories.
        labels = top_categories(ratings, seed=named_seed(reading.seed("categories"), "ties")).labels
        drawn = project_many({space: points}, seed=reading.seed("maps", space), progress=progress)
        prototypes = category_prototypes(points, labels)
        maps = {f"t-SNE {perplexity:g}": found for (_, perplexity), found in drawn.items()}
        if with_umap:
            maps["UMAP"] = project_umap(points, seed=reading.seed("maps", space))
        main = drawn[space, 30]
        facts = pd.DataFrame(
            {name: {"trustworthiness": m.trustworthiness, "continuity": m.continuity} for name, m in maps.items()}
        ).T.rename_axis("map")
        figures = {
            "map": plot_map(main, labels, prototypes=prototypes, title=space),
            "maps": plot_maps(list(maps.values()), labels, prototypes=prototypes, title=space),
        }
        coordinates = pd.concat({name: found.coordinates for name, found in maps.items()}, names=["map", "id"])
        return Written(
            {"maps": coordinates, "map_quality": facts, "prototypes": prototypes},
            figures,
            {"quality": facts.to_dict("index")},
        )

    return [
        reading_stage(
            reading, "maps", space, run, tables=("maps", "map_quality", "prototypes"), figures=("map", "maps"),
            files=reading.files(space), parameters={"umap": with_umap},
        )
    ]  # fmt: skip


def _graph(reading: Reading, space: str) -> list[Stage]:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_affective_graph

        graph = affective_graph(
            reading.spaces[space],
            n_permutations=reading.asked.n_permutations,
            names=reading.component_names(space) or None,
            seed=reading.seed("graph", space),
            progress=progress,
        )
        profiles = cluster_profiles(graph, reading.ratings)
        figure = plot_affective_graph(graph, profiles.names, title=space)
        tables = {
            "graph_edges": graph.edges,
            "graph_components": graph.components,
            "clusters": graph.clusters.assign(name=profiles.names),
            "graph_chance": graph.chance,
            "graph_sensitivity": graph.sensitivity,
            "cluster_profiles": profiles.profiles,
        }
        summary = {
            "n_edges": len(graph.edges),
            "n_clusters": len(graph.clusters),
            "modularity": graph.modularity,
            "seed_agreement": graph.seed_agreement,
            "subsample_agreement": graph.subsample_agreement,
            "clusters": {str(key): str(value) for key, value in profiles.names.items()},
        }
        return Written(tables, {"graph": figure}, summary)

    tables = ("graph_edges", "graph_components", "clusters", "graph_chance", "graph_sensitivity", "cluster_profiles")
    return [
        reading_stage(
            reading, "graph", space, run, tables=tables, figures=("graph",), files=reading.files(space),
            reads=reading.reads_names(space),
        )
    ]  # fmt: skip


def _gradients(reading: Reading, space: str) -> list[Stage]:
    asked = reading.asked

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_gradient_lines, plot_gradients

        family = str(asked.categories)
        result = category_gradients(
            reading.spaces[space],
            {family: reading.ratings[family]},
            family=family,
            **reading.drawn("categories"),  # the same ties as in the other analyses of categories
            progress=progress,
        )
        scalars = {name: value for name, value in vars(result).items() if isinstance(value, float)}
        return Written(
            {"gradient_pairs": result.pairs, "gradient_directions": result.ordered},
            {"gradients": plot_gradients(result, title=space), "gradient_lines": plot_gradient_lines(result)},
            {**scalars, "verdicts": result.verdicts(), "circular": family in reading.circular(space)},
        )

    return [
        reading_stage(
            reading, "gradients", space, run,
            tables=("gradient_pairs", "gradient_directions"), figures=("gradients", "gradient_lines"),
            files=reading.files(space),
        )
    ]  # fmt: skip


def _stimuli(reading: Reading, space: str) -> list[Stage]:
    """The strongest stimuli: roses, and with captions or clips montages, word clouds and the gallery."""
    asked, shown, components = reading.asked, reading.stimuli, list(map(str, reading.spaces[space].columns))
    clips = shown is not None and bool(shown.videos)
    captions = {} if shown is None else reading.captions()
    clouds = with_clouds() and bool(reading.reads_names(space))
    pages = {"top_stimuli": components} if any(captions.values()) else {}
    if clips:  # pictures take room: a few components a page
        parts = range(0, len(components), _MONTAGE)
        pages = {f"top_stimuli_{k // _MONTAGE + 1:02d}": components[k : k + _MONTAGE] for k in parts}
    figures = ["roses", *pages, *(["word_clouds"] if clouds else [])]

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rose, plot_top_stimuli, plot_word_clouds, system_colours

        points, names, colour = reading.spaces[space], reading.component_names(space), system_colours([space])[space]
        strongest = top_stimuli(points, captions, videos=None if shown is None else shown.videos)
        pictures = reading.thumbnails(strongest.ids(), progress)
        profiles = stimulus_profiles(points, leading_stimuli(strongest, _ROSES), names=names)
        drawn = {"roses": plot_rose(profiles, colour=colour, title=space)}
        told, columns = (strongest, None) if clips else (top_stimuli(points, captions, n=_TOLD), 2)
        for page, some in pages.items():
            drawn[page] = plot_top_stimuli(
                told, pictures, components=some, names=names, colour=colour, title=space, columns=columns
            )
        if clouds:
            drawn["word_clouds"] = plot_word_clouds(
                word_weights(reading, space), names=names, colour=colour, title=space
            )
        space_gallery(reading, space, strongest, pictures)
        return Written({"top_stimuli": strongest.table}, drawn, {"gallery": f"{space}/gallery.html"})

    return [
        reading_stage(
            reading, "stimuli", space, run, tables=("top_stimuli",), figures=figures, others=("gallery.html",),
            files=reading.files(space, stimuli=True), reads=card_files(reading, space),
            parameters={"blur": asked.blur, "clouds": clouds, "clips": reading.clips()},
        )
    ]  # fmt: skip


def leading_stimuli(strongest: TopStimuli, n: int) -> list[str]:
    """The strongest stimulus of each of the first n components that have one, each once."""
    first = strongest.table.groupby(level="component", sort=False)["id"].first()
    if first.empty:
        raise InputError("no component has a positive weight", remedy="give spaces with weights above 0")
    return [str(i) for i in dict.fromkeys(first.iloc[:n])]


#: What can be done for one space, in the order in which it is done.
SPACE_ANALYSES: dict[str, Callable[[Reading, str], list[Stage]]] = {
    "names": _names,
    "correlations": _correlations,
    "types": _types,
    "prediction": _prediction,
    "categories": _categories,
    "maps": _maps,
    "graph": _graph,
    "gradients": _gradients,
    "stimuli": _stimuli,
}
