"""Results about choices as tables, figures and JSON values; for studies and for the command line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affectome.errors import InputError
from affectome.study._io import json_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from affectome.behavior import (
        CeilingEstimates,
        ComponentsNeeded,
        Consistency,
        ExplainedAccuracy,
        MeasuredRSM,
        RSMAgreement,
        RSMByComponents,
        RSMReliability,
    )
    from affectome.triplets import TripletSet

logger = logging.getLogger(__name__)

__all__ = [
    "ceiling_facts",
    "consistency_facts",
    "explained_facts",
    "needed_facts",
    "rsm_facts",
    "rsm_figure",
    "rsm_pairs",
    "rsm_reliabilities",
]


def ceiling_facts(result: CeilingEstimates) -> dict[str, Any]:
    """All of the result."""
    return _facts({**vars(result), "table": _rows(result.table.reset_index())})


def explained_facts(result: ExplainedAccuracy) -> dict[str, Any]:
    """What a ceiling adds to the accuracy."""
    return {
        "explained": _rows(result.table.reset_index()),
        "ceiling": ceiling_facts(result.ceiling),
        "n_shared": result.n_shared,
    }


def rsm_reliabilities(trials: TripletSet, measured: MeasuredRSM, seed: int) -> dict[str, RSMReliability]:
    """By split of triplets and, where some repeat, of repeats; what cannot be computed is said and left out."""
    from affectome.behavior import rsm_reliability

    found: dict[str, RSMReliability] = {}
    ids = measured.similarity.index.tolist()
    splits = ["triplets", "repeats"] if len(np.unique(trials.keys())) < len(trials) else ["triplets"]
    for split in splits:
        try:
            found[split] = rsm_reliability(
                trials,
                ids,
                third=measured.third,  # type: ignore[arg-type]
                soft=measured.soft,
                split=split,  # type: ignore[arg-type]
                seed=seed,
            )
        except InputError as error:
            logger.warning("The measured RSM has no reliability over %s: %s.", split, error.problem)
    return found


def rsm_pairs(measured: MeasuredRSM, predicted: pd.DataFrame) -> pd.DataFrame:
    """A row per pair: how often it was asked, how often it was kept, and how often that was predicted."""
    ids = measured.similarity.index.to_numpy()
    first, second = np.triu_indices(len(ids), 1)
    return pd.DataFrame(
        {
            "first": ids[first],
            "second": ids[second],
            "n_trials": measured.counts.to_numpy()[first, second],
            "measured": measured.similarity.to_numpy()[first, second],
            "predicted": predicted.to_numpy()[first, second],
        }
    )


def rsm_figure(
    measured: MeasuredRSM,
    predicted: pd.DataFrame,
    agreement: RSMAgreement,
    *,
    categories: pd.DataFrame | None,
    seed: int,
) -> Figure:
    """Both RSMs and their pairs, ordered by the top category of each stimulus where ratings are given."""
    from affectome.behavior import rsm_order
    from affectome.interpretation import top_categories
    from affectome.plotting import plot_rsm
    from affectome.spaces import rows_for

    groups = None
    if categories is not None:
        rated = rows_for(categories, measured.similarity.index.tolist(), name="the ratings")
        groups = top_categories(rated, seed=seed).labels
    return plot_rsm(
        measured.similarity,
        predicted,
        agreement,
        order=rsm_order(measured.similarity, groups),
        groups=groups,
        ordered_by="clustering" if groups is None else "top category",
    )


def rsm_facts(measured: MeasuredRSM, agreement: RSMAgreement, reliability: dict[str, RSMReliability]) -> dict[str, Any]:
    """All but the RSMs themselves."""
    return _facts(
        {
            **vars(agreement),
            "pearson": vars(agreement.pearson),
            "spearman": vars(agreement.spearman),
            "reliability": {split: vars(found) for split, found in reliability.items()},
            "n_trials": measured.n_trials,
            "n_unanswered": measured.n_unanswered,
            "n_outside": measured.n_outside,
            "third": measured.third,
            "soft": measured.soft,
        }
    )


def needed_facts(result: ComponentsNeeded, by_rsm: RSMByComponents | None) -> dict[str, Any]:
    """All of both."""
    return {
        "curve": _rows(result.curve.reset_index()),
        "needed": _rows(result.needed),
        "rsm": None if by_rsm is None else _rows(by_rsm.curve.reset_index()),
        "level": result.level,
        "n_boot": result.n_boot,
        "n_trials": result.n_trials,
        "n_triplets": result.n_triplets,
        "n_unanswered": result.n_unanswered,
    }


def consistency_facts(result: Consistency) -> dict[str, Any]:
    """All of the result; what is undefined is null."""
    tables = ("table", "differences", "coverage", "slots")
    ceiling = None if result.ceiling is None else vars(result.ceiling)
    return _facts({**vars(result), **{name: _rows(getattr(result, name)) for name in tables}, "ceiling": ceiling})


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json_value(table.to_dict("records"))
    return rows


def _facts(found: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = json_value(found)
    return facts
