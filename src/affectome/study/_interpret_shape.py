"""The stages about the shape of one space, ratings or not: sizes of components, maps, the graph."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pandas as pd

from affectome._progress import Progress
from affectome.interpretation import (
    affective_graph,
    category_prototypes,
    cluster_profiles,
    describe_components,
    project_many,
    project_umap,
)
from affectome.study._engine import Stage
from affectome.study._interpretation import Reading, reading_stage
from affectome.study._written import Written

__all__ = ["components", "graph", "maps"]

_PERPLEXITIES = (10.0, 30.0, 100.0)


def components(reading: Reading, space: str) -> Stage:
    """How large and how sparse the components are."""

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_component_sizes

        sizes = describe_components(reading.spaces[space])
        rows = sizes.reset_index().to_dict("records")
        summary = {"sizes": rows, "n_stimuli": len(reading.ids), "mean_hoyer": float(sizes["hoyer"].mean())}
        figure = plot_component_sizes({space: sizes}, reading.labels())
        return Written({"components": sizes}, {"components": figure}, summary)

    return reading_stage(
        reading, "components", space, run, tables=("components",), figures=("components",), files=reading.files(space)
    )


def maps(reading: Reading, space: str) -> Stage:
    """The space seen from above, coloured by category, or without ratings by the strongest component."""
    asked = reading.asked
    with_umap, rated = find_spec("umap") is not None, bool(reading.ratings)

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_map, plot_maps

        points, seed, title = reading.spaces[space], reading.seed("maps", space), reading.label(space)
        labels = reading.labelled() if rated else _strongest(points)
        perplexities = sorted({*_PERPLEXITIES, float(asked.perplexity)})
        drawn = project_many({space: points}, perplexities=perplexities, seed=seed, progress=progress)
        prototypes = category_prototypes(points, labels)
        found = {f"t-SNE {perplexity:g}": drawn[space, perplexity] for perplexity in perplexities}
        if with_umap:
            found["UMAP"] = project_umap(points, seed=seed)
        facts = pd.DataFrame(
            {name: {"trustworthiness": m.trustworthiness, "continuity": m.continuity} for name, m in found.items()}
        ).T.rename_axis("map")
        main = drawn[space, float(asked.perplexity)]
        figures = {
            "map": plot_map(main, labels, prototypes=prototypes, title=title),
            "maps": plot_maps(list(found.values()), labels, prototypes=prototypes, title=title),
        }
        coordinates = pd.concat({name: one.coordinates for name, one in found.items()}, names=["map", "id"])
        tables = {"maps": coordinates, "map_quality": facts, "prototypes": prototypes}
        summary = {"main": f"t-SNE {asked.perplexity:g}", "by": "category" if rated else "strongest component"}
        return Written(tables, figures, {**summary, "quality": facts.to_dict("index")})

    return reading_stage(
        reading, "maps", space, run, uses=("perplexity", *(["categories", "ties"] if rated else [])),
        tables=("maps", "map_quality", "prototypes"), figures=("map", "maps"),
        files=reading.files(space, ratings=[reading.categories] if rated else []), parameters={"umap": with_umap},
    )  # fmt: skip


def _strongest(points: pd.DataFrame) -> pd.Series[str]:
    """The component in which a stimulus is strongest, for stimuli that have any weight."""
    weighted = points[(points > 0).any(axis=1)]
    return weighted.idxmax(axis=1).astype(str)


def graph(reading: Reading, space: str) -> Stage:
    """Which components go together; what their clusters follow, where there are ratings."""
    asked, rated = reading.asked, bool(reading.ratings)

    def run(progress: Progress) -> Written:
        from affectome.plotting import plot_affective_graph

        found = affective_graph(
            reading.spaces[space],
            n_permutations=asked.n_permutations,
            names=reading.component_names(space) or None,
            seed=reading.seed("graph", space),
            progress=progress,
        )
        tables, names, clusters = {"clusters": found.clusters}, None, list(map(str, found.clusters.index))
        if rated:
            profiles = cluster_profiles(found, reading.ratings)
            names = profiles.names
            tables = {"clusters": found.clusters.assign(name=names), "cluster_profiles": profiles.profiles}
        tables |= {
            "graph_edges": found.edges,
            "graph_components": found.components,
            "graph_chance": found.chance,
            "graph_sensitivity": found.sensitivity,
        }
        summary: dict[str, Any] = {
            "n_edges": len(found.edges),
            "n_clusters": len(found.clusters),
            "modularity": found.modularity,
            "chance": found.chance.to_dict("index"),
            "seed_agreement": found.seed_agreement,
            "subsample_agreement": found.subsample_agreement,
            "clusters": {name: name if names is None else str(names[name]) for name in clusters},
        }
        figure = plot_affective_graph(found, names, title=reading.label(space))
        return Written(tables, {"graph": figure}, summary)

    tables = ["graph_edges", "graph_components", "clusters", "graph_chance", "graph_sensitivity"]
    return reading_stage(
        reading, "graph", space, run, uses=("n_permutations", *(["ratings"] if rated else [])),
        tables=[*tables, *(["cluster_profiles"] if rated else [])], figures=("graph",),
        files=reading.files(space, ratings=list(reading.ratings)), reads=reading.reads_names(space),
    )  # fmt: skip
