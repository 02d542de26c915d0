"""The stage that draws how well systems predict choices, and whether they choose alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from affectome._files import read_json
from affectome._progress import Progress
from affectome.study._engine import Stage
from affectome.study._plan import Plan

__all__ = ["comparison_figures"]


def comparison_figures(plan: Plan) -> Stage:
    """Accuracy of all systems, and agreement where several were asked the same, each as PNG and SVG."""
    systems = [name for name in plan.systems if f"accuracy/{name}" not in plan.failed]
    labels = {name: plan.study.label(name) for name in plan.systems}
    ceilings = {
        name: f"behavior/{name}/ceiling.csv"
        for name in systems
        if "repeats" in plan.parts(name) and f"ceiling/{name}" not in plan.failed
    }
    several = len(plan.asked_systems) > 1 and "agreement" not in plan.failed
    names = ["accuracy", *(["agreement"] if several else [])]

    def run(progress: Progress) -> Mapping[str, Any]:
        from affectome.behavior import Agreement
        from affectome.plotting import plot_accuracy, plot_agreement, save_figure

        folder = plan.results
        scores = {name: read_json(folder / f"behavior/{name}/accuracy.json") for name in systems}
        brackets = {name: _bracket(folder / path) for name, path in ceilings.items()}
        figures = {"accuracy": plot_accuracy(scores, labels, ceilings=brackets)}
        if several:
            table = pd.read_csv(folder / "behavior/agreement.csv", dtype={"first": str, "second": str})
            matrix = Agreement(table, plan.study.behavior.level, plan.study.behavior.bootstrap).matrix()
            figures["agreement"] = plot_agreement(matrix.rename(index=labels, columns=labels))
        for name, figure in figures.items():
            save_figure(figure, folder / "figures", name)
        return {}

    outputs = tuple(f"figures/{name}.{suffix}" for name in names for suffix in ("png", "svg"))
    reads = [*(f"behavior/{name}/accuracy.json" for name in systems), *ceilings.values()]
    reads += ["behavior/agreement.csv"] if several else []
    return Stage("figures", run, outputs, {"labels": labels}, reads=tuple(reads))


def _bracket(path: Path) -> dict[str, float]:
    """Both ends of a noise ceiling; see :meth:`affectome.behavior.CeilingEstimates.bracket`."""
    values = pd.read_csv(path, index_col="estimate")["value"]
    return {"lower": float(values["leave_one_out"]), "upper": float(values["modal"])}
