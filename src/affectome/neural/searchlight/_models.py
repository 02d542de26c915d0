"""The geometry of spaces: similarities of stimuli as signed products of factors, or as a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError
from affectome.neural.searchlight._inputs import ModelGeometry, ModelMetric
from affectome.spaces import as_space, rows_for

__all__ = ["dense_geometry", "model_geometry", "stored_geometry"]

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]


def model_geometry(
    space: pd.DataFrame,
    *,
    name: str,
    metric: ModelMetric = "correlation",
    ids: Sequence[str] | None = None,
) -> ModelGeometry:
    r"""Similarities of stimuli in a space.

    ``"correlation"``, ``"cosine"``, ``"dot"``: products of factors, which are the rows of the space, centred (for
    correlation) and of unit length (for both). ``"sqeuclidean"``: minus squared distances, exactly, by k + 2 factors,

    .. math:: -|x_i - x_j|^2 = 2 x_i'x_j
              + \tfrac c2 (\tfrac{a_i}c - 1)(\tfrac{a_j}c - 1) - \tfrac c2 (\tfrac{a_i}c + 1)(\tfrac{a_j}c + 1),
              \qquad a_i = |x_i|^2,

    with c the mean of a and the columns of x centred, so that little cancels. ``"euclidean"``: minus distances, which
    no few factors give, as a table.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
        Index: stimulus ids. Spaces joined side by side are one space too; scale them first
        (:func:`affectome.spaces.standardise`) where units differ.
    name : str
        Of the space, in results and messages.
    metric
        ``"correlation"`` for scales without a meaningful zero (ratings from 1 to 9), ``"cosine"`` for profiles whose
        zero means absence, ``"dot"`` for the similarity that a learned embedding predicts choices with.
    ids : sequence of str, optional
        The stimuli wanted, in this order, such as those of the patterns; may repeat. By default all of the space.

    Returns
    -------
    ModelGeometry

    Raises
    ------
    InputError
        For an unknown metric, stimuli that the space lacks, cells that are no numbers, a space of one feature under
        correlation or cosine, or a geometry in which all pairs are alike.

    Notes
    -----
    A stimulus without direction (all zero; constant under correlation) is similar 0 to all others; the log names it.
    A space wider than its number of stimuli is turned to as many factors as stimuli, with the same products.

    Examples
    --------
    >>> space = pd.DataFrame({"Joy": [1.0, 0.0, 2.0], "Awe": [0.0, 1.0, 1.0]}, index=list("abc"))
    >>> model = model_geometry(space, name="human", metric="sqeuclidean")
    >>> ((model.factors * model.signs) @ model.factors.T).round(6)[0].tolist()
    [0.0, -2.0, -2.0]
    """
    if metric not in get_args(ModelMetric):
        raise InputError(
            f"metric='{metric}' is no similarity of stimuli",
            source=name,
            remedy=f"choose one of {', '.join(get_args(ModelMetric))}",
        )
    checked = as_space(space, source=name) if ids is None else rows_for(space, ids, name=name)
    names, x = list(checked.index), checked.to_numpy(np.float64)
    if metric == "euclidean":
        from scipy.spatial.distance import cdist

        return _varied(ModelGeometry(name, metric, dense=(-cdist(x, x)).astype(np.float32)))
    if metric == "sqeuclidean":
        return _varied(_squared_distances(name, x))
    if metric in ("correlation", "cosine"):
        x = _unit_rows(x, metric, names, name)
    if x.shape[1] > len(x):
        x = np.asarray(np.linalg.qr(x.T, mode="r")).T
    return _varied(ModelGeometry(name, metric, factors=np.ascontiguousarray(x), signs=np.ones(x.shape[1])))


def dense_geometry(
    frame: pd.DataFrame,
    *,
    name: str,
    kind: Literal["similarity", "dissimilarity"],
    ids: Sequence[str] | None = None,
) -> ModelGeometry:
    """A table of similarities or dissimilarities as the geometry of a model.

    Parameters
    ----------
    frame : DataFrame of shape (n, n)
        Stimulus ids along both sides, in any order. Its diagonal is not looked at.
    name : str
    kind
        Which the numbers are; dissimilarities are negated.
    ids : sequence of str, optional
        The stimuli wanted, in this order; may repeat. By default those of the index.

    Returns
    -------
    ModelGeometry
        Dense, float32.

    Raises
    ------
    InputError
        Where the ids of the sides differ or lack a wanted one, the table is not symmetric (to 1e-6 of its range), a
        cell off the diagonal is no number, or all are alike.

    Examples
    --------
    >>> rdm = pd.DataFrame([[0, 1, 4], [1, 0, 2], [4, 2, 0]], index=list("abc"), columns=list("abc"))
    >>> dense_geometry(rdm, name="judged", kind="dissimilarity").dense[0].tolist()
    [0.0, -1.0, -4.0]
    """
    if kind not in ("similarity", "dissimilarity"):
        raise InputError(f"kind='{kind}' is unknown", source=name, remedy="choose similarity or dissimilarity")
    index, columns = [str(one) for one in frame.index], [str(one) for one in frame.columns]
    check_unique(index, source=name)
    if len(index) != len(columns) or set(index) != set(columns):
        odd = sorted(set(index) ^ set(columns)) or columns
        raise InputError(f"its rows and columns name other stimuli ({cut_short(odd)})", source=name, remedy="repair it")
    wanted = index if ids is None else [str(one) for one in ids]
    missing = [one for one in wanted if one not in set(index)]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} stimuli are not in it ({cut_short(missing)})",
            source=name,
            remedy="make the ids match",
        )
    table = frame.set_axis(index, axis=0).set_axis(columns, axis=1)
    try:
        values = table.loc[index, index].to_numpy(np.float64).copy()
    except (TypeError, ValueError) as error:
        raise InputError("a cell is no number", source=name, remedy="repair it") from error
    np.fill_diagonal(values, 0.0)
    _check_symmetric(values, index, name)
    place = pd.Index(index).get_indexer(pd.Index(wanted))
    if len(set(wanted)) < len(wanted):
        # Rows of one stimulus are as alike as a stimulus is to itself, which only the diagonal says.
        np.fill_diagonal(values, _diagonal(table.loc[index, index].to_numpy(np.float64), name))
    chosen = values[np.ix_(place, place)]
    np.fill_diagonal(chosen, 0.0)
    signed = chosen if kind == "similarity" else 0.0 - chosen
    return _varied(ModelGeometry(name, kind, dense=signed.astype(np.float32)))


def stored_geometry(model: ModelGeometry) -> list[NDArray[np.float64] | NDArray[np.float32]]:
    """The arrays that make a geometry."""
    return [part for part in (model.factors, model.signs, model.dense) if part is not None]


def _unit_rows(x: Floats, metric: str, ids: Sequence[str], name: str) -> Floats:
    if x.shape[1] < 2:
        raise InputError(
            f"one feature has no direction under {metric}", source=name, remedy="use euclidean, sqeuclidean or dot"
        )
    constant = np.zeros(len(x), bool)
    if metric == "correlation":
        constant = np.ptp(x, axis=1) == 0
        x = np.where(constant[:, None], 0.0, x - x.mean(axis=1, keepdims=True))
    lengths = np.linalg.norm(x, axis=1)
    empty = constant | (lengths == 0)
    if empty.any():
        logger.warning(
            "%s: %d stimuli have no direction under %s and count as similar 0 to every other: %s.",
            name,
            int(empty.sum()),
            metric,
            cut_short([ids[k] for k in np.flatnonzero(empty).tolist()]),
        )
    unit: Floats = x / np.where(empty, 1.0, lengths)[:, None]
    return unit


def _squared_distances(name: str, x: Floats) -> ModelGeometry:
    x = x - x.mean(axis=0)
    lengths = (x**2).sum(axis=1)
    scale = float(lengths.mean()) or 1.0
    ends = np.sqrt(scale / 2) * np.column_stack([lengths / scale - 1, lengths / scale + 1])
    factors = np.column_stack([np.sqrt(2.0) * x, ends])
    return ModelGeometry(name, "sqeuclidean", factors=factors, signs=np.r_[np.ones(x.shape[1] + 1), -1.0])


def _varied(model: ModelGeometry) -> ModelGeometry:
    """Refuse a geometry in which all pairs are alike: nothing can correlate with it."""
    lowest, highest, largest = np.inf, -np.inf, 0.0
    for start in range(0, _n_stimuli(model), 256):
        rows = slice(start, start + 256)
        if model.dense is not None:
            values = model.dense[rows].astype(np.float64)
        else:
            assert model.factors is not None and model.signs is not None
            values = (model.factors[rows] * model.signs) @ model.factors.T
        off = np.arange(len(values))[:, None] + start != np.arange(values.shape[1])
        lowest, highest = (
            min(lowest, values.min(initial=np.inf, where=off)),
            max(highest, values.max(initial=-np.inf, where=off)),
        )
        largest = max(largest, float(np.abs(values).max()))
    if not highest - lowest > 1e-9 * largest:
        raise InputError(
            f"all pairs of its stimuli are equally similar under {model.metric}",
            source=model.name,
            remedy="nothing can resemble this; give features that tell stimuli apart, or another metric",
        )
    return model


def _n_stimuli(model: ModelGeometry) -> int:
    held = model.dense if model.factors is None else model.factors
    assert held is not None
    return len(held)


def _check_symmetric(values: Floats, ids: Sequence[str], name: str) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise InputError(
            "a cell is no finite number", source=name, where=f"{ids[bad[0, 0]]}, {ids[bad[0, 1]]}", remedy="repair it"
        )
    apart = np.abs(values - values.T)
    if len(values) and apart.max() > 1e-6 * max(np.ptp(values), 1e-300):
        i, j = divmod(int(apart.argmax()), len(values))
        raise InputError(
            f"it is not symmetric ({values[i, j]:g} and {values[j, i]:g})",
            source=name,
            where=f"{ids[i]} and {ids[j]}",
            remedy="give the mean of both directions, or one of them",
        )


def _diagonal(values: Floats, name: str) -> Floats:
    diagonal = np.diag(values).copy()
    if not np.isfinite(diagonal).all():
        raise InputError(
            "its diagonal is needed where a stimulus has several rows, and holds no numbers",
            source=name,
            remedy="fill it in, or average the presentations",
        )
    return diagonal
