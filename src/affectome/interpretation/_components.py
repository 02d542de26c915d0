"""How large and how sparse the components of a space are."""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["describe_components"]


def describe_components(space: pd.DataFrame, *, threshold: float = 0.1) -> pd.DataFrame:
    """Size and sparsity of every component.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
        Non-negative weights.
    threshold
        A weight above this counts as present; 0.1 is where a component is kept at all.

    Returns
    -------
    DataFrame, index components, with columns

        ``weight_sum``, ``share`` (of all weights), ``largest``,
        ``present`` (share of stimuli above the threshold),
        ``hoyer`` (0 for equal weights, 1 for a single one; Hoyer 2004),
        ``effective_stimuli`` ((sum w)^2 / sum w^2: how many equally weighted stimuli would make it)

    Examples
    --------
    >>> import pandas as pd
    >>> one = pd.DataFrame({"c": [0.0, 0.0, 2.0]}, index=["x", "y", "z"])
    >>> describe_components(one)[["hoyer", "effective_stimuli"]].loc["c"].tolist()
    [1.0, 1.0]
    """
    weights = np.maximum(space.to_numpy(dtype=np.float64), 0.0)
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    root = np.sqrt(len(weights))
    with np.errstate(invalid="ignore", divide="ignore"):
        hoyer = (root - total / np.sqrt(squares)) / (root - 1)
        effective = total**2 / squares
    return pd.DataFrame(
        {
            "weight_sum": total,
            "share": total / total.sum() if total.sum() > 0 else np.zeros_like(total),
            "largest": weights.max(axis=0),
            "present": (weights > threshold).mean(axis=0),
            "hoyer": np.nan_to_num(hoyer),
            "effective_stimuli": np.nan_to_num(effective),
        },
        index=pd.Index([str(name) for name in space.columns], name="component"),
    )
