"""Several tables of features side by side."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.spaces import as_space

__all__ = ["join_features"]


def join_features(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, list[str]] | None]:
    """Put tables of features side by side, over the stimuli that all of them hold.

    Parameters
    ----------
    tables : mapping from name to DataFrame of shape (n_stimuli, n_features)

    Returns
    -------
    features : DataFrame
        In the order of the first table. Columns of several tables are called ``"table: column"``.
    bands : dict from name to columns, or None
        For `bands` of :class:`SpacePredictor`; None for one table.

    Examples
    --------
    >>> seen = pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"])
    >>> said = pd.DataFrame({"x": [3.0, 4.0]}, index=["b", "c"])
    >>> joined, bands = join_features({"vgg": seen, "captions": said})
    >>> joined.index.tolist(), bands
    (['b'], {'vgg': ['vgg: x'], 'captions': ['captions: x']})
    """
    checked = {name: as_space(table, source=name) for name, table in tables.items()}
    if len(checked) == 1:
        return next(iter(checked.values())), None
    first = next(iter(checked.values())).index
    shared = first[[all(name in table.index for table in checked.values()) for name in first]]
    if not len(shared):
        raise InputError(
            f"the tables of features share no stimulus ({cut_short(list(checked))})", remedy="make the ids match"
        )
    renamed = {name: table.loc[shared].add_prefix(f"{name}: ") for name, table in checked.items()}
    bands = {name: [str(column) for column in table.columns] for name, table in renamed.items()}
    return pd.concat(list(renamed.values()), axis=1), bands
