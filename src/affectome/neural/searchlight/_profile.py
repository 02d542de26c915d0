"""One centre looked at closely: its similarities, the space nearest to it, and the stimuli that make them alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from affectome.errors import InputError
from affectome.neural.searchlight._inputs import BrainMetric, ModelMetric, Neighbourhoods, Patterns
from affectome.neural.searchlight._models import model_geometry
from affectome.neural.searchlight._scorers import brain_geometry, similarities
from affectome.neural.searchlight._searchlight import searchlight

__all__ = ["CentreProfile", "centre_profile"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CentreProfile:
    """What is seen in the patterns of one neighbourhood.

    Attributes
    ----------
    subject : str
    n_voxels : int
        Of the neighbourhood.
    scores : DataFrame, index space
        ``r``, its interval ``low`` and ``high`` over stimuli, and ``p`` (closed form), as a searchlight gives them.
    nearest : str
        The space with the largest r.
    rsm, space_rsm : DataFrame of shape (n, n)
        Similarities of the patterns, and of the stimuli in the nearest space; ids in the order drawn. NaN where a pair
        does not count (within a run; a stimulus with itself).
    ordered_by : str
        What the order follows, as a figure says it.
    carried : Series of shape (n,), index ids
        The part of r with the nearest space that the pairs of each stimulus carry, half of a pair to each of its two
        stimuli; largest first. The parts add up to r.
    pairs : DataFrame
        ``first``, ``second``, ``brain``, ``space`` (both in standard deviations over the pairs that count): the pairs
        that carry most of r, largest product first.
    level : float
        Coverage of the intervals.
    """

    subject: str
    n_voxels: int
    scores: pd.DataFrame
    nearest: str
    rsm: pd.DataFrame
    space_rsm: pd.DataFrame
    ordered_by: str
    carried: pd.Series[float]
    pairs: pd.DataFrame
    level: float


def centre_profile(
    given: Patterns,
    spaces: Mapping[str, pd.DataFrame],
    voxels: ArrayLike,
    *,
    metric: ModelMetric | Mapping[str, ModelMetric] = "correlation",
    brain_metric: BrainMetric = "correlation",
    within_run: Literal["exclude", "include"] = "exclude",
    order: Sequence[str] | None = None,
    n_pairs: int = 10,
    level: float = 0.95,
) -> CentreProfile:
    r"""Look at one neighbourhood, chosen beforehand or by another recording; scores at the best centre are too high.

    Parameters
    ----------
    given : Patterns
        See :func:`patterns`.
    spaces : mapping from name to DataFrame (n_stimuli, n_features)
        With every stimulus of the patterns.
    voxels : int array
        Of the neighbourhood, such as ``neighbourhoods[3]``.
    metric, brain_metric, within_run, level
        See :func:`searchlight`. Scores are Pearson's.
    order : sequence of ids, optional
        In which the stimuli are drawn, such as by category; all of them, once. By default along the leading factor of
        the nearest space.
    n_pairs
        Pairs to name.

    Returns
    -------
    CentreProfile

    Raises
    ------
    InputError
        Where the order or the voxels are not those of the patterns, stimuli are repeated, or no score is defined.

    Notes
    -----
    With z the similarities of the P pairs that count, standardised over them,

    .. math:: r = \frac1P \sum_{i<j} z^{brain}_{ij} z^{space}_{ij} = \sum_i c_i, \qquad
              c_i = \frac1{2P} \sum_{j \ne i} z^{brain}_{ij} z^{space}_{ij}.

    It describes. Nothing is tested but r.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = tuple(f"s{k:02d}" for k in range(40))
    >>> space = pd.DataFrame(rng.normal(size=(40, 3)), index=list(ids))
    >>> responses = (space.to_numpy() @ rng.normal(size=(3, 20)) + rng.normal(size=(40, 20))).astype(np.float32)
    >>> found = centre_profile(Patterns("sub-01", ids, responses), {"planted": space}, np.arange(20))
    >>> found.nearest, bool(np.isclose(found.carried.sum(), found.scores.loc["planted", "r"]))
    ('planted', True)
    """
    chosen = np.unique(np.asarray(voxels, np.int64)).astype(np.int32)
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= given.responses.shape[1]:
        raise InputError(
            f"the neighbourhood has no voxels among the {given.responses.shape[1]} of the patterns",
            source=given.subject,
            remedy="give columns of the responses",
        )
    if len(set(given.ids)) < len(given.ids):
        raise InputError(
            "stimuli have several patterns", source=given.subject, remedy="average their presentations (patterns)"
        )
    centre = Neighbourhoods(np.array([0, len(chosen)], np.int64), chosen)
    found = searchlight(
        given, spaces, centre, metric=metric, brain_metric=brain_metric, within_run=within_run, intervals=True,
        level=level,
    )  # fmt: skip
    assert found.low is not None and found.high is not None and found.p is not None  # asked for
    if not np.isfinite(found.r).any():
        raise InputError("all its patterns are alike", source=given.subject, remedy="choose another neighbourhood")
    scores = pd.DataFrame(
        {"r": found.r[0], "low": found.low[0], "high": found.high[0], "p": found.p[0]},
        index=pd.Index(found.spaces, name="space"),
    )
    nearest = found.spaces[int(np.nanargmax(found.r[0]))]
    one = metric[nearest] if isinstance(metric, Mapping) else metric
    ids = list(given.ids)
    model = model_geometry(spaces[nearest], name=nearest, metric=one, ids=ids)
    counted = _counted(given if within_run == "exclude" else replace(given, run=None))
    brain, space = (
        _standardised(similarities(part), counted)
        for part in (brain_geometry(given.responses, chosen, brain_metric), model)
    )
    places = _order(order, ids, similarities(model))
    shown = [ids[k] for k in places]
    raw = [
        pd.DataFrame(np.where(counted, similarities(part), np.nan), ids, ids).loc[shown, shown]
        for part in (brain_geometry(given.responses, chosen, brain_metric), model)
    ]
    products = brain * space / counted.sum()
    carried = pd.Series(products.sum(axis=1), index=ids).sort_values(ascending=False, kind="stable")
    return CentreProfile(
        given.subject, len(chosen), scores, nearest, raw[0], raw[1],
        "in the order given" if order is not None else f"along the leading factor of {nearest}",
        carried, _pairs(brain, space, counted, ids, n_pairs), level,
    )  # fmt: skip


def _counted(given: Patterns) -> NDArray[np.bool_]:
    n = len(given.ids)
    counted = ~np.eye(n, dtype=bool)
    if given.run is not None:
        counted &= given.run[:, None] != given.run
    return counted


def _standardised(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Over the pairs that count; 0 elsewhere."""
    known = values[counted]
    z: Floats = np.where(counted, (values - known.mean()) / known.std(), 0.0)
    return z


def _order(order: Sequence[str] | None, ids: list[str], similarity: Floats) -> list[int]:
    """Places of the ids as they are drawn."""
    if order is not None:
        if sorted(order) != sorted(ids):
            raise InputError("the order does not name every stimulus once", remedy="give all ids of the patterns")
        return [ids.index(one) for one in order]
    centred = similarity - similarity.mean(axis=0)
    centred = centred - centred.mean(axis=1, keepdims=True)
    leading = np.linalg.eigh(centred)[1][:, -1]
    if (leading**3).sum() < 0:  # its sign is arbitrary
        leading = -leading
    places: list[int] = np.argsort(leading, kind="stable").tolist()
    return places


def _pairs(brain: Floats, space: Floats, counted: NDArray[np.bool_], ids: list[str], n_pairs: int) -> pd.DataFrame:
    rows, columns = np.nonzero(np.triu(counted))
    first = np.argsort(-(brain * space)[rows, columns], kind="stable")[:n_pairs]
    rows, columns = rows[first], columns[first]
    return pd.DataFrame(
        {
            "first": [ids[k] for k in rows],
            "second": [ids[k] for k in columns],
            "brain": brain[rows, columns],
            "space": space[rows, columns],
        }
    )
