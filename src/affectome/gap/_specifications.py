"""Would another analysis have said the same: one claim under every combination of reasonable choices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from affectome.errors import InputError
from affectome.gap._claims import pool_people
from affectome.gap._person import SPECIFICATIONS

__all__ = ["SpecificationCurve", "specification_curve"]

CHOICES = tuple(SPECIFICATIONS)
_CLAIM = ("first", "second", "where")


@dataclass(frozen=True, eq=False)
class SpecificationCurve:
    """Differences of pairs of spaces under every specification.

    Attributes
    ----------
    table : DataFrame
        One row per specification, pair and place: the choices (``metric``, ``statistic``, ``within_run``,
        ``brain_metric``, ``size``), ``first``, ``second``, ``where``, and what :func:`pool_people` says.
    summary : DataFrame
        One row per pair and place: ``n_specifications``, ``median_difference``, ``smallest``, ``largest``,
        ``same_sign`` (share of specifications whose difference has the sign of the median), ``same_and_significant``
        (and p <= alpha), ``opposite_and_significant``.
    alpha, level : float
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    alpha: float
    level: float


def specification_curve(differences: pd.DataFrame, *, alpha: float = 0.05, level: float = 0.95) -> SpecificationCurve:
    """Pool the specifications of people, and say how far they agree.

    Parameters
    ----------
    differences : DataFrame
        As :func:`compare_geometries` gives, of several people, with ``subject``.
    alpha
        Level of every specification, uncorrected.
    level
        Coverage of the intervals.

    Returns
    -------
    SpecificationCurve

    Notes
    -----
    A specification curve is descriptive. Its rows come from the same recordings of the same stimuli, so that their p
    are not independent, and no share of them is a test: forty agreeing analyses are no forty findings. What it shows
    is whether a claim hangs on a choice that could have been made otherwise. Means over people, intervals and p are
    those of :func:`pool_people`.

    Examples
    --------
    >>> rows = [{"subject": f"sub-{s}", "metric": metric, "statistic": "pearson", "within_run": "exclude",
    ...          "brain_metric": "correlation", "size": "full", "first": "a", "second": "b", "where": "TPJ",
    ...          "difference": value, "se": 0.02, "p": 0.01, "df": 59}
    ...         for s in range(3) for metric, value in (("correlation", 0.1), ("cosine", 0.08), ("euclidean", -0.07))]
    >>> found = specification_curve(pd.DataFrame(rows)).summary.iloc[0]
    >>> int(found["n_specifications"]), float(found["median_difference"]), float(round(found["same_sign"], 2))
    (3, 0.08, 0.67)
    """
    if differences.empty:
        raise InputError("there is no specification to pool", remedy="compare geometries under some first")
    pooled = pool_people(differences, [*CHOICES, *_CLAIM], alpha=alpha, level=level)
    pooled = pooled[pooled["n_subjects"] > 0]
    told = [
        {**dict(zip(_CLAIM, claim, strict=True)), **_agreement(rows, alpha)}
        for claim, rows in pooled.groupby(list(_CLAIM), sort=False)
    ]
    return SpecificationCurve(pooled.reset_index(drop=True), pd.DataFrame(told), alpha, level)


def _agreement(rows: pd.DataFrame, alpha: float) -> dict[str, float]:
    difference, found = rows["difference"].to_numpy(), (rows["p"] <= alpha).to_numpy()
    median = float(np.median(difference))
    same = np.sign(difference) == np.sign(median)
    return {
        "n_specifications": len(rows),
        "median_difference": median,
        "smallest": float(difference.min()),
        "largest": float(difference.max()),
        "same_sign": float(same.mean()),
        "same_and_significant": float((same & found).mean()),
        "opposite_and_significant": float((~same & found).mean()),
    }
