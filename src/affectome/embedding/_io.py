"""Embeddings on disk as the SPoSE and VICE programs keep them; docs/coming-from-spose-or-vice.md."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._files import atomic_path, check_output
from affectome._tables import check_unique, numeric_columns
from affectome.embedding._components import component_names, kept_components
from affectome.embedding._weight_files import Matrix, read_matrix
from affectome.errors import InputError

__all__ = ["WEIGHT_OUTPUTS", "Weights", "WeightRows", "read_weights", "write_weights"]

WeightRows = Literal["auto", "stimuli", "components"]
#: Extensions that weights can be written with.
WEIGHT_OUTPUTS = (".txt", ".npy", ".npz")


@dataclass(frozen=True, eq=False)
class Weights:
    """An embedding as another program left it.

    Attributes
    ----------
    values : float32 array of shape (n_stimuli, n_components)
        Point weights (SPoSE) or posterior means (VICE). Programs that only penalise negative weights leave small ones.
    scale : float32 array of the same shape, or None
        Posterior standard deviations.
    ids : tuple of str
    names : tuple of str
        Of the components.
    array : str
        What the file calls the weights; empty where it has no name for them.
    transposed : bool
        Whether the file has components in its rows.
    """

    values: NDArray[np.float32]
    scale: NDArray[np.float32] | None
    ids: tuple[str, ...]
    names: tuple[str, ...]
    array: str = ""
    transposed: bool = False

    @classmethod
    def from_space(cls, space: pd.DataFrame, scale: pd.DataFrame | None = None) -> Weights:
        """Take the weights, and the deviations, of spaces with the same ids and components."""
        values = numeric_columns(space, source="the space")
        if 0 in values.shape:
            raise InputError("the space holds no weights", remedy="give at least one stimulus and one component")
        ids, names = tuple(str(i) for i in space.index), tuple(str(name) for name in space.columns)
        check_unique(ids, source="the space")
        deviations = None
        if scale is not None:
            if (tuple(map(str, scale.index)), tuple(map(str, scale.columns))) != (ids, names):
                raise InputError(
                    "the deviations are of other stimuli or components than the space",
                    remedy="give those that were written with it",
                )
            deviations = numeric_columns(scale, source="the deviations").to_numpy()
            if (deviations < 0).any():
                raise InputError("a posterior deviation is negative", remedy="give standard deviations")
        return cls(values.to_numpy(), deviations, ids, names)

    @property
    def n_negative(self) -> int:
        """Number of weights below 0."""
        return int((self.values < 0).sum())

    @property
    def lowest(self) -> float:
        """The smallest weight."""
        return float(self.values.min())

    def clipped(self) -> Weights:
        """Set negative weights to 0, as the choice model of VICE does; deviations stay."""
        return replace(self, values=np.maximum(self.values, 0))

    def pruned(self, threshold: float = 0.1) -> Weights:
        """Keep the components whose largest weight exceeds `threshold`, by falling sum of weights."""
        kept = kept_components(self.values, threshold)
        if len(kept) == 0:
            raise InputError(
                f"no component has a weight above {threshold:g}", remedy="lower the threshold, or keep all components"
            )
        scale = None if self.scale is None else self.scale[:, kept]
        named = self.names != tuple(component_names(len(self.names)))
        names = tuple(self.names[k] for k in kept) if named else tuple(component_names(len(kept)))
        return replace(self, values=self.values[:, kept], scale=scale, names=names)

    def to_space(self) -> pd.DataFrame:
        """The weights as a space: stimulus ids x named components."""
        return self._framed(self.values)

    def scale_space(self) -> pd.DataFrame | None:
        """The posterior deviations in the form of a space; None where there are none."""
        return None if self.scale is None else self._framed(self.scale)

    def _framed(self, numbers: NDArray[np.float32]) -> pd.DataFrame:
        return pd.DataFrame(numbers, index=pd.Index(self.ids, name="id"), columns=list(self.names))


def read_weights(
    path: str | os.PathLike[str],
    *,
    ids: int | Sequence[str] | None = None,
    rows: WeightRows = "auto",
    key: str | None = None,
) -> Weights:
    """Read an embedding of the SPoSE or VICE family.

    Parameters
    ----------
    path
        A matrix of numbers as text (``.txt``, ``.csv``, ``.tsv``: commas, tabs or spaces, no header) or ``.npy``;
        an ``.npz`` or MATLAB file of named arrays; or a torch checkpoint (``.pt``, ``.pth``, ``.tar``; needs torch).
        Python objects in a file are never loaded.
    ids
        Ids of the stimuli, in the order of the file, or their number. By default those in the file, which only
        :func:`write_weights` puts there, or else ``"0", "1", ...``
    rows
        What a row of the file is. ``"auto"``: what the number of ids says; without ids, or where both sides fit them,
        what the layout says; a matrix without either that is taller than wide has its stimuli in rows.
    key
        Which array of an archive or checkpoint to read. By default pruned parameters before complete ones.

    Returns
    -------
    Weights
        All components that the file has, in its order, with negative weights; see :meth:`Weights.pruned` and
        :meth:`Weights.clipped`.

    Raises
    ------
    InputError
        Naming file, row and remedy: no such file, a ragged or torn text, a number that is not finite, a cut or
        pickled file, an array that is not there, a wrong number of ids, or a matrix that could be either way round.
    EnvironmentFailure
        For a checkpoint, where torch is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sparse_embed_epoch0500.txt"
    >>> np.savetxt(path, [[0.9, 0.0, -0.01], [0.0, 0.7, 0.2]])  # two components of three stimuli
    >>> old = read_weights(path, ids=["joy", "awe", "fear"])
    >>> old.transposed, old.n_negative
    (True, 1)
    >>> old.clipped().to_space().round(2)
          component 01  component 02
    id
    joy            0.9           0.0
    awe            0.0           0.7
    fear           0.0           0.2
    """
    if rows not in get_args(WeightRows):
        raise InputError(f"rows='{rows}' is unknown", remedy=f"choose one of {', '.join(get_args(WeightRows))}")
    source = Path(path)
    matrix = read_matrix(source, key)
    known = matrix.ids if ids is None else _named(ids)
    transposed = _components_first(matrix, None if known is None else len(known), rows, source)
    values = matrix.values.T if transposed else matrix.values
    scale = matrix.scale.T if transposed and matrix.scale is not None else matrix.scale
    n, p = values.shape
    if known is None:
        known = _named(n)
    names = matrix.names if matrix.names is not None and len(matrix.names) == p else tuple(component_names(p))
    check_unique(known, source=source if ids is None else "the ids")
    return Weights(
        np.ascontiguousarray(values, np.float32),
        None if scale is None else np.ascontiguousarray(scale, np.float32),
        known,
        names,
        matrix.name,
        transposed,
    )


def _named(ids: int | Sequence[str]) -> tuple[str, ...]:
    ids = getattr(ids, "ids", ids)  # a StimulusSet says its ids
    if isinstance(ids, (int, np.integer)):
        return tuple(str(k) for k in range(int(ids)))
    return tuple(str(i) for i in ids)


def _components_first(matrix: Matrix, n_ids: int | None, rows: WeightRows, source: Path) -> bool:
    """Whether the rows of the file are components; refused where that is a guess."""
    n, p = matrix.values.shape
    said = rows if rows != "auto" else matrix.rows
    if n_ids is None:
        if said is None and n <= p:
            raise InputError(
                f"has {n:,} rows and {p:,} columns, and nothing says which are the stimuli",
                source=source,
                remedy="give the ids, or say whether rows are stimuli or components",
            )
        return said == "components"
    fits = {"stimuli": n == n_ids, "components": p == n_ids}
    if rows != "auto":
        fits = {way: fit and way == rows for way, fit in fits.items()}
    if not any(fits.values()):
        turned = f" with {rows} in rows" if rows != "auto" else ""
        raise InputError(
            f"has {n:,} rows and {p:,} columns{turned}, which does not fit {n_ids:,} ids",
            source=source,
            remedy="give one id per stimulus, in the order of the file",
        )
    if all(fits.values()):
        if said is None:
            raise InputError(
                f"has {n:,} rows and as many columns, so that the {n_ids:,} ids do not say which are the stimuli",
                source=source,
                remedy="say whether rows are stimuli or components",
            )
        return said == "components"
    return bool(fits["components"])


def write_weights(path: str | os.PathLike[str], space: pd.DataFrame, scale: pd.DataFrame | None = None) -> None:
    r"""Write an embedding as SPoSE and VICE programs read it, stimuli in rows.

    Parameters
    ----------
    path
        ``.txt`` (numbers by spaces) or ``.npy``, which hold the numbers alone; or ``.npz`` with the arrays
        ``pruned_loc``, ``pruned_scale`` where there are deviations, ``ids`` and ``components``.
    space : DataFrame of shape (n_stimuli, n_components)
    scale : DataFrame of the same shape, optional
        Posterior standard deviations; only an ``.npz`` file has room for them.

    Raises
    ------
    InputError
        For an unknown extension, a number that is not finite, deviations of other stimuli or without room.
    EnvironmentFailure
        When the place cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pandas as pd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.txt"
    >>> write_weights(path, pd.DataFrame({"joy": [0.5, 0.25]}, index=["v1", "v2"]))
    >>> path.read_text()
    '0.5\n0.25\n'
    """
    target = Path(path)
    check_output(target, WEIGHT_OUTPUTS)
    weights = Weights.from_space(space, scale)
    suffix = target.suffix.lower()
    if scale is not None and suffix != ".npz":
        raise InputError(
            "holds one matrix and no deviations", source=target, remedy="use .npz, or give them a file of their own"
        )
    with atomic_path(target) as temporary, open(temporary, "wb") as handle:
        if suffix == ".txt":
            np.savetxt(handle, weights.values, fmt="%.9g")  # nine digits give a float32 back bit for bit
        elif suffix == ".npy":
            np.save(handle, weights.values)
        else:
            arrays = {"pruned_loc": weights.values, "ids": np.array(weights.ids), "components": np.array(weights.names)}
            if weights.scale is not None:
                arrays["pruned_scale"] = weights.scale
            np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
