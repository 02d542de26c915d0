"""The category of a stimulus, taken from ratings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import as_space

__all__ = ["CategoryLabels", "column_shuffled", "resolved_categories", "top_categories"]

logger = logging.getLogger(__name__)

_TIE = 1e-6  # shares of raters closer than this are equal: the published tables are rounded


@dataclass(frozen=True, eq=False)
class CategoryLabels:
    """The category that most raters chose for each stimulus.

    Attributes
    ----------
    labels : Series, index stimulus ids
        Without the stimuli in `without`, and without tied ones where `ties` drops them.
    n_tied : int
        Stimuli whose highest share is shared by several categories, but not by all.
    ties : str
        How they were resolved.
    empty : tuple of str
        Categories that are nobody's first.
    without : tuple of str
        Stimuli whose ratings are the same in every category, for example all zero: they have none.
    """

    labels: pd.Series[str]
    n_tied: int
    ties: str
    empty: tuple[str, ...]
    without: tuple[str, ...] = ()


def top_categories(
    ratings: pd.DataFrame, *, ties: Literal["random", "first", "drop"] = "random", seed: int = 0
) -> CategoryLabels:
    """Label every stimulus with its highest rating.

    A stimulus whose ratings are the same in every category has no category, whatever `ties` says: it is not among the
    labels, and one warning says how many there are.

    Parameters
    ----------
    ratings : DataFrame of shape (n_stimuli, n_categories)
    ties
        ``"random"`` picks one of the tied categories by the seed, whatever the order of stimuli and categories;
        ``"first"`` the first column, which favours the head of the alphabet; ``"drop"`` leaves tied stimuli out.
    seed
    """
    found = resolved_categories(ratings, ties=ties, seed=seed)
    if found.without:
        logger.warning(
            "%d stimuli are rated the same in every category and have no label: %s.",
            len(found.without),
            cut_short(found.without),
        )
    return found


def resolved_categories(
    ratings: pd.DataFrame, *, ties: Literal["random", "first", "drop"] = "random", seed: int = 0
) -> CategoryLabels:
    """As :func:`top_categories`, without its warning: for labels that are made again and again."""
    if ties not in ("random", "first", "drop"):
        raise InputError(f"'{ties}' is no way to resolve ties", remedy="choose random, first or drop")
    ratings = as_space(ratings, source="the ratings")
    values = ratings.to_numpy(dtype=np.float64)
    best = values >= values.max(axis=1, keepdims=True) - _TIE
    flat = best.all(axis=1) & (best.shape[1] > 1)
    tied = (best.sum(axis=1) > 1) & ~flat
    order = np.ones(values.shape)
    if ties == "random":  # drawn for the ids and names in sorted order
        rows, columns = (np.argsort(np.argsort(labels.to_numpy(str))) for labels in (ratings.index, ratings.columns))
        order = np.random.default_rng(seed).random(values.shape)[np.ix_(rows, columns)]
    column = np.where(best, order, -1.0).argmax(axis=1)
    kept = ~(tied | flat) if ties == "drop" else ~flat
    labels = pd.Series(ratings.columns.to_numpy()[column], index=ratings.index, name="category", dtype=str)[kept]
    empty = tuple(str(name) for name in ratings.columns if name not in set(labels))
    return CategoryLabels(labels, int(tied.sum()), ties, empty, tuple(map(str, ratings.index[flat])))


def column_shuffled(ratings: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The same ratings with every column shuffled over stimuli on its own.

    Whatever a classification of a space by its own largest column still reaches on this is no
    structure of emotion but of the procedure.
    """
    shuffled = np.random.default_rng(seed).permuted(ratings.to_numpy(), axis=0)
    return pd.DataFrame(shuffled, index=ratings.index, columns=ratings.columns)
