"""Spaces cut to the same number of principal components, so that size decides nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome.errors import InputError
from affectome.spaces import as_space

__all__ = ["cut_space", "principal_scores", "space_rank"]

Floats = NDArray[np.float64]

_NOTHING = 1e-5  # share of the largest singular value that is rounding of a float32 space


def space_rank(space: pd.DataFrame) -> int:
    """Dimensions in which the stimuli of a space differ: principal components that are more than rounding.

    Examples
    --------
    >>> space = pd.DataFrame({"Joy": [1.0, 2.0, 4.0, 0.0], "twice": [2.0, 4.0, 8.0, 0.0]}, index=list("abcd"))
    >>> space_rank(space)
    1
    """
    values = as_space(space).to_numpy(np.float64)
    return _rank(np.linalg.svd(values - values.mean(axis=0), compute_uv=False))


def cut_space(space: pd.DataFrame, n_components: int) -> pd.DataFrame:
    r"""A space rebuilt from its first principal components.

    .. math:: \hat X = \bar x + (X - \bar x) V_k V_k^\top

    with the first k principal directions V of the centred features, which are not scaled. The columns stay what they
    were, so that every metric (cosine, correlation over features, dot) means what it meant; only directions are
    missing. Nothing but the space is looked at: no response and no choice.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    n_components
        At least 1. A space of no higher rank comes back as it is.

    Returns
    -------
    DataFrame of the same shape.

    Examples
    --------
    >>> space = pd.DataFrame({"Joy": [1.0, -1.0, 2.0, -2.0], "Awe": [0.1, 0.1, -0.1, -0.1]}, index=list("abcd"))
    >>> cut_space(space, 1).round(2)["Joy"].tolist(), space_rank(cut_space(space, 1))
    ([1.0, -1.0, 2.0, -2.0], 1)
    """
    mean, scores, directions = _components(space, n_components)
    if scores is None:
        return as_space(space)
    return pd.DataFrame(mean + scores @ directions, space.index, space.columns).astype(np.float32)


def principal_scores(space: pd.DataFrame, n_components: int) -> pd.DataFrame:
    """The same cut as :func:`cut_space`, as coordinates: stimuli × principal components, for linear models.

    A space of no higher rank comes back with as many components as it has. The largest loading of a component is
    positive.

    Examples
    --------
    >>> space = pd.DataFrame({"Joy": [1.0, -1.0, 2.0, -2.0], "Awe": [0.1, 0.1, -0.1, -0.1]}, index=list("abcd"))
    >>> principal_scores(space, 1).round(1)["PC1"].tolist()
    [1.0, -1.0, 2.0, -2.0]
    """
    _, scores, _ = _components(space, n_components, always=True)
    assert scores is not None  # asked for
    names = [f"PC{k + 1}" for k in range(scores.shape[1])]
    return pd.DataFrame(scores, space.index, names).astype(np.float32)


def _components(
    space: pd.DataFrame, n_components: int, *, always: bool = False
) -> tuple[Floats, Floats | None, Floats]:
    """Mean, scores (n, k) and directions (k, p); no scores where nothing is to be cut."""
    if n_components < 1:
        raise InputError(f"{n_components} principal components make no space", remedy="keep at least 1")
    values = as_space(space).to_numpy(np.float64)
    mean = values.mean(axis=0)
    left, spread, directions = np.linalg.svd(values - mean, full_matrices=False)
    rank = _rank(spread)
    if rank == 0:
        raise InputError("all stimuli of a space are the same", remedy="leave the space out")
    if rank <= n_components and not always:
        return mean, None, directions
    k = min(n_components, rank)
    largest = directions[np.arange(k), np.abs(directions[:k]).argmax(axis=1)]
    sign = np.sign(largest)
    return mean, left[:, :k] * spread[:k] * sign, directions[:k] * sign[:, None]


def _rank(spread: Floats) -> int:
    return int((spread > _NOTHING * spread[0]).sum()) if spread[0] > 0 else 0
