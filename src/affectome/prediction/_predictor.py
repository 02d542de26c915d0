"""From features of stimuli to their place in a space, as a scikit-learn regressor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.model_selection import check_cv
from sklearn.utils.validation import check_is_fitted, validate_data

from affectome._fold_sums import Splits
from affectome._groups import assign_folds, group_codes
from affectome._tables import cut_short
from affectome.errors import InputError
from affectome.prediction._extrapolation import extrapolation_table, leverages, own_leverages
from affectome.prediction._ridge import ALPHAS, Draws, NestedRidge, band_weightings, check_alphas
from affectome.spaces import as_space

__all__ = ["Clip", "PlacedStimuli", "SpacePredictor", "floor_of"]

logger = logging.getLogger(__name__)

Clip = bool | Literal["auto"]

_LITTLE = 0.01  # a penalty below this share of the least sum of squares shrinks no direction worth the name


@dataclass(frozen=True, eq=False)
class PlacedStimuli:
    """New stimuli where their features put them in a space.

    Attributes
    ----------
    space : DataFrame of shape (n_new, n_components), float32
    extrapolation : DataFrame, index the new ids
        ``leverage``: variance of the placement over that of the noise, see :meth:`SpacePredictor.place`;
        ``relative``, to the median of the training stimuli as if they were new; ``share_as_far``, (b + 1) / (n + 1)
        with b of n training stimuli as far as this one; ``n_outside``, features below the lowest or above the highest
        training value; ``far``, whether fewer than one in a hundred training stimuli is as far.
    """

    space: pd.DataFrame
    extrapolation: pd.DataFrame


class SpacePredictor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    r"""Ridge from features of stimuli to the components of a space, each with its own penalty.

    For each component the coefficients minimise

    .. math:: \sum_i (y_i - \bar y - z_i b)^2 + p \alpha |b|^2

    where the p features z have mean 0 and s.d. 1 over the training stimuli. :math:`\alpha` is the variance of the
    noise over that of the signal that would be the right one were all features equally informative. It is chosen per
    component among `alphas` by the least squared error over the folds of `cv`; features are standardised and targets
    centred inside each training set, and the largest of equal alphas is taken.

    `fit` says nothing about accuracy: :func:`prediction_accuracy` does, or scikit-learn's ``cross_val_score``.

    Parameters
    ----------
    alphas : sequence of float
        The grid of penalties, all above 0. By default powers of ten from 0.001 to 10,000.
    cv : int, splitter or iterable of (training, held-out)
        Folds that choose alpha. A number: so many random folds that part no group.
    bands : mapping from band name to features, or None
        Column names where X is a DataFrame, else places; together all features. Bands enter with equal total variance
        whatever their width, and each component also tries each band alone.
    clip : bool or ``"auto"``
        Whether predictions below 0 become 0; ``"auto"``: where no training target is negative.
    random_state : int
        Of the random folds.

    Attributes
    ----------
    coef_ : array of shape (n_components, n_features)
        On features in their own units; (n_features,) where y has one dimension.
    intercept_ : array of shape (n_components,)
    alpha_ : array of shape (n_components,)
        What was chosen.
    weighting_ : int array of shape (n_components,)
        0: all bands together; k: the k-th band alone.
    clip_ : bool
    components_ : array of str, or None
        Names, where y was a DataFrame.
    basis_, penalty_, leverages_, range_
        What extrapolation is measured by: the training features diagonalised, the median penalty p alpha, the
        leverage of each training stimulus as if it were new, and the lowest and highest value of each feature, (2, p).
    n_features_in_ : int
    feature_names_in_ : array of str
        Where X was a DataFrame.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ids = [f"v{k}" for k in range(120)]
    >>> features = pd.DataFrame(rng.normal(size=(120, 4)), ids, ["smile", "noise", "speed", "light"])
    >>> joy = np.maximum(1 + features["smile"], 0) + 0.1 * rng.random(120)
    >>> predictor = SpacePredictor().fit(features[:100], pd.DataFrame({"joy": joy})[:100])
    >>> placed = predictor.place(features[100:])
    >>> bool(np.corrcoef(placed.space["joy"], joy[100:])[0, 1] > 0.95), bool((placed.space >= 0).all(axis=None))
    (True, True)
    """

    def __init__(
        self,
        alphas: ArrayLike = ALPHAS,
        *,
        cv: Any = 5,
        bands: Mapping[str, Sequence[Any]] | None = None,
        clip: Clip = "auto",
        random_state: int = 0,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.bands = bands
        self.clip = clip
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | Mapping[str, object] | None = None) -> SpacePredictor:
        """Choose alpha for every component, and fit.

        Parameters
        ----------
        X : array or DataFrame of shape (n_stimuli, n_features)
        y : array or DataFrame of shape (n_stimuli, n_components) or (n_stimuli,)
            Where both are tables, with the ids of X in the same order.
        groups : array of shape (n_stimuli,), mapping from id to group, or None
            Stimuli of one group (copies of a clip) stay on one side of every fold of `cv`. The ids of a
            mapping are those of X (without any, its rows counted from 0); stimuli it does not name stand alone.
        """
        _check_same_ids(X, y)
        names = [str(name) for name in y.columns] if isinstance(y, pd.DataFrame) else None
        x, targets = validate_data(
            self, X, y, multi_output=True, y_numeric=True, dtype=np.float64, ensure_min_samples=3
        )
        single = targets.ndim == 1
        targets = (targets[:, None] if single else targets).astype(np.float64)
        features = list(getattr(self, "feature_names_in_", range(x.shape[1])))
        grid = check_alphas(self.alphas)
        weightings = band_weightings(self.bands, features)
        floor = floor_of(self.clip, targets)
        if isinstance(groups, Mapping):
            groups = group_codes([str(name) for name in getattr(X, "index", range(len(x)))], groups)
        ridge = NestedRidge(x, self._splits(len(x), groups), weightings, grid, floor)
        choice = ridge.choose(Draws.as_observed(targets))
        coefficients, intercept = ridge.coefficients(targets, choice)
        component: Any = 0 if single else slice(None)
        weighting, alpha = np.divmod(choice[0], len(grid))
        self.coef_ = coefficients.T[component]
        self.intercept_ = intercept[component]
        self.alpha_ = grid[alpha][component]
        self.weighting_ = weighting[component]
        self.clip_ = bool(np.isfinite(floor))
        self.components_ = None if names is None else np.array(names, dtype=object)
        self.basis_ = ridge.basis(int(ridge.splits.final[0]), 0)
        _say_flat(self.basis_.scale == 0, features)
        self.penalty_ = float(x.shape[1] * np.median(grid[alpha]))
        self.leverages_ = own_leverages(self.basis_, self.penalty_, x)
        self.range_ = np.array([x.min(axis=0), x.max(axis=0)])
        shrinks = x.shape[1] * grid[-1] > _LITTLE * self.basis_.squares.min()
        _say_edges(alpha, grid, np.ptp(targets, axis=0) > 0, shrinks)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Places of these stimuli, (n, n_components), or (n,) where y had one dimension."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        predicted: NDArray[np.float64] = x @ self.coef_.T + self.intercept_
        return np.maximum(predicted, 0) if self.clip_ else predicted

    def place(self, features: pd.DataFrame) -> PlacedStimuli:
        r"""Place new stimuli, and say which of them lie far from those the predictor was learned from.

        Parameters
        ----------
        features : DataFrame of shape (n_new, n_features)
            The columns the predictor was learned from, in any order; others are named in the log and left out.

        Returns
        -------
        PlacedStimuli

        Notes
        -----
        The leverage of a new stimulus, :math:`z' (Z'Z + p \tilde\alpha I)^{-1} z` with the median
        :math:`\tilde\alpha` over components, is the variance of its placement as a share of the variance of the noise,
        under the prior that ridge stands for. It is held against the leverages that the training stimuli would
        have if each were new. A stimulus like the others is called far in one case of a hundred.
        """
        check_is_fitted(self)
        if not hasattr(self, "feature_names_in_"):
            raise InputError(
                "the predictor was learned from features without names",
                source="SpacePredictor",
                remedy="fit it with a DataFrame, or use predict",
            )
        table = _chosen_columns(features, [str(name) for name in self.feature_names_in_])
        predicted = self.predict(table.set_axis(self.feature_names_in_, axis=1))
        rows = predicted[:, None] if predicted.ndim == 1 else predicted
        names = [f"component {k + 1}" for k in range(rows.shape[1])] if self.components_ is None else self.components_
        x = table.to_numpy(np.float64)
        found = leverages(self.basis_, self.penalty_, x)
        low, high = self.range_
        n_outside = ((x < low) | (x > high)).sum(axis=1)
        return PlacedStimuli(
            pd.DataFrame(rows.astype(np.float32), index=table.index, columns=list(names)),
            extrapolation_table(found, self.leverages_, n_outside, table.index),
        )

    def _splits(self, n: int, groups: ArrayLike | None) -> Splits:
        """One model of all stimuli, its alpha chosen over the folds of `cv`."""
        if isinstance(self.cv, (int, np.integer)):
            code = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
            if len(code) != n:
                raise InputError(f"{len(code)} groups are given for {n} stimuli", remedy="give one to each stimulus")
            if self.cv < 2:
                raise InputError(f"cv={self.cv} makes no folds", source="SpacePredictor", remedy="use at least 2")
            fold = assign_folds(code, int(self.cv), np.random.default_rng(self.random_state))
            pairs = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(int(self.cv))]
        else:
            pairs = list(check_cv(self.cv).split(np.zeros((n, 1)), groups=groups))
        masks = [tuple(np.isin(np.arange(n), rows) for rows in pair) for pair in pairs]
        if not all(mask.any() for pair in masks for mask in pair):
            raise InputError("a fold of cv is empty", source="SpacePredictor", remedy="use fewer folds")
        return Splits.from_masks([np.ones(n, bool)], [[(train, held) for train, held in masks]])


def floor_of(clip: Clip, y: NDArray[np.floating]) -> float:
    """What predictions are raised to: 0, or minus infinity where they are left alone."""
    if clip not in (True, False, "auto"):
        raise InputError(f"clip={clip!r} is not known", remedy="choose True, False or 'auto'")
    clipped = bool((y >= 0).all()) if clip == "auto" else bool(clip)
    return 0.0 if clipped else -np.inf


def _check_same_ids(x: ArrayLike, y: ArrayLike) -> None:
    """Refuse tables whose rows are not of the same stimuli in the same order."""
    tables = (pd.DataFrame, pd.Series)
    if not isinstance(x, tables) or not isinstance(y, tables) or len(x) != len(y) or (x.index == y.index).all():
        return
    at = int(np.flatnonzero(np.asarray(x.index != y.index))[0])
    raise InputError(
        f"row {at + 1} is '{x.index[at]}' in the features and '{y.index[at]}' in the space",
        source="SpacePredictor",
        remedy="give the rows of the features in the order of the space (features.loc[space.index])",
    )


def _chosen_columns(features: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The columns of these names, every one of which must be there."""
    table = as_space(features, source="the features")
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(names)} features that the predictor was learned from are missing "
            f"({cut_short(missing)})",
            source="the features",
            remedy="make new features the way the old ones were made",
        )
    extra = [str(name) for name in table.columns.difference(names, sort=False)]
    if extra:
        logger.warning(
            "%d columns that the predictor was not learned from are left out: %s.", len(extra), cut_short(extra)
        )
    return table[names]


def _say_flat(flat: NDArray[np.bool_], features: Sequence[Any]) -> None:
    if flat.all():
        raise InputError(
            "every feature is constant over the stimuli", source="the features", remedy="give features that vary"
        )
    if flat.any():
        constant = [str(name) for name, is_flat in zip(features, flat, strict=True) if is_flat]
        logger.warning("%d features are constant and get no weight: %s.", len(constant), cut_short(constant))


def _say_edges(alpha: NDArray[np.intp], grid: NDArray[np.float64], varies: NDArray[np.bool_], shrinks: bool) -> None:
    """Tell where the grid, which falls, may be too short; a least alpha that shrinks nothing is low enough."""
    if len(grid) == 1:
        return
    largest, smallest = int((varies & (alpha == 0)).sum()), int((varies & (alpha == len(grid) - 1)).sum())
    if largest:
        logger.warning(
            "The largest alpha (%g) was chosen for %d of %d components: the features say next to nothing about them, "
            "or the grid ends too early.", grid[0], largest, len(alpha),
        )  # fmt: skip
    if smallest and shrinks:
        logger.warning(
            "The smallest alpha (%g) was chosen for %d of %d components: let the grid begin lower.",
            grid[-1], smallest, len(alpha),
        )  # fmt: skip
