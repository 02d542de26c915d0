"""The stages that interpret one space: each an analysis with its tables, its figures and what the summary says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from affectome._progress import Progress
from affectome.errors import InputError
from affectome.interpretation import (
    CategoryStructure,
    ComponentNames,
    ComponentTypes,
    TopStimuli,
    adopt_names,
    category_gradients,
    correlate_components,
    name_components,
    naming_prompts,
    stimulus_profiles,
    top_stimuli,
    typical_captions,
)
from affectome.study._engine import Stage
from affectome.study._gallery import card_files, space_gallery, with_clouds, word_weights
from affectome.study._interpret_shape import components, graph, maps
from affectome.study._interpretation import DRAWN, FOUND, Reading, reading_stage
from affectome.study._written import Written

__all__ = [
    "CATEGORY_SETTINGS",
    "CATEGORY_TABLES",
    "SPACE_ANALYSES",
    "category_summary",
    "category_tables",
    "leading_stimuli",
    "space_stages",
    "type_summary",
]

_ROSES = 6  # stimuli
_WORDS = 40  # of a component
_MONTAGE = 5  # components of a page with pictures
_TOLD = 3  # stimuli of a component where captions are all there is to show


def space_stages(reading: Reading, name: str) -> list[Stage]:
    """The analyses of one space that its files allow and that were asked for, names first."""
    return [SPACE_ANALYSES[analysis](reading, name) for analysis in reading.asked.wanted(SPACE_ANALYSES)]


def _names(reading: Reading, space: str) -> Stage:
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
            alpha=asked.alpha,
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

    return reading_stage(
        reading, "names", space, run, uses=("ratings", "dimensions", "circular", *FOUND),
        tables=("names", "evidence", *(["words"] if with_words else [])),
        files=reading.files(space, ratings=list(reading.ratings), terms=True, stimuli=True, judge=True),
        complete=lambda summary: not summary["unanswered"],
    )  # fmt: skip


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


def _correlations(reading: Reading, space: str) -> Stage:
    asked = reading.asked

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_rating_correlations

        result = correlate_components(
            reading.spaces[space], reading.ratings, level=asked.level, circular=reading.circular(space)
        )
        shares, facts = reading.shares(space, progress), reading.rating_map(space, progress)
        figure = plot_rating_correlations(
            result,
            names=reading.component_names(space),
            title=f"{reading.label(space)}: components and ratings",
            alpha=asked.alpha,
        )
        tables = {
            "correlations": result.table(),
            "shares_above": shares.table,
            "rating_map": facts.families,
            "spread": facts.spread,
        }
        summary = {
            "n_components": len(result.r),
            "n_stimuli": result.n_stimuli,
            "alpha": asked.alpha,
            "circular": list(result.circular),
            "diagonal": facts.families["diagonal"].to_dict(),
            "own_share": facts.families["own_share"].to_dict(),
            "components_in_variance": float(facts.spread["value"]["components_in_variance"]),
            "top_ratings": {
                name: [{"rating": rating, "r": r, "q": float(result.q[rating][name])} for rating, r in top]
                for name, top in result.top_ratings(alpha=asked.alpha).items()
            },
        }
        return Written(tables, {"correlations": figure}, summary)

    return reading_stage(
        reading, "correlations", space, run, uses=("ratings", "circular", *FOUND),
        tables=("correlations", "shares_above", "rating_map", "spread"), figures=("correlations",),
        files=reading.files(space, ratings=list(reading.ratings)), reads=reading.reads_names(space),
    )  # fmt: skip


def _types(reading: Reading, space: str) -> Stage:
    tau = reading.asked.tau

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_types, plot_variance_partition

        result = reading.types(space, progress)
        names, label = reading.component_names(space), reading.label(space)
        tables = {
            "types": result.components.join(result.threshold_types[f"tau {tau:g}"].rename("type_by_tau")),
            "type_shares": result.shares,
            "type_shares_by_minimum": result.by_minimum,
            "type_shares_by_tau": result.by_tau,
        }
        figures = {
            "types": plot_component_types({space: result}, reading.labels()),
            "variance_partition": plot_variance_partition(result, names=names, title=label),
        }
        summary = {
            **type_summary(result),
            "shares_by_tau": result.by_tau.loc[tau].to_dict(),
            "tau": tau,
            "minimum": result.minimum,
        }
        return Written(tables, figures, summary)

    return reading_stage(
        reading, "types", space, run, uses=("categories", "dimensions", "tau", *FOUND),
        tables=("types", "type_shares", "type_shares_by_minimum", "type_shares_by_tau"),
        figures=("types", "variance_partition"),
        files=reading.files(space, ratings=[reading.categories, reading.dimensions]),
        reads=reading.reads_names(space),
    )  # fmt: skip


def type_summary(result: ComponentTypes) -> dict[str, Any]:
    """How many components are of which type, as shares, with their range over subsamples of the stimuli."""
    rows = result.shares.to_dict("index")
    return {
        "shares": {str(kind): row["share"] for kind, row in rows.items()},
        "stability": {str(kind): [row["stability_low"], row["stability_high"]] for kind, row in rows.items()},
    }


def _prediction(reading: Reading, space: str) -> Stage:
    alpha = reading.asked.alpha

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_predictions

        found = reading.predictions(progress)
        result = found.predictions[space]
        return Written(
            {"predicted_ratings": result.ratings, "predicted_components": result.components},
            {"prediction": plot_predictions(found, reading.labels(), title=reading.label(space))},
            {
                "n_ratings": len(result.ratings),
                "n_predicted": int((result.ratings["q"] < alpha).sum()),
                "alpha": alpha,
                "median_r_of_ratings": float(result.ratings["r"].median()),
                "median_r2_of_components": float(result.components["r2"].median()),
            },
        )

    return reading_stage(
        reading, "prediction", space, run, uses=("ratings", *FOUND),
        tables=("predicted_ratings", "predicted_components"), figures=("prediction",),
        files=reading.files(space, ratings=list(reading.ratings)),
    )  # fmt: skip


def _categories(reading: Reading, space: str) -> Stage:
    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_category_structure, plot_confusion, plot_silhouettes

        found = reading.category_structure(progress)
        centroid, label = found.details[space, "all", "centroid"], reading.label(space)
        figures = {
            "categories": plot_category_structure(found, reading.labels()),
            "confusion": plot_confusion(centroid, title=label),
            "silhouettes": plot_silhouettes(found, title=label),
        }
        summary = {**category_summary(found, space), "n_tied": found.labels.n_tied, "empty": list(found.labels.empty)}
        tables = {**category_tables(found), "category_confusion": centroid.confusion.rename_axis("category")}
        return Written(tables, figures, summary)

    return reading_stage(
        reading, "categories", space, run, uses=CATEGORY_SETTINGS, tables=(*CATEGORY_TABLES, "category_confusion"),
        figures=("categories", "confusion", "silhouettes"), files=reading.files(space, ratings=[reading.categories]),
    )  # fmt: skip


#: What a classification depends on.
CATEGORY_SETTINGS = ("categories", "circular", "ties", "top", "most_common", *DRAWN)
CATEGORY_TABLES = ("category_accuracy", "category_shuffled", "category_ties", "silhouettes", "category_classes")


def category_tables(found: CategoryStructure) -> dict[str, pd.DataFrame]:
    """The tables of a category structure by their names on disk."""
    frames = (found.scores, found.baseline, found.ties, found.silhouettes, found.classes)
    return dict(zip(CATEGORY_TABLES, frames, strict=True))


def category_summary(found: CategoryStructure, space: str) -> dict[str, Any]:
    """The headline of one space: nearest centroid over all categories and over the commonest."""
    scores = {
        categories: {**score.headline(), "n_classes": score.n_classes, "n_stimuli": score.n_stimuli}
        for (name, categories, method), score in found.details.items()
        if name == space and method == "centroid"
    }
    circular = bool(found.scores["circular"][found.scores.index.get_level_values("space") == space].any())
    silhouette = float(found.silhouettes["value"][space, "plain"])
    return {"circular": circular, "top": found.top, "silhouette": silhouette, "centroid": scores}


def _gradients(reading: Reading, space: str) -> Stage:
    asked, family = reading.asked, reading.categories

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_gradient_lines, plot_gradients

        result = category_gradients(
            reading.spaces[space],
            {family: reading.ratings[family]},
            family=family,
            alpha=asked.alpha,
            **reading.drawn("categories"),
            progress=progress,
        )
        scalars = {name: value for name, value in vars(result).items() if isinstance(value, float)}
        drawn = plot_gradients(result, title=reading.label(space), alpha=asked.alpha)
        return Written(
            {"gradient_pairs": result.pairs, "gradient_directions": result.ordered},
            {"gradients": drawn, "gradient_lines": plot_gradient_lines(result)},
            {**scalars, "verdicts": result.verdicts(), "circular": family in reading.circular(space)},
        )

    return reading_stage(
        reading, "gradients", space, run, uses=("categories", "circular", *FOUND),
        tables=("gradient_pairs", "gradient_directions"), figures=("gradients", "gradient_lines"),
        files=reading.files(space, ratings=[family]),
    )  # fmt: skip


def _stimuli(reading: Reading, space: str) -> Stage:
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
        title = reading.label(space)
        strongest = top_stimuli(points, captions, videos=None if shown is None else shown.videos, n=asked.n_shown)
        pictures = reading.thumbnails(strongest.ids(), progress)
        profiles = stimulus_profiles(points, leading_stimuli(strongest, _ROSES), names=names)
        drawn = {"roses": plot_rose(profiles, colour=colour, title=title)}
        told, columns = (strongest, None) if clips else (top_stimuli(points, captions, n=min(_TOLD, asked.n_shown)), 2)
        for page, some in pages.items():
            drawn[page] = plot_top_stimuli(
                told, pictures, components=some, names=names, colour=colour, title=title, columns=columns
            )
        if clouds:
            drawn["word_clouds"] = plot_word_clouds(
                word_weights(reading, space), names=names, colour=colour, title=title
            )
        space_gallery(reading, space, strongest, pictures)
        return Written({"top_stimuli": strongest.table}, drawn, {"gallery": f"{reading.place(space)}/gallery.html"})

    return reading_stage(
        reading, "stimuli", space, run, uses=("n_shown", "blur", "circular"), tables=("top_stimuli",), figures=figures,
        others=("gallery.html",), files=reading.files(space, stimuli=True), reads=card_files(reading, space),
        parameters={"clouds": clouds, "clips": reading.clips()},
    )  # fmt: skip


def leading_stimuli(strongest: TopStimuli, n: int) -> list[str]:
    """The strongest stimulus of each of the first n components that have one, each once."""
    first = strongest.table.groupby(level="component", sort=False)["id"].first()
    if first.empty:
        raise InputError("no component has a positive weight", remedy="give spaces with weights above 0")
    return [str(i) for i in dict.fromkeys(first.iloc[:n])]


#: What can be done for one space, in the order in which it is done.
SPACE_ANALYSES: dict[str, Callable[[Reading, str], Stage]] = {
    "components": components,
    "names": _names,
    "correlations": _correlations,
    "types": _types,
    "prediction": _prediction,
    "categories": _categories,
    "maps": maps,
    "graph": graph,
    "gradients": _gradients,
    "stimuli": _stimuli,
}
