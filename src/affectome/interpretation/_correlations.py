"""Which ratings a component follows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import linear_sum_assignment

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import align

logger = logging.getLogger(__name__)

__all__ = ["RatingCorrelations", "correlate_components"]


@dataclass(frozen=True, eq=False)
class RatingCorrelations:
    """Correlation of every component with every rating.

    Attributes
    ----------
    r : DataFrame of shape (n_components, n_ratings)
        Pearson correlation over stimuli; NaN where a column is constant.
    p : DataFrame
        Two-sided p of r under the null that component and rating are independent and stimuli are
        drawn independently (t with n - 2 degrees of freedom).
    q : DataFrame
        p after Benjamini-Hochberg over the whole table.
    family : Series, index the ratings
        Which rating space each column came from.
    n_stimuli : int
    """

    r: pd.DataFrame
    p: pd.DataFrame
    q: pd.DataFrame
    family: pd.Series[str]
    n_stimuli: int

    def diagonal_order(self) -> list[str]:
        """Ratings in the order that puts the strongest matches on the diagonal.

        Components keep their order and get one rating each, so that the summed r is highest;
        the ratings left over follow, each beside the component it follows most.
        """
        r = self.r.fillna(0.0).to_numpy()
        rows, columns = linear_sum_assignment(-r)
        matched = columns[np.argsort(rows)]
        rest = np.setdiff1d(np.arange(r.shape[1]), matched)
        rest = rest[np.argsort(r[:, rest].argmax(axis=0), kind="stable")]
        return [str(name) for name in self.r.columns[np.concatenate([matched, rest])]]

    def top_ratings(self, n: int = 3, alpha: float = 0.05) -> dict[str, list[tuple[str, float]]]:
        """For each component, up to `n` ratings with q below `alpha`, strongest first, whatever the sign of r."""
        tops: dict[str, list[tuple[str, float]]] = {}
        for name in map(str, self.r.index):
            r, q = self.r.loc[name].to_numpy(np.float64), self.q.loc[name].to_numpy(np.float64)
            falling = np.argsort(-np.abs(np.nan_to_num(r)), kind="stable")
            kept = [k for k in falling if q[k] < alpha][:n]
            tops[name] = [(str(self.r.columns[k]), float(r[k])) for k in kept]
        return tops


def correlate_components(space: pd.DataFrame, ratings: Mapping[str, pd.DataFrame]) -> RatingCorrelations:
    """Correlate every component of a space with every rating.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
    ratings : mapping from family ("category", "dimension", ...) to DataFrame
        Each over the same stimuli as `space`. A rating name that two families share is written
        ``"family: name"``.

    Returns
    -------
    RatingCorrelations

    Notes
    -----
    Where the choices behind the space were made *from* these ratings, the correlations check the
    method and are no finding.
    """
    if not ratings:
        raise InputError("there are no ratings to correlate with", remedy="give at least one rating space")
    if space.shape[1] == 0:
        raise InputError("the space has no components", remedy="fit it with a smaller l1 or more triplets")
    names = ["the space", *ratings]
    aligned = align(space, *ratings.values(), names=names).spaces
    n = len(aligned[0])
    if n < 3:
        raise InputError(f"{n} stimuli are too few for a correlation", remedy="give at least three")
    columns = [str(name) for frame in aligned[1:] for name in frame.columns]
    family = [key for key, frame in zip(ratings, aligned[1:], strict=True) for _ in frame.columns]
    labels = [f"{key}: {name}" if columns.count(name) > 1 else name for key, name in zip(family, columns, strict=True)]
    rated = np.column_stack([frame.to_numpy(np.float64) for frame in aligned[1:]])
    r = _pearson(aligned[0].to_numpy(np.float64), rated)
    for what, names_of, values in (("ratings", labels, rated), ("components", space.columns, aligned[0].to_numpy())):
        constant = [str(name) for name, spread in zip(names_of, np.ptp(values, axis=0), strict=True) if spread == 0]
        if constant:
            logger.warning("%d %s are constant and have no correlation: %s.", len(constant), what, cut_short(constant))
    with np.errstate(divide="ignore"):
        t = r * np.sqrt((n - 2) / np.maximum(1 - r**2, 0))
    p = 2 * stats.t.sf(np.abs(t), n - 2)
    q = np.full_like(p, np.nan)
    known = ~np.isnan(p)
    if known.any():
        q[known] = stats.false_discovery_control(p[known], method="bh")

    def table(values: NDArray[np.float64]) -> pd.DataFrame:
        return pd.DataFrame(values, index=[str(name) for name in space.columns], columns=labels)

    return RatingCorrelations(table(r), table(p), table(q), pd.Series(family, index=labels, name="family"), n)


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of every column of x with every column of y; NaN where one is constant."""

    def unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = values - values.mean(axis=0)
        length = np.linalg.norm(centred, axis=0)
        length[np.ptp(values, axis=0) == 0] = np.nan
        scaled: NDArray[np.float64] = centred / length
        return scaled

    return np.clip(unit(x).T @ unit(y), -1, 1)
