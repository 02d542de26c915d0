"""The category of a stimulus, taken from ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from affectome.errors import InputError
from affectome.spaces import as_space

__all__ = ["CategoryLabels", "column_shuffled", "top_categories"]

_TIE = 1e-6  # shares of raters closer than this are equal: the published tables are rounded


@dataclass(frozen=True, eq=False)
class CategoryLabels:
    """The category that most raters chose for each stimulus.

    Attributes
    ----------
    labels : Series, index stimulus ids
    n_tied : int
        Stimuli whose highest share is shared by several categories.
    ties : str
        How they were resolved.
    empty : tuple of str
        Categories that are nobody's first.
    """

    labels: pd.Series[str]
    n_tied: int
    ties: str
    empty: tuple[str, ...]


def top_categories(
    ratings: pd.DataFrame, *, ties: Literal["random", "first", "drop"] = "random", seed: int = 0
) -> CategoryLabels:
    """Label every stimulus with its highest rating.

    Parameters
    ----------
    ratings : DataFrame of shape (n_stimuli, n_categories)
    ties
        ``"random"`` picks one of the tied categories by the seed, whatever the order of stimuli and categories;
        ``"first"`` the first column, which favours the head of the alphabet; ``"drop"`` leaves tied stimuli out.
    seed
    """
    if ties not in ("random", "first", "drop"):
        raise InputError(f"'{ties}' is no way to resolve ties", remedy="choose random, first or drop")
    ratings = as_space(ratings, source="the ratings")
    values = ratings.to_numpy(dtype=np.float64)
    best = values >= values.max(axis=1, keepdims=True) - _TIE
    tied = best.sum(axis=1) > 1
    order = np.ones(values.shape)
    if ties == "random":  # drawn for the ids and names in sorted order
        rows, columns = (np.argsort(np.argsort(labels.to_numpy(str))) for labels in (ratings.index, ratings.columns))
        order = np.random.default_rng(seed).random(values.shape)[np.ix_(rows, columns)]
    column = np.where(best, order, -1.0).argmax(axis=1)
    kept = ~tied if ties == "drop" else np.ones(len(tied), bool)
    labels = pd.Series(ratings.columns.to_numpy()[column], index=ratings.index, name="category", dtype=str)[kept]
    empty = tuple(str(name) for name in ratings.columns if name not in set(labels))
    return CategoryLabels(labels, int(tied.sum()), ties, empty)


def column_shuffled(ratings: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The same ratings with every column shuffled over stimuli on its own.

    Whatever a classification of a space by its own largest column still reaches on this is no
    structure of emotion but of the procedure.
    """
    shuffled = np.random.default_rng(seed).permuted(ratings.to_numpy(), axis=0)
    return pd.DataFrame(shuffled, index=ratings.index, columns=ratings.columns)
