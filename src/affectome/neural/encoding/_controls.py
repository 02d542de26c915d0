"""Spaces beside each other: joined for one model, and read from the files that networks' features come in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from affectome.errors import InputError
from affectome.spaces import align, as_space, read_space, rows_for

__all__ = ["join_spaces", "read_control"]


_TABLES = (".parquet", ".csv", ".tsv", ".tab")


def read_control(path: str | os.PathLike[str], ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a control space, such as the activations of a vision network.

    Parameters
    ----------
    path
        A table with an id column (Parquet, CSV, TSV), or an array of stimuli × features in any file that
        :func:`affectome.embedding.read_weights` reads (``.npy``, ``.npz``, ``.mat`` ...).
    ids : sequence of str, optional
        Of a table: the stimuli wanted, by default all. Of an array, which has no ids: whose rows these are, in order.

    Returns
    -------
    DataFrame of float32, stimuli × features; the columns of an array are ``feature 1``, ``feature 2`` ...

    Raises
    ------
    InputError
        For a file that cannot be read, an array without ids or with another number of rows, or a value that is no
        finite number.

    Notes
    -----
    Features are never reduced here: principal components that have seen the test stimuli would leak into the models,
    and ridge with more features than trials needs none (its cost then grows with the trials, not the features).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "vgg19_fc6.npy"
    >>> np.save(path, np.ones((2, 4096), np.float32))
    >>> read_control(path, ids=["0001", "0002"]).shape
    (2, 4096)
    """
    source = Path(path)
    if source.suffix.lower() in _TABLES:
        space = read_space(source)
        return space if ids is None else rows_for(space, [str(name) for name in ids], name=str(source))
    if ids is None:
        raise InputError("is an array and has no stimulus ids", source=source, remedy="give the ids of its rows")
    from affectome.embedding import read_weights

    space = read_weights(source, ids=[str(name) for name in ids], rows="stimuli").to_space()
    return space.set_axis([f"feature {k}" for k in range(1, space.shape[1] + 1)], axis=1)


def join_spaces(spaces: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Put spaces side by side, over the stimuli they share, for one model with a penalty per space.

    Returns
    -------
    joint : DataFrame
        Columns ``"space: feature"``.
    bands : dict from space to its columns

    Examples
    --------
    >>> a = pd.DataFrame({"Joy": [1.0, 2.0]}, index=["x", "y"])
    >>> b = pd.DataFrame({"Joy": [3.0, 4.0]}, index=["x", "y"])
    >>> joint, bands = join_spaces({"mllm": a, "human": b})
    >>> list(joint.columns), bands["human"]
    (['mllm: Joy', 'human: Joy'], ['human: Joy'])
    """
    if not spaces:
        raise InputError("there is no space to join", remedy="give at least one")
    aligned = align(*spaces.values(), how="intersect", names=list(spaces)).spaces
    named = {
        name: as_space(space, source=name).add_prefix(f"{name}: ") for name, space in zip(spaces, aligned, strict=True)
    }
    return pd.concat(named.values(), axis=1), {name: list(space.columns) for name, space in named.items()}
