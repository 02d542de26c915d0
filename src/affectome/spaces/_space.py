"""What makes a table a space, and how its columns are put on one scale."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import pandas as pd

from affectome._tables import check_unique, cut_short, numeric_columns
from affectome.errors import InputError

logger = logging.getLogger(__name__)

Standardisation = Literal["none", "centre", "zscore", "minmax"]
STANDARDISATIONS: tuple[str, ...] = get_args(Standardisation)


def as_space(frame: pd.DataFrame, *, source: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Check a table and return it as a space.

    Parameters
    ----------
    frame : DataFrame of shape (n_stimuli, n_features)
        Index: stimulus ids. Cells: finite numbers.
    source
        The name used in error messages, usually the file.

    Returns
    -------
    DataFrame of float32, with a text index named ``id`` and text column names.

    Raises
    ------
    InputError
        For an empty table, a repeated id or column, or a cell that is no finite number.

    Examples
    --------
    >>> import pandas as pd
    >>> as_space(pd.DataFrame({"Joy": [0.5, 0.1]}, index=[1, 2])).index.tolist()
    ['1', '2']
    """
    if frame.shape[0] == 0 or frame.shape[1] == 0:
        missing = "stimuli" if frame.shape[0] == 0 else "feature columns"
        raise InputError(f"the space has no {missing}", source=source, remedy="give it at least one of each")
    named = frame.set_axis([str(name) for name in frame.index], axis=0).set_axis(
        [str(c) for c in frame.columns], axis=1
    )
    named.index.name = "id"
    check_unique(named.index.tolist(), source=source)
    if named.columns.has_duplicates:
        twice = named.columns[named.columns.duplicated()][0]
        raise InputError(f"the column '{twice}' appears more than once", source=source, remedy="rename one of them")
    return numeric_columns(named, source=source)


def standardise(space: pd.DataFrame, how: Standardisation = "zscore") -> pd.DataFrame:
    """Put every column of a space on one scale, over all of its stimuli.

    Use it on what a judge sees or a figure shows. Where something is fitted and tested, scaling belongs
    inside the training fold instead.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_features)
    how
        ``"none"``; ``"centre"`` (mean 0); ``"zscore"`` (mean 0, population s.d. 1); ``"minmax"``
        (0..1). A constant column becomes 0 and is reported in the log.

    Returns
    -------
    DataFrame of float32, same ids and columns.
    """
    if how not in STANDARDISATIONS:
        raise InputError(f"'{how}' is no way to standardise", remedy=f"choose one of {', '.join(STANDARDISATIONS)}")
    if how == "none":
        return space
    values = space.to_numpy(dtype=np.float64)
    constant = np.ptp(values, axis=0) == 0
    if constant.any() and how != "centre":
        logger.warning("Columns without any spread become 0: %s.", cut_short(space.columns[constant]))
    shift = values.min(axis=0) if how == "minmax" else values.mean(axis=0)
    scale = {"centre": np.ones(values.shape[1]), "zscore": values.std(axis=0), "minmax": np.ptp(values, axis=0)}[how]
    scaled = (values - shift) / np.where(constant, 1.0, scale)
    scaled[:, constant] = 0.0
    return pd.DataFrame(scaled.astype(np.float32), index=space.index, columns=space.columns)


def concatenate(spaces: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    r"""Put spaces of the same stimuli side by side, each with the same weight in every distance.

    Features are standardised over the stimuli and divided by :math:`\sqrt{p}` of their space, so that squared distances
    within each space are 2 on average, whatever its number of features. A constant feature becomes 0.

    Parameters
    ----------
    spaces : mapping from name to DataFrame of shape (n_stimuli, n_features)
        Two or more, with the same ids in the same order.

    Returns
    -------
    DataFrame of float32 of shape (n_stimuli, sum of n_features)
        Columns are called ``"space: feature"``.

    Raises
    ------
    InputError
        For a single space, or ids that differ.

    Examples
    --------
    >>> import pandas as pd
    >>> ids = ["a", "b"]
    >>> category, dimension = pd.DataFrame({"Joy": [0, 1]}, ids), pd.DataFrame({"valence": [1, 9]}, ids)
    >>> wide = concatenate({"category": category, "dimension": dimension})
    >>> list(wide.columns), wide.loc["a"].tolist()
    (['category: Joy', 'dimension: valence'], [-1.0, -1.0])
    """
    if len(spaces) < 2:
        raise InputError("there are not two spaces to put side by side", remedy="name at least two")
    first = next(iter(spaces))
    for name, space in spaces.items():
        if list(space.index) != list(spaces[first].index):
            raise InputError(f"'{name}' and '{first}' are not about the same stimuli", remedy="align them first")
    parts = {name: standardise(space, "zscore") / np.sqrt(space.shape[1]) for name, space in spaces.items()}
    named = [part.rename(columns=lambda feature, name=name: f"{name}: {feature}") for name, part in parts.items()]
    together: pd.DataFrame = pd.concat(named, axis=1).astype(np.float32)
    return together
