"""The stage that draws systems side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from affectome._files import read_json
from affectome._progress import Progress
from affectome.study._engine import Stage
from affectome.study._stages import Plan

__all__ = ["comparison_figures"]


def comparison_figures(plan: Plan) -> Stage:
    """Accuracy, agreement, component sizes and category scores of all systems, each as PNG and SVG."""
    systems = list(plan.study.systems)
    labels = {name: plan.study.label(name) for name in systems}
    classified = plan.study.interpretation.categories is not None
    several = len(plan.asked_systems) > 1
    names = [
        "accuracy",
        "component_sizes",
        *(["agreement"] if several else []),
        *(["categories"] if classified else []),
    ]
    outputs = tuple(f"figures/{name}.{suffix}" for name in names for suffix in ("png", "svg"))

    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.behavior import Agreement
        from affectome.plotting import (
            plot_accuracy,
            plot_agreement,
            plot_category_scores,
            plot_component_sizes,
            save_figure,
        )

        folder = plan.results
        scores = {name: read_json(folder / f"behavior/{name}_accuracy.json") for name in systems}
        sizes = {name: pd.read_csv(folder / f"interpretation/{name}_components.csv") for name in systems}
        figures = {"accuracy": plot_accuracy(scores, labels), "component_sizes": plot_component_sizes(sizes, labels)}
        if several:
            table = pd.read_csv(folder / "behavior/agreement.csv", dtype={"first": str, "second": str})
            matrix = Agreement(table, plan.study.behavior.level, plan.study.behavior.bootstrap).matrix()
            figures["agreement"] = plot_agreement(matrix.rename(index=labels, columns=labels))
        if classified:
            found = {name: read_json(folder / f"interpretation/{name}_categories.json") for name in systems}
            figures["categories"] = plot_category_scores(found, labels)
        for name, figure in figures.items():
            save_figure(figure, folder / "figures", name)
        return {}

    reads = [f"behavior/{name}_accuracy.json" for name in systems]
    reads += [f"interpretation/{name}_components.csv" for name in systems]
    reads += [f"interpretation/{name}_categories.json" for name in systems] if classified else []
    reads += ["behavior/agreement.csv"] if several else []
    return Stage("figures", run, outputs, {"labels": labels}, reads=tuple(reads))
