"""Stimuli that belong together, such as copies of a clip: one fold for all of them, one sum, one place in a null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from affectome._tables import check_unique, cut_short
from affectome.errors import InputError

__all__ = ["assign_folds", "check_folds", "group_codes", "group_sums", "jackknife_variance", "permuted_groups"]

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


def check_folds(n: int, n_folds: int, n_repeats: int) -> None:
    """Refuse folds with too little in them."""
    if n_folds < 3 or n_repeats < 1:
        raise InputError(
            f"n_folds={n_folds} and n_repeats={n_repeats} cannot be done",
            remedy="use at least three folds (the penalty is chosen on the folds that are left) and one repeat",
        )
    if n < 5 * n_folds:
        raise InputError(
            f"{n} stimuli are too few for {n_folds} folds", remedy=f"give at least {5 * n_folds}, or use fewer folds"
        )


def group_codes(ids: Sequence[str], groups: object | None) -> Places:
    """The group of each stimulus as a number from 0; every stimulus is its own group by default.

    Parameters
    ----------
    groups : mapping from id to group, or None
        Stimuli that it does not name stand alone.
    """
    if groups is None:
        return np.arange(len(ids))
    named = dict(groups)  # type: ignore[call-overload]
    unknown = [str(i) for i in named if str(i) not in set(ids)]
    if unknown:
        raise InputError(
            f"{len(unknown)} ids of the groups are no stimuli ({cut_short(unknown)})", remedy="make the ids match"
        )
    check_unique([str(i) for i in named], source="the groups")
    text = {str(i): group for i, group in named.items()}
    labels = [("group", text[i]) if i in text else ("alone", i) for i in ids]
    known = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    return np.array([known[label] for label in labels], np.intp)


def assign_folds(group: Places, n_folds: int, rng: np.random.Generator) -> Places:
    """A fold for each stimulus: folds of nearly equal size, no group in two of them."""
    n_groups = int(group.max()) + 1
    if n_groups < n_folds:
        raise InputError(f"{n_groups} groups of stimuli cannot fill {n_folds} folds", remedy="use fewer folds")
    size = np.bincount(group, minlength=n_groups)
    order = rng.permutation(n_groups)
    order = order[np.argsort(-size[order], kind="stable")]  # large groups first, so that small ones even out
    fold_of = np.empty(n_groups, np.intp)
    single = size[order] == 1
    filled = np.zeros(n_folds, np.intp)
    for k in order[~single]:
        fold_of[k] = filled.argmin()
        filled[fold_of[k]] += size[k]
    alone = order[single]
    room = np.maximum(0, int(filled.max()) - filled)
    first = np.repeat(np.arange(n_folds), room)[: len(alone)]  # level the folds, then deal in turn
    dealt = np.arange(len(alone) - len(first)) % n_folds
    fold_of[alone] = np.concatenate([first, dealt])
    return fold_of[group]


def group_sums(values: Floats, group: Places) -> Floats:
    """Sums over the stimuli of each group, (n_groups, T)."""
    n_groups = int(group.max()) + 1
    if n_groups == len(group):
        return values
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, group, values)
    return sums


def permuted_groups(group: Places, rng: np.random.Generator) -> Places:
    """An order of the stimuli that exchanges whole groups with others of their size."""
    size = np.bincount(group)
    if (size == 1).all():
        return rng.permutation(len(group))
    order = np.empty(len(group), np.intp)
    by_group = np.argsort(group, kind="stable")
    start = np.cumsum(size) - size
    for s in np.unique(size):
        members = np.flatnonzero(size == s)
        places = by_group[start[members][:, None] + np.arange(s)]  # (n_groups of this size, s)
        order[places] = places[rng.permutation(len(members))]
    return order


def jackknife_variance(without: Floats) -> Floats:
    """Variance (T,) of a statistic from its values with each of m groups left out, (m, T)."""
    m = len(without)
    variance: Floats = (m - 1) / m * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return variance
