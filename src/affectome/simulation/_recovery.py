"""How much of a planted embedding a fit gave back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from affectome.spaces import rows_for

__all__ = ["Recovery", "match_components"]


@dataclass(frozen=True, eq=False)
class Recovery:
    """One found component for every planted one.

    Attributes
    ----------
    correlation : Series, index the planted components
        Pearson r over stimuli with the matched found component; 0 where there was none left.
    match : Series, index the planted components
        Name of the matched component; empty where there was none left.
    """

    correlation: pd.Series[float]
    match: pd.Series[str]


def match_components(found: pd.DataFrame, planted: pd.DataFrame) -> Recovery:
    """Match found components one to one to planted ones so that the summed correlation is highest."""
    r: NDArray[np.float64] = np.zeros((planted.shape[1], found.shape[1]))
    if found.shape[1]:
        aligned = rows_for(found, list(planted.index), name="the found space")
        both = np.corrcoef(planted.to_numpy(np.float64), aligned.to_numpy(np.float64), rowvar=False)
        r = np.nan_to_num(both[: planted.shape[1], planted.shape[1] :])
    rows, columns = linear_sum_assignment(-r)
    correlation = pd.Series(0.0, index=planted.columns, name="r")
    correlation.iloc[rows] = r[rows, columns]
    matched = {int(row): str(found.columns[column]) for row, column in zip(rows, columns, strict=True)}
    match = pd.Series([matched.get(k, "") for k in range(planted.shape[1])], index=planted.columns, name="match")
    return Recovery(correlation, match)
