"""What one stimulus is made of in a space, and where two spaces see it differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectome._groups import assign_folds, check_folds, group_codes
from affectome._progress import Progress, silent
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.interpretation._correlations import unit_columns
from affectome.interpretation._ridge import Band, FoldedRidge
from affectome.spaces import align, rows_for

__all__ = ["ProfileDifference", "StimulusProfiles", "compare_profiles", "stimulus_profiles"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StimulusProfiles:
    """Weights of some stimuli on every component.

    Attributes
    ----------
    weights : DataFrame of shape (n_shown, n_components)
        Index stimulus ids; in the units of the space.
    marked : DataFrame of bool, like `weights`
        The components that matter for each stimulus.
    names : dict from component to what it is called
    scale : float
        The largest weight shown.
    """

    weights: pd.DataFrame
    marked: pd.DataFrame
    names: dict[str, str]
    scale: float


def stimulus_profiles(
    space: pd.DataFrame,
    stimuli: Sequence[str],
    *,
    names: Mapping[str, str] | None = None,
    share: float = 0.6,
    most: int = 6,
) -> StimulusProfiles:
    """The component weights of some stimuli, and which of them matter.

    Parameters
    ----------
    space : DataFrame of shape (n_stimuli, n_components)
        No weight below 0.
    stimuli : sequence of str
        Ids to look up.
    names : mapping from component to name
        What components are called; by default as in the space.
    share, most
        The heaviest components that together hold this share of a stimulus's weight are marked, `most` at the most.

    Returns
    -------
    StimulusProfiles

    Examples
    --------
    >>> space = pd.DataFrame({"a": [0.2, 1.0], "b": [0.6, 0.0], "c": [0.1, 0.1]}, index=["x", "y"])
    >>> found = stimulus_profiles(space, ["y", "x"], names={"a": "joy"})
    >>> found.marked.loc["x"].to_dict(), found.names["a"], found.scale
    ({'a': False, 'b': True, 'c': False}, 'joy', 1.0)
    """
    if not 0 < share <= 1 or most < 1:
        raise InputError(f"share={share} and most={most} mark no component", remedy="use 0 < share <= 1 and most >= 1")
    shown = _shown(space, stimuli).astype(np.float64)
    values = shown.to_numpy()
    if values.min() < 0:
        raise InputError("the space has weights below 0, which are no petals", remedy="give a non-negative embedding")
    if values.max() == 0:
        raise InputError("all weights of these stimuli are 0", remedy="choose stimuli that have a component")
    unknown = [str(name) for name in names or {} if str(name) not in shown.columns]
    if unknown:
        raise InputError(
            f"names are given for {cut_short(unknown)}, which the space does not have", remedy="name its components"
        )
    order = np.argsort(-values, axis=1, kind="stable")
    falling = np.take_along_axis(values, order, axis=1)
    before = np.cumsum(falling, axis=1) - falling
    enough = (before < share * falling.sum(axis=1, keepdims=True) * (1 - 1e-9)) & (falling > 0)
    enough[:, most:] = False
    marked = np.zeros_like(enough)
    np.put_along_axis(marked, order, enough, axis=1)
    return StimulusProfiles(
        weights=shown,
        marked=pd.DataFrame(marked, index=shown.index, columns=shown.columns),
        names={name: str((names or {}).get(name, name)) for name in shown.columns},
        scale=float(values.max()),
    )


def _shown(space: pd.DataFrame, stimuli: Sequence[str]) -> pd.DataFrame:
    """The rows of the stimuli asked for, each once."""
    if isinstance(stimuli, str):
        raise InputError("stimuli is one text", remedy="give a list of ids")
    if len(stimuli) == 0:
        raise InputError("there are no stimuli to show", remedy="give at least one id")
    return rows_for(space, list(dict.fromkeys(map(str, stimuli))))


@dataclass(frozen=True, eq=False)
class ProfileDifference:
    """What two spaces predict of the ratings of some stimuli.

    All tables of shape (n_shown, n_ratings) have stimulus ids as index, in the units of the ratings.

    Attributes
    ----------
    first, second : DataFrame
        Held-out predictions from each space, averaged over repeats; they can fall a little below 0.
    difference : DataFrame
        `second` minus `first`.
    difference_low, difference_high : DataFrame
        Least and most over the repeats: how far the difference hangs on the folds. No confidence interval.
    unusual : DataFrame
        Share of all stimuli for which the two spaces differ at least as much in that rating (descriptive).
    marked : DataFrame of bool
        The largest differences that have one sign in all repeats.
    rated : DataFrame
        What people said.
    r : DataFrame, index ratings, columns the two systems
        Correlation of predictions and ratings over all stimuli: how far a petal of that rating is to be believed.
        NaN for a constant rating.
    systems : tuple of two str
    scale : float
        The largest value shown, predicted or rated.
    n_stimuli, n_folds, n_repeats : int
    """

    first: pd.DataFrame
    second: pd.DataFrame
    difference: pd.DataFrame
    difference_low: pd.DataFrame
    difference_high: pd.DataFrame
    unusual: pd.DataFrame
    marked: pd.DataFrame
    rated: pd.DataFrame
    r: pd.DataFrame
    systems: tuple[str, str]
    scale: float
    n_stimuli: int
    n_folds: int
    n_repeats: int


def compare_profiles(
    spaces: Mapping[str, pd.DataFrame],
    ratings: pd.DataFrame,
    stimuli: Sequence[str],
    *,
    n_folds: int = 5,
    n_repeats: int = 5,
    most: int = 6,
    groups: Mapping[str, object] | None = None,
    seed: int,
    progress: Progress = silent,
) -> ProfileDifference:
    """Express two spaces on the same ratings and subtract them for some stimuli.

    Components of two spaces are not the same things, so that their petals cannot be subtracted. Here every rating is
    predicted from either space by ridge regression on *other* stimuli, and the predicted profiles are compared: what
    is said about a stimulus rests on what its place means for the rest.

    Parameters
    ----------
    spaces : mapping from system to DataFrame, two of them
    ratings : DataFrame of shape (n_stimuli, n_ratings)
        Where 0 means absent (shares of raters, for example), none below 0. Bring mean ratings of 1..9 there first.
    stimuli : sequence of str
        Ids to show; the models use all stimuli of the spaces.
    n_folds, n_repeats
        Cross-validation, repeated over other random folds. The penalty is chosen within the training folds.
    most
        Differences marked per stimulus.
    groups : mapping from id to group
        Stimuli of one group (copies of a clip) are held out together.
    seed
        Of the folds, which both spaces share.
    progress

    Returns
    -------
    ProfileDifference

    Notes
    -----
    Ridge regression shrinks towards the mean of the ratings, the more so the less a space says. A system that cannot
    predict a rating (its `r` is low) shows about the mean of it everywhere, and a difference then speaks of that
    system's silence and not of an opposite view.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"s{k}" for k in range(60)]
    >>> ratings = pd.DataFrame(rng.gamma(0.5, size=(60, 2)), index=ids, columns=["Joy", "Awe"])
    >>> blind = ratings[["Joy"]].set_axis(["c"], axis=1)
    >>> seeing = ratings.set_axis(["c", "d"], axis=1)
    >>> found = compare_profiles({"blind": blind, "seeing": seeing}, ratings, ["s0"], seed=0)
    >>> found.r.round(1).loc["Joy"].tolist(), bool(found.r.loc["Awe", "blind"] < 0.3)
    ([1.0, 1.0], True)
    """
    from threadpoolctl import threadpool_limits

    if len(spaces) != 2:
        raise InputError(f"{len(spaces)} spaces have no difference", remedy="give two")
    if n_repeats < 1 or most < 1:
        raise InputError(f"n_repeats={n_repeats} and most={most} show nothing", remedy="use at least 1 of both")
    systems = list(spaces)
    one, two, rated = align(*spaces.values(), ratings, names=[*systems, "the ratings"]).spaces
    shown = _shown(rated, stimuli)
    y = rated.to_numpy(np.float64)
    if y.min() < 0:
        raise InputError("ratings below 0 are no petals", remedy="subtract the lowest value of their scale")
    if y.max() == 0:
        raise InputError("all ratings are 0", remedy="give ratings that tell stimuli apart")
    group = group_codes(one.index.tolist(), groups)
    check_folds(len(group), n_folds, n_repeats)
    rows = one.index.get_indexer(shown.index)
    predicted = np.empty((2, n_repeats, *y.shape))
    with threadpool_limits(1):  # the matrices are small: threads of a BLAS would wait for one another
        for k, child in enumerate(np.random.SeedSequence(seed).spawn(n_repeats)):
            fold = assign_folds(group, n_folds, np.random.default_rng(child))
            for system, space in enumerate((one, two)):
                predicted[system, k] = _held_out(space.to_numpy(np.float64), y, fold)
            progress(k + 1, n_repeats, detail="repeats")
    return _difference(predicted, rated, rows, (systems[0], systems[1]), most, n_folds)


def _held_out(x: Floats, y: Floats, fold: NDArray[np.intp]) -> Floats:
    """Every rating (n, m) predicted from the components (n, p) by models that did not see the stimulus."""
    return FoldedRidge(x, fold, [Band(np.arange(x.shape[1]), np.ones(x.shape[1]))]).predict(y, [0])


def _difference(
    predicted: Floats, rated: pd.DataFrame, rows: NDArray[np.intp], systems: tuple[str, str], most: int, n_folds: int
) -> ProfileDifference:
    """Tables of the stimuli at `rows` from predictions of shape (2, n_repeats, n_stimuli, n_ratings)."""
    y = rated.to_numpy(np.float64)
    mean = predicted.mean(axis=1)
    by_repeat = predicted[1] - predicted[0]
    difference = by_repeat.mean(axis=0)
    low, high = by_repeat[:, rows].min(axis=0), by_repeat[:, rows].max(axis=0)
    size = np.abs(difference)
    unusual = np.stack([(size >= size[row]).mean(axis=0) for row in rows])
    steady = np.where((low > 0) | (high < 0), size[rows], -1.0)
    order = np.argsort(-steady, axis=1, kind="stable")[:, :most]
    marked = np.zeros(steady.shape, bool)
    np.put_along_axis(marked, order, True, axis=1)
    marked &= steady > 0
    r = [(unit_columns(part) * unit_columns(y)).sum(axis=0) for part in mean]
    scale = float(max(mean[:, rows].max(), y[rows].max()))

    def table(values: NDArray[np.generic]) -> pd.DataFrame:
        return pd.DataFrame(values, index=rated.index[rows], columns=rated.columns)

    return ProfileDifference(
        first=table(mean[0, rows]),
        second=table(mean[1, rows]),
        difference=table(difference[rows]),
        difference_low=table(low),
        difference_high=table(high),
        unusual=table(unusual),
        marked=table(marked),
        rated=table(y[rows]),
        r=pd.DataFrame(dict(zip(systems, r, strict=True)), index=pd.Index(rated.columns, name="rating")),
        systems=systems,
        scale=scale,
        n_stimuli=len(y),
        n_folds=n_folds,
        n_repeats=predicted.shape[1],
    )
