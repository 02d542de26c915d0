"""Similarities between the stimuli of a space."""

from __future__ import annotations

import logging
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError

logger = logging.getLogger(__name__)

Metric = Literal["cosine", "correlation", "dot", "euclidean"]
METRICS: tuple[str, ...] = get_args(Metric)


def similarity_coordinates(features: ArrayLike, metric: Metric) -> NDArray[np.float64]:
    """Rows whose similarity under `metric` is a dot product (or, for euclidean, minus a distance).

    Parameters
    ----------
    features : array of shape (n, p)
    metric
        ``"cosine"``, ``"correlation"`` (Pearson over features), ``"dot"`` or ``"euclidean"``.

    Returns
    -------
    array of float64, shape (n, p). A row without direction (all zero, or constant under
    correlation) becomes zero, is similar 0 to everything, and is reported in the log.
    """
    if metric not in METRICS:
        raise InputError(f"'{metric}' is no similarity", remedy=f"choose one of {', '.join(METRICS)}")
    rows = np.array(features, dtype=np.float64)
    if metric in ("dot", "euclidean"):
        return rows
    if metric == "correlation":
        constant = np.ptp(rows, axis=1, keepdims=True) == 0
        rows = np.where(constant, 0.0, rows - rows.mean(axis=1, keepdims=True))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    empty = int((lengths == 0).sum())
    if empty:
        logger.warning("%d stimuli have no direction under %s; they count as similar 0 to every other.", empty, metric)
    unit: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def paired_similarity(
    coordinates: NDArray[np.float64], left: NDArray[np.integer], right: NDArray[np.integer], metric: Metric
) -> NDArray[np.float64]:
    """Similarity of row ``left[t]`` with row ``right[t]``, for every t; `coordinates` as prepared above."""
    a, b = coordinates[left], coordinates[right]  # (t, p)
    if metric == "euclidean":
        a = b = a - b
    products: NDArray[np.float64] = np.einsum("tp,tp->t", a, b)
    return -np.sqrt(products) if metric == "euclidean" else products


def similarity(space: pd.DataFrame, metric: Metric = "cosine") -> pd.DataFrame:
    """Similarity of every stimulus with every other.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    metric
        See :func:`similarity_coordinates`.

    Returns
    -------
    DataFrame of shape (n_stimuli, n_stimuli), symmetric, float64.
    """
    rows = similarity_coordinates(space.to_numpy(), metric)
    if metric == "euclidean":
        from scipy.spatial.distance import cdist

        values = -cdist(rows, rows)
    else:
        values = rows @ rows.T
    return pd.DataFrame((values + values.T) / 2, index=space.index, columns=space.index)
